//! YAML text as values, and what is wrong with it: place, problem and remedy.

use std::path::Path;

use serde_json::Value;
use serde_saphyr::Error as Fault;
use yaml_edit::{Document, YamlError, YamlFile};

use super::tree;
use crate::error::Error;

/// The first line and column of a text.
const START: (usize, usize) = (1, 1);

/// A template in a file, before a tool has filled it in.
const TEMPLATE: &str = "{{";

/// The documents of the YAML file at `path`, as a tree and as values.
///
/// # Errors
/// [`Error::Wrong`] with place, problem and remedy.
pub fn read(path: &Path, text: &str) -> Result<(YamlFile, Vec<Value>), Error> {
    let wrong = |(line, column): (usize, usize), words: String| {
        let template = template(text, line).map(|line| is_template(path, line));
        template.unwrap_or_else(|| Error::Wrong(format!("{}:{line}:{column}: {words}", path.display())))
    };
    let tree = tree::parse(text).map_err(|error| {
        let (place, problem) = syntax(error);
        wrong(place, format!("not YAML: {problem}"))
    })?;
    let value = |document: Document| {
        let before = text.get(..document.byte_range().start as usize).unwrap_or_default().matches('\n').count();
        serde_saphyr::from_str(&document.to_string()).map_err(|error| {
            let place = error.location().map_or(START, |place| (number(place.line()), number(place.column())));
            let place = (place.0 + before, place.1);
            wrong(place, words(error.without_snippet(), text, place))
        })
    };
    let values = tree.documents().map(value).collect::<Result<_, _>>()?;
    Ok((tree, values))
}

/// The error about JSON text that is a template; `None` if it is JSON, or wrong for another reason.
/// The text starts after `before` lines of the file.
pub fn json_template(path: &Path, json: &str, before: usize) -> Option<Error> {
    let line = serde_json::from_str::<Value>(json).err()?.line();
    let is_here = json.lines().nth(line.checked_sub(1)?)?.contains(TEMPLATE);
    is_here.then(|| is_template(path, before + line))
}

/// The line with a template: the one that is wrong, or else the first; `None` without any.
fn template(text: &str, wrong: usize) -> Option<usize> {
    let has_template = |line: &str| line.split('#').next().is_some_and(|line| line.contains(TEMPLATE));
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| has_template(line)).map(|(number, _)| number).peekable();
    let first = lines.peek().copied();
    lines.find(|line| *line == wrong).or(first)
}

fn is_template(path: &Path, line: usize) -> Error {
    Error::Wrong(format!(
        "{}:{line}: this is a template ({{{{ … }}}}), not what a proxy or a cluster gets: render it first, as in \
         helm template CHART | trafficctl check -",
        path.display()
    ))
}

fn syntax(error: YamlError) -> ((usize, usize), String) {
    match error {
        YamlError::Parse { message, line, column } => ((line.unwrap_or(1), column.unwrap_or(1)), message),
        error => (START, error.to_string()),
    }
}

/// The problem and its remedy in words. `place` is in `text`.
fn words(fault: &Fault, text: &str, place: (usize, usize)) -> String {
    match fault {
        Fault::DuplicateMappingKey { key, .. } => {
            let key = key.as_ref().map_or_else(|| "a key".to_owned(), |key| format!("the key {key:?}"));
            format!("{key} stands twice in the same object; keep one of them")
        }
        Fault::UnknownAnchor { .. } => {
            let alias = word_at(text, place);
            format!("the alias {alias} has no anchor before it; add one, or write out what it stands for")
        }
        Fault::NullIntoString { .. } => "a key is null; quote it, as in \"~\"".to_owned(),
        Fault::NonFiniteFloat { value, .. } => {
            format!("{value} is no number in JSON; quote it if it is a string, or write a number")
        }
        Fault::MergeValueNotMapOrSeqOfMaps { .. } => {
            "the merge key << takes an object or a list of objects; write out what it stands for".to_owned()
        }
        Fault::Unexpected { expected: "string scalar", .. } => {
            "a key is an object or a list; write a string".to_owned()
        }
        other => {
            // The first line has the position and the problem, the others show the text.
            let words = other.to_string();
            let words = words.lines().next().unwrap_or_default();
            let words = words.strip_prefix("error: ").unwrap_or(words);
            let problem = words.strip_prefix("line ").and_then(|words| words.split_once(": "));
            let problem = problem.map_or(words, |(_, problem)| problem);
            if problem.starts_with("tabs disallowed") {
                return "not YAML: a tab stands where YAML indents; use spaces".to_owned();
            }
            format!("not YAML: {}", problem.rsplit_once(" at line ").map_or(problem, |(problem, _)| problem))
        }
    }
}

/// The word at a place, without what may follow it in brackets.
fn word_at(text: &str, (line, column): (usize, usize)) -> String {
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let ends = |c: &char| !c.is_whitespace() && ![',', ']', '}'].contains(c);
    line.chars().skip(column.saturating_sub(1)).take_while(ends).collect()
}

fn number(n: u64) -> usize {
    usize::try_from(n).unwrap_or(usize::MAX)
}
