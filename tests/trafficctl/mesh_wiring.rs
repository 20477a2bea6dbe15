//! `check` and the verbs compare a policy in a mesh with the objects beside it.

use serde_json::{Value, json};

use super::Desk;

const POLICY: &str = r#"{
  "backends": { "v1": { "cluster": "outbound|8080|v1|ranker.prod.svc.cluster.local" },
                "v2": { "cluster": "outbound|8080|v2|ranker.prod.svc.cluster.local" } },
  "endpoints": [{ "name": "ranker", "route": "/rank", "match": { "hosts": ["ranker.example.com"] },
                  "traffic": { "v1": 0.9, "v2": 0.1 } }]
}"#;

fn policy() -> Value {
    serde_json::from_str(POLICY).unwrap()
}

fn cluster(subset: &str) -> String {
    format!("outbound|8080|{subset}|ranker.prod.svc.cluster.local")
}

fn plugin(policy: Value) -> Value {
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1", "kind": "WasmPlugin",
        "metadata": { "name": "traffic-policy", "namespace": "prod" },
        "spec": { "selector": { "matchLabels": { "istio": "ingress" } }, "url": "oci://r/traffic-policy:1",
                  "failStrategy": "FAIL_OPEN", "pluginConfig": policy },
    })
}

fn of_sidecars(mut plugin: Value) -> Value {
    plugin["spec"]["selector"]["matchLabels"] = json!({ "app": "frontend" });
    plugin
}

/// A route of a VirtualService for one cluster.
fn route(subset: &str) -> Value {
    json!({
        "match": [{ "headers": { "x-traffic-cluster": { "exact": cluster(subset) } } }],
        "route": [{ "destination": { "host": "ranker.prod.svc.cluster.local", "subset": subset } }],
    })
}

/// The route of the team.
fn others() -> Value {
    json!({ "route": [{ "destination": { "host": "ranker" } }] })
}

fn service(routes: impl IntoIterator<Item = Value>) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": { "name": "ranker", "namespace": "prod" },
        "spec": { "hosts": ["ranker.example.com"], "gateways": ["gw"], "http": routes.into_iter().collect::<Vec<_>>() },
    })
}

/// The EnvoyFilter that `render istio` makes.
fn filter() -> Value {
    let desk = Desk::with("policy.json", POLICY);
    let text =
        desk.ok(&format!("render istio {} --namespace prod --gateway ingress --host ranker.example.com", desk.file()));
    let object = text.split("---\n").find(|text| text.contains("kind: EnvoyFilter")).unwrap();
    serde_saphyr::from_str(object).unwrap()
}

/// What `check --json` finds, without notes: the level, the places and the message of each.
fn findings(objects: &[Value]) -> Vec<String> {
    let desk = Desk::with("mesh.yaml", in_yaml(objects));
    let report = desk.json(["check", "--json", desk.file()]);
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings.filter(|finding| finding["level"] != "note");
    findings
        .map(|finding| {
            format!(
                "{} at line {}: {}",
                finding["level"].as_str().unwrap(),
                finding["line"],
                finding["message"].as_str().unwrap()
            )
        })
        .collect()
}

fn in_yaml(objects: &[Value]) -> String {
    let objects: Vec<_> = objects.iter().map(|object| serde_saphyr::to_string(object).unwrap()).collect();
    objects.join("---\n")
}

/// The words of the only finding.
fn only(findings: &[String]) -> &str {
    let [only] = findings else { panic!("{findings:#?}") };
    assert!(!only.contains("line null"), "{only}");
    only
}

