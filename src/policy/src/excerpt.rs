//! Excerpts of long strings, for messages.

use std::borrow::Cow;

/// At most about `bytes` of `text`: its start and its end, with `…` between them.
pub(crate) fn excerpt(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return text.into();
    }
    // The end has the reason, after a quoted value.
    let (head, tail) = (text.floor_char_boundary(bytes / 3 * 2), text.ceil_char_boundary(text.len() - bytes / 3));
    let (start, end) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{start}…{end}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_has_the_start_and_the_end() {
        assert_eq!(excerpt("short", 9), "short");
        assert_eq!(excerpt("0123456789abc", 9), "012345…abc");
        assert_eq!(excerpt(&"ä".repeat(10), 9), "äää…ä");
    }
}
