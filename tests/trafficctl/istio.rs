//! `render istio`: what it inserts, for which hosts and proxies, and what it refuses.

use serde_json::{Value, json};

use super::Desk;
use super::kubernetes::{MESH, check, objects};

/// The options of a rendering for the host of [`MESH`].
const HOST: &str = "--namespace default --host ranker.example.com";

/// The objects that these options make of [`MESH`], without a word on standard error.
fn rendered(options: &str) -> Vec<Value> {
    rendered_of(MESH, options)
}

/// The objects that these options make of a policy, without a word on standard error.
fn rendered_of(policy: &str, options: &str) -> Vec<Value> {
    let desk = Desk::with("policy.json", policy);
    let ended = desk.run(format!("render istio {} {options}", desk.file()).trim());
    assert_eq!((ended.status, ended.stderr.as_str()), (Some(0), ""), "{options}");
    objects(&ended.stdout)
}

/// The standard error and the exit status of a rendering.
fn complaint(policy: &str, options: &str) -> (Option<i32>, String) {
    let desk = Desk::with("policy.json", policy);
    let ended = desk.run(format!("render istio {} {options}", desk.file()).trim());
    (ended.status, ended.stderr)
}

/// The patches of an EnvoyFilter to one kind of resource.
fn patches<'a>(filter: &'a Value, applied_to: &str) -> Vec<&'a Value> {
    let all = filter["spec"]["configPatches"].as_array().unwrap();
    all.iter().filter(|patch| patch["applyTo"] == applied_to).collect()
}

#[test]
fn a_route_in_front_of_the_hosts_own_takes_what_the_filter_has_decided() {
    let all = rendered(HOST);
    let routes = patches(&all[1], "HTTP_ROUTE");
    let [patch] = routes[..] else { panic!("{routes:?}") };
    assert_eq!(patch["match"]["routeConfiguration"], json!({ "vhost": { "domainName": "ranker.example.com" } }));
    assert_eq!(patch["patch"]["operation"], "INSERT_FIRST");
    let route = &patch["patch"]["value"];
    assert_eq!(route["name"], "traffic-policy");
    let is_decided = json!([{ "name": "x-traffic-cluster", "present_match": true }]);
    assert_eq!(route["match"], json!({ "prefix": "/", "headers": is_decided }));
    let action = &route["route"];
    assert_eq!(action["cluster_header"], "x-traffic-cluster");
    assert_eq!((&action["timeout"], &action["retry_policy"]["num_retries"]), (&json!("0s"), &json!(2)));
    // Neither a client nor the host of another team sees the header.
    let removed = json!(["x-traffic-cluster"]);
    assert_eq!(route["request_headers_to_remove"], removed);
    let tables = patches(&all[1], "ROUTE_CONFIGURATION");
    assert_eq!(tables[0]["patch"]["value"], json!({ "request_headers_to_remove": removed }));
    let manager = &patches(&all[1], "NETWORK_FILTER")[0]["patch"]["value"]["typed_config"];
    let mutations = &manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"];
    assert_eq!(*mutations, json!([{ "remove": "x-traffic-cluster" }]));
}

#[test]
fn the_time_out_and_the_retries_of_the_inserted_route_are_options() {
    for (options, timeout, retries) in
        [("--timeout 15s --retries 5", "15s", json!(5)), ("--timeout 500ms --retries 0", "0.5s", Value::Null)]
    {
        let all = rendered(&format!("{HOST} {options}"));
        let action = &patches(&all[1], "HTTP_ROUTE")[0]["patch"]["value"]["route"];
        let found = [&action["timeout"], &action["max_grpc_timeout"], &action["retry_policy"]["num_retries"]];
        assert_eq!(found, [&json!(timeout), &json!(timeout), &retries], "{options}");
    }
    assert_eq!(complaint(MESH, &format!("{HOST} --timeout soon")).0, Some(2));
}

