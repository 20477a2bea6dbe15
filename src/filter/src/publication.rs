//! Decides when a root context publishes its policy as the one in force.
//!
//! What is published must be what serves. A policy that was loaded may not serve: a load may fail
//! on all workers but succeed on the main thread. And a policy may serve that was not loaded: the
//! host may return to a root context whose policy was replaced, without a word.

/// The bit of a [`standing`] that says that a policy was refused. A hash has 53 bits.
const REFUSED: u64 = 1 << 63;

/// What a root context serves, as a number: the policy with this hash, or 0 if requests pass; and
/// whether the policy that the context was configured with was refused.
pub fn standing(hash: u64, is_refused: bool) -> u64 {
    if is_refused { hash | REFUSED } else { hash }
}

/// What a root context knows about its own publication.
#[derive(Debug)]
pub struct Publication {
    /// Whether it is the newest context of its plugin, and has not published yet.
    is_waiting: bool,
    requests: u64,
    /// The number of requests at the last tick.
    ticked: u64,
    /// The published policy, and its requests, as the last tick saw them, if this context served.
    rival: Option<(u64, u64)>,
}

/// What a root context sees when its timer ticks.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Its own [`standing`].
    pub own: u64,
    /// How many contexts of the process have it.
    pub contexts: u64,
    /// The standing that the process has published.
    pub published: u64,
    /// How many requests contexts of that standing have had on this worker.
    pub requests_of_published: u64,
    /// The standing that this VM has published.
    pub published_here: u64,
}

impl Default for Publication {
    fn default() -> Self {
        Self { is_waiting: true, requests: 0, ticked: 0, rival: None }
    }
}

impl Publication {
    /// Takes note of a request. Returns whether to publish at once: a context with requests is that
    /// of a worker.
    pub fn request(&mut self) -> bool {
        self.requests = self.requests.saturating_add(1);
        std::mem::take(&mut self.is_waiting)
    }

    /// How many requests there were.
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// Whether the next tick matters.
    pub fn needs_tick(&self) -> bool {
        self.is_waiting || self.requests > self.ticked || self.rival.is_some()
    }

    /// A newer context of the same plugin was configured.
    pub fn supersede(&mut self) {
        self.is_waiting = false;
    }

    /// Whether to publish at this tick.
    pub fn tick(&mut self, seen: Seen) -> bool {
        let has_served = self.requests > self.ticked;
        self.ticked = self.requests;
        if self.is_waiting {
            // One of two contexts is that of a worker.
            let is_due = seen.contexts > 1 || seen.published == seen.own;
            self.is_waiting = !is_due;
            return is_due;
        }
        let rival = self.rival.take();
        if !has_served {
            return false;
        }
        if seen.published == seen.own {
            return seen.published_here != seen.own;
        }
        let is_idle = rival == Some((seen.published, seen.requests_of_published));
        if !is_idle {
            self.rival = Some((seen.published, seen.requests_of_published));
        }
        is_idle
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: Seen = Seen { own: 1, contexts: 1, published: 1, requests_of_published: 0, published_here: 1 };
    const OTHER: Seen = Seen { published: 2, published_here: 2, ..OWN };

    fn superseded() -> Publication {
        let mut publication = Publication::default();
        publication.supersede();
        publication
    }

    #[test]
    fn a_policy_that_serves_for_a_refused_one_is_told_from_the_same_policy() {
        let hash = (1 << 53) - 1;
        assert_eq!(standing(hash, false), hash);
        let standings = [(0, true), (hash, true), (0, false), (hash, false)].map(|(hash, is)| standing(hash, is));
        assert!(standings.iter().enumerate().all(|(n, standing)| !standings[..n].contains(standing)));
    }

    #[test]
    fn the_first_request_publishes() {
        let mut publication = Publication::default();
        assert!(publication.needs_tick() && publication.request() && !publication.request());
        assert_eq!(publication.requests(), 2);
    }

    #[test]
    fn a_policy_that_only_one_context_runs_waits_for_another_one() {
        let mut publication = Publication::default();
        assert!(!publication.tick(OTHER) && publication.needs_tick());
        assert!(publication.tick(Seen { contexts: 2, ..OTHER }) && !publication.needs_tick());
        assert!(!publication.tick(Seen { contexts: 2, ..OTHER }));
        // Another thread has published.
        assert!(Publication::default().tick(OWN));
    }

    #[test]
    fn a_policy_that_was_replaced_is_published_if_it_serves_and_the_published_one_does_not() {
        let mut publication = superseded();
        publication.request();
        assert!(!publication.tick(OTHER) && publication.needs_tick());
        publication.request();
        assert!(publication.tick(OTHER) && !publication.needs_tick());
        assert!(!publication.tick(OWN));
    }

    #[test]
    fn a_policy_that_was_replaced_is_not_published_while_the_published_one_serves() {
        let mut publication = superseded();
        for requests_of_published in 0..10 {
            publication.request();
            assert!(!publication.tick(Seen { requests_of_published, ..OTHER }));
        }
    }

    #[test]
    fn a_policy_that_does_not_serve_is_not_published() {
        let mut publication = superseded();
        publication.request();
        assert!(!publication.tick(OTHER));
        for _ in 0..10 {
            assert!(!publication.tick(OTHER) && !publication.needs_tick());
        }
        // What was seen long ago does not count.
        publication.request();
        assert!(!publication.tick(OTHER));
    }

    #[test]
    fn a_worker_publishes_what_only_others_have_published() {
        let mut publication = superseded();
        publication.request();
        assert!(publication.tick(Seen { published_here: 2, ..OWN }));
    }
}
