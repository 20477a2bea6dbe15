//! Limits the copies of each shadow: those that wait for their answers, and those per second.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use policy::Policy;
use policy::shadow::{RateLimit, Shadow};

/// The gates of a policy, one for each entry: all shadows of an entry share its limits.
#[derive(Debug)]
pub struct Gates(Vec<Gate>);

/// The copies of one entry, on one worker.
#[derive(Debug, Default)]
pub struct Gate {
    in_flight: Cell<usize>,
    rate: Option<RefCell<RateLimit>>,
}

impl Gates {
    /// The gates of `policy`, through which no copy has gone.
    pub fn new(policy: &Policy) -> Self {
        let mut gates = Vec::new();
        for shadow in policy.shadows() {
            let entry = shadow.entry.id.index();
            if gates.len() <= entry {
                gates.resize_with(entry + 1, Gate::default);
            }
            if let (Some(gate), Some(callout)) = (gates.get_mut(entry), shadow.callout()) {
                gate.rate = callout.max_per_second.map(|rate| RefCell::new(RateLimit::new(rate)));
            }
        }
        Self(gates)
    }

    /// The gate of a shadow of this policy.
    pub fn of(&self, shadow: &Shadow) -> Option<&Gate> {
        self.0.get(shadow.entry.id.index())
    }
}

impl Gate {
    /// How many copies wait for their answers.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Whether the rate limit allows a copy now, which then counts. Calls `now` only if there is a
    /// limit.
    pub fn allows(&self, now: impl FnOnce() -> Duration) -> bool {
        self.rate.as_ref().is_none_or(|rate| rate.borrow_mut().take(now()))
    }

    /// A copy was sent.
    pub fn enter(&self) {
        self.in_flight.update(|count| count.saturating_add(1));
    }

    /// A copy was answered.
    pub fn leave(&self) {
        self.in_flight.update(|count| count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> Policy {
        let json = r#"{"endpoints": [{ "name": "e", "traffic": {"a": 1},
            "shadow": {"slow": { "fraction": 1, "max_per_second": 1 }, "free": 1},
            "cohorts": [{ "name": "c", "match": {"headers": [{"name": "x-c", "present": true}]}, "traffic": {"a": 1} }]
        }]}"#;
        Policy::from_json(json.as_bytes()).unwrap().policy
    }

    /// The gates of all shadows of this backend.
    fn gates<'a>(gates: &'a Gates, policy: &Policy, backend: &str) -> Vec<&'a Gate> {
        policy
            .shadows()
            .filter(|shadow| shadow.entry.backend.name == backend)
            .map(|shadow| gates.of(shadow).unwrap())
            .collect()
    }

    #[test]
    fn a_cohort_shares_the_limits_of_the_shadow_that_it_inherits() {
        let policy = policy();
        let all = Gates::new(&policy);
        let [of_endpoint, of_cohort] = gates(&all, &policy, "slow")[..] else { panic!("two shadows") };
        let now = || Duration::from_secs(1_000);
        of_endpoint.enter();
        of_endpoint.enter();
        of_cohort.leave();
        assert_eq!((of_endpoint.in_flight(), of_cohort.in_flight()), (1, 1));
        assert!(of_endpoint.allows(now) && !of_cohort.allows(now));
        assert!(of_cohort.allows(|| Duration::from_secs(1_001)));
        let free = gates(&all, &policy, "free")[0];
        assert_eq!(free.in_flight(), 0);
    }

    #[test]
    fn without_a_rate_limit_the_clock_is_not_read() {
        let policy = policy();
        let all = Gates::new(&policy);
        assert!(gates(&all, &policy, "free")[0].allows(|| panic!("there is no limit")));
    }
}
