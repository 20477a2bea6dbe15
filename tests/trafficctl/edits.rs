//! The verbs: the changes they make, the changes they refuse, and that no change is lost.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use testbed::trafficctl::Ended;

use super::{Desk, POLICY};

fn policy(desk: &Desk) -> Value {
    serde_json::from_str(&desk.text()).unwrap()
}

#[test]
fn the_verbs_of_ray_serve_change_the_policy() {
    let desk = Desk::with("policy.json", "{ \"endpoints\": [] }\n");
    desk.ok("create-backend v1");
    desk.ok("create-backend v2 --cluster outbound|80|v2|model");
    desk.ok("create-endpoint ranker --route /rank --method GET --method POST --backend v1");
    desk.ok("create-endpoint search --route /search v1=.5 v2=0.5");
    desk.ok("create-endpoint first --route /search/first --backend v2 --before search");
    desk.ok("set-traffic ranker v1=90 v2=10");
    desk.ok("shadow-traffic ranker v2 0.25 --method GET");
    assert_eq!(
        policy(&desk),
        json!({
            "endpoints": [
                { "name": "ranker", "route": "/rank", "methods": ["GET", "POST"], "traffic": { "v1": 90, "v2": 10 },
                  "shadow": { "v2": { "fraction": 0.25, "methods": ["GET"] } } },
                { "name": "first", "route": "/search/first", "traffic": { "v2": 1 } },
                { "name": "search", "route": "/search", "traffic": { "v1": 0.5, "v2": 0.5 } },
            ],
            "backends": { "v1": {}, "v2": { "cluster": "outbound|80|v2|model" } },
        })
    );
    desk.ok("shadow-traffic ranker v2 0");
    desk.ok("delete-endpoint search");
    desk.ok("delete-endpoint first");
    desk.ok("set-traffic ranker v1=1");
    desk.ok("shadow-traffic ranker v1 1");
    desk.ok("delete-endpoint ranker");
    desk.ok("delete-backend v2");
    assert_eq!(policy(&desk), json!({ "endpoints": [], "backends": { "v1": {} } }));
}

#[test]
fn new_shares_keep_shadows_and_their_options() {
    let shadow = r#""shadow": { "v3": { "fraction": 0.5, "methods": ["GET"], "timeout_ms": 100 } }"#;
    let desk = Desk::with("policy.json", POLICY.replace("\"route\": \"/rank\"", shadow));
    desk.ok("set-traffic ranker model-v2=1");
    desk.ok("shadow-traffic ranker v3 0.1");
    let expected = json!({ "v3": { "fraction": 0.1, "methods": ["GET"], "timeout_ms": 100 } });
    assert_eq!(policy(&desk)["endpoints"][0]["shadow"], expected);
    assert!(
        desk.text()
            .contains(r#"      "shadow": { "v3": { "fraction": 0.1, "methods": ["GET"], "timeout_ms": 100 } },"#)
    );
}

#[test]
fn a_cohort_has_verbs_of_its_own() {
    let cohorts = r#""cohorts": [{ "name": "beta", "match": {}, "traffic": { "model-v2": 1 } }]"#;
    let desk = Desk::with("policy.json", POLICY.replace("\"route\": \"/rank\"", cohorts));
    desk.ok("set-traffic ranker --cohort beta model-v1=0.5 model-v2=0.5");
    desk.ok("shadow-traffic ranker model-v2 0.5 --cohort beta");
    let endpoint = &policy(&desk)["endpoints"][0];
    assert_eq!(endpoint["traffic"], json!({ "model-v1": 0.9, "model-v2": 0.1 }));
    assert_eq!(endpoint["cohorts"][0]["traffic"], json!({ "model-v2": 0.5, "model-v1": 0.5 }));
    assert_eq!(endpoint["cohorts"][0]["shadow"], json!({ "model-v2": 0.5 }));
}

#[test]
fn a_change_to_an_invalid_policy_is_not_written() {
    let desk = Desk::with("policy.json", POLICY);
    for (command, words) in [
        ("set-traffic ranker model-v1=0.9", "endpoints[0].traffic: the shares add up to 0.9; make them add up to 1"),
        ("set-traffic ranker model-v1=1.5 model-v2=-0.5", "endpoints[0].traffic.model-v2: a share of -0.5 is below 0"),
        ("create-endpoint a/b --backend model-v1", "endpoints[1].name: \"a/b\" is not a name for an endpoint"),
        ("create-endpoint ranker --backend model-v1", "endpoints[0] already has the name \"ranker\""),
        ("set-traffic rankr model-v1=1", "unknown endpoint \"rankr\": did you mean \"ranker\"?"),
        ("set-traffic ranker --cohort beta model-v1=1", "unknown cohort \"beta\": there is none"),
        ("delete-endpoint other", "unknown endpoint \"other\": there is ranker"),
        ("delete-backend model-v1", "the backend \"model-v1\" is in use: endpoints[0].traffic.model-v1"),
        ("delete-backend other", "unknown backend \"other\": there is model-v1, model-v2"),
        ("shadow-traffic ranker model-v9 0", "unknown shadow \"model-v9\": there is none"),
        ("set-traffic ranker model-v1=0.5 model-v1=0.5", "the backend \"model-v1\" has two shares"),
    ] {
        let ended = desk.run(command);
        assert_eq!(ended.status, Some(1), "{command}: {ended:?}");
        assert!(ended.stderr.contains(words), "{command}: {}", ended.stderr);
        assert_eq!(desk.text(), POLICY, "{command}");
    }
}

#[test]
fn a_policy_that_lists_its_backends_accepts_only_listed_ones() {
    let desk = Desk::with("policy.json", POLICY.replacen('{', "{ \"backends\": { \"model-v2\": {} },", 1));
    let ended = desk.run("set-traffic ranker model-v1=0.9 modle-v2=0.1");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("unknown backend \"modle-v2\": did you mean \"model-v2\"?"), "{ended:?}");
    // A rollback finds its backend again, although nothing has named it in between.
    desk.ok("set-traffic ranker model-v2=1");
    desk.ok("set-traffic ranker model-v1=1");
    assert_eq!(policy(&desk)["backends"], json!({ "model-v2": {}, "model-v1": {} }));
}

