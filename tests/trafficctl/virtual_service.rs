//! `render istio --routes virtual-service`: routes in a VirtualService of its own, and in the
//! team's.

use serde_json::{Value, json};

use super::Desk;

const POLICY: &str = r#"{
  "backends": { "v1": { "cluster": "outbound|8080|v1|ranker.default.svc.cluster.local" },
                "v2": { "cluster": "outbound|8080|v2|ranker.default.svc.cluster.local" } },
  "endpoints": [{ "name": "ranker", "route": "/rank", "match": { "hosts": ["ranker.example.com", "ranker"] },
                  "traffic": { "v1": 0.9, "v2": 0.1 } }]
}"#;

/// A VirtualService as a team has it.
const TEAM: &str = r#"# The ranker team's routes.
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ranker   # do not rename
spec:
  hosts: [ranker.example.com]
  gateways: [gw]
  http:
  # Old clients.
  - name: old
    match: [{uri: {prefix: /rank/old}}]
    redirect: {uri: /rank}

  # The ranking itself.
  - name: rank
    match:
    - uri: {prefix: /rank}
      headers: {x-tenant: {exact: a}}   # only one tenant
    - uri: {exact: /rank/all}
    - uri: {prefix: /admin}
    timeout: 3s
    retries: {attempts: 2, perTryTimeout: 1s}
    headers: {request: {set: {x-team: ranker}, remove: [x-debug]}}
    corsPolicy: {allowOrigins: [{exact: "https://a.example"}]}
    fault: {delay: {fixedDelay: 1s, percentage: {value: 1}}}
    mirror: {host: audit}
    route:
    - destination: {host: ranker, port: {number: 8080}, subset: v1}
      weight: 50
      headers: {response: {set: {x-version: "1"}}}
    - destination: {host: ranker, port: {number: 8080}, subset: v2}
      weight: 50
  - match: [{uri: {prefix: /other}}]
    route: [{destination: {host: other}}]
  # Everything else.
  - route:
    - destination: {host: ranker}   # all versions
---
apiVersion: v1
kind: Service
metadata: {name: ranker}
"#;

const INTO: &str = "--routes virtual-service --into";

/// The routes of the first object in YAML.
fn http(text: &str) -> Vec<Value> {
    let first = text.split("\n---").next().unwrap();
    let object: Value = serde_saphyr::from_str(first).unwrap();
    object["spec"]["http"].as_array().unwrap().clone()
}

/// The routes after a merge into the team's VirtualService, changed by `change`.
fn merged(change: impl FnOnce(&mut Value), options: &str) -> Result<Vec<Value>, String> {
    let desk = Desk::with("policy.json", POLICY);
    let mut team: Value = serde_saphyr::from_str(TEAM.split("\n---").next().unwrap()).unwrap();
    change(&mut team);
    let team = desk.put("team.json", format!("{team:#}"));
    let ended = desk.run(format!("render istio {} {INTO} {team} {options}", desk.file()).trim());
    if ended.status == Some(0) { Ok(http(&ended.stdout)) } else { Err(ended.stderr) }
}

fn is_ours(route: &Value) -> bool {
    route["name"].as_str().is_some_and(|name| name.starts_with("traffic-policy."))
}

/// The name and the matches of each route of the policy, for the first cluster.
fn matches(routes: &[Value]) -> Vec<Value> {
    let of_v1 = |route: &&Value| is_ours(route) && route["route"][0]["destination"]["subset"] == "v1";
    routes.iter().filter(of_v1).map(|route| route["match"].clone()).collect()
}

