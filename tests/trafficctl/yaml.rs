//! Policies in YAML: how they are read, what Kubernetes reads differently, and what is wrong with
//! them, in words.

use serde_json::{Value, json};

use super::{Desk, POLICY};

const PLAIN: &str = "endpoints:\n- name: e\n  traffic: { a: 1 }\n";

/// A manifest with this traffic.
fn plugin(traffic: &str) -> String {
    format!(
        "kind: WasmPlugin\nspec:\n  pluginConfig:\n    endpoints:\n    - name: e\n      route: /e\n      traffic: {traffic}\n"
    )
}

#[test]
fn a_policy_that_is_not_json_is_a_source_and_not_what_the_filter_takes() {
    let words = |found: &str, file: &str| {
        format!("{file}: the file {found}, and the filter takes JSON: `trafficctl render json {file}` makes it")
    };
    let is_yaml = "is YAML";
    for (name, text, found, level) in [
        ("policy.yaml", PLAIN.to_owned(), Some(is_yaml), "note"),
        ("policy.yml", format!("# A comment.\n{POLICY}"), Some("is YAML (it starts with a comment)"), "note"),
        ("policy.json", PLAIN.to_owned(), Some(is_yaml), "error"),
        ("policy.json", format!("# A comment.\n{POLICY}"), Some("is YAML (it starts with a comment)"), "error"),
        ("policy.json", format!("---\n{POLICY}"), Some("is YAML (it starts with ---)"), "error"),
        ("policy.json", format!("\u{feff}{POLICY}"), Some("starts with a byte order mark"), "error"),
        ("policy", PLAIN.to_owned(), Some(is_yaml), "error"),
        ("policy.json", POLICY.to_owned(), None, ""),
        ("policy.yaml", POLICY.to_owned(), None, ""),
    ] {
        let desk = Desk::with(name, &text);
        let report = desk.json(["check", "--json", desk.file()]);
        let messages: Vec<_> =
            report["findings"].as_array().unwrap().iter().map(|found| found["message"].as_str().unwrap()).collect();
        let expected: Vec<_> = found.map(|found| words(found, desk.file())).into_iter().collect();
        assert_eq!(messages, expected, "{name} {text}");
        assert_eq!(report["errors"], u8::from(level == "error"), "{name} {text}");
        let ended = desk.run(&format!("check --deny-warnings {}", desk.file()));
        assert_eq!(ended.status, Some(i32::from(level == "error")), "{name} {text}");
        let expected = found.map(|found| format!("{level}: {}\n\n", words(found, desk.file()))).unwrap_or_default();
        assert_eq!(ended.stderr, expected, "{name} {text}");
        // The other verbs take it. They warn if the name of the file does not say that it is YAML.
        let listed = desk.run("list");
        let warning = found.filter(|_| level == "error").map(|found| words(found, desk.file()));
        let warning = warning.map(|words| format!("warning: {words}\n")).unwrap_or_default();
        assert_eq!((listed.status, listed.stderr), (Some(0), warning), "{name} {text}");
        let json = desk.put("rendered.json", desk.ok(&format!("render json {}", desk.file())));
        let checked = desk.run(&format!("check --deny-warnings {json}"));
        assert_eq!((checked.status, &*checked.stderr), (Some(0), ""), "{name} {text}");
        let of = |file: &str| desk.json(["list", "--json", "-f", file]);
        assert_eq!(of(&json), of(desk.file()), "{name} {text}");
    }
}

#[test]
fn a_change_to_a_policy_in_yaml_reports_that_the_filter_takes_json() {
    let desk = Desk::with("policy.yaml", PLAIN);
    let ended = desk.run("shadow-traffic e a 0.5 --method GET");
    let expected = format!(
        "note: {0}: the file is YAML, and the filter takes JSON: `trafficctl render json {0}` makes it\n",
        desk.file()
    );
    assert_eq!((ended.status, ended.stderr), (Some(0), expected));
}

#[test]
fn each_document_of_a_file_in_yaml_is_judged() {
    let desk = Desk::with("policy.yaml", format!("{PLAIN}---\n{}", PLAIN.replace("a: 1", "a: 2")));
    let report = desk.json(["check", "--json", desk.file()]);
    assert_eq!((&report["errors"], &report["findings"][1]["line"]), (&json!(1), &json!(7)), "{report}");
    assert!(desk.run("list").stderr.contains("holds several policies (document 1, document 2)"));
}

