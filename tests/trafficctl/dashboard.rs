//! The dashboard, the alert rules and `trafficctl top`, with a real Envoy and a real Prometheus.

use std::time::Duration;

use serde_json::{Value, json};
use testbed::backend::{Backend, Behaviour, named};
use testbed::client::Http;
use testbed::envoy::{Envoy, Setup};
use testbed::load::Background;
use testbed::policies::hash;
use testbed::prometheus::{Prometheus, promtool};
use testbed::trafficctl::Trafficctl;
use testbed::{read, wait_for};

#[test]
fn the_alert_rules_are_valid_and_pass_their_tests() {
    for arguments in [["check", "rules", "envoy/alerts.yaml"], ["test", "rules", "tests/data/alerts.test.yaml"]] {
        let output = promtool(&arguments).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// The queries of all panels, with windows that are short enough for a test.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let targets = panels.flat_map(|panel| panel["targets"].as_array().unwrap());
    let queries = targets.map(|target| target["expr"].as_str().unwrap().to_owned());
    let fill =
        |query: String| query.replace("$__rate_interval", "20s").replace("$endpoint", ".*").replace("$cohort", ".*");
    queries.map(fill).collect()
}

/// How long to wait for Prometheus, which scrapes and evaluates its rules every second.
const PROMETHEUS_PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn alert_dashboard_and_top_show_a_canary_that_fails_a_fifth_of_its_requests() {
    let backends = Backend::start_all(["v1", "v2", "dark"]).await.unwrap();
    named(&backends, "v2").behave(Behaviour { fails_one_in: Some(5), ..Behaviour::default() });
    let policy = json!({ "endpoints": [{ "name": "ranker", "route": "/rank", "traffic": { "v1": 0.7, "v2": 0.3 },
        "shadow": { "dark": { "fraction": 0.2, "methods": ["GET"] } },
        "cohorts": [{ "name": "beta", "match": { "headers": [{ "name": "x-beta", "present": true }] }, "traffic": { "v1": 1 } }] }] });
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    // The windows of the rules are too long for a test.
    let rules = read("envoy/alerts.yaml").unwrap().replace("[10m]", "[20s]").replace("[5m]", "[20s]");
    let rules = rules.replace("for: 10m", "for: 3s").replace("for: 5m", "for: 3s").replace("for: 2m", "for: 3s");
    let prometheus = Prometheus::start(envoy.admin, &rules).await.unwrap();
    let load = Background::start(&envoy.client(Http::V1), "/rank");
    // The alert.
    wait_for(PROMETHEUS_PATIENCE, "the alert fires", async || !prometheus.firing().await.unwrap().is_empty())
        .await
        .unwrap();
    let expected =
        json!({ "alertname": "CanaryErrors", "severity": "critical", "endpoint": "ranker", "backend": "v2" });
    assert_eq!(prometheus.firing().await.unwrap(), [expected]);
    // The dashboard.
    let dashboard: Value = serde_json::from_str(&read("envoy/dashboard.json").unwrap()).unwrap();
    let queries = queries(&dashboard);
    assert!(queries.len() >= 14, "{}", queries.len());
    for query in &queries {
        wait_for(PROMETHEUS_PATIENCE, query, async || !prometheus.query(query).await.unwrap().is_empty())
            .await
            .unwrap();
    }
    let errors = queries.iter().find(|query| query.contains("5xx") && !query.contains("shadow")).unwrap();
    let of = |result: &[Value], backend: &str| -> f64 {
        let found = result.iter().find(|sample| sample["metric"]["backend"] == backend).unwrap();
        found["value"][1].as_str().unwrap().parse().unwrap()
    };
    let result = prometheus.query(errors).await.unwrap();
    assert!((of(&result, "v2") - 0.2).abs() < 0.03 && of(&result, "v1") == 0.0, "{result:?}");
    let shares = prometheus.query("traffic_policy:share_seen").await.unwrap();
    assert!((of(&shares, "v2") - 0.3).abs() < 0.03, "{shares:?}");
    // `top`, for people and for programs.
    let trafficctl = Trafficctl::build("unused").unwrap();
    let admin = format!("http://{}", envoy.admin);
    let report = trafficctl.ok(["top", &admin, "--json", "--window", "7"]).unwrap();
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["policy"], format!("{:014x}", hash(&policy.to_string())));
    let row = |backend: &str| {
        let rows = report["traffic"].as_array().unwrap();
        rows.iter().find(|row| row["backend"] == backend && row["cohort"].is_null()).unwrap()
    };
    let near = |value: &Value, expected: f64, by: f64| (value.as_f64().unwrap() - expected).abs() < by;
    for (backend, asked, errors) in [("v1", 0.7, 0.0), ("v2", 0.3, 0.2)] {
        let row = row(backend);
        assert!(near(&row["share_asked"], asked, 1e-9) && near(&row["share_seen"], asked, 0.05), "{row}");
        assert!(near(&row["errors"], errors, 0.03), "{row}");
        assert!(row["requests_per_second"].as_f64().unwrap() > 10.0, "{row}");
        let (p50, p99) = (row["p50_milliseconds"].as_f64().unwrap(), row["p99_milliseconds"].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 < 10_000.0, "{row}");
    }
    let shadow = &report["shadows"][0];
    assert!(shadow["backend"] == "dark" && near(&shadow["results"]["2xx"], 1.0, 0.05), "{shadow}");
    let words = trafficctl.ok(["top", &admin, "--once", "--window", "1"]).unwrap();
    for expected in ["ranker", "v2", "30 %", "errors", "dark", "2xx"] {
        assert!(words.contains(expected), "{expected}: {words}");
    }
    assert!(!words.contains('\u{1b}'), "{words}");
    load.stop().await;
}

#[test]
fn a_wrong_admin_address_is_an_error() {
    let trafficctl = Trafficctl::build("unused").unwrap();
    let ended = trafficctl.run(["top", "http://127.0.0.1:1", "--once"]);
    assert_eq!(ended.status, Some(2));
    assert!(
        ended.stderr.contains("no answer from http://127.0.0.1:1/stats/prometheus: is it Envoy's admin address?"),
        "{ended:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn top_reads_back_each_character_that_the_name_of_a_backend_may_have() {
    // Printable ASCII except for those that end a label early.
    let name: String = ('!'..='~').filter(|c| !"\",;=\\{}".contains(*c)).collect();
    let istio = "outbound|80|v1|svc.ns.svc.cluster.local";
    let backends = Backend::start_all(["main"]).await.unwrap();
    let cluster = json!({ "cluster": "main" });
    let policy = json!({ "backends": { &name: cluster, istio: cluster },
        "endpoints": [{ "name": "e", "traffic": { &name: 0.5, istio: 0.5 } }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    let load = Background::start(&envoy.client(Http::V1), "/");
    let trafficctl = Trafficctl::build("unused").unwrap();
    let admin = format!("http://{}", envoy.admin);
    let report = trafficctl.ok(["top", &admin, "--json", "--window", "2"]).unwrap();
    load.stop().await;
    let report: Value = serde_json::from_str(&report).unwrap();
    let mut seen: Vec<_> = report["traffic"].as_array().unwrap().iter().map(|row| &row["backend"]).collect();
    seen.sort_by_key(|backend| backend.to_string());
    assert_eq!(seen, [&json!(name), &json!(istio)], "{report}");
    assert!(report["traffic"][0]["requests_per_second"].as_f64().unwrap() > 0.0, "{report}");
}