#[test]
fn a_policy_and_its_routes_that_agree_are_no_finding() {
    let by_header = |name: &str, cluster: String| json!({ "name": name, "value": cluster });
    let rule = |subset: &str| json!({ "matches": [{ "headers": [by_header("X-Traffic-Cluster", cluster(subset))] }], "backendRefs": [{ "name": subset }] });
    let http_route =
        json!({ "kind": "HTTPRoute", "metadata": { "name": "r" }, "spec": { "rules": [rule("v1"), rule("v2")] } });
    // Another team's: another host, another header, other paths.
    let shop = json!({ "kind": "VirtualService", "metadata": { "name": "shop" }, "spec": {
        "hosts": ["shop.example.com"], "gateways": ["gw"],
        "http": [{ "match": [{ "headers": { "x-tenant": { "exact": "a" } } }], "route": [{ "destination": { "host": "a" } }] }, others()] } });
    let paths = json!({ "kind": "VirtualService", "metadata": { "name": "search" }, "spec": {
        "hosts": ["ranker.example.com"], "gateways": ["gw"],
        "http": [{ "match": [{ "uri": { "prefix": "/search" } }], "route": [{ "destination": { "host": "a" } }] }] } });
    let theirs = json!({ "kind": "EnvoyFilter", "metadata": { "name": "theirs" }, "spec": { "workloadSelector": { "labels": { "istio": "other" } },
        "configPatches": [{ "applyTo": "HTTP_ROUTE", "match": { "routeConfiguration": { "vhost": { "route": { "name": "theirs" } } } },
        "patch": { "operation": "MERGE", "value": { "route": { "cluster_header": "x-theirs" } } } },
        { "applyTo": "NETWORK_FILTER", "patch": { "value": { "typed_config": { "mutations": [{ "remove": "x-theirs" }] } } } }] } });
    for objects in [
        vec![plugin(policy())],
        vec![plugin(policy()), filter()],
        vec![plugin(policy()), filter(), shop.clone(), theirs],
        vec![plugin(policy()), service([route("v1"), route("v2"), others()]), shop, paths],
        vec![plugin(policy()), http_route],
    ] {
        assert_eq!(findings(&objects), Vec::<String>::new());
    }
}

#[test]
fn the_shipped_files_have_no_finding() {
    let desk = Desk::with("policy.json", POLICY);
    let folder = testbed::project().join("envoy");
    for name in ["istio-gateway.yaml", "istio-sidecar.yaml", "istio-virtual-service.yaml", "envoy-gateway.yaml"] {
        desk.ok(&format!("check --deny-warnings {}", folder.join(name).display()));
    }
}

#[test]
fn a_backend_without_a_route_is_a_warning() {
    let mut with_v3 = policy();
    with_v3["backends"]["v3"] = json!({ "cluster": cluster("v3") });
    with_v3["endpoints"][0]["traffic"] = json!({ "v1": 0.8, "v2": 0.1, "v3": 0.1 });
    let routes = [route("v1"), route("v2"), others()];
    let found = findings(&[plugin(with_v3.clone()), service(routes.clone())]);
    assert!(
        only(&found).contains(
            "endpoints[0].traffic.v3: the VirtualService \"ranker\" has no route for the cluster \"outbound|8080|v3|"
        ),
        "{found:?}"
    );
    assert!(found[0].contains("another route answers its requests") && found[0].contains("--into FILE"), "{found:?}");
    // Copies need no route, and one that is only listed needs one with the next change.
    with_v3["endpoints"][0]["traffic"] = policy()["endpoints"][0]["traffic"].clone();
    let only_listed = findings(&[plugin(with_v3.clone()), service(routes.clone())]);
    assert!(only_listed.iter().any(|found| found.contains("has no route for the cluster")), "{only_listed:?}");
    with_v3["endpoints"][0]["shadow"] = json!({ "v3": { "fraction": 0.1, "methods": ["GET"] } });
    assert_eq!(findings(&[plugin(with_v3.clone()), service(routes.clone())]), Vec::<String>::new());
    // The routes may be in another file.
    let desk = Desk::with("mesh.yaml", in_yaml(&[plugin(policy())]));
    let file = desk.put("routes.yaml", in_yaml(&[service([route("v1"), others()])]));
    let ended = desk.run(&format!("check {} {file}", desk.file()));
    assert!(ended.stderr.contains("has no route for the cluster"), "{ended:?}");
    // An HTTPRoute, and a default cluster.
    let rule = json!({ "matches": [{ "headers": [{ "name": "x-traffic-cluster", "value": cluster("v1") }] }] });
    let mut with_default = policy();
    with_default["default_cluster"] = json!(cluster("v9"));
    let found = findings(&[
        plugin(with_default),
        json!({ "kind": "HTTPRoute", "metadata": { "name": "r" }, "spec": { "rules": [rule] } }),
    ]);
    assert!(
        found.len() == 2 && found.iter().all(|found| found.contains("the HTTPRoute \"r\" has no route")),
        "{found:?}"
    );
}

