//! Lines of a text, by offsets into it.

use std::ops::Range;

/// `text` with `new` in place of a part of it.
pub fn splice(text: &str, range: Range<usize>, new: &str) -> String {
    let (before, after) = (text.get(..range.start).unwrap_or_default(), text.get(range.end..).unwrap_or_default());
    format!("{before}{new}{after}")
}

/// How the lines of the text end.
pub fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

/// The start of the line that contains `at`.
pub fn start_of_line(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1)
}

/// The start of the next line.
pub fn end_of_line(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length + 1)
}

/// The blanks at the start of the line that contains `at`.
pub fn indent_of(text: &str, at: usize) -> &str {
    let line = text.get(start_of_line(text, at)..at).unwrap_or_default();
    line.get(..line.len() - line.trim_start().len()).unwrap_or_default()
}

/// The start of the line that contains `at`, or of the comments right above it: they belong to it.
pub fn start_with_comments(text: &str, at: usize) -> usize {
    let indent = indent_of(text, at);
    let mut start = start_of_line(text, at);
    while start > 0 {
        let above = start_of_line(text, start - 1);
        let is_comment =
            text.get(above..start).and_then(|line| line.strip_prefix(indent)).is_some_and(|line| line.starts_with('#'));
        if !is_comment {
            break;
        }
        start = above;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_above_a_line_belong_to_it() {
        let text = "a\n  # of another\n    # one\n    # two\n    here: 1\n";
        let at = text.find("here").unwrap();
        assert_eq!(text.get(start_with_comments(text, at)..), Some("    # one\n    # two\n    here: 1\n"));
        assert_eq!(indent_of(text, at), "    ");
        assert_eq!(end_of_line(text, at), text.len());
    }
}
