//! Differences between two policies, in words.
//!
//! The parts of a policy are taken apart field by field, so that a new field can't be forgotten.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use policy::shadow::{Entry, Filter, Shadow};
use policy::{Affinity, Backend, BackendName, Endpoint, Match, Plan, Policy, Traffic};

use super::movement::{is_alike, shares};
use crate::table::percent;

/// The differences outside the endpoints, and in their order.
pub fn of_policies(old: &Policy, new: &Policy) -> Vec<String> {
    let Policy {
        name,
        if_invalid,
        routing_header,
        response_header,
        request_header,
        filter_state,
        counts_responses,
        default_cluster,
        endpoints,
        // Follows from all other fields.
        hash: _,
        // Follow from the shadows.
        mirror_headers: _,
        // Follow from the endpoints.
        conditions: _,
    } = old;
    let mut notes = Vec::new();
    let mut compare = |name: &str, old: String, new: String| {
        if old != new {
            notes.push(format!("{name}: {old} → {new}"));
        }
    };
    compare("name", word(name), word(&new.name));
    compare("if_invalid", if_invalid.name().to_owned(), new.if_invalid.name().to_owned());
    compare("routing_header", routing_header.to_string(), new.routing_header.to_string());
    compare("response_header", word(response_header), word(&new.response_header));
    compare("request_header", word(request_header), word(&new.request_header));
    compare("filter_state", word(filter_state), word(&new.filter_state));
    compare("metrics.responses", counts_responses.to_string(), new.counts_responses.to_string());
    compare("default_cluster", word(default_cluster), word(&new.default_cluster));
    let (old_order, new_order) = (order(endpoints, &new.endpoints), order(&new.endpoints, endpoints));
    if old_order != new_order {
        notes.push(format!("the endpoints are tried in another order: {}", new_order.join(", ")));
    }
    notes
}

fn word(value: &Option<impl Display>) -> String {
    value.as_ref().map_or("none".to_owned(), ToString::to_string)
}

/// The names of the endpoints that are also among the others.
fn order<'a>(endpoints: &'a [Endpoint], others: &[Endpoint]) -> Vec<&'a str> {
    let names = endpoints.iter().map(|endpoint| &endpoint.name);
    names.filter(|name| others.iter().any(|other| other.name == **name)).map(|name| &**name).collect()
}

/// The difference between the matches of an endpoint or a cohort.
pub fn of_matches(before: &Match, after: &Match) -> Option<String> {
    (before != after).then(|| format!("takes other requests: {before} → {after}"))
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
    let Affinity { keys, salt, cookie } = before;
    let mut notes = Vec::new();
    let keeps_salt = *salt == after.salt;
    if !keeps_salt {
        notes.push("another salt: every user is placed again".to_owned());
    }
    let sources = |affinity: &Affinity| affinity.sources().collect::<Vec<_>>().join(", ");
    let in_words = || format!("{} → {}", sources(before), sources(after));
    let (is_longer, is_shorter) = (after.keys.starts_with(keys), keys.starts_with(&after.keys));
    match (is_longer, is_shorter) {
        (true, true) => (),
        (true, false) => notes.push(format!("more keys, for users without the others: {}", in_words())),
        (false, true) => notes.push(format!("fewer keys: users with only the last ones lose theirs: {}", in_words())),
        (false, false) => notes.push(format!("other keys, which place users again: {}", in_words())),
    }
    notes.extend(match (cookie, &after.cookie) {
        (None, Some(_)) => Some("a user without a key gets a cookie with one from now on".to_owned()),
        (Some(_), None) => Some("a user without a key gets no cookie with one any more".to_owned()),
        (before, after) => (before != after).then(|| "the cookie of generated keys is another one".to_owned()),
    });
    (notes, keeps_salt && (is_longer || is_shorter))
}

/// The differences between the plans for the same requests, other than which users move.
pub fn of_plans(before: &Plan, after: &Plan, has_users: bool) -> Vec<String> {
    // The first choice is only a number.
    let Plan { traffic, first_choice: _, shadows } = before;
    let mut notes = of_shadows(shadows, &after.shadows);
    notes.extend(of_traffic(traffic, &after.traffic, has_users));
    notes
}

fn of_shadows(before: &[Arc<Shadow>], after: &[Arc<Shadow>]) -> Vec<String> {
    let (before, after) = (by_name(before), by_name(after));
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let note = |name: &&str| {
        let (old, new) = (before.get(name), after.get(name));
        let words = |shadow: Option<&&Shadow>| shadow.map_or("nothing".to_owned(), |shadow| in_words(shadow));
        let (old_words, new_words) = (words(old), words(new));
        if old_words != new_words {
            return Some(format!("copies to {name}: {old_words} → {new_words}"));
        }
        let is_same = is_same(old?, new?);
        (!is_same).then(|| format!("copies to {name}: other options, such as limits, headers or host"))
    };
    names.into_iter().filter_map(note).collect()
}

fn by_name(shadows: &[Arc<Shadow>]) -> BTreeMap<&str, &Shadow> {
    shadows.iter().map(|shadow| (&*shadow.entry.backend.name, &**shadow)).collect()
}

/// Whether two shadows copy the same requests in the same way.
fn is_same(before: &Shadow, after: &Shadow) -> bool {
    // The ids are only numbers. Endpoint and cohort are those of the enclosing plan.
    let Shadow { id: _, endpoint: _, cohort: _, entry } = before;
    let Entry { id: _, backend, via, draw, filter } = &**entry;
    let after = &*after.entry;
    (backend, via, draw, filter) == (&after.backend, &after.via, &after.draw, &after.filter)
}

fn in_words(shadow: &Shadow) -> String {
    let Filter { by_key, methods, only_from } = &shadow.entry.filter;
    let Backend { name, cluster, variant } = &*shadow.entry.backend;
    let mut words = percent(shadow.fraction());
    if *by_key {
        words += " of the keys";
    }
    if let Some(methods) = methods {
        words += &format!(", only {}", joined(methods, " "));
    }
    if let Some(backends) = only_from {
        words += &format!(", only of {}", joined(backends, " "));
    }
    if **cluster != **name {
        words += &format!(", cluster {cluster}");
    }
    if **variant != **name {
        words += &format!(", variant {variant}");
    }
    words
}

fn joined(names: &[impl Display], separator: &str) -> String {
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(separator)
}

fn of_traffic(before: &Traffic, after: &Traffic, has_users: bool) -> Vec<String> {
    let now = |name: &BackendName| after.shares().map(|(backend, _)| backend).find(|backend| backend.name == *name);
    let mut notes = Vec::new();
    for (backend, _) in before.shares() {
        let Backend { name, cluster, variant } = &**backend;
        let Some(now) = now(name) else { continue };
        if now.cluster != *cluster {
            notes.push(format!("{name} has another cluster: {cluster} → {}", now.cluster));
        }
        if now.variant != *variant {
            notes.push(format!("{name} has another variant, by which users are placed: {variant} → {}", now.variant));
        }
    }
    if !has_users && !is_alike(&shares(before), &shares(after)) {
        let words = |traffic: &Traffic| {
            let shares = traffic.shares().map(|(backend, share)| format!("{} {}", backend.name, percent(share)));
            shares.collect::<Vec<_>>().join(", ")
        };
        notes.push(format!("traffic, drawn for each request: {} → {}", words(before), words(after)));
    }
    notes
}
