//! `diff`: what a change of policy changes, and whom it moves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use policy::shadow::Shadow;
use policy::{Affinity, Cohort, Endpoint, Policy, Traffic};
use serde_json::{Value, json};

use crate::Outcome;
use crate::bars::{percent, right, table};
use crate::check::WARNING;
use crate::file::PolicyFile;
use crate::movement::{Moved, Movement, ROUNDING, is_alike, is_needless, shares};
use crate::simulate::read_keys;

/// The options of `diff`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The policy in force, or the file that holds it.
    old: PathBuf,
    /// The policy to come, or the file that holds it.
    new: PathBuf,
    /// Shard keys, one in each line: tell which of them move, rather than which part of all users.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Print JSON, with each key that moves.
    #[arg(long)]
    json: bool,
}

/// What becomes of the users of an endpoint or of a cohort.
struct Change {
    /// `endpoint` or `endpoint/cohort`.
    name: String,
    /// What else is different, in words.
    notes: Vec<String>,
    /// `None` for requests that nothing served before, or nothing serves now.
    users: Option<Users>,
}

struct Users {
    before: BTreeMap<String, f64>,
    after: BTreeMap<String, f64>,
    movement: Movement,
    moved: Moved,
    /// Each key that moves: from where, and to where.
    keys: Vec<(String, String, String)>,
}

/// Compares two policies.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let (old_file, new_file) = (PolicyFile::read(&arguments.old)?, PolicyFile::read(&arguments.new)?);
    let (Some(old), Some(new)) = (old_file.policy()?, new_file.policy()?) else { return Ok(Outcome::Bad) };
    let keys = arguments.keys.as_deref().map(read_keys).transpose()?;
    let changes = changes(&old, &new, keys.as_deref());
    let notes = notes_of_policy(&old, &new);
    if arguments.json {
        let report = json!({ "notes": notes, "changes": changes.iter().map(as_json).collect::<Vec<_>>() });
        say!("{}", serde_json::to_string_pretty(&report)?);
        return Ok(Outcome::Good);
    }
    for note in &notes {
        say!("{note}");
    }
    if changes.is_empty() && notes.is_empty() {
        say!("the policies decide alike");
    }
    for change in &changes {
        show(change, keys.is_some());
    }
    Ok(Outcome::Good)
}

