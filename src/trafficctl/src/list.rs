//! `list`: the endpoints of a policy, with their traffic and their shadows.

use policy::shadow::Shadow;
use policy::{Affinity, Policy, Traffic};
use serde_json::{Value, json};

use crate::document::file::PolicyFile;
use crate::error::Error;
use crate::report::valid_policy;
use crate::table::{Table, bar, percent};
use crate::terminal::say;
use crate::verbs::target::Target;

/// The options of `list`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Lists endpoints and cohorts.
///
/// # Errors
/// If the policy is not valid, or the file can't be read.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let file = PolicyFile::read(arguments.target.file()?)?;
    let policy = valid_policy(&file)?;
    if arguments.json {
        say!("{:#}", as_json(policy));
        return Ok(());
    }
    if let Some(name) = &policy.name {
        say!("policy {}\n", &**name);
    }
    let mut table = Table::new(["endpoint", "takes", "backend", "share", "", "shadows"]);
    for endpoint in &policy.endpoints {
        let shadows: Vec<_> = endpoint.shadows().map(shadow).collect();
        rows(&mut table, &endpoint.name, &endpoint.matching.to_string(), endpoint.traffic(), &shadows);
        for cohort in &endpoint.cohorts {
            let shadows: Vec<_> = cohort.shadows().map(shadow).collect();
            rows(&mut table, &format!("  {}", cohort.name), &cohort.matching.to_string(), cohort.traffic(), &shadows);
        }
    }
    table.right([3]);
    say!("{}", table);
    Ok(())
}

fn rows(table: &mut Table, name: &str, takes: &str, traffic: &Traffic, shadows: &[String]) {
    let shares: Vec<_> = traffic.shares().collect();
    for n in 0..shares.len().max(shadows.len()) {
        let (name, takes) = if n == 0 { (name, takes) } else { ("", "") };
        let (backend, share, bar) = match shares.get(n) {
            Some((backend, share)) => (backend.name.to_string(), percent(*share), bar(*share)),
            None => (String::new(), String::new(), String::new()),
        };
        table.row([name, takes, &backend, &share, &bar, shadows.get(n).map_or("", String::as_str)]);
    }
}

fn shadow(shadow: &Shadow) -> String {
    format!("{} {}", shadow.entry.backend.name, percent(shadow.fraction()))
}

fn as_json(policy: &Policy) -> Value {
    let traffic = |traffic: &Traffic| -> Value {
        traffic.shares().map(|(backend, share)| (backend.name.to_string(), json!(share))).collect()
    };
    let shadow = |shadow: &Shadow| (shadow.entry.backend.name.to_string(), json!(shadow.fraction()));
    let endpoints = policy.endpoints.iter().map(|endpoint| {
        let cohorts = endpoint.cohorts.iter().map(|cohort| {
            json!({
                "name": &*cohort.name,
                "takes": cohort.matching.to_string(),
                "traffic": traffic(cohort.traffic()),
                "shadow": cohort.shadows().map(shadow).collect::<Value>(),
            })
        });
        json!({
            "name": &*endpoint.name,
            "takes": endpoint.matching.to_string(),
            "traffic": traffic(endpoint.traffic()),
            "shadow": endpoint.shadows().map(shadow).collect::<Value>(),
            "keys": endpoint.affinity.as_ref().map(Affinity::sources).into_iter().flatten().collect::<Vec<_>>(),
            "cohorts": cohorts.collect::<Vec<_>>(),
        })
    });
    json!({ "name": policy.name.as_deref(), "endpoints": endpoints.collect::<Vec<_>>() })
}
