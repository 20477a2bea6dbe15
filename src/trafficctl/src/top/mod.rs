//! `top`: the traffic of a proxy, live.

mod admin;
mod json;
mod live;
mod numbers;
mod picture;
mod refusal;
mod sheet;
mod wrap;

use std::io::IsTerminal;
use std::time::Duration;

use ratatui::crossterm::terminal;

use crate::error::Error;
use crate::terminal::say;
use admin::Admin;
use numbers::Numbers;
use picture::Picture;
use refusal::Received;
use sheet::Sheet;

/// The options of `top`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The admin address of the proxy: HOST:PORT, or http://HOST:PORT.
    #[arg(default_value = "127.0.0.1:9901", value_name = "HOST:PORT")]
    admin: Admin,
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
    let is_terminal = std::io::stdout().is_terminal();
    if !once && !json && is_terminal {
        return live::run(admin, window, first);
    }
    std::thread::sleep(window);
    let picture = Picture::between(&first, &Numbers::read(admin)?);
    let mut received = Received::default();
    received.update(admin);
    let refusals = received.refusals(&picture);
    if *json {
        say!("{:#}", json::of(&picture, &refusals));
        return Ok(());
    }
    let width = is_terminal.then(terminal::size).and_then(Result::ok).map(|(width, _)| usize::from(width));
    let Sheet { head, body } = Sheet::new(&picture, &refusals, &admin.to_string(), width);
    for line in head.iter().chain(&body) {
        say!("{}", line);
    }
    Ok(())
}
