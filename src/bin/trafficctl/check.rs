//! `check`: what is wrong with a policy, and what is odd about it, shown where it stands.

use std::collections::BTreeSet;
use std::path::PathBuf;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use anyhow::ensure;
use serde_json::{Value, json};
use traffic_policy::{Policy, PolicyError};

use crate::Outcome;
use crate::file::{Embedded, PolicyFile};
use crate::lint;
use crate::source::Source;

/// The options of `check`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Policies, or files that hold them; `-` for standard input. Clusters of one file are known to all.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How many requests a second come to an endpoint: warns of shares that would show less than ten of them in a day.
    #[arg(long, value_name = "REQUESTS")]
    rate: Option<f64>,
    /// Take warnings for errors.
    #[arg(long)]
    deny_warnings: bool,
    /// Print what was found as JSON on standard output.
    #[arg(long)]
    json: bool,
}

/// Something that is wrong or odd.
pub struct Finding {
    pub is_error: bool,
    /// Where in the policy: one place for an error.
    pub places: Vec<String>,
    pub problem: String,
    pub remedy: String,
    /// A guess at what was meant.
    pub help: Option<String>,
}

impl Finding {
    /// A warning.
    pub fn warning(place: impl Into<String>, problem: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (places, problem, remedy) = (vec![place.into()], problem.into(), remedy.into());
        Self { is_error: false, places, problem, remedy, help: None }
    }

    /// The same words as in Envoy's log.
    pub fn message(&self) -> String {
        let Self { places, problem, remedy, .. } = self;
        let place = places.first().map(String::as_str).unwrap_or_default();
        if remedy.is_empty() { format!("{place}: {problem}") } else { format!("{place}: {problem}; {remedy}") }
    }

    fn level(&self) -> &'static str {
        if self.is_error { "error" } else { "warning" }
    }
}

impl From<&PolicyError> for Finding {
    fn from(error: &PolicyError) -> Self {
        let PolicyError { place, problem, remedy, unknown } = error;
        let known =
            |unknown: &traffic_policy::Unknown| did_you_mean(&unknown.name, unknown.known.iter().map(String::as_str));
        let help = unknown.as_ref().and_then(known);
        Self { is_error: true, places: vec![place.clone()], problem: problem.clone(), remedy: remedy.clone(), help }
    }
}

/// Checks files.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut files = Vec::new();
    for path in &arguments.files {
        let file = PolicyFile::read(path)?;
        // Envoy takes the paths from where it runs, which may be where the file is.
        let beside = |follow: &PathBuf| path.parent().map(|folder| folder.join(follow)).filter(|path| path.exists());
        let found = file
            .follows
            .iter()
            .filter_map(|follow| if follow.exists() { Some(follow.clone()) } else { beside(follow) });
        let follows: Vec<_> = found.filter(|path| !arguments.files.contains(path)).collect();
        files.push(file);
        for path in follows {
            files.push(PolicyFile::read(&path)?);
        }
    }
    let has_policy = files.iter().any(|file| !file.policies.is_empty());
    if let Some(first) = files.first() {
        ensure!(has_policy, "{}", first.no_policy());
    }
    let clusters: BTreeSet<String> = files.iter().flat_map(|file| file.clusters.iter().cloned()).collect();
    let are_known = !clusters.is_empty() && !files.iter().any(|file| file.has_dynamic_clusters);
    let context = lint::Context {
        clusters: are_known.then_some(clusters),
        requests_per_second: arguments.rate,
        is_change: false,
    };
    let (mut errors, mut warnings) = (0, 0);
    let mut report = Vec::new();
    for file in &files {
        for policy in &file.policies {
            let findings = findings(file, policy, &context);
            errors += findings.iter().filter(|finding| finding.is_error).count();
            warnings += findings.iter().filter(|finding| !finding.is_error).count();
            if arguments.json {
                report.extend(as_json(file, policy, &findings));
            } else {
                show(file, policy, &findings);
            }
        }
    }
    if arguments.json {
        anstream::println!(
            "{}",
            serde_json::to_string_pretty(&json!({ "errors": errors, "warnings": warnings, "findings": report }))?
        );
    } else {
        let names: Vec<_> =
            files.iter().filter(|file| !file.policies.is_empty()).map(|file| file.path.display().to_string()).collect();
        anstream::println!("{}: {}", names.join(", "), summary(errors, warnings));
    }
    Ok(Outcome::good(errors == 0 && (warnings == 0 || !arguments.deny_warnings)))
}

