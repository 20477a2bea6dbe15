//! Strings in several lines.

/// A string in pieces of at most `width` characters: it breaks at a space, or else behind a
/// separator of names, or else anywhere.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut rest: Vec<char> = text.chars().collect();
    let mut pieces = Vec::new();
    while rest.len() > width {
        let space = rest.iter().take(width + 1).rposition(|c| *c == ' ').filter(|at| *at > 0);
        let separator = || rest.iter().take(width).rposition(|c| "-_/|.".contains(*c)).map(|at| at + 1);
        let at = space.or_else(separator).unwrap_or(width);
        let tail = rest.split_off(at);
        pieces.push(rest.iter().collect());
        rest = tail.into_iter().skip(usize::from(space.is_some())).collect();
    }
    pieces.push(rest.into_iter().collect());
    pieces
}

/// The number of characters.
pub fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_breaks_at_spaces_then_behind_separators_then_anywhere() {
        for (text, width, expected) in [
            ("model-v1", 8, vec!["model-v1"]),
            ("model-v1", 7, vec!["model-", "v1"]),
            ("abcdefgh", 3, vec!["abc", "def", "gh"]),
            ("a b cd", 3, vec!["a b", "cd"]),
            ("", 3, vec![""]),
            ("ab", 0, vec!["a", "b"]),
        ] {
            assert_eq!(wrapped(text, width), expected, "{text} {width}");
        }
    }
}
