//! The command-line tool: checks, explains and changes traffic policies with the code that the
//! filter runs.

mod advice;
mod check;
mod command;
mod diff;
mod document;
mod error;
mod explain;
mod lint;
mod list;
mod render;
mod report;
mod request;
mod simulate;
mod spelling;
mod table;
mod terminal;
mod top;
mod verbs;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    match command::CommandLine::parse().run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            terminal::report(&error);
            error.status().into()
        }
    }
}
