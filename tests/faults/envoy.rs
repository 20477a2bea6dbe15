//! An Envoy that is killed, and one that is restarted hot.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use http::StatusCode;
use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::client::{Client, Http};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::{hash, one_endpoint};
use testbed::process::Running;
use testbed::socket::free_address;
use testbed::{executable, wait_until};

use super::load::{KEYS, Load};

/// Three backends, and a policy that splits keys among them.
async fn split_in_three() -> (Vec<Backend>, String) {
    let backends = Backend::start_all(["v1", "v2", "v3"]).await.unwrap();
    (backends, one_endpoint(json!({ "name": "ranker", "traffic": { "v1": 0.5, "v2": 0.3, "v3": 0.2 } })))
}

/// Waits until each key has been sent at least twice more.
async fn wait_for_each_key(backends: &[Backend]) {
    let sent = || backends.iter().map(Backend::count).sum::<u64>();
    let before = sent();
    wait_until("load flows", async || sent() > before + 2 * KEYS).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_envoy_that_is_killed_under_load_and_started_again_places_every_key_as_before() {
    let (backends, policy) = split_in_three().await;
    let setup = Setup { workers: 2, ..Setup::new(policy, &backends) };
    let first = Envoy::start(&setup).await.unwrap();
    let load = Load::start(first.client(Http::V1));
    wait_for_each_key(&backends).await;
    drop(first);
    let second = Envoy::start(&setup).await.unwrap();
    load.turn_to(second.client(Http::V2));
    wait_for_each_key(&backends).await;
    let served = load.stop().await;
    println!("{} requests found no Envoy", served.failed);
    served.assert_no_key_moved();
}

/// An Envoy that hands over to another process, or takes over from one. Dropping the value kills
/// it.
struct Epoch(Running);

impl Epoch {
    /// Starts the epoch `number` of an Envoy whose files are in `folder`, and waits until it
    /// serves.
    async fn start(folder: &Path, number: u32) -> (Self, Client) {
        let base = folder.join("base-id");
        let admin = folder.join(format!("admin-{number}"));
        let mut command = Command::new(executable().unwrap());
        command.arg("--config-path").arg(folder.join("hot.json")).arg("--admin-address-path").arg(&admin);
        match number {
            0 => command.arg("--use-dynamic-base-id").arg("--base-id-path").arg(&base),
            _ => command.args(["--base-id", std::fs::read_to_string(&base).unwrap().trim()]),
        };
        let log = std::fs::File::create(folder.join(format!("log-{number}"))).unwrap();
        command.args(["--restart-epoch", &number.to_string(), "--concurrency", "2", "--log-level", "warning"]);
        command.args(["--drain-time-s", "1", "--drain-strategy", "immediate", "--parent-shutdown-time-s", "3"]);
        let epoch = Self(Running::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log)).unwrap());
        let mut client = None;
        wait_until("the epoch serves", async || {
            let Ok(address) = std::fs::read_to_string(&admin) else { return false };
            let Ok(address) = address.trim().parse() else { return false };
            let client = client.insert(Client::new(address, Http::V1));
            client.get("/ready", &[]).await.is_ok_and(|answer| answer.status() == StatusCode::OK)
        })
        .await
        .unwrap_or_else(|error| {
            panic!("{error}: {}", std::fs::read_to_string(folder.join(format!("log-{number}"))).unwrap())
        });
        (epoch, client.unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hot_restart_loses_no_request_and_places_every_key_as_before() {
    let (backends, policy) = split_in_three().await;
    // Only its files are needed, for the two epochs.
    let model = Envoy::start(&Setup::new(policy.as_str(), &backends)).await.unwrap();
    let mut bootstrap: Value =
        serde_json::from_str(&std::fs::read_to_string(model.folder().join("envoy.json")).unwrap()).unwrap();
    // The epochs recognise the listener by its address, so it can't have any free port.
    let port = free_address().unwrap().port();
    bootstrap["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] = json!(port);
    std::fs::write(model.folder().join("hot.json"), bootstrap.to_string()).unwrap();
    let (mut first, _) = Epoch::start(model.folder(), 0).await;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let loads = [Http::V1, Http::V2].map(|http| Load::start(Client::new(address, http)));
    wait_for_each_key(&backends).await;
    let (_second, admin) = Epoch::start(model.folder(), 1).await;
    wait_until("the first epoch ends", async || first.0.has_ended()).await.unwrap();
    // Not before: as long as both epochs live, Envoy adds up their gauges.
    let page = admin.get("/stats?filter=policy_info", &[]).await.unwrap();
    let page = String::from_utf8_lossy(page.body()).into_owned();
    assert_eq!(page.trim().rsplit_once(": ").unwrap().1, hash(&policy).to_string(), "{page}");
    wait_for_each_key(&backends).await;
    for load in loads {
        let served = load.stop().await;
        assert_eq!(served.failed, 0);
        served.assert_no_key_moved();
    }
}
