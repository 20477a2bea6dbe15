//! `check`.

use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};
use testbed::{cases, project};

use super::{Desk, POLICY};

fn messages(report: &Value) -> Vec<&str> {
    report["findings"].as_array().unwrap().iter().map(|finding| finding["message"].as_str().unwrap()).collect()
}

#[test]
fn an_invalid_policy_has_the_same_errors_as_in_envoys_log() {
    let desk = Desk::with("policy.json", "");
    for refusal in cases::refusals().unwrap() {
        let file = desk.put("policy.json", refusal.text());
        let report = desk.json(["check", "--json", &file]);
        assert_eq!(messages(&report), refusal.errors, "{}", refusal.rule);
        let ended = desk.trafficctl.run(["check", &file]);
        assert_eq!(ended.status, Some(1), "{}", refusal.rule);
        for error in &refusal.errors {
            assert!(ended.stderr.contains(&format!("error: {error}\n")), "{}: {}", refusal.rule, ended.stderr);
        }
    }
}

#[test]
fn an_error_is_shown_at_its_place_in_the_file() {
    let desk = Desk::with("policy.json", POLICY.replace("0.9", "0.95").replace("\"route\"", "\"rout\""));
    let ended = desk.run(&format!("check {}", desk.file()));
    let shown = ended.stderr.replace(desk.file(), "policy.json");
    let expected = r#"error: endpoints[0].rout: unknown field "rout"; expected one of name, route, methods, match, traffic, shadow, affinity, cohorts, $schema, description
 --> policy.json:6:7
  |
6 |       "rout": "/rank",
  |       ^^^^^^^^^^^^^^^
  |
  = help: did you mean "route"?

error: endpoints[0].traffic: the shares add up to 1.05; make them add up to 1 (or to 100, as percentages)
 --> policy.json:7:7
  |
7 |       "traffic": { "model-v1": 0.95, "model-v2": 0.1 }
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^

"#;
    assert_eq!(shown, expected);
    assert_eq!((ended.stdout, ended.status), (format!("{}: 2 errors\n", desk.file()), Some(1)));
}

#[test]
fn a_syntax_error_is_shown_at_its_place_in_the_file() {
    let desk = Desk::with("policy.json", "{\n  \"endpoints\": [\n    }\n");
    let report = desk.json(["check", "--json", desk.file()]);
    let finding = &report["findings"][0];
    assert_eq!((&finding["line"], &finding["column"]), (&json!(3), &json!(5)), "{finding}");
}

#[test]
fn the_exit_status_distinguishes_errors_from_wrong_usage() {
    let desk = Desk::with("policy.json", POLICY);
    let bad = desk.put("bad.json", "{}");
    let odd = desk.put("odd.json", POLICY.replacen('{', "{ \"backends\": { \"old\": {} },", 1));
    let no_policy = desk.put("other.yaml", "kind: Service\n");
    for (command, expected) in [
        (format!("check {}", desk.file()), 0),
        (format!("check --deny-warnings {}", desk.file()), 0),
        (format!("check --deny-warnings {odd}"), 1),
        (format!("check {odd}"), 0),
        (format!("check {bad}"), 1),
        (format!("check {} {bad}", desk.file()), 1),
        (format!("check {no_policy}"), 1),
        ("check /nowhere.json".to_owned(), 2),
        ("chek policy.json".to_owned(), 2),
        ("set-traffic ranker model-v1".to_owned(), 2),
    ] {
        assert_eq!(desk.run(&command).status, Some(expected), "{command}");
    }
}

#[test]
fn only_a_terminal_gets_colours() {
    let desk = Desk::with("policy.json", POLICY.replace("0.9", "0.8"));
    for command in [format!("check {}", desk.file()), format!("explain {}", desk.file()), "list".to_owned()] {
        let ended = desk.run(&command);
        assert!(!format!("{}{}", ended.stdout, ended.stderr).contains('\u{1b}'), "{command}");
    }
}

/// The warnings about a policy.
fn warnings(policy: &Value, options: &[&str]) -> Vec<String> {
    let desk = Desk::with("policy.json", policy.to_string());
    let report = desk.json(["check", "--json", desk.file()].into_iter().chain(options.iter().copied()));
    assert_eq!(report["errors"], 0, "{report}");
    messages(&report).into_iter().map(str::to_owned).collect()
}

