//! `render` and shadows with `"via": "mirror"`: each target mirrors and protects the header, or
//! refuses.

use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::bootstrap::{connection_manager, routes};
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::wait_until;

use super::Desk;

/// A policy whose shadow Envoy's own mirror copies.
fn mirrored(fraction: f64) -> String {
    let shadow = json!({ "copy": { "fraction": fraction, "via": "mirror", "mirror_header": "x-mine" } });
    json!({ "endpoints": [{ "name": "e", "traffic": { "main": 1 }, "shadow": shadow }] }).to_string()
}

#[test]
fn a_shadow_that_is_switched_off_keeps_its_mirror_policy_and_its_removal() {
    for fraction in [0.0, 0.5] {
        let desk = Desk::with("policy.json", mirrored(fraction));
        for form in ["envoy", "istio --all-hosts --port 80"] {
            let rendered = desk.ok(&format!("render {form} {}", desk.file()));
            let [mirrors, removals] =
                ["- cluster_header: x-mine", "- remove: x-mine"].map(|line| rendered.matches(line).count());
            // The header is removed from clients' requests, and from copies.
            assert_eq!((mirrors, removals), (1, 2), "{form}: {rendered}");
        }
    }
}

#[test]
fn routes_that_can_not_mirror_by_a_header_are_refused() {
    for fraction in [0.0, 0.5] {
        let of_host = r#""name":"e","match":{"hosts":["a.example"]}"#;
        let desk = Desk::with("policy.json", mirrored(fraction).replace(r#""name":"e""#, of_host));
        for (options, words) in [
            (
                "envoy-gateway",
                r#"a shadow has "via": "mirror", and an HTTPRoute can't mirror by its header "x-mine": use "via": "callout""#,
            ),
            (
                "istio --routes virtual-service --host a.example:80",
                r#"a shadow has "via": "mirror", and a VirtualService can't mirror by its header "x-mine": use "via": "callout", or --routes envoy-filter"#,
            ),
        ] {
            let (form, options) = options.split_once(' ').unwrap_or((options, ""));
            let ended = desk.run(format!("render {form} {} {options}", desk.file()).trim());
            assert_eq!((ended.status, ended.stdout.as_str()), (Some(1), ""), "{form}");
            assert!(ended.stderr.contains(words), "{form}: {}", ended.stderr);
        }
    }
}

#[test]
fn a_mirror_header_that_needs_quotes_is_refused() {
    let desk = Desk::with("policy.json", mirrored(1.0).replace("x-mine", "x-%-mine"));
    for form in ["envoy", "istio --all-hosts --port 80"] {
        let ended = desk.run(&format!("render {form} {}", desk.file()));
        assert_eq!(ended.status, Some(1), "{form}");
        assert!(ended.stderr.contains(r#"the header "x-%-mine" would need quotes"#), "{}", ended.stderr);
    }
}

/// Merges `patch` into `value` as Istio merges an EnvoyFilter: lists are appended.
fn merge(value: &mut Value, patch: &Value) {
    match (value, patch) {
        (Value::Object(members), Value::Object(patch)) => {
            for (name, patch) in patch {
                merge(members.entry(name).or_insert(Value::Null), patch);
            }
        }
        (Value::Array(list), Value::Array(patch)) => list.extend(patch.iter().cloned()),
        (value, patch) => *value = patch.clone(),
    }
}

/// Applies the EnvoyFilter of [`mirrored`] to a proxy without routing and removal.
fn patch(bootstrap: &mut Value, fraction: f64) {
    let desk = Desk::with("policy.json", mirrored(fraction));
    let rendered = desk.ok(&format!("render istio --all-hosts --port 80 {}", desk.file()));
    let filter: Value = serde_saphyr::from_str(rendered.split("---\n").nth(1).unwrap()).unwrap();
    let patches = filter["spec"]["configPatches"].as_array().unwrap();
    let own = json!({ "match": { "prefix": "/" }, "direct_response": { "status": 404 } });
    *routes(bootstrap) = vec![patches[0]["patch"]["value"].clone(), own];
    let manager = connection_manager(bootstrap);
    manager.as_object_mut().unwrap().remove("early_header_mutation_extensions").unwrap();
    merge(manager, &patches[2]["patch"]["value"]["typed_config"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_inserted_route_of_istio_mirrors_and_keeps_clients_from_it() {
    let backends = Backend::start_all(["main", "copy", "secret"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let [on, off]: [fn(&mut Value); 2] = [|bootstrap| patch(bootstrap, 1.0), |bootstrap| patch(bootstrap, 0.0)];
    for (policy, adapt, copied) in [
        (mirrored(1.0), on, 20),
        (mirrored(0.0), off, 0),
        (json!({ "endpoints": [{ "name": "e", "traffic": { "main": 1 } }] }).to_string(), on, 0),
    ] {
        let envoy = Envoy::start(&Setup { adapt, ..Setup::new(policy.clone(), &backends) }).await.unwrap();
        let client = envoy.client(Http::V1);
        for _ in 0..20 {
            let answer = client.get("/", &[("x-mine", "secret")]).await.unwrap();
            assert_eq!(served_by(&answer), Some("main"));
        }
        wait_until("the copies come", async || named(&backends, "copy").count() >= copied).await.unwrap();
        assert_eq!(named(&backends, "copy").take_count(), copied, "{policy}");
        assert_eq!(envoy.stat("cluster.secret.upstream_cx_total").await.unwrap(), 0, "{policy}");
        for copy in named(&backends, "copy").take_received() {
            assert_eq!(copy.header("x-traffic-shadow"), ["copy"]);
            assert_eq!(copy.header("x-mine"), Vec::<String>::new());
        }
    }
}
