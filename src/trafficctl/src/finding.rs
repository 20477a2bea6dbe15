//! What is wrong with a policy, or odd about it.

use std::fmt;

use policy::{PolicyError, Warning};

use crate::document::place::Place;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub severity: Severity,
    pub kind: Kind,
    pub place: Place,
    pub problem: String,
    pub remedy: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    Warning,
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Unknown { name: String, known: Vec<String> },
    Invalid,
    Unreachable,
    UnsafeShadow,
    UnknownCluster,
    NamedOnce,
    NeverUsed,
    TinyShare,
}

impl Finding {
    pub fn warning(kind: Kind, place: impl Into<Place>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (place, problem, remedy) = (place.into(), problem.into(), remedy.into());
        Self { severity: Severity::Warning, kind, place, problem, remedy }
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Severity {
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, problem, remedy, .. } = self;
        write!(f, "{place}: {problem}")?;
        if remedy.is_empty() { Ok(()) } else { write!(f, "; {remedy}") }
    }
}

impl From<&PolicyError> for Finding {
    fn from(error: &PolicyError) -> Self {
        let PolicyError { place, problem, remedy, unknown } = error.clone();
        let kind = match unknown {
            Some(policy::Unknown { name, known }) => Kind::Unknown { name, known },
            None => Kind::Invalid,
        };
        Self { severity: Severity::Error, kind, place: Place::from(place.as_str()), problem, remedy }
    }
}

impl From<&Warning> for Finding {
    fn from(warning: &Warning) -> Self {
        Self::warning(Kind::Unreachable, warning.place.as_str(), warning.message.clone(), "")
    }
}
