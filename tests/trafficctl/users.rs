//! `diff`: the users that a change moves, in theory and in Envoy.

use serde_json::{Value, json};
use testbed::backend::Backend;
use testbed::client::{Http, served_by};
use testbed::envoy::{Envoy, Setup};
use testbed::policies::one_endpoint;

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
fn a_second_canary_moves_one_percent_of_the_users_and_none_needlessly() {
    let old = json!({ "name": "e", "traffic": { "default": 0.99, "new": 0.01 } });
    let new = json!({ "name": "e", "traffic": { "default": 0.98, "new": 0.01, "new2": 0.01 } });
    let report = diff(&old, &new);
    let users = &report["changes"][0]["users"];
    // 1 in 101 of all users, and as many of the first canary's: 1.01 %.
    assert!(near(&users["moved"], 1.02 / 101.0), "{users}");
    assert!(near(&users["least"], 0.01) && users["needless"] == 0.0, "{users}");
    let desk = Desk::with("old.json", policy(old));
    let new = desk.put("new.json", policy(new));
    let words = desk.ok(&format!("diff {} {new}", desk.file()));
    assert!(words.contains("moves 1.01 % of the users (at least 1 % must), 0 % needlessly"), "{words}");
}

#[test]
fn another_salt_moves_users_needlessly_and_diff_reports_that() {
    let traffic = json!({ "a": 0.5, "b": 0.5 });
    let desk = Desk::with("old.json", policy(json!({ "name": "e", "traffic": traffic })));
    let new = desk.put("new.json", policy(json!({ "name": "e", "traffic": traffic, "affinity": { "salt": "other" } })));
    let keys = desk.put("keys", "alice\nbob\ncarol\ndave\n");
    let ended = desk.run(&format!("diff {} {new} --keys {keys}", desk.file()));
    assert!(
        ended.stderr.contains("of the users move needlessly (another salt: every user is placed again)"),
        "{ended:?}"
    );
    let report = desk.json(["diff", desk.file(), &new, "--keys", &keys, "--json"]);
    let moved = report["changes"][0]["users"]["keys"].as_array().unwrap();
    assert!(!moved.is_empty() && moved.iter().all(|user| user["needless"] == true), "{report}");
    for user in moved {
        let words = format!(
            "the user {} moves from {} to {} needlessly",
            user["key"],
            user["from"].as_str().unwrap(),
            user["to"].as_str().unwrap()
        );
        assert!(ended.stderr.contains(&words), "{words}: {ended:?}");
    }
}

#[test]
fn users_move_by_variants_and_are_counted_by_backends() {
    let policy = |variants: Value, traffic: Value| {
        let backends: serde_json::Map<_, _> = variants
            .as_object()
            .unwrap()
            .iter()
            .map(|(backend, variant)| (backend.clone(), json!({ "variant": variant })))
            .collect();
        json!({ "backends": backends, "endpoints": [{ "name": "e", "traffic": traffic }] }).to_string()
    };
    let report = |old: &str, new: &str| {
        let desk = Desk::with("old.json", old);
        let new = desk.put("new.json", new);
        let keys: Vec<_> = (0..20_000).map(|n| format!("user-{n}")).collect();
        let keys = desk.put("keys", keys.join("\n"));
        let exact = desk.json(["diff", desk.file(), &new, "--json"]);
        let seen = desk.json(["diff", desk.file(), &new, "--keys", &keys, "--json"]);
        let [exact_part, seen_part] =
            [&exact, &seen].map(|report| report["changes"][0]["users"]["moved"].as_f64().unwrap());
        // Six standard deviations.
        assert!((exact_part - seen_part).abs() < 6.0 * (0.25f64 / 20_000.0).sqrt(), "{exact_part} and not {seen_part}");
        exact
    };
    let old = policy(json!({ "a": "x" }), json!({ "a": 0.5, "b": 0.5 }));
    // Another share moves what it must, and another variant moves users needlessly.
    let users = &report(&old, &policy(json!({ "a": "x" }), json!({ "a": 0.6, "b": 0.4 })))["changes"][0]["users"];
    assert!(near(&users["moved"], 0.1) && users["needless"] == 0.0, "{users}");
    let change = &report(&old, &policy(json!({ "a": "y" }), json!({ "a": 0.5, "b": 0.5 })))["changes"][0];
    assert_eq!(change["notes"], json!(["a has another variant, by which users are placed: x → y"]));
    assert!(change["users"]["needless"].as_f64().unwrap() > 0.3, "{change}");
    // A new backend with the variant of the one that it replaces takes over its users, and nobody else.
    let users = &report(&old, &policy(json!({ "c": "x" }), json!({ "b": 0.5, "c": 0.5 })))["changes"][0]["users"];
    assert!(near(&users["moved"], 0.5) && near(&users["least"], 0.5) && users["needless"] == 0.0, "{users}");
}

