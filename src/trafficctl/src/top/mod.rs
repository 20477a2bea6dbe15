//! `top`: the traffic of a proxy, live.

mod json;
mod live;
mod numbers;
mod picture;
mod tables;

use std::io::IsTerminal;
use std::time::Duration;

use crate::error::Error;
use crate::terminal::say;
use numbers::Numbers;
use picture::Picture;

/// The options of `top`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The admin address of the proxy.
    #[arg(default_value = "http://127.0.0.1:9901")]
    admin: String,
    /// The time over which rates are measured, 1 to 3600 seconds. Envoy updates response times
    /// every 5 seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    window: u64,
    /// Print the table once, after the window, rather than live. This is the default without a
    /// terminal.
    #[arg(long)]
    once: bool,
    /// Print JSON, once.
    #[arg(long)]
    json: bool,
}

/// Shows the traffic of a proxy.
///
/// # Errors
/// [`Error::Unreadable`] if the proxy doesn't answer.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let Arguments { admin, window, once, json } = arguments;
    let window = Duration::from_secs(*window);
    let first = Numbers::read(admin)?;
    if !once && !json && std::io::stdout().is_terminal() {
        return live::run(admin, window, first);
    }
    std::thread::sleep(window);
    let picture = Picture::between(&first, &Numbers::read(admin)?);
    if *json {
        say!("{:#}", json::of(&picture));
        return Ok(());
    }
    say!("{}", tables::title(&picture, admin));
    if !picture.has_any {
        say!("{}", tables::NO_METRICS);
        return Ok(());
    }
    say!("{}", tables::traffic(&picture));
    if !picture.shadows.is_empty() {
        say!("{}", tables::shadows(&picture));
    }
    Ok(())
}
