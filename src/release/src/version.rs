//! The version of a release.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// The longest tag of an image, in bytes.
const LONGEST: usize = 128;

/// The version of a release, which can be an image's tag.
#[derive(Clone)]
pub struct Version(String);

impl FromStr for Version {
    type Err = &'static str;

    /// Takes what the OCI distribution specification takes as a tag.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if text.starts_with(word) && text.len() <= LONGEST && text.chars().all(|c| word(c) || c == '.' || c == '-') {
            Ok(Self(text.to_owned()))
        } else {
            Err("it is an image's tag too: letters, digits and `_`, then `.` and `-` as well; 128 at most")
        }
    }
}

impl Display for Version {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
