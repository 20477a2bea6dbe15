//! The class of an HTTP status.

/// The class of an HTTP status: its first digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusClass {
    /// 100 to 199.
    Informational = 1,
    /// 200 to 299.
    Success = 2,
    /// 300 to 399.
    Redirection = 3,
    /// 400 to 499.
    ClientError = 4,
    /// 500 to 599.
    ServerError = 5,
}

impl StatusClass {
    /// All classes.
    pub const ALL: [Self; 5] =
        [Self::Informational, Self::Success, Self::Redirection, Self::ClientError, Self::ServerError];

    /// The class of `status`; `None` unless it is from 100 to 599.
    pub fn of(status: u64) -> Option<Self> {
        let class = usize::try_from(status / 100).ok()?;
        Self::ALL.get(class.checked_sub(1)?).copied()
    }

    /// The name of the class, from `1xx` to `5xx`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_of_a_status_is_its_first_digit() {
        for (status, class) in [(100, "1xx"), (204, "2xx"), (399, "3xx"), (404, "4xx"), (500, "5xx"), (599, "5xx")] {
            assert_eq!(StatusClass::of(status).map(StatusClass::name), Some(class));
        }
        for status in [0, 99, 600, u64::MAX] {
            assert_eq!(StatusClass::of(status), None);
        }
    }
}