#[test]
fn the_teams_file_gets_routes_and_keeps_everything_else() {
    let desk = Desk::with("policy.json", POLICY);
    let team = desk.put("team.yaml", TEAM);
    let merged = desk.ok(&format!("render istio {} {INTO} {team}", desk.file()));
    // Every line of the team is there, in its order.
    let mut lines = merged.lines();
    for line in TEAM.lines() {
        assert!(lines.any(|other| other == line), "{line}: {merged}");
    }
    let (ours, others): (Vec<_>, Vec<_>) = http(&merged).into_iter().partition(is_ours);
    assert_eq!(others, http(TEAM));
    // One for each cluster, before the two routes that take requests of the endpoint.
    let names: Vec<_> = ours.iter().map(|route| route["name"].as_str().unwrap()).collect();
    let cluster = |label: &str, subset: &str| {
        format!("traffic-policy.{label}.outbound|8080|{subset}|ranker.default.svc.cluster.local")
    };
    assert_eq!(names, [cluster("rank", "v1"), cluster("rank", "v2"), cluster("4", "v1"), cluster("4", "v2")]);
    let header = json!({ "exact": "outbound|8080|v1|ranker.default.svc.cluster.local" });
    let mut expected = http(TEAM)[1].clone();
    expected["name"] = json!(cluster("rank", "v1"));
    // Paths that no endpoint takes need no route.
    expected["match"] = json!([
        { "uri": { "prefix": "/rank" }, "headers": { "x-tenant": { "exact": "a" }, "x-traffic-cluster": header } },
        { "uri": { "exact": "/rank/all" }, "headers": { "x-traffic-cluster": header } },
    ]);
    expected["headers"]["request"]["remove"] = json!(["x-debug", "x-traffic-cluster"]);
    expected["route"] = json!([{
        "destination": { "host": "ranker.default.svc.cluster.local", "port": { "number": 8080 }, "subset": "v1" },
        "headers": { "response": { "set": { "x-version": "1" } } },
    }]);
    assert_eq!(ours[0], expected);
    assert_eq!(ours[1]["route"][0].get("headers"), None);
}

#[test]
fn a_second_run_replaces_the_routes_of_the_first() {
    let desk = Desk::with("policy.json", POLICY);
    let team = desk.put("team.yaml", TEAM);
    let render = |policy: &str, file: &str| desk.ok(&format!("render istio {policy} {INTO} {file}"));
    let once = desk.put("once.yaml", render(desk.file(), &team));
    assert_eq!(render(desk.file(), &once), std::fs::read_to_string(&once).unwrap());
    let with_v3 = POLICY.replace(
        "\"v2\": { \"cluster\"",
        "\"v3\": { \"cluster\": \"outbound|8080|v3|r.d.svc\" }, \"v2\": { \"cluster\"",
    );
    let with_v3 = desk.put("more.json", with_v3);
    let more = desk.put("more.yaml", render(&with_v3, &once));
    assert_eq!(http(&std::fs::read_to_string(&more).unwrap()).iter().filter(|route| is_ours(route)).count(), 6);
    assert_eq!(render(&with_v3, &team), std::fs::read_to_string(&more).unwrap());
    assert_eq!(render(desk.file(), &more), std::fs::read_to_string(&once).unwrap());
}

#[test]
fn the_routes_of_several_policies_stand_side_by_side() {
    let desk = Desk::with("policy.json", POLICY);
    let named = desk.put("named.json", POLICY.replacen('{', r#"{ "name": "shop", "routing_header": "x-shop","#, 1));
    let render = |policy: &str, file: &str| desk.ok(&format!("render istio {policy} {INTO} {file}"));
    let first = desk.put("first.yaml", render(desk.file(), &desk.put("team.yaml", TEAM)));
    let both = render(&named, &first);
    let of_shop = |route: &&Value| route["name"].as_str().is_some_and(|name| name.starts_with("traffic-policy-shop."));
    let routes = http(&both);
    assert_eq!((routes.iter().filter(|route| is_ours(route)).count(), routes.iter().filter(of_shop).count()), (4, 4));
    assert!(routes.iter().filter(of_shop).all(|route| !route["match"].to_string().contains("x-traffic-cluster")));
    // Either is replaced alone.
    let again = http(&render(desk.file(), &desk.put("both.yaml", both)));
    let names =
        |routes: &[Value]| -> std::collections::BTreeSet<String> { routes.iter().map(Value::to_string).collect() };
    assert_eq!(names(&again), names(&routes));
}

#[test]
fn a_file_in_json_or_with_other_line_ends_keeps_its_layout() {
    let desk = Desk::with("policy.json", POLICY);
    let windows = desk.put("windows.yaml", TEAM.replace('\n', "\r\n"));
    let merged = desk.ok(&format!("render istio {} {INTO} {windows}", desk.file()));
    assert!(
        merged.lines().count() > TEAM.lines().count()
            && merged.trim_end().lines().count() == merged.matches("\r\n").count() + 1
    );
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "kind": "VirtualService", "metadata": { "name": "a" }, "spec": { "gateways": ["gw"], "hosts": ["ranker.example.com"],
          "http": [{ "route": [{ "destination": { "host": "ranker" } }] }] } }] });
    let file = desk.put("list.json", list.to_string());
    let merged: Value = serde_json::from_str(&desk.ok(&format!("render istio {} {INTO} {file}", desk.file()))).unwrap();
    assert_eq!(merged["items"][0]["spec"]["http"].as_array().unwrap().len(), 3);
}

