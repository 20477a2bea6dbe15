//! `explain`: the decision about a request, step by step.

use anstyle::{AnsiColor, Style};
use policy::{Chance, Check, Copied, Explanation, Policy, Reason, Request, Trial};
use serde_json::{Value, json};

use crate::document::file::PolicyFile;
use crate::error::Error;
use crate::report::valid_policy;
use crate::request;
use crate::table::percent;
use crate::terminal::{Styled, say};
use crate::verbs::target::Target;

/// The options of `explain`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    request: request::Arguments,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

const TITLE: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();

/// Explains the decision about a request.
///
/// # Errors
/// If the policy or the request is not valid, or the file can't be read.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let file = PolicyFile::read(arguments.target.file()?)?;
    let policy = valid_policy(&file)?;
    let request = arguments.request.request()?;
    let explanation = policy.explain(&request);
    if arguments.json {
        say!("{:#}", as_json(policy, &explanation));
        return Ok(());
    }
    let host = request.header(":authority").next().unwrap_or_default();
    say!("{}  {} (host {})", Styled(TITLE, "request"), arguments.request.in_words(), String::from_utf8_lossy(host));
    if let Some(name) = &policy.name {
        say!("{}   {}", Styled(TITLE, "policy"), &**name);
    }
    trials("endpoint", &explanation.endpoints);
    if explanation.endpoint.is_none() {
        match &policy.default_cluster {
            Some(cluster) => say!("  no endpoint takes it: the default cluster {} serves", &**cluster),
            None => say!("  no endpoint takes it, and there is no default_cluster: the routing header is removed"),
        }
        return Ok(());
    }
    if !explanation.cohorts.is_empty() {
        trials("cohort", &explanation.cohorts);
        if explanation.cohort.is_none() {
            say!("  no cohort takes it: the endpoint's own traffic");
        }
    }
    key(&explanation);
    backends(&explanation);
    shadows(&explanation);
    Ok(())
}

fn trials(title: &str, trials: &[Trial]) {
    say!("\n{}", Styled(TITLE, title));
    let width = trials.iter().map(|trial| trial.name.len()).max().unwrap_or_default();
    for trial in trials {
        let mark = mark(trial.holds());
        let mut name = trial.name.as_str();
        for checks in &trial.alternatives {
            let reasons: Vec<_> = if trial.holds() {
                checks.iter().map(in_words).collect()
            } else {
                // One rule that does not hold is enough.
                checks.iter().filter(|check| !check.holds).take(1).map(in_words).collect()
            };
            let reasons = if checks.is_empty() { "takes any request".to_owned() } else { reasons.join("; ") };
            if name.is_empty() {
                say!("       {}  or {}", format!("{:width$}", ""), reasons);
            } else {
                say!("  {}  {}  {}", mark, format!("{name:width$}"), reasons);
            }
            name = "";
            if trial.holds() && checks.iter().all(|check| check.holds) {
                break;
            }
        }
    }
}

fn mark(is_yes: bool) -> Styled<&'static str> {
    if is_yes { Styled(GOOD, "yes") } else { Styled(BAD, "no ") }
}

fn in_words(check: &Check) -> String {
    let found = match check.found.as_slice() {
        [] => "there is none".to_owned(),
        values => values.iter().map(|value| format!("{value:?}")).collect::<Vec<_>>().join(", "),
    };
    let verb = if check.holds { "holds" } else { "does not hold" };
    format!("{} {verb}: {found}", check.rule)
}

fn key(explanation: &Explanation<'_>) {
    say!("\n{}", Styled(TITLE, "shard key"));
    if explanation.keys.is_empty() {
        say!("  the endpoint has no affinity");
    }
    for tried in &explanation.keys {
        match &tried.key {
            Some(key) => {
                let key = format!("{:?}", String::from_utf8_lossy(key));
                say!("  {}  {}: {}", mark(true), tried.source, key);
            }
            None => say!("  {}  {}: there is none", mark(false), tried.source),
        }
    }
    let affinity = explanation.endpoint.and_then(|endpoint| endpoint.affinity.as_ref());
    match (explanation.reason, explanation.point) {
        (Reason::Key, Some(point)) => say!("  falls on the point {}", format!("{point:#018x}")),
        (Reason::Generated, _) => {
            let cookie = affinity.and_then(policy::Affinity::generated_cookie).map_or("", |name| name);
            say!("  a new one is drawn, and handed out in the cookie {}", cookie);
        }
        _ => say!("  none: the request's own draw decides"),
    }
}

