//! The command that runs Envoy: plainly, under callgrind, or with a clock of its own.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use anyhow::{Context, bail, ensure};

use crate::project;
use crate::setup::Setup;

/// The command for `setup`, without arguments for Envoy; its files go to `folder`.
pub(crate) fn command(setup: &Setup, folder: &Path) -> anyhow::Result<Command> {
    let mut command = if setup.callgrind { under_callgrind(folder)? } else { Command::new(executable()?) };
    if setup.own_clock {
        own_clock(&mut command, folder)?;
    }
    Ok(command)
}

/// The Envoy that the environment variable `ENVOY` names, or the one that `make tools` has
/// installed.
///
/// # Errors
/// When there is none.
pub fn executable() -> anyhow::Result<PathBuf> {
    let own = project().join(".tools/venv/bin/envoy");
    let path = std::env::var_os("ENVOY").filter(|path| !path.is_empty()).map_or(own, PathBuf::from);
    if path.components().count() > 1 && !path.exists() {
        bail!("there is no Envoy at {}: run `make tools`, or name one with ENVOY=", path.display());
    }
    static SAY_ONCE: Once = Once::new();
    SAY_ONCE.call_once(|| eprintln!("Envoy: {}", path.display()));
    Ok(path)
}

/// Runs Envoy itself under callgrind, not the script that PyPI's package installs in its place.
fn under_callgrind(folder: &Path) -> anyhow::Result<Command> {
    let script = executable()?;
    let is_script = fs::read(&script)?.starts_with(b"#!");
    let mut program = Some(script.clone()).filter(|_| !is_script);
    let libraries = script.parent().and_then(Path::parent).map(|venv| venv.join("lib"));
    for python in libraries.iter().filter(|_| is_script).flat_map(fs::read_dir).flatten().flatten() {
        program = Some(python.path().join("site-packages/envoy/_bin/envoy")).filter(|path| path.exists()).or(program);
    }
    let mut command = Command::new("valgrind");
    command
        .args(["--tool=callgrind", "--smc-check=all-non-file", "--instr-atstart=no", "--quiet"])
        .arg(format!("--callgrind-out-file={}", folder.join("callgrind").display()))
        .arg(program.with_context(|| format!("{} is a script, and there is no Envoy beside it", script.display()))?);
    Ok(command)
}

/// Gives a program a clock of its own.
fn own_clock(command: &mut Command, folder: &Path) -> anyhow::Result<()> {
    set_clock(folder, 0)?;
    let library = folder.join("clock.so");
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(project().join("tests/testbed/clock.c"));
    let status = compiler.status().context("start cc")?;
    ensure!(status.success(), "cc: {status}");
    command.env("LD_PRELOAD", library).env("CLOCK_OFFSET", folder.join("clock"));
    Ok(())
}

/// Sets the clock of the Envoy whose files are in `folder`.
pub(crate) fn set_clock(folder: &Path, offset: i64) -> anyhow::Result<()> {
    // In place, since the file is mapped into Envoy's memory.
    let mut clock = fs::OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("clock"))?;
    Ok(clock.write_all(&offset.to_ne_bytes())?)
}