#[test]
fn an_option_without_effect_is_refused() {
    for (options, words) in [
        ("--routes virtual-service --timeout 15s", "--timeout and --retries have an effect only with --routes envoy"),
        ("--routes none --retries 0", "--timeout and --retries have an effect only with --routes envoy-filter"),
        ("--cluster-domain mesh.example", "required arguments were not provided:\n  --port"),
        ("--service-namespace prod", "required arguments were not provided:\n  --port"),
        ("--subset v1=ranker/v1", "required arguments were not provided:\n  --port"),
    ] {
        let (status, found) = complaint(MESH, &format!("{HOST} {options}"));
        assert_eq!(status, Some(2), "{options}: {found}");
        assert!(found.contains(words), "{options}: {found}");
    }
}

#[test]
fn each_host_gets_the_route_on_all_ports_or_on_one() {
    let options =
        "--namespace default --host Ranker.example.com --host *.rank.example.org --host ranker.example.com:443";
    let all = rendered(options);
    let hosts: Vec<_> = patches(&all[1], "HTTP_ROUTE")
        .into_iter()
        .map(|patch| &patch["match"]["routeConfiguration"]["vhost"])
        .collect();
    let expected = [
        json!({ "domainName": "ranker.example.com" }),
        json!({ "domainName": "*.rank.example.org" }),
        json!({ "name": "ranker.example.com:443" }),
    ];
    assert_eq!(hosts, expected.each_ref());
    let all = rendered("--namespace default --all-hosts");
    let routes = patches(&all[1], "HTTP_ROUTE");
    assert_eq!((routes.len(), &routes[0]["match"]), (1, &json!({ "context": "GATEWAY" })));
}

