//! Edits of a policy in its file. Everything else, comments and layout included, stays as it was
//! written.

use std::ops::Range;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use yaml_edit::{Document, Mapping, MappingEntry, Sequence, YamlNode};

use super::alias::{self, Alias};
use super::change::Change;
use super::embedded::Form;
use super::file::{Judged, PolicyFile};
use super::lines::{end_of_line, indent_of, splice, start_with_comments};
use super::one_line::one_line;
use super::{dialect, flow, tree};
use crate::error::Error;
use policy::Step;

/// The file with `changes` made to `policy`, whose JSON value is `value`.
///
/// # Errors
/// [`Error::Wrong`] if the layout of the file can't be edited: the result is parsed again, and must
/// have the value that the changes ask for.
pub fn edited(file: &PolicyFile, policy: &Judged, value: &Value, changes: &[Change]) -> Result<PolicyFile, Error> {
    let mut expected = value.clone();
    for change in changes {
        change.apply(&mut expected).ok_or_else(|| Error::Wrong(format!("the policy has no place for {change}")))?;
    }
    let cannot_edit = || cannot_edit(file, policy, changes);
    let text = edited_text(file, policy, changes).ok_or_else(cannot_edit)?;
    let edited = PolicyFile::parse(&file.path, text)?;
    let new = edited.only_policy().ok().and_then(|policy| policy.value.as_ref());
    if new.is_some_and(|value| is_same(value, &expected)) { Ok(edited) } else { Err(cannot_edit()) }
}

/// The error about a layout that can't be edited, with the line that is in the way.
fn cannot_edit(file: &PolicyFile, policy: &Judged, changes: &[Change]) -> Error {
    let path = file.path.display();
    let line = |at: usize| file.text.get(..at).unwrap_or_default().matches('\n').count() + 1;
    if let Form::Value { document, steps } = &policy.form
        && let Some(node) = tree::find(&file.text, *document, steps)
    {
        let alias = changes.first().and_then(|change| alias::on_the_way(&node, change.place().steps(), &file.text));
        let elsewhere = || alias::first(&tree::find(&file.text, *document, &[])?, &file.text);
        if let Some(Alias { range, what }) = alias.or_else(elsewhere) {
            return Error::Wrong(format!(
                "not changed: {path}:{}: {what} can't be edited in place: write out what it stands for",
                line(range.start)
            ));
        }
        let start = line(tree::range(&node, &file.text).start);
        return Error::Wrong(format!(
            "not changed: {path}:{start}: the layout of the policy can't be edited in place: write it in block style \
             or as JSON"
        ));
    }
    Error::Wrong(format!("not changed: the layout of {path} can't be edited in place: write the policy as plain JSON"))
}

/// The text of `file` with `json` in place of its policy.
///
/// # Errors
/// [`Error::Wrong`] if the file does not hold its policy as a string.
pub fn with_policy(file: &PolicyFile, json: &str) -> Result<String, Error> {
    let replaced = match &file.only_policy()?.form {
        Form::Text { document, steps, is_base64, .. } => replace_string(&file.text, *document, steps, json, *is_base64),
        _ => None,
    };
    replaced.ok_or_else(|| Error::Wrong(format!("{} does not hold a policy as a string", file.path.display())))
}

/// Whether two documents are equal. YAML and JSON distinguish integers from doubles, the filter
/// does not.
fn is_same(this: &Value, other: &Value) -> bool {
    match (this, other) {
        (Value::Number(this), Value::Number(other)) => this.as_f64() == other.as_f64(),
        (Value::Array(this), Value::Array(other)) => {
            this.len() == other.len() && this.iter().zip(other).all(|(this, other)| is_same(this, other))
        }
        (Value::Object(this), Value::Object(other)) => {
            this.len() == other.len()
                && this.iter().all(|(key, value)| other.get(key).is_some_and(|other| is_same(value, other)))
        }
        _ => this == other,
    }
}

fn edited_text(file: &PolicyFile, policy: &Judged, changes: &[Change]) -> Option<String> {
    match &policy.form {
        Form::File => edit_all(&file.text, 0, &[], changes),
        Form::Value { document, steps } => edit_all(&file.text, *document, steps, changes),
        Form::Text { document, steps, json, is_base64 } => {
            let json = edit_all(json, 0, &[], changes)?;
            replace_string(&file.text, *document, steps, &json, *is_base64)
        }
        Form::Bytes(_) => None,
    }
}

/// Makes `changes` to the policy to which `steps` lead in a document of `text`.
fn edit_all(text: &str, document: usize, steps: &[Step], changes: &[Change]) -> Option<String> {
    changes.iter().try_fold(text.to_owned(), |text, change| edit(&text, document, steps, change))
}

