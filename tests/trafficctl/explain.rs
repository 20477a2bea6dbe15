//! `explain`, `simulate` and `list`.

use serde_json::{Value, json};

use super::Desk;

const POLICY: &str = r#"{
  "default_cluster": "web",
  "endpoints": [
    { "name": "admin", "route": "/admin", "methods": ["POST"], "traffic": { "admin": 1 } },
    { "name": "ranker", "route": "/rank", "traffic": { "v1": 0.9, "v2": 0.1 },
      "shadow": { "v3": { "fraction": 0.5, "methods": ["GET"], "only_from": ["v2"] }, "v4": { "fraction": 1, "sample": "key" } },
      "affinity": { "keys": [{ "cookie": "session" }, { "query": "user" }] },
      "cohorts": [{ "name": "office", "match": { "source_ip": ["10.0.0.0/8"], "headers": [{ "name": "x-beta", "present": true }] }, "traffic": { "v2": 1 } }] }
  ]
}"#;

#[test]
fn a_decision_is_explained_step_by_step() {
    let desk = Desk::with("policy.json", POLICY);
    let file = desk.file().to_owned();
    let words = desk.trafficctl.ok([
        "explain",
        &file,
        "--path",
        "/rank?user=alice",
        "-H",
        "x-beta: 1",
        "--source-ip",
        "192.0.2.1",
    ]);
    let expected = "request  GET /rank?user=alice (host localhost)

endpoint
  no   admin   path is under /admin does not hold: \"/rank\"
  yes  ranker  path is under /rank holds: \"/rank\"

cohort
  no   office  client's address is in 10.0.0.0/8 does not hold: \"192.0.2.1\"
  no cohort takes it: the endpoint's own traffic

shard key
  no   cookie session: there is none
  yes  query parameter user: \"alice\"
  falls on the point 0x1127ce946ecd2cdd

backend  reason: key
  v1  share      90 %  score 5.8780
  v2  share      10 %  score 4.7192: the lowest serves

shadows
  v3  chance      50 %  50 % of the requests, each drawn for itself; only of what v2 serves
  v4  chance     100 %  of 100 %, by key: this key is copied
";
    assert_eq!(words.unwrap(), expected);
}

#[test]
fn programs_can_read_an_explanation() {
    let desk = Desk::with("policy.json", POLICY);
    let of =
        |options: &[&str]| desk.json(["explain", desk.file(), "--json"].into_iter().chain(options.iter().copied()));
    let office = of(&["--path", "/rank", "-H", "X-Beta: 1", "--source-ip", "10.1.2.3", "--method", "POST"]);
    assert_eq!(
        (&office["endpoint"], &office["cohort"], &office["reason"]),
        (&json!("ranker"), &json!("office"), &json!("random"))
    );
    assert_eq!(
        office["backends"],
        json!([{ "name": "v2", "cluster": "v2", "share": 1.0, "score": null, "chance": 1.0 }])
    );
    assert_eq!(office["shadows"][0]["why"], "never copied: skipped_method");
    let nothing = of(&["--path", "/admin"]);
    assert_eq!((&nothing["endpoint"], &nothing["default_cluster"]), (&json!(null), &json!("web")));
    assert_eq!(
        nothing["endpoints"][0]["alternatives"][0][1],
        json!({ "rule": "method is POST", "found": ["GET"], "holds": false })
    );
}

#[test]
fn a_simulation_agrees_with_the_placement_function() {
    let desk = Desk::with("policy.json", POLICY);
    let rows = desk.json(["simulate", desk.file(), "--requests", "100000", "--json"]);
    let rows = rows.as_array().unwrap();
    // Two endpoints and a cohort with one, two and one backends, and the two shadows twice.
    assert_eq!(rows.len(), 8);
    for row in rows {
        let count = row["count"].as_u64().unwrap();
        let (low, high) = (row["bounds"][0].as_u64().unwrap(), row["bounds"][1].as_u64().unwrap());
        assert!((low..=high).contains(&count), "{row}");
        assert!(low <= high && high - low < 2_000, "{row}");
    }
    let keys: Vec<_> = (0..1000).map(|n| format!("user-{n}")).collect();
    let keys = desk.put("keys", keys.join("\n"));
    let rows = desk.json(["simulate", desk.file(), "--keys", &keys, "--json"]);
    let of_v2 = rows.as_array().unwrap().iter().find(|row| row["backend"] == "v2" && row["cohort"].is_null()).unwrap();
    let salt = policy::placement::Salt::new("ranker");
    let policy = policy::Policy::from_json(POLICY.as_bytes()).unwrap().policy;
    let ranker = policy.endpoints.get(1).unwrap();
    let count =
        (0..1000).filter(|n| ranker.traffic().choose(salt.point(format!("user-{n}").as_bytes())).name == "v2").count();
    assert_eq!(of_v2["count"], count);
}

#[test]
fn a_property_is_explained_as_the_type_that_the_policy_reads() {
    let claim = json!(["metadata", "claim"]);
    let cohort = |name: &str, condition: Value| json!({ "name": name, "match": { "properties": [condition] }, "traffic": { "a": 1 } });
    let policy = json!({ "endpoints": [{ "name": "e", "traffic": { "a": 0.5, "b": 0.5 },
        "affinity": { "keys": [{ "property": ["metadata", "uid"], "as": "number" }] },
        "cohorts": [
            cohort("seven", json!({ "path": claim, "as": "number", "exact": "7" })),
            cohort("no", json!({ "path": claim, "as": "bool", "exact": "false" })),
            cohort("port", json!({ "path": ["source", "port"], "as": "number", "exact": "80" })),
            cohort("staff", json!({ "path": claim, "contains": "staff" })),
        ] }] });
    let desk = Desk::with("policy.json", policy.to_string());
    let of = |property: &str| desk.json(["explain", desk.file(), "--json", "--property", property]);
    for (property, cohort) in [
        ("metadata/claim=7", json!("seven")),
        ("metadata/claim=7.0", json!("seven")),
        ("metadata/claim=7e0", json!("seven")),
        ("metadata/claim=8", json!(null)),
        ("metadata/claim=false", json!("no")),
        ("metadata/claim=False", json!(null)),
        ("source/port=80", json!("port")),
        ("source/port=80.5", json!(null)),
        ("metadata/claim=my staff", json!("staff")),
    ] {
        assert_eq!(of(property)["cohort"], cohort, "{property}");
    }
    let salt = policy::placement::Salt::new("e");
    for (property, key) in
        [("metadata/uid=42", "42"), ("metadata/uid=42.50", "42.5"), ("metadata/uid=1e21", "1000000000000000000000")]
    {
        let explained = of(property);
        assert_eq!(explained["keys"][0]["key"], key, "{property}");
        assert_eq!(explained["point"], format!("{:#018x}", salt.point(key.as_bytes())), "{property}");
    }
    assert_eq!(of("metadata/uid=user-1")["reason"], "random");
}
