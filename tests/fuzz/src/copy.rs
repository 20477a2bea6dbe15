//! The headers of copies.

use std::sync::LazyLock;

use arbitrary::{Arbitrary, Unstructured};
use policy::Policy;
use policy::shadow::{MARKER, Original, Shadow, Skip, Via};

use crate::request::{AnyRequest, NAMES};

static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let json = r#"{"endpoints": [{ "name": "e", "traffic": {"a": 1}, "shadow": {"s": {
        "fraction": 1, "host": "shadow.example", "headers": {"set": {"x-a": "set"}, "remove": ["x-b"]}
    }}}]}"#;
    Policy::from_json(json.as_bytes()).unwrap().policy
});

/// A copy has the headers of its request in order, except for those that no copy has and those that
/// its shadow changes. All of them are UTF-8.
pub fn copy(data: &[u8]) {
    let mut bytes = Unstructured::new(data);
    let Ok(mut request) = AnyRequest::arbitrary(&mut bytes) else { return };
    if let Ok(name) = <&str>::arbitrary(&mut bytes) {
        request.headers.push((name.to_ascii_lowercase(), b"any".to_vec()));
    }
    let is_internal = |name: &str| name == "x-traffic-cluster";
    let shadow: &Shadow = POLICY.shadows().next().unwrap();
    let Via::Callout(callout) = &shadow.entry.via else { panic!("a callout") };
    let pseudo = [":method", ":path", ":authority"];
    let is_utf8 = |value: &[u8]| std::str::from_utf8(value).is_ok();
    let original = match Original::new(request.headers.clone(), is_internal) {
        Ok(original) => original,
        Err(skip) => {
            assert_eq!(skip, Skip::NotUtf8);
            let is_there = |name: &&str| request.headers.iter().any(|(known, value)| known == name && is_utf8(value));
            assert!(!pseudo.iter().all(is_there), "{:?}", request.headers);
            return;
        }
    };
    let headers = original.headers_for(shadow, callout);
    let is_grpc =
        request.headers.iter().any(|(name, value)| name == "content-type" && value.starts_with(b"application/grpc"));
    for name in ["upgrade", "connection", "content-length", "x-b", "x-traffic-cluster", "expect"] {
        assert!(headers.iter().all(|(known, _)| *known != name), "{name}");
    }
    assert!(is_grpc || headers.iter().all(|(name, _)| *name != "te"));
    assert!(headers.iter().all(|(name, _)| !name.starts_with("x-envoy-")));
    let of =
        |wanted: &str| headers.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| *value).collect::<Vec<_>>();
    assert_eq!(of(MARKER), ["s"]);
    assert_eq!(of("x-a"), ["set"]);
    assert!(of(":authority").iter().all(|host| *host == "shadow.example"));
    for name in NAMES.iter().filter(|name| ["cookie", "x-user", ":path", ":method"].contains(name)) {
        let sent = request.headers.iter().filter(|(known, value)| known == name && is_utf8(value));
        assert_eq!(of(name), sent.map(|(_, value)| std::str::from_utf8(value).unwrap()).collect::<Vec<_>>());
    }
}
