//! The Python programs of `tests/data`, which print one JSON value on each line.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use anyhow::{Context, ensure};
use serde::de::DeserializeOwned;

use crate::project;

/// Runs a program, whose path is relative to `tests/data`, and calls `take` with each value while
/// the program still runs.
///
/// # Errors
/// When the program can't be started or fails, or prints something that is not a `T`.
pub fn json_lines<T: DeserializeOwned>(
    program: &str,
    arguments: &[String],
    stdin: Stdio,
    mut take: impl FnMut(T),
) -> anyhow::Result<()> {
    let mut child = Command::new("python3")
        .arg(project().join("tests/data").join(program))
        .args(arguments)
        // Leaves no compiled modules in the project's folder.
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(stdin)
        .stdout(Stdio::piped())
        .spawn()?;
    let output = child.stdout.take().context("the program has no output")?;
    for line in BufReader::new(output).lines() {
        take(serde_json::from_str(&line?).with_context(|| program.to_owned())?);
    }
    let status = child.wait()?;
    ensure!(status.success(), "{program}: {status}");
    Ok(())
}