#[test]
fn an_unquoted_key_that_kubernetes_reads_differently_is_an_error() {
    for (key, there) in [
        ("1.10", "reads the key 1.10 as \"1.1\""),
        ("on", "reads the key on as \"true\""),
        ("n", "reads the key n as \"false\""),
        ("True", "reads the key True as \"true\""),
        ("010", "reads the key 010 as \"8\""),
        ("0x10", "reads the key 0x10 as \"16\""),
        ("1_000", "reads the key 1_000 as \"1000\""),
        ("1e3", "reads the key 1e3 as \"1000\""),
    ] {
        for (name, text) in [
            ("plugin.yaml", plugin(&format!("{{ {key}: 1 }}"))),
            ("policy.yaml", PLAIN.replace("a:", &format!("{key}:"))),
        ] {
            let desk = Desk::with(name, text);
            let report = desk.json(["check", "--json", desk.file()]);
            let error = report["findings"].as_array().unwrap().iter().find(|found| found["level"] == "error").unwrap();
            let expected = format!("Kubernetes {there}; quote it: {key:?}");
            assert!(error["message"].as_str().unwrap().ends_with(&expected), "{name} {key}: {report}");
            assert_eq!(error["line"], if name == "plugin.yaml" { 7 } else { 3 });
            // No verb goes on with it.
            assert_eq!(desk.run("list").status, Some(1));
            let quoted = desk.text().replace(&format!("{key}:"), &format!("{key:?}:"));
            let quoted = desk.put("quoted.yaml", quoted);
            assert_eq!(desk.run(&format!("check {quoted}")).status, Some(0), "{key}");
        }
    }
    // JSON has no unquoted keys, and is not read as YAML.
    let desk = Desk::with(
        "plugin.json",
        r#"{ "kind": "WasmPlugin", "spec": { "pluginConfig": { "endpoints": [
        { "name": "e", "traffic": { "1.10": 1e0 } }] } } }"#,
    );
    desk.ok(&format!("check {}", desk.file()));
}

#[test]
fn an_unquoted_value_that_kubernetes_reads_differently_is_an_error() {
    let policy = |shadow: &str, header: &str| {
        format!(
            "{}      shadow: {{ s: {{ fraction: 0, timeout_ms: {shadow} }} }}\n      match:\n        headers:\n        - {{ name: x, exact: {header} }}\n",
            plugin("{ a: 1 }")
        )
    };
    for (text, place, expected) in [
        (
            policy("0500", "b"),
            "timeout_ms",
            "Kubernetes reads 0500 as 320, and YAML 1.2 reads it as 500; write 500 if this is a number, or quote it: \"0500\"",
        ),
        (
            policy("1e3", "b"),
            "timeout_ms",
            "readers of YAML disagree about 1e3; write 1000 if this is a number, or quote it: \"1e3\"",
        ),
        (policy("9", "on"), "exact", "readers of YAML disagree about on; write true, or quote it: \"on\""),
        (policy("9", "12:30:45"), "exact", "readers of YAML disagree about 12:30:45; quote it: \"12:30:45\""),
        (policy("9", "2026-01-31"), "exact", "readers of YAML disagree about 2026-01-31; quote it: \"2026-01-31\""),
    ] {
        let desk = Desk::with("plugin.yaml", &text);
        let report = desk.json(["check", "--json", desk.file()]);
        let message = report["findings"][0]["message"].as_str().unwrap();
        assert!(message.contains(&format!("{place}: {expected}")), "{message}");
    }
    for text in [policy("500", "\"on\""), policy("0x10", "'12:30'"), policy("16", "v1.10")] {
        let desk = Desk::with("plugin.yaml", &text);
        assert_eq!(desk.json(["check", "--json", desk.file()])["errors"], 0, "{text}");
    }
}

#[test]
fn keys_that_are_equal_once_they_are_read_are_an_error() {
    for (traffic, expected) in [
        ("{ \"1\": 0.5, 1: 0.5 }", "endpoints[0].traffic.1: the key \"1\" stands twice; keep one of them"),
        (
            "{ 1.1: 0.1, 1.10: 0.9 }",
            "endpoints[0].traffic[\"1.10\"]: Kubernetes reads the key 1.10 as \"1.1\"; quote it: \"1.10\"",
        ),
    ] {
        let desk = Desk::with("plugin.yaml", plugin(traffic));
        let report = desk.json(["check", "--json", desk.file()]);
        assert_eq!(report["findings"][0]["message"], expected, "{report}");
    }
}

#[test]
fn an_edit_and_a_rendered_file_quote_what_kubernetes_would_read_differently() {
    let block = plugin("\n        a: 1");
    for text in [plugin("{ a: 1 }"), block] {
        for name in ["1.10", "on", "0500", "1e3", "y", "12:30", "2026-01-31"] {
            let desk = Desk::with("plugin.yaml", &text);
            desk.ok(&format!("create-backend {name} --cluster outbound|80||r.default.svc.cluster.local"));
            desk.ok(&format!("set-traffic e a=0.5 {name}=0.5"));
            let is_quoted = ['"', '\''].iter().any(|quote| desk.text().contains(&format!("{quote}{name}{quote}: 0.5")));
            assert!(is_quoted, "{}", desk.text());
            let rendered =
                desk.put("istio.yaml", desk.ok(&format!("render istio --all-hosts --port 80 {}", desk.file())));
            assert_eq!(desk.json(["check", "--json", &rendered])["errors"], 0, "{name}");
        }
    }
}