/// Says in a line for each endpoint and cohort whom a change moves.
pub fn summary_of_change(old: &Policy, new: &Policy) {
    for change in changes(old, new, None) {
        if let Some(users) = &change.users
            && !is_alike(&users.before, &users.after)
        {
            say!("  {}: {}", change.name, in_words(&users.moved));
        }
        warn(&change);
    }
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

fn warn(change: &Change) {
    let Some(users) = &change.users else { return };
    if users.moved.needless > ROUNDING {
        let why = if change.notes.is_empty() { String::new() } else { format!(" ({})", change.notes.join("; ")) };
        anstream::eprintln!(
            "{WARNING}warning{WARNING:#}: {}: {} of the users move who need not{why}",
            change.name,
            percent(users.moved.needless)
        );
    }
    for (key, from, to) in &users.keys {
        if is_needless(&users.before, &users.after, from, to) {
            anstream::eprintln!(
                "{WARNING}warning{WARNING:#}: {}: the user {key:?} moves from {from} to {to}, and need not",
                change.name
            );
        }
    }
}

fn show(change: &Change, has_keys: bool) {
    say!("\n{}", change.name);
    for note in &change.notes {
        say!("  {note}");
    }
    let Some(users) = &change.users else { return };
    let mut head = vec!["of the users".to_owned()];
    head.extend(users.after.keys().map(|to| format!("to {to}")));
    let mut table = table(&head.iter().map(String::as_str).collect::<Vec<_>>());
    for from in users.before.keys() {
        let part = |to: &String| match users.movement.part(from, to) {
            0.0 => "·".to_owned(),
            part => percent(part),
        };
        table.add_row(std::iter::once(format!("from {from}")).chain(users.after.keys().map(part)));
    }
    right(&mut table, &(1..=users.after.len()).collect::<Vec<_>>());
    say!("{table}");
    say!("  {}", in_words(&users.moved));
    if has_keys {
        const SHOWN: usize = 20;
        for (key, from, to) in users.keys.iter().take(SHOWN) {
            say!("  {key}: {from} → {to}");
        }
        if users.keys.len() > SHOWN {
            say!("  … {} more (all with --json)", users.keys.len() - SHOWN);
        }
    }
    warn(change);
}

/// What is different of what does not belong to one endpoint.
fn notes_of_policy(old: &Policy, new: &Policy) -> Vec<String> {
    let mut notes = Vec::new();
    let mut compare = |what: &str, old: Option<&String>, new: Option<&String>| {
        let word = |value: Option<&String>| value.map_or("none", String::as_str).to_owned();
        if old != new {
            notes.push(format!("{what}: {} → {}", word(old), word(new)));
        }
    };
    compare("routing_header", Some(&old.routing_header), Some(&new.routing_header));
    compare("response_header", old.response_header.as_ref(), new.response_header.as_ref());
    compare("default_cluster", old.default_cluster.as_ref(), new.default_cluster.as_ref());
    let order = |policy: &Policy, other: &Policy| -> Vec<String> {
        let is_in = |name: &str| other.endpoints().any(|endpoint| &*endpoint.name == name);
        policy.endpoints().map(|endpoint| endpoint.name.to_string()).filter(|name| is_in(name)).collect()
    };
    if order(old, new) != order(new, old) {
        notes.push(format!("the endpoints are tried in another order: {}", order(new, old).join(", ")));
    }
    notes
}

fn changes(old: &Policy, new: &Policy, keys: Option<&[Vec<u8>]>) -> Vec<Change> {
    let find = |policy: &'_ Policy, name: &str| policy.endpoints().position(|endpoint| &*endpoint.name == name);
    let mut changes = Vec::new();
    for after in new.endpoints() {
        match find(old, &after.name).and_then(|n| old.endpoints().nth(n)) {
            Some(before) => of_endpoint(before, after, keys, &mut changes),
            None => changes.push(note(&after.name, format!("a new endpoint: {}", after.matching()))),
        }
    }
    for before in old.endpoints().filter(|before| find(new, &before.name).is_none()) {
        changes.push(note(&before.name, "the endpoint is gone".to_owned()));
    }
    changes
}

fn note(name: &str, words: String) -> Change {
    Change { name: name.to_owned(), notes: vec![words], users: None }
}

/// What changes for the users of an endpoint that is in both policies.
fn of_endpoint(before: &Endpoint, after: &Endpoint, keys: Option<&[Vec<u8>]>, changes: &mut Vec<Change>) {
    let (mut common, is_alike) = notes_of_affinity(before.affinity(), after.affinity());
    let placed = Placed { before: before.affinity(), after: after.affinity(), keys, is_alike };
    let mut notes = common.clone();
    if before.matching() != after.matching() {
        notes.insert(0, format!("takes other requests: {} → {}", before.matching(), after.matching()));
    }
    notes.extend(notes_of_shadows(before.shadows(), after.shadows()));
    notes.extend(notes_of_traffic(before.traffic(), after.traffic(), placed.has_users()));
    push(changes, before.name.to_string(), notes, placed.users(before.traffic(), after.traffic()));
    let old = |name: &str| before.cohorts().find(|cohort| &*cohort.name == name);
    let new = |name: &str| after.cohorts().find(|cohort| &*cohort.name == name);
    let order = |cohorts: &mut dyn Iterator<Item = &Cohort>, is_in: &dyn Fn(&str) -> bool| -> Vec<String> {
        cohorts.map(|cohort| cohort.name.to_string()).filter(|name| is_in(name)).collect()
    };
    let is_reordered = order(&mut before.cohorts(), &|name| new(name).is_some())
        != order(&mut after.cohorts(), &|name| old(name).is_some());
    if is_reordered {
        common.push("the cohorts are tried in another order".to_owned());
    }
    for cohort in after.cohorts() {
        let name = format!("{}/{}", after.name, cohort.name);
        let mut notes = common.clone();
        let old = old(&cohort.name);
        match old {
            Some(old) if old.matching() != cohort.matching() => {
                notes.push(format!("takes other requests: {} → {}", old.matching(), cohort.matching()));
            }
            Some(_) => (),
            None => {
                let served = "whose users the endpoint's own traffic served";
                notes.push(format!("a new cohort, {served}: {}", cohort.matching()));
            }
        }
        let from = old.map_or(before.traffic(), Cohort::traffic);
        let shadows: Vec<_> = old.map_or_else(|| before.shadows().collect(), |old| old.shadows().collect());
        notes.extend(notes_of_shadows(shadows.into_iter(), cohort.shadows()));
        notes.extend(notes_of_traffic(from, cohort.traffic(), placed.has_users()));
        push(changes, name, notes, placed.users(from, cohort.traffic()));
    }
    for cohort in before.cohorts().filter(|cohort| new(&cohort.name).is_none()) {
        let name = format!("{}/{}", after.name, cohort.name);
        let mut notes = vec!["the cohort is gone: the endpoint's own traffic serves its users".to_owned()];
        notes.extend(notes_of_shadows(cohort.shadows(), after.shadows()));
        notes.extend(notes_of_traffic(cohort.traffic(), after.traffic(), placed.has_users()));
        push(changes, name, notes, placed.users(cohort.traffic(), after.traffic()));
    }
}

fn push(changes: &mut Vec<Change>, name: String, notes: Vec<String>, users: Option<Users>) {
    let is_different = users.as_ref().is_some_and(|users| !is_alike(&users.before, &users.after));
    if is_different || !notes.is_empty() {
        changes.push(Change { name, notes, users });
    }
}

/// How users are placed before and after.
struct Placed<'a> {
    before: Option<&'a Affinity>,
    after: Option<&'a Affinity>,
    keys: Option<&'a [Vec<u8>]>,
    /// Whether a user has the same point before and after.
    is_alike: bool,
}