#[test]
fn routes_apply_only_to_proxies_with_the_filter() {
    let header = json!({ "x-traffic-cluster": { "exact": "outbound|8080|v1|ranker.default.svc.cluster.local" } });
    let http = json!([
        { "match": [
            { "sourceLabels": { "app": "frontend", "tier": "web" } },
            { "sourceLabels": { "app": "batch" } },
            { "gateways": ["gw"] },
            { "gateways": ["gw", "mesh"], "uri": { "prefix": "/rank" } },
        ], "route": [{ "destination": { "host": "ranker" } }] },
        { "route": [{ "destination": { "host": "ranker" } }] },
    ]);
    let with = |gateways: Value| {
        let http = http.clone();
        move |team: &mut Value| {
            team["spec"]["http"] = http;
            team["spec"]["gateways"] = gateways;
        }
    };
    // Istio ignores labels beside gateways. Another label, or another gateway, has no such sidecar.
    let labels = json!({ "app": "frontend" });
    assert_eq!(
        matches(&merged(with(json!(["mesh", "gw"])), "--sidecar app=frontend").unwrap()),
        [
            json!([
                { "sourceLabels": { "app": "frontend", "tier": "web" }, "headers": header },
                { "uri": { "prefix": "/rank" }, "sourceLabels": labels, "headers": header },
            ]),
            json!([{ "sourceLabels": labels, "headers": header }]),
        ]
    );
    for (gateways, options, second) in [
        (json!(["mesh", "gw"]), "", json!({ "gateways": ["gw"], "headers": header })),
        (json!(["gw"]), "", json!({ "headers": header })),
        (json!(["inner", "gw"]), "--gateway-resource gw", json!({ "gateways": ["gw"], "headers": header })),
    ] {
        let found = matches(&merged(with(gateways), options).unwrap());
        assert_eq!(
            found,
            [
                json!([
                    { "gateways": ["gw"], "headers": header },
                    { "gateways": ["gw"], "uri": { "prefix": "/rank" }, "headers": header },
                ]),
                json!([second]),
            ]
        );
    }
}

