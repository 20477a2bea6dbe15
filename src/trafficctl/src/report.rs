//! Findings as a compiler shows them, and as JSON.

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use policy::Policy;
use serde_json::{Value, json};

use crate::advice::Advice;
use crate::document::embedded::Form;
use crate::document::file::{Judged, PolicyFile};
use crate::document::mesh::Object;
use crate::document::source::Source;
use crate::error::Error;
use crate::terminal::{escaped, report_escaped};

/// How many findings are shown of one policy.
const SHOWN: usize = 50;

/// The valid policy of a file that has only one. Warns if the filter would refuse the file itself.
///
/// # Errors
/// Those of [`source_policy`].
pub fn valid_policy(file: &PolicyFile) -> Result<&Policy, Error> {
    if let Some(not_json) = file.not_json.as_ref().filter(|not_json| not_json.is_surprise) {
        not_json.report();
    }
    source_policy(file)
}

/// The valid policy of a file that has only one, also if that is in YAML.
///
/// # Errors
/// [`Error::Refused`] with a report if it is not valid, and the errors of
/// [`PolicyFile::only_policy`].
pub fn source_policy(file: &PolicyFile) -> Result<&Policy, Error> {
    let policy = file.only_policy()?;
    match &policy.verdict {
        Ok(parsed) => Ok(&parsed.policy),
        Err(refused) => {
            let findings: Vec<_> = refused.0.iter().cloned().map(Advice::from).collect();
            Err(Error::Refused(text(file, policy, &findings)))
        }
    }
}

/// A part of a file that findings are about: a policy, or another object.
pub struct Part<'a> {
    file: &'a PolicyFile,
    /// The enclosing resource, in words; empty for a file that is the policy.
    resource: String,
    form: Form,
}

impl<'a> Part<'a> {
    /// A policy of the file.
    pub fn policy(file: &'a PolicyFile, policy: &Judged) -> Self {
        Self { file, resource: policy.resource.clone(), form: policy.form.clone() }
    }

    /// An object of the file.
    pub fn object(file: &'a PolicyFile, object: &Object) -> Self {
        Self { file, resource: object.words(), form: object.form() }
    }
}

/// Findings about a policy as text with colours, each at its lines.
pub fn text(file: &PolicyFile, policy: &Judged, findings: &[Advice]) -> String {
    text_of(&Part::policy(file, policy), findings)
}

/// Findings about a part of a file as text with colours, each at its lines.
pub fn text_of(part: &Part<'_>, findings: &[Advice]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let source = Source::of(part.file, &part.form);
    let name =
        if part.resource.is_empty() { source.name.clone() } else { format!("{} ({})", source.name, part.resource) };
    let name = escaped(&name);
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    let mut text = String::new();
    for Advice { finding, help } in findings.iter().take(SHOWN) {
        let level = if finding.is_error() { Level::ERROR } else { Level::WARNING };
        let message = finding.to_string();
        let title = level.primary_title(escaped(&message));
        // Only the lines around it are given to the renderer: a policy may have many thousands.
        let range = source.find(&finding.place);
        let mut group = match range.as_ref().and_then(|range| Some((range, source.lines_around(range)?))) {
            None => title.element(Origin::path(&*name)),
            Some((range, lines)) => {
                let annotation = AnnotationKind::Primary.span(range.start - lines.start..range.end - lines.start);
                let snippet = Snippet::source(lines.text).line_start(lines.number).path(&*name);
                title.element(snippet.annotation(annotation))
            }
        };
        if let Some(help) = help {
            group = group.element(Level::HELP.message(escaped(help)));
        }
        // The renderer replaces the escape characters in the lines of the source.
        text += &format!("{}\n\n", report_escaped(&renderer.render(&[group])));
    }
    if findings.len() > SHOWN {
        let more: usize = findings.iter().skip(SHOWN).map(|advice| advice.finding.count()).sum();
        text += &format!("… and {more} more (up to a hundred with --json)\n\n");
    }
    text
}

/// Findings as JSON, each with its line and column in the file.
pub fn as_json(part: &Part<'_>, findings: &[Advice]) -> Vec<Value> {
    if findings.is_empty() {
        return Vec::new();
    }
    let source = Source::of(part.file, &part.form);
    let as_json = |Advice { finding, help }: &Advice| {
        let position = source.find(&finding.place).map(|range| source.in_file(range.start));
        json!({
            "file": part.file.path.to_string_lossy(),
            "source": source.name,
            "level": finding.severity.name(),
            "kind": finding.kind.name(),
            "message": finding.to_string(),
            "places": [finding.place.to_string()],
            "problem": finding.problem,
            "remedy": finding.remedy,
            "help": help,
            "line": position.map(|(line, _)| line),
            "column": position.map(|(_, column)| column),
        })
    };
    findings.iter().map(as_json).collect()
}
