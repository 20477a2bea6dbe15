//! `check`: what is wrong with a policy, and what is odd about it, shown where it stands.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use anstyle::{AnsiColor, Style};
use policy::{Policy, PolicyError};
use serde_json::{Value, json};

use crate::Outcome;
use crate::file::{Embedded, PolicyFile};
use crate::lint;
use crate::source::Source;

/// How errors and warnings are marked.
pub const ERROR: Style = AnsiColor::Red.on_default().bold();
pub const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// How many findings are shown of one policy.
const SHOWN: usize = 50;

/// The options of `check`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Policies, or files that hold them; `-` for standard input. Clusters of one file are known to all.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// How many requests a second come to an endpoint: warns of shares that would show less than ten of them in a day.
    #[arg(long, value_name = "REQUESTS", value_parser = rate)]
    rate: Option<f64>,
    /// Take warnings for errors.
    #[arg(long)]
    deny_warnings: bool,
    /// Print what was found as JSON on standard output.
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("{text:?} is not a number above 0"))
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
        let known = |unknown: &policy::Unknown| did_you_mean(&unknown.name, unknown.known.iter().map(String::as_str));
        let help = unknown.as_ref().and_then(known);
        Self { is_error: true, places: vec![place.clone()], problem: problem.clone(), remedy: remedy.clone(), help }
    }
}

/// Checks files.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let mut report = Report { is_json: arguments.json, ..Report::default() };
    let mut files = Vec::new();
    for path in &arguments.files {
        let Some(file) = report.read(path) else { continue };
        for follow in &file.follows {
            match find_beside(follow, path) {
                Some(found) if arguments.files.contains(&found) => (),
                Some(found) => files.extend(report.read(&found)),
                None => report.about_file(
                    path,
                    false,
                    &format!("Envoy takes its policy from {}, which is not here", follow.display()),
                ),
            }
        }
        files.push(file);
    }
    let has_policy = files.iter().any(|file| !file.policies.is_empty());
    if let Some(first) = files.first()
        && !has_policy
    {
        report.about_file(&first.path, true, &first.no_policy());
    }
    let clusters: BTreeSet<String> = files.iter().flat_map(|file| file.clusters.iter().cloned()).collect();
    let are_known = !clusters.is_empty() && !files.iter().any(|file| file.has_dynamic_clusters);
    let clusters = are_known.then_some(clusters);
    let context = lint::Context { clusters, requests_per_second: arguments.rate, is_change: false };
    for file in &files {
        for policy in &file.policies {
            report.about_policy(file, policy, &findings(file, policy, &context));
        }
    }
    let Report { errors, warnings, findings, is_unreadable, .. } = report;
    if arguments.json {
        let report = json!({ "errors": errors, "warnings": warnings, "findings": findings });
        say!("{}", serde_json::to_string_pretty(&report)?);
    } else if has_policy {
        let with_policy = files.iter().filter(|file| !file.policies.is_empty());
        let names: Vec<_> = with_policy.map(|file| file.path.display().to_string()).collect();
        say!("{}: {}", names.join(", "), summary(errors, warnings));
    }
    if is_unreadable {
        return Ok(Outcome::Unreadable);
    }
    Ok(Outcome::good(errors == 0 && (warnings == 0 || !arguments.deny_warnings)))
}

/// A file that Envoy names: where this runs, or beside the file that names it.
fn find_beside(follow: &Path, named_in: &Path) -> Option<PathBuf> {
    let folder = named_in.parent()?;
    let places = [follow.to_owned(), folder.join(follow), folder.join(follow.file_name()?)];
    places.into_iter().find(|path| path.exists())
}

/// What has been found so far.
#[derive(Default)]
struct Report {
    is_json: bool,
    errors: usize,
    warnings: usize,
    /// For JSON.
    findings: Vec<Value>,
    is_unreadable: bool,
}

impl Report {
    fn read(&mut self, path: &Path) -> Option<PolicyFile> {
        match PolicyFile::read(path) {
            Ok(file) => Some(file),
            Err(error) => {
                self.is_unreadable |= error.downcast_ref::<std::io::Error>().is_some();
                self.about_file(path, true, &format!("{error:#}"));
                None
            }
        }
    }

    /// Takes up what is to say about a whole file.
    fn about_file(&mut self, path: &Path, is_error: bool, message: &str) {
        let level = if is_error { "error" } else { "warning" };
        self.count(is_error);
        if self.is_json {
            self.findings.push(json!({ "file": path, "level": level, "message": message, "places": [] }));
        } else {
            let style = if is_error { ERROR } else { WARNING };
            anstream::eprintln!("{style}{level}{style:#}: {}: {message}\n", path.display());
        }
    }

    fn about_policy(&mut self, file: &PolicyFile, policy: &Embedded, findings: &[Finding]) {
        findings.iter().for_each(|finding| self.count(finding.is_error));
        if self.is_json {
            self.findings.extend(as_json(file, policy, findings));
        } else {
            show(file, policy, findings);
        }
    }

    fn count(&mut self, is_error: bool) {
        if is_error { self.errors += 1 } else { self.warnings += 1 }
    }
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
    let name =
        if policy.holder.is_empty() { source.name.clone() } else { format!("{} ({})", source.name, policy.holder) };
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    for finding in findings.iter().take(SHOWN) {
        let level = if finding.is_error { Level::ERROR } else { Level::WARNING };
        let message = finding.message();
        let ranges: Vec<_> = finding.places.iter().filter_map(|place| source.find(place)).collect();
        let title = level.primary_title(message.as_str());
        // The lines around are enough: a policy may have many thousands.
        let mut group = match source.lines_around(&ranges) {
            None => title.element(Origin::path(name.as_str())),
            Some((start, line, lines)) => {
                let annotations = ranges.iter().enumerate().map(|(n, range)| {
                    let kind = if n == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                    kind.span(range.start - start..range.end - start)
                });
                title.element(Snippet::source(lines).line_start(line).path(name.as_str()).annotations(annotations))
            }
        };
        if let Some(help) = &finding.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        anstream::eprintln!("{}\n", renderer.render(&[group]));
    }
    if findings.len() > SHOWN {
        anstream::eprintln!("… and {} more (all with --json)\n", findings.len() - SHOWN);
    }
}

fn as_json(file: &PolicyFile, policy: &Embedded, findings: &[Finding]) -> Vec<Value> {
    if findings.is_empty() {
        return Vec::new();
    }
    let source = Source::of(file, policy);
    let as_json = |finding: &Finding| {
        let place = finding.places.first().map(String::as_str).unwrap_or_default();
        let position = source.find(place).map(|range| source.in_file(range.start));
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
    // A slip in every fifth letter; of three letters, one.
    let is_near = distance <= (name.chars().count() + 2) / 5;
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
