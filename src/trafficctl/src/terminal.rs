//! Output: lines on standard output and standard error, without control characters from outside.
//!
//! Whatever is printed passes through [`Show`]: names in a policy, labels of an admin page, paths
//! of files and other people's error messages can't move the cursor, forge a line or change the
//! direction of text. Only the literals of this program have line breaks, and only [`Styled`] has
//! colours.

use std::borrow::Cow;
use std::fmt::{self, Arguments, Display, Formatter};
use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use serde_json::Value;

use crate::error::Error;

/// The style of the word `error`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();

/// The style of the word `warning`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// The style of the word `note`.
pub const NOTE: Style = AnsiColor::Cyan.on_default().bold();

/// Something that can be printed: see [`Shown`].
pub trait Show {
    /// Writes it without control characters from outside.
    ///
    /// # Errors
    /// Those of the formatter.
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result;
}

/// Displays a value without control characters from outside.
pub struct Shown<'a, T: ?Sized>(pub &'a T);

/// A value in a style.
pub struct Styled<T>(pub Style, pub T);

/// Prints a line on standard output. The format string is a literal without names of variables:
/// each argument is [`Shown`].
macro_rules! say {
    ($format:literal $(, $argument:expr)* $(,)?) => {
        crate::terminal::print(format_args!(concat!($format), $(crate::terminal::Shown(&$argument)),*))
    };
}
pub(crate) use say;

/// Prints a line on standard output; see [`say`]. Colours reach terminals only.
///
/// A reader that closes the pipe early, as `head` does, ends the program without an error.
pub fn print(line: Arguments<'_>) {
    if let Err(error) = writeln!(anstream::stdout().lock(), "{line}") {
        let is_closed = error.kind() == ErrorKind::BrokenPipe;
        std::process::exit(if is_closed { 0 } else { 2 });
    }
}

/// Prints the text of a JSON or YAML document on standard output. Its lines stay; other control
/// characters become escapes, which mean the same in its strings.
pub fn print_document(text: &str) {
    print(format_args!("{}", json_escaped(text.trim_end())));
}

/// Prints a warning on standard error.
pub fn warn(message: &str) {
    complain(WARNING, "warning", message);
}

/// Prints a note on standard error.
pub fn note(message: &str) {
    complain(NOTE, "note", message);
}

/// Prints a message on standard error, after a word in a style.
pub fn complain(style: Style, word: &str, message: &str) {
    anstream::eprintln!("{style}{word}{style:#}: {}", escaped(message));
}

/// Prints what is left to report about a failed command.
pub fn report(error: &Error) {
    match error {
        Error::Refused(report) => anstream::eprint!("{report}"),
        Error::Reported(_) => (),
        Error::Wrong(_) | Error::Usage(_) | Error::Unreadable(_) => complain(ERROR, "error", &error.to_string()),
    }
}

/// The text with escapes in place of its control characters, such as `\n` and `\u{1b}`.
pub fn escaped(text: &str) -> Cow<'_, str> {
    replaced(text, is_control, |c| c.escape_default().to_string())
}

/// The text of a report that has line breaks and colours of its own, with escapes in place of all
/// other control characters.
pub fn report_escaped(text: &str) -> Cow<'_, str> {
    replaced(text, |c| is_control(c) && c != '\n' && c != '\u{1b}', |c| c.escape_default().to_string())
}

/// The text of a JSON document with JSON's escapes in place of the control characters in its
/// strings. JSON itself allows some of them there. The white space between its values stays.
pub fn json_escaped(text: &str) -> Cow<'_, str> {
    let escape = |c: char| c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")).collect();
    replaced(text, |c| is_control(c) && !['\n', '\r', '\t'].contains(&c), escape)
}

/// The control characters of ASCII and Latin-1, separators of lines, and the characters that
/// change the direction of text (Unicode's `Bidi_Control`).
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn replaced(text: &str, is_replaced: impl Fn(char) -> bool, replace: impl Fn(char) -> String) -> Cow<'_, str> {
    if !text.contains(&is_replaced) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(|c| if is_replaced(c) { replace(c) } else { c.to_string() }).collect())
}

impl<T: Show + ?Sized> Display for Shown<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.show(f)
    }
}

impl<T: Show + ?Sized> Show for &T {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (**self).show(f)
    }
}

impl Show for str {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(&escaped(self))
    }
}

impl Show for String {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (**self).show(f)
    }
}

impl Show for Cow<'_, str> {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (**self).show(f)
    }
}

impl Show for std::path::Display<'_> {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.to_string().show(f)
    }
}

impl Show for Value {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let text = if f.alternate() { format!("{self:#}") } else { self.to_string() };
        f.write_str(&json_escaped(&text))
    }
}

impl<T: Show> Show for Styled<T> {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(style, value) = self;
        write!(f, "{style}")?;
        value.show(f)?;
        write!(f, "{style:#}")
    }
}

/// Numbers have no control characters.
macro_rules! show_numbers {
    ($($number:ty),*) => {
        $(impl Show for $number {
            fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
                Display::fmt(self, f)
            }
        })*
    };
}
show_numbers!(u64, usize, f64);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Each control character, and some that are none.
    const TEXT: &str = "a\u{1b}[31m\r\n\t\0\u{7f}\u{9b}\u{202e}\u{2066}\u{2028}\u{200f}ä→\"\\";

    #[test]
    fn no_control_character_of_a_string_is_shown() {
        let expected = r#"a\u{1b}[31m\r\n\t\u{0}\u{7f}\u{9b}\u{202e}\u{2066}\u{2028}\u{200f}ä→"\"#;
        assert_eq!(escaped(TEXT), expected);
        assert_eq!(format!("{}", Shown(&Styled(Style::new(), TEXT))), expected);
        assert_eq!(format!("{:>6}|{:<6}|", Shown("\u{7}"), Shown("ab")), "\\u{7}|ab    |".replace("\\u{7}", " \\u{7}"));
        assert_eq!(report_escaped("\u{1b}[1m\n\u{9b}\r"), "\u{1b}[1m\n\\u{9b}\\r");
    }

    #[test]
    fn a_json_value_is_shown_without_control_characters_and_stays_the_same() {
        let value = json!({ TEXT: [TEXT, 1] });
        assert_eq!(json_escaped("{\r\n\t\"\u{9b}\" : 1}"), "{\r\n\t\"\\u009b\" : 1}");
        for text in [format!("{}", Shown(&value)), format!("{:#}", Shown(&value))] {
            assert!(!text.chars().any(|c| is_control(c) && c != '\n'), "{text:?}");
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
        }
    }
}
