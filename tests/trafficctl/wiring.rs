//! `check` of a whole Envoy configuration: the filter, and the routes that follow it.

use serde_json::{Value, json};
use testbed::bootstrap::{connection_manager, http_filters, routes};

use super::Desk;

const POLICY: &str = r#"{ "endpoints": [
    { "name": "rank", "route": "/rank", "traffic": { "a": 1 } },
    { "name": "one", "match": { "path": { "exact": "/one" } }, "traffic": { "a": 1 } } ] }"#;

/// The warnings and errors of `check` about the rendered configuration after a change.
fn findings(policy: &str, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let desk = Desk::with("policy.json", policy);
    let mut config = serde_saphyr::from_str(&desk.ok(&format!("render envoy {}", desk.file()))).unwrap();
    change(&mut config);
    let report = desk.json(["check", "--json", &desk.put("envoy.json", config.to_string())]);
    let findings = report["findings"].as_array().unwrap().iter();
    let findings = findings
        .map(|finding| format!("{}: {}", finding["level"].as_str().unwrap(), finding["message"].as_str().unwrap()));
    findings.filter(|words| !words.contains("early_header_mutation")).collect()
}

fn to(path: Value, cluster: &str) -> Value {
    json!({ "match": path, "route": { "cluster": cluster } })
}

/// A route or virtual host that switches the filter off, or on.
fn switched(mut route: Value, is_off: bool) -> Value {
    let kind = "type.googleapis.com/envoy.config.route.v3.FilterConfig";
    // Envoy refuses an empty one.
    let switch =
        if is_off { json!({ "@type": kind, "disabled": true }) } else { json!({ "@type": kind, "config": {} }) };
    route["typed_per_filter_config"] = json!({ "traffic-policy": switch });
    route
}

/// The words of the only finding.
fn only(findings: &[String]) -> &str {
    let [only] = findings else { panic!("{findings:?}") };
    only
}

#[test]
fn routes_that_follow_no_header_of_the_policy_are_a_warning() {
    let found = findings(POLICY, |config| routes(config)[0]["route"]["cluster_header"] = json!("x-trafic-cluster"));
    assert_eq!(
        only(&found),
        "warning: no route of the connection manager \"main\" takes the cluster from the header \"x-traffic-cluster\", \
         the policy's `routing_header` (one takes it from \"x-trafic-cluster\"): what the filter chooses has no effect; \
         set `cluster_header` of the routes to it"
    );
    let fixed = |config: &mut Value| routes(config)[0] = to(json!({ "prefix": "/" }), "a");
    assert!(only(&findings(POLICY, fixed)).starts_with("warning: no route of the connection manager \"main\" takes"));
    // The case of a header makes no difference, and nor does the spelling of protobuf's JSON.
    let camel = |config: &mut Value| routes(config)[0]["route"] = json!({ "clusterHeader": "X-Traffic-Cluster" });
    assert_eq!(findings(POLICY, camel), Vec::<String>::new());
    // Routes for each value of the header, as in Istio's VirtualService.
    let by_value = |config: &mut Value| {
        let header = json!({ "name": "x-traffic-cluster", "string_match": { "exact": "a" } });
        routes(config).insert(0, to(json!({ "prefix": "/", "headers": [header] }), "a"));
        routes(config)[1] = to(json!({ "prefix": "/" }), "a");
    };
    assert_eq!(findings(POLICY, by_value), Vec::<String>::new());
}

#[test]
fn routes_that_follow_the_header_of_a_policy_with_a_name_are_no_warning() {
    let named = POLICY.replacen('{', "{ \"name\": \"ranker\",", 1);
    let follow =
        |header: &'static str| move |config: &mut Value| routes(config)[0]["route"]["cluster_header"] = json!(header);
    assert_eq!(findings(&named, follow("x-traffic-cluster-ranker")), Vec::<String>::new());
    for header in ["x-traffic-cluster", "x-traffic-cluster-search"] {
        let expected = format!(
            "takes the cluster from the header \"x-traffic-cluster-ranker\", the policy's `routing_header` \
             (one takes it from {header:?})"
        );
        let found = findings(&named, follow(header));
        assert!(only(&found).contains(&expected), "{found:?}");
    }
    let with_both = named.replacen('{', "{ \"routing_header\": \"X-Mine\",", 1);
    assert_eq!(findings(&with_both, follow("x-mine")), Vec::<String>::new());
    assert!(only(&findings(&with_both, follow("x-traffic-cluster-ranker"))).contains("the header \"x-mine\""));
}

