//! Limits the copies of each shadow: those that wait for their answers, and those per second.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use fnv::FnvHashMap;
use policy::metrics::Labels;
use policy::shadow::RateLimit;

/// The gates of a worker, by the labels of the entries whose copies pass them.
///
/// They belong to the worker and not to a policy, since a policy lives on while its requests and
/// copies do: a change of policy must not let more copies pass.
#[derive(Debug, Default)]
pub struct Gates(RefCell<FnvHashMap<Labels, Rc<Gate>>>);

/// The copies of one entry, on one worker, whatever policies they come from.
#[derive(Debug, Default)]
pub struct Gate {
    in_flight: Cell<usize>,
    rate: RefCell<RateLimit>,
}

impl Gates {
    /// The gate of the entry with these labels: its endpoint, its cohort if the cohort has it, and
    /// its backend.
    pub fn of(&self, entry: Labels) -> Rc<Gate> {
        Rc::clone(self.0.borrow_mut().entry(entry).or_default())
    }

    /// Forgets the gates that no policy refers to and that would not hold up a copy at `now`.
    pub fn forget_unused(&self, now: Duration) {
        let is_used = |gate: &Rc<Gate>| Rc::strong_count(gate) > 1 || !gate.rate.borrow().is_full(now);
        self.0.borrow_mut().retain(|_, gate| is_used(gate));
    }
}

impl Gate {
    /// How many copies wait for their answers.
    pub fn in_flight(&self) -> usize {
        self.in_flight.get()
    }

    /// Whether a copy may pass now, which then counts. Without a limit (`per_second`), `now` is not
    /// called.
    pub fn allows(&self, per_second: Option<f64>, now: impl FnOnce() -> Duration) -> bool {
        per_second.is_none_or(|per_second| self.rate.borrow_mut().take(now(), per_second))
    }

    /// A copy was sent.
    pub fn enter(&self) {
        self.in_flight.update(|count| count.saturating_add(1));
    }

    /// A copy was answered, or cut off.
    pub fn leave(&self) {
        self.in_flight.update(|count| count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_000);

    fn labels(backend: &str) -> Labels {
        Labels::of_backend("e", None, backend)
    }

    #[test]
    fn two_policies_share_the_limits_of_an_entry() {
        let gates = Gates::default();
        let (old, new) = (gates.of(labels("slow")), gates.of(labels("slow")));
        old.enter();
        old.enter();
        new.leave();
        assert_eq!((old.in_flight(), new.in_flight()), (1, 1));
        assert!(old.allows(Some(1.0), || NOW) && !new.allows(Some(1.0), || NOW));
        assert!(new.allows(Some(1.0), || NOW + Duration::from_secs(1)));
        assert_eq!(gates.of(labels("free")).in_flight(), 0);
    }

    #[test]
    fn without_a_rate_limit_the_clock_is_not_read() {
        assert!(Gate::default().allows(None, || panic!("there is no limit")));
    }

    #[test]
    fn a_gate_is_forgotten_only_when_that_lets_no_more_copies_pass() {
        let gates = Gates::default();
        let used = gates.of(labels("used"));
        assert!(gates.of(labels("limited")).allows(Some(0.1), || NOW));
        drop(gates.of(labels("unused")));
        gates.forget_unused(NOW);
        assert_eq!(gates.0.borrow().len(), 2);
        assert!(!gates.of(labels("limited")).allows(Some(0.1), || NOW));
        gates.forget_unused(NOW + Duration::from_secs(10));
        assert_eq!(gates.0.borrow().len(), 1);
        drop(used);
        gates.forget_unused(NOW);
        assert!(gates.0.borrow().is_empty());
    }
}