fn edit(text: &str, document: usize, steps: &[Step], change: &Change) -> Option<String> {
    let file = tree::parse(text).ok()?;
    let policy = tree::walk(&tree::root(&file.documents().nth(document)?)?, steps)?;
    match change {
        Change::Set(place, value) => {
            let (Step::Member(name), parent) = place.steps().split_last()? else { return None };
            let parent = tree::walk(&policy, parent)?;
            let mapping = parent.as_mapping()?;
            if mapping.is_flow_style() && mapping.get(name.as_str()).is_none() {
                // JSON needs its names in quotes, and YAML allows them.
                let entry = format!("{}: {}", Value::from(name.as_str()), one_line(value));
                let (whole, entries) = (tree::range(&parent, text), entries(mapping, text)?);
                return Some(flow::insert(text, &whole, &entries, entries.len(), &entry, ["{ ", " }"]));
            }
            if dialect::needs_quotes(name) && mapping.get(name.as_str()).is_none() {
                mapping.set(&node(&Value::from(name.as_str()))?, &node(value)?);
            } else {
                mapping.set(name.as_str(), &node(value)?);
            }
        }
        Change::Insert(place, n, value) => {
            let list = tree::walk(&policy, place.steps())?;
            let sequence = list.as_sequence()?;
            let (elements, element) = (elements(sequence, text), one_line(value));
            if sequence.is_flow_style() {
                return Some(flow::insert(text, &tree::range(&list, text), &elements, *n, &element, ["[", "]"]));
            }
            if let Some(next) = elements.get(*n) {
                let start = start_with_comments(text, next.start);
                let indent = indent_of(text, next.start);
                return Some(splice(text, start..start, &format!("{indent}- {element}\n")));
            }
            sequence.push(&node(value)?);
        }
        Change::Remove(place) => {
            let (last, parent) = place.steps().split_last()?;
            let parent = tree::walk(&policy, parent)?;
            match (last, &parent) {
                (Step::Member(name), YamlNode::Mapping(mapping)) if mapping.is_flow_style() => {
                    let n = mapping.entries().position(|entry| entry.key_matches(name.as_str()))?;
                    return flow::remove(text, &entries(mapping, text)?, n);
                }
                (Step::Element(n), YamlNode::Sequence(list)) if list.is_flow_style() => {
                    return flow::remove(text, &elements(list, text), *n);
                }
                (Step::Element(n), YamlNode::Sequence(list)) if list.len() > 1 => {
                    let part = elements(list, text).get(*n)?.clone();
                    return Some(splice(text, start_with_comments(text, part.start)..end_of_line(text, part.end), ""));
                }
                (Step::Member(name), _) => drop(parent.as_mapping()?.remove(name.as_str())?),
                (Step::Element(n), _) => drop(parent.as_sequence()?.remove(*n)?),
            }
        }
    }
    Some(file.to_string())
}

fn elements(list: &Sequence, text: &str) -> Vec<Range<usize>> {
    list.values().map(|value| tree::range(&value, text)).collect()
}

fn entries(mapping: &Mapping, text: &str) -> Option<Vec<Range<usize>>> {
    let entry = |entry: MappingEntry| {
        Some(tree::range(&entry.key_node()?, text).start..tree::range(&entry.value_node()?, text).end)
    };
    mapping.entries().map(entry).collect()
}

/// Replaces the string to which `steps` lead by `new`, in the style in which it is written.
fn replace_string(text: &str, document: usize, steps: &[Step], new: &str, is_base64: bool) -> Option<String> {
    let range = tree::range(&tree::find(text, document, steps)?, text);
    let written = text.get(range.clone()).unwrap_or_default();
    let new = if is_base64 {
        Value::from(BASE64_STANDARD.encode(new)).to_string()
    } else if let Some((header, block)) = written.split_once('\n').filter(|(header, _)| header.starts_with('|')) {
        literal_block(header, block, new)
    } else {
        // A JSON string is a YAML string, too.
        Value::from(new).to_string()
    };
    Some(splice(text, range, &new))
}

/// `new` as a literal block with the indentation and the line ends of `block`, whose first line is
/// `header`.
fn literal_block(header: &str, block: &str, new: &str) -> String {
    let indents = block.lines().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
    let indent = " ".repeat(indents.min().unwrap_or_default());
    // The first line sets the indentation of a block without a number in its header.
    let header: String = header.chars().filter(|c| !c.is_ascii_digit()).collect();
    let lines = new.trim().split(['\n', '\r']).filter(|line| !line.is_empty() || !new.contains('\r'));
    let lines: Vec<_> =
        lines.map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") }).collect();
    let end = if block.contains("\r\n") { "\r\n" } else { "\n" };
    format!("{}{end}{}", header.trim_end(), lines.join(end))
}

/// A value as a node, written as JSON.
fn node(value: &Value) -> Option<YamlNode> {
    let document: Document = one_line(value).parse().ok()?;
    tree::root(&document).or_else(|| document.as_scalar().map(YamlNode::Scalar))
}
