//! The answer to a copy, as Envoy reports it.

use crate::status::StatusClass;

/// The answer to a copy that the filter sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The shadow answered, with a status of this class.
    OfShadow(StatusClass),
    /// Envoy answered 504 itself.
    Timeout,
    /// Envoy answered with another error itself, or there is no answer.
    Broken,
}

impl Answer {
    /// Reads an answer from its status; the answer to a gRPC call from its `grpc_status`, which is
    /// called only if the shadow answered: `None` if the answer is no gRPC.
    ///
    /// Envoy itself answers with 5xx only, except to a gRPC call: there it answers with 200, and
    /// with the error in another header. Only the answer of an upstream has the header
    /// `x-envoy-upstream-service-time`. `has_service_time` says whether it is there, and is called
    /// only if the status leaves it open who answered.
    pub fn read(
        status: &[u8],
        is_grpc: bool,
        has_service_time: impl FnOnce() -> bool,
        grpc_status: impl FnOnce() -> Option<Vec<u8>>,
    ) -> Self {
        let class = match status {
            [digit @ b'1'..=b'5', _, _] => StatusClass::of(u64::from(digit - b'0') * 100),
            _ => None,
        };
        match class {
            Some(class) if (!is_grpc && class != StatusClass::ServerError) || has_service_time() => {
                let of_grpc = if is_grpc { grpc_status() } else { None };
                Self::OfShadow(of_grpc.map_or(class, |status| StatusClass::of_grpc(&status)))
            }
            _ if status == b"504" => Self::Timeout,
            _ => Self::Broken,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_of_envoy_itself_is_distinguished_from_one_of_the_shadow() {
        let of_shadow = Answer::OfShadow;
        for (status, is_grpc, has_service_time, expected) in [
            (b"100".as_slice(), false, false, of_shadow(StatusClass::Informational)),
            (b"200", false, true, of_shadow(StatusClass::Success)),
            (b"200", false, false, of_shadow(StatusClass::Success)),
            (b"200", true, true, of_shadow(StatusClass::Success)),
            (b"200", true, false, Answer::Broken),
            (b"301", false, false, of_shadow(StatusClass::Redirection)),
            (b"404", false, false, of_shadow(StatusClass::ClientError)),
            (b"503", false, true, of_shadow(StatusClass::ServerError)),
            (b"503", false, false, Answer::Broken),
            (b"504", false, true, of_shadow(StatusClass::ServerError)),
            (b"504", false, false, Answer::Timeout),
            (b"999", false, true, Answer::Broken),
            (b"\xff", false, true, Answer::Broken),
            (b"2000", false, true, Answer::Broken),
            (b"", false, false, Answer::Broken),
        ] {
            let answer = Answer::read(status, is_grpc, || has_service_time, || None);
            assert_eq!(answer, expected, "{status:?} {has_service_time}");
        }
    }

    #[test]
    fn the_answer_to_a_grpc_call_has_the_class_of_its_grpc_status() {
        for (grpc_status, expected) in [
            (Some("0"), StatusClass::Success),
            (Some("5"), StatusClass::ClientError),
            (Some("13"), StatusClass::ServerError),
            (None, StatusClass::Success),
        ] {
            let answer = Answer::read(b"200", true, || true, || grpc_status.map(|status| status.as_bytes().to_vec()));
            assert_eq!(answer, Answer::OfShadow(expected), "{grpc_status:?}");
        }
        let of_envoy = Answer::read(b"200", true, || false, || panic!("the shadow did not answer"));
        assert_eq!(of_envoy, Answer::Broken);
        let plain = Answer::read(b"200", false, || true, || panic!("the call is no gRPC"));
        assert_eq!(plain, Answer::OfShadow(StatusClass::Success));
    }

    #[test]
    fn the_second_header_is_read_only_where_envoy_may_have_answered() {
        for (status, is_grpc) in [(b"200", false), (b"404", false), (b"999", true)] {
            Answer::read(status, is_grpc, || panic!("{status:?} needs no second header"), || None);
        }
    }
}
