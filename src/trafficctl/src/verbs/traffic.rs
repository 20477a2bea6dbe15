//! `set-traffic`.

use serde_json::{Value, json};

use super::edit::edit;
use super::lookup::{list_backends, plan, require_backends};
use super::share::{EXPECTED, ShareOrFile, split, traffic};
use super::target::EditTarget;
use super::word::name;
use crate::document::change::Change;
use crate::document::embedded::value_at;
use crate::document::outline::{is_listed, mentions};
use crate::error::Error;

/// The options of `set-traffic`.
#[derive(clap::Args)]
pub struct Set {
    /// The endpoint.
    #[arg(value_parser = name)]
    endpoint: String,
    /// All backends that serve it from now on, with their shares: BACKEND=0.9, or BACKEND=90%. They
    /// add up to 1, or to 100. Then the file of the policy, unless -f or TRAFFICCTL_FILE names it.
    #[arg(required = true, value_name = "BACKEND=SHARE|FILE")]
    words: Vec<ShareOrFile>,
    /// Change the traffic of this cohort of the endpoint.
    #[arg(long, value_parser = name)]
    cohort: Option<String>,
    #[command(flatten)]
    target: EditTarget,
}

/// Gives an endpoint or a cohort new shares.
///
/// # Errors
/// See [`edit`].
pub fn set(arguments: &Set) -> Result<(), Error> {
    let Set { endpoint, words, cohort, target } = arguments;
    let (shares, operand) = split(words)?;
    if shares.is_empty() {
        return Err(Error::Usage(format!("no share: {EXPECTED}")));
    }
    edit(target, operand, |policy, _| {
        let place = plan(policy, endpoint, cohort.as_deref())?.member("traffic");
        let new = traffic(&shares)?;
        require_backends(policy, new.keys())?;
        let old = value_at(policy, place.steps()).and_then(Value::as_object).cloned().unwrap_or_default();
        let added = new.iter().filter(|(backend, share)| old.get(*backend) != Some(share));
        let removed = || old.keys().filter(|backend| !new.contains_key(*backend));
        // Removals come last, so that the object is never empty in between.
        let mut changes: Vec<Change> =
            added.map(|(backend, share)| Change::set(place.member(backend), share.clone())).collect();
        changes.extend(removed().map(|backend| Change::Remove(place.member(backend))));
        // A policy that lists its backends keeps the ones that are not used any more: a rollback
        // needs them.
        if policy.get("backends").is_some() {
            let mentions = mentions(policy);
            let is_last = |backend: &&String| mentions.get(backend.as_str()).is_some_and(|places| places.len() == 1);
            let unused = removed().filter(is_last).filter(|backend| !is_listed(policy, backend));
            changes.extend(list_backends(policy, unused.map(|backend| (backend.clone(), json!({})))));
        }
        Ok(changes)
    })
}