#[test]
fn a_route_that_takes_the_requests_of_an_endpoint_is_a_warning() {
    let header = json!({ "name": "x-user", "present_match": true });
    for (route, expected) in [
        (
            to(json!({ "prefix": "/rank" }), "web"),
            Some("the prefix \"/rank\" … leads to the cluster \"web\" … \"rank\""),
        ),
        (
            to(json!({ "prefix": "/" }), "web"),
            Some("the prefix \"/\" … leads to the cluster \"web\" … \"rank\" and 1 more"),
        ),
        (to(json!({ "path": "/one" }), "web"), Some("the path \"/one\" … leads to the cluster \"web\" … \"one\"")),
        (to(json!({ "path_separated_prefix": "/rank/v2" }), "web"), Some("the prefix \"/rank/v2\" … leads … \"rank\"")),
        (
            json!({ "match": { "prefix": "/rank" }, "route": { "weighted_clusters": {} } }),
            Some("the prefix \"/rank\" … chooses the cluster itself … \"rank\""),
        ),
        (
            json!({ "match": { "prefix": "/rank" }, "route": { "cluster_header": "x-other" } }),
            Some("the prefix \"/rank\" … takes the cluster from the header \"x-other\" … \"rank\""),
        ),
        // It is not enough that the header is there: it has to decide.
        (
            to(
                json!({ "prefix": "/rank", "headers": [{ "name": "X-Traffic-Cluster", "present_match": true }] }),
                "web",
            ),
            Some("the prefix \"/rank\" … leads to the cluster \"web\" … \"rank\""),
        ),
        // Routes of other teams, exceptions, and answers.
        (to(json!({ "prefix": "/other" }), "web"), None),
        (to(json!({ "prefix": "/on" }), "web"), Some("the prefix \"/on\" … \"one\"")),
        (to(json!({ "path": "/one/more" }), "web"), None),
        (to(json!({ "prefix": "/rank", "headers": [header] }), "web"), None),
        (
            to(
                json!({ "prefix": "/rank", "headers": [{ "name": "x-traffic-cluster", "present_match": true, "invert_match": true }] }),
                "web",
            ),
            None,
        ),
        (json!({ "match": { "prefix": "/rank" }, "direct_response": { "status": 503 } }), None),
        (switched(to(json!({ "path": "/rank/health" }), "web"), true), None),
    ] {
        let found = findings(POLICY, |config| routes(config).insert(0, route.clone()));
        let Some(expected) = expected else {
            assert_eq!(found, Vec::<String>::new(), "{route}");
            continue;
        };
        let mut rest = only(&found);
        for words in expected.split(" … ") {
            let at = rest.find(words).unwrap_or_else(|| panic!("{words}: {found:?}"));
            rest = &rest[at + words.len()..];
        }
        // Behind the route that follows, it takes only what has no header.
        assert_eq!(findings(POLICY, |config| routes(config).insert(1, route.clone())), Vec::<String>::new(), "{route}");
    }
}

#[test]
fn an_endpoint_for_every_path_may_leave_paths_to_other_routes() {
    let any = r#"{ "endpoints": [{ "name": "any", "traffic": { "a": 1 } }] }"#;
    let insert =
        |path: &'static str| move |config: &mut Value| routes(config).insert(0, to(json!({ "prefix": path }), "web"));
    assert_eq!(findings(any, insert("/static")), Vec::<String>::new());
    assert!(only(&findings(any, insert("/"))).contains("the prefix \"/\" in the virtual host \"all\""));
    // Another team's virtual host, in which no route follows the filter.
    let host = |config: &mut Value| {
        let hosts = connection_manager(config)["route_config"]["virtual_hosts"].as_array_mut().unwrap();
        hosts.push(
            json!({ "name": "web", "domains": ["web.example"], "routes": [to(json!({ "prefix": "/" }), "web")] }),
        );
    };
    for policy in [any, POLICY] {
        assert_eq!(findings(policy, host), Vec::<String>::new());
    }
}

