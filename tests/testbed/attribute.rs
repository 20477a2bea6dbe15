//! Values in metadata: as JSON, as protobuf, and as Envoy hands them over to a module.

use serde_json::{Map, Value};

/// The bytes that Envoy hands over for a value; `None` for `null`, which it hands over as an error,
/// also inside others.
pub fn bytes_of_value(value: &Value) -> Option<Vec<u8>> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(value) => vec![u8::from(*value)],
        Value::Number(number) => number.as_f64()?.to_le_bytes().to_vec(),
        Value::String(text) => text.clone().into_bytes(),
        Value::Array(list) => {
            let elements = list.iter().map(|element| Some((bytes_of_value(element)?, Vec::new())));
            pairs(&elements.collect::<Option<Vec<_>>>()?)
        }
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| Some((name.clone().into_bytes(), bytes_of_value(value)?)));
            pairs(&members.collect::<Option<Vec<_>>>()?)
        }
    })
}

/// Pairs as proxy-wasm serializes them: their number, the lengths of all, and then their bytes, each
/// with a zero byte after it.
fn pairs(pairs: &[(Vec<u8>, Vec<u8>)]) -> Vec<u8> {
    let number = |length: usize| u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes();
    let mut bytes = number(pairs.len()).to_vec();
    for (one, other) in pairs {
        bytes.extend([number(one.len()), number(other.len())].concat());
    }
    for (one, other) in pairs {
        bytes.extend([one, &b"\0"[..], other, b"\0"].concat());
    }
    bytes
}

/// A value as a `google.protobuf.Value` in binary.
pub fn protobuf_of_value(value: &Value) -> Vec<u8> {
    match value {
        Value::Null => vec![0x08, 0],
        Value::Number(number) => [&[0x11][..], &number.as_f64().unwrap_or_default().to_le_bytes()].concat(),
        Value::String(text) => field(3, text.as_bytes()),
        Value::Bool(value) => vec![0x20, u8::from(*value)],
        Value::Object(members) => field(5, &protobuf_of_struct(members)),
        Value::Array(list) => {
            let elements: Vec<_> = list.iter().map(|element| field(1, &protobuf_of_value(element))).collect();
            field(6, &elements.concat())
        }
    }
}

fn protobuf_of_struct(members: &Map<String, Value>) -> Vec<u8> {
    let entry = |(name, value): (&String, &Value)| {
        field(1, &[field(1, name.as_bytes()), field(2, &protobuf_of_value(value))].concat())
    };
    members.iter().map(entry).collect::<Vec<_>>().concat()
}

/// A field with a length.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        field.push(u8::try_from(length & 0x7f).unwrap_or_default() | 0x80);
        length >>= 7;
    }
    field.push(u8::try_from(length).unwrap_or_default());
    [&field, bytes].concat()
}
