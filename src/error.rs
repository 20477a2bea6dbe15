//! What is wrong with a policy, said so that its author can mend it.

use std::fmt;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// Where in the document: `endpoints[0].traffic`, or a line and column where there is no document yet.
    pub place: String,
    /// What is wrong, with the value.
    pub problem: String,
    /// What would be right.
    pub remedy: String,
}

/// Everything that is wrong with a policy; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyErrors(pub Vec<PolicyError>);

impl fmt::Display for PolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.place, self.problem, self.remedy)
    }
}

impl fmt::Display for PolicyErrors {
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

impl std::error::Error for PolicyError {}
impl std::error::Error for PolicyErrors {}

impl From<PolicyError> for PolicyErrors {
    fn from(error: PolicyError) -> Self {
        Self(vec![error])
    }
}

/// The place of a member of an object: `endpoints[0].traffic`, or `traffic["a b"]` where the name is not a word.
pub(crate) fn member(place: &str, name: &str) -> String {
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    match (place.is_empty(), is_word) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{place}.{name}"),
        (_, false) => format!("{place}[{name:?}]"),
    }
}