fn summary(errors: usize, warnings: usize) -> String {
    let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
    match (errors, warnings) {
        (0, 0) => "ok".to_owned(),
        (0, _) => format!("ok, with {}", count(warnings, "warning")),
        (_, 0) => count(errors, "error"),
        (_, _) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
    }
}

/// All that is to say about a policy.
pub fn findings(file: &PolicyFile, policy: &Embedded, context: &lint::Context) -> Vec<Finding> {
    match Policy::from_json(&file.json(policy)) {
        Err(errors) => errors.0.iter().map(Finding::from).collect(),
        Ok(parsed) => {
            let of_filter =
                parsed.warnings.iter().map(|warning| Finding::warning(&warning.place, &warning.message, ""));
            let document = file.value(policy).unwrap_or_default();
            of_filter.chain(lint::lint(&document, &parsed.policy, context)).collect()
        }
    }
}

/// Shows findings on standard error, as a compiler does.
pub fn show(file: &PolicyFile, policy: &Embedded, findings: &[Finding]) {
    if findings.is_empty() {
        return;
    }
    let source = Source::of(file, policy);
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    for finding in findings {
        let level = if finding.is_error { Level::ERROR } else { Level::WARNING };
        let message = finding.message();
        let name =
            if policy.holder.is_empty() { source.name.clone() } else { format!("{} ({})", source.name, policy.holder) };
        let ranges = finding.places.iter().filter_map(|place| source.find(place));
        let mut annotations = ranges
            .enumerate()
            .map(|(n, range)| {
                let kind = if n == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                kind.span(range)
            })
            .peekable();
        let mut group = level.primary_title(message.as_str()).elements(None::<annotate_snippets::Message<'_>>);
        if annotations.peek().is_some() {
            group = group.element(Snippet::source(source.text.as_str()).path(name.as_str()).annotations(annotations));
        } else {
            group = group.element(annotate_snippets::Origin::path(name.as_str()));
        }
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        anstream::eprintln!("{}\n", renderer.render(&[group]));
    }
}

fn as_json(file: &PolicyFile, policy: &Embedded, findings: &[Finding]) -> Vec<Value> {
    if findings.is_empty() {
        return Vec::new();
    }
    let source = Source::of(file, policy);
    let as_json = |finding: &Finding| {
        let place = finding.places.first().map(String::as_str).unwrap_or_default();
        let position = source.find(place).map(|range| source.line_and_column(range.start));
        json!({
            "file": file.path,
            "source": source.name,
            "level": finding.level(),
            "message": finding.message(),
            "places": finding.places,
            "problem": finding.problem,
            "remedy": finding.remedy,
            "help": finding.help,
            "line": position.map(|(line, _)| line),
            "column": position.map(|(_, column)| column),
        })
    };
    findings.iter().map(as_json).collect()
}

/// Asks whether the most similar of the known names was meant, if one is similar.
pub fn did_you_mean<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    let distance = |known: &str| strsim::damerau_levenshtein(&name.to_lowercase(), &known.to_lowercase());
    let (nearest, distance) = known
        .filter(|known| *known != name)
        .map(|known| (known, distance(known)))
        .min_by_key(|(_, distance)| *distance)?;
    let is_near = distance <= 1 + name.chars().count() / 5;
    (is_near && distance < nearest.chars().count()).then(|| format!("did you mean {nearest:?}?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_similar_name_is_offered() {
        let known = ["traffic", "shadow", "cohorts", "name"];
        for (name, expected) in [
            ("trafic", Some("did you mean \"traffic\"?")),
            ("shadows", Some("did you mean \"shadow\"?")),
            ("Traffic", Some("did you mean \"traffic\"?")),
            ("cohrots", Some("did you mean \"cohorts\"?")),
            ("weight", None),
            ("x", None),
        ] {
            assert_eq!(did_you_mean(name, known.into_iter()).as_deref(), expected, "{name}");
        }
    }
}
