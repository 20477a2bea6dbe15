//! Reads the document, and says what is wrong with it in the words of JSON.

use serde_path_to_error::{Path, Segment};

use super::{Object, PolicyConfig};
use crate::error::{PolicyError, member};

/// Reads the document.
pub(crate) fn read(json: &[u8]) -> Result<PolicyConfig, PolicyError> {
    if json.is_empty() {
        return Err(PolicyError {
            place: "policy".into(),
            problem: "the plugin configuration is empty".into(),
            remedy: "give the policy as a google.protobuf.StringValue that holds its JSON text".into(),
        });
    }
    let mut deserializer = serde_json::Deserializer::from_slice(json);
    serde_path_to_error::deserialize(&mut deserializer)
        .map(|Object(config)| config)
        .map_err(|error| {
            let place = place_of(error.path());
            explain(json, &place, error.inner())
        })
        .and_then(|config| deserializer.end().map(|()| config).map_err(|error| explain(json, "", &error)))
}

/// Turns serde's words into place, problem and remedy.
fn explain(json: &[u8], place: &str, error: &serde_json::Error) -> PolicyError {
    let position = format!("line {} column {}", error.line(), error.column());
    let words = error.to_string();
    let words = words.strip_suffix(&format!(" at {position}")).unwrap_or(&words);
    if !error.is_data() {
        if is_protobuf_struct(json) {
            return PolicyError {
                place: "policy".into(),
                problem: "this is a google.protobuf.Struct in binary, which is how Envoy hands a Struct over".into(),
                remedy: "use a google.protobuf.StringValue that holds the policy's JSON text".into(),
            };
        }
        let place = if place.is_empty() { position } else { format!("{place} ({position})") };
        let remedy = "the policy must be one valid JSON document".into();
        return PolicyError { place, problem: format!("not valid JSON: {words}"), remedy };
    }
    let (problem, remedy) = match words.split_once(", expected ") {
        Some((problem, expected)) => {
            let expected = if expected == "a sequence" { "a list" } else { expected };
            (in_json_words(problem), format!("expected {expected}"))
        }
        None if words.starts_with("missing field") => (words.to_owned(), "add it".to_owned()),
        None if words.starts_with("duplicate") => (words.to_owned(), "keep one of them".to_owned()),
        None => (words.to_owned(), "see the policy reference".to_owned()),
    };
    PolicyError { place: if place.is_empty() { "policy".into() } else { place.to_owned() }, problem, remedy }
}

/// Says "invalid type: map" and its like in the words of JSON.
fn in_json_words(problem: &str) -> String {
    let found = problem.strip_prefix("invalid type: ").or_else(|| problem.strip_prefix("invalid value: "));
    let Some(found) = found else { return problem.to_owned() };
    let number = || found.strip_prefix("integer ").or_else(|| found.strip_prefix("floating point "));
    match found {
        "map" => "this is an object".to_owned(),
        "sequence" => "this is a list".to_owned(),
        _ => match number() {
            Some(number) => format!("this is the number {}", number.trim_matches('`')),
            None if found.starts_with("string") => format!("this is the {found}"),
            None => format!("this is {}", found.trim_start_matches("boolean ").trim_matches('`')),
        },
    }
}

/// A path in the document, in the form that all errors use: `endpoints[0].traffic`.
fn place_of(path: &Path) -> String {
    path.iter().fold(String::new(), |place, segment| match segment {
        Segment::Seq { index } => format!("{place}[{index}]"),
        Segment::Map { key } => member(&place, key),
        Segment::Enum { .. } | Segment::Unknown => place,
    })
}

/// Whether `bytes` are a protobuf `Struct` with at least one field: nothing but fields number 1 with a length, each
/// of which starts with a key. Envoy hands a `Struct` over in this form, against its documentation.
fn is_protobuf_struct(bytes: &[u8]) -> bool {
    const FIELD_1_WITH_LENGTH: u8 = 0x0a;
    let mut rest = bytes;
    while let Some((&FIELD_1_WITH_LENGTH, after_tag)) = rest.split_first() {
        let Some((length, after_length)) = varint(after_tag) else { return false };
        let Some((field, after_field)) = after_length.split_at_checked(length) else { return false };
        if field.first() != Some(&FIELD_1_WITH_LENGTH) {
            return false;
        }
        rest = after_field;
    }
    rest.is_empty() && !bytes.is_empty()
}

/// A protobuf length and what follows it.
fn varint(bytes: &[u8]) -> Option<(usize, &[u8])> {
    let mut value = 0;
    for (n, byte) in bytes.iter().enumerate().take(4) {
        value |= usize::from(byte & 0x7f) << (7 * n);
        if byte & 0x80 == 0 {
            return Some((value, bytes.get(n + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_protobuf_struct_is_recognised_whatever_its_first_length() {
        // One field: key "zeta", value 500.0.
        let field = |key: &str| {
            let mut entry = vec![0x0a, u8::try_from(key.len()).unwrap()];
            entry.extend_from_slice(key.as_bytes());
            entry.extend_from_slice(b"\x12\x09\x11\0\0\0\0\0\x40\x7f\x40");
            let mut bytes = vec![0x0a, u8::try_from(entry.len()).unwrap()];
            bytes.extend_from_slice(&entry);
            bytes
        };
        for length in 1..100 {
            assert!(is_protobuf_struct(&field(&"k".repeat(length))), "key of {length} bytes");
        }
        assert!(is_protobuf_struct(&[field("a"), field("b")].concat()));
        for not_struct in [b"".as_slice(), b"{}", b"\n{}", b"\n\n\n", b"\n\x05{", b"\n\xff\xff\xff\xff\xff"] {
            assert!(!is_protobuf_struct(not_struct), "{not_struct:?}");
        }
    }
}
