//! The faults of the names in a document.

use super::synonym::synonym;
use crate::finding::{Fault, Kind};

/// A required field is absent.
pub(super) fn missing(name: &str) -> Fault {
    Fault::new(format!("{name:?} is missing"), "add it").of(Kind::Shape)
}

/// A member of an object is none of its fields, `known`.
pub(super) fn unknown_field(name: &str, known: &[&str]) -> Fault {
    let expected = expected(known);
    let remedy = match synonym(name, known) {
        Some(field) => format!("use {field}; {expected}"),
        None => expected,
    };
    Fault::new(format!("unknown field {name:?}"), remedy).about(name, known)
}

/// A string is none of the words that its field allows.
pub(super) fn unknown_word(word: &str, known: &[&str]) -> Fault {
    Fault::new(format!("{word:?} is not known"), expected(known)).about(word, known)
}

fn expected(known: &[&str]) -> String {
    match known {
        [only] => format!("expected {only:?}"),
        _ => format!("expected one of {}", known.join(", ")),
    }
}
