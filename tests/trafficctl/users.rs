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
fn the_exit_code_distinguishes_no_change_changes_and_trouble() {
    let traffic = |share: f64| policy(json!({ "name": "e", "traffic": { "a": share, "b": 1.0 - share } }));
    let desk = Desk::with("old.json", traffic(0.5));
    let same = desk.put("same.json", traffic(0.5));
    let other = desk.put("other.json", traffic(0.75));
    let bad = desk.put("bad.json", "{}");
    let old = desk.file();
    for (files, plain, with_exit_code) in [
        (format!("{old} {same}"), 0, 0),
        (format!("{old} {other}"), 0, 1),
        (format!("{old} {bad}"), 1, 2),
        (format!("{bad} {bad}"), 1, 2),
        (format!("{old} /nowhere.json"), 2, 2),
    ] {
        for json in ["", " --json"] {
            assert_eq!(desk.run(&format!("diff {files}{json}")).status, Some(plain), "{files}");
            let ended = desk.run(&format!("diff {files}{json} --exit-code"));
            assert_eq!(ended.status, Some(with_exit_code), "{files}");
            assert_eq!(ended.stderr.is_empty(), with_exit_code < 2, "{files}: {ended:?}");
        }
    }
}

#[test]
fn the_shares_before_and_after_are_shown_for_each_endpoint_and_cohort() {
    let endpoint =
        |name: &str, traffic: Value| json!({ "name": name, "route": format!("/{name}"), "traffic": traffic });
    let cohort = |traffic: Value| json!([{ "name": "c", "match": { "methods": ["PUT"] }, "traffic": traffic }]);
    let mut old = [
        endpoint("e", json!({ "a": 0.9, "b": 0.1 })),
        endpoint("gone", json!({ "a": 1 })),
        endpoint("moved", json!({ "a": 1 })),
    ];
    let mut new = [
        endpoint("e", json!({ "a": 0.8, "b": 0.1, "c": 0.1 })),
        endpoint("new", json!({ "a": 0.5, "b": 0.5 })),
        endpoint("moved", json!({ "a": 1 })),
    ];
    old[0]["cohorts"] = cohort(json!({ "a": 1 }));
    new[0]["cohorts"] = cohort(json!({ "b": 1 }));
    new[2]["route"] = json!("/else");
    let desk = Desk::with("old.json", json!({ "endpoints": old }).to_string());
    let new = desk.put("new.json", json!({ "endpoints": new }).to_string());
    let words = desk.ok(&format!("diff {} {new}", desk.file()));
    for expected in [
        "\ne\n  shares: a 90 % → 80 %, b 10 %, c 0 % → 10 %\n",
        "\ne/c\n  shares: a 100 % → 0 %, b 0 % → 100 %\n",
        "\nnew\n  a new endpoint: path is under /new\n  shares: a 50 %, b 50 %\n",
        "\ngone\n  the endpoint is deleted\n  shares until now: a 100 %\n",
        "\n  shares, as before: a 100 %\n",
    ] {
        assert!(words.contains(expected), "{expected}{words}");
    }
    let report = desk.json(["diff", desk.file(), &new, "--json"]);
    let shares = |name: &str| {
        let changes = report["changes"].as_array().unwrap();
        let change = changes.iter().find(|change| change["name"] == name).unwrap();
        [change["before"].clone(), change["after"].clone()]
    };
    assert_eq!(shares("e/c"), [json!({ "a": 1.0 }), json!({ "b": 1.0 })]);
    assert_eq!(shares("new"), [json!(null), json!({ "a": 0.5, "b": 0.5 })]);
    assert_eq!(shares("gone"), [json!({ "a": 1.0 }), json!(null)]);
}

#[test]
fn the_numbers_of_given_keys_and_those_of_all_users_are_apart() {
    let old = json!({ "name": "e", "traffic": { "a": 1 } });
    let new = json!({ "name": "e", "traffic": { "a": 0.8, "b": 0.2 } });
    let desk = Desk::with("old.json", policy(old));
    let new = desk.put("new.json", policy(new));
    let keys = desk.put("keys", (0..1000).map(|n| format!("user-{n}\n")).collect::<String>());
    let report = desk.json(["diff", desk.file(), &new, "--keys", &keys, "--json"]);
    let users = &report["changes"][0]["users"];
    assert!(near(&users["moved"], 0.2) && near(&users["least"], 0.2), "{users}");
    let moving = users["keys"].as_array().unwrap().len();
    let given = &users["given_keys"];
    assert_eq!(given["count"], 1000);
    assert!(near(&given["moved"], moving as f64 / 1000.0), "{given}");
    assert_ne!(moving, 200, "the two populations differ");
    let words = desk.ok(&format!("diff {} {new} --keys {keys}", desk.file()));
    assert!(words.contains("\n  moves 20 % of the users (at least 20 % must), 0 % needlessly\n"), "{words}");
    let part = format!("{:.2}", moving as f64 / 10.0);
    let part = part.trim_end_matches('0').trim_end_matches('.');
    let expected = format!("\n  moves {moving} of the 1000 given keys ({part} %), 0 of them needlessly\n");
    assert!(words.contains(&expected), "{expected}{words}");
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
