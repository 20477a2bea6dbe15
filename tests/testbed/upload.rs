//! Uploads that are held open.

use anyhow::Context;
use bytes::Bytes;
use http_body_util::channel::{Channel, Sender};
use tokio::task::JoinHandle;

use crate::client::{Answer, Client};

/// A `PUT /` whose body has not ended.
pub struct Upload {
    sender: Sender<Bytes>,
    request: JoinHandle<anyhow::Result<Answer>>,
}

impl Upload {
    /// Starts an upload, and sends `bytes` bytes of it.
    ///
    /// # Errors
    /// When the request has ended before.
    pub async fn start(client: &Client, bytes: usize) -> anyhow::Result<Self> {
        const CHUNK: usize = 1 << 20;
        let (mut sender, body) = Channel::new(1);
        let client = client.clone();
        let request = tokio::spawn(async move { client.send_body("PUT", "/", [], body).await });
        for at in (0..bytes).step_by(CHUNK) {
            sender.send_data(vec![b'x'; CHUNK.min(bytes - at)].into()).await.context("the upload has ended")?;
        }
        Ok(Self { sender, request })
    }

    /// Ends the body, and returns the answer.
    ///
    /// # Errors
    /// When there is none.
    pub async fn finish(self) -> anyhow::Result<Answer> {
        drop(self.sender);
        self.request.await?
    }

    /// Breaks the request off.
    pub fn abort(&self) {
        self.request.abort();
    }
}
