//! The demo: plays the filter's main job in a real Envoy, or starts the same proxy to try by hand.

mod picture;
mod report;
mod scenes;
mod stage;

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use testbed::backend::Backend;
use testbed::envoy::{Envoy, Setup};
use testbed::policies;
use testbed::trafficctl::Trafficctl;
use tokio::signal::unix::{SignalKind, signal};

/// Plays splits, canaries, a rollout, session affinity and shadows in a real Envoy, and checks
/// every number.
#[derive(Parser)]
struct Arguments {
    /// Instead, start the proxy of envoy/envoy.yaml, and leave it up until Ctrl-C.
    #[arg(long)]
    stay: bool,
    /// Instead, draw the output of `trafficctl top` for a failing canary into this file.
    #[arg(long, value_name = "FILE", conflicts_with = "stay")]
    picture: Option<std::path::PathBuf>,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    // A signal ends the demo in order, so that nothing is left running.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hang_up = signal(SignalKind::hangup())?;
    let play = async {
        match &arguments.picture {
            Some(file) => picture::draw(file).await.map(|()| ExitCode::SUCCESS),
            None if arguments.stay => stay().await,
            None => scenes::play().await,
        }
    };
    tokio::select! {
        result = play => result,
        result = tokio::signal::ctrl_c() => {
            let code = if arguments.stay { ExitCode::SUCCESS } else { ExitCode::from(130) };
            result.map(|()| code).map_err(Into::into)
        }
        _ = terminate.recv() => Ok(ExitCode::from(143)),
        _ = hang_up.recv() => Ok(ExitCode::from(129)),
    }
}

async fn stay() -> anyhow::Result<ExitCode> {
    for port in [10000, 9901] {
        std::net::TcpListener::bind(("127.0.0.1", port)).with_context(|| {
            format!("port {port} of envoy/envoy.yaml is in use: stop the program that listens there")
        })?;
    }
    let backends = Backend::start_all(["stable", "canary", "canary-2"]).await?;
    let setup = Setup { workers: 2, fixed_ports: true, ..Setup::new(policies::shipped()?, &backends) };
    let envoy = Envoy::start(&setup).await?;
    let (address, admin, policy) = (envoy.address, envoy.admin, envoy.policy_file());
    let trafficctl = Trafficctl::build(&policy)?;
    println!(
        "
Envoy is up, with the policy of envoy/traffic-policy.yaml.

  proxy   http://{address}
  admin   http://{admin}
  policy  {policy}

Try:

  curl -i http://{address}/                          # x-traffic-backend names the backend: 9 of 10 times stable
  curl -i -H 'x-serve-shard-key: alice' http://{address}/   # always the same for alice
  curl -s http://{admin}/stats/prometheus | grep traffic_policy   # the outcomes of the copies to canary-2

Change the shares in the running proxy:

  export TRAFFICCTL_FILE={policy}
  {trafficctl} set-traffic ranker stable=0.5 canary=0.5
  {trafficctl} list

Ctrl-C ends it.",
        policy = policy.display(),
        trafficctl = trafficctl.program().display(),
    );
    std::future::pending().await
}
