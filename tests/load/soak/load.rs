//! Clients that send as much as they can, check each answer against the reference's decision, and
//! count.

use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use http_body_util::channel::Channel;
use testbed::client::{Answer, Client, Http, served_by};
use testbed::envoy::Envoy;
use tokio::task::JoinSet;

use super::requests::{BACKENDS, COOKIE, Decided, POLICIES, Request, numbered};

/// The number of clients of each version of HTTP, and the number of requests that each has in
/// flight.
const CLIENTS: (usize, usize) = (8, 4);

/// The number of uploads that are always held open, and the range of the seconds for which each is.
const UPLOADS: usize = 16;
const HELD_SECONDS: RangeInclusive<u64> = 1..=6;

/// Load, and the record of the answers.
pub(super) struct Load {
    pub(super) requests: Vec<Request>,
    /// The reference's decisions, by request and policy.
    pub(super) decided: Vec<Decided>,
    /// The newest change that Envoy may have, and the newest one in force.
    pub(super) put: AtomicU64,
    pub(super) in_force: AtomicU64,
    /// Whether to stop.
    pub(super) is_over: AtomicBool,
    next: AtomicU64,
    /// The number of answers by request, policy and backend.
    answers: Vec<AtomicU64>,
    generated: Mutex<Vec<Generated>>,
}

/// A key that the filter has generated.
pub(super) struct Generated {
    pub(super) policy: u64,
    /// The request, with the key in its cookie.
    pub(super) request: Request,
    pub(super) backend: &'static str,
}

impl Load {
    pub(super) fn new(requests: Vec<Request>, decided: Vec<Decided>) -> Self {
        let answers = std::iter::repeat_with(AtomicU64::default).take(decided.len() * BACKENDS.len()).collect();
        let (put, in_force, is_over) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
        let (next, generated) = (AtomicU64::new(0), Mutex::default());
        Self { requests, decided, put, in_force, is_over, next, answers, generated }
    }

    /// Sends until the load is over, or an answer is wrong.
    pub(super) fn start(self: &Arc<Self>, envoy: &Envoy) -> JoinSet<anyhow::Result<()>> {
        let mut senders = JoinSet::new();
        for _ in 0..CLIENTS.0 {
            let (v1, v2) = (envoy.client(Http::V1), envoy.client(Http::V2));
            for client in [&v1, &v2] {
                for _ in 0..CLIENTS.1 {
                    let (load, client, v1) = (Arc::clone(self), client.clone(), v1.clone());
                    senders.spawn(async move {
                        while !load.is_over.load(Ordering::SeqCst) {
                            let sent = load.send(&client, &v1).await;
                            sent.inspect_err(|_| load.is_over.store(true, Ordering::SeqCst))?;
                        }
                        Ok(())
                    });
                }
            }
        }
        for n in 0..UPLOADS {
            let (load, v1) = (Arc::clone(self), envoy.client(Http::V1));
            let lengths = HELD_SECONDS.cycle().skip(n);
            senders.spawn(async move {
                for seconds in lengths {
                    if load.is_over.load(Ordering::SeqCst) {
                        break;
                    }
                    let sent = load.hold_open(&v1, Duration::from_secs(seconds)).await;
                    sent.inspect_err(|_| load.is_over.store(true, Ordering::SeqCst))?;
                }
                Ok(())
            });
        }
        senders
    }

