//! Parses the version of a release.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The maximum length of an image's tag, in bytes.
const LONGEST: usize = 128;

/// The version of a release. It is a valid image tag.
#[derive(Clone)]
pub struct Version(String);

impl FromStr for Version {
    type Err = &'static str;

    /// Accepts the tags that the OCI distribution specification allows.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.starts_with(word) && text.len() <= LONGEST && text.chars().all(|c| word(c) || c == '.' || c == '-') {
            Ok(Self(text.to_owned()))
        } else {
            Err(
                "the version is also an image tag: up to 128 letters, digits, `_`, `.` and `-`, not starting with `.` or `-`",
            )
        }
    }
}

impl Display for Version {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
