//! Metrics and their labels, as Envoy and Istio have them.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use policy::metrics::Metric;
use serde_json::json;
use testbed::backend::Backend;
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup};
use testbed::{read_yaml, wait_until};

#[test]
fn istio_has_the_same_labels_as_envoy() {
    let tags = read_yaml("envoy/envoy.yaml").unwrap()["stats_config"]["stats_tags"].clone();
    let tags = tags.as_array().unwrap();
    let names: BTreeSet<_> = tags.iter().map(|tag| tag["tag_name"].as_str().unwrap()).collect();
    let istio = read_yaml("envoy/istio-stat-tags-helm.yaml").unwrap();
    let of_istio = istio["meshConfig"]["defaultConfig"]["extraStatTags"].as_array().unwrap();
    assert_eq!(of_istio.iter().map(|name| name.as_str().unwrap()).collect::<BTreeSet<_>>(), names);
    // Istio makes the same regexes from the names.
    for tag in tags {
        assert_eq!(tag["regex"], format!(r"({}=\.=(.*?);\.;)", tag["tag_name"].as_str().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_has_exactly_its_labels_in_envoy() {
    let backends = Backend::start_all(["main", "copy"]).await.unwrap();
    let policy = json!({ "name": "p", "routing_header": "x-traffic-cluster", "endpoints": [{ "name": "e", "traffic": { "main": 1 }, "shadow": { "copy": 1 },
        "cohorts": [{ "name": "c", "match": { "headers": [{ "name": "x-c", "present": true }] }, "traffic": { "main": 1 } }] }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    // The copy lacks a value that is not UTF-8, and a metric counts that.
    client.send("GET", "/", [("x-c", b"\xff".as_slice())], Bytes::new()).await.unwrap();
    client.get("/", &[]).await.unwrap();
    wait_until("the copies are answered", async || envoy.outcomes("copy", "2xx").await.unwrap() == 2).await.unwrap();
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, series) in envoy.series().await.unwrap() {
        let name = ["_bucket", "_count", "_sum"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
        let labels =
            series.iter().flat_map(|labels| labels.split("\",")).filter_map(|label| Some(label.split_once('=')?.0));
        let labels = labels.filter(|label| *label != "le").map(str::to_owned);
        seen.entry(name.to_owned()).or_default().extend(labels);
    }
    let labels = |metric: Metric| metric.labels().map(|label| label.key().to_owned()).collect();
    let published: BTreeMap<_, BTreeSet<_>> =
        Metric::ALL.into_iter().map(|metric| (metric.name().to_owned(), labels(metric))).collect();
    assert_eq!(seen, published);
}