#[test]
fn a_hidden_endpoint_and_a_hidden_cohort_are_warnings() {
    let any = json!({ "name": "any", "match": {}, "traffic": { "a": 1 } });
    let policy = json!({ "endpoints": [
        { "name": "all", "traffic": { "a": 1 }, "cohorts": [any, { "name": "late", "match": { "methods": ["GET"] }, "traffic": { "a": 1 } }] },
        { "name": "late", "route": "/late", "traffic": { "a": 1 } },
    ] });
    assert_eq!(
        warnings(&policy, &[]),
        [
            r#"endpoints[1]: no request reaches "late": endpoints[0] takes them all; put the more specific one first"#,
            r#"endpoints[0].cohorts[1]: no request reaches "late": endpoints[0].cohorts[0] takes them all; put the more specific one first"#,
        ]
    );
}

#[test]
fn a_shadow_of_unsafe_methods_without_a_list_is_a_warning() {
    let endpoint = |methods: Value, shadow: Value| {
        let mut endpoint = json!({ "name": "e", "traffic": { "a": 1 }, "shadow": { "a": shadow } });
        if !methods.is_null() {
            endpoint["methods"] = methods;
        }
        json!({ "endpoints": [endpoint] })
    };
    for (methods, shadow, expected) in [
        (json!(null), json!(0.5), Some("copies every method, also POST, PUT and DELETE")),
        (json!(["GET", "PUT", "DELETE"]), json!({ "fraction": 1 }), Some("copies PUT, DELETE")),
        (json!(["GET", "HEAD"]), json!(0.5), None),
        (json!(null), json!(0), None),
        (json!(null), json!({ "fraction": 0.5, "methods": ["POST"] }), None),
    ] {
        let found = warnings(&endpoint(methods.clone(), shadow.clone()), &[]);
        let is_as_expected = match expected {
            Some(words) => found.len() == 1 && found[0].starts_with(&format!("endpoints[0].shadow.a: {words}: ")),
            None => found.is_empty(),
        };
        assert!(is_as_expected, "{methods} {shadow}: {found:?}");
    }
    let of_cohort = json!({ "endpoints": [{ "name": "e", "methods": ["GET", "HEAD", "POST"], "traffic": { "a": 1 }, "cohorts": [
        { "name": "reads", "match": [{ "methods": ["GET"] }, { "methods": ["HEAD"] }], "traffic": { "a": 1 }, "shadow": { "a": 1 } },
        { "name": "any", "match": {}, "traffic": { "a": 1 }, "shadow": { "a": 1 } },
    ] }] });
    let found = warnings(&of_cohort, &[]);
    assert!(found.len() == 1 && found[0].starts_with("endpoints[0].cohorts[1].shadow.a: copies POST: "), "{found:?}");
}

