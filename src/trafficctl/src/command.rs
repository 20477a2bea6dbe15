//! The commands, with their help.

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::Error;
use crate::terminal::print_document;
use crate::verbs::{backend, endpoint, shadow, traffic};
use crate::{check, diff, explain, list, render, simulate, top};

/// Checks, explains and changes traffic policies.
///
/// A policy is a JSON file, or part of a file that carries it to a proxy: an ECDS file, an Envoy
/// configuration, an Istio WasmPlugin, an EnvoyExtensionPolicy. trafficctl accepts what the filter
/// accepts: both run the same code.
#[derive(Parser)]
#[command(
    name = "trafficctl",
    version,
    propagate_version = true,
    after_help = "Exit status: 0 all is well; 1 a policy or a change is wrong; 2 wrong usage, or a file or a proxy that can't be read."
)]
pub struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check policies, and show each error and each warning at its line.
    #[command(after_help = "Examples:
  trafficctl check policy.json
  trafficctl check envoy/envoy.yaml                 # also its ECDS file, and whether the clusters exist
  trafficctl check --rate 50 --deny-warnings wasm-plugin.yaml")]
    Check(check::Arguments),

    /// List the endpoints, their traffic and their shadows.
    #[command(after_help = "Examples:
  trafficctl list -f traffic-policy.yaml
  TRAFFICCTL_FILE=traffic-policy.yaml trafficctl list --json")]
    List(list::Arguments),

    /// Add an endpoint.
    #[command(after_help = "Examples:
  trafficctl create-endpoint ranker --route /rank --backend model-v1 -f policy.json
  trafficctl create-endpoint search --route /search --method GET v1=0.9 v2=0.1 --before web -f policy.json")]
    CreateEndpoint(endpoint::Create),

    /// Delete an endpoint.
    #[command(after_help = "Example:
  trafficctl delete-endpoint ranker -f policy.json")]
    DeleteEndpoint(endpoint::Delete),

    /// List a backend, so that the other commands know its name.
    #[command(after_help = "Examples:
  trafficctl create-backend model-v2 -f policy.json
  trafficctl create-backend model-v2 --cluster 'outbound|8080|v2|model.prod.svc.cluster.local' -f policy.json")]
    CreateBackend(backend::Create),

    /// Delete a backend from the list, if nothing uses it.
    #[command(after_help = "Example:
  trafficctl delete-backend model-v1 -f policy.json")]
    DeleteBackend(backend::Delete),

    /// Split the traffic of an endpoint or of a cohort. Shadows stay as they are.
    #[command(after_help = "Examples:
  trafficctl set-traffic ranker model-v1=99% model-v2=1% policy.json          # a canary
  trafficctl set-traffic ranker model-v2=1 -f policy.json                     # all to the new one; -f names the file
  trafficctl set-traffic ranker --cohort ios-us model-v1=50 model-ios=50 -f policy.json")]
    SetTraffic(traffic::Set),

    /// Copy a fraction of the requests to a backend, and discard its responses.
    #[command(after_help = "Examples:
  trafficctl shadow-traffic ranker model-v3 50% --method GET -f policy.json
  trafficctl shadow-traffic ranker model-v3 0 -f policy.json                  # stop")]
    ShadowTraffic(shadow::Set),

    /// Explain the decision about a request, step by step.
    #[command(after_help = "Examples:
  trafficctl explain policy.json --path /rank -H 'x-serve-shard-key: alice'
  trafficctl explain policy.json --path '/rank?q=1' --method POST -H 'cookie: session=42' --source-ip 10.1.2.3
  trafficctl explain policy.json --property metadata/filter_metadata/envoy.filters.http.jwt_authn/payload/plan=gold")]
    Explain(explain::Arguments),

    /// Simulate requests, and count which backends serve them.
    #[command(after_help = "Examples:
  trafficctl simulate policy.json --requests 1000000
  trafficctl simulate policy.json --keys users.txt")]
    Simulate(simulate::Arguments),

    /// Show the differences between two policies, and which users they move.
    #[command(after_help = "Examples:
  trafficctl diff policy.json new-policy.json
  trafficctl diff traffic-policy.yaml new-policy.json --keys users.txt --json
  trafficctl diff --exit-code policy.json new-policy.json   # 0: no change, 1: changes, 2: trouble")]
    Diff(diff::Arguments),

    /// Show the traffic of a proxy, live.
    #[command(after_help = "Examples:
  trafficctl top                           # the proxy whose admin address is 127.0.0.1:9901
  trafficctl top 10.0.0.7:15000 --window 60
  trafficctl top --once --json | jq .traffic")]
    Top(top::Arguments),

    /// Render the configuration that carries a policy to a proxy.
    Render(render::Arguments),

    /// Print the JSON Schema of the policy, for editors.
    Schema,

    /// Print a script that completes commands and options in a shell.
    #[command(after_help = "Example:
  trafficctl completions bash > ~/.local/share/bash-completion/completions/trafficctl")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

impl CommandLine {
    /// Runs the command.
    ///
    /// # Errors
    /// What the command reports; it decides the exit status.
    pub fn run(&self) -> Result<(), Error> {
        match &self.command {
            Command::Check(arguments) => check::run(arguments),
            Command::List(arguments) => list::run(arguments),
            Command::CreateEndpoint(arguments) => endpoint::create(arguments),
            Command::DeleteEndpoint(arguments) => endpoint::delete(arguments),
            Command::CreateBackend(arguments) => backend::create(arguments),
            Command::DeleteBackend(arguments) => backend::delete(arguments),
            Command::SetTraffic(arguments) => traffic::set(arguments),
            Command::ShadowTraffic(arguments) => shadow::set(arguments),
            Command::Explain(arguments) => explain::run(arguments),
            Command::Simulate(arguments) => simulate::run(arguments),
            Command::Diff(arguments) => diff::run(arguments),
            Command::Top(arguments) => top::run(arguments),
            Command::Render(arguments) => render::run(arguments),
            Command::Schema => {
                print_document(&format!("{:#}", policy::schema()));
                Ok(())
            }
            Command::Completions { shell } => {
                let mut script = Vec::new();
                clap_complete::generate(*shell, &mut Self::command(), "trafficctl", &mut script);
                print_document(&String::from_utf8_lossy(&script));
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        CommandLine::command().debug_assert();
    }
}
