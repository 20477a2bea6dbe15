//! Where something is in a policy document.

use std::fmt;

use crate::excerpt::excerpt;
use crate::limits::MESSAGE_BYTES;

/// One step from a value to a value inside it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// To the member of an object.
    Member(String),
    /// To the element of a list; the first is 0.
    Element(usize),
}

/// A place in a policy document.
///
/// Displayed as `endpoints[0].traffic["a b"]`; the document itself is `policy`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A value: the steps that lead to it from the root of the document.
    Value(Vec<Step>),
    /// The position at which the text stops being JSON. Both numbers start at 1.
    Text {
        /// The line.
        line: usize,
        /// The column, in bytes.
        column: usize,
    },
}

impl Place {
    /// The document itself.
    pub fn root() -> Self {
        Self::Value(Vec::new())
    }

    /// The member `name` of the object at this place.
    pub fn member(&self, name: &str) -> Self {
        self.inside(Step::Member(name.to_owned()))
    }

    /// Element `n` of the list at this place.
    pub fn element(&self, n: usize) -> Self {
        self.inside(Step::Element(n))
    }

    /// The steps that lead here from the root; none for a position in the text.
    pub fn steps(&self) -> &[Step] {
        match self {
            Self::Value(steps) => steps,
            Self::Text { .. } => &[],
        }
    }

    fn inside(&self, step: Step) -> Self {
        let mut steps = self.steps().to_vec();
        steps.push(step);
        Self::Value(steps)
    }
}

impl Step {
    /// To a member, for a message: a long name is cut.
    pub(crate) fn to_member(name: &str) -> Self {
        Self::Member(excerpt(name, MESSAGE_BYTES).into_owned())
    }
}

impl From<&str> for Step {
    fn from(name: &str) -> Self {
        Self::Member(name.to_owned())
    }
}

impl From<usize> for Step {
    fn from(n: usize) -> Self {
        Self::Element(n)
    }
}

impl<S: Into<Vec<Step>>> From<S> for Place {
    fn from(steps: S) -> Self {
        Self::Value(steps.into())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps = match self {
            Self::Text { line, column } => return write!(f, "line {line} column {column}"),
            Self::Value(steps) if steps.is_empty() => return f.write_str("policy"),
            Self::Value(steps) => steps,
        };
        for (n, step) in steps.iter().enumerate() {
            match step {
                Step::Member(name) if !is_word(name) => write!(f, "[{name:?}]")?,
                Step::Member(name) if n == 0 => f.write_str(name)?,
                Step::Member(name) => write!(f, ".{name}")?,
                Step::Element(n) => write!(f, "[{n}]")?,
            }
        }
        Ok(())
    }
}

fn is_word(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

/// A place on the way through a document: a chain of borrowed steps, which costs nothing until
/// something is wrong there.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'a> {
    Root,
    Member(&'a At<'a>, &'a str),
    Element(&'a At<'a>, usize),
}

impl<'a> At<'a> {
    pub(crate) fn member(&'a self, name: &'a str) -> Self {
        Self::Member(self, name)
    }

    pub(crate) fn element(&'a self, n: usize) -> Self {
        Self::Element(self, n)
    }

    /// The place, to keep.
    pub(crate) fn place(&self) -> Place {
        match self {
            Self::Root => Place::root(),
            Self::Member(outer, name) => outer.place().inside(Step::to_member(name)),
            Self::Element(outer, n) => outer.place().element(*n),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_displayed_as_operators_write_it() {
        let endpoint = Place::root().member("endpoints").element(0);
        for (place, expected) in [
            (Place::root(), "policy"),
            (Place::root().member("a b"), "[\"a b\"]"),
            (endpoint.clone(), "endpoints[0]"),
            (endpoint.member("traffic").member("model-v1"), "endpoints[0].traffic.model-v1"),
            (endpoint.member("traffic").member("v1.2"), "endpoints[0].traffic[\"v1.2\"]"),
            (endpoint.member(""), "endpoints[0][\"\"]"),
            (Place::Text { line: 3, column: 7 }, "line 3 column 7"),
        ] {
            assert_eq!(place.to_string(), expected);
        }
    }

    #[test]
    fn a_borrowed_chain_is_the_place_that_it_leads_to() {
        let endpoints = At::Root.member("endpoints");
        let endpoint = endpoints.element(2);
        let name = endpoint.member("name");
        assert_eq!(name.place(), Place::root().member("endpoints").element(2).member("name"));
    }
}