#[test]
fn routes_for_one_endpoint_need_not_be_for_the_backends_of_others() {
    let mut two = policy();
    two["backends"]["s1"] = json!({ "cluster": "outbound|80||search.prod.svc.cluster.local" });
    two["backends"]["t1"] = json!({ "cluster": "outbound|80||shop.prod.svc.cluster.local" });
    let search = json!({ "name": "search", "route": "/search", "match": { "hosts": ["ranker.example.com"] }, "traffic": { "s1": 1 } });
    let shop =
        json!({ "name": "shop", "route": "/rank", "match": { "hosts": ["shop.example.com"] }, "traffic": { "t1": 1 } });
    two["endpoints"].as_array_mut().unwrap().extend([search, shop]);
    let under = |mut route: Value, path: &str| {
        route["match"][0]["uri"] = json!({ "prefix": path });
        route
    };
    let to_search = json!({
        "match": [{ "uri": { "prefix": "/search" }, "headers": { "x-traffic-cluster": { "exact": "outbound|80||search.prod.svc.cluster.local" } } }],
        "route": [{ "destination": { "host": "search.prod.svc.cluster.local" } }],
    });
    let routes = [under(route("v1"), "/rank"), under(route("v2"), "/rank"), to_search];
    assert_eq!(findings(&[plugin(two), service(routes)]), Vec::<String>::new());
}

#[test]
fn a_change_that_brings_in_a_backend_without_a_route_is_a_warning() {
    let desk = Desk::with("mesh.yaml", in_yaml(&[plugin(policy()), service([route("v1"), route("v2"), others()])]));
    let ended = desk.run(&format!("create-backend v3 --cluster {} -f {}", cluster("v3"), desk.file()));
    assert!(
        ended.status == Some(0)
            && ended.stderr.contains("warning: backends.v3: the VirtualService \"ranker\" has no route"),
        "{ended:?}"
    );
    // It is known from now on, and still wrong.
    let ended = desk.run(&format!("set-traffic ranker v1=0.8 v2=0.1 v3=0.1 -f {}", desk.file()));
    assert!(ended.status == Some(0) && ended.stderr.contains("has no route"), "{ended:?}");
    let ended = desk.run(&format!("set-traffic ranker v1=0.7 v2=0.2 v3=0.1 -f {}", desk.file()));
    assert!(!ended.stderr.contains("has no route"), "{ended:?}");
}

#[test]
fn routes_by_another_header_than_the_policys_are_a_warning() {
    let mut other = policy();
    other["routing_header"] = json!("x-ranker-cluster");
    for objects in [vec![plugin(other.clone()), service([route("v1"), others()])], vec![plugin(other), filter()]] {
        let found = findings(&objects);
        assert!(only(&found).contains("the policy's `routing_header` is \"x-ranker-cluster\""), "{found:?}");
    }
}

#[test]
fn a_route_that_leads_to_another_cluster_than_its_own_is_a_warning() {
    for destination in
        [json!({ "host": "ranker", "subset": "v2" }), json!({ "host": "shop.prod.svc.cluster.local", "subset": "v1" })]
    {
        let mut wrong = route("v1");
        wrong["route"][0]["destination"] = destination;
        let found = findings(&[plugin(policy()), service([wrong, route("v2"), others()])]);
        assert!(
            only(&found).contains("route 1 is for outbound|8080|v1|ranker.prod.svc.cluster.local, and leads to"),
            "{found:?}"
        );
    }
}

#[test]
fn a_route_before_those_that_follow_the_filter_is_a_warning() {
    let before = |uri: &str| json!({ "name": "all", "match": [{ "uri": { "prefix": uri } }], "route": [{ "destination": { "host": "ranker" } }] });
    for (first, is_wrong) in
        [(others(), true), (before("/ra"), true), (before("/rank/v2"), false), (before("/shop"), false)]
    {
        let found = findings(&[plugin(policy()), service([first, route("v1"), route("v2")])]);
        if is_wrong {
            assert!(
                only(&found).contains("takes the requests of the endpoint \"ranker\" before the routes"),
                "{found:?}"
            );
        } else {
            assert_eq!(found, Vec::<String>::new());
        }
    }
    let redirect = json!({ "match": [{ "uri": { "prefix": "/rank" } }], "redirect": { "uri": "/" } });
    assert_eq!(findings(&[plugin(policy()), service([redirect, route("v1"), route("v2")])]), Vec::<String>::new());
}

