//! The class of a response.

/// The class of a response: the first digit of its HTTP status.
///
/// For a gRPC call it is that of the HTTP status to which
/// [`google.rpc.Code`](https://github.com/googleapis/googleapis/blob/master/google/rpc/code.proto)
/// maps the gRPC status.
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

    /// The class of a gRPC status, as its header has it. An unknown one is a server error, as the
    /// status `UNKNOWN` is.
    pub fn of_grpc(status: &[u8]) -> Self {
        match status {
            b"0" => Self::Success,
            b"1" | b"3" | b"5" | b"6" | b"7" | b"8" | b"9" | b"10" | b"11" | b"16" => Self::ClientError,
            _ => Self::ServerError,
        }
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

/// Whether a content type is that of a gRPC call, gRPC-Web included.
pub fn is_grpc(content_type: &[u8]) -> bool {
    content_type.starts_with(b"application/grpc")
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

    #[test]
    fn the_class_of_a_grpc_status_is_that_of_the_http_status_it_maps_to() {
        // Of google/rpc/code.proto, by code.
        const HTTP: [u64; 17] = [200, 499, 500, 400, 504, 404, 409, 403, 429, 400, 409, 400, 501, 500, 503, 500, 401];
        for (code, http) in HTTP.into_iter().enumerate() {
            assert_eq!(Some(StatusClass::of_grpc(code.to_string().as_bytes())), StatusClass::of(http), "{code}");
        }
        for unknown in ["", "17", "-1", "x", "00", "4294967296"] {
            assert_eq!(StatusClass::of_grpc(unknown.as_bytes()), StatusClass::ServerError, "{unknown}");
        }
    }
}
