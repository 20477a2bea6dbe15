//! `diff`: what a change of policy changes, and which users it moves.

mod change;
mod movement;
mod notes;
pub mod report;
mod users;

use std::path::PathBuf;

use policy::Policy;

use crate::document::file::PolicyFile;
use crate::error::Error;
use crate::report::valid_policy;
use crate::simulate::read_keys;
use crate::terminal::say;

/// The options of `diff`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The policy in force, or the file that holds it.
    old: PathBuf,
    /// The new policy, or the file that holds it.
    new: PathBuf,
    /// Shard keys, one in each line: show which of them move, rather than which part of all users.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Print JSON, with each key that moves.
    #[arg(long)]
    json: bool,
}

/// Compares two policies.
///
/// # Errors
/// If a policy is not valid, or a file can't be read.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let (old_file, new_file) = (PolicyFile::read(&arguments.old)?, PolicyFile::read(&arguments.new)?);
    let (old, new) = both_valid(valid_policy(&old_file), valid_policy(&new_file))?;
    let keys = arguments.keys.as_deref().map(read_keys).transpose()?;
    let (notes, changes) = (notes::of_policies(old, new), change::changes(old, new, keys.as_deref()));
    if arguments.json {
        say!("{:#}", report::as_json(&notes, &changes));
        return Ok(());
    }
    if notes.is_empty() && changes.is_empty() {
        say!("no decision changes");
    }
    for note in &notes {
        say!("{}", note);
    }
    for change in &changes {
        report::show(change, keys.is_some());
    }
    Ok(())
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
