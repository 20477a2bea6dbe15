//! Envoy attributes, and the text that a policy compares and hashes of them.
//!
//! Envoy hands an attribute over as bytes without their type: a string as it is, a number as eight
//! bytes, a bool as one, a list or a map as a table of lengths and bytes. So a policy says which type
//! it expects.

use std::borrow::Cow;

use crate::attribute::{Attribute, attribute};
use crate::shortest::shortest;

/// An Envoy attribute, read as a type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Property {
    path: Vec<String>,
    form: Form,
}

/// How the bytes of an attribute become text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    /// A string of Envoy's: the bytes are the text.
    Text,
    /// A string, or something else.
    MaybeText,
    /// 64 bits with a sign.
    Integer,
    /// 64 bits of floating point, as all numbers in metadata.
    Double,
    /// One byte.
    Bool,
}

/// The type as which a policy reads an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    /// Text.
    String,
    /// A number; its text is the shortest in decimal.
    Number,
    /// `true` or `false`.
    Bool,
}

impl Property {
    /// The attribute at `path`, read as a type, which should be the one that Envoy documents.
    pub fn new(path: Vec<String>, read_as: As) -> Self {
        let form = match (read_as, attribute(&path)) {
            (As::String, Some(Attribute::Text)) => Form::Text,
            (As::String, _) => Form::MaybeText,
            (As::Number, Some(Attribute::Number)) => Form::Integer,
            (As::Number, _) => Form::Double,
            (As::Bool, _) => Form::Bool,
        };
        Self { path, form }
    }

    /// The segments of its path.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// The type as which the policy reads it.
    pub fn read_as(&self) -> As {
        match self.form {
            Form::Text | Form::MaybeText => As::String,
            Form::Integer | Form::Double => As::Number,
            Form::Bool => As::Bool,
        }
    }

    /// The text of the bytes that Envoy hands over for it; `None` if they are not of its type.
    ///
    /// Lists and maps have no text, whatever the type: none has one or eight bytes, and each contains
    /// a zero byte.
    #[inline(never)]
    pub fn text<'a>(&self, bytes: &'a [u8]) -> Option<Cow<'a, [u8]>> {
        let eight = || <[u8; 8]>::try_from(bytes).ok();
        let text = match self.form {
            // Some of Envoy's attributes are empty where others are absent.
            Form::Text => return (!bytes.is_empty()).then_some(Cow::Borrowed(bytes)),
            Form::MaybeText => return (!bytes.is_empty() && is_text(bytes)).then_some(Cow::Borrowed(bytes)),
            Form::Integer => i64::from_le_bytes(eight()?).to_string(),
            Form::Double => shortest(f64::from_le_bytes(eight()?))?,
            Form::Bool => match bytes {
                [0] => return Some(Cow::Borrowed(b"false")),
                [1] => return Some(Cow::Borrowed(b"true")),
                _ => return None,
            },
        };
        Some(Cow::Owned(text.into_bytes()))
    }

    /// The bytes that Envoy hands over for an attribute of this type with this value: the inverse of
    /// [`Property::text`], for tools. `None` if it is no value of this type.
    pub fn bytes(&self, value: &str) -> Option<Vec<u8>> {
        match self.form {
            Form::Text | Form::MaybeText => Some(value.as_bytes().to_vec()),
            Form::Integer => Some(value.parse::<i64>().ok()?.to_le_bytes().to_vec()),
            Form::Double => Some(value.parse::<f64>().ok()?.to_le_bytes().to_vec()),
            Form::Bool => Some(vec![u8::from(value.parse::<bool>().ok()?)]),
        }
    }

    /// Whether it may be a number that has many digits.
    pub(crate) fn is_number(&self) -> bool {
        matches!(self.form, Form::Integer | Form::Double)
    }
}

/// Whether these may be the bytes of a string.
///
/// Lists, maps, messages, bools and most numbers contain a control character, which a string in
/// metadata should not have. The eight bytes of any other number are hardly ever UTF-8.
fn is_text(bytes: &[u8]) -> bool {
    !bytes.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
        && (bytes.len() != 8 || std::str::from_utf8(bytes).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn property(path: &[&str], read_as: As) -> Property {
        Property::new(path.iter().map(|segment| (*segment).to_owned()).collect(), read_as)
    }

    /// A claim in the metadata.
    fn claim(read_as: As) -> Property {
        property(&["metadata", "filter_metadata", "jwt", "claim"], read_as)
    }

    #[test]
    fn each_type_has_its_text_and_no_other_has() {
        let list = b"\x02\0\0\0\x05\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0staff\0\0alpha\0\0";
        for (bytes, string, number, bool) in [
            (&b"staff"[..], Some("staff"), None, None),
            (b"", None, None, None),
            (&7f64.to_le_bytes(), None, Some("7"), None),
            (&0.5f64.to_le_bytes(), None, Some("0.5"), None),
            (&(-0.0f64).to_le_bytes(), None, Some("0"), None),
            (&0.1f64.to_le_bytes(), None, Some("0.1"), None),
            (&1e21f64.to_le_bytes(), None, Some("1000000000000000000000"), None),
            (&f64::NAN.to_le_bytes(), None, None, None),
            (&[1], None, None, Some("true")),
            (&[0], None, None, Some("false")),
            (&[2], None, None, None),
            (list, None, None, None),
            // An empty list, and an empty map.
            (b"\0\0\0\0", None, None, None),
            (b"\t", Some("\t"), None, None),
            // A map of one name to eight bytes.
            (b"\x01\0\0\0\x01\0\0\0\x08\0\0\0n\x0012345678\0", None, None, None),
        ] {
            let text = |read_as| claim(read_as).text(bytes).map(|text| String::from_utf8(text.into_owned()).unwrap());
            let found = [As::String, As::Number, As::Bool].map(text);
            assert_eq!(found.each_ref().map(Option::as_deref), [string, number, bool], "{bytes:?}");
        }
        // A header may have any bytes.
        assert_eq!(claim(As::String).text(b"h\xe4ns").as_deref(), Some(b"h\xe4ns".as_slice()));
    }

    #[test]
    fn an_attribute_that_envoy_documents_is_read_as_it_is() {
        let text = |path: &[&str], read_as, bytes: &[u8]| property(path, read_as).text(bytes).map(Cow::into_owned);
        assert_eq!(text(&["source", "port"], As::Number, &8080i64.to_le_bytes()), Some(b"8080".to_vec()));
        assert_eq!(text(&["request", "url_path"], As::String, b"/\xff\x01\0"), Some(b"/\xff\x01\0".to_vec()));
        assert_eq!(text(&["connection", "mtls"], As::Bool, &[0]), Some(b"false".to_vec()));
    }

    #[test]
    fn the_bytes_of_a_value_have_its_text() {
        let port = property(&["source", "port"], As::Number);
        for (property, value, text) in [
            (&port, "80", Some("80")),
            (&port, "80.5", None),
            (&claim(As::Number), "7.0", Some("7")),
            (&claim(As::Number), "seven", None),
            (&claim(As::Bool), "true", Some("true")),
            (&claim(As::Bool), "yes", None),
            (&claim(As::String), "true", Some("true")),
        ] {
            let bytes = property.bytes(value);
            let found = bytes.as_deref().and_then(|bytes| property.text(bytes));
            assert_eq!(found.as_deref(), text.map(str::as_bytes), "{value}");
        }
    }
}