#[test]
fn a_backend_whose_shadow_is_stopped_can_be_deleted() {
    let desk = Desk::with("policy.json", POLICY);
    desk.ok("shadow-traffic ranker model-v3 0.5");
    desk.ok("shadow-traffic ranker model-v3 0");
    desk.ok("set-traffic ranker model-v1=1 model-v2=0");
    desk.ok("delete-backend model-v3");
    desk.ok("delete-backend model-v2");
    let expected = json!({ "name": "ranker", "route": "/rank", "traffic": { "model-v1": 1 }, "shadow": {} });
    assert_eq!(policy(&desk)["endpoints"][0], expected);
}

#[test]
fn a_cohorts_shadow_keeps_the_options_that_it_inherits() {
    let text = r#"{ "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "shadow": { "s": { "fraction": 0.5, "methods": ["GET"] } },
        "cohorts": [{ "name": "c", "match": {}, "traffic": { "a": 1 } }] }] }"#;
    let desk = Desk::with("policy.json", text);
    desk.ok("shadow-traffic e s 0.25 --cohort c");
    let expected = json!({ "s": { "fraction": 0.25, "methods": ["GET"] } });
    assert_eq!(policy(&desk)["endpoints"][0]["cohorts"][0]["shadow"], expected);
}

#[test]
fn only_new_warnings_are_shown() {
    let text = r#"{ "endpoints": [{ "name": "a", "route": "/a", "traffic": { "v1": 1 }, "shadow": { "s1": 0.5 } },
        { "name": "b", "route": "/b", "traffic": { "v1": 1 } }] }"#;
    let desk = Desk::with("policy.json", text);
    let warnings = |command: &str| desk.run(command).stderr.matches("warning: ").count();
    // The shadow is unsafe, and its backend is new.
    assert_eq!(warnings("shadow-traffic b s2 0.5"), 2);
    assert_eq!(warnings("create-endpoint c --route /c --backend v1 --before a"), 0);
    assert_eq!(warnings("set-traffic a v1=0.5 s2=0.5"), 0);
    assert_eq!(warnings("set-traffic a v2=1"), 1);
}

#[test]
fn a_new_name_that_is_near_a_known_one_is_refused_without_new() {
    let cohorts = r#""cohorts": [{ "name": "beta", "match": {}, "traffic": { "stable": 1, "retired": 0 } }]"#;
    let policy = POLICY.replace("model-", "ranker-").replace("\"route\": \"/rank\"", cohorts);
    let desk = Desk::with("policy.json", &policy);
    for (command, sort, name, near) in [
        ("set-traffic ranker ranker-v1=80 rnker-v2=20", "backend", "rnker-v2", "ranker-v2"),
        ("set-traffic ranker ranker-v1=80 ranker_v2=20", "backend", "ranker_v2", "ranker-v2"),
        ("set-traffic ranker --cohort beta stabel=1", "backend", "stabel", "stable"),
        ("set-traffic ranker ranker-v1=80 retierd=20", "backend", "retierd", "retired"),
        ("shadow-traffic ranker rankr-v3 0", "shadow", "rankr-v3", ""),
        ("shadow-traffic ranker rankr-v3 0.5 --method GET", "backend", "rankr-v3", "ranker-v1"),
        ("create-backend sable", "backend", "sable", "stable"),
        ("create-backend new --cluster stabl", "cluster", "stabl", "stable"),
        ("create-endpoint search --route /search sable=1", "backend", "sable", "stable"),
        ("create-endpoint rankers --route /search --backend stable", "endpoint", "rankers", "ranker"),
    ] {
        let ended = desk.run(command);
        assert_eq!((ended.status, &*desk.text()), (Some(1), &*policy), "{command}: {ended:?}");
        if near.is_empty() {
            assert!(ended.stderr.contains("unknown shadow"), "{ended:?}");
            continue;
        }
        let expected = format!(
            "error: not changed: the policy has had no {sort} {name:?} so far: did you mean {near:?}? (--new adds {name:?})\n"
        );
        assert_eq!(ended.stderr, expected, "{command}");
        assert_eq!(desk.run(&format!("{command} --new --dry-run")).status, Some(0), "{command}");
    }
}

