//! `render admission`: the rules that a Kubernetes API server checks by itself.

use testbed::project;

use super::Desk;

#[test]
fn the_shipped_rules_are_the_output_of_render() {
    let rendered = Desk::with("policy.json", "").ok("render admission");
    let path = project().join("envoy/istio-admission.yaml");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &rendered).unwrap();
    }
    let shipped = std::fs::read_to_string(path).unwrap_or_default();
    assert!(rendered == shipped, "envoy/istio-admission.yaml is not current: run this test with UPDATE=1");
}

#[test]
fn the_objects_have_the_name_and_the_action_of_the_options() {
    let rendered = Desk::with("policy.json", "").ok("render admission --name team-a --warn");
    let objects: Vec<serde_json::Value> =
        rendered.split("---\n").map(|document| serde_saphyr::from_str(document).unwrap()).collect();
    let [rules, binding] = objects.as_slice() else { panic!("{} objects", objects.len()) };
    assert_eq!(rules["metadata"]["name"], "team-a");
    assert_eq!(binding["metadata"]["name"], "team-a");
    assert_eq!(binding["spec"]["policyName"], "team-a");
    assert_eq!(binding["spec"]["validationActions"], serde_json::json!(["Warn"]));
}

#[test]
fn the_rules_are_small_enough_for_a_client_side_apply() {
    let rendered = Desk::with("policy.json", "").ok("render admission");
    // `kubectl apply` keeps a copy in an annotation of at most 256 KiB.
    assert!(rendered.len() < 150_000, "{} bytes", rendered.len());
}
