//! The operator's hand: checks, explains and changes traffic policies with the same code that the filter runs.

/// Prints a line on standard output; colours are for terminals alone.
macro_rules! say {
    ($($words:tt)*) => { crate::print(format_args!($($words)*)) };
}

mod bars;
mod check;
mod diff;
mod edit;
mod explain;
mod file;
mod kubernetes;
mod lint;
mod list;
mod movement;
mod numbers;
mod render;
mod request;
mod simulate;
mod source;
mod store;
mod top;
mod tree;
mod verbs;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use check::ERROR;
use clap::{CommandFactory, Parser, Subcommand};

/// Checks, explains and changes traffic policies.
///
/// A policy is a JSON file, or stands in a file that carries it to a proxy: an ECDS file, an Envoy configuration, an Istio
/// WasmPlugin, an EnvoyExtensionPolicy. What is accepted here is what the filter accepts: it is the same code.
#[derive(Parser)]
#[command(
    version,
    propagate_version = true,
    after_help = "Exit status: 0 all is well; 1 a policy or a change is wrong; 2 wrong usage, or a file that can't be read."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Check policies, and show what is wrong or odd where it stands.
    #[command(after_help = "Examples:
  trafficctl check policy.json
  trafficctl check envoy/envoy.yaml                 # with its ECDS file, and whether the clusters exist
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
    CreateEndpoint(verbs::CreateEndpoint),

    /// Take an endpoint out.
    #[command(after_help = "Example:
  trafficctl delete-endpoint ranker -f policy.json")]
    DeleteEndpoint(verbs::Delete),

    /// List a backend, so that verbs know its name.
    #[command(after_help = "Examples:
  trafficctl create-backend model-v2 -f policy.json
  trafficctl create-backend model-v2 --cluster 'outbound|8080|v2|model.prod.svc.cluster.local' -f policy.json")]
    CreateBackend(verbs::CreateBackend),

    /// Take a backend out of the list, if nothing uses it.
    #[command(after_help = "Example:
  trafficctl delete-backend model-v1 -f policy.json")]
    DeleteBackend(verbs::Delete),

    /// Split the traffic of an endpoint or of a cohort. Shadows stay as they are.
    #[command(after_help = "Examples:
  trafficctl set-traffic ranker model-v1=0.99 model-v2=0.01 -f policy.json    # a canary
  trafficctl set-traffic ranker model-v2=1 -f policy.json                     # all to the new one
  trafficctl set-traffic ranker --cohort ios-us model-v1=50 model-ios=50 -f policy.json")]
    SetTraffic(verbs::SetTraffic),

    /// Copy a fraction of the requests to a backend whose answers are discarded.
    #[command(after_help = "Examples:
  trafficctl shadow-traffic ranker model-v3 0.5 --method GET -f policy.json
  trafficctl shadow-traffic ranker model-v3 0 -f policy.json                  # stop")]
    ShadowTraffic(verbs::ShadowTraffic),

    /// Explain what becomes of a request, step by step.
    #[command(after_help = "Examples:
  trafficctl explain policy.json --path /rank -H 'x-serve-shard-key: alice'
  trafficctl explain policy.json --path '/rank?q=1' --method POST -H 'cookie: session=42' --source-ip 10.1.2.3
  trafficctl explain policy.json --property metadata/filter_metadata/envoy.filters.http.jwt_authn/payload/plan=gold")]
    Explain(explain::Arguments),

    /// Show what the shares come to in requests, or for given users.
    #[command(after_help = "Examples:
  trafficctl simulate policy.json --requests 1000000
  trafficctl simulate policy.json --keys users.txt")]
    Simulate(simulate::Arguments),

    /// Show what a change of policy changes, and whom it moves.
    #[command(after_help = "Examples:
  trafficctl diff policy.json new-policy.json
  trafficctl diff traffic-policy.yaml new-policy.json --keys users.txt --json")]
    Diff(diff::Arguments),

    /// Show what a proxy does with its traffic, live.
    #[command(after_help = "Examples:
  trafficctl top                                  # of the proxy whose admin address is http://127.0.0.1:9901
  trafficctl top http://10.0.0.7:15000 --window 60
  trafficctl top --once --json | jq .traffic")]
    Top(top::Arguments),

    /// Render the configuration that carries a policy to a proxy.
    #[command(after_help = "Examples:
  trafficctl render envoy policy.json --cluster model-v1=10.0.0.1:8080 --cluster model-v2=10.0.0.2:8080 > envoy.yaml
  trafficctl render ecds policy.json > traffic-policy.yaml.new && mv traffic-policy.yaml.new traffic-policy.yaml
  trafficctl render istio policy.json --namespace istio-ingress --gateway ingressgateway | kubectl apply -f -
  trafficctl render envoy-gateway policy.json --gateway eg | kubectl apply -f -")]
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

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is well.
    Good,
    /// A policy is wrong, which has been said.
    Bad,
    /// A file can't be read, which has been said.
    Unreadable,
}

impl Outcome {
    fn good(is_good: bool) -> Self {
        if is_good { Self::Good } else { Self::Bad }
    }
}

/// Prints a line. Who has heard enough, as `head` has, is no error.
fn print(words: std::fmt::Arguments<'_>) {
    if let Err(error) = writeln!(anstream::stdout().lock(), "{words}") {
        let is_closed = error.kind() == ErrorKind::BrokenPipe;
        std::process::exit(if is_closed { 0 } else { 2 });
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(arguments.command) {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::Bad) => ExitCode::from(1),
        Ok(Outcome::Unreadable) => ExitCode::from(2),
        Err(error) => {
            anstream::eprintln!("{ERROR}error{ERROR:#}: {error:#}");
            // What can't be read is no policy that is wrong.
            let is_unreadable =
                error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() != ErrorKind::InvalidData);
            ExitCode::from(if is_unreadable { 2 } else { 1 })
        }
    }
}

fn run(command: Command) -> anyhow::Result<Outcome> {
    match command {
        Command::Check(arguments) => check::run(&arguments),
        Command::List(arguments) => list::run(&arguments),
        Command::CreateEndpoint(arguments) => verbs::create_endpoint(&arguments),
        Command::DeleteEndpoint(arguments) => verbs::delete_endpoint(&arguments),
        Command::CreateBackend(arguments) => verbs::create_backend(&arguments),
        Command::DeleteBackend(arguments) => verbs::delete_backend(&arguments),
        Command::SetTraffic(arguments) => verbs::set_traffic(&arguments),
        Command::ShadowTraffic(arguments) => verbs::shadow_traffic(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Simulate(arguments) => simulate::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Top(arguments) => top::run(&arguments),
        Command::Render(arguments) => render::run(&arguments),
        Command::Schema => {
            say!("{}", serde_json::to_string_pretty(&policy::schema())?);
            Ok(Outcome::Good)
        }
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Arguments::command(), "trafficctl", &mut script);
            say!("{}", String::from_utf8_lossy(&script).trim_end());
            Ok(Outcome::Good)
        }
    }
}
