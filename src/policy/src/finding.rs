//! Findings: errors in a policy and warnings about it.

use std::borrow::Cow;
use std::fmt;

use crate::excerpt::excerpt;
use crate::limits::{FINDINGS, MESSAGE_BYTES};
use crate::place::{At, Place, Step};

/// One thing that is wrong with a policy, or odd about it.
///
/// Displayed as `place: problem; remedy`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether the policy is refused for it.
    pub severity: Severity,
    /// The sort of thing that it is about.
    pub kind: Kind,
    /// Where it is.
    pub place: Place,
    /// The problem, with the value.
    pub problem: String,
    /// The remedy; may be empty for a warning.
    pub remedy: String,
}

/// The consequence of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// The policy is valid, but this is surely not meant, or risky.
    Warning,
    /// The policy is refused.
    Error,
}

/// The sort of thing that a finding is about. [`Kind::name`] is stable: programs may filter by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The bytes are no JSON document.
    Syntax,
    /// A value has the wrong type or is missing.
    Shape,
    /// A name is none of those that are known.
    Unknown {
        /// The name in the document.
        name: String,
        /// The names that would be accepted: all, or those of a long list that are nearest to it.
        known: Vec<String>,
    },
    /// A value breaks a rule of its field.
    Invalid,
    /// Two things that must differ are the same.
    Duplicate,
    /// Two fields contradict each other.
    Conflict,
    /// An earlier endpoint or cohort takes all requests of this one.
    Unreachable,
    /// A condition can never hold.
    NeverHolds,
    /// A shadow copies requests that may have side effects.
    UnsafeShadow,
    /// The proxy has no such cluster.
    UnknownCluster,
    /// A backend's name occurs only once.
    NamedOnce,
    /// A listed backend is never used.
    NeverUsed,
    /// A share is too small to show in a day.
    TinyShare,
    /// Stands for the findings that a long report leaves out.
    More {
        /// How many they are.
        count: usize,
    },
}

/// Why a policy is refused: its errors, at least one.
///
/// Of more than [`FINDINGS`] errors, those that were found first are here, and then one of
/// [`Kind::More`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused(pub Vec<Finding>);

impl Finding {
    /// A warning.
    pub fn warning(kind: Kind, place: impl Into<Place>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (place, problem, remedy) = (place.into(), problem.into(), remedy.into());
        Self { severity: Severity::Warning, kind, place, problem, remedy }
    }

    /// How many findings it stands for: one, except for that of the others.
    pub fn count(&self) -> usize {
        match self.kind {
            Kind::More { count } => count,
            _ => 1,
        }
    }

    /// The steps to the object that has an unknown field, if that is the finding.
    fn object_of_unknown_field(&self) -> Option<&[Step]> {
        match (&self.kind, self.place.steps()) {
            (Kind::Unknown { name, .. }, [object @ .., Step::Member(field)]) if field == name => Some(object),
            _ => None,
        }
    }

    /// Whether the policy is refused for it.
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl Severity {
    /// The name in reports: `error` or `warning`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

impl Kind {
    /// The name in reports for programs, such as `unknown` or `unsafe-shadow`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Shape => "shape",
            Self::Unknown { .. } => "unknown",
            Self::Invalid => "invalid",
            Self::Duplicate => "duplicate",
            Self::Conflict => "conflict",
            Self::Unreachable => "unreachable",
            Self::NeverHolds => "never-holds",
            Self::UnsafeShadow => "unsafe-shadow",
            Self::UnknownCluster => "unknown-cluster",
            Self::NamedOnce => "named-once",
            Self::NeverUsed => "never-used",
            Self::TinyShare => "tiny-share",
            Self::More { .. } => "more",
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

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, error) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}

/// A problem with a value, whose place the caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    pub(crate) kind: Kind,
    pub(crate) problem: String,
    pub(crate) remedy: Cow<'static, str>,
}

impl Fault {
    /// A value that breaks a rule of its field.
    pub(crate) fn new(problem: impl Into<String>, remedy: impl Into<Cow<'static, str>>) -> Self {
        Self { kind: Kind::Invalid, problem: problem.into(), remedy: remedy.into() }
    }

    /// The same fault, of another kind.
    pub(crate) fn of(self, kind: Kind) -> Self {
        Self { kind, ..self }
    }

