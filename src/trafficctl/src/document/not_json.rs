//! Policies that are files of their own, but not JSON: sources for this program, which the filter
//! refuses.

use std::path::Path;

use crate::terminal::{note, warn};

/// Why the filter refuses a file that is a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJson {
    /// What the filter would get, what it takes, and what makes that.
    pub message: String,
    /// Whether the name of the file announces JSON, or anything else but YAML.
    pub is_surprise: bool,
}

impl NotJson {
    /// The reason for the policy `text`, which is YAML, in the file at `path`.
    pub fn of(path: &Path, text: &str) -> Self {
        let name = path.display();
        let found = if text.starts_with('\u{feff}') {
            "the file starts with a byte order mark"
        } else if text.trim_start().starts_with('#') {
            "the file is YAML (it starts with a comment)"
        } else if text.trim_start().starts_with("---") {
            "the file is YAML (it starts with ---)"
        } else {
            "the file is YAML"
        };
        let is_yaml = path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
        Self {
            message: format!("{name}: {found}, and the filter takes JSON: `trafficctl render json {name}` makes it"),
            is_surprise: !is_yaml && path != Path::new("-"),
        }
    }

    /// Reports it: as a warning if the name of the file announces something else than YAML.
    pub fn report(&self) {
        if self.is_surprise { warn(&self.message) } else { note(&self.message) }
    }
}
