//! Output: lines on standard output, and the styles of errors and warnings.

use std::fmt::Arguments;
use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};

use crate::error::Error;

/// The style of the word `error`.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();

/// The style of the word `warning`.
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Prints a line on standard output. Colours reach terminals only.
macro_rules! say {
    ($($words:tt)*) => { crate::terminal::print(format_args!($($words)*)) };
}
pub(crate) use say;

/// Prints a line on standard output; see [`say`].
///
/// A reader that closes the pipe early, as `head` does, ends the program without an error.
pub fn print(line: Arguments<'_>) {
    if let Err(error) = writeln!(anstream::stdout().lock(), "{line}") {
        let is_closed = error.kind() == ErrorKind::BrokenPipe;
        std::process::exit(if is_closed { 0 } else { 2 });
    }
}

/// Prints a line on standard error, with a mark in front of it.
pub fn warn(message: &str) {
    anstream::eprintln!("{WARNING}warning{WARNING:#}: {message}");
}

/// Prints what is left to report about a failed command.
pub fn report(error: &Error) {
    match error {
        Error::Refused(report) => anstream::eprint!("{report}"),
        Error::Reported(_) => (),
        Error::Wrong(_) | Error::Usage(_) | Error::Unreadable(_) => {
            anstream::eprintln!("{ERROR}error{ERROR:#}: {error}")
        }
    }
}
