//! The command line: files, shares and names, as people type them.

use testbed::trafficctl::Ended;

use super::{Desk, POLICY};

/// The verbs that work on one file, with what stands before it.
const VERBS: [&str; 15] = [
    "check",
    "list",
    "create-endpoint search --route /search model-v1=90% model-v2=10%",
    "create-endpoint search --route /search --backend model-v1",
    "delete-endpoint ranker",
    "create-backend model-v3",
    "delete-backend model-v9",
    "set-traffic ranker model-v1=1",
    "shadow-traffic ranker model-v2 20%",
    "explain --path /rank",
    "simulate --requests 1000",
    "render envoy",
    "render ecds",
    "render istio --all-hosts --port 80",
    "render envoy-gateway",
];

/// Runs a command. The variable TRAFFICCTL_FILE names `variable`.
fn run(desk: &Desk, command: &str, variable: Option<&str>) -> Ended {
    let mut command = desk.trafficctl.command(command.split(' '));
    match variable {
        Some(file) => command.env("TRAFFICCTL_FILE", file),
        None => command.env_remove("TRAFFICCTL_FILE"),
    };
    Ended::from(command.output().unwrap())
}

#[test]
fn every_verb_takes_its_file_by_position_by_option_and_by_variable() {
    for verb in VERBS {
        let policy = POLICY.replacen('{', r#"{ "backends": { "model-v9": {} },"#, 1);
        let desk = Desk::with("policy.json", &policy);
        let file = desk.file();
        let mut results = Vec::new();
        for (command, variable) in [
            (format!("{verb} {file}"), None),
            (format!("{verb} -f {file}"), None),
            (format!("{verb} --file {file}"), None),
            (verb.to_owned(), Some(file)),
            // A variable is only the default.
            (format!("{verb} {file}"), Some("/nowhere.json")),
            (format!("{verb} -f {file}"), Some("/nowhere.json")),
        ] {
            desk.put("policy.json", &policy);
            let Ended { status, stdout, stderr } = run(&desk, &command, variable);
            assert_eq!(status, Some(0), "{command}: {stderr}");
            results.push((stdout, stderr, desk.text()));
        }
        assert!(results.iter().all(|result| *result == results[0]), "{verb}: {results:#?}");

        desk.put("policy.json", &policy);
        let none = run(&desk, verb, None);
        assert_eq!(none.status, Some(2), "{verb}: {none:?}");
        if verb != "check" {
            let two = run(&desk, &format!("{verb} {file} -f {file}"), None);
            assert_eq!((two.status, desk.text()), (Some(2), policy), "{verb}: {two:?}");
        }
    }
}

#[test]
fn the_old_policy_of_a_diff_may_be_named_by_option_or_variable() {
    let desk = Desk::with("policy.json", POLICY);
    let new = desk.put("new.json", POLICY.replace("0.9", "0.8").replace("0.1", "0.2"));
    let file = desk.file();
    let expected = run(&desk, &format!("diff {file} {new}"), None).stdout;
    assert!(expected.contains("model-v1 90 % → 80 %"), "{expected}");
    for (command, variable) in [
        (format!("diff {new} -f {file}"), None),
        (format!("diff {new}"), Some(file)),
        (format!("diff {file} {new}"), Some("/nowhere.json")),
    ] {
        assert_eq!(run(&desk, &command, variable).stdout, expected, "{command}");
    }
    assert_eq!(run(&desk, &format!("diff {new}"), None).status, Some(2));
    assert_eq!(run(&desk, &format!("diff {file} {new} -f {file}"), None).status, Some(2));
}

#[test]
fn percentages_are_shares_and_fractions() {
    let desk = Desk::with("policy.json", POLICY);
    desk.ok("set-traffic ranker model-v1=66.7% model-v2=33.3%");
    assert!(desk.text().contains(r#"{ "model-v1": 0.667, "model-v2": 0.333 }"#), "{}", desk.text());
    desk.ok("shadow-traffic ranker model-v2 20%");
    assert!(desk.text().contains(r#""shadow": { "model-v2": 0.2 }"#), "{}", desk.text());
    let before = desk.text();
    let ended = desk.run("shadow-traffic ranker model-v2 20");
    assert!(ended.stderr.contains("a fraction is from 0 to 1: 20 % is 0.2, or 20%"), "{}", ended.stderr);
    assert_eq!((ended.status, desk.text()), (Some(2), before));
}

#[test]
fn a_name_with_a_comma_or_an_equals_sign_is_refused() {
    let desk = Desk::with("policy.json", POLICY);
    for (command, expected) in [
        ("set-traffic ranker model-v1=0.5,model-v2=0.5", "a comma is in it: put spaces between the shares"),
        ("set-traffic ranker model-v1,model-v2=1", "\"model-v1,model-v2\" has a \",\", which no name has"),
        ("set-traffic ranker=1 model-v1=1", "\"ranker=1\" has a \"=\", which no name has"),
        ("set-traffic ranker --cohort a,b model-v1=1", "\"a,b\" has a \",\""),
        ("set-traffic ranker model-v1=0.5=0.5", "two \"=\" are in it"),
        ("set-traffic ranker model-v1 model-v2=1", "write BACKEND=SHARE, as in model-v1=0.9 or model-v1=90%"),
        ("set-traffic ranker policy.json", "no share: write BACKEND=SHARE"),
        ("set-traffic ranker policy.json model-v1=1", "FILE is one file, and comes last"),
        ("shadow-traffic ranker model-v2=0.5 1", "\"model-v2=0.5\" has a \"=\""),
        ("create-backend a=b", "\"a=b\" has a \"=\""),
        ("create-backend a,b", "\"a,b\" has a \",\""),
        ("delete-backend a,b", "\"a,b\" has a \",\""),
        ("create-endpoint a=1 --backend model-v1", "\"a=1\" has a \"=\""),
        ("create-endpoint e --backend model-v1=1", "\"model-v1=1\" has a \"=\""),
        (
            "create-endpoint e --backend model-v1 model-v2=1",
            "name the backends as BACKEND=SHARE, or one with --backend",
        ),
        ("create-endpoint e --before a,b --backend model-v1", "\"a,b\" has a \",\""),
        ("delete-endpoint a,b", "\"a,b\" has a \",\""),
    ] {
        let ended = desk.run(command);
        assert_eq!((ended.status, desk.text().as_str()), (Some(2), POLICY), "{command}: {ended:?}");
        assert!(ended.stderr.contains(expected), "{command}: {}", ended.stderr);
    }
}