#[test]
fn shares_that_give_two_backends_one_variant_are_refused() {
    let policy = json!({ "backends": { "a": { "variant": "v" }, "b": { "variant": "v" } },
        "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] });
    let desk = Desk::with("policy.json", policy.to_string());
    let ended = desk.run(&format!("set-traffic e a=0.5 b=0.5 --file {}", desk.file()));
    assert_eq!(ended.status, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(r#""b" has the variant "v", and so has "a""#), "{ended:?}");
}

#[test]
fn all_other_changes_are_reported() {
    let old = json!({ "name": "e", "route": "/e", "traffic": { "a": 1 }, "shadow": { "s": 0.5 },
        "cohorts": [{ "name": "gone", "match": {}, "traffic": { "b": 1 } }] });
    let new = json!({ "name": "e", "route": "/f", "traffic": { "a": 1 }, "affinity": { "keys": [{ "cookie": "id" }] },
        "cohorts": [{ "name": "beta", "match": { "methods": ["PUT"] }, "traffic": { "a": 1 } }] });
    let report = diff(&old, &new);
    let notes: Vec<_> =
        report["changes"].as_array().unwrap().iter().map(|change| (&change["name"], &change["notes"])).collect();
    let keys = "other keys, which place users again: header x-serve-shard-key → cookie id";
    let copies = "copies to s: 50 % → nothing";
    assert_eq!(
        json!(notes),
        json!([
            ["e", ["takes other requests: path is under /e → path is under /f", keys, copies]],
            ["e/beta", [keys, "a new cohort, served by the endpoint's own traffic so far: method is PUT", copies]],
            ["e/gone", ["the cohort is deleted: the endpoint's own traffic serves its users", copies]],
        ])
    );
    assert_eq!(diff(&old, &old), json!({ "notes": [], "changes": [] }));
}

/// The notes on the only endpoint.
fn notes(old: Value, new: Value) -> Vec<String> {
    let with_name = |mut endpoint: Value| {
        endpoint["name"] = json!("e");
        if endpoint.get("traffic").is_none() {
            endpoint["traffic"] = json!({ "a": 0.5, "b": 0.5 });
        }
        endpoint
    };
    let report = diff(&with_name(old), &with_name(new));
    let notes = report["changes"][0]["notes"].as_array().cloned().unwrap_or_default();
    notes.iter().map(|note| note.as_str().unwrap().to_owned()).collect()
}

#[test]
fn no_difference_is_overlooked() {
    let cookie = |name: &str, age: u64| json!({ "affinity": { "keys": [{ "cookie": "id" }], "on_missing": "generate_cookie", "cookie": { "name": name, "max_age_s": age } } });
    let keys = |keys: Value| json!({ "affinity": { "keys": keys } });
    for (old, new, expected) in [
        (
            json!({ "affinity": null, "traffic": { "v1": 1 } }),
            json!({ "affinity": null, "traffic": { "v1": 0.5, "v3": 0.5 } }),
            "traffic, drawn for each request: v1 100 % → v1 50 %, v3 50 %",
        ),
        (json!({}), json!({ "affinity": null }), "no affinity any more: each request is drawn independently"),
        (
            json!({ "shadow": { "s": { "fraction": 1, "headers": { "remove": ["authorization"] } } } }),
            json!({ "shadow": { "s": 1 } }),
            "copies to s: other options, such as limits, headers or host",
        ),
        (
            json!({ "shadow": { "s": 1 } }),
            json!({ "shadow": { "s": { "fraction": 1, "sample": "key" } } }),
            "copies to s: 100 % → 100 % of the keys",
        ),
        (cookie("id", 60), cookie("id", 90), "the cookie of generated keys is another one"),
        (
            keys(json!([{ "cookie": "id" }])),
            keys(json!([{ "cookie": "id" }, { "source_ip": true }])),
            "more keys, for users without the others: cookie id → cookie id, client's address",
        ),
        (
            keys(json!([{ "cookie": "id" }])),
            cookie("id", 60),
            "a user without a key gets a cookie with one from now on",
        ),
        (
            json!({ "shadow": { "s": 1 } }),
            json!({ "shadow": { "s": { "fraction": 1, "only_from": ["a"] } } }),
            "copies to s: 100 % → 100 %, only of a",
        ),
    ] {
        assert_eq!(notes(old, new), [expected]);
    }
}

#[test]
fn a_change_of_the_policy_itself_is_no_agreement() {
    let policy = |fields: Value| {
        let mut policy = json!({ "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] });
        policy.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        policy.to_string()
    };
    let desk = Desk::with("old.json", policy(json!({})));
    for (fields, expected) in [
        (json!({ "routing_header": "x-where" }), "routing_header: x-traffic-cluster → x-where"),
        (json!({ "response_header": "x-served" }), "response_header: none → x-served"),
        (json!({ "request_header": "x-served" }), "request_header: none → x-served"),
        (json!({ "filter_state": "traffic" }), "filter_state: none → traffic"),
        (json!({ "metrics": { "responses": false } }), "metrics.responses: true → false"),
        (json!({ "default_cluster": "web" }), "default_cluster: none → web"),
    ] {
        let new = desk.put("new.json", policy(fields));
        let report = desk.json(["diff", desk.file(), &new, "--json"]);
        assert_eq!(report, json!({ "notes": [expected], "changes": [] }));
        assert_eq!(desk.ok(&format!("diff {} {new}", desk.file())), format!("{expected}\n"));
    }
    assert_eq!(desk.ok(&format!("diff {0} {0}", desk.file())), "no decision changes\n");
}

#[test]
fn further_keys_and_percentages_move_nobody() {
    let thirds = json!({ "name": "e", "traffic": { "a": 0.3333333, "b": 0.3333333, "c": 0.3333334 } });
    let percentages = json!({ "name": "e", "traffic": { "a": 33.33333, "b": 33.33333, "c": 33.33334 } });
    assert_eq!(diff(&thirds, &percentages), json!({ "notes": [], "changes": [] }));
    let mut further = thirds.clone();
    further["affinity"] = json!({ "keys": [{ "header": "x-serve-shard-key" }, { "cookie": "id" }] });
    let users = &diff(&thirds, &further)["changes"][0]["users"];
    assert!(near(&users["moved"], 0.0) && near(&users["needless"], 0.0), "{users}");
}

#[test]
fn another_cluster_of_a_shadow_is_reported() {
    let policy = |cluster: &str| {
        json!({ "backends": { "s": { "cluster": cluster } }, "endpoints": [{ "name": "e", "traffic": { "a": 1 }, "shadow": { "s": 1 } }] }).to_string()
    };
    let desk = Desk::with("old.json", policy("one"));
    let new = desk.put("new.json", policy("two"));
    let words = desk.ok(&format!("diff {} {new}", desk.file()));
    assert!(words.contains("copies to s: 100 %, cluster one → 100 %, cluster two"), "{words}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_filter_moves_the_users_that_diff_predicts() {
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