#[test]
fn a_filter_that_is_off_where_routes_follow_it_is_a_warning() {
    let off = "the filter is off on the route for the prefix \"/\" in the virtual host \"all\" of the connection manager \
               \"main\", which takes the cluster that the filter chooses";
    let of_route = |config: &mut Value| routes(config)[0] = switched(routes(config)[0].clone(), true);
    let of_host = |config: &mut Value| {
        let host = &mut connection_manager(config)["route_config"]["virtual_hosts"][0];
        *host = switched(host.clone(), true);
    };
    let of_chain = |config: &mut Value| http_filters(config)[0]["disabled"] = json!(true);
    for change in [of_route, of_host, of_chain] as [fn(&mut Value); 3] {
        assert!(only(&findings(POLICY, change)).contains(off));
        // The route's own switch is the most specific.
        let back_on = |config: &mut Value| {
            change(config);
            routes(config)[0] = switched(routes(config)[0].clone(), false);
        };
        assert_eq!(findings(POLICY, back_on), Vec::<String>::new());
    }
    let of_endpoint =
        |config: &mut Value| routes(config).insert(0, switched(to(json!({ "prefix": "/rank" }), "a"), true));
    let found = findings(POLICY, of_endpoint);
    assert!(
        only(&found).contains("the filter is off on the route for the prefix \"/rank\"")
            && found[0].contains("endpoint \"rank\""),
        "{found:?}"
    );
}

#[test]
fn a_filter_behind_the_router_is_an_error() {
    let found = findings(POLICY, |config| http_filters(config).reverse());
    assert_eq!(
        only(&found),
        "error: the filter is behind the router, where Envoy refuses it, in the connection manager \"main\"; \
         put it before the router"
    );
}

#[test]
fn routes_of_scopes_and_of_other_files_are_read() {
    let desk = Desk::with("policy.json", POLICY);
    let rendered: Value = serde_saphyr::from_str(&desk.ok(&format!("render envoy {}", desk.file()))).unwrap();
    let mut table = connection_manager(&mut rendered.clone())["route_config"].clone();
    table["virtual_hosts"][0]["routes"][0]["route"]["cluster_header"] = json!("x-other");
    let scope = |member: &str, value: &Value| {
        json!({ "scoped_routes": { "name": "s", "scoped_route_configurations_list": {
            "scoped_route_configurations": [{ "name": "s", member: value }] } } })
    };
    table["@type"] = json!("type.googleapis.com/envoy.config.route.v3.RouteConfiguration");
    let elsewhere = desk.put("routes.json", json!({ "resources": [table] }).to_string());
    for (source, is_elsewhere) in [
        (scope("route_configuration", &table), false),
        (scope("route_configuration_name", &table["name"]), true),
        (json!({ "rds": { "route_config_name": table["name"] } }), true),
    ] {
        let mut config = rendered.clone();
        let manager = connection_manager(&mut config).as_object_mut().unwrap();
        manager.remove("route_config");
        manager.extend(source.as_object().unwrap().clone());
        let file = desk.put("envoy.json", config.to_string());
        let files =
            if is_elsewhere { vec!["check", "--json", &file, &elsewhere] } else { vec!["check", "--json", &file] };
        let report = desk.json(files).to_string();
        assert!(report.contains("no route of the connection manager") && report.contains("x-other"), "{report}");
        // The lint about headers of clients reads the same tables.
        assert!(report.contains("early_header_mutation_extensions"), "{report}");
    }
}

#[test]
fn a_policy_in_a_watched_file_is_that_of_the_manager() {
    let desk = Desk::with("policy.json", POLICY.replacen('{', "{ \"routing_header\": \"x-mine\",", 1));
    desk.put("ecds.yaml", desk.ok(&format!("render ecds {}", desk.file())));
    let envoy = desk.ok(&format!("render envoy {} --ecds ecds.yaml", desk.file()));
    desk.ok(&format!("check --deny-warnings {}", desk.put("envoy.yaml", &envoy)));
    let other = desk.put("other.yaml", envoy.replace("cluster_header: x-mine", "cluster_header: x-yours"));
    assert!(desk.run(&format!("check {other}")).stderr.contains("no route of the connection manager \"main\""));
}
