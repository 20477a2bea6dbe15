//! Alerts: each rule of `envoy/alerts.yaml` has a row in the table and a runbook.

use std::collections::BTreeMap;

use serde_json::Value;
use testbed::project;

use super::page;
use super::page::Kind;

#[test]
fn each_alert_has_a_row_and_a_runbook() {
    let rules = std::fs::read_to_string(project().join("envoy/alerts.yaml")).unwrap();
    let rules: Value = serde_saphyr::from_str(&rules).unwrap();
    let rules = rules["groups"][0]["rules"].as_array().unwrap();
    let alerts: BTreeMap<_, _> = rules.iter().filter_map(|rule| Some((rule["alert"].as_str()?, rule))).collect();
    let page = page("envoy/README.md");
    let is_alert = |row: &&Vec<String>| row.len() == 3 && row[0].starts_with("[`");
    let table = page.table("Watching");
    let rows: BTreeMap<_, _> = table.iter().filter(is_alert).map(|row| (alert(&row[0]), row)).collect();
    assert_eq!(rows.keys().collect::<Vec<_>>(), alerts.keys().collect::<Vec<_>>());
    for (name, rule) in alerts {
        let row = rows[name];
        let minutes = rule["for"].as_str().unwrap().trim_end_matches('m');
        assert!(row[1].ends_with(&format!("for {minutes} minutes")), "{name}: {}", row[1]);
        assert_eq!(row[2], rule["labels"]["severity"].as_str().unwrap(), "{name}");
        let mut lines = page.lines.iter().skip_while(|line| line.text != format!("### {name}")).skip(1);
        let runbook: String =
            lines.by_ref().take_while(|line| line.kind != Kind::Heading).map(|line| line.text.as_str()).collect();
        for part in ["**It means**", "**Look**", "**Do"] {
            assert!(runbook.contains(part), "the runbook of {name} has no {part}");
        }
    }
}

/// The name in a cell such as ``[`Name`](#name)``.
fn alert(cell: &str) -> &str {
    cell.split('`').nth(1).unwrap()
}
