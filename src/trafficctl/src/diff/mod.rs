//! `diff`: what a change of policy changes, and which users it moves.

mod change;
mod movement;
mod notes;
pub mod report;
mod users;

use std::path::PathBuf;

use policy::Policy;

use crate::document::file::PolicyFile;
use crate::error::{Error, Status};
use crate::report::valid_policy;
use crate::simulate::read_keys;
use crate::terminal::{self, say};
use crate::verbs::target::Named;

/// The options of `diff`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The policy in force, or the file that holds it. It can be left out: then -f or
    /// TRAFFICCTL_FILE names it.
    #[arg(value_name = "OLD")]
    first: PathBuf,
    /// The new policy, or the file that holds it.
    #[arg(value_name = "NEW", required_unless_present_any = ["option", "variable"], conflicts_with = "option")]
    second: Option<PathBuf>,
    #[command(flatten)]
    named: Named,
    /// Shard keys, one in each line: show also which of them move.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Print JSON, with each key that moves.
    #[arg(long)]
    json: bool,
    /// End with 1 if a decision changes, with 0 if none does, and with 2 if the policies can't be
    /// compared, as `diff` does for files.
    #[arg(long)]
    exit_code: bool,
}

/// Compares two policies.
///
/// # Errors
/// If a policy is not valid, or a file can't be read. With `--exit-code` also if there is a
/// difference.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let compared = compare(arguments);
    if !arguments.exit_code {
        return compared.map(|_| ());
    }
    match compared {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::Reported(Status::Wrong)),
        Err(error) => {
            terminal::report(&error);
            Err(Error::Reported(Status::Unusable))
        }
    }
}

/// Whether the policies differ, after printing how.
fn compare(arguments: &Arguments) -> Result<bool, Error> {
    let (old, new) = match &arguments.second {
        Some(second) => (arguments.first.as_path(), second),
        None => (arguments.named.file_or(None)?, &arguments.first),
    };
    let (old_file, new_file) = (PolicyFile::read(old)?, PolicyFile::read(new)?);
    let (old, new) = both_valid(valid_policy(&old_file), valid_policy(&new_file))?;
    let keys = arguments.keys.as_deref().map(read_keys).transpose()?;
    let (notes, changes) = (notes::of_policies(old, new), change::changes(old, new, keys.as_deref()));
    let differ = !notes.is_empty() || !changes.is_empty();
    if arguments.json {
        say!("{:#}", report::as_json(&notes, &changes));
        return Ok(differ);
    }
    if !differ {
        say!("no decision changes");
    }
    for note in &notes {
        say!("{}", note);
    }
    for change in &changes {
        report::show(change);
    }
    Ok(differ)
}

/// Both policies. If both are refused, the report has the errors of both.
fn both_valid<'a>(
    old: Result<&'a Policy, Error>,
    new: Result<&'a Policy, Error>,
) -> Result<(&'a Policy, &'a Policy), Error> {
    match (old, new) {
        (Err(Error::Refused(old)), Err(Error::Refused(new))) => Err(Error::Refused(old + &new)),
        (old, new) => Ok((old?, new?)),
    }
}
