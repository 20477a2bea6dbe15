//! Differences between two policies, in words.

use std::collections::{BTreeMap, BTreeSet};

use policy::shadow::Shadow;
use policy::{Affinity, Policy, Traffic};

use super::movement::{is_alike, shares};
use crate::table::percent;

/// The differences outside the endpoints, and in their order.
pub fn of_policies(old: &Policy, new: &Policy) -> Vec<String> {
    let (before, after) = (fields(old), fields(new));
    let changed = before.into_iter().zip(after).filter(|(before, after)| before != after);
    let mut notes: Vec<_> = changed.map(|((name, old), (_, new))| format!("{name}: {old} → {new}")).collect();
    let order = |policy: &Policy, other: &Policy| -> Vec<String> {
        let is_in = |name: &str| other.endpoints().any(|endpoint| &*endpoint.name == name);
        policy.endpoints().map(|endpoint| endpoint.name.to_string()).filter(|name| is_in(name)).collect()
    };
    let (old_order, new_order) = (order(old, new), order(new, old));
    if old_order != new_order {
        notes.push(format!("the endpoints are tried in another order: {}", new_order.join(", ")));
    }
    notes
}

/// The fields of a policy other than its endpoints, with their names in the document.
fn fields(policy: &Policy) -> [(&'static str, String); 6] {
    let Policy {
        routing_header,
        response_header,
        request_header,
        filter_state,
        counts_responses,
        default_cluster,
        // Follows from all others.
        hash: _,
        // Follow from the shadows.
        mirror_headers: _,
        ..
    } = policy;
    let word = |value: &Option<String>| value.as_deref().unwrap_or("none").to_owned();
    [
        ("routing_header", routing_header.to_string()),
        ("response_header", word(response_header)),
        ("request_header", word(request_header)),
        ("filter_state", word(filter_state)),
        ("metrics.responses", counts_responses.to_string()),
        ("default_cluster", word(default_cluster)),
    ]
}

/// The difference between the matches of an endpoint or a cohort.
pub fn of_matches(before: &str, after: &str) -> Vec<String> {
    if before == after { Vec::new() } else { vec![format!("takes other requests: {before} → {after}")] }
}

/// The differences in affinity, and whether a user with a key before has the same point now.
pub fn of_affinity(before: Option<&Affinity>, after: Option<&Affinity>) -> (Vec<String>, bool) {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (Some(_), None) => {
            return (vec!["no affinity any more: each request is drawn independently".to_owned()], false);
        }
        (None, Some(_)) => return (vec!["affinity from now on: each user keeps one backend".to_owned()], false),
        (None, None) => return (Vec::new(), false),
    };
    let mut notes = Vec::new();
    let keeps_salt = before.salt() == after.salt();
    if !keeps_salt {
        notes.push("another salt: every user is placed again".to_owned());
    }
    let (old, new): (Vec<_>, Vec<_>) = (before.sources().collect(), after.sources().collect());
    let in_words = || format!("{} → {}", old.join(", "), new.join(", "));
    let (is_longer, is_shorter) = (new.starts_with(&old), old.starts_with(&new));
    match (is_longer, is_shorter) {
        (true, true) if keeps_salt && before != after => {
            notes.push("the cookie of generated keys has other options".to_owned());
        }
        (true, true) => (),
        (true, false) => notes.push(format!("more keys, for users without the others: {}", in_words())),
        (false, true) => notes.push(format!("fewer keys: users with only the last ones lose theirs: {}", in_words())),
        (false, false) => notes.push(format!("other keys, which place users again: {}", in_words())),
    }
    (notes, keeps_salt && (is_longer || is_shorter))
}

/// The differences between the shadows of the same requests.
pub fn of_shadows<'a>(
    before: impl IntoIterator<Item = &'a Shadow>,
    after: impl IntoIterator<Item = &'a Shadow>,
) -> Vec<String> {
    let by_name = |shadow: &'a Shadow| (shadow.backend.name.as_str(), shadow);
    let before: BTreeMap<_, _> = before.into_iter().map(by_name).collect();
    let after: BTreeMap<_, _> = after.into_iter().map(by_name).collect();
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let note = |name: &&str| {
        let (old, new) = (before.get(name), after.get(name));
        let words = |shadow: Option<&&Shadow>| shadow.map_or("nothing".to_owned(), |shadow| in_words(shadow));
        let (old_words, new_words) = (words(old), words(new));
        if old_words != new_words {
            return Some(format!("copies to {name}: {old_words} → {new_words}"));
        }
        let (old, new) = (old?, new?);
        (old.via != new.via).then(|| format!("copies to {name}: other options, such as limits, headers or host"))
    };
    names.into_iter().filter_map(note).collect()
}

fn in_words(shadow: &Shadow) -> String {
    let by_key = if shadow.is_by_key() { " of the keys" } else { "" };
    let methods = shadow.methods().map(|methods| format!(", only {}", methods.join(" "))).unwrap_or_default();
    let from = shadow.only_from().map(|from| format!(", only of {}", from.join(" "))).unwrap_or_default();
    let is_own = shadow.backend.cluster == shadow.backend.name;
    let cluster = if is_own { String::new() } else { format!(", cluster {}", shadow.backend.cluster) };
    format!("{}{by_key}{methods}{from}{cluster}", percent(shadow.fraction()))
}

/// The differences between the traffic of the same requests, other than which users move.
pub fn of_traffic(before: &Traffic, after: &Traffic, has_users: bool) -> Vec<String> {
    let cluster = |backend: &str| {
        after.shares().find(|(other, _)| other.name == backend).map(|(backend, _)| backend.cluster.clone())
    };
    let changed = before.shares().filter_map(|(backend, _)| {
        let now = cluster(&backend.name).filter(|now| *now != backend.cluster)?;
        Some(format!("{} has another cluster: {} → {now}", backend.name, backend.cluster))
    });
    let mut notes: Vec<_> = changed.collect();
    if !has_users && !is_alike(&shares(before), &shares(after)) {
        let words = |traffic: &Traffic| {
            let shares = traffic.shares().map(|(backend, share)| format!("{} {}", backend.name, percent(share)));
            shares.collect::<Vec<_>>().join(", ")
        };
        notes.push(format!("traffic, drawn for each request: {} → {}", words(before), words(after)));
    }
    notes
}
