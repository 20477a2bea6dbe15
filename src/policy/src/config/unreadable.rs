//! Why a document can't be read as a policy.

use crate::finding::{Fault, Kind, Refused};
use crate::place::{Place, Step};

/// A fault that collects its place on its way out of the document. In a box: results are moved at
/// each level.
#[derive(Debug)]
pub(super) struct Unreadable(Box<Inner>);

#[derive(Debug)]
struct Inner {
    fault: Fault,
    /// From the innermost step to the outermost.
    steps: Vec<Step>,
}

impl Unreadable {
    /// A fault of the value that is being read.
    pub(super) fn new(fault: Fault) -> Self {
        Self(Box::new(Inner { fault: fault.of(Kind::Shape), steps: Vec::new() }))
    }

    /// A required field is absent.
    pub(super) fn missing(name: &str) -> Self {
        Self::new(Fault::new(format!("{name:?} is missing"), "add it"))
    }

    /// A member of an object is none of its fields.
    pub(super) fn unknown_field(name: &str, known: &[&str]) -> Self {
        Self::unknown(format!("unknown field {name:?}"), name, known)
    }

    /// A string is none of the words that its field allows.
    pub(super) fn unknown_word(word: &str, known: &[&str]) -> Self {
        Self::unknown(format!("{word:?} is not known"), word, known)
    }

    fn unknown(problem: String, name: &str, known: &[&str]) -> Self {
        let remedy = match known {
            [only] => format!("expected {only:?}"),
            _ => format!("expected one of {}", known.join(", ")),
        };
        let fault = Fault::new(problem, remedy).about(name, known);
        Self(Box::new(Inner { fault, steps: Vec::new() }))
    }

    /// The same fault, one step further out.
    pub(super) fn inside(mut self, step: impl Into<Step>) -> Self {
        self.0.steps.push(step.into());
        self
    }
}

impl From<Unreadable> for Refused {
    fn from(unreadable: Unreadable) -> Self {
        let Inner { fault, mut steps } = *unreadable.0;
        steps.reverse();
        Self(vec![fault.at(Place::Value(steps))])
    }
}
