//! The exit status, which is the same for every command.

use super::{Desk, POLICY};

/// All commands that read a policy, with `FILE` in place of its path.
const COMMANDS: [&str; 15] = [
    "check FILE",
    "list -f FILE",
    "create-endpoint e --backend a -f FILE",
    "delete-endpoint ranker -f FILE",
    "create-backend c -f FILE",
    "delete-backend b -f FILE",
    "set-traffic ranker model-v1=1 -f FILE",
    "shadow-traffic ranker model-v3 0.5 -f FILE",
    "explain FILE",
    "simulate FILE --requests 10",
    "diff FILE FILE",
    "render envoy FILE",
    "render ecds FILE",
    "render istio FILE --all-hosts --port 80",
    "render envoy-gateway FILE",
];

/// A valid policy that has whatever the commands name.
fn valid() -> String {
    POLICY.replacen('{', r#"{ "backends": { "a": {}, "b": {}, "model-v3": {} },"#, 1)
}

#[test]
fn a_file_that_cannot_be_read_is_2_for_every_command() {
    let desk = Desk::with("policy.json", POLICY);
    let folder = desk.folder.path().to_str().unwrap();
    let binary = desk.put("binary.json", b"\xff\xfe");
    for command in COMMANDS {
        for file in ["/nowhere/policy.json", folder, &binary] {
            let ended = desk.run(&command.replace("FILE", file));
            assert_eq!(ended.status, Some(2), "{command} {file}: {ended:?}");
            assert!(ended.stderr.contains("cannot read"), "{command} {file}: {ended:?}");
        }
    }
}

#[test]
fn a_wrong_policy_is_1_for_every_command_and_shown_at_its_line() {
    let unknown_field = valid().replace("\"response_header\"", "\"answer_header\"");
    let not_json = valid().replace("\"ranker\",", "\"ranker\"");
    for text in [unknown_field, not_json] {
        let desk = Desk::with("wrong.json", &text);
        for command in COMMANDS {
            let ended = desk.run(&command.replace("FILE", desk.file()));
            assert_eq!(ended.status, Some(1), "{command}: {ended:?}");
            assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains("--> "), "{command}: {ended:?}");
            assert_eq!(desk.text(), text, "{command}");
        }
    }
}

#[test]
fn a_valid_policy_is_0_for_every_command() {
    for command in COMMANDS {
        let desk = Desk::with("policy.json", valid());
        desk.ok(&command.replace("FILE", desk.file()));
    }
}

#[test]
fn keys_that_cannot_be_read_are_2_and_no_keys_are_1() {
    let desk = Desk::with("policy.json", POLICY);
    let empty = desk.put("keys", "\n");
    for command in ["simulate FILE", "diff FILE FILE"] {
        let command = command.replace("FILE", desk.file());
        assert_eq!(desk.run(&format!("{command} --keys /nowhere")).status, Some(2), "{command}");
        assert_eq!(desk.run(&format!("{command} --keys {empty}")).status, Some(1), "{command}");
    }
}

#[test]
fn wrong_usage_is_2() {
    let desk = Desk::with("policy.json", POLICY);
    for command in [
        "explain FILE --path rank",
        "explain FILE -H nonsense",
        "explain FILE --property nonsense",
        "list -f FILE --nonsense",
        "render FILE",
        "render istio FILE --sidecar app=a",
        "set-traffic ranker model-v1=1 -f -",
    ] {
        let ended = desk.run(&command.replace("FILE", desk.file()));
        assert_eq!(ended.status, Some(2), "{command}: {ended:?}");
    }
}
