//! Control characters in policies, in files that hold them, in the names of files and on admin
//! pages: none of them reaches a terminal or a pipe.

use std::ffi::OsStr;
use std::fmt::Debug;
use std::fs;
use std::os::unix::ffi::OsStrExt;

use serde_json::{Value, json};
use testbed::trafficctl::Ended;

use super::top::served;
use super::{Desk, POLICY};

/// A string that turns text magenta, sets the title of a terminal, rings its bell, and forges a
/// line; with control characters of Latin-1 and characters that change the direction of text.
const HOSTILE: &str =
    "a\u{1b}[35mb\u{1b}]0;title\u{7}\r\nFORGED\tc\u{7f}\u{9b}35m\u{85}\u{202e}d\u{2066}e\u{2028}f\u{61c}g\u{0}";

/// Verbs that read a policy, with `FILE` in place of its path.
const COMMANDS: [&str; 25] = [
    "check FILE",
    "check FILE --json",
    "check FILE --rate 0.001",
    "list -f FILE",
    "list -f FILE --json",
    "create-endpoint e --backend a -f FILE",
    "delete-endpoint HOSTILE -f FILE",
    "delete-endpoint e1 -f FILE",
    "create-backend HOSTILE -f FILE",
    "delete-backend HOSTILE -f FILE",
    "set-traffic e1 HOSTILE=1 -f FILE",
    "set-traffic e1 b=1 -f FILE --dry-run",
    "shadow-traffic e1 HOSTILE 0 -f FILE",
    "explain FILE --path /?q=HOSTILE -H x-a:HOSTILE --property a/b=HOSTILE",
    "explain FILE --path /?q=HOSTILE -H x-a:HOSTILE --json",
    "simulate FILE --requests 10",
    "simulate FILE --keys KEYS --json",
    "diff FILE OTHER",
    "diff FILE OTHER --keys KEYS",
    "diff FILE OTHER --keys KEYS --json",
    "diff OTHER FILE --keys FILE",
    "render envoy FILE",
    "render ecds FILE",
    "render istio FILE --all-hosts --port 80",
    "render envoy-gateway FILE",
];

/// What is wrong with an output: control characters, or a line that the program did not write.
fn complaint(output: &str) -> Option<String> {
    let mut rest = output;
    // The program's own colours are the ones that may be there.
    while let Some((_, after)) = rest.split_once('\u{1b}') {
        let end = after.find(|c: char| c != '[' && c != ';' && !c.is_ascii_digit()).unwrap_or(after.len());
        if !after[end..].starts_with('m') || after.starts_with("[35m") {
            return Some(format!("ESC {:?}", &after[..after.len().min(20)]));
        }
        rest = &after[end..];
    }
    let is_bad = |c: &char| {
        c.is_control() && !['\n', '\u{1b}'].contains(c)
            || "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}\u{2028}\u{61c}".contains(*c)
    };
    let bad = output.chars().find(is_bad).map(|c| format!("{c:?}"));
    bad.or_else(|| output.lines().find(|line| line.starts_with("FORGED")).map(|line| format!("a forged line: {line}")))
}

/// Runs a command as on a terminal, where colours and escape sequences stay, and as in a pipe.
fn run<A: AsRef<OsStr> + Debug>(desk: &Desk, arguments: &[A]) -> Ended {
    let ended = desk.trafficctl.run(arguments);
    let on_terminal = desk.trafficctl.command(arguments).env("CLICOLOR_FORCE", "1").output().unwrap();
    for ended in [&ended, &Ended::from(on_terminal)] {
        for output in [&ended.stdout, &ended.stderr] {
            if let Some(complaint) = complaint(output) {
                panic!("{arguments:?}: {complaint}\n{output}");
            }
        }
        assert!(!ended.stderr.contains("panicked"), "{ended:?}");
    }
    ended
}

/// Runs all commands for a document under a name, and returns how many succeeded.
fn run_all(name: &str, text: &str) -> usize {
    let desk = Desk::with(name, text);
    let keys = desk.put("keys", format!("alice\n{}\nbob\n", HOSTILE.replace('\n', "")));
    let other = desk.put("other.json", valid().replace("0.9", "0.1").replace("0.1,", "0.9,"));
    let mut succeeded = 0;
    for command in COMMANDS {
        let fill = |word: &str| match word {
            "FILE" => desk.file().to_owned(),
            "KEYS" => keys.clone(),
            "OTHER" => other.clone(),
            // No argument of a program has a null.
            word => word.replace("HOSTILE", HOSTILE.trim_end_matches('\0')),
        };
        let arguments: Vec<_> = command.split(' ').map(fill).collect();
        let ended = run(&desk, &arguments);
        if command.contains("--json") && ended.status == Some(0) {
            serde_json::from_str::<Value>(&ended.stdout).unwrap_or_else(|error| panic!("{command}: {error}"));
        }
        succeeded += usize::from(ended.status == Some(0));
        desk.put(name, text);
    }
    succeeded
}

