//! What a document says about itself, even if it is no valid policy.

use serde_core::de::IgnoredAny;

use crate::compile::{own_header, with_name};
use crate::config::{IfInvalid, Node};
use crate::limits::{POINT_HEADER, ROUTING_HEADER};
use crate::names::{HeaderName, PolicyName};

/// What a document says about itself, even if it is no valid policy.
///
/// Reading it builds no tree, so it takes no more memory than the document, however deep that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gist {
    /// What becomes of the document if it has errors. [`IfInvalid::Refuse`] if it is no JSON object,
    /// or has another value for it.
    pub if_invalid: IfInvalid,
    /// The name of the policy; `None` without a valid one.
    pub name: Option<PolicyName>,
    /// The request headers that a client must not set where no policy decides: the routing header
    /// first, the point header, and the one that names the backend to the upstream. A header that
    /// the document doesn't name, or not by a valid name, is the default one.
    pub headers: Vec<HeaderName>,
}

impl Gist {
    /// Reads the gist of a document.
    // Inlined, it would be compiled for speed.
    #[inline(never)]
    pub fn of(document: &[u8]) -> Self {
        let is_json = serde_json::from_slice::<IgnoredAny>(document).is_ok();
        let mut members = Members { rest: if is_json { document } else { &[] }, depth: 0 };
        let (mut if_invalid, mut words) = (None, [const { None }; 4]);
        while let Some((name, value)) = members.next() {
            let place = match name.as_deref() {
                Some("name") => 0,
                Some("routing_header") => 1,
                Some("point_header") => 2,
                Some("request_header") => 3,
                Some("if_invalid") => {
                    // Of two, each must say so.
                    let is_keep = value.is_some_and(|value| value == "keep") && if_invalid != Some(IfInvalid::Refuse);
                    if_invalid = Some(if is_keep { IfInvalid::Keep } else { IfInvalid::Refuse });
                    continue;
                }
                _ => continue,
            };
            if let Some(word @ None) = words.get_mut(place) {
                *word = value;
            }
        }
        let [name, routing, point, request] = words;
        let name: Option<PolicyName> = name.and_then(|name| name.parse().ok());
        let mut headers = Vec::new();
        for (header, default) in [(routing, Some(ROUTING_HEADER)), (point, Some(POINT_HEADER)), (request, None)] {
            let header = header.and_then(|header| own_header(&header).ok());
            let default = || with_name(default?, name.as_ref()).parse().ok();
            headers.extend(header.or_else(default));
        }
        Self { if_invalid: if_invalid.unwrap_or_default(), headers, name }
    }

    /// The header from which the proxy's routes take the cluster.
    pub fn routing_header(&self) -> Option<&HeaderName> {
        self.headers.first()
    }
}

/// The members of the object that is a JSON document; none if it is another value.
struct Members<'a> {
    rest: &'a [u8],
    depth: usize,
}

impl Members<'_> {
    /// The next member: its name, and its value if that is a string.
    fn next(&mut self) -> Option<(Option<String>, Option<String>)> {
        loop {
            let (first, rest) = self.rest.split_first()?;
            match first {
                b'"' => {
                    let (name, rest) = string(self.rest);
                    self.rest = rest.trim_ascii_start();
                    if self.depth == 1
                        && let Some(value) = self.rest.strip_prefix(b":")
                    {
                        self.rest = value.trim_ascii_start();
                        let value = if self.rest.starts_with(b"\"") { string(self.rest).0 } else { &[] };
                        return Some((decoded(name), decoded(value)));
                    }
                    continue;
                }
                b'{' | b'[' => self.depth = self.depth.saturating_add(1),
                b'}' | b']' => self.depth = self.depth.saturating_sub(1),
                _ => {}
            }
            self.rest = rest;
        }
    }
}