#[test]
fn a_name_that_is_near_another_one_is_a_warning_unless_it_is_used_twice_or_listed() {
    let policy = |backends: Value, second: &str| {
        json!({ "backends": backends, "endpoints": [
            { "name": "e", "route": "/e", "traffic": { "model": 1 } },
            { "name": "f", "route": "/f", "traffic": { "model": 0.5, second: 0.5 } },
        ] })
    };
    let found = warnings(&policy(json!({}), "modle"), &[]);
    assert_eq!(
        found,
        [
            r#"endpoints[1].traffic.modle: the backend "modle" is named only here, and "model" is near it; check the spelling, or list it under `backends`"#
        ]
    );
    // Other names, and other versions of a name, are ordinary.
    for name in ["canary", "model2", "model-2", "model-v2", "mode-gpu"] {
        assert_eq!(warnings(&policy(json!({}), name), &[]), Vec::<String>::new(), "{name}");
    }
    assert_eq!(warnings(&policy(json!({ "modle": {} }), "modle"), &[]), Vec::<String>::new());
    assert_eq!(
        warnings(&policy(json!({ "modle": {}, "old": {} }), "modle"), &[]),
        ["backends.old: the backend is listed and never used; use it, or delete it"]
    );
    let desk = Desk::with("policy.json", policy(json!({}), "modle").to_string());
    assert!(desk.run(&format!("check {}", desk.file())).stderr.contains(r#"help: did you mean "model"?"#));
    // Of two names that each occur once, either may be meant: one warning.
    let pair = json!({ "endpoints": [{ "name": "e", "traffic": { "ranker-v1": 0.8, "rnker-v2": 0.2 } }] });
    let found = warnings(&pair, &[]);
    assert!(found.len() == 1 && found[0].starts_with("endpoints[0].traffic.rnker-v2: "), "{found:?}");
}

#[test]
fn a_share_too_small_to_show_anything_is_a_warning() {
    let policy = json!({ "endpoints": [
        { "name": "e", "traffic": { "a": 0.9999, "b": 0.0001 } },
        { "name": "f", "traffic": { "b": 0.0001, "a": 0.9999 }, "match": { "methods": ["GET"] } },
    ] });
    let count =
        |rate: &str| warnings(&policy, &["--rate", rate]).iter().filter(|words| words.contains("in a day")).count();
    // The tiny share gets 8.64 and 17.28 requests a day.
    assert_eq!((count("1"), count("2")), (2, 0));
}

#[test]
fn a_backend_that_is_only_listed_needs_its_cluster_too() {
    let listed = r#"{ "backends": { "next": {}, "renamed": { "cluster": "spare" } },"#;
    let desk = Desk::with("policy.json", POLICY.replacen('{', listed, 1));
    let clusters = desk.put("envoy.yaml", "static_resources: { clusters: [{ name: model-v1 }, { name: model-v2 }] }\n");
    let report = desk.json(["check", "--json", desk.file(), &clusters]);
    let found: Vec<_> = messages(&report).into_iter().filter(|message| message.contains("no cluster")).collect();
    let expected = |place: &str, cluster: &str| {
        format!("{place}: Envoy's configuration has no cluster {cluster:?}; add it, or name one that is there")
    };
    assert_eq!(found, [expected("backends.next", "next"), expected("backends.renamed.cluster", "spare")]);
}

#[test]
fn a_backend_without_a_cluster_in_envoys_configuration_is_found() {
    let envoy =
        |dynamic: &str| format!("static_resources:\n  clusters:\n  - name: model-v1\n  - name: model-v2-eu\n{dynamic}");
    let desk = Desk::with("policy.json", POLICY.replace("model-v2", "model-v2-us"));
    let known = desk.put("envoy.yaml", envoy(""));
    let dynamic = desk.put("dynamic.yaml", envoy("dynamic_resources: { cds_config: { ads: {} } }\n"));
    let report = desk.json(["check", "--json", desk.file(), &known]);
    let expected = r#"endpoints[0].traffic.model-v2-us: Envoy's configuration has no cluster "model-v2-us"; add it, or name one that is there"#;
    assert_eq!(messages(&report), [expected]);
    assert_eq!(report["findings"][0]["help"], r#"did you mean "model-v2-eu"?"#);
    let report = desk.json(["check", "--json", desk.file(), &dynamic]);
    assert!(!messages(&report).iter().any(|message| message.contains("no cluster")), "{report}");
}

/// The shipped files that hold no policy.
const WITHOUT_POLICY: [&str; 8] = [
    "alerts.yaml",
    "dashboard.json",
    "istio-admission.yaml",
    "istio-stat-tags-helm.yaml",
    "istio-stat-tags-istioctl.yaml",
    "istio-stat-tags-patch.yaml",
    "mirror-policy.yaml",
    "policy.schema.json",
];

#[test]
fn the_shipped_files_have_no_warnings() {
    let desk = Desk::with("unused", "");
    let mut with_policy = 0;
    for entry in std::fs::read_dir(project().join("envoy")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let is_data = [".yaml", ".json"].iter().any(|extension| name.ends_with(extension));
        if !is_data || WITHOUT_POLICY.contains(&&*name) {
            continue;
        }
        with_policy += 1;
        let file = format!("envoy/{name}");
        let arguments = ["check", "--deny-warnings", &file];
        let output = desk.trafficctl.command(arguments).current_dir(project()).output().unwrap();
        let words = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        // Envoy's configuration takes its policy from another file.
        let file = if name == "envoy.yaml" { "envoy/traffic-policy.yaml" } else { &file };
        assert_eq!((words, output.status.code()), (format!("{file}: ok\n"), Some(0)));
    }
    assert!(with_policy >= 6, "{with_policy} files");
}

#[test]
fn a_route_that_mirrors_by_a_header_of_the_client_is_a_warning() {
    let policy =
        POLICY.replace("}\n    }", "},\n      \"shadow\": { \"s\": { \"fraction\": 0, \"via\": \"mirror\" } } }");
    let desk = Desk::with("policy.json", policy);
    let rendered = desk.ok(&format!("render envoy {}", desk.file()));
    let mirror = "the routes of the connection manager \"main\" mirror by the header \"x-traffic-mirror\", which the \
                  connection manager leaves as the client sent it: a client that sends it has its requests copied to any \
                  cluster of the proxy; remove it in early_header_mutation_extensions";
    let route = "the routes of the connection manager \"main\" take the cluster from the header \"x-traffic-cluster\", \
                 which the connection manager leaves as the client sent it: a client that sends it chooses the cluster \
                 wherever the filter does not replace it; overwrite it in early_header_mutation_extensions";
    let removal = "              - remove: x-traffic-mirror\n";
    let early = "early_header_mutation_extensions:\n          - name";
    for (removed, instead, expected) in [
        ("", "", vec![]),
        (removal, "", vec![mirror]),
        (removal, "              - remove: x-traffic-mirror-2\n", vec![mirror]),
        ("OVERWRITE_IF_EXISTS_OR_ADD\n              # ", "APPEND_IF_EXISTS_OR_ADD\n              # ", vec![route]),
        (early, "# early_header_mutation_extensions:\n          access_log:\n          - name", vec![route, mirror]),
    ] {
        assert!(rendered.contains(removed), "{removed}");
        let file = desk.put("envoy.yaml", rendered.replacen(removed, instead, 1));
        let report = desk.json(["check", "--json", &file]);
        let found: Vec<_> =
            messages(&report).into_iter().filter(|words| words.contains("early_header_mutation")).collect();
        assert_eq!((found, &report["errors"]), (expected.clone(), &json!(0)), "{removed:?} {instead:?}");
        assert_eq!(
            desk.run(&format!("check --deny-warnings {file}")).status,
            Some(i32::from(!messages(&report).is_empty()))
        );
    }
}

#[test]
fn patched_routes_of_istio_that_mirror_by_a_header_of_the_client_are_a_warning() {
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "shadow": {
        "a": { "fraction": 0, "via": "mirror" } } }] });
    let desk = Desk::with("policy.json", policy.to_string());
    let rendered = desk.ok(&format!("render istio --all-hosts --port 80 {}", desk.file()));
    let removal = "\n              - remove: x-traffic-mirror";
    assert_eq!(rendered.matches(removal).count(), 1, "{rendered}");
    let report = desk.json(["check", "--json", &desk.put("istio.yaml", rendered.replace(removal, ""))]);
    let expected = "the routes of an EnvoyFilter or EnvoyPatchPolicy mirror by the header \"x-traffic-mirror\", which the \
                    connection manager leaves as the client sent it: a client that sends it has its requests copied to \
                    any cluster of the proxy; remove it in early_header_mutation_extensions";
    assert_eq!(messages(&report), [expected]);
}