#[test]
fn routes_for_sidecars_without_the_filter_are_a_warning() {
    let with = |member: &str, value: Value| {
        [route("v1"), route("v2")].map(|mut route| {
            route["match"][0][member] = value.clone();
            route
        })
    };
    let labels = || json!({ "app": "frontend" });
    for (gateways, routes, expected) in [
        (json!(["mesh"]), [route("v1"), route("v2")], Some("route 1 has no `sourceLabels`")),
        (json!([]), [route("v1"), route("v2")], Some("route 1 has no `sourceLabels`")),
        (
            json!(["mesh"]),
            with("sourceLabels", json!({ "app": "batch" })),
            Some("other `sourceLabels` than the filter's workloads"),
        ),
        (json!(["mesh"]), with("gateways", json!(["mesh"])), Some("names the gateway mesh, so that Istio ignores")),
        (json!(["mesh"]), with("sourceLabels", labels()), None),
        (json!(["gw"]), [route("v1"), route("v2")], None),
    ] {
        let mut service = service(routes.into_iter().chain([others()]));
        service["spec"]["gateways"] = gateways;
        let found = findings(&[of_sidecars(plugin(policy())), service]);
        match expected {
            Some(words) => assert!(only(&found).contains(words) && found[0].contains("app=frontend"), "{found:?}"),
            None => assert_eq!(found, Vec::<String>::new()),
        }
    }
    // A gateway's routes in a VirtualService that sidecars have, too.
    let mut both = service([route("v1"), route("v2"), others()]);
    both["spec"]["gateways"] = json!(["gw", "mesh"]);
    assert!(only(&findings(&[plugin(policy()), both])).contains("name the gateway in the match, under `gateways`"));
}

#[test]
fn a_second_virtual_service_of_the_host_is_a_warning() {
    let ours = service([route("v1"), route("v2"), others()]);
    let mut theirs = service([others()]);
    theirs["metadata"]["name"] = json!("team");
    let found = findings(&[plugin(policy()), ours.clone(), theirs.clone()]);
    assert!(only(&found).contains("the VirtualService \"team\" is for the same host"), "{found:?}");
    theirs["spec"]["gateways"] = json!(["other"]);
    assert_eq!(findings(&[plugin(policy()), ours, theirs]), Vec::<String>::new());
}

