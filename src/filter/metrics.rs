//! Counters, labelled by the tags that Envoy's `stats_tags` cut out of their names.

use std::cell::RefCell;
use std::collections::HashMap;

use super::host;
use crate::shadow::{Outcome, Shadow};

thread_local! {
    /// The ids of all counters of this VM. It outlives the root contexts: the host keeps a definition for ever, so
    /// that a policy that changes once a second must not define the same counters again.
    static COUNTERS: RefCell<HashMap<String, u32>> = RefCell::new(HashMap::new());
}

/// Counts what became of one copy.
///
/// The name holds only names of the policy, and so there are no more counters than it can name.
pub(super) fn count_outcome(shadow: &Shadow, outcome: Outcome) {
    increment(format!(
        "endpoint=.={};.;backend=.={};.;result=.={};.;traffic_policy_shadow_total",
        shadow.endpoint,
        shadow.backend.name,
        outcome.name()
    ));
}

fn increment(name: String) {
    let counter = COUNTERS.with_borrow_mut(|counters| {
        if let Some(counter) = counters.get(&name) {
            return Some(*counter);
        }
        let counter = host::define_counter(&name)?;
        counters.insert(name, counter);
        Some(counter)
    });
    if let Some(counter) = counter {
        host::increment(counter);
    }
}