#[test]
fn another_new_name_is_a_warning_unless_it_is_listed() {
    let desk = Desk::with("policy.json", POLICY);
    let expected = "warning: endpoints[0].traffic.model-v3: the policy has had no backend \"model-v3\" so far; check \
                    that Envoy has the cluster \"model-v3\": without it, its requests get 503";
    for (command, count) in [
        ("set-traffic ranker model-v1=0.8 model-v2=0.2", 0),
        ("set-traffic ranker model-v1=0.8 model-v3=0.2", 1),
        ("set-traffic ranker model-v1=0.8 model-v3=0.2", 0),
    ] {
        let ended = desk.run(command);
        assert_eq!(ended.status, Some(0), "{ended:?}");
        assert_eq!(ended.stderr.matches(expected).count(), count, "{command}: {ended:?}");
    }
    // A cluster in the same file confirms the name, also if it is near another one.
    let envoy = desk.ok(&format!("render envoy {}", desk.file())).replace("name: model-v3\n", "name: modle-v3\n");
    assert!(envoy.contains("modle-v3"));
    let envoy = desk.put("envoy.yaml", envoy);
    let ended = desk.run(&format!("set-traffic ranker model-v1=0.8 modle-v3=0.2 -f {envoy}"));
    assert_eq!((ended.status, &*ended.stderr), (Some(0), ""));
    desk.ok("create-backend model-v4");
    assert_eq!(desk.run("set-traffic ranker model-v1=0.8 model-v4=0.2").stderr, "");
}

#[test]
fn comments_stay_with_their_subject() {
    let plugin = |endpoints: &str| {
        format!("kind: WasmPlugin\nspec:\n  pluginConfig:\n    endpoints:\n{endpoints}  phase: AUTHN\n")
    };
    let block = "    # The legacy API,
    # owned by team A.
    - name: legacy # until May
      traffic: { a: 1 }
    # The new API.
    - name: new
      traffic:
        a: 1 # all of it
";
    let desk = Desk::with("plugin.yaml", plugin(block));
    desk.ok("create-endpoint mid --route /mid --backend a --before new");
    let mid = "    - { \"name\": \"mid\", \"route\": \"/mid\", \"traffic\": { \"a\": 1 } }\n";
    let (legacy, new) = block.split_at(block.find("    # The new").unwrap());
    assert_eq!(desk.text(), plugin(&format!("{legacy}{mid}{new}")));
    desk.ok("delete-endpoint legacy");
    assert_eq!(desk.text(), plugin(&format!("{mid}{new}")));
    desk.ok("delete-endpoint mid");
    assert_eq!(desk.text(), plugin(new));

    let flow = "      [
        # one
        { name: a, traffic: { v: 1 } }, # about a
        # two
        { name: b, traffic: { v: 1 } }, # about b
        { name: c, traffic: { v: 1 } } # about c
      ]
";
    let desk = Desk::with("plugin.yaml", plugin(flow));
    desk.ok("delete-endpoint a");
    let without_a = flow.replace("        # one\n        { name: a, traffic: { v: 1 } }, # about a\n", "");
    assert_eq!(desk.text(), plugin(&without_a));
    desk.ok("delete-endpoint c");
    let without_c =
        without_a.replace(", # about b\n        { name: c, traffic: { v: 1 } } # about c", " # about b # about c");
    assert_eq!(desk.text(), plugin(&without_c));
}

