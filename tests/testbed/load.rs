//! Load: many requests over a few connections, and a tally of the answers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::client::{Answer, Client, served_by};

/// How many requests each backend has answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Answers by backend.
    pub by_backend: BTreeMap<String, u64>,
    /// Requests that failed, or whose status was not 200.
    pub failed: u64,
    /// How the first of them failed.
    pub failure: Option<String>,
}

impl Tally {
    /// Counts one answer.
    pub fn add(&mut self, answer: &anyhow::Result<Answer>) {
        match answer.as_ref().ok().and_then(served_by) {
            Some(backend) => *self.by_backend.entry(backend.to_owned()).or_default() += 1,
            None => {
                self.failed += 1;
                self.failure.get_or_insert_with(|| format!("{answer:?}"));
            }
        }
    }

    /// How many requests `backend` answered.
    pub fn of(&self, backend: &str) -> u64 {
        self.by_backend.get(backend).copied().unwrap_or_default()
    }

    /// How many requests were sent.
    pub fn total(&self) -> u64 {
        self.by_backend.values().sum::<u64>() + self.failed
    }

    /// Adds another tally to this one.
    pub fn merge(&mut self, other: Self) {
        for (backend, count) in other.by_backend {
            *self.by_backend.entry(backend).or_default() += count;
        }
        self.failed += other.failed;
        self.failure = self.failure.take().or(other.failure);
    }
}

/// How many requests are in flight at once.
const CONNECTIONS: u64 = 16;

/// Sends GET requests for `path`, `count` times, and counts the answers.
pub async fn send(client: &Client, path: &str, count: u64) -> Tally {
    send_each(count, {
        let (client, path) = (client.clone(), path.to_owned());
        move |_| {
            let (client, path) = (client.clone(), path.clone());
            async move { client.get(&path, &[]).await }
        }
    })
    .await
}

/// Calls `request` for each number below `count`, and counts the answers.
pub async fn send_each<F, A>(count: u64, request: F) -> Tally
where
    F: Fn(u64) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = anyhow::Result<Answer>> + Send,
{
    let next = Arc::new(AtomicU64::new(0));
    let workers = (0..CONNECTIONS).map(|_| {
        let (next, request) = (Arc::clone(&next), request.clone());
        tokio::spawn(async move {
            let mut tally = Tally::default();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= count {
                    return tally;
                }
                tally.add(&request(n).await);
            }
        })
    });
    join(workers.collect()).await
}

/// Load in the background, until it is stopped.
pub struct Background {
    is_stopped: Arc<AtomicBool>,
    workers: Vec<tokio::task::JoinHandle<Tally>>,
}

impl Background {
    /// Starts to send GET requests for `path`, over and over.
    pub fn start(client: &Client, path: &str) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let workers = (0..CONNECTIONS)
            .map(|_| {
                let (client, path, is_stopped) = (client.clone(), path.to_owned(), Arc::clone(&is_stopped));
                tokio::spawn(async move {
                    let mut tally = Tally::default();
                    while !is_stopped.load(Ordering::Relaxed) {
                        tally.add(&client.get(&path, &[]).await);
                    }
                    tally
                })
            })
            .collect();
        Self { is_stopped, workers }
    }

    /// Waits for the requests in flight, and returns the tally of all.
    pub async fn stop(self) -> Tally {
        self.is_stopped.store(true, Ordering::Relaxed);
        join(self.workers).await
    }
}

async fn join(workers: Vec<tokio::task::JoinHandle<Tally>>) -> Tally {
    let mut tally = Tally::default();
    for worker in workers {
        match worker.await {
            Ok(part) => tally.merge(part),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
    tally
}
