//! The policy as written: the JSON document and its types, before any of it is judged.
//!
//! Strict: an unknown field, a repeated key, a wrong type or a `null` where the contract has none is an error.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use serde_path_to_error::{Path, Segment};

use crate::error::{PolicyError, member};

/// The whole document.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyConfig {
    #[serde(default, deserialize_with = "given")]
    pub routing_header: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub response_header: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub default_cluster: Option<String>,
    #[serde(default)]
    pub backends: UniqueMap<Object<BackendConfig>>,
    pub endpoints: Vec<Object<EndpointConfig>>,
}

/// A backend with a cluster of another name.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackendConfig {
    #[serde(default, deserialize_with = "given")]
    pub cluster: Option<String>,
}

/// An endpoint.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointConfig {
    pub name: String,
    #[serde(default, deserialize_with = "given")]
    pub route: Option<String>,
    #[serde(default, deserialize_with = "given")]
    pub methods: Option<Vec<String>>,
    pub traffic: UniqueMap<Share>,
    #[serde(default)]
    pub shadow: UniqueMap<Fraction>,
    #[serde(default)]
    pub affinity: AffinityConfig,
}

/// Affinity: absent, `null`, or an object.
#[derive(Debug, Default)]
pub enum AffinityConfig {
    /// Absent: by the default key and the default salt.
    #[default]
    Default,
    /// `null`: none.
    Off,
    /// As the object says.
    On(AffinityFields),
}

/// What an affinity object says.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AffinityFields {
    #[serde(default, deserialize_with = "given")]
    pub salt: Option<String>,
}

/// A backend's share of the traffic, not yet judged.
#[derive(Clone, Copy, Debug)]
pub struct Share(pub f64);

/// A shadow's fraction, not yet judged.
#[derive(Clone, Copy, Debug)]
pub struct Fraction(pub f64);

/// A JSON object. (For a struct alone, serde takes a list of its fields, too.)
#[derive(Debug)]
pub struct Object<T>(pub T);

/// A JSON object with any keys, each once, sorted.
#[derive(Debug)]
pub struct UniqueMap<V>(pub BTreeMap<String, V>);

/// Reads the document.
pub fn read(json: &[u8]) -> Result<PolicyConfig, PolicyError> {
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
    let Some(found) = problem.strip_prefix("invalid type: ") else { return problem.to_owned() };
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

/// An optional field that, if it is there, has a value: `null` is refused.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl<'de> Deserialize<'de> for AffinityConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let fields = Option::<Object<AffinityFields>>::deserialize(deserializer)?;
        Ok(fields.map_or(Self::Off, |Object(fields)| Self::On(fields)))
    }
}

impl<'de> Deserialize<'de> for Share {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(Number("a share: a number, not in quotes")).map(Self)
    }
}

impl<'de> Deserialize<'de> for Fraction {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_f64(Number("a fraction: a number from 0 to 1, not in quotes")).map(Self)
    }
}

/// Reads any JSON number as f64; holds the words for what is expected.
struct Number(&'static str);

impl Visitor<'_> for Number {
    type Value = f64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<f64, E> {
        Ok(value)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<f64, E> {
        Ok(value as f64)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<f64, E> {
        Ok(value as f64)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ObjectVisitor<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
            type Value = Object<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(access)).map(Object)
            }
        }

        deserializer.deserialize_map(ObjectVisitor(PhantomData))
    }
}

impl<V> Default for UniqueMap<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for UniqueMap<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct UniqueMapVisitor<V>(PhantomData<V>);

        impl<'de, V: Deserialize<'de>> Visitor<'de> for UniqueMapVisitor<V> {
            type Value = UniqueMap<V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose keys are backend names")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
                let mut map = BTreeMap::new();
                while let Some((key, value)) = access.next_entry::<String, V>()? {
                    if map.contains_key(&key) {
                        return Err(de::Error::custom(format_args!("duplicate key {key:?}")));
                    }
                    map.insert(key, value);
                }
                Ok(UniqueMap(map))
            }
        }

        deserializer.deserialize_map(UniqueMapVisitor(PhantomData))
    }
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