/// A valid policy with hostile strings wherever one may be.
fn valid() -> String {
    // No segment of a property has a null.
    let segment = HOSTILE.trim_end_matches('\0');
    let keys = json!([{ "query": HOSTILE }, { "property": ["a", segment] }, { "header": "x-key" }]);
    json!({
        "endpoints": [{
            "name": "e1",
            "match": [{ "query": [{ "name": HOSTILE, "exact": HOSTILE }, { "name": "q", "contains": HOSTILE }] },
                { "headers": [{ "name": "x-a", "suffix": HOSTILE, "invert": true }] },
                { "properties": [{ "path": ["a", segment], "prefix": HOSTILE }] },
                { "path": { "regex": format!("/{}", HOSTILE.replace(['[', ']'], "")) } }, {}],
            "affinity": { "keys": keys, "salt": HOSTILE },
            "traffic": { "a": 0.9, "b": 0.1 },
            "shadow": { "s": { "fraction": 0.5, "via": "callout" } },
            "cohorts": [{ "name": "c", "match": { "query": [{ "name": HOSTILE, "present": true }] }, "traffic": { "b": 1 } }],
        }],
    })
    .to_string()
}

#[test]
fn no_control_character_of_a_valid_policy_is_shown() {
    let count = run_all("policy.json", &valid());
    assert!(count >= 18, "{count} of {} succeeded", COMMANDS.len());
    let desk = Desk::with("policy.json", valid());
    let list = run(&desk, &["list", "-f", desk.file()]).stdout;
    assert!(list.contains(r"query parameter a\u{1b}[35mb\u{1b}]0;title\u{7}\r\nFORGED\tc\u{7f}\u{9b}35m"), "{list}");
    let json: Value = serde_json::from_str(&run(&desk, &["list", "--json", "-f", desk.file()]).stdout).unwrap();
    assert!(json["endpoints"][0]["takes"].as_str().unwrap().contains(HOSTILE), "{json}");
}

#[test]
fn what_is_rendered_has_no_control_characters_and_the_same_policy() {
    let desk = Desk::with("policy.json", valid());
    let before: Value = serde_json::from_str(&valid()).unwrap();
    for form in ["envoy", "ecds", "istio --all-hosts --port 80", "envoy-gateway"] {
        let rendered = desk.put(
            "rendered.yaml",
            run(&desk, &[&["render"], &form.split(' ').collect::<Vec<_>>()[..], &[desk.file()]].concat()).stdout,
        );
        let list = |file: &str| {
            let ended = run(&desk, &["list", "--json", "-f", file]);
            assert_eq!(ended.status, Some(0), "{form}: {ended:?}");
            ended.stdout
        };
        assert_eq!(list(&rendered), list(desk.file()), "{form}");
        assert_eq!(serde_json::from_str::<Value>(&desk.text()).unwrap(), before);
    }
}

#[test]
fn no_control_character_of_an_invalid_policy_is_shown() {
    for (place, value) in [
        ("/endpoints/0/name", json!(HOSTILE)),
        ("/endpoints/0/traffic", json!({ HOSTILE: 1 })),
        ("/endpoints/0/traffic", json!({ "a": HOSTILE })),
        ("/endpoints/0/shadow", json!({ HOSTILE: { HOSTILE: 1 } })),
        ("/endpoints/0/match", json!({ HOSTILE: HOSTILE })),
        ("/endpoints/0/match", json!({ "hosts": [HOSTILE], "methods": [HOSTILE], "source_ip": [HOSTILE] })),
        ("/endpoints/0/match", json!({ "path": { "regex": format!("({HOSTILE}") } })),
        ("/endpoints/0/cohorts", json!([HOSTILE, { "name": HOSTILE, "match": HOSTILE }])),
        (
            "/endpoints/0/affinity",
            json!({ "keys": [{ HOSTILE: HOSTILE }], "cookie": { "name": HOSTILE, "path": HOSTILE } }),
        ),
        ("/endpoints/0", json!({ "name": "e1", "traffic": { "a": 1 }, HOSTILE: HOSTILE })),
        (
            "",
            json!({ "endpoints": [], "routing_header": HOSTILE, "default_cluster": HOSTILE, "backends": { HOSTILE: {} } }),
        ),
        ("", json!(HOSTILE)),
    ] {
        let mut policy: Value = serde_json::from_str(&valid()).unwrap();
        *policy.pointer_mut(place).unwrap() = value;
        run_all("policy.json", &policy.to_string());
        run_all("policy.yaml", &serde_saphyr::to_string(&policy).unwrap());
    }
}

#[test]
fn no_control_character_of_a_file_that_is_no_policy_is_shown() {
    let raw = valid().replace("\\u001b", "\u{1b}").replace("\\r", "\r").replace("\\u0007", "\u{7}");
    for (name, text) in [
        ("raw.json", raw.clone()),
        ("raw.yaml", raw),
        ("text.json", HOSTILE.to_owned()),
        ("text.yaml", format!("a: [{HOSTILE}\n b: {HOSTILE}")),
        ("text.yaml", format!("\"{HOSTILE}")),
        ("text.yaml", format!("&{HOSTILE} *{HOSTILE}: !{HOSTILE}")),
    ] {
        run_all(name, &text);
    }
}

