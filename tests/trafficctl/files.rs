//! The kinds of file that contain a policy. It is found, checked at the right line, and edited
//! without any other change.

use serde_json::{Value, json};

use super::{Desk, POLICY};

/// A kind of file that contains a policy.
struct Kind {
    /// The name of the file.
    name: &'static str,
    /// Its content.
    before: &'static str,
    /// The changes in its content when model-v1 gets 0.75 and model-v3 the rest.
    edit: &'static [(&'static str, &'static str)],
    /// The line that contains 0.9.
    line: u64,
}

const KINDS: [Kind; 9] = [
    Kind {
        name: "policy.json",
        before: POLICY,
        edit: &[("0.9", "0.75"), (r#""model-v2": 0.1"#, r#""model-v3": 0.25"#)],
        line: 7,
    },
    Kind {
        name: "one-line.json",
        before: r#"{"endpoints":[{"name":"ranker","traffic":{"model-v1":0.9,"model-v2":0.1}}]}"#,
        edit: &[(r#"0.9,"model-v2":0.1"#, r#"0.75, "model-v3": 0.25"#)],
        line: 1,
    },
    Kind {
        name: "ecds.yaml",
        before: "# The filter.
resources:
- \"@type\": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: traffic-policy # its name
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      configuration:
        \"@type\": type.googleapis.com/google.protobuf.StringValue
        value: |
          {
            \"endpoints\": [
              { \"name\": \"ranker\",

                \"traffic\": { \"model-v1\": 0.9, \"model-v2\": 0.1 } }
            ]
          }

      # The rest.
      failure_policy: FAIL_RELOAD
",
        edit: &[("0.9", "0.75"), (r#""model-v2": 0.1"#, r#""model-v3": 0.25"#)],
        line: 15,
    },
    Kind {
        name: "ecds.json",
        before: r#"{"resources": [{"name": "traffic-policy", "typed_config": {
  "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
  "config": {"configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue",
    "value": "{\"endpoints\": [{\"name\": \"ranker\", \"traffic\": {\"model-v1\": 0.9, \"model-v2\": 0.1}}]}"}}}}]}
"#,
        edit: &[("0.9", "0.75"), (r#"\"model-v2\": 0.1"#, r#"\"model-v3\": 0.25"#)],
        // The line where the quoted policy starts.
        line: 4,
    },
    Kind {
        name: "envoy.yaml",
        before: r#"static_resources:
  listeners:
  - filter_chains:
    - filters:
      - typed_config:
          http_filters:
          - name: other
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config: { name: other, configuration: { "@type": type.googleapis.com/google.protobuf.StringValue, value: "not ours" } }
          - name: ours
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
              config:
                vm_config: { code: { local: { filename: /lib/traffic_policy.wasm } } }
                configuration:
                  "@type": type.googleapis.com/google.protobuf.StringValue
                  value: '{"endpoints": [{"name": "ranker", "traffic": {"model-v1": 0.9, "model-v2": 0.1}}]}' # the policy
"#,
        edit: &[(
            r#"'{"endpoints": [{"name": "ranker", "traffic": {"model-v1": 0.9, "model-v2": 0.1}}]}'"#,
            r#""{\"endpoints\": [{\"name\": \"ranker\", \"traffic\": {\"model-v1\": 0.75, \"model-v3\": 0.25}}]}""#,
        )],
        line: 18,
    },
    Kind {
        name: "bytes.yaml",
        before: "\"@type\": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
config:
  configuration:
    \"@type\": type.googleapis.com/google.protobuf.BytesValue
    value: eyJlbmRwb2ludHMiOlt7Im5hbWUiOiJyYW5rZXIiLCJ0cmFmZmljIjp7Im1vZGVsLXYxIjowLjksIm1vZGVsLXYyIjowLjF9fV19
resources: []
",
        edit: &[(
            "eyJlbmRwb2ludHMiOlt7Im5hbWUiOiJyYW5rZXIiLCJ0cmFmZmljIjp7Im1vZGVsLXYxIjowLjksIm1vZGVsLXYyIjowLjF9fV19",
            "\"eyJlbmRwb2ludHMiOlt7Im5hbWUiOiJyYW5rZXIiLCJ0cmFmZmljIjp7Im1vZGVsLXYxIjowLjc1LCAibW9kZWwtdjMiOiAwLjI1fX1dfQ==\"",
        )],
        line: 1,
    },
    Kind {
        name: "wasm-plugin.yaml",
        before: "# Another one first.
apiVersion: v1
kind: ConfigMap
metadata: { name: other }
---
apiVersion: extensions.istio.io/v1alpha1
kind: WasmPlugin
metadata:
  name: traffic
spec:
  url: oci://registry.example/traffic-policy:1 # the image
  pluginConfig:
    # Who serves whom.
    endpoints:
    - name: ranker
      traffic: # of all users
        model-v1: 0.9 # the good one
        model-v2: 0.1
  phase: AUTHN
---
kind: Service
",
        edit: &[("0.9", "0.75"), ("model-v2: 0.1", "model-v3: 0.25")],
        line: 17,
    },
    Kind {
        name: "list.yaml",
        before: "apiVersion: v1
kind: List
items:
- apiVersion: extensions.istio.io/v1alpha1
  kind: WasmPlugin
  metadata: { name: traffic }
  spec: { pluginConfig: { endpoints: [ { name: ranker, traffic: { model-v1: 0.9, model-v2: 0.1 } } ] } }
",
        edit: &[("0.9", "0.75"), ("model-v2: 0.1", r#""model-v3": 0.25"#)],
        line: 7,
    },
    Kind {
        name: "extension-policy.yaml",
        before: "apiVersion: gateway.envoyproxy.io/v1alpha1
kind: EnvoyExtensionPolicy
metadata: { name: traffic }
spec:
  wasm:
  - name: other
    config: { a: b }
  - name: traffic
    code: { image: { url: registry.example/traffic-policy:1 } }
    config:
      endpoints:
      - { name: ranker, traffic: { model-v1: 0.9, model-v2: 0.1 } }
",
        edit: &[("0.9", "0.75"), ("model-v2: 0.1", r#""model-v3": 0.25"#)],
        line: 12,
    },
];

#[test]
fn a_policy_is_found_in_each_kind_of_file() {
    for kind in &KINDS {
        let desk = Desk::with(kind.name, kind.before);
        let list = desk.json(["list", "--json"]);
        assert_eq!(list["endpoints"][0]["traffic"], json!({ "model-v1": 0.9, "model-v2": 0.1 }), "{}", kind.name);
    }
}

#[test]
fn an_error_is_shown_at_its_line() {
    for kind in &KINDS {
        if kind.name == "bytes.yaml" {
            continue;
        }
        let desk = Desk::with(kind.name, kind.before.replace("0.9", "-0.9"));
        let report = desk.json(["check", "--json", desk.file()]);
        let finding = &report["findings"][0];
        assert_eq!(finding["places"], json!(["endpoints[0].traffic.model-v1"]), "{}: {report}", kind.name);
        assert_eq!(finding["line"], kind.line, "{}", kind.name);
        let source = finding["source"].as_str().unwrap();
        assert_eq!(source.ends_with("in quotes"), ["ecds.json", "envoy.yaml"].contains(&kind.name), "{source}");
    }
}

#[test]
fn an_edit_changes_nothing_else() {
    for kind in &KINDS {
        let desk = Desk::with(kind.name, kind.before);
        desk.ok("set-traffic ranker model-v1=0.75 model-v3=0.25");
        let replace = |text: String, (old, new): &(&str, &str)| text.replace(old, new);
        let expected = kind.edit.iter().fold(kind.before.to_owned(), replace);
        assert_eq!(desk.text(), expected, "{}", kind.name);
        assert_eq!(desk.others(), Vec::<std::path::PathBuf>::new(), "{}", kind.name);
    }
}

#[test]
fn a_struct_and_a_missing_configuration_give_the_filters_own_message() {
    let filter = |configuration: Value| {
        let config =
            if configuration.is_null() { json!({ "name": "a" }) } else { json!({ "configuration": configuration }) };
        json!({ "resources": [{ "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "config": config }] })
    };
    let of_struct = json!({ "@type": "type.googleapis.com/google.protobuf.Struct", "value": { "endpoints": [] } });
    for (configuration, words) in [
        (of_struct, "policy: this is a google.protobuf.Struct in binary"),
        (Value::Null, "policy: the plugin configuration is empty"),
        (
            json!({ "@type": "type.googleapis.com/google.protobuf.StringValue" }),
            "policy: the plugin configuration is empty",
        ),
    ] {
        let desk = Desk::with("ecds.json", filter(configuration).to_string());
        let report = desk.json(["check", "--json", desk.file()]);
        assert!(report["findings"][0]["message"].as_str().unwrap().starts_with(words), "{report}");
    }
}

#[test]
fn the_error_about_a_file_without_a_policy_lists_the_kinds_of_file() {
    let desk = Desk::with("service.yaml", "kind: Service\n");
    let ended = desk.run("list");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains("service.yaml holds no policy: name a policy, an Envoy configuration"), "{ended:?}");
}

#[test]
fn two_policies_in_one_file_are_checked_but_not_edited() {
    let plugin = |name: &str| {
        format!("kind: WasmPlugin\nmetadata: {{ name: {name} }}\nspec:\n  pluginConfig:\n    endpoints: []\n")
    };
    let desk = Desk::with("plugins.yaml", format!("{}---\n{}", plugin("one"), plugin("two")));
    desk.ok(&format!("check {}", desk.file()));
    let ended = desk.run("create-backend a");
    assert_eq!(ended.status, Some(1));
    assert!(ended.stderr.contains(r#"holds several policies (WasmPlugin "one", WasmPlugin "two")"#), "{ended:?}");
}
