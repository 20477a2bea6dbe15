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
    /// The name that is not known, where that is what is wrong.
    pub unknown: Option<Unknown>,
}

/// A name that is not known, and those that are: what a "did you mean" is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// The name in the document.
    pub name: String,
    /// The names that would be taken.
    pub known: Vec<String>,
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

impl PolicyError {
    /// An error whose place is not known yet: it gets one on its way out of the document.
    pub(crate) fn new(problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { place: String::new(), problem: problem.into(), remedy: remedy.into(), unknown: None }
    }

    /// The same error, about a name that is none of `known`.
    pub(crate) fn about(mut self, name: &str, known: &[&str]) -> Self {
        let known = known.iter().map(|name| (*name).to_owned()).collect();
        self.unknown = Some(Unknown { name: name.to_owned(), known });
        self
    }

    /// The same error, in the member `name` of an object.
    pub(crate) fn in_member(self, name: &str) -> Self {
        self.within(&member("", name))
    }

    /// The same error, in element `n` of a list.
    pub(crate) fn in_element(self, n: usize) -> Self {
        self.within(&format!("[{n}]"))
    }

    fn within(mut self, outer: &str) -> Self {
        let separator = if self.place.is_empty() || self.place.starts_with('[') { "" } else { "." };
        self.place = format!("{outer}{separator}{}", self.place);
        self
    }

    /// The same error, out of the document.
    pub(crate) fn in_policy(mut self) -> Self {
        if self.place.is_empty() {
            self.place.push_str("policy");
        }
        self
    }
}

impl From<PolicyError> for PolicyErrors {
    fn from(error: PolicyError) -> Self {
        Self(vec![error])
    }
}

/// The place of the member `name` of the object at `place`: `endpoints[0].traffic`, or `traffic["a b"]` where the name is
/// not a word. The place of the document itself is empty.
pub fn member(place: &str, name: &str) -> String {
    let is_word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    match (place.is_empty(), is_word) {
        (true, true) => name.to_owned(),
        (false, true) => format!("{place}.{name}"),
        (_, false) => format!("{place}[{name:?}]"),
    }
}

/// A number of the document in decimal: exact to nine places, and by its magnitude where that says nothing.
///
/// (The standard library's way to write a double has four times the code of this crate's arithmetic.)
#[expect(clippy::cast_possible_truncation, reason = "both casts are of numbers below 2^63")]
pub(crate) fn decimal(number: f64) -> String {
    let sign = if number < 0.0 { "-" } else { "" };
    let size = number.abs();
    if size != 0.0 && !(1e-9..1e9).contains(&size) {
        return format!("about {sign}1e{}", libm::log10(size).round() as i64);
    }
    let billionths = (size * 1e9).round() as i64;
    let (whole, fraction) = (billionths / 1_000_000_000, format!("{:09}", billionths % 1_000_000_000));
    match fraction.trim_end_matches('0') {
        "" => format!("{sign}{whole}"),
        fraction => format!("{sign}{whole}.{fraction}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for (number, expected) in [
            (0.0, "0"),
            (1.0, "1"),
            (-5.0, "-5"),
            (0.95, "0.95"),
            (1.00002, "1.00002"),
            (0.1 + 0.2, "0.3"),
            (3_600_001.0, "3600001"),
            (-0.000_000_001, "-0.000000001"),
            (1e300, "about 1e300"),
            (-1e-12, "about -1e-12"),
        ] {
            assert_eq!(decimal(number), expected);
        }
    }
}
