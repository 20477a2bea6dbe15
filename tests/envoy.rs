//! The real filter in a real Envoy, over real sockets.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use policy::Policy;
use policy::placement::Salt;
use serde_json::{Value, json};
use testbed::backend::{Backend, named};
use testbed::cases::{self, Table};
use testbed::client::{Http, served_by};
use testbed::envoy::{
    Envoy, Setup, Verdict, add_mirror, connection_manager, executable, one_endpoint, routes, shipped_policy,
};
use testbed::load::{self, Background};
use testbed::statistics::{FALSE_ALARM, binomial_bounds, chi_squared_p};
use testbed::{build_wasm, project, wait_until};

#[test]
fn the_shipped_files_are_valid() {
    build_wasm().unwrap();
    let output = Command::new(executable().unwrap())
        .args(["--mode", "validate", "--config-path", "envoy/envoy.yaml"])
        .current_dir(project())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_policy_is_in_force() {
    let backends = Backend::start_all(["stable", "canary", "canary-2"]).await.unwrap();
    let envoy = Envoy::start(&Setup::new(shipped_policy().unwrap(), &backends)).await.unwrap();
    let answer = envoy.client(Http::V1).get("/", &[]).await.unwrap();
    assert_eq!(served_by(&answer), answer.headers()["x-traffic-backend"].to_str().ok());
}

#[test]
fn the_module_exports_no_callback_that_it_does_not_use() {
    let module = std::fs::read(build_wasm().unwrap()).unwrap();
    let parts = wasmparser::Parser::new(0).parse_all(&module);
    let mut exported = BTreeSet::new();
    for part in parts {
        if let wasmparser::Payload::ExportSection(exports) = part.unwrap() {
            exported.extend(exports.into_iter().map(|export| export.unwrap().name.to_owned()));
        }
    }
    let callbacks: BTreeSet<_> = exported.iter().filter(|name| name.starts_with("proxy_on_")).cloned().collect();
    // Those that the shipped configuration lets Envoy call: each is there for something.
    let shipped = std::fs::read_to_string(project().join("envoy/traffic-policy.yaml")).unwrap();
    let allowed = shipped.lines().filter_map(|line| line.trim().split_once(": {}"));
    let allowed: BTreeSet<_> =
        allowed.map(|(name, _)| name.to_owned()).filter(|name| name.starts_with("proxy_on_")).collect();
    assert_eq!(callbacks, allowed);
}

#[test]
fn the_module_is_small() {
    let size = std::fs::metadata(build_wasm().unwrap()).unwrap().len();
    assert!(size < 400_000, "{size} bytes");
}

// ---------------------------------------------------------------------------------------------------- the tables

/// Every cluster that the table's policy names.
fn clusters(table: &Table) -> BTreeSet<String> {
    let policy = &table.policy;
    let keys = |value: &Value| value.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    let mut clusters = BTreeSet::new();
    clusters.extend(policy["default_cluster"].as_str().map(str::to_owned));
    for backend in policy["backends"].as_object().into_iter().flat_map(|backends| backends.values()) {
        clusters.extend(backend["cluster"].as_str().map(str::to_owned));
    }
    for endpoint in policy["endpoints"].as_array().unwrap() {
        for plan in endpoint["cohorts"].as_array().into_iter().flatten().chain([endpoint]) {
            clusters.extend(keys(&plan["traffic"]));
            clusters.extend(keys(&plan["shadow"]));
        }
    }
    clusters
}

/// Takes the client's address from `x-forwarded-for`, and metadata from the headers `x-meta-…`, as a proxy before this one
/// and an earlier filter would give them.
fn with_source_and_metadata(bootstrap: &mut Value) {
    // Some of the tables have shadows via mirror, and the first policy has none.
    add_mirror(bootstrap);
    let manager = connection_manager(bootstrap);
    manager["xff_num_trusted_hops"] = json!(1);
    let rule = |key: &str| json!({ "header": format!("x-meta-{key}"), "on_header_present": { "metadata_namespace": "test", "key": key } });
    let filter = json!({ "name": "metadata", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.header_to_metadata.v3.Config",
        "request_rules": [rule("tier"), rule("user")] } });
    manager["http_filters"].as_array_mut().unwrap().insert(0, filter);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_decides_as_the_tables_say() {
    let tables = cases::tables().unwrap();
    let mut names: BTreeSet<String> = tables.iter().flat_map(clusters).collect();
    names.insert("sentinel".to_owned());
    let backends = Backend::start_all(&names).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let first = one_endpoint(json!({ "name": "first", "traffic": { "main": 1 } }));
    let envoy = Envoy::start(&Setup { adapt: with_source_and_metadata, ..Setup::new(first, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let mut expected_copies = BTreeMap::new();
    let mut expected_skips: BTreeMap<_, u64> = BTreeMap::new();
    for table in &tables {
        assert_eq!(envoy.apply(&table.policy.to_string()).await.unwrap(), Verdict::InForce, "{}", table.file);
        for case in table.cases.iter().filter(|case| case.only_native.is_none()) {
            let rule = format!("{}: {}", table.file, case.rule);
            let mut headers = case.headers();
            headers.push(("x-case".to_owned(), rule.clone().into_bytes()));
            headers.extend(case.source.map(|ip| ("x-forwarded-for".to_owned(), ip.to_string().into_bytes())));
            let metadata = case.metadata.iter();
            headers.extend(metadata.map(|(key, value)| (format!("x-meta-{key}"), value.clone().into_bytes())));
            let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
            let answer = client.send(&case.method, &case.path, headers, Bytes::new()).await.unwrap();
            let served = served_by(&answer);
            match (&case.cluster, &case.decision) {
                (Some(cluster), _) => assert_eq!(served, cluster.as_deref(), "{rule}"),
                (None, Some(expected)) => {
                    assert!(served.is_some_and(|name| expected.backend.contains(name)), "{rule}: {served:?} serves");
                }
                (None, None) => assert_eq!((served, answer.status().as_u16()), (None, 404), "{rule}"),
            }
            let named = table.policy["response_header"].as_str().and_then(|name| answer.headers().get(name));
            let expected = case.decision.as_ref().filter(|_| table.policy["response_header"].is_string());
            assert_eq!(named.is_some(), expected.is_some(), "{rule}: {named:?}");
            if let (Some(named), Some(expected)) = (named, expected) {
                assert!(expected.backend.contains(named.to_str().unwrap()), "{rule}: {named:?}");
            }
            if let Some(decision) = &case.decision {
                for (backend, reason) in &decision.skipped {
                    *expected_skips.entry((&decision.endpoint, backend, reason)).or_default() += 1;
                }
            }
            let mut copies = case.decision.as_ref().map(|decision| decision.shadows.clone()).unwrap_or_default();
            copies.sort();
            if !copies.is_empty() {
                expected_copies.insert(rule, copies);
            }
        }
    }
    // The one worker sends copies in order: when this one has left, no other will.
    let last = one_endpoint(json!({ "name": "last", "traffic": { "main": 1 }, "shadow": { "sentinel": 1 } }));
    envoy.apply(&last).await.unwrap();
    client.get("/", &[]).await.unwrap();
    wait_until("the last copy comes", async || named(&backends, "sentinel").count() == 1).await.unwrap();
    wait_until("every copy is answered", async || envoy.in_flight_of_all().await.unwrap() == 0).await.unwrap();
    let mut seen_copies: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for backend in &backends {
        for received in backend.take_received() {
            let Some(rule) = received.header("x-case").pop() else { continue };
            // A copy bears the name of the backend that it was made for; a client's own marker names none.
            if let [marker] = received.header("x-traffic-shadow").as_slice()
                && marker != "elsewhere"
                && !marker.is_empty()
            {
                seen_copies.entry(rule).or_default().push(marker.clone());
            }
        }
    }
    seen_copies.values_mut().for_each(|copies| copies.sort());
    assert_eq!(seen_copies, expected_copies);
    for ((endpoint, backend, reason), count) in expected_skips {
        let labels = [("endpoint", endpoint.as_str()), ("backend", backend), ("result", reason)];
        assert_eq!(envoy.metric("traffic_policy_shadow_total", &labels).await.unwrap(), count, "{labels:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_wrong_policy_is_refused_and_the_one_in_force_stays() {
    let backends = Backend::start_all(["main"]).await.unwrap();
    let good = one_endpoint(json!({ "name": "good", "traffic": { "main": 1 } }));
    let envoy = Envoy::start(&Setup::new(good, &backends)).await.unwrap();
    let client = envoy.client(Http::V1);
    for refusal in cases::refusals().unwrap() {
        let text = refusal.text();
        // Protobuf's JSON has no empty Any; the binary form has a test of its own.
        if text.is_empty() || text.starts_with("\n\u{11}") {
            continue;
        }
        let logged = envoy.log().len();
        assert_eq!(envoy.apply(&text).await.unwrap(), Verdict::Refused, "{}", refusal.rule);
        let log = envoy.log().split_off(logged);
        for error in &refusal.errors {
            let line = format!("traffic policy refused: {error}");
            assert!(log.contains(&line), "{}: no {line:?} in the log", refusal.rule);
        }
        let answer = client.get("/", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("main"), "{}", refusal.rule);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_struct_is_refused_with_the_advice_to_use_a_string() {
    let backends = Backend::start_all(["main"]).await.unwrap();
    let good = one_endpoint(json!({ "name": "good", "traffic": { "main": 1 } }));
    let envoy = Envoy::start(&Setup::new(good, &backends)).await.unwrap();
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": { "main": 1 } }] });
    let configuration = json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": policy });
    assert_eq!(envoy.apply_configuration(&configuration).await.unwrap(), Verdict::Refused);
    assert!(envoy.log().contains("give the policy as a google.protobuf.StringValue"), "{}", envoy.log());
    let empty = json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": "" });
    assert_eq!(envoy.apply_configuration(&empty).await.unwrap(), Verdict::Refused);
    assert!(envoy.log().contains("the plugin configuration is empty"), "{}", envoy.log());
}

// ---------------------------------------------------------------------------------------------- split and affinity

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_requests_split_as_asked() {
    let backends = Backend::start_all(["a", "b", "c"]).await.unwrap();
    let splits = [("/half", [0.5, 0.5, 0.0]), ("/canaries", [0.98, 0.01, 0.01]), ("/tiny", [0.9999, 0.0001, 0.0])];
    let endpoint = |(route, [a, b, c]): (&str, [f64; 3])| json!({ "name": route.trim_start_matches('/'), "route": route, "traffic": { "a": a, "b": b, "c": c } });
    let policy = json!({ "endpoints": splits.map(endpoint) }).to_string();
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy, &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    for (route, shares) in splits {
        let tally = load::send(&client, route, 20_000).await;
        assert_eq!(tally.failed, 0, "{route}");
        let counts = ["a", "b", "c"].map(|name| tally.of(name));
        // Where less than five are expected the chi-squared test is no test: the binomial bound is exact.
        if shares.iter().all(|share| *share == 0.0 || share * 20_000.0 >= 5.0) {
            let p = chi_squared_p(&counts, &shares);
            assert!(p > FALSE_ALARM, "{route}: {counts:?}, p = {p}");
        }
        for (count, share) in counts.iter().zip(shares) {
            let (low, high) = binomial_bounds(20_000, share, FALSE_ALARM);
            assert!((low..=high).contains(count), "{route}: {counts:?}, {low} to {high} for {share}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_reaches_the_same_backend_on_every_worker_and_proxy_with_either_http() {
    let backends = Backend::start_all(["v1", "v2", "v3"]).await.unwrap();
    let traffic = json!({ "v1": 0.5, "v2": 0.3, "v3": 0.2 });
    let policy = one_endpoint(json!({ "name": "ranker", "traffic": traffic }));
    let native = policy::Traffic::new([("v1", 0.5), ("v2", 0.3), ("v3", 0.2)].map(|(name, share)| {
        (std::sync::Arc::new(policy::Backend { name: name.into(), cluster: name.into() }), share)
    }))
    .unwrap();
    let salt = policy::placement::Salt::new("ranker");
    // The third Envoy is a restart of the second.
    for workers in [1, 2, 2] {
        let envoy = Envoy::start(&Setup { workers, ..Setup::new(policy.as_str(), &backends) }).await.unwrap();
        for http in [Http::V1, Http::V2] {
            for connection in 0..4 {
                // Each client opens a connection of its own, which Envoy gives to one of its workers.
                let client = envoy.client(http);
                for n in 0..100 {
                    let key = format!("user-{n}");
                    let answer = client.get("/", &[("x-serve-shard-key", &key)]).await.unwrap();
                    let expected = &native.choose(salt.point(key.as_bytes())).name;
                    assert_eq!(
                        served_by(&answer),
                        Some(expected.as_str()),
                        "{key}, {workers} workers, {http:?}, connection {connection}"
                    );
                }
            }
        }
    }
}

// ---------------------------------------------------------------------------------------------------------- spoofing

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_needs_no_call_that_the_shipped_file_allows_for_something_else() {
    let shipped = std::fs::read_to_string(project().join("envoy/traffic-policy.yaml")).unwrap();
    let for_others = shipped.lines().filter(|line| line.contains("# for ") && line.ends_with(" only"));
    let for_others: Vec<_> = for_others.map(|line| line.trim().split_once(':').unwrap().0).collect();
    assert!(for_others.len() >= 5, "{for_others:?}");
    let backends = Backend::start_all(["a"]).await.unwrap();
    let policy = json!({ "metrics": { "responses": false }, "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] });
    let envoy = Envoy::start(&Setup::new(policy.to_string(), &backends)).await.unwrap();
    let verdict = envoy.judge(async || {
        let mut file: Value = serde_json::from_slice(&std::fs::read(envoy.policy_file())?)?;
        let vm = &mut file["resources"][0]["typed_config"]["config"]["vm_config"];
        // One of its own, or the one that is there would do.
        vm["vm_id"] = json!("restricted");
        let allowed = &mut vm["capability_restriction_config"]["allowed_capabilities"];
        for call in &for_others {
            allowed.as_object_mut().unwrap().remove(*call).unwrap();
        }
        let new = envoy.folder().join("new");
        std::fs::write(&new, file.to_string())?;
        Ok(std::fs::rename(new, envoy.policy_file())?)
    });
    assert_eq!(verdict.await.unwrap(), Verdict::InForce);
    for _ in 0..200 {
        let answer = envoy.client(Http::V1).get("/", &[]).await.unwrap();
        assert_eq!(served_by(&answer), Some("a"));
    }
    assert!(!envoy.log().contains("panicked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_client_never_chooses_the_cluster() {
    let backends = Backend::start_all(["stable", "other"]).await.unwrap();
    backends.iter().for_each(Backend::remember);
    let policy = one_endpoint(json!({ "name": "e", "route": "/e", "traffic": { "stable": 1 } }));
    let bypass = |bootstrap: &mut Value| {
        let routes = routes(bootstrap);
        let mut bypassed = routes[0].clone();
        bypassed["match"]["prefix"] = json!("/bypassed");
        bypassed["typed_per_filter_config"] = json!({ "traffic-policy": {
            "@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true } });
        routes.insert(0, bypassed);
    };
    let envoy = Envoy::start(&Setup { adapt: bypass, ..Setup::new(policy, &backends) }).await.unwrap();
    for http in [Http::V1, Http::V2] {
        let client = envoy.client(http);
        for spoof in [vec!["other"], vec!["other", "other"], vec!["", "other"], vec!["other,other"]] {
            let headers: Vec<_> = spoof.iter().map(|value| ("X-Traffic-Cluster", *value)).collect();
            for (path, expected) in [("/e", Some("stable")), ("/unmatched", None), ("/bypassed", Some("stable"))] {
                let answer = client.get(path, &headers).await.unwrap();
                assert_eq!(served_by(&answer), expected, "{path} with {spoof:?} over {http:?}");
            }
        }
    }
    assert_eq!(named(&backends, "other").count(), 0);
    for received in named(&backends, "stable").take_received() {
        assert_eq!(received.header("x-traffic-cluster"), Vec::<String>::new(), "the header is not forwarded");
    }
}

/// As Istio's VirtualService and the Gateway API's HTTPRoute route: no `cluster_header`, a route for each cluster.
#[tokio::test(flavor = "multi_thread")]
async fn routes_that_match_the_routing_header_follow_the_filter() {
    let backends = Backend::start_all(["stable", "canary"]).await.unwrap();
    let policy = json!({ "endpoints": [{ "name": "e", "route": "/e", "traffic": { "stable": 0.5, "canary": 0.5 } }] });
    let by_value = |bootstrap: &mut Value| {
        connection_manager(bootstrap)["early_header_mutation_extensions"] = json!([]);
        let to = |cluster: &str| json!({ "match": { "prefix": "/" }, "route": { "cluster": cluster } });
        let mut all: Vec<_> = ["stable", "canary"].map(to).into();
        for (route, cluster) in all.iter_mut().zip(["stable", "canary"]) {
            let header = json!({ "name": "x-traffic-cluster", "string_match": { "exact": cluster } });
            route["match"]["headers"] = json!([header]);
        }
        all.push(to("stable"));
        *routes(bootstrap) = all;
    };
    let envoy = Envoy::start(&Setup { adapt: by_value, ..Setup::new(policy.to_string(), &backends) }).await.unwrap();
    let policy = Policy::from_json(policy.to_string().as_bytes()).unwrap().policy;
    let traffic = policy.endpoints().next().unwrap().traffic();
    let client = envoy.client(Http::V1);
    let mut served = BTreeMap::new();
    for user in 0..100 {
        let key = format!("user-{user}");
        let answer = client.get("/e", &[("x-serve-shard-key", &key), ("x-traffic-cluster", "canary")]).await.unwrap();
        let expected = &traffic.choose(Salt::new("e").point(key.as_bytes())).name;
        assert_eq!(served_by(&answer), Some(expected.as_str()), "{key}");
        *served.entry(expected).or_insert(0) += 1;
    }
    assert_eq!(served.len(), 2, "{served:?}");
    // What no endpoint takes goes the way of what the filter never saw, whatever the client says.
    let answer = client.get("/other", &[("x-traffic-cluster", "canary")]).await.unwrap();
    assert_eq!(served_by(&answer), Some("stable"));
}

// ------------------------------------------------------------------------------------------------------------ reload

#[tokio::test(flavor = "multi_thread")]
async fn a_new_policy_is_in_force_within_two_seconds_under_load_and_no_request_fails() {
    let backends = Backend::start_all(["a", "b"]).await.unwrap();
    let all_to = |name: &str| one_endpoint(json!({ "name": "e", "traffic": { name: 1 } }));
    let setup = Setup { workers: 2, ..Setup::new(all_to("a"), &backends) };
    let envoy = Envoy::start(&setup).await.unwrap();
    let load = Background::start(&envoy.client(Http::V1), "/");
    let load_h2 = Background::start(&envoy.client(Http::V2), "/");
    for (old, new) in [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a")] {
        wait_until("load flows", async || named(&backends, old).count() > 100).await.unwrap();
        let start = Instant::now();
        envoy.put_policy(&all_to(new)).unwrap();
        wait_until("the old backend gets nothing more", async || {
            named(&backends, old).take_count();
            tokio::time::sleep(Duration::from_millis(100)).await;
            named(&backends, old).count() == 0
        })
        .await
        .unwrap();
        let time = start.elapsed();
        assert!(time < Duration::from_secs(2), "{time:?}");
    }
    // A broken one in between changes nothing.
    assert_eq!(
        envoy.apply(r#"{"endpoints": [{"name": "e", "traffic": {"b": 0.5}}]}"#).await.unwrap(),
        Verdict::Refused
    );
    let place = "traffic policy refused: endpoints[0].traffic: the shares add up to 0.5;";
    assert!(envoy.log().contains(place), "{}", envoy.log());
    let before = named(&backends, "a").count();
    wait_until("load flows on", async || named(&backends, "a").count() > before + 100).await.unwrap();
    named(&backends, "b").take_count();
    let tally = load.stop().await;
    let tally_h2 = load_h2.stop().await;
    assert_eq!((tally.failed, tally_h2.failed), (0, 0), "of {} and {}", tally.total(), tally_h2.total());
    assert_eq!(named(&backends, "b").count(), 0);
}
