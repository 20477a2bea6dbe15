//! `check`: what is wrong with policies and what is odd about them, each at its line.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anstyle::Style;
use serde_json::{Value, json};

use crate::advice::Advice;
use crate::document::file::PolicyFile;
use crate::document::not_json::NotJson;
use crate::document::steering::Steering;
use crate::document::wiring::Wiring;
use crate::error::{Error, Status};
use crate::lint::ObjectFinding;
use crate::report::Part;
use crate::terminal::{ERROR, NOTE, WARNING, complain, say};
use crate::verbs::target::Named;
use crate::{lint, report};
use policy::Severity;

/// The options of `check`.
#[derive(clap::Args)]
pub struct Arguments {
    /// Policies, or files that hold them; `-` for standard input. The clusters of each file count
    /// for all of them.
    #[arg(required_unless_present_any = ["option", "variable"], value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    named: Named,
    /// How many requests an endpoint gets in a second: warns of shares that would get fewer than
    /// ten in a day.
    #[arg(long, value_name = "REQUESTS", value_parser = rate)]
    rate: Option<f64>,
    /// Treat warnings as errors.
    #[arg(long)]
    deny_warnings: bool,
    /// Print the findings as JSON on standard output.
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    let rate = text.parse().ok().filter(|rate: &f64| rate.is_finite() && *rate > 0.0);
    rate.ok_or_else(|| format!("{text:?} is not a number above 0"))
}

/// Checks files.
///
/// # Errors
/// [`Error::Reported`] if a policy has errors, or a file can't be read.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let mut summary = Summary { is_json: arguments.json, ..Summary::default() };
    let files = read_all(&arguments.named.files_or(&arguments.files), &mut summary);
    let has_policy = files.iter().any(|file| !file.policies.is_empty());
    if let Some(first) = files.first()
        && !has_policy
    {
        summary.about_file(&first.path, Severity::Error, &first.no_policy());
    }
    let clusters: BTreeSet<String> = files.iter().flat_map(|file| file.proxy.clusters.iter().cloned()).collect();
    let are_known = !clusters.is_empty() && !files.iter().any(|file| file.proxy.has_dynamic_clusters);
    let clusters = are_known.then_some(clusters);
    let mut steering = Steering::default();
    files.iter().for_each(|file| steering.extend(&file.proxy.steering));
    for file in &files {
        for found in file.proxy.steering.unprotected(&steering) {
            summary.about_file(&file.path, Severity::Warning, &lint::unprotected(&found));
        }
    }
    let mut wiring = Wiring::default();
    files.iter().for_each(|file| wiring.extend(&file.proxy.wiring));
    let elsewhere = only_policy_elsewhere(&files);
    for file in &files {
        for manager in &file.proxy.wiring.managers {
            for (severity, message) in lint::miswired(manager, &wiring, elsewhere) {
                summary.about_file(&file.path, severity, &message);
            }
        }
    }
    let mesh: Vec<_> = files.iter().flat_map(|file| file.mesh.iter().cloned()).collect();
    let policies = || files.iter().flat_map(|file| &file.policies);
    for ObjectFinding { object, finding } in lint::of_objects(policies(), &mesh) {
        if let Some(file) = files.iter().find(|file| file.path == object.file) {
            summary.about_part(&Part::object(file, &object), &[finding.into()]);
        }
    }
    for object in &mesh {
        if let Some(message) = lint::fail_strategy(object, &mesh) {
            summary.note(&object.file, &message);
        }
    }
    let mirrors = steering.mirrors();
    let context = lint::Context { clusters, mirrors, mesh, requests_per_second: arguments.rate, is_change: false };
    for file in &files {
        if let Some(not_json) = &file.not_json {
            summary.about_not_json(file, not_json);
        }
        for policy in &file.policies {
            summary.about_part(&Part::policy(file, policy), &lint::findings(policy, &context));
        }
    }
    if arguments.json {
        say!("{:#}", summary.as_json());
    } else if has_policy {
        let with_policy = files.iter().filter(|file| !file.policies.is_empty());
        let names: Vec<_> = with_policy.map(|file| file.path.display().to_string()).collect();
        say!("{}: {}", names.join(", "), summary.in_words());
    }
    summary.result(arguments.deny_warnings)
}

/// The only policy outside of connection managers, from which filters take it.
fn only_policy_elsewhere(files: &[PolicyFile]) -> Option<&Value> {
    let files = files.iter().filter(|file| file.proxy.wiring.managers.is_empty());
    let mut policies = files.flat_map(|file| &file.policies);
    policies.next().filter(|_| policies.next().is_none())?.value.as_ref()
}

