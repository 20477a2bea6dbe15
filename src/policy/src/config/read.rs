//! From the bytes of the plugin configuration to the policy as written.

use super::from_node::FromNode;
use super::node::Node;
use super::{PolicyConfig, annotation};
use crate::finding::{Errors, Fault, Finding, Kind, Refused};
use crate::limits::DOCUMENT_BYTES;
use crate::place::{At, Place};

/// The policy as written, and the hash of the document. Notes what can't be read, as far as the rest
/// can.
pub(crate) fn read(json: &[u8], errors: &mut Errors) -> Result<(PolicyConfig, u64), Refused> {
    if json.len() > DOCUMENT_BYTES {
        let problem = format!("the document has {} bytes", json.len());
        let fault = Fault::new(problem, format!("use at most {DOCUMENT_BYTES}, without spaces between values"));
        return Err(Refused(vec![fault.at(Place::root())]));
    }
    let mut node: Node = serde_json::from_slice(json).map_err(|error| Refused(vec![not_json(json, &error)]))?;
    let config = PolicyConfig::from_node(&node, &At::Root, errors);
    let config = config.ok_or_else(|| std::mem::take(errors).refused())?;
    annotation::remove(&mut node);
    Ok((config, node.hash()))
}

/// Why the bytes are no JSON document.
fn not_json(bytes: &[u8], error: &serde_json::Error) -> Finding {
    const STRING: &str = "give the policy as a google.protobuf.StringValue that contains its JSON text";
    let of_all = |problem: &str| Fault::new(problem, STRING).of(Kind::Syntax).at(Place::root());
    if bytes.is_empty() {
        return of_all("the plugin configuration is empty");
    }
    if is_protobuf_struct(bytes) {
        return of_all("this is a google.protobuf.Struct in binary: Envoy passes a Struct on in this form");
    }
    let place = Place::Text { line: error.line(), column: error.column() };
    let words = error.to_string();
    let words = words.strip_suffix(&format!(" at {place}")).unwrap_or(&words);
    let remedy = "the policy must be one valid JSON document";
    Fault::new(format!("not valid JSON: {words}"), remedy).of(Kind::Syntax).at(place)
}

/// Whether `bytes` are a protobuf `Struct` with at least one field: nothing except for fields with
/// number 1 and a length, each of which starts with a key. Envoy passes a `Struct` on in this form,
/// against its documentation.
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