#[test]
fn a_shadow_that_no_route_mirrors_is_a_warning() {
    let mirror = |header: &str| {
        let shadow = json!({ "fraction": 0.5, "via": "mirror", "mirror_header": header, "methods": ["GET"] });
        json!({ "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "cohorts": [
            { "name": "c", "match": {}, "traffic": { "a": 1 }, "shadow": { "a": shadow } }
        ] }] })
    };
    let desk = Desk::with("policy.json", mirror("X-Mine").to_string());
    let expected = r#"endpoints[0].cohorts[0].shadow.a: no route mirrors by "x-mine": copies are counted as mirrored, and nothing sends them; add a mirror policy to the route, as `trafficctl render` does, or use "via": "callout""#;
    let ecds = desk.put("ecds.yaml", desk.ok(&format!("render ecds {}", desk.file())));
    let envoy = desk.put("envoy.yaml", desk.ok(&format!("render envoy {} --ecds ecds.yaml", desk.file())));
    let istio = desk.put("istio.yaml", desk.ok(&format!("render istio --all-hosts --port 80 {}", desk.file())));
    for file in [&ecds, &envoy, &istio] {
        assert_eq!(messages(&desk.json(["check", "--json", file])), Vec::<&str>::new(), "{file}");
    }
    // The policy changes, and the routes do not.
    desk.put("ecds.yaml", testbed::read(&ecds).unwrap().replace("X-Mine", "X-Yours"));
    let found = desk.json(["check", "--json", &envoy]);
    assert_eq!(messages(&found), [expected.replace("x-mine", "x-yours")]);
    // Envoy Gateway's routes can't mirror by a header, so `render` refuses such a policy.
    let callout = mirror("X-Mine").to_string().replace(r#""mirror_header":"X-Mine","#, "").replace("mirror", "callout");
    let callout = desk.put("callout.json", callout);
    let gateway = desk.ok(&format!("render envoy-gateway {callout}")).replace("via: callout", "via: mirror");
    let found = desk.json(["check", "--json", &desk.put("gateway.yaml", gateway)]);
    assert_eq!(messages(&found), [expected.replace("x-mine", "x-traffic-mirror")]);
}