/// Reads the files, and those from which Envoy takes the policies that they leave out.
fn read_all(paths: &[PathBuf], summary: &mut Summary) -> Vec<PolicyFile> {
    let mut files = Vec::new();
    for path in paths {
        let Some(file) = summary.read(path) else { continue };
        for follow in &file.proxy.follows {
            match find_beside(follow, path) {
                Some(found) if paths.contains(&found) => (),
                Some(found) => files.extend(summary.read(&found)),
                None => {
                    let message = format!("Envoy takes its policy from {}, which is not here", follow.display());
                    summary.about_file(path, Severity::Warning, &message);
                }
            }
        }
        files.push(file);
    }
    files
}

/// The path of a file that Envoy's configuration names: relative to the working directory, or
/// beside the configuration.
fn find_beside(follow: &Path, named_in: &Path) -> Option<PathBuf> {
    let folder = named_in.parent()?;
    let places = [follow.to_owned(), folder.join(follow), folder.join(follow.file_name()?)];
    places.into_iter().find(|path| path.exists())
}

/// What has been found so far.
#[derive(Default)]
struct Summary {
    is_json: bool,
    errors: usize,
    warnings: usize,
    /// The findings, where they are printed as JSON. Otherwise each is shown at once.
    findings: Vec<Value>,
    is_unreadable: bool,
}

impl Summary {
    fn read(&mut self, path: &Path) -> Option<PolicyFile> {
        match PolicyFile::read(path) {
            Ok(file) => Some(file),
            Err(error) => {
                self.is_unreadable |= error.status() == Status::Unusable;
                // The message names the file.
                self.add(path, Severity::Error.name(), ERROR, &error.to_string());
                self.count(Severity::Error, 1);
                None
            }
        }
    }

    /// Reports something about a whole file.
    fn about_file(&mut self, path: &Path, severity: Severity, message: &str) {
        let style = if severity == Severity::Error { ERROR } else { WARNING };
        self.count(severity, 1);
        let message = if self.is_json { message.to_owned() } else { format!("{}: {message}", path.display()) };
        self.add(path, severity.name(), style, &message);
    }

    /// Reports a policy that the filter does not take as it is: an error, unless the name of the
    /// file says that it is YAML.
    fn about_not_json(&mut self, file: &PolicyFile, not_json: &NotJson) {
        let (level, style) = if not_json.is_surprise { ("error", ERROR) } else { ("note", NOTE) };
        self.errors += usize::from(not_json.is_surprise);
        self.add(&file.path, level, style, &not_json.message);
    }

    fn add(&mut self, path: &Path, level: &str, style: Style, message: &str) {
        if self.is_json {
            self.findings
                .push(json!({ "file": path.to_string_lossy(), "level": level, "message": message, "places": [] }));
        } else {
            complain(style, level, message);
            eprintln!();
        }
    }

    /// Reports something that may be meant.
    fn note(&mut self, path: &Path, message: &str) {
        let message = if self.is_json { message.to_owned() } else { format!("{}: {message}", path.display()) };
        self.add(path, "note", NOTE, &message);
    }

    /// Reports findings about a policy, or about another part of a file.
    fn about_part(&mut self, part: &Part<'_>, findings: &[Advice]) {
        findings.iter().for_each(|advice| self.count(advice.finding.severity, advice.finding.count()));
        if self.is_json {
            self.findings.extend(report::as_json(part, findings));
        } else {
            anstream::eprint!("{}", report::text_of(part, findings));
        }
    }

    fn count(&mut self, severity: Severity, number: usize) {
        match severity {
            Severity::Error => self.errors += number,
            Severity::Warning => self.warnings += number,
        }
    }

    fn as_json(&self) -> Value {
        json!({ "errors": self.errors, "warnings": self.warnings, "findings": self.findings })
    }

    fn in_words(&self) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        match (self.errors, self.warnings) {
            (0, 0) => "ok".to_owned(),
            (0, warnings) => format!("ok, with {}", count(warnings, "warning")),
            (errors, 0) => count(errors, "error"),
            (errors, warnings) => format!("{}, {}", count(errors, "error"), count(warnings, "warning")),
        }
    }

    fn result(&self, denies_warnings: bool) -> Result<(), Error> {
        if self.is_unreadable {
            return Err(Error::Reported(Status::Unusable));
        }
        let is_good = self.errors == 0 && (self.warnings == 0 || !denies_warnings);
        if is_good { Ok(()) } else { Err(Error::Reported(Status::Wrong)) }
    }
}
