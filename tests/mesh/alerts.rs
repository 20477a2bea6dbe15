//! The alert rules, on what Prometheus scrapes from a proxy of the mesh.

use testbed::mesh::gateway::Gateway;
use testbed::prometheus::Prometheus;
use testbed::{read_yaml, wait_until};

/// Checks that the expression of an alert holds.
pub async fn assert_holds(gateway: &Gateway, alert: &str) {
    let alerts = read_yaml("envoy/alerts.yaml").unwrap();
    let rules = alerts["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap());
    let rule = rules.into_iter().find(|rule| rule["alert"] == alert).unwrap();
    let expression = rule["expr"].as_str().unwrap();
    let prometheus = Prometheus::start(gateway.status, "groups: []\n").await.unwrap();
    wait_until(&format!("the expression of {alert} holds"), async || {
        prometheus.query(expression).await.is_ok_and(|result| !result.is_empty())
    })
    .await
    .unwrap();
}