#[test]
fn a_yaml_block_keeps_its_indentation_and_its_line_ends() {
    let ecds = |header: &str, end: &str| {
        let lines = [
            "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config:",
            "  configuration:",
            "    \"@type\": type.googleapis.com/google.protobuf.StringValue",
            &format!("    value: {header}"),
            "      { \"endpoints\": [",
            "        { \"name\": \"e\", \"traffic\": { \"a\": 1 } }",
            "      ] }",
            "resources: []",
            "",
        ];
        lines.join(end)
    };
    for (header, end) in [("|", "\n"), ("|2", "\n"), ("|-", "\r\n"), ("|+", "\n")] {
        let desk = Desk::with("ecds.yaml", ecds(header, end));
        desk.ok("set-traffic e b=1");
        desk.ok("set-traffic e a=1");
        // The indentation indicator is not needed.
        assert_eq!(desk.text(), ecds(&header.replace('2', ""), end), "{header} {end:?}");
    }
}

#[test]
fn a_dry_run_changes_nothing() {
    let desk = Desk::with("policy.json", POLICY);
    let words = desk.ok("set-traffic ranker model-v1=0.8 model-v2=0.2 --dry-run");
    assert!(
        words.contains("would change\n") && words.contains("ranker: moves 10 % of the users (at least 10 % must)"),
        "{words}"
    );
    assert_eq!(desk.text(), POLICY);
}

#[test]
fn the_file_keeps_its_permissions() {
    use std::os::unix::fs::PermissionsExt;
    let desk = Desk::with("policy.json", POLICY);
    std::fs::set_permissions(desk.file(), std::fs::Permissions::from_mode(0o640)).unwrap();
    desk.ok("set-traffic ranker model-v1=1");
    assert_eq!(std::fs::metadata(desk.file()).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn no_change_is_lost_when_a_hundred_run_at_once() {
    const COUNT: usize = 100;
    let endpoint =
        |n: usize| format!("    {{ \"name\": \"e{n}\", \"route\": \"/e{n}\", \"traffic\": {{ \"a\": 1 }} }}");
    let endpoints: Vec<_> = (0..COUNT).map(endpoint).collect();
    let desk = Desk::with("policy.json", format!("{{\n  \"endpoints\": [\n{}\n  ]\n}}\n", endpoints.join(",\n")));
    let start = |n: usize| {
        let shares = [format!("a=0.{:03}", 999 - n), format!("b=0.{:03}", n + 1)];
        let mut command =
            desk.trafficctl.command(["set-traffic", &format!("e{n}"), &shares[0], &shares[1], "--lock-timeout", "600"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let running: Vec<_> = (0..COUNT).map(start).collect();
    for child in running {
        let ended = Ended::from(child.wait_with_output().unwrap());
        assert_eq!(ended.status, Some(0), "{ended:?}");
    }
    let policy = policy(&desk);
    for n in 0..COUNT {
        let expected = json!({ "a": (999 - n) as f64 / 1000.0, "b": (n + 1) as f64 / 1000.0 });
        assert_eq!(policy["endpoints"][n]["traffic"], expected, "e{n}");
    }
    assert_eq!(desk.others(), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_killed_change_leaves_either_the_old_file_or_the_new_one() {
    // The policy is large, so that a write takes a while.
    let endpoint = |n: usize| format!("{{\"name\": \"e{n}\", \"route\": \"/e{n}\", \"traffic\": {{\"a\": 1}}}}");
    let endpoints: Vec<_> = (0..2_000).map(endpoint).collect();
    let old = format!("{{\"endpoints\": [{}]}}", endpoints.join(","));
    let new = old.replacen("{\"a\": 1}", "{\"a\": 0.5, \"b\": 0.5}", 1);
    let desk = Desk::with("policy.json", &old);
    let time = std::time::Instant::now();
    desk.ok("set-traffic e0 a=0.5 b=0.5");
    let whole = time.elapsed();
    assert_eq!(desk.text(), new);
    let (mut kept, mut changed) = (0, 0);
    const RUNS: u32 = 60;
    for n in 0..RUNS {
        desk.put("policy.json", &old);
        let mut command = desk.trafficctl.command(["set-traffic", "e0", "a=0.5", "b=0.5"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // From early in the run to just after its end, where it writes.
        let part = f64::from(n) / f64::from(RUNS - 1);
        std::thread::sleep(Duration::from_secs_f64(whole.as_secs_f64() * (0.4 + 0.7 * part)));
        let _ = child.kill();
        child.wait().unwrap();
        match desk.text() {
            text if text == old => kept += 1,
            text if text == new => changed += 1,
            text => panic!("{} bytes, neither {} nor {}", text.len(), old.len(), new.len()),
        }
    }
    assert!(kept > 0, "no run was killed in time: {changed} changed");
    // Files that a killed run has left behind do not disturb the next run.
    desk.put("policy.json", &old);
    desk.ok("set-traffic e0 a=0.5 b=0.5");
    assert_eq!((desk.text(), desk.others()), (new, Vec::new()));
}