    /// The same fault, about a name that is none of `known`.
    pub(crate) fn about(self, name: &str, known: &[&str]) -> Self {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        self.of(Kind::Unknown { name: excerpt(name, MESSAGE_BYTES).into_owned(), known })
    }

    /// The error at a place.
    pub(crate) fn at(self, place: Place) -> Finding {
        let Self { kind, problem, remedy } = self;
        let part = |text: &str| excerpt(text, MESSAGE_BYTES).into_owned();
        Finding { severity: Severity::Error, kind, place, problem: part(&problem), remedy: part(&remedy) }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.problem, self.remedy)
    }
}

impl std::error::Error for Fault {}

/// The errors that have been found so far.
#[derive(Debug, Default)]
pub(crate) struct Errors(List);

/// The warnings that have been found so far.
#[derive(Debug, Default)]
pub(crate) struct Warnings(List);

/// The first [`FINDINGS`] findings, and how many followed.
#[derive(Debug, Default)]
struct List {
    first: Vec<Finding>,
    more: usize,
}

impl Errors {
    /// Notes a fault.
    pub(crate) fn add(&mut self, at: &At<'_>, fault: Fault) {
        self.0.add(|| fault.at(at.place()));
    }

    /// Notes a value that breaks a rule of its field.
    pub(crate) fn refuse(&mut self, at: &At<'_>, problem: impl Into<String>, remedy: impl Into<Cow<'static, str>>) {
        self.add(at, Fault::new(problem, remedy));
    }

    /// The value; `None` if it has a fault, which is noted.
    pub(crate) fn accept<T>(&mut self, at: &At<'_>, value: Result<T, Fault>) -> Option<T> {
        value.map_err(|fault| self.add(at, fault)).ok()
    }

    pub(crate) fn count(&self) -> usize {
        self.0.first.len() + self.0.more
    }

    /// The value, if there is no error. A value is missing only where an error has been noted.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, Refused> {
        match value {
            Some(value) if self.count() == 0 => Ok(value),
            _ => Err(self.refused()),
        }
    }

    /// Why the policy is refused. An object with an unknown field lacks what that field was meant to
    /// be: that is no error of its own.
    pub(crate) fn refused(mut self) -> Refused {
        let findings = &mut self.0.first;
        let misspelt: Vec<Vec<Step>> =
            findings.iter().filter_map(|finding| Some(finding.object_of_unknown_field()?.to_vec())).collect();
        findings.retain(|finding| {
            let is_of_object = matches!(finding.kind, Kind::Shape | Kind::Invalid);
            !(is_of_object && misspelt.iter().any(|object| object == finding.place.steps()))
        });
        Refused(self.0.finish(Severity::Error))
    }
}

impl Warnings {
    /// Notes a warning.
    pub(crate) fn add(&mut self, warning: impl FnOnce() -> Finding) {
        self.0.add(warning);
    }

    /// The warnings.
    pub(crate) fn finish(self) -> Vec<Finding> {
        self.0.finish(Severity::Warning)
    }
}

impl List {
    fn add(&mut self, finding: impl FnOnce() -> Finding) {
        if self.first.len() < FINDINGS {
            self.first.push(finding());
        } else {
            self.more += 1;
        }
    }

    fn finish(self, severity: Severity) -> Vec<Finding> {
        let Self { mut first, more: count } = self;
        if count > 0 {
            let problem = format!("{count} more {}{}", severity.name(), if count == 1 { "" } else { "s" });
            let remedy = "see to those above first".to_owned();
            first.push(Finding { severity, kind: Kind::More { count }, place: Place::root(), problem, remedy });
        }
        first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_displayed_with_its_place_first() {
        let fault = Fault::new("the shares add up to 0.95", "make them add up to 1");
        let traffic = Place::root().member("endpoints").element(0).member("traffic");
        let error = fault.at(traffic.clone());
        let words = "endpoints[0].traffic: the shares add up to 0.95; make them add up to 1";
        assert_eq!(error.to_string(), words);
        assert!(error.is_error());
        let warning = Finding::warning(Kind::NeverUsed, traffic, "odd", "");
        assert_eq!(warning.to_string(), "endpoints[0].traffic: odd");
        assert!(!warning.is_error());
        assert_eq!(Refused(vec![error, warning]).to_string().lines().count(), 2);
    }
}