/// The string that `json` starts with, and what follows it.
fn string(json: &[u8]) -> (&[u8], &[u8]) {
    let mut is_escaped = false;
    let ends = |&byte: &u8| {
        let ends = byte == b'"' && !is_escaped;
        is_escaped = byte == b'\\' && !is_escaped;
        ends
    };
    let end = json.iter().skip(1).position(ends).map_or(json.len(), |end| end + 2);
    json.split_at_checked(end).unwrap_or((json, &[]))
}

fn decoded(string: &[u8]) -> Option<String> {
    match serde_json::from_slice(string) {
        Ok(Node::Text(text)) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn if_invalid(document: &str) -> IfInvalid {
        Gist::of(document.as_bytes()).if_invalid
    }

    fn headers(document: &str) -> Vec<String> {
        Gist::of(document.as_bytes()).headers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_becomes_of_a_document_is_read_from_anything_that_is_a_json_object() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        for rest in [
            "",
            r#", "endpoints": 7"#,
            r#", "name": {"a": [1, null, true, -1.5, "x"]}, "routing_header": null"#,
            r#", "endpoints": [{"name": "e", "traffic": {"a": 0.5}}], "endpoints": []"#,
            r#", "a": 1e999, "b": "\ud800", "name": "\ud800""#,
            r#", "\"if_invalid": "refuse", "x": "\"if_invalid\": \"refuse\"", "y\\": "{", "if_invalid" : "\u006beep" "#,
            &format!(r#", "endpoints": {deep}"#),
            &format!(r#", "name": {deep}"#),
        ] {
            assert_eq!(if_invalid(&format!(r#"{{"if_invalid": "keep"{rest}}}"#)), IfInvalid::Keep, "{rest:.80}");
        }
    }

    #[test]
    fn a_document_that_is_no_object_or_has_another_value_is_refused() {
        for document in [
            "",
            "{}",
            r#"["if_invalid", "keep"]"#,
            "[]",
            "7",
            r#""keep""#,
            r#"{"if_invalid": "keep""#,
            r#"{"if_invalid": "keep"} x"#,
            r#"{"if_invalid": "refuse"}"#,
            r#"{"if_invalid": "Keep"}"#,
            r#"{"if_invalid": ["keep"]}"#,
            r#"{"if_invalid": true}"#,
            r#"{"if_invalid": null}"#,
            r#"{"if_invalid": "keep", "if_invalid": "refuse"}"#,
            r#"{"if_invalid": 1, "if_invalid": "keep"}"#,
            r#"{"endpoints": [{"if_invalid": "keep"}]}"#,
        ] {
            assert_eq!(if_invalid(document), IfInvalid::Refuse, "{document}");
        }
    }

    #[test]
    fn headers_are_those_of_the_document_or_the_default_ones_of_its_name() {
        for (document, expected) in [
            ("", &["x-traffic-cluster", "x-traffic-point"][..]),
            (r#"{"name": "ranker"}"#, &["x-traffic-cluster-ranker", "x-traffic-point-ranker"]),
            (r#"{"name": "Ranker"}"#, &["x-traffic-cluster", "x-traffic-point"]),
            (r#"{"name": "r", "routing_header": "X-Mine"}"#, &["x-mine", "x-traffic-point-r"]),
            (r#"{"point_header": "x-point", "routing_header": "a b"}"#, &["x-traffic-cluster", "x-point"]),
            (r#"{"routing_header": "cookie", "point_header": 7}"#, &["x-traffic-cluster", "x-traffic-point"]),
            (r#"{"request_header": "x-by"}"#, &["x-traffic-cluster", "x-traffic-point", "x-by"]),
        ] {
            assert_eq!(headers(document), expected, "{document}");
        }
    }

    #[test]
    fn the_gist_of_a_valid_policy_is_what_the_policy_says() {
        let document = br#"{"name": "ranker", "if_invalid": "keep", "endpoints": []}"#;
        let policy = crate::Policy::from_json(document).unwrap().policy;
        let gist = Gist::of(document);
        assert_eq!((&gist.name, gist.if_invalid), (&policy.name, policy.if_invalid));
        assert_eq!(gist.routing_header(), Some(&policy.routing_header));
    }
}
