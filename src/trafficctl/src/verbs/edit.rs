//! A change to a policy in its file, made only if the result is valid.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use super::names::{new_backends, refuse_misspelt};
use super::target::EditTarget;
use crate::advice::Advice;
use crate::diff::report::summary;
use crate::document::change::Change;
use crate::document::edit::edited;
use crate::document::file::{Judged, PolicyFile};
use crate::document::outline::name_of;
use crate::document::store::Locked;
use crate::error::Error;
use crate::terminal::{escaped, say};
use crate::{lint, report};
use policy::{Finding, Step};

/// Makes the changes that `changes` derives from the policy and from the resource that encloses it,
/// in words. `operand` may name its file.
///
/// # Errors
/// [`Error::Refused`] if the result is not valid, [`Error::Wrong`] if it has a new name that is
/// probably misspelt, and whatever reading, `changes` and writing can fail with. The file is
/// unchanged then.
pub fn edit(
    target: &EditTarget,
    operand: Option<&Path>,
    changes: impl FnOnce(&Value, &str) -> Result<Vec<Change>, Error>,
) -> Result<(), Error> {
    let path = target.file(operand)?;
    let locked = Locked::open(path, target.follow, target.lock_timeout())?;
    let before = PolicyFile::read(path)?;
    let old = before.only_policy()?;
    let Some(value) = &old.value else {
        return Err(Error::Refused(report::text(&before, old, &lint::findings(old, &lint::Context::default()))));
    };
    let changes = changes(value, &old.resource)?;
    if changes.is_empty() {
        say!("{}: nothing to change", path.display());
        return Ok(());
    }
    let after = edited(&before, old, value, &changes)?;
    let new = after.only_policy()?;
    let new_value = new.value.as_ref().unwrap_or(value);
    let mut findings = new_findings((&before, old), (&after, new));
    findings.extend(new_backends(value, new_value, &before.proxy.clusters));
    let report = report::text(&after, new, &findings);
    let Some(policy) = new.policy() else {
        let path = path.display().to_string();
        let message = format!("{}: not changed, since the policy would be refused\n", escaped(&path));
        return Err(Error::Refused(report + &message));
    };
    if !target.new {
        refuse_misspelt(value, new_value, &before.proxy.clusters)?;
    }
    anstream::eprint!("{report}");
    if let Some(not_json) = &after.not_json {
        not_json.report();
    }
    if !target.dry_run {
        locked.replace(&after.text)?;
    }
    say!("{}: {}", path.display(), if target.dry_run { "would change" } else { "changed" });
    for change in &changes {
        say!("  {}", change.to_string());
    }
    if let Some(old) = old.policy() {
        summary(old, policy);
    }
    Ok(())
}

/// The errors of the new policy, and those of its warnings that the old one does not have.
fn new_findings((before, old): (&PolicyFile, &Judged), (after, new): (&PolicyFile, &Judged)) -> Vec<Advice> {
    let context = |file: &PolicyFile| lint::Context { is_change: true, mesh: file.mesh.clone(), ..Default::default() };
    let known: HashSet<_> =
        lint::findings(old, &context(before)).iter().map(|advice| identity(old, &advice.finding)).collect();
    let mut findings = lint::findings(new, &context(after));
    findings.retain(|advice| advice.finding.is_error() || !known.contains(&identity(new, &advice.finding)));
    findings
}

/// The parts of a finding that are the same before and after an unrelated change: its place, with
/// the names of endpoints and cohorts instead of their numbers, the problem and the remedy.
fn identity(policy: &Judged, finding: &Finding) -> (Vec<Step>, String, String) {
    let mut steps = finding.place.steps().to_vec();
    let mut enclosing = policy.value.as_ref();
    for (n, name) in ["endpoints", "cohorts"].into_iter().enumerate() {
        let Some([Step::Member(member), element]) = steps.get_mut(2 * n..2 * n + 2) else { break };
        let Step::Element(number) = *element else { break };
        if member != name {
            break;
        }
        enclosing = enclosing.and_then(|value| value.get(name)?.get(number));
        *element = Step::from(enclosing.map(name_of).unwrap_or_default());
    }
    (steps, finding.problem.clone(), finding.remedy.clone())
}
