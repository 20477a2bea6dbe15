//! Compares the metric names in documents, dashboard, alert rules and Envoy's configuration with
//! those that the filter publishes.

use policy::Reason;
use policy::metrics::{Kind, Label, Metric, NO_RESPONSE, Part};
use policy::shadow::Outcome;
use testbed::read;

use crate::page::Page;

/// The READMEs of the project and of its folders.
fn readmes() -> String {
    Page::all().into_iter().filter(|page| page.path.ends_with("README.md")).map(|page| page.text).collect()
}

/// The words in `text` that start with the prefix of the metrics.
fn mentioned(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| word.starts_with(Metric::PREFIX))
}

/// Whether the filter publishes a metric of this name, or a histogram with this series.
fn is_published(name: &str) -> bool {
    let of_histogram = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
    let is_histogram = |metric: Metric| metric.kind() == Kind::Histogram;
    Metric::of_name(name).is_some() || of_histogram.filter_map(Metric::of_name).any(is_histogram)
}

/// The values with which `text` compares a label, as in `key="value"` and `key=~"value|value"`.
fn compared(text: &str, label: Label) -> Vec<&str> {
    let after_key = text.split(label.key()).skip(1);
    let values = after_key.filter_map(|rest| {
        let rest = ["=~", "!~", "!=", "="].iter().find_map(|operator| rest.strip_prefix(operator))?;
        rest.trim_start_matches('\\').strip_prefix('"')?.split(['"', '\\']).next()
    });
    values.flat_map(|values| values.split('|')).collect()
}

fn results() -> Vec<&'static str> {
    Outcome::all().map(Outcome::name).collect()
}

fn classes() -> Vec<&'static str> {
    policy::StatusClass::ALL.map(policy::StatusClass::name).into_iter().chain([NO_RESPONSE]).collect()
}

#[test]
fn the_dashboard_and_the_alert_rules_query_only_what_the_filter_publishes() {
    for file in ["envoy/dashboard.json", "envoy/alerts.yaml"] {
        let text = read(file).unwrap();
        let mut series: Vec<_> = mentioned(&text).collect();
        series.sort_unstable();
        series.dedup();
        assert!(series.len() >= 5, "{file}: {series:?}");
        for series in series {
            assert!(is_published(series), "{file}: {series}");
        }
        // Metrics of Istio have labels of the same names.
        let ours = text.lines().filter(|line| !line.contains("istio_")).collect::<Vec<_>>().join("\n");
        for (label, values) in [(Label::Result, results()), (Label::CodeClass, classes())] {
            let compared = compared(&ours, label);
            assert!(!compared.is_empty(), "{file}: {label:?}");
            assert!(compared.iter().all(|value| values.contains(value)), "{file}: {compared:?}");
        }
    }
}

#[test]
fn the_documents_name_only_metrics_that_the_filter_publishes() {
    for name in mentioned(&readmes()) {
        assert!(is_published(name), "{name}");
    }
}

#[test]
fn the_documents_list_each_metric_with_its_kind_and_its_labels() {
    let documents = readmes();
    for metric in Metric::ALL {
        let labels: Vec<_> = metric.labels().map(|label| format!("`{}`", label.key())).collect();
        let row = format!("| `{}` | {} | {} |", metric.name(), metric.kind().name(), labels.join(", "));
        assert_eq!(documents.matches(&row).count(), 1, "{row}");
    }
}

#[test]
fn the_documents_explain_each_value_of_a_label() {
    let documents = readmes();
    let reasons = [Reason::Key, Reason::Random, Reason::Generated].map(Reason::name);
    let parts = [Part::Trailers, Part::Header].map(Part::name);
    // The classes between the first and the last are an ellipsis.
    let named = results().into_iter().chain(classes()).filter(|name| !["2xx", "3xx", "4xx"].contains(name));
    for value in named.chain(reasons).chain(parts) {
        assert!(documents.contains(&format!("`{value}`")), "{value}");
    }
}

#[test]
fn envoy_extracts_each_label() {
    let envoy = read("envoy/envoy.yaml").unwrap();
    for label in Label::ALL {
        let key = label.key();
        let tag = format!(r"- {{ tag_name: {key}, regex: '({key}=\.=(.*?);\.;)' }}");
        assert_eq!(envoy.matches(&tag).count(), 1, "{tag}");
    }
    let keys: Vec<_> = Label::ALL.into_iter().map(Label::key).collect();
    for (form, tags) in [
        ("helm", format!("extraStatTags: [{}]", keys.join(", "))),
        ("istioctl", format!("extraStatTags: [{}]", keys.join(", "))),
        ("patch", format!("sidecar.istio.io/extraStatTags: {}", keys.join(","))),
    ] {
        let istio = read(&format!("envoy/istio-stat-tags-{form}.yaml")).unwrap();
        assert!(istio.contains(&tags), "{istio}");
    }
}