#[test]
fn a_virtual_service_that_is_not_for_these_proxies_is_refused() {
    let set = |name: &'static str, value: Value| move |team: &mut Value| team["spec"][name] = value;
    for (change, options, words) in [
        (
            set("gateways", json!(["gw"])),
            "--sidecar app=a",
            "the VirtualService \"ranker\" is not for sidecars: it has the gateways gw",
        ),
        (set("gateways", json!([])), "", "is for sidecars only: name those with the filter by --sidecar LABEL=VALUE"),
        (
            set("gateways", json!(["a", "b"])),
            "",
            "has several gateways (a, b): name those whose proxies have the filter",
        ),
        (set("gateways", json!(["a"])), "--gateway-resource gw", "is not for the gateway \"gw\": it has a;"),
        (
            set("hosts", json!(["shop.example.com"])),
            "",
            "no route of the VirtualService \"ranker\" takes requests of the policy's endpoints",
        ),
        (
            set(
                "http",
                json!([{ "match": [{ "uri": { "prefix": "/shop" } }], "route": [{ "destination": { "host": "a" } }] }]),
            ),
            "",
            "no route of",
        ),
        (set("http", json!([{ "redirect": { "uri": "/" } }])), "", "no route of"),
        (
            set("hosts", json!(["shop.example.com"])),
            "--host ranker.example.com:80",
            "has no VirtualService for the host \"ranker.example.com\"",
        ),
    ] {
        let error = merged(change, options).unwrap_err();
        assert!(error.contains(words), "{error}");
    }
    let desk = Desk::with("policy.json", POLICY);
    let two = desk.put(
        "two.yaml",
        format!(
            "{}\n---\n{}",
            TEAM.split("\n---").next().unwrap(),
            TEAM.replace("ranker.example.com", "shop.example.com")
        ),
    );
    let ended = desk.run(&format!("render istio {} {INTO} {two}", desk.file()));
    assert!(
        ended.stderr.contains(
            "several VirtualServices: name those of the policy by --host (ranker.example.com, shop.example.com)"
        ),
        "{ended:?}"
    );
    let merged = desk.ok(&format!("render istio {} {INTO} {two} --host ranker.example.com:80", desk.file()));
    assert_eq!(merged.matches("name: traffic-policy.").count(), 4);
    let alias = "spec: &spec\n  hosts: [ranker.example.com]\n  http: &http\n  - route: [{destination: {host: ranker}}]\nkind: VirtualService\nmetadata: {name: a}\nmore: *http\n";
    let ended =
        desk.run(&format!("render istio {} {INTO} {} --sidecar app=a", desk.file(), desk.put("alias.yaml", alias)));
    assert!(ended.status == Some(1) && !ended.stderr.is_empty(), "{ended:?}");
}

#[test]
fn a_virtual_service_of_its_own_falls_back_without_the_filter() {
    let desk = Desk::with("policy.json", POLICY);
    let ended = desk.run(&format!(
        "render istio {} --routes virtual-service --sidecar app=frontend --host ranker:8080",
        desk.file()
    ));
    assert_eq!(ended.status, Some(0), "{ended:?}");
    let objects: Vec<Value> = ended.stdout.split("---\n").map(|text| serde_saphyr::from_str(text).unwrap()).collect();
    let [_, service] = objects.as_slice() else { panic!("{objects:?}") };
    assert_eq!(service["spec"]["gateways"], json!(["mesh"]));
    let routes = service["spec"]["http"].as_array().unwrap();
    let labels = json!({ "app": "frontend" });
    assert!(
        routes[..2].iter().all(|route| is_ours(route) && route["match"][0]["sourceLabels"] == labels),
        "{routes:?}"
    );
    assert_eq!((routes.len(), routes[2].get("match")), (3, None));
    // Its own DestinationRule would take the place of the owner's.
    assert!(
        ended
            .stderr
            .contains("note: the DestinationRule of ranker.default.svc.cluster.local must have the subsets v1, v2"),
        "{ended:?}"
    );
    let with_rule = desk.ok(&format!(
        "render istio {} --routes virtual-service --sidecar app=frontend --host ranker:8080 --destination-rule",
        desk.file()
    ));
    assert!(with_rule.contains("kind: DestinationRule"), "{with_rule}");
}

#[test]
fn the_gateway_resource_is_not_the_label_of_the_proxies() {
    let desk = Desk::with("policy.json", POLICY);
    let render =
        format!("render istio {} --routes virtual-service --gateway ingress --host ranker.example.com:80", desk.file());
    let ended = desk.run(&render);
    assert!(ended.status == Some(2) && ended.stderr.contains("needs --gateway-resource for its Gateway"), "{ended:?}");
    let text = desk.ok(&format!("{render} --gateway-resource mesh/public --gateway-resource inner"));
    let [plugin, service] = ["WasmPlugin", "VirtualService"].map(|kind| {
        let text = text.split("---\n").find(|text| text.contains(&format!("kind: {kind}"))).unwrap();
        serde_saphyr::from_str::<Value>(text).unwrap()
    });
    assert_eq!(plugin["spec"]["selector"]["matchLabels"]["istio"], "ingress");
    assert_eq!(service["spec"]["gateways"], json!(["mesh/public", "inner"]));
    let alone = desk.ok(&format!("render istio {} --routes none --host ranker.example.com", desk.file()));
    assert!(alone.contains("kind: WasmPlugin") && !alone.contains("---"), "{alone}");
}
