//! Changes for people and for programs.

use policy::Policy;
use serde_json::{Value, json};

use super::change::{Change, changes};
use super::movement::{Moved, Movement, ROUNDING, Shares, is_alike};
use super::users::Users;
use crate::table::{Table, percent};
use crate::terminal::{say, warn};

/// How many keys that move are shown.
const SHOWN: usize = 20;

/// Prints a line for each endpoint and cohort whose users move.
pub fn summary(old: &Policy, new: &Policy) {
    for change in changes(old, new, None) {
        if let Some(users) = &change.users
            && users.have_other_shares()
        {
            say!("  {}: {}", change.name, in_words(&users.moved));
        }
        warn_of_needless(&change);
    }
}

/// Prints a change.
pub fn show(change: &Change) {
    say!("\n{}", change.name);
    for note in &change.notes {
        say!("  {}", note);
    }
    if let Some(words) = shares_in_words(change) {
        say!("  {}", words);
    }
    let Some(users) = &change.users else { return };
    say!("{}", matrix(users));
    say!("  {}", in_words(&users.moved));
    if let Some(given) = &users.given {
        let (moving, needless) = (given.keys.len(), users.needless_keys().count());
        let part = percent(given.moved.moved);
        say!("  moves {} of the {} given keys ({}), {} of them needlessly", moving, given.count, part, needless);
        for key in given.keys.iter().take(SHOWN) {
            say!("  {}: {} → {}", key.key, key.from, key.to);
        }
        if moving > SHOWN {
            say!("  … {} more (all with --json)", moving - SHOWN);
        }
    }
    warn_of_needless(change);
}

/// The shares before and after; `None` where a note has them.
fn shares_in_words(change: &Change) -> Option<String> {
    let list = |shares: &Shares| {
        let shares = shares.iter().map(|(backend, share)| format!("{backend} {}", percent(*share)));
        shares.collect::<Vec<_>>().join(", ")
    };
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if is_alike(before, after) => Some(format!("shares, as before: {}", list(after))),
        (Some(before), Some(after)) if change.users.is_some() => {
            let backends = before.keys().chain(after.keys().filter(|backend| !before.contains_key(*backend)));
            let shift = |backend: &String| {
                let share = |shares: &Shares| percent(shares.get(backend).copied().unwrap_or_default());
                let (old, new) = (share(before), share(after));
                if old == new { format!("{backend} {new}") } else { format!("{backend} {old} → {new}") }
            };
            Some(format!("shares: {}", backends.map(shift).collect::<Vec<_>>().join(", ")))
        }
        (None, Some(after)) => Some(format!("shares: {}", list(after))),
        (Some(before), None) => Some(format!("shares until now: {}", list(before))),
        _ => None,
    }
}

/// The part of the users for each pair of backends.
fn matrix(users: &Users) -> Table {
    let mut head = vec!["of the users".to_owned()];
    head.extend(users.after.keys().map(|to| format!("to {to}")));
    let mut table = Table::new(head);
    for from in users.before.keys() {
        let part = |to: &String| match users.movement.part(from, to) {
            0.0 => "·".to_owned(),
            part => percent(part),
        };
        table.row(std::iter::once(format!("from {from}")).chain(users.after.keys().map(part)));
    }
    table.right(1..=users.after.len());
    table
}

fn in_words(moved: &Moved) -> String {
    let Moved { moved, least, needless } = moved;
    format!(
        "moves {} of the users (at least {} must), {} needlessly",
        percent(*moved),
        percent(*least),
        percent(*needless)
    )
}

fn warn_of_needless(change: &Change) {
    let Some(users) = &change.users else { return };
    let name = &change.name;
    if users.moved.needless > ROUNDING {
        let why = if change.notes.is_empty() { String::new() } else { format!(" ({})", change.notes.join("; ")) };
        warn(&format!("{name}: {} of the users move needlessly{why}", percent(users.moved.needless)));
    }
    for key in users.needless_keys() {
        warn(&format!("{name}: the user {:?} moves from {} to {} needlessly", key.key, key.from, key.to));
    }
}

/// The whole difference as JSON.
pub fn as_json(notes: &[String], changes: &[Change]) -> Value {
    json!({ "notes": notes, "changes": changes.iter().map(change_as_json).collect::<Vec<_>>() })
}

fn change_as_json(change: &Change) -> Value {
    let users = change.users.as_ref().map(|users| {
        let given = users.given.as_ref();
        let keys = given.into_iter().flat_map(|given| &given.keys);
        let keys = keys
            .map(|key| json!({ "key": key.key, "from": key.from, "to": key.to, "needless": users.is_needless(key) }));
        json!({
            "before": users.before,
            "after": users.after,
            "matrix": matrix_as_json(&users.movement),
            "moved": users.moved.moved,
            "least": users.moved.least,
            "needless": users.moved.needless,
            "given_keys": given.map(|given| json!({
                "count": given.count,
                "matrix": matrix_as_json(&given.movement),
                "moved": given.moved.moved,
                "needless": given.moved.needless,
            })),
            "keys": keys.collect::<Vec<_>>(),
        })
    });
    let Change { name, notes, before, after, users: _ } = change;
    json!({ "name": name, "notes": notes, "before": before, "after": after, "users": users })
}

fn matrix_as_json(movement: &Movement) -> Vec<Value> {
    movement.0.iter().map(|((from, to), part)| json!({ "from": from, "to": to, "part": part })).collect()
}