#[test]
fn a_null_that_kubernetes_would_drop_is_a_warning_and_is_rendered_as_an_empty_list() {
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "affinity": null }] });
    let desk = Desk::with("policy.json", policy.to_string());
    for form in ["istio --all-hosts --port 80", "envoy-gateway"] {
        let rendered = desk.ok(&format!("render {form} {}", desk.file()));
        assert!(
            rendered.contains("affinity:") && rendered.contains("keys: []") && !rendered.contains("null"),
            "{rendered}"
        );
    }
    for form in ["json", "ecds", "envoy"] {
        assert!(desk.ok(&format!("render {form} {}", desk.file())).contains("\"affinity\": null"), "{form}");
    }
    let manifest = desk.put("plugin.yaml", plugin("{ a: 1 }") + "      affinity: null\n");
    let report = desk.json(["check", "--json", &manifest]);
    let expected = "endpoints[0].affinity: `kubectl apply` drops a member that is null, so the filter would use its \
                    default keys; write {\"keys\": []}";
    assert_eq!((&report["findings"][0]["message"], &report["errors"]), (&json!(expected), &json!(0)));
    assert_eq!(desk.json(["check", "--json", desk.file()])["findings"], json!([]));
}

#[test]
fn an_alias_in_the_way_of_a_change_is_named_with_its_line() {
    let shared =
        |of_f: &str| format!("{}    - name: f\n      route: /f\n      traffic: {of_f}\n", plugin("&t { a: 1 }"));
    let merged = format!("shared: &t\n  a: 1\n{}", plugin("\n        <<: *t"));
    let key = format!("shared: &k a\n{}", plugin("{ *k : 1 }"));
    for (text, command, expected) in [
        (shared("*t"), "set-traffic f b=1", "10: the alias *t can't"),
        // The anchor is changed, and with it what the alias stands for.
        (shared("*t"), "set-traffic e b=1", "10: the alias *t can't"),
        (merged, "set-traffic e b=1", "10: the merge key << can't"),
        (key, "set-traffic e b=1", "8: the alias *k can't"),
    ] {
        let desk = Desk::with("plugin.yaml", &text);
        let ended = desk.run(command);
        let expected = format!(
            "error: not changed: {}:{expected} be edited in place: write out what it stands for\n",
            desk.file()
        );
        assert_eq!((ended.status, ended.stderr), (Some(1), expected), "{text}");
        assert_eq!(desk.text(), text);
    }
    // An alias elsewhere is no hindrance.
    let desk = Desk::with("plugin.yaml", shared("{ a: 1 }").replace("kind:", "x: &x 1\ny: *x\nkind:"));
    desk.ok("set-traffic f b=1");
}

#[test]
fn what_is_wrong_with_yaml_has_its_place_its_problem_and_its_remedy() {
    let first = "kind: Service\n---\n";
    for (text, expected) in [
        (
            plugin("{ a: 1 }\n      traffic: { a: 1 }"),
            "8:7: the key \"traffic\" stands twice in the same object; keep one of them",
        ),
        (
            format!("{first}{}", plugin("*t")),
            "9:16: the alias *t has no anchor before it; add one, or write out what it stands for",
        ),
        (plugin("{ ~: 1 }"), "7:18: a key is null; quote it, as in \"~\""),
        (plugin("{ [a]: 1 }"), "7:18: a key is an object or a list; write a string"),
        (plugin("{ a: .inf }"), "7:21: .inf is no number in JSON; quote it if it is a string, or write a number"),
        (
            plugin("{ a: 1 }").replace("  pluginConfig", "\tpluginConfig"),
            "3:2: not YAML: a tab stands where YAML indents; use spaces",
        ),
        (
            plugin("{ a: {{ .Values.share }} }"),
            "7: this is a template ({{ … }}), not what a proxy or a cluster gets: render it first, as in helm template CHART | trafficctl check -",
        ),
        (
            plugin("{ a: 1 }").replace("    endpoints:\n", "    endpoints:\n    {{- if .Values.on }}\n"),
            "5: this is a template",
        ),
        (
            plugin("{ a: 1 }").replace("kind: WasmPlugin\n", "{{- if .Values.on }}\nkind: WasmPlugin\n"),
            "1: this is a template",
        ),
        (POLICY.replace("0.9", "{{ .Values.share }}"), "7: this is a template"),
    ] {
        let name = if text.starts_with('{') && !text.starts_with("{{") { "policy.json" } else { "plugin.yaml" };
        let desk = Desk::with(name, &text);
        let expected = format!("error: {}:{expected}", desk.file());
        for command in [format!("check {}", desk.file()), "list".to_owned(), "create-backend x".to_owned()] {
            let ended = desk.run(&command);
            assert!(ended.status == Some(1) && ended.stderr.starts_with(&expected), "{expected}\n{text}\n{ended:?}");
        }
    }
    // In quotes, and in a comment, braces mean nothing.
    let quoted = plugin("{ a: 1 }").replace("/e\n", "\"/{{x}}\" # {{ y }}\n");
    let desk = Desk::with("plugin.yaml", &quoted);
    let listed: Value = desk.json(["list", "--json"]);
    assert_eq!(listed["endpoints"][0]["takes"], "path is under /{{x}}");
}
