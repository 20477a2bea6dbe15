//! A JSON value in one line, with spaces where people write them: `{ "a": 1, "b": [1, 2] }`.

use std::io::{Result, Write};

use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

/// Writes a value in one line.
pub fn one_line(value: &Value) -> String {
    let mut bytes = Vec::new();
    // Neither the value nor the buffer can fail.
    let _ = value.serialize(&mut Serializer::with_formatter(&mut bytes, OneLine { is_empty: true }));
    String::from_utf8_lossy(&bytes).into_owned()
}

struct OneLine {
    /// Whether the current object has no member so far.
    is_empty: bool,
}

impl Formatter for OneLine {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        self.is_empty = true;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        writer.write_all(if first { b" " } else { b", " })
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _: &mut W) -> Result<()> {
        self.is_empty = false;
        Ok(())
    }

    fn end_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> Result<()> {
        let is_empty = std::mem::replace(&mut self.is_empty, false);
        writer.write_all(if is_empty { b"}" } else { b" }" })
    }

    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_takes_one_line() {
        for (value, expected) in [
            (json!({}), "{}"),
            (json!({ "a": 1, "b": [1, 2] }), r#"{ "a": 1, "b": [1, 2] }"#),
            (json!({ "a": {}, "b": { "c": "d" } }), r#"{ "a": {}, "b": { "c": "d" } }"#),
            (json!([{ "a": [] }, null]), r#"[{ "a": [] }, null]"#),
        ] {
            assert_eq!(one_line(&value), expected);
        }
    }
}