    /// Sends the first half of a request's body, and the other half `time` later.
    async fn hold_open(&self, client: &Client, time: Duration) -> anyhow::Result<()> {
        let with_body = |number: &usize| self.requests[*number].body.len() > 1;
        let number = (0..self.requests.len()).map(|_| self.next_number()).find(with_body).context("no bodies")?;
        let request = &self.requests[number];
        let headers: Vec<_> = request.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        let (mut sender, body) = Channel::new(1);
        let earliest = self.in_force.load(Ordering::SeqCst);
        let half = request.body.len() / 2;
        let send = async {
            sender.send_data(request.body.slice(..half)).await?;
            let start = Instant::now();
            while start.elapsed() < time && !self.is_over.load(Ordering::SeqCst) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            sender.send_data(request.body.slice(half..)).await?;
            drop(sender);
            anyhow::Ok(())
        };
        let (sent, answer) = tokio::join!(send, client.send_body(request.method, &request.path, headers, body));
        sent?;
        let changes = earliest..=self.put.load(Ordering::SeqCst);
        self.take(number, changes, &answer?).with_context(|| format!("{request}, held open"))
    }

    fn next_number(&self) -> usize {
        self.next.fetch_add(1, Ordering::Relaxed) as usize % self.requests.len()
    }

    async fn send(&self, client: &Client, v1: &Client) -> anyhow::Result<()> {
        let number = self.next_number();
        let request = &self.requests[number];
        let headers = || request.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        // Over HTTP/2 the host is not a header.
        let client = if headers().any(|(name, _)| name == "host") { v1 } else { client };
        let earliest = self.in_force.load(Ordering::SeqCst);
        let answer = client.send(request.method, &request.path, headers(), request.body.clone()).await?;
        let changes = earliest..=self.put.load(Ordering::SeqCst);
        self.take(number, changes.clone(), &answer)
            .with_context(|| format!("{request}\nafter the changes {changes:?}: {answer:?}"))
    }

    /// Checks an answer, and counts it.
    fn take(&self, number: usize, mut changes: RangeInclusive<u64>, answer: &Answer) -> anyhow::Result<()> {
        let served = served_by(answer).context("failed")?;
        let mut policies = answer.headers().iter().filter_map(|(name, value)| {
            Some((name.as_str().strip_prefix("x-policy-")?.parse::<u64>().ok()?, value.as_bytes()))
        });
        let (policy, backend) = policies.next().context("no policy decided")?;
        ensure!(policies.next().is_none(), "two policies decided");
        ensure!(changes.any(|change| numbered(change) == policy), "a policy that is not in force decided");
        ensure!(backend == served.as_bytes(), "another backend has served");
        let place = number * POLICIES as usize + (policy % POLICIES) as usize;
        let decided = &self.decided[place];
        ensure!(decided.backends.contains_key(served), "the wrong backend: {decided:?}");
        let backend = BACKENDS.iter().position(|name| *name == served).context("no backend")?;
        self.answers[place * BACKENDS.len() + backend].fetch_add(1, Ordering::Relaxed);
        let cookie = answer.headers().get("set-cookie");
        ensure!(cookie.is_some() == (decided.reason == "generated"), "a generated key too many or too few");
        if let Some(cookie) = cookie {
            let cookie = cookie.to_str()?.split(';').next().unwrap_or_default().to_owned();
            ensure!(cookie.starts_with(&format!("{COOKIE}=")), "another cookie");
            let mut request = self.requests[number].clone();
            request.headers.push(("cookie", cookie));
            self.generated.lock().unwrap().push(Generated { policy, request, backend: BACKENDS[backend] });
        }
        Ok(())
    }

    /// The number of answers of each backend, by request and policy.
    pub(super) fn answers(&self) -> impl Iterator<Item = (u64, &Decided, [u64; BACKENDS.len()])> {
        let counts =
            self.answers.chunks(BACKENDS.len()).map(|counts| [0, 1, 2].map(|n| counts[n].load(Ordering::SeqCst)));
        let places = (0..POLICIES).cycle().zip(&self.decided).zip(counts);
        places.map(|((policy, decided), counts)| (policy, decided, counts))
    }

    /// How many requests were sent.
    pub(super) fn sent(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// The generated keys. Forgets them.
    pub(super) fn take_generated(&self) -> Vec<Generated> {
        std::mem::take(&mut *self.generated.lock().unwrap())
    }
}