#[test]
fn an_envoy_filter_that_takes_more_than_the_policys_requests_is_a_warning() {
    let route_patch = |filter: &mut Value, operation: &str, vhost: Value| {
        let patch = &mut filter["spec"]["configPatches"][0];
        patch["patch"]["operation"] = json!(operation);
        patch["match"]["routeConfiguration"] = json!({ "vhost": vhost });
    };
    let changed = |change: &dyn Fn(&mut Value)| {
        let mut filter = filter();
        change(&mut filter);
        findings(&[plugin(policy()), filter])
    };
    let merge_all = |filter: &mut Value| {
        route_patch(filter, "MERGE", json!({}));
        filter["spec"]["configPatches"][0]["match"].as_object_mut().unwrap().remove("routeConfiguration");
    };
    assert!(only(&changed(&merge_all)).contains("all routes of every host of the proxies take the cluster from"));
    let merge_host = |filter: &mut Value| route_patch(filter, "MERGE", json!({ "name": "ranker.example.com:80" }));
    assert!(only(&changed(&merge_host)).contains("all routes of the host take the cluster from"));
    let merge_route = |filter: &mut Value| route_patch(filter, "MERGE", json!({ "route": { "name": "rank" } }));
    assert_eq!(changed(&merge_route), Vec::<String>::new());
    let for_all = |filter: &mut Value| {
        drop(filter["spec"]["configPatches"][0]["patch"]["value"]["match"].as_object_mut().unwrap().remove("headers"))
    };
    assert!(only(&changed(&for_all)).contains("takes requests without the header \"x-traffic-cluster\" too"));
    let writes = |filter: &mut Value| {
        let mutation = json!({ "append": { "header": { "key": "X-Traffic-Cluster", "value": "a" }, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD" } });
        let patches = filter["spec"]["configPatches"].as_array_mut().unwrap();
        let early =
            &mut patches.last_mut().unwrap()["patch"]["value"]["typed_config"]["early_header_mutation_extensions"][0];
        early["typed_config"]["mutations"] = json!([mutation]);
    };
    assert!(
        only(&changed(&writes)).contains("the early header mutation writes \"x-traffic-cluster\" into every request")
    );
}

#[test]
fn an_envoy_filter_for_other_proxies_than_the_plugin_is_a_warning() {
    let mut other = filter();
    other["spec"]["workloadSelector"]["labels"] = json!({ "istio": "internal" });
    let found = findings(&[plugin(policy()), other.clone()]);
    assert!(
        only(&found).contains("it is for istio=internal, and the WasmPlugin \"traffic-policy\" for istio=ingress"),
        "{found:?}"
    );
    // All proxies of the namespace are those of the plugin, too. So is a second EnvoyFilter.
    other["spec"].as_object_mut().unwrap().remove("workloadSelector");
    assert_eq!(findings(&[plugin(policy()), other]), Vec::<String>::new());
}

#[test]
fn an_endpoint_for_every_host_of_a_gateway_is_a_warning() {
    let mut everywhere = policy();
    everywhere["endpoints"][0].as_object_mut().unwrap().remove("match");
    let found = findings(&[plugin(everywhere.clone()), filter()]);
    assert!(
        only(&found).contains("endpoints[0]: the endpoint has no `hosts`: it decides, counts and copies for each host"),
        "{found:?}"
    );
    // Sidecars of one workload are its own, and routes for all hosts are meant.
    assert_eq!(findings(&[of_sidecars(plugin(everywhere.clone()))]), Vec::<String>::new());
    let mut for_all = filter();
    for_all["spec"]["configPatches"][0]["match"].as_object_mut().unwrap().remove("routeConfiguration");
    assert_eq!(findings(&[plugin(everywhere.clone()), for_all]), Vec::<String>::new());
    everywhere["endpoints"][0]["match"] = json!({ "properties": [{ "path": ["xds", "route_name"], "exact": "rank" }] });
    assert_eq!(findings(&[plugin(everywhere)]), Vec::<String>::new());
}

#[test]
fn a_cluster_that_istio_cannot_have_is_a_warning() {
    let with = |listed: Value| {
        let mut policy = policy();
        policy["backends"]["v2"] = listed;
        policy
    };
    for (listed, words) in [
        (
            json!({}),
            "backends.v2: the backend has no cluster, and Istio has none with a name like \"v2\": its requests get 503",
        ),
        (json!({ "cluster": "ranker-v2" }), "backends.v2.cluster: Istio has no cluster with a name like \"ranker-v2\""),
        (json!({ "cluster": "outbound|http||ranker.prod" }), "backends.v2.cluster: Istio has no cluster"),
    ] {
        let found = findings(&[plugin(with(listed)), filter()]);
        assert!(
            only(&found).contains(words) && found[0].contains("outbound|8080||v2.prod.svc.cluster.local"),
            "{found:?}"
        );
    }
    // A route makes it a name like any other. An EnvoyFilter may add a cluster.
    let mut by_name = route("v2");
    by_name["match"][0]["headers"]["x-traffic-cluster"]["exact"] = json!("v2");
    assert_eq!(findings(&[plugin(with(json!({}))), service([route("v1"), by_name, others()])]), Vec::<String>::new());
    let added = json!({ "kind": "EnvoyFilter", "metadata": { "name": "a" }, "spec": { "configPatches": [
        { "applyTo": "CLUSTER", "patch": { "operation": "ADD", "value": { "name": "v2" } } }] } });
    assert_eq!(findings(&[plugin(with(json!({}))), filter(), added]), Vec::<String>::new());
    // Outside of a mesh, any name is one.
    let desk = Desk::with("policy.json", with(json!({})).to_string());
    desk.ok(&format!("check --deny-warnings {}", desk.file()));
}

#[test]
fn two_policies_with_one_routing_header_on_the_same_proxies_are_a_warning() {
    let mut second = plugin(policy());
    second["metadata"]["name"] = json!("traffic-policy-search");
    let found = findings(&[plugin(policy()), second.clone()]);
    assert!(
        only(&found).contains("the WasmPlugin \"traffic-policy\" has the same `routing_header`, \"x-traffic-cluster\""),
        "{found:?}"
    );
    assert_eq!(findings(&[plugin(policy()), of_sidecars(second.clone())]), Vec::<String>::new());
    second["spec"]["pluginConfig"]["routing_header"] = json!("x-search-cluster");
    assert_eq!(findings(&[plugin(policy()), second]), Vec::<String>::new());
}

#[test]
fn a_gateway_that_serves_nothing_without_its_module_is_a_note() {
    let mut closed = plugin(policy());
    closed["spec"]["failStrategy"] = json!("FAIL_RELOAD");
    let desk = Desk::with("mesh.yaml", in_yaml(&[closed.clone()]));
    // Whoever chose it knows: it is no warning.
    let ended = desk.run(&format!("check --deny-warnings {}", desk.file()));
    assert!(
        ended.status == Some(0)
            && ended.stderr.contains("note: ")
            && ended.stderr.contains("answers 403 to every host"),
        "{ended:?}"
    );
    let desk = Desk::with("mesh.yaml", in_yaml(&[of_sidecars(closed)]));
    assert!(!desk.run(&format!("check {}", desk.file())).stderr.contains("403"));
}