#[test]
fn an_endpoint_for_every_host_of_shared_proxies_is_refused() {
    let of = |endpoints: Value| json!({ "backends": {}, "endpoints": endpoints }).to_string();
    let everywhere = |name: &str| json!({ "name": name, "route": "/", "traffic": { "a": 1 } });
    let options = "--namespace default --host ranker.example.com --port 80";
    for (endpoints, words) in [
        (
            json!([everywhere("a")]),
            "error: the endpoint \"a\" names no host, and the filter sees the requests of every host",
        ),
        (json!([everywhere("a"), everywhere("b")]), "error: the endpoints \"a\", \"b\" name no host"),
        (
            (0..9).map(|n| everywhere(&format!("e{n}"))).collect(),
            "error: 9 endpoints (\"e0\", \"e1\", \"e2\", \"e3\", \"e4\", …) name no host",
        ),
    ] {
        let policy = of(endpoints);
        for options in [options, &format!("{options} --sidecar app=a"), &format!("{options} --routes virtual-service")]
        {
            let (status, found) = complaint(&policy, options);
            assert_eq!(status, Some(1), "{options}: {found}");
            assert!(found.contains(words), "{options}: {found}");
            assert!(found.contains(r#"Write "match": {"hosts": ["ranker.example.com"]}"#), "{found}");
        }
        rendered_of(&policy, "--namespace default --all-hosts --port 80");
    }
    // A property may name the virtual host or the route instead.
    for name in ["virtual_host_name", "route_name"] {
        let matching = json!({ "properties": [{ "path": ["xds", name], "exact": "rank" }] });
        rendered_of(&of(json!([{ "name": "a", "match": matching, "traffic": { "a": 1 } }])), options);
    }
}

#[test]
fn an_endpoint_for_none_of_the_hosts_is_a_warning() {
    let (status, found) = complaint(MESH, "--namespace default --host ranker.example.org");
    let expected = "warning: the endpoint \"ranker\" is for ranker.example.com, none of which is a --host: its requests are \
                    counted, but no route follows the filter\n";
    assert_eq!((status, found.as_str()), (Some(0), expected));
    rendered("--namespace default --host *.example.com");
}

#[test]
fn a_default_cluster_takes_more_of_a_host_than_the_endpoints_do() {
    let policy = MESH.replacen('{', r#"{ "default_cluster": "outbound|8080||web.default.svc.cluster.local","#, 1);
    for (options, requests) in
        [(HOST, "to ranker.example.com"), ("--namespace default --all-hosts", "of these proxies")]
    {
        let (status, found) = complaint(&policy, options);
        let expected = format!(
            "warning: default_cluster takes all requests {requests} that no endpoint takes, in place of the hosts' own \
             routes, redirects included; without it, they are served as before\n"
        );
        assert_eq!((status, found), (Some(0), expected), "{options}");
    }
}

#[test]
fn the_proxies_are_those_of_a_label_or_of_a_gateway_resource() {
    for (options, selector, labels) in [
        ("", json!({ "matchLabels": { "istio": "gateway" } }), json!({ "labels": { "istio": "gateway" } })),
        ("--gateway web", json!({ "matchLabels": { "istio": "web" } }), json!({ "labels": { "istio": "web" } })),
        ("--sidecar app=a", json!({ "matchLabels": { "app": "a" } }), json!({ "labels": { "app": "a" } })),
    ] {
        let all = rendered(format!("{HOST} {options}").trim());
        let found = [&all[0]["spec"]["selector"], &all[1]["spec"]["workloadSelector"]];
        assert_eq!(found, [&selector, &labels], "{options}");
    }
    let all = rendered(&format!("{HOST} --target gateway/web"));
    for object in &all {
        let target = json!([{ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web" }]);
        assert_eq!(object["spec"]["targetRefs"], target);
        assert!(object["spec"].get("selector").or(object["spec"].get("workloadSelector")).is_none(), "{object}");
    }
    for (options, words) in [
        ("--target web", "write gateway/NAME"),
        ("--target gateway/waypoint", "the filter is not supported in waypoints"),
        ("--target service/ranker", "Istio binds Services to waypoints"),
        ("--target gateway/web --gateway web", "cannot be used with"),
        ("--sidecar app=a --gateway web", "cannot be used with"),
    ] {
        let (status, found) = complaint(MESH, &format!("{HOST} {options}"));
        assert_eq!(status, Some(2), "{options}");
        assert!(found.contains(words), "{options}: {found}");
    }
}

#[test]
fn a_namespace_that_nobody_chose_is_a_warning() {
    let (status, found) = complaint(MESH, "--host ranker.example.com");
    assert_eq!(status, Some(0));
    assert!(found.starts_with("warning: the objects are in the namespace \"default\", and only proxies in"), "{found}");
}

#[test]
fn an_image_with_a_scheme_is_taken_as_it_is() {
    for (image, url) in [
        ("registry.example/a:1", "oci://registry.example/a:1"),
        ("registry.example:5000/a@sha256:00", "oci://registry.example:5000/a@sha256:00"),
        ("oci://registry.example/a:1", "oci://registry.example/a:1"),
        ("https://files.example/a.wasm", "https://files.example/a.wasm"),
        ("http://files.example/a.wasm", "http://files.example/a.wasm"),
        ("file:///a.wasm", "file:///a.wasm"),
    ] {
        assert_eq!(rendered(&format!("{HOST} --image {image}"))[0]["spec"]["url"], url);
    }
    let (status, found) = complaint(MESH, &format!("{HOST} --image docker://registry.example/a:1"));
    assert_eq!(status, Some(2));
    assert!(found.contains("--image has the scheme \"docker\": Istio takes oci://"), "{found}");
}

#[test]
fn a_proxy_without_the_filter_serves_all_by_default() {
    for (options, expected) in [
        ("", "FAIL_OPEN"),
        ("--fail open", "FAIL_OPEN"),
        ("--fail closed", "FAIL_CLOSE"),
        ("--fail reload", "FAIL_RELOAD"),
    ] {
        assert_eq!(rendered(format!("{HOST} {options}").trim())[0]["spec"]["failStrategy"], expected);
    }
}

#[test]
fn the_output_is_valid_with_each_option() {
    let digest = "0123456789abcdef".repeat(4);
    let mut all = Vec::new();
    for phase in ["authn", "authz", "stats"] {
        let objects = rendered(&format!("{HOST} --phase {phase} --sha256 {digest}"));
        assert_eq!(objects[0]["spec"]["phase"], phase.to_uppercase());
        all.extend(objects);
    }
    for options in [
        "--fail closed --timeout 1s --retries 0",
        "--fail reload --target gateway/web",
        "--sidecar app=a --image file:///a.wasm",
        "--host *.rank.example.org --host ranker.example.com:443",
    ] {
        all.extend(rendered(&format!("{HOST} {options}")));
    }
    all.extend(rendered("--namespace default --all-hosts"));
    let options = "--routes virtual-service --host ranker.example.com --namespace mesh --gateway ingress";
    let of_gateway = rendered(&format!("{options} --gateway-resource public --destination-rule"));
    assert_eq!(of_gateway[1]["spec"]["gateways"], json!(["public"]));
    // The last route is for requests that the filter has not decided about.
    assert_eq!(of_gateway[1]["spec"]["http"].as_array().unwrap().len(), 3);
    assert_eq!(of_gateway[2]["spec"]["subsets"].as_array().unwrap().len(), 2);
    all.extend(of_gateway);
    check(&all).unwrap();
}

#[test]
fn a_policy_that_the_clients_side_of_kubectl_can_not_apply_is_a_note() {
    let policy = |count: usize| {
        let endpoint =
            |n| json!({ "name": format!("e{n}"), "match": { "hosts": ["a.example"] }, "traffic": { "a": 1 } });
        json!({ "endpoints": (0..count).map(endpoint).collect::<Vec<_>>() }).to_string()
    };
    let options = "--namespace default --host a.example --port 80";
    rendered_of(&policy(1000), options);
    let (status, found) = complaint(&policy(5000), options);
    let expected = "note: an object has more than 256 KiB: apply it with kubectl apply --server-side\n";
    assert_eq!((status, found.as_str()), (Some(0), expected));
}

#[test]
fn several_policies_on_the_same_proxies_have_names() {
    let own = MESH.replacen('{', r#"{ "name": "shop","#, 1);
    for (policy, options, name) in [(MESH, "--name ranker", "ranker"), (&own, "", "shop"), (&own, "--name b2", "b2")] {
        let all = rendered_of(policy, format!("{HOST} {options}").trim());
        let [plugin, filter] = &all[..] else { panic!("{all:?}") };
        assert_eq!(plugin["metadata"]["name"], format!("traffic-policy-{name}"));
        assert_eq!(plugin["spec"]["pluginName"], format!("traffic-policy-{name}"));
        assert_eq!(plugin["spec"]["pluginConfig"]["name"], name);
        assert_eq!(filter["metadata"]["name"], format!("traffic-policy-{name}-routes"));
        let route = &patches(filter, "HTTP_ROUTE")[0]["patch"]["value"];
        assert_eq!(route["name"], format!("traffic-policy-{name}"));
        assert_eq!(route["route"]["cluster_header"], format!("x-traffic-cluster-{name}"));
        assert_eq!(route["match"]["headers"][0]["name"], format!("x-traffic-cluster-{name}"));
    }
    let (status, found) = complaint(MESH, &format!("{HOST} --name Ranker"));
    assert_eq!(status, Some(2));
    assert!(found.contains("write 1 to 40 of a-z, 0-9 and -"), "{found}");
}

#[test]
fn a_refused_policy_is_kept_from_other_hosts_unless_it_says_otherwise() {
    let refusing = MESH.replacen('{', r#"{ "if_invalid": "refuse","#, 1);
    for (policy, expected) in [(MESH, "keep"), (&refusing, "refuse")] {
        assert_eq!(rendered_of(policy, HOST)[0]["spec"]["pluginConfig"]["if_invalid"], expected);
        let desk = Desk::with("policy.json", policy);
        let clusters = ["v1", "v2"]
            .map(|name| format!(" --cluster outbound|8080|{name}|ranker.default.svc.cluster.local=ranker-{name}:8080"));
        let all = objects(&desk.ok(&format!("render envoy-gateway {}{}", desk.file(), clusters.concat())));
        assert_eq!(all[0]["spec"]["wasm"][0]["config"]["if_invalid"], expected);
    }
}
