//! The changes of endpoints and cohorts.

use policy::{Cohort, Endpoint, Policy};

use super::notes;
use super::users::{Placed, Users};

/// What changes for the requests of an endpoint or a cohort.
pub struct Change {
    /// `endpoint` or `endpoint/cohort`.
    pub name: String,
    /// What changes, in words, other than the users.
    pub notes: Vec<String>,
    /// Which users move; `None` if requests have no users, or have no backend before or after.
    pub users: Option<Users>,
}

/// All changes, in the order of the new policy; endpoints that are deleted come last.
pub fn changes(old: &Policy, new: &Policy, keys: Option<&[Vec<u8>]>) -> Vec<Change> {
    let mut changes = Vec::new();
    for after in new.endpoints() {
        match endpoint(old, &after.name) {
            Some(before) => of_endpoint(before, after, keys, &mut changes),
            None => changes.push(note(&after.name, format!("a new endpoint: {}", after.matching()))),
        }
    }
    for before in old.endpoints().filter(|before| endpoint(new, &before.name).is_none()) {
        changes.push(note(&before.name, "the endpoint is deleted".to_owned()));
    }
    changes
}

fn endpoint<'a>(policy: &'a Policy, name: &str) -> Option<&'a Endpoint> {
    policy.endpoints().find(|endpoint| &*endpoint.name == name)
}

fn cohort<'a>(endpoint: &'a Endpoint, name: &str) -> Option<&'a Cohort> {
    endpoint.cohorts().find(|cohort| &*cohort.name == name)
}

fn note(name: &str, words: String) -> Change {
    Change { name: name.to_owned(), notes: vec![words], users: None }
}

/// The changes of an endpoint that both policies have.
fn of_endpoint(before: &Endpoint, after: &Endpoint, keys: Option<&[Vec<u8>]>, changes: &mut Vec<Change>) {
    let (mut common, keeps_points) = notes::of_affinity(before.affinity(), after.affinity());
    let placed = Placed { before: before.affinity(), after: after.affinity(), keys, keeps_points };
    let mut notes = notes::of_matches(&before.matching(), &after.matching());
    notes.extend(common.iter().cloned());
    notes.extend(notes::of_shadows(before.shadows(), after.shadows()));
    notes.extend(notes::of_traffic(before.traffic(), after.traffic(), placed.has_users()));
    push(changes, before.name.to_string(), notes, placed.users(before.traffic(), after.traffic()));
    if is_reordered(before, after) {
        common.push("the cohorts are tried in another order".to_owned());
    }
    for new in after.cohorts() {
        let mut notes = common.clone();
        let old = cohort(before, &new.name);
        notes.extend(match old {
            Some(old) => notes::of_matches(&old.matching(), &new.matching()),
            None => {
                vec![format!("a new cohort, served by the endpoint's own traffic so far: {}", new.matching())]
            }
        });
        let (traffic, shadows): (_, Vec<_>) = match old {
            Some(old) => (old.traffic(), old.shadows().collect()),
            None => (before.traffic(), before.shadows().collect()),
        };
        notes.extend(notes::of_shadows(shadows, new.shadows()));
        notes.extend(notes::of_traffic(traffic, new.traffic(), placed.has_users()));
        push(changes, format!("{}/{}", after.name, new.name), notes, placed.users(traffic, new.traffic()));
    }
    for old in before.cohorts().filter(|old| cohort(after, &old.name).is_none()) {
        let mut notes = vec!["the cohort is deleted: the endpoint's own traffic serves its users".to_owned()];
        notes.extend(notes::of_shadows(old.shadows(), after.shadows()));
        notes.extend(notes::of_traffic(old.traffic(), after.traffic(), placed.has_users()));
        push(changes, format!("{}/{}", after.name, old.name), notes, placed.users(old.traffic(), after.traffic()));
    }
}

/// Whether the cohorts that both endpoints have are in another order.
fn is_reordered(before: &Endpoint, after: &Endpoint) -> bool {
    let kept = before.cohorts().map(|old| &*old.name).filter(|name| cohort(after, name).is_some());
    let kept_now = after.cohorts().map(|new| &*new.name).filter(|name| cohort(before, name).is_some());
    !kept.eq(kept_now)
}

fn push(changes: &mut Vec<Change>, name: String, notes: Vec<String>, users: Option<Users>) {
    if !notes.is_empty() || users.as_ref().is_some_and(Users::have_other_shares) {
        changes.push(Change { name, notes, users });
    }
}
