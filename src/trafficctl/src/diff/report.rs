//! Changes for people and for programs.

use policy::Policy;
use serde_json::{Value, json};

use super::change::{Change, changes};
use super::movement::{Moved, ROUNDING};
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

/// Prints a change, with the keys that move if the user gave keys.
pub fn show(change: &Change, has_keys: bool) {
    say!("\n{}", change.name);
    for note in &change.notes {
        say!("  {}", note);
    }
    let Some(users) = &change.users else { return };
    say!("{}", matrix(users));
    say!("  {}", in_words(&users.moved));
    if has_keys {
        for key in users.keys.iter().take(SHOWN) {
            say!("  {}: {} → {}", key.key, key.from, key.to);
        }
        if users.keys.len() > SHOWN {
            say!("  … {} more (all with --json)", users.keys.len() - SHOWN);
        }
    }
    warn_of_needless(change);
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
    for key in users.keys.iter().filter(|key| users.is_needless(key)) {
        warn(&format!("{name}: the user {:?} moves from {} to {} needlessly", key.key, key.from, key.to));
    }
}

/// The whole difference as JSON.
pub fn as_json(notes: &[String], changes: &[Change]) -> Value {
    json!({ "notes": notes, "changes": changes.iter().map(change_as_json).collect::<Vec<_>>() })
}

fn change_as_json(change: &Change) -> Value {
    let users = change.users.as_ref().map(|users| {
        let pairs = users.movement.0.iter().map(|((from, to), part)| json!({ "from": from, "to": to, "part": part }));
        let keys = users
            .keys
            .iter()
            .map(|key| json!({ "key": key.key, "from": key.from, "to": key.to, "needless": users.is_needless(key) }));
        json!({
            "before": users.before,
            "after": users.after,
            "matrix": pairs.collect::<Vec<_>>(),
            "moved": users.moved.moved,
            "least": users.moved.least,
            "needless": users.moved.needless,
            "keys": keys.collect::<Vec<_>>(),
        })
    });
    json!({ "name": change.name, "notes": change.notes, "users": users })
}