#[test]
fn no_control_character_of_a_file_that_holds_a_policy_is_shown() {
    let discovery = json!({ "type_urls": ["envoy.extensions.filters.http.wasm.v3.Wasm"],
        "config_source": { "path_config_source": { "path": HOSTILE } } });
    let plugin = |policy: &Value| json!({ "kind": "WasmPlugin", "metadata": { "name": HOSTILE }, "spec": { "pluginConfig": policy } });
    let filter = |policy: &str| {
        json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": { "name": HOSTILE, "configuration": { "@type": "google.protobuf.StringValue", "value": policy } } })
    };
    let policy: Value = serde_json::from_str(&valid()).unwrap();
    let clusters = json!({ "clusters": [{ "name": HOSTILE }, { "name": format!("a{HOSTILE}") }] });
    for document in [
        json!({ "static_resources": clusters, "http_filters": [{ "name": HOSTILE, "config_discovery": discovery }] }),
        json!({ "static_resources": clusters, "http_filters": [filter(&valid())] }),
        json!({ "resources": [filter(&valid().replace("\"name\"", "\"nmae\""))] }),
        json!({ "resources": [filter(HOSTILE)] }),
        plugin(&policy),
        plugin(&json!({ "endpoints": HOSTILE })),
        json!({ "kind": "List", "items": [plugin(&policy), plugin(&policy)] }),
        json!({ "kind": HOSTILE, "apiVersion": HOSTILE }),
    ] {
        run_all("holder.json", &document.to_string());
        run_all("holder.yaml", &serde_saphyr::to_string(&document).unwrap());
    }
}

#[test]
fn no_control_character_of_the_name_of_a_file_is_shown() {
    let name = HOSTILE.trim_end_matches('\0').replace('/', "");
    for text in [POLICY.to_owned(), POLICY.replace("0.9", "0.8"), "kind: a".to_owned(), HOSTILE.to_owned()] {
        run_all(&format!("{name}.json"), &text);
    }
    let desk = Desk::with("policy.json", POLICY);
    let (missing, link) =
        (desk.folder.path().join(format!("{name}.json")), desk.folder.path().join(format!("{name}2.json")));
    std::os::unix::fs::symlink(desk.file(), &link).unwrap();
    for file in [&missing, &link] {
        run(&desk, &["create-backend", "a", "-f", file.to_str().unwrap()]);
        run(&desk, &["render", "ecds", desk.file(), "--module", file.to_str().unwrap()]);
    }
    fs::hard_link(desk.file(), &missing).unwrap();
    run(&desk, &["create-backend", "a", "-f", missing.to_str().unwrap()]);
    let not_utf8 = desk.folder.path().join(OsStr::from_bytes(b"\xff.json"));
    fs::write(&not_utf8, HOSTILE).unwrap();
    let ended = run(&desk, &["check".as_ref(), "--json".as_ref(), not_utf8.as_os_str()]);
    assert_eq!(ended.status, Some(1), "{ended:?}");
    serde_json::from_str::<Value>(&ended.stdout).unwrap();
}

#[test]
fn no_control_character_of_an_admin_page_is_shown() {
    let desk = Desk::with("policy.json", POLICY);
    // A line of a page can't have line breaks in it.
    let label = HOSTILE.replace(['\n', '\r'], "");
    let labels = format!("endpoint=\"{label}\",cohort=\"{label}\",backend=\"{label}\"");
    let page = format!(
        "# TYPE traffic_policy_traffic_share_millionths gauge
traffic_policy_traffic_share_millionths{{{labels}}} 500000
# TYPE traffic_policy_requests_total counter
traffic_policy_requests_total{{{labels},reason=\"{label}\"}} 5
# TYPE traffic_policy_shadow_total counter
traffic_policy_shadow_total{{{labels},result=\"{label}\"}} 5
# TYPE traffic_policy_shadow_in_flight gauge
traffic_policy_shadow_in_flight{{{labels}}} 5
"
    );
    let admin = served("200 OK", &page);
    let words = run(&desk, &["top", &admin, "--once", "--window", "1"]).stdout;
    // The line of the endpoint and the cohort, the row of the backend, and that of the shadow.
    assert_eq!(words.matches(r"a\u{1b}[35mb\u{1b}]0;title\u{7}").count(), 4, "{words}");
    let json: Value = serde_json::from_str(&run(&desk, &["top", &admin, "--json", "--window", "1"]).stdout).unwrap();
    assert_eq!(json["traffic"][0]["backend"], label);
    for (status, page) in [("200 OK", HOSTILE), ("500 \u{1b}[35m\u{9b}", HOSTILE), (HOSTILE, "")] {
        run(&desk, &["top", &served(status, page), "--once", "--window", "1"]);
    }
}
