//! Where a decision and its counts can be seen: labels, headers, access log, documentation.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::connection_manager;
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup};
use testbed::{read, read_yaml, wait_until};

#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_and_the_access_log_are_told_the_decision() {
    let backends = Backend::start_all(["v1", "copy"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let policy = json!({ "request_header": "X-Variant", "filter_state": "traffic_policy", "endpoints": [
        { "name": "e", "route": "/e", "traffic": { "v1": 1 }, "shadow": { "copy": 1 },
          "cohorts": [{ "name": "beta", "match": { "headers": [{ "name": "x-beta", "present": true }] }, "traffic": { "v1": 1 } }] }],
        "default_cluster": "v1" });
    // As the commented lines of envoy.yaml say.
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
    let told: Vec<_> =
        named(&backends, "v1").take_received().iter().map(|received| received.header("x-variant")).collect();
    // Where no endpoint matches the client tells nothing, either.
    assert_eq!(told, [vec!["v1"], vec!["v1"], vec![]]);
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
}

#[test]
fn istio_gets_the_same_labels_as_envoy() {
    let tags = read_yaml("envoy/envoy.yaml").unwrap()["stats_config"]["stats_tags"].clone();
    let tags: Vec<_> = tags.as_array().unwrap().iter().map(|tag| tag["tag_name"].clone()).collect();
    let of_istio =
        read_yaml("envoy/istio-stat-tags.yaml").unwrap()["meshConfig"]["defaultConfig"]["extraStatTags"].clone();
    assert_eq!(of_istio.as_array().unwrap().iter().collect::<std::collections::HashSet<_>>(), tags.iter().collect());
    // Istio makes each regex of this form from the name.
    for tag in read_yaml("envoy/envoy.yaml").unwrap()["stats_config"]["stats_tags"].as_array().unwrap() {
        assert_eq!(tag["regex"], format!(r"({}=\.=(.*?);\.;)", tag["tag_name"].as_str().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_readmes_table_names_each_metric_and_label() {
    let readme = read("README.md").unwrap();
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in readme.lines().filter(|line| line.starts_with("| `traffic_policy_")) {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let labels = cells[3].split(", ").map(|label| label.trim_matches('`').to_owned());
        documented.insert(cells[1].trim_matches('`').to_owned(), labels.collect());
    }
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": { "main": 1 }, "shadow": { "copy": 1 },
        "cohorts": [{ "name": "c", "match": { "headers": [{ "name": "x-c", "present": true }] }, "traffic": { "main": 1 } }] }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    // A value that is not UTF-8 is left out of the copy, and that is counted.
    client.send("GET", "/", [("x-c", b"\xff".as_slice())], Bytes::new()).await.unwrap();
    client.get("/", &[]).await.unwrap();
    wait_until("the copies are answered", async || envoy.outcomes("copy", "2xx").await.unwrap() == 2).await.unwrap();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in envoy.admin("/stats/prometheus").await.unwrap().lines() {
        let Some((name, rest)) = line.split_once('{').filter(|(name, _)| name.starts_with("traffic_policy_")) else {
            continue;
        };
        let name = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(name);
        let labels =
            rest.split_once('}').unwrap().0.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        seen.entry(name.to_owned()).or_default().extend(labels.filter(|label| label != "le"));
    }
    assert_eq!(documented, seen);
}
