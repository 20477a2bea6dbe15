//! Load that records which backend serves each key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use testbed::client::{Client, served_by};
use tokio::task::JoinHandle;

/// The number of keys.
pub(super) const KEYS: u64 = 300;

/// Requests with keys, over and over, with pauses that leave Envoy's main thread some time.
pub(super) struct Load {
    client: Arc<Mutex<Client>>,
    is_over: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Served>>,
}

/// The backends that served each key, and the number of requests that failed.
#[derive(Default)]
pub(super) struct Served {
    pub(super) by_key: BTreeMap<u64, BTreeSet<String>>,
    pub(super) failed: u64,
}

impl Load {
    pub(super) fn start(client: Client) -> Self {
        const WORKERS: u64 = 8;
        let client = Arc::new(Mutex::new(client));
        let is_over = Arc::new(AtomicBool::new(false));
        let worker = |first_key: u64| {
            let (client, is_over) = (Arc::clone(&client), Arc::clone(&is_over));
            tokio::spawn(async move {
                let mut served = Served::default();
                for key in (first_key..KEYS).step_by(WORKERS as usize).cycle() {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let client = client.lock().unwrap().clone();
                    let answer = client.get("/", &[("x-serve-shard-key", &format!("user-{key}"))]).await;
                    if let Some(backend) = answer.as_ref().ok().and_then(served_by) {
                        served.by_key.entry(key).or_default().insert(backend.to_owned());
                    } else {
                        served.failed += 1;
                    }
                    tokio::time::sleep(Duration::from_millis(2)).await;
                }
                served
            })
        };
        let workers = (0..WORKERS).map(worker).collect();
        Self { client, is_over, workers }
    }

    /// Sends through this client from now on.
    pub(super) fn turn_to(&self, client: Client) {
        *self.client.lock().unwrap() = client;
    }

    /// Waits for the requests in flight, and returns the record of all.
    pub(super) async fn stop(self) -> Served {
        self.is_over.store(true, Ordering::Relaxed);
        let mut served = Served::default();
        for worker in self.workers {
            // No two workers have a key in common.
            let part = worker.await.unwrap();
            served.by_key.extend(part.by_key);
            served.failed += part.failed;
        }
        served
    }
}

impl Served {
    /// Checks that one backend served all requests of a key, and that each of the three backends
    /// has keys.
    pub(super) fn assert_no_key_moved(&self) {
        let moved: Vec<_> = self.by_key.iter().filter(|(_, by)| by.len() > 1).collect();
        assert_eq!((self.by_key.len() as u64, moved), (KEYS, vec![]));
        assert_eq!(self.by_key.values().flatten().collect::<BTreeSet<_>>().len(), 3, "not all backends serve");
    }
}
