//! Templates of Envoy's configuration, into which the policy's names are written.

use serde_json::Value;

use crate::document::lines::{indent_of, splice, start_with_comments};
use crate::document::tree::{find, pointer, range};
use crate::error::Error;
use policy::Step;

/// `text` with `new` in place of the value at a JSON pointer. `new` starts where the value starts.
///
/// # Errors
/// [`Error::Wrong`] if there is no such value.
pub fn replace(text: &str, at: &str, new: &str) -> Result<String, Error> {
    let value = find(text, 0, &pointer(at)).ok_or_else(|| no_place(at))?;
    Ok(splice(text, range(&value, text), new))
}

/// The text of the value at a JSON pointer.
///
/// # Errors
/// [`Error::Wrong`] if there is no such value.
pub fn text_at<'a>(text: &'a str, at: &str) -> Result<&'a str, Error> {
    let value = find(text, 0, &pointer(at)).ok_or_else(|| no_place(at))?;
    Ok(text.get(range(&value, text)).unwrap_or_default())
}

/// `text` with `comment` in place of the comments above the list element at a JSON pointer.
///
/// # Errors
/// [`Error::Wrong`] if there is no such element.
pub fn replace_comment(text: &str, at: &str, comment: &str) -> Result<String, Error> {
    let steps: Vec<Step> = pointer(at);
    let element = find(text, 0, &steps).map(|value| range(&value, text).start).ok_or_else(|| no_place(at))?;
    let dash = text.get(..element).and_then(|before| before.rfind("- ")).ok_or_else(|| no_place(at))?;
    let start = start_with_comments(text, dash);
    let line = text.get(..dash).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1);
    Ok(splice(text, start..line, &format!("{}# {comment}\n", indent_of(text, dash))))
}

/// The error about a template that has changed and lacks a place.
pub fn no_place(at: &str) -> Error {
    Error::Wrong(format!("the template has no place {at}"))
}

/// A string as a YAML scalar, in quotes only where it needs them.
pub fn scalar(text: &str) -> String {
    const KEYWORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && text.chars().all(is_plain);
    let is_keyword = KEYWORDS.contains(&text.to_ascii_lowercase().as_str());
    let is_address = text.parse::<std::net::Ipv4Addr>().is_ok();
    if (is_word && !is_keyword) || is_address { text.to_owned() } else { Value::from(text).to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_is_quoted_only_where_it_needs_quotes() {
        for (text, expected) in [
            ("model-v1", "model-v1"),
            ("/lib/a.wasm", "/lib/a.wasm"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "\"::1\""),
            ("1.5", "\"1.5\""),
            ("No", "\"No\""),
            ("outbound|80||a", "\"outbound|80||a\""),
            ("", "\"\""),
        ] {
            assert_eq!(scalar(text), expected);
        }
    }

    #[test]
    fn only_the_comments_above_an_element_are_replaced() {
        let text = "# top\nlist:\n  # one\n  # two\n  - name: a\n  # three\n  - name: b\n";
        let replaced = replace_comment(text, "/list/0", "new").unwrap();
        assert_eq!(replaced, "# top\nlist:\n  # new\n  - name: a\n  # three\n  - name: b\n");
        assert!(replace_comment(text, "/list/2", "new").is_err());
    }
}
