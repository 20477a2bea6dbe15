//! The decision in the request header and in the access log.

use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::connection_manager;
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup, Verdict};
use testbed::{read, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn the_request_header_and_the_access_log_carry_the_decision() {
    let backends = Backend::start_all(["v1", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let mut policy = json!({ "request_header": "X-Variant", "filter_state": "traffic_policy", "endpoints": [
        { "name": "e", "route": "/e", "traffic": { "v1": 1 }, "shadow": { "copy": 1 },
          "cohorts": [{ "name": "beta", "match": { "headers": [{ "name": "x-beta", "present": true }] }, "traffic": { "v1": 1 } }] }],
        "default_cluster": "v1" });
    // The access log of the commented lines in envoy.yaml.
    let with_log = |bootstrap: &mut Value| {
        let shipped = read("envoy/envoy.yaml").unwrap();
        let lines = shipped.lines().skip_while(|line| !line.contains("# access_log:"));
        let lines = lines.map_while(|line| line.trim_start().strip_prefix("# ")).collect::<Vec<_>>().join("\n");
        let mut log: Value = serde_saphyr::from_str(&lines).unwrap();
        log["access_log"][0]["typed_config"]["path"] = json!("/dev/stderr");
        connection_manager(bootstrap)["access_log"] = log["access_log"].clone();
    };
    let envoy = Envoy::start(&Setup { adapt: with_log, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let spoof = ("x-variant", "other");
    client.get("/e", &[spoof, ("x-beta", "1")]).await.unwrap();
    client.get("/e", &[spoof, ("x-serve-shard-key", "alice")]).await.unwrap();
    client.get("/elsewhere", &[spoof]).await.unwrap();
    let variants: Vec<_> =
        named(&backends, "v1").take_received().iter().map(|received| received.header("x-variant")).collect();
    // Where no endpoint matches, the client's own header does not arrive, either.
    assert_eq!(variants, [vec!["v1"], vec!["v1"], vec![]]);
    wait_until("the copies come", async || named(&backends, "copy").count() == 2).await.unwrap();
    for copy in named(&backends, "copy").take_received() {
        assert_eq!(copy.header("x-variant"), Vec::<String>::new());
    }
    let decisions = || -> Vec<String> {
        let log = envoy.log();
        let lines = log.lines().filter(|line| line.contains("] GET 200 "));
        lines.map(|line| line.rsplit(' ').next().unwrap().to_owned()).collect()
    };
    wait_until("Envoy writes its log", async || decisions().len() == 3).await.unwrap();
    assert_eq!(decisions(), ["e/beta/v1/random", "e/-/v1/key", "-"]);
    policy["name"] = json!("search");
    policy["routing_header"] = json!("x-traffic-cluster");
    assert_eq!(envoy.apply(&policy.to_string()).await.unwrap(), Verdict::InForce);
    client.get("/e", &[("x-serve-shard-key", "alice")]).await.unwrap();
    // Envoy's other log lines may have overwritten earlier ones: both go to one file.
    let is_there = async || decisions().iter().any(|decision| decision == "search/e/-/v1/key");
    wait_until("Envoy writes its log", is_there).await.unwrap();
}
