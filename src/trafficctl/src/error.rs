//! Why a command failed. The error alone decides the exit status.

use std::fmt;
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug)]
pub enum Error {
    /// The policy is refused. Holds the report of its errors, ready to be printed.
    Refused(String),
    /// A policy, or a change to it, is wrong in another way.
    Wrong(String),
    /// The command line is wrong in a way that its grammar doesn't express.
    Usage(String),
    /// A file can't be read or written, or a proxy doesn't answer.
    Unreadable(String),
    /// The command has reported everything itself.
    Reported(Status),
}

/// The exit status of a command that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// A policy or a change is wrong: 1.
    Wrong,
    /// Wrong usage, or something can't be read: 2.
    Unusable,
}

impl Error {
    /// The file at `path` can't be read.
    pub fn cannot_read(path: &Path, error: &io::Error) -> Self {
        Self::Unreadable(format!("cannot read {}: {error}", path.display()))
    }

    /// The exit status.
    pub fn status(&self) -> Status {
        match self {
            Self::Refused(_) | Self::Wrong(_) => Status::Wrong,
            Self::Usage(_) | Self::Unreadable(_) => Status::Unusable,
            Self::Reported(status) => *status,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(message) | Self::Wrong(message) | Self::Usage(message) | Self::Unreadable(message) => {
                f.write_str(message)
            }
            Self::Reported(_) => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

impl From<Status> for ExitCode {
    fn from(status: Status) -> Self {
        match status {
            Status::Wrong => Self::from(1),
            Status::Unusable => Self::from(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_policy_is_1_and_what_cannot_be_read_is_2() {
        let text = String::new;
        for (error, expected) in [
            (Error::Refused(text()), Status::Wrong),
            (Error::Wrong(text()), Status::Wrong),
            (Error::Usage(text()), Status::Unusable),
            (Error::Unreadable(text()), Status::Unusable),
            (Error::Reported(Status::Wrong), Status::Wrong),
        ] {
            assert_eq!(error.status(), expected, "{error:?}");
        }
    }
}
