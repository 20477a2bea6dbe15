//! The cost of the filter in a real Envoy, beside the alternatives for a part of its job:
//! `make bench`.

mod instructions;
mod policies;
mod report;
mod scenarios;
mod times;

use std::process::ExitCode;

use clap::Parser;
use testbed::backend::Backend;
use testbed::cargo::{build_filter, build_wasm};

use crate::report::Report;
use crate::scenarios::{BACKENDS, Scenario};

/// Counts instructions for each request (callgrind), and measures CPU time, throughput and latency.
#[derive(Parser)]
struct Arguments {
    /// Only count instructions, and only in scenarios with a goal.
    #[arg(long)]
    short: bool,
    /// Only run the scenarios whose names contain this string, and their plain routes.
    #[arg(long)]
    only: Option<String>,
    /// Keep callgrind's dumps in this folder, for `callgrind_annotate`.
    #[arg(long, value_name = "FOLDER")]
    profiles: Option<std::path::PathBuf>,
    /// Put the table into `tests/README.md`.
    #[arg(long)]
    readme: bool,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    let (filter, empty) = (build_wasm()?, build_filter("empty-filter", "empty_filter")?);
    let mut scenarios = scenarios::all(&empty);
    let is_wanted = |scenario: &Scenario| {
        let is_named = arguments.only.as_ref().is_none_or(|part| scenario.name.contains(part.as_str()));
        is_named && (scenario.bound.is_some() || !arguments.short)
    };
    let baselines: Vec<_> =
        scenarios.iter().filter(|wanted| is_wanted(wanted)).filter_map(|wanted| wanted.baseline).collect();
    scenarios.retain(|scenario| is_wanted(scenario) || baselines.contains(&scenario.name));
    let backends = Backend::start_all(BACKENDS).await?;
    let mut report = Report::new(&filter)?;
    for scenario in &scenarios {
        eprintln!("counting instructions: {}", scenario.name);
        let instructions = instructions::per_request(scenario, &backends, arguments.profiles.as_deref()).await?;
        report.count(scenario, instructions);
    }
    if !arguments.short {
        times::measure(&scenarios, &backends, &mut report).await?;
        report.loads = policies::measure(&backends).await?;
    }
    println!("\n{}", report.markdown());
    report.write(arguments.readme)?;
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