#[test]
fn standard_input_can_be_checked() {
    let desk = Desk::with("unused", "");
    let mut command = desk.trafficctl.command(["check", "-"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(POLICY.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "-: ok\n");
}

#[test]
fn an_invalid_file_does_not_hide_the_findings_in_others() {
    let desk = Desk::with("policy.json", POLICY.replace("0.9", "0.8"));
    let twice = desk.put("twice.yaml", "endpoints: []\nendpoints: []\n");
    let report = desk.json(["check", "--json", &twice, "/nowhere.json", desk.file()]);
    let places: Vec<_> =
        report["findings"].as_array().unwrap().iter().map(|finding| finding["file"].as_str().unwrap()).collect();
    assert_eq!(places, [&twice, "/nowhere.json", desk.file()]);
    assert_eq!(desk.run(&format!("check {} /nowhere.json", desk.file())).status, Some(2));
}

#[test]
fn a_policy_in_a_file_that_envoy_watches_is_not_overlooked() {
    let envoy = r#"{ "config_discovery": { "config_source": { "path_config_source": { "path": "/nowhere/ecds.yaml" } },
        "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"] }, "resources": [] }"#;
    let desk = Desk::with("envoy.json", envoy);
    let policy = desk.put("policy.json", POLICY);
    let words = desk.run(&format!("check {} {policy}", desk.file())).stderr;
    assert!(words.contains("Envoy takes its policy from /nowhere/ecds.yaml, which is not here"), "{words}");
    // The file is also found beside the one that names it, whatever the folder in the name.
    desk.put("ecds.yaml", "endpoints: {}\n");
    assert_eq!(desk.run(&format!("check {} {policy}", desk.file())).status, Some(1));
}

#[test]
fn thousands_of_findings_take_little_time() {
    let endpoints: Vec<_> = (0..4000)
        .map(|n| json!({ "name": format!("e{n}"), "route": format!("/e{n}"), "traffic": { "a": 2 } }))
        .collect();
    let desk = Desk::with("policy.json", json!({ "endpoints": endpoints }).to_string());
    let start = std::time::Instant::now();
    let ended = desk.run(&format!("check {}", desk.file()));
    assert_eq!(ended.stdout, format!("{}: 4000 errors\n", desk.file()));
    assert!(ended.stderr.ends_with("… and 3950 more (up to a hundred with --json)\n\n"));
    assert!(start.elapsed() < std::time::Duration::from_secs(20), "{:?}", start.elapsed());
}

#[test]
fn a_cookie_that_does_not_come_back_to_all_of_its_endpoint_is_a_warning() {
    let found = |endpoint: Value, path: &str| {
        let mut endpoint = endpoint;
        endpoint["name"] = json!("e");
        endpoint["traffic"] = json!({ "a": 1 });
        endpoint["affinity"] = json!({ "on_missing": "generate_cookie", "cookie": { "name": "id", "path": path } });
        warnings(&json!({ "backends": { "a": {} }, "endpoints": [endpoint] }), &[])
    };
    let warning = |path: &str| {
        format!(
            "endpoints[0].affinity.cookie.path: the endpoint takes requests outside {path:?}, which get no key and are \
             placed at random; use a `path` that contains all paths of the endpoint, or narrow its `route`"
        )
    };
    let matching = |path: Value| json!({ "match": { "path": path } });
    for (endpoint, path, is_narrow) in [
        (json!({}), "/", false),
        (json!({}), "/app", true),
        (json!({ "route": "/" }), "/app", true),
        (json!({ "route": "/app" }), "/app", false),
        (json!({ "route": "/app/" }), "/app", false),
        (json!({ "route": "/app/x" }), "/app", false),
        (json!({ "route": "/app/x" }), "/app/", false),
        // `/app` itself is outside `/app/`.
        (json!({ "route": "/app" }), "/app/", true),
        (json!({ "route": "/apple" }), "/app", true),
        (matching(json!({ "exact": "/app" })), "/app", false),
        (matching(json!({ "exact": "/favicon.ico" })), "/app", true),
        (matching(json!({ "prefix": "/app/x" })), "/app", false),
        (matching(json!({ "regex": "/app/.*" })), "/app", false),
        (json!({ "match": [{ "path": { "prefix": "/app" } }, { "path": { "prefix": "/b" } }] }), "/app", true),
        (json!({ "match": [{ "path": { "prefix": "/app/a" } }, { "path": { "prefix": "/app/b" } }] }), "/app", false),
        (json!({ "match": { "hosts": ["a.example"] } }), "/app", true),
    ] {
        let expected = if is_narrow { vec![warning(path)] } else { vec![] };
        assert_eq!(found(endpoint.clone(), path), expected, "{endpoint} {path}");
    }
}
