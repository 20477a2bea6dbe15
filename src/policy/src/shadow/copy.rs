//! The headers of copies.

use super::outcome::Skip;
use super::target::{Callout, Shadow};
use crate::status::is_grpc;

/// The header that marks a copy. Its value is the name of the shadow's backend. A request with this
/// header is never copied.
pub const MARKER: &str = "x-traffic-shadow";

/// The headers of a request as it was forwarded, without those that no copy has.
#[derive(Debug, PartialEq, Eq)]
pub struct Original {
    headers: Vec<(String, String)>,
    /// Whether the request is a gRPC call.
    pub is_grpc: bool,
    /// How many header values were left out because they are not UTF-8. The SDK can't send them.
    pub omitted: usize,
}

impl Original {
    /// Takes all headers of a request, in order, except for hop-by-hop headers, headers that Envoy
    /// would obey, and those for which `is_internal` holds, which control Envoy.
    ///
    /// # Errors
    /// [`Skip::NotUtf8`] if the method, path or authority can't be copied.
    pub fn new(request: Vec<(String, Vec<u8>)>, is_internal: impl Fn(&str) -> bool) -> Result<Self, Skip> {
        let is_grpc = request.iter().any(|(name, value)| name == "content-type" && is_grpc(value));
        let mut original = Self { headers: Vec::with_capacity(request.len()), is_grpc, omitted: 0 };
        for (name, value) in request {
            // gRPC requires it. Its only possible value is `trailers`.
            let is_grpc_te = name == "te" && is_grpc;
            if (is_not_copied(&name) && !is_grpc_te) || name.starts_with("x-envoy-") || is_internal(&name) {
                continue;
            }
            match String::from_utf8(value) {
                Ok(value) => original.headers.push((name, value)),
                Err(_) => original.omitted += 1,
            }
        }
        let is_there = |name: &&str| original.headers.iter().any(|(known, _)| known == name);
        if [":method", ":path", ":authority"].iter().all(is_there) { Ok(original) } else { Err(Skip::NotUtf8) }
    }

    /// The headers of the copy for `shadow`, with its marker and with the changes of its `callout`.
    pub fn headers_for<'a>(&'a self, shadow: &'a Shadow, callout: &'a Callout) -> Vec<(&'a str, &'a str)> {
        let is_changed = |name: &str| {
            callout.remove_headers.iter().any(|removed| *removed == *name)
                || callout.set_headers.iter().any(|(set, _)| *set == *name)
        };
        let mut headers = Vec::with_capacity(self.headers.len() + callout.set_headers.len() + 1);
        for (name, value) in &self.headers {
            match &callout.host {
                Some(host) if name == ":authority" => headers.push((name.as_str(), host.as_str())),
                _ if is_changed(name) => {}
                _ => headers.push((name.as_str(), value.as_str())),
            }
        }
        headers.extend(callout.set_headers.iter().map(|(name, value)| (&**name, value.as_str())));
        headers.push((MARKER, &shadow.entry.backend.name));
        headers
    }
}

/// Whether no copy has the header `name`.
fn is_not_copied(name: &str) -> bool {
    matches!(
        name,
        // Hop-by-hop headers (RFC 9110, section 7.6.1).
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
            // Envoy sets it. A wrong one would keep the upstream waiting for a body.
            | "content-length"
            // The body is sent with the headers.
            | "expect"
            | ":protocol"
            | MARKER
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use crate::ids::{EntryId, ShadowId};
    use crate::shadow::target::{Entry, Filter, Via};
    use crate::traffic::Backend;

    fn callout() -> Callout {
        Callout {
            timeout: Duration::from_secs(1),
            max_body_bytes: 0,
            max_in_flight: 1,
            max_per_second: None,
            host: None,
            remove_headers: Vec::new(),
            set_headers: Vec::new(),
        }
    }

    fn shadow() -> Shadow {
        let backend = Arc::new(Backend { cluster: "cluster".parse().unwrap(), ..("v3".parse().unwrap()) });
        let via = Via::Mirror("unused".parse().unwrap());
        let entry = Arc::new(Entry::new(EntryId::default(), backend, 1.0, Filter::default(), via));
        entry.shadow(ShadowId::default(), &"e".parse().unwrap(), None)
    }

    fn original(headers: &[(&str, &[u8])]) -> Result<Original, Skip> {
        let pseudo: [(&str, &[u8]); 3] = [(":method", b"POST"), (":path", b"/"), (":authority", b"example.com")];
        let all = pseudo.iter().chain(headers).map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        Original::new(all.collect(), |name| name == "x-route")
    }

    #[test]
    fn a_copy_has_all_headers_in_order_except_for_hop_by_hop_headers_and_those_of_envoy() {
        let original = original(&[
            ("connection", b"close"),
            ("accept", b"a"),
            ("x-envoy-max-retries", b"9"),
            ("te", b"trailers"),
            ("accept", b"b"),
            ("x-route", b"somewhere"),
            ("content-length", b"5"),
            ("x-bytes", b"\xff"),
            ("cookie", b""),
            ("x-traffic-shadow", b"from the client"),
        ])
        .unwrap();
        assert_eq!(original.omitted, 1);
        assert_eq!(
            original.headers_for(&shadow(), &callout()),
            [
                (":method", "POST"),
                (":path", "/"),
                (":authority", "example.com"),
                ("accept", "a"),
                ("accept", "b"),
                ("cookie", ""),
                ("x-traffic-shadow", "v3"),
            ]
        );
    }

    #[test]
    fn a_shadow_changes_headers_and_host_of_its_copies() {
        let original =
            original(&[("cookie", b"a=1"), ("x-a", b"1"), ("x-a", b"2"), ("authorization", b"secret")]).unwrap();
        let callout = Callout {
            host: Some("shadow.example".into()),
            remove_headers: ["authorization", "cookie"].map(|name| name.parse().unwrap()).to_vec(),
            set_headers: vec![("x-a".parse().unwrap(), "new".into()), ("x-b".parse().unwrap(), "3".into())],
            ..callout()
        };
        assert_eq!(
            original.headers_for(&shadow(), &callout),
            [
                (":method", "POST"),
                (":path", "/"),
                (":authority", "shadow.example"),
                ("x-a", "new"),
                ("x-b", "3"),
                ("x-traffic-shadow", "v3"),
            ]
        );
    }

    #[test]
    fn a_copy_of_a_grpc_request_accepts_trailers() {
        let original = original(&[("content-type", b"application/grpc+proto"), ("te", b"trailers")]).unwrap();
        assert!(original.headers_for(&shadow(), &callout()).contains(&("te", "trailers")));
    }

    #[test]
    fn a_request_whose_path_is_not_utf_8_is_not_copied() {
        let headers = [(":method", b"GET".as_slice()), (":path", b"/\xff"), (":authority", b"a")];
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec()));
        assert_eq!(Original::new(headers.collect(), |_| false), Err(Skip::NotUtf8));
        assert_eq!(Original::new(Vec::new(), |_| false), Err(Skip::NotUtf8));
    }
}
