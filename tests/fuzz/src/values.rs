//! Cookies and query parameters.

use std::sync::LazyLock;

use policy::Policy;

use crate::request::AnyRequest;

/// A policy with cohorts for one cookie and one parameter, and with a key in each.
static POLICY: LazyLock<Policy> = LazyLock::new(|| {
    let json = r#"{"endpoints": [{
        "name": "e", "traffic": {"a": 0.5, "b": 0.5},
        "affinity": {"keys": [{"cookie": "key"}, {"query": "key"}]},
        "cohorts": [
          {"name": "cookie", "match": {"cookies": [{"name": "a", "exact": "1"}]}, "traffic": {"a": 1}},
          {"name": "query", "match": {"query": [{"name": "a", "exact": "1"}]}, "traffic": {"a": 1}}
        ]
    }]}"#;
    Policy::from_json(json.as_bytes()).unwrap().policy
});

/// The core finds a cookie and a parameter where the plainest parser finds them. The first byte
/// says where to divide the others into a path and a cookie header.
pub fn values(data: &[u8]) {
    let Some((at, rest)) = data.split_first() else { return };
    let (path, cookies) = rest.split_at(rest.len() * usize::from(*at) / 256);
    let headers = vec![(":path".to_owned(), path.to_vec()), ("cookie".to_owned(), cookies.to_vec())];
    let request = AnyRequest { headers, source: None, property: None };
    let decision = POLICY.decide(&request, 0, || 0).unwrap();
    let has = |pairs: &[(Vec<u8>, Vec<u8>)]| pairs.iter().any(|(name, value)| name == b"a" && value == b"1");
    let (cookies, parameters) = (plain_cookies(cookies), plain_parameters(path));
    let expected = if has(&cookies) {
        Some("cookie")
    } else if has(&parameters) {
        Some("query")
    } else {
        None
    };
    assert_eq!(decision.cohort.map(|cohort| &*cohort.name), expected, "{path:?} {cookies:?}");
    let mut keys = cookies.iter().chain(&parameters).filter(|(name, value)| name == b"key" && !value.is_empty());
    let point = keys.next().map(|(_, key)| decision.endpoint.affinity.as_ref().unwrap().salt().point(key));
    assert_eq!(POLICY.explain(&request).point, point);
}

fn plain_cookies(header: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut cookies = Vec::new();
    for part in header.split(|byte| *byte == b';') {
        if let Some(at) = part.iter().position(|byte| *byte == b'=') {
            let (name, mut value) = (trim(&part[..at]), trim(&part[at + 1..]));
            if value.len() >= 2 && value[0] == b'"' && value[value.len() - 1] == b'"' {
                value = &value[1..value.len() - 1];
            }
            cookies.push((name.to_vec(), value.to_vec()));
        }
    }
    cookies
}

fn trim(value: &[u8]) -> &[u8] {
    let mut value = value;
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn plain_parameters(path: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let target = match path.iter().position(|byte| *byte == b'#') {
        Some(at) => &path[..at],
        None => path,
    };
    let Some(start) = target.iter().position(|byte| *byte == b'?') else { return Vec::new() };
    let mut parameters = Vec::new();
    for part in target[start + 1..].split(|byte| *byte == b'&') {
        if !part.is_empty() {
            let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
            parameters.push((part[..at].to_vec(), part.get(at + 1..).unwrap_or_default().to_vec()));
        }
    }
    parameters
}