impl Placed<'_> {
    /// Whether there are users, before and after: who keep a backend.
    fn has_users(&self) -> bool {
        self.before.is_some() && self.after.is_some()
    }

    /// What becomes of the users; `None` where requests have no users: each is drawn for itself.
    fn users(&self, before: &Traffic, after: &Traffic) -> Option<Users> {
        let (old, new) = (self.before?, self.after?);
        let (shares_before, shares_after) = (shares(before), shares(after));
        let mut moving = Vec::new();
        let movement = match self.keys {
            Some(keys) => {
                let serve = |key: &Vec<u8>| {
                    (&before.choose(old.salt().point(key)).name, &after.choose(new.salt().point(key)).name)
                };
                let moves = keys.iter().map(|key| (key, serve(key))).filter(|(_, (from, to))| from != to);
                moving
                    .extend(moves.map(|(key, (from, to))| {
                        (String::from_utf8_lossy(key).into_owned(), from.clone(), to.clone())
                    }));
                Movement::of_seen(keys.iter().map(serve).map(|(from, to)| (from.as_str(), to.as_str())))
            }
            None if self.is_alike => Movement::of_placed(&shares_before, &shares_after),
            None => Movement::of_unrelated(&shares_before, &shares_after),
        };
        let moved = movement.moved(&shares_before, &shares_after);
        Some(Users { before: shares_before, after: shares_after, movement, moved, keys: moving })
    }
}

/// How affinity differs, and whether a user who had a key before has the same point now.
fn notes_of_affinity(before: Option<&Affinity>, after: Option<&Affinity>) -> (Vec<String>, bool) {
    let (before, after) = match (before, after) {
        (Some(before), Some(after)) => (before, after),
        (Some(_), None) => return (vec!["no affinity any more: each request is drawn for itself".to_owned()], false),
        (None, Some(_)) => return (vec!["affinity from now on: each user keeps one backend".to_owned()], false),
        (None, None) => return (Vec::new(), false),
    };
    let mut notes = Vec::new();
    let has_salt = before.salt() == after.salt();
    if !has_salt {
        notes.push("another salt: every user is placed anew".to_owned());
    }
    let (old, new): (Vec<_>, Vec<_>) = (before.sources().collect(), after.sources().collect());
    let in_words = || format!("{} → {}", old.join(", "), new.join(", "));
    let (is_longer, is_shorter) = (new.starts_with(&old), old.starts_with(&new));
    match (is_longer, is_shorter) {
        (true, true) if has_salt && before != after => notes.push("a generated key is handed out otherwise".to_owned()),
        (true, true) => (),
        (true, false) => notes.push(format!("further keys, for users who had none: {}", in_words())),
        (false, true) => notes.push(format!("fewer keys: who had none but the last ones has none now: {}", in_words())),
        (false, false) => notes.push(format!("other keys, which place a user anew: {}", in_words())),
    }
    (notes, has_salt && (is_longer || is_shorter))
}

/// How the shadows of the same requests differ.
fn notes_of_shadows<'a>(
    before: impl Iterator<Item = &'a Shadow>,
    after: impl Iterator<Item = &'a Shadow>,
) -> Vec<String> {
    let by_name = |shadow: &'a Shadow| (shadow.backend.name.as_str(), shadow);
    let before: BTreeMap<_, _> = before.map(by_name).collect();
    let after: BTreeMap<_, _> = after.map(by_name).collect();
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let note = |name: &&str| {
        let (old, new) = (before.get(name), after.get(name));
        let words = |shadow: Option<&&Shadow>| shadow.map_or("nothing".to_owned(), |shadow| in_words_of_shadow(shadow));
        let (old_words, new_words) = (words(old), words(new));
        if old_words != new_words {
            return Some(format!("copies to {name}: {old_words} → {new_words}"));
        }
        let (old, new) = (old?, new?);
        (old.via != new.via).then(|| format!("copies to {name}: other options, such as limits, headers or host"))
    };
    names.into_iter().filter_map(note).collect()
}

fn in_words_of_shadow(shadow: &Shadow) -> String {
    let by_key = if shadow.is_by_key() { " of the keys" } else { "" };
    let methods = shadow.methods().map(|methods| format!(", only {}", methods.join(" "))).unwrap_or_default();
    let from = shadow.only_from().map(|from| format!(", only of {}", from.join(" "))).unwrap_or_default();
    let is_own = shadow.backend.cluster == shadow.backend.name;
    let cluster = if is_own { String::new() } else { format!(", cluster {}", shadow.backend.cluster) };
    format!("{}{by_key}{methods}{from}{cluster}", percent(shadow.fraction()))
}

/// How the traffic of the same requests differs, but for whom it moves.
fn notes_of_traffic(before: &Traffic, after: &Traffic, has_users: bool) -> Vec<String> {
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

fn as_json(change: &Change) -> Value {
    let users = change.users.as_ref().map(|users| {
        let pairs = users.movement.0.iter().map(|((from, to), part)| json!({ "from": from, "to": to, "part": part }));
        let keys = users.keys.iter().map(|(key, from, to)| {
            json!({ "key": key, "from": from, "to": to, "needless": is_needless(&users.before, &users.after, from, to) })
        });
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