fn backends(explanation: &Explanation<'_>) {
    say!("\n{}  reason: {}", Styled(TITLE, "backend"), explanation.reason.name());
    let width = explanation.backends.iter().map(|standing| standing.backend.name.len()).max().unwrap_or_default();
    for standing in &explanation.backends {
        let name = format!("{:width$}", standing.backend.name);
        let share = percent(standing.share);
        let cluster = if *standing.backend.cluster == *standing.backend.name {
            String::new()
        } else {
            format!("  cluster {}", standing.backend.cluster)
        };
        match standing.score {
            Some(score) if standing.chance > 0.0 => {
                let words = format!("{name}  share {share:>9}  score {score:.4}: the lowest serves");
                say!("  {}{}", Styled(GOOD, words), cluster);
            }
            Some(score) => say!("  {}  share {:>9}  score {:.4}", name, share, score),
            None => say!("  {}  chance {:>9}{}", name, share, cluster),
        }
    }
}

fn shadows(explanation: &Explanation<'_>) {
    if explanation.shadows.is_empty() {
        return;
    }
    say!("\n{}", Styled(TITLE, "shadows"));
    let width =
        explanation.shadows.iter().map(|chance| chance.shadow.entry.backend.name.len()).max().unwrap_or_default();
    for chance in &explanation.shadows {
        let name = format!("{:width$}", chance.shadow.entry.backend.name);
        say!("  {}  chance {:>9}  {}", name, percent(chance.chance), why(chance));
    }
}

fn why(chance: &Chance<'_>) -> String {
    let shadow = chance.shadow;
    let draw = match chance.copied {
        Copied::Never(skip) => return format!("never copied: {}", skip.name()),
        Copied::ByKey if chance.chance > 0.0 => {
            format!("of {}, by key: this key is copied", percent(shadow.fraction()))
        }
        Copied::ByKey => format!("of {}, by key: this key is not copied", percent(shadow.fraction())),
        Copied::ByRequest => format!("{} of the requests, each drawn for itself", percent(shadow.fraction())),
    };
    match shadow.only_from() {
        Some(backends) => {
            let backends: Vec<_> = backends.iter().map(|name| &**name).collect();
            format!("{draw}; only of what {} serves", backends.join(" or "))
        }
        None => draw,
    }
}

fn as_json(policy: &Policy, explanation: &Explanation<'_>) -> Value {
    let check = |check: &Check| json!({ "rule": check.rule, "found": check.found, "holds": check.holds });
    let trials = |trials: &[Trial]| -> Vec<Value> {
        let trial = |trial: &Trial| {
            let alternatives: Vec<Vec<_>> =
                trial.alternatives.iter().map(|checks| checks.iter().map(check).collect()).collect();
            json!({ "name": trial.name, "holds": trial.holds(), "alternatives": alternatives })
        };
        trials.iter().map(trial).collect()
    };
    let keys = explanation
        .keys
        .iter()
        .map(|tried| json!({ "source": tried.source, "key": tried.key.as_deref().map(String::from_utf8_lossy) }));
    let backends = explanation.backends.iter().map(|standing| {
        json!({
            "name": &*standing.backend.name,
            "cluster": &*standing.backend.cluster,
            "share": standing.share,
            "score": standing.score,
            "chance": standing.chance,
        })
    });
    let shadows = explanation.shadows.iter().map(|chance| {
        json!({
            "name": &*chance.shadow.entry.backend.name,
            "fraction": chance.shadow.fraction(),
            "chance": chance.chance,
            "why": why(chance),
        })
    });
    json!({
        "policy": policy.name.as_deref(),
        "endpoint": explanation.endpoint.map(|endpoint| &*endpoint.name),
        "cohort": explanation.cohort.map(|cohort| &*cohort.name),
        "reason": explanation.endpoint.map(|_| explanation.reason.name()),
        "default_cluster": policy.default_cluster.as_deref(),
        "endpoints": trials(&explanation.endpoints),
        "cohorts": trials(&explanation.cohorts),
        "keys": keys.collect::<Vec<_>>(),
        "point": explanation.point.map(|point| format!("{point:#018x}")),
        "backends": backends.collect::<Vec<_>>(),
        "shadows": shadows.collect::<Vec<_>>(),
    })
}
