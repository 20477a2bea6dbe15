//! Where something is in a policy.

use std::fmt;

use policy::member;

/// One step from a value to a value in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// To the member of an object.
    Member(String),
    /// To the element of a list.
    Element(usize),
}

/// A place in a policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// The value to which these steps lead from the root.
    Value(Vec<Step>),
    /// A position in text that is not JSON, counted from 1.
    Text { line: usize, column: usize },
}

impl Place {
    /// The policy itself.
    pub fn root() -> Self {
        Self::Value(Vec::new())
    }

    /// The member `name` of the object at this place.
    #[must_use]
    pub fn member(&self, name: &str) -> Self {
        self.with(Step::Member(name.to_owned()))
    }

    /// Element `n` of the list at this place.
    #[must_use]
    pub fn element(&self, n: usize) -> Self {
        self.with(Step::Element(n))
    }

    /// The steps from the root; none for a position in text.
    pub fn steps(&self) -> &[Step] {
        match self {
            Self::Value(steps) => steps,
            Self::Text { .. } => &[],
        }
    }

    fn with(&self, step: Step) -> Self {
        Self::Value(self.steps().iter().cloned().chain([step]).collect())
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

impl From<&str> for Place {
    fn from(text: &str) -> Self {
        if let Some((line, column)) = text.strip_prefix("line ").and_then(|rest| rest.split_once(" column "))
            && let (Ok(line), Ok(column)) = (line.parse(), column.parse())
        {
            return Self::Text { line, column };
        }
        let mut place = Self::root();
        let mut rest = if text == "policy" { "" } else { text };
        while let Some(first) = rest.chars().next() {
            if first == '[' {
                let mut values = serde_json::Deserializer::from_str(rest.get(1..).unwrap_or_default()).into_iter();
                let Some(Ok(value)) = values.next() else { return place };
                let value: serde_json::Value = value;
                place = match &value {
                    serde_json::Value::String(name) => place.member(name),
                    value => place.element(value.as_u64().and_then(|n| usize::try_from(n).ok()).unwrap_or_default()),
                };
                rest = rest.get(values.byte_offset() + 2..).unwrap_or_default();
            } else {
                let name = rest.trim_start_matches('.');
                let end = name.find(['.', '[']).unwrap_or(name.len());
                place = place.member(name.get(..end).unwrap_or_default());
                rest = name.get(end..).unwrap_or_default();
            }
        }
        place
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(steps) if steps.is_empty() => f.write_str("policy"),
            Self::Value(steps) => f.write_str(&steps.iter().fold(String::new(), |place, step| match step {
                Step::Member(name) => member(&place, name),
                Step::Element(n) => format!("{place}[{n}]"),
            })),
            Self::Text { line, column } => write!(f, "line {line} column {column}"),
        }
    }
}
