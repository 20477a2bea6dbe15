//! The changes of endpoints and cohorts.

use policy::{Cohort, CohortName, Endpoint, EndpointName, Plan, Policy};

use super::movement::{Shares, shares};
use super::notes;
use super::users::{Placed, Users};

/// What changes for the requests of an endpoint or a cohort.
pub struct Change {
    /// `endpoint` or `endpoint/cohort`.
    pub name: String,
    /// What changes, in words, other than the users.
    pub notes: Vec<String>,
    /// The shares before; `None` for a new endpoint.
    pub before: Option<Shares>,
    /// The shares after; `None` for a deleted endpoint.
    pub after: Option<Shares>,
    /// Which users move; `None` if requests have no users, or have no backend before or after.
    pub users: Option<Users>,
}

/// All changes, in the order of the new policy; endpoints that are deleted come last.
pub fn changes(old: &Policy, new: &Policy, keys: Option<&[Vec<u8>]>) -> Vec<Change> {
    let mut changes = Vec::new();
    for after in &new.endpoints {
        match endpoint(&old.endpoints, &after.name) {
            Some(before) => of_endpoint(before, after, keys, &mut changes),
            None => {
                let notes = vec![format!("a new endpoint: {}", after.matching)];
                let (name, shares) = (after.name.to_string(), Some(shares(after.traffic())));
                changes.push(Change { name, notes, before: None, after: shares, users: None });
            }
        }
    }
    for before in old.endpoints.iter().filter(|before| endpoint(&new.endpoints, &before.name).is_none()) {
        let (name, notes) = (before.name.to_string(), vec!["the endpoint is deleted".to_owned()]);
        changes.push(Change { name, notes, before: Some(shares(before.traffic())), after: None, users: None });
    }
    changes
}

fn endpoint<'a>(endpoints: &'a [Endpoint], name: &EndpointName) -> Option<&'a Endpoint> {
    endpoints.iter().find(|endpoint| endpoint.name == *name)
}

fn cohort<'a>(cohorts: &'a [Cohort], name: &CohortName) -> Option<&'a Cohort> {
    cohorts.iter().find(|cohort| cohort.name == *name)
}

/// The changes of an endpoint that both policies have.
fn of_endpoint(before: &Endpoint, after: &Endpoint, keys: Option<&[Vec<u8>]>, changes: &mut Vec<Change>) {
    let Endpoint { name, matching, affinity, plan, cohorts } = before;
    let (of_affinity, keeps_points) = notes::of_affinity(affinity.as_ref(), after.affinity.as_ref());
    let placed = Placed { before: affinity.as_ref(), after: after.affinity.as_ref(), keys, keeps_points };
    let mut push = |name: String, mut notes: Vec<String>, before: &Plan, after: &Plan| {
        notes.extend(notes::of_plans(before, after, placed.has_users()));
        let users = placed.users(&before.traffic, &after.traffic);
        if !notes.is_empty() || users.as_ref().is_some_and(Users::have_other_shares) {
            let (before, after) = (Some(shares(&before.traffic)), Some(shares(&after.traffic)));
            changes.push(Change { name, notes, before, after, users });
        }
    };
    let mut notes = Vec::from_iter(notes::of_matches(matching, &after.matching));
    notes.extend(of_affinity.iter().cloned());
    push(name.to_string(), notes, plan, &after.plan);

    let mut of_all_cohorts = of_affinity;
    if is_reordered(cohorts, &after.cohorts) {
        of_all_cohorts.push("the cohorts are tried in another order".to_owned());
    }
    for new in &after.cohorts {
        let mut notes = of_all_cohorts.clone();
        let before = match cohort(cohorts, &new.name) {
            Some(Cohort { name: _, matching, plan }) => {
                notes.extend(notes::of_matches(matching, &new.matching));
                plan
            }
            None => {
                notes.push(format!("a new cohort, served by the endpoint's own traffic so far: {}", new.matching));
                plan
            }
        };
        push(format!("{name}/{}", new.name), notes, before, &new.plan);
    }
    for old in cohorts.iter().filter(|old| cohort(&after.cohorts, &old.name).is_none()) {
        let notes = vec!["the cohort is deleted: the endpoint's own traffic serves its users".to_owned()];
        push(format!("{name}/{}", old.name), notes, &old.plan, &after.plan);
    }
}

/// Whether the cohorts that both endpoints have are in another order.
fn is_reordered(before: &[Cohort], after: &[Cohort]) -> bool {
    let kept = before.iter().map(|old| &old.name).filter(|name| cohort(after, name).is_some());
    let kept_now = after.iter().map(|new| &new.name).filter(|name| cohort(before, name).is_some());
    !kept.eq(kept_now)
}
