//! Edits of lists and objects that are written in brackets, whose parts are separated by commas.

use std::ops::Range;

use super::lines::{end_of_line, indent_of, line_end, splice, start_of_line, start_with_comments};

/// Inserts `part` before the part with number `n`, and separates them as the others are separated.
///
/// `whole` is the position of the list or object, `parts` are those of its parts. An empty one is
/// written again, between `open` and `close`.
pub fn insert(
    text: &str,
    whole: &Range<usize>,
    parts: &[Range<usize>],
    n: usize,
    part: &str,
    [open, close]: [&str; 2],
) -> String {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return splice(text, whole.clone(), &format!("{open}{part}{close}"));
    };
    // If the first part has a line of its own, the new one gets one, too.
    let is_alone = text.get(whole.start + 1..first.start).is_some_and(|lead| lead.contains('\n'));
    let lead = if is_alone { format!("{}{}", line_end(text), indent_of(text, first.start)) } else { " ".to_owned() };
    match parts.get(n) {
        Some(next) if is_alone => {
            let start = start_with_comments(text, next.start);
            splice(text, start..start, &format!("{}{part},{}", indent_of(text, first.start), line_end(text)))
        }
        Some(next) => splice(text, next.start..next.start, &format!("{part}, ")),
        None => splice(text, last.end..last.end, &format!(",{lead}{part}")),
    }
}

/// Removes the part with number `n`, and one of the commas beside it; `None` if there is no such
/// part.
pub fn remove(text: &str, parts: &[Range<usize>], n: usize) -> Option<String> {
    let part = parts.get(n)?;
    let (previous, next) = (n.checked_sub(1).and_then(|n| parts.get(n)), parts.get(n + 1));
    // A part that has lines of its own goes with these lines, and with the comments on them.
    let is_alone = |other: Option<&Range<usize>>, between: Range<usize>| {
        other.is_none() || text.get(between).is_some_and(|between| between.contains('\n'))
    };
    let is_at_start = text.get(start_of_line(text, part.start)..part.start).is_some_and(|lead| lead.trim().is_empty());
    if is_at_start && next.is_some() && is_alone(next, part.end..next.map_or(part.end, |next| next.start)) {
        return Some(splice(text, start_with_comments(text, part.start)..end_of_line(text, part.end), ""));
    }
    let range = match (previous, next) {
        (Some(previous), _) => previous.end..part.end,
        (None, Some(next)) => part.start..next.start,
        (None, None) => part.clone(),
    };
    if let (Some(previous), None) = (previous, next) {
        // The last part: the comma before it goes, but a comment on the previous part stays.
        let between = text.get(previous.end..part.start)?;
        if is_at_start && let (Some(comma), Some(line)) = (between.find(','), between.find('\n')) {
            let comment = between.get(comma + 1..line.max(comma + 1))?.trim_end().to_owned();
            return Some(splice(text, range, &comment));
        }
    }
    Some(splice(text, range, ""))
}
