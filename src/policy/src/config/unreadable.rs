//! Why a document can't be read as a policy.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::decimal::decimal;
use crate::finding::{Fault, Kind, Refused};
use crate::place::{Place, Step};

/// A fault that collects its place on its way out of the document. In a box: results are moved at each level.
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

    fn unknown(problem: String, name: &str, known: &'static [&'static str]) -> Self {
        let remedy = match known {
            [only] => format!("expected {only:?}"),
            _ => format!("expected one of {}", known.join(", ")),
        };
        Self(Box::new(Inner { fault: Fault::new(problem, remedy).about(name, known), steps: Vec::new() }))
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

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fault.fmt(f)
    }
}

impl std::error::Error for Unreadable {}

impl de::Error for Unreadable {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(Fault::new(message.to_string(), "see the reference of the policy"))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let found = match unexpected {
            Unexpected::Unit | Unexpected::Option => "null".to_owned(),
            Unexpected::Bool(value) => value.to_string(),
            Unexpected::Float(value) => format!("the number {}", decimal(value)),
            Unexpected::Str(text) => format!("the string {text:?}"),
            Unexpected::Seq => "a list".to_owned(),
            Unexpected::Map => "an object".to_owned(),
            _ => "something else".to_owned(),
        };
        Self::new(Fault::new(format!("this is {found}"), format!("expected {expected}")))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown(format!("{variant:?} is not known"), variant, expected)
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::unknown(format!("unknown field {field:?}"), field, expected)
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Fault::new(format!("{field:?} is missing"), "add it"))
    }
}
