//! `diff`: whom a change moves, and that the filter in Envoy does just that.

use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup, one_endpoint};

use super::Desk;

fn policy(endpoint: Value) -> String {
    one_endpoint(endpoint)
}

fn diff(old: &Value, new: &Value) -> Value {
    let desk = Desk::with("old.json", policy(old.clone()));
    let new = desk.put("new.json", policy(new.clone()));
    desk.json(["diff", desk.file(), &new, "--json"])
}

fn near(value: &Value, expected: f64) -> bool {
    (value.as_f64().unwrap() - expected).abs() < 1e-9
}

#[test]
fn a_second_canary_moves_one_percent_and_nobody_needlessly() {
    let old = json!({ "name": "e", "traffic": { "default": 0.99, "new": 0.01 } });
    let new = json!({ "name": "e", "traffic": { "default": 0.98, "new": 0.01, "new2": 0.01 } });
    let report = diff(&old, &new);
    let users = &report["changes"][0]["users"];
    // One part in 101 of all, and as many of the first canary's users: 1.01 %.
    assert!(near(&users["moved"], 1.02 / 101.0), "{users}");
    assert!(near(&users["least"], 0.01) && users["needless"] == 0.0, "{users}");
    let desk = Desk::with("old.json", policy(old));
    let new = desk.put("new.json", policy(new));
    let words = desk.ok(&format!("diff {} {new}", desk.file()));
    assert!(words.contains("moves 1.01 % of the users (at least 1 % must), 0 % needlessly"), "{words}");
}

#[test]
fn another_salt_moves_users_who_need_not_and_says_so() {
    let traffic = json!({ "a": 0.5, "b": 0.5 });
    let desk = Desk::with("old.json", policy(json!({ "name": "e", "traffic": traffic })));
    let new = desk.put("new.json", policy(json!({ "name": "e", "traffic": traffic, "affinity": { "salt": "other" } })));
    let keys = desk.put("keys", "alice\nbob\ncarol\ndave\n");
    let ended = desk.run(&format!("diff {} {new} --keys {keys}", desk.file()));
    assert!(
        ended.stderr.contains("of the users move who need not (another salt: every user is placed anew)"),
        "{ended:?}"
    );
    let report = desk.json(["diff", desk.file(), &new, "--keys", &keys, "--json"]);
    let moved = report["changes"][0]["users"]["keys"].as_array().unwrap();
    assert!(!moved.is_empty() && moved.iter().all(|user| user["needless"] == true), "{report}");
    for user in moved {
        let words = format!(
            "the user {} moves from {} to {}, and need not",
            user["key"],
            user["from"].as_str().unwrap(),
            user["to"].as_str().unwrap()
        );
        assert!(ended.stderr.contains(&words), "{words}: {ended:?}");
    }
}

#[test]
fn what_else_changes_is_told() {
    let old = json!({ "name": "e", "route": "/e", "traffic": { "a": 1 }, "shadow": { "s": 0.5 },
        "cohorts": [{ "name": "gone", "match": {}, "traffic": { "b": 1 } }] });
    let new = json!({ "name": "e", "route": "/f", "traffic": { "a": 1 }, "affinity": { "keys": [{ "cookie": "id" }] },
        "cohorts": [{ "name": "beta", "match": { "methods": ["PUT"] }, "traffic": { "a": 1 } }] });
    let report = diff(&old, &new);
    let notes: Vec<_> =
        report["changes"].as_array().unwrap().iter().map(|change| (&change["name"], &change["notes"])).collect();
    let keys = "other keys, which place a user anew: header x-serve-shard-key → cookie id";
    assert_eq!(
        json!(notes),
        json!([
            ["e", ["takes other requests: path is under /e → path is under /f", keys, "copies to s: 50 % → nothing"]],
            ["e/beta", [keys, "a new cohort, whose users the endpoint's own traffic served: method is PUT"]],
            ["e/gone", ["the cohort is gone: the endpoint's own traffic serves its users"]],
        ])
    );
    assert_eq!(diff(&old, &old), json!({ "notes": [], "changes": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_diff_predicts_is_what_the_filter_does() {
    const USERS: usize = 1000;
    let old = json!({ "name": "e", "traffic": { "v1": 0.6, "v2": 0.3, "v3": 0.1 } });
    let new = json!({ "name": "e", "traffic": { "v1": 0.3, "v2": 0.3, "v3": 0.2, "v4": 0.2 } });
    let desk = Desk::with("old.json", policy(old.clone()));
    let new_file = desk.put("new.json", policy(new.clone()));
    let keys: Vec<_> = (0..USERS).map(|n| format!("user-{n}")).collect();
    let keys_file = desk.put("keys", keys.join("\n"));
    let report = desk.json(["diff", desk.file(), &new_file, "--keys", &keys_file, "--json"]);
    let predicted: Vec<[String; 3]> = report["changes"][0]["users"]["keys"]
        .as_array()
        .unwrap()
        .iter()
        .map(|user| ["key", "from", "to"].map(|field| user[field].as_str().unwrap().to_owned()))
        .collect();
    assert!(predicted.len() > 200, "{}", predicted.len());

    let backends = Backend::start_all(["v1", "v2", "v3", "v4"]).await.unwrap();
    let envoy = Envoy::start(&Setup { workers: 2, ..Setup::new(policy(old), &backends) }).await.unwrap();
    let client = envoy.client(Http::V1);
    let serve = async || {
        let mut served = Vec::new();
        for key in &keys {
            let answer = client.get("/", &[("x-serve-shard-key", key)]).await.unwrap();
            served.push(served_by(&answer).unwrap().to_owned());
        }
        served
    };
    let before = serve().await;
    envoy.apply(&policy(new)).await.unwrap();
    let after = serve().await;
    let seen = keys.iter().zip(before).zip(after).filter(|((_, before), after)| before != after);
    let seen: Vec<_> = seen.map(|((key, before), after)| [key.clone(), before, after]).collect();
    assert_eq!(predicted, seen);
}
