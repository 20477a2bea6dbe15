//! The users of an endpoint or a cohort, before and after a change.

use std::collections::BTreeMap;

use policy::{Affinity, BackendName, Traffic};

use super::movement::{Moved, Movement, is_alike, is_needless, shares};

/// Which users a change moves. All parts are those of all users, computed from the shares.
pub struct Users {
    /// The shares of the backends before.
    pub before: BTreeMap<String, f64>,
    /// The shares of the backends after.
    pub after: BTreeMap<String, f64>,
    /// The part of the users for each pair of backends.
    pub movement: Movement,
    /// The sums of the movement.
    pub moved: Moved,
    /// What becomes of the given keys, which are another population; `None` without any.
    pub given: Option<Given>,
}

/// Which of the given keys a change moves. All parts are those of these keys.
pub struct Given {
    /// How many keys there are.
    pub count: usize,
    /// The part of the keys for each pair of backends.
    pub movement: Movement,
    /// The sums of the movement.
    pub moved: Moved,
    /// Each key that moves.
    pub keys: Vec<MovedKey>,
}

/// A shard key that gets another backend.
pub struct MovedKey {
    /// The key; bytes that are not UTF-8 are replaced.
    pub key: String,
    /// The backend before.
    pub from: String,
    /// The backend after.
    pub to: String,
}

/// How users are placed before and after.
pub struct Placed<'a> {
    /// The affinity before.
    pub before: Option<&'a Affinity>,
    /// The affinity after.
    pub after: Option<&'a Affinity>,
    /// The shard keys to follow; `None` for all users.
    pub keys: Option<&'a [Vec<u8>]>,
    /// Whether a user has the same point before and after.
    pub keeps_points: bool,
}

impl Users {
    /// Whether the shares of the backends change.
    pub fn have_other_shares(&self) -> bool {
        !is_alike(&self.before, &self.after)
    }

    /// The given keys that move from a backend that keeps its share to one that gains none.
    pub fn needless_keys(&self) -> impl Iterator<Item = &MovedKey> {
        self.given.iter().flat_map(|given| &given.keys).filter(|key| self.is_needless(key))
    }

    /// Whether a key moves from a backend that keeps its share to one that gains none.
    pub fn is_needless(&self, key: &MovedKey) -> bool {
        is_needless(&self.before, &self.after, &key.from, &key.to)
    }
}

impl Placed<'_> {
    /// Whether there are users that keep a backend, before and after.
    pub fn has_users(&self) -> bool {
        self.before.is_some() && self.after.is_some()
    }

    /// The users of some traffic; `None` if each request is drawn independently, before or after.
    pub fn users(&self, before: &Traffic, after: &Traffic) -> Option<Users> {
        let (old, new) = (self.before?, self.after?);
        let (shares_before, shares_after) = (shares(before), shares(after));
        let movement = if self.keeps_points {
            Movement::of_placed(before, after)
        } else {
            Movement::of_unrelated(&shares_before, &shares_after)
        };
        let moved = movement.moved(&shares_before, &shares_after);
        let given = self.keys.map(|keys| {
            let serve = |key: &Vec<u8>| {
                let (old, new) = (old.salt().point(key), new.salt().point(key));
                (&before.choose(old).name, &after.choose(new).name)
            };
            let moving = keys.iter().map(|key| (key, serve(key))).filter(|(_, (from, to))| from != to);
            let moved_key = |(key, (from, to)): (&Vec<u8>, (&BackendName, &BackendName))| MovedKey {
                key: String::from_utf8_lossy(key).into_owned(),
                from: from.to_string(),
                to: to.to_string(),
            };
            let movement = Movement::of_seen(keys.iter().map(serve).map(|(from, to)| (&**from, &**to)));
            let moved = movement.moved(&shares_before, &shares_after);
            Given { count: keys.len(), movement, moved, keys: moving.map(moved_key).collect() }
        });
        Some(Users { before: shares_before, after: shares_after, movement, moved, given })
    }
}
