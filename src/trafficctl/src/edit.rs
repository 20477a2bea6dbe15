//! Changes to a policy in its file: what is not changed stays as it was written, comments and layout among it.

use std::ops::Range;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;
use yaml_edit::{Document, Mapping, MappingEntry, Sequence, YamlNode};

use crate::file::{Embedded, Form, PolicyFile};
use crate::tree::{self, Step, splice};

/// One change to a policy.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Gives a member of an object a value, whether or not it has one.
    Set(Vec<Step>, Value),
    /// Puts an element before that of this number into a list.
    Insert(Vec<Step>, usize, Value),
    /// Takes out a member of an object or an element of a list.
    Remove(Vec<Step>),
}

impl Change {
    /// A change of the member to which these steps lead.
    pub fn set(path: Vec<Step>, value: impl Into<Value>) -> Self {
        Self::Set(path, value.into())
    }
}

/// The file's text with `changes` made to `policy`.
///
/// # Errors
/// When the file's layout is not one that can be edited: the result is read again and must say what it should.
pub fn edited(file: &PolicyFile, policy: &Embedded, changes: &[Change]) -> anyhow::Result<PolicyFile> {
    let mut expected = file.value(policy)?;
    for change in changes {
        apply_to_value(&mut expected, change).context("the policy has no such place")?;
    }
    let text = match &policy.form {
        Form::File => edit_text(&file.text, 0, &[], changes)?,
        Form::Value { document, path } => edit_text(&file.text, *document, path, changes)?,
        Form::Text { document, path, json, is_base64 } => {
            let json = edit_text(json, 0, &[], changes)?;
            replace_text(&file.text, *document, path, &json, *is_base64)?
        }
        Form::Bytes(_) => anyhow::bail!("{} holds no policy yet", file.path.display()),
    };
    let edited = PolicyFile::parse(&file.path, text)?;
    let is_as_expected =
        edited.only_policy().and_then(|policy| edited.value(policy)).is_ok_and(|value| is_same(&value, &expected));
    ensure!(
        is_as_expected,
        "{} is laid out in a way that can't be edited: write the policy in block style or as JSON",
        file.path.display()
    );
    Ok(edited)
}

/// Replaces the whole policy in the text of `file` by `json`.
pub fn with_policy(file: &PolicyFile, json: &str) -> anyhow::Result<String> {
    match &file.only_policy()?.form {
        Form::Text { document, path, is_base64, .. } => replace_text(&file.text, *document, path, json, *is_base64),
        _ => anyhow::bail!("{} does not hold a policy as text", file.path.display()),
    }
}

/// Whether two documents say the same. YAML and JSON tell integers from doubles, the filter does not.
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

fn apply_to_value(document: &mut Value, change: &Change) -> Option<()> {
    match change {
        Change::Set(path, value) => {
            let (Step::Key(key), parent) = path.split_last()? else { return None };
            value_at_mut(document, parent)?.as_object_mut()?.insert(key.clone(), value.clone());
        }
        Change::Insert(path, n, value) => {
            let list = value_at_mut(document, path)?.as_array_mut()?;
            list.insert((*n).min(list.len()), value.clone());
        }
        Change::Remove(path) => {
            let (last, parent) = path.split_last()?;
            match (last, value_at_mut(document, parent)?) {
                (Step::Key(key), Value::Object(members)) => drop(members.remove(key)?),
                (Step::Index(n), Value::Array(list)) if *n < list.len() => drop(list.remove(*n)),
                _ => return None,
            }
        }
    }
    Some(())
}

fn value_at_mut<'a>(document: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, step| match step {
        Step::Key(key) => value.get_mut(key),
        Step::Index(n) => value.get_mut(n),
    })
}

/// Makes `changes` to the policy that stands at `path` in a document of `text`.
fn edit_text(text: &str, document: usize, path: &[Step], changes: &[Change]) -> anyhow::Result<String> {
    let mut text = text.to_owned();
    for change in changes {
        text = edit_once(&text, document, path, change).context("this can't be edited in place")?;
    }
    Ok(text)
}

fn edit_once(text: &str, document: usize, path: &[Step], change: &Change) -> Option<String> {
    let file = tree::parse(text).ok()?;
    let policy = tree::walk(&tree::root(&file.documents().nth(document)?)?, path)?;
    match change {
        Change::Set(path, value) => {
            let (Step::Key(key), parent) = path.split_last()? else { return None };
            let parent = tree::walk(&policy, parent)?;
            let mapping = parent.as_mapping()?;
            if mapping.is_flow_style() && mapping.get(key.as_str()).is_none() {
                // JSON wants its names in quotes, and YAML takes them.
                let entry = format!("{}: {}", Value::from(key.as_str()), one_line(value));
                let (whole, entries) = (tree::range(&parent, text), entries(mapping, text)?);
                return Some(insert_in_flow(text, &whole, &entries, entries.len(), &entry, ["{ ", " }"]));
            }
            mapping.set(key.as_str(), &node(value)?);
        }
        Change::Insert(path, n, value) => {
            let list = tree::walk(&policy, path)?;
            let sequence = list.as_sequence()?;
            let (elements, element) = (elements(sequence, text), one_line(value));
            if sequence.is_flow_style() {
                return Some(insert_in_flow(text, &tree::range(&list, text), &elements, *n, &element, ["[", "]"]));
            }
            if let Some(next) = elements.get(*n) {
                let start = start_with_comments(text, next.start);
                let indent = indent_of(text, next.start);
                return Some(splice(text, start..start, &format!("{indent}- {element}\n")));
            }
            sequence.push(&node(value)?);
        }
        Change::Remove(path) => {
            let (last, parent) = path.split_last()?;
            let parent = tree::walk(&policy, parent)?;
            match (last, &parent) {
                (Step::Key(key), YamlNode::Mapping(mapping)) if mapping.is_flow_style() => {
                    let n = mapping.entries().position(|entry| entry.key_matches(key.as_str()))?;
                    return remove_in_flow(text, &entries(mapping, text)?, n);
                }
                (Step::Index(n), YamlNode::Sequence(list)) if list.is_flow_style() => {
                    return remove_in_flow(text, &elements(list, text), *n);
                }
                (Step::Index(n), YamlNode::Sequence(list)) if list.len() > 1 => {
                    let part = elements(list, text).get(*n)?.clone();
                    return Some(splice(text, start_with_comments(text, part.start)..end_of_line(text, part.end), ""));
                }
                (Step::Key(key), _) => drop(parent.as_mapping()?.remove(key.as_str())?),
                (Step::Index(n), _) => drop(parent.as_sequence()?.remove(*n)?),
            }
        }
    }
    Some(file.to_string())
}

/// Puts a part before that of number `n` into what stands in brackets, with what stands between the others between them.
fn insert_in_flow(
    text: &str,
    whole: &Range<usize>,
    parts: &[Range<usize>],
    n: usize,
    part: &str,
    [open, close]: [&str; 2],
) -> String {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return splice(text, whole.clone(), &format!("{open}{part}{close}"));
    };
    // Each on a line of its own, if the first is.
    let is_alone = text.get(whole.start + 1..first.start).is_some_and(|lead| lead.contains('\n'));
    let lead = if is_alone { format!("{}{}", line_end(text), indent_of(text, first.start)) } else { " ".to_owned() };
    match parts.get(n) {
        Some(next) if is_alone => {
            let start = start_with_comments(text, next.start);
            splice(text, start..start, &format!("{}{part},{}", indent_of(text, first.start), line_end(text)))
        }
        Some(next) => splice(text, next.start..next.start, &format!("{part}, ")),
        None => splice(text, last.end..last.end, &format!(",{lead}{part}")),
    }
}

/// Takes the part of number `n` out of what stands in brackets, with one of the commas beside it.
fn remove_in_flow(text: &str, parts: &[Range<usize>], n: usize) -> Option<String> {
    let part = parts.get(n)?;
    let (previous, next) = (n.checked_sub(1).and_then(|n| parts.get(n)), parts.get(n + 1));
    // What has lines of its own goes with them, and with the comments on them.
    let is_alone = |other: Option<&Range<usize>>, between: Range<usize>| {
        other.is_none() || text.get(between).is_some_and(|between| between.contains('\n'))
    };
    let is_at_start = text.get(start_of_line(text, part.start)..part.start).is_some_and(|lead| lead.trim().is_empty());
    if is_at_start && next.is_some() && is_alone(next, part.end..next.map_or(part.end, |next| next.start)) {
        return Some(splice(text, start_with_comments(text, part.start)..end_of_line(text, part.end), ""));
    }
    let range = match (previous, next) {
        (Some(previous), _) => previous.end..part.end,
        (None, Some(next)) => part.start..next.start,
        (None, None) => part.clone(),
    };
    if let (Some(previous), None) = (previous, next) {
        // The last: the comma before it goes, and what is said of the one before stays.
        let between = text.get(previous.end..part.start)?;
        if is_at_start && let (Some(comma), Some(line)) = (between.find(','), between.find('\n')) {
            let said = between.get(comma + 1..line.max(comma + 1))?.trim_end().to_owned();
            return Some(splice(text, range, &said));
        }
    }
    Some(splice(text, range, ""))
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

fn line_end(text: &str) -> &'static str {
    if text.contains("\r\n") { "\r\n" } else { "\n" }
}

fn start_of_line(text: &str, at: usize) -> usize {
    text.get(..at).and_then(|before| before.rfind('\n')).map_or(0, |at| at + 1)
}

/// Where the line after the one of `at` starts.
fn end_of_line(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| at + length + 1)
}

/// The blanks with which the line of `at` starts.
fn indent_of(text: &str, at: usize) -> &str {
    let line = text.get(start_of_line(text, at)..at).unwrap_or_default();
    line.get(..line.len() - line.trim_start().len()).unwrap_or_default()
}

/// Where the line of `at` starts, or the comments right above it, which speak of it.
fn start_with_comments(text: &str, at: usize) -> usize {
    let indent = indent_of(text, at);
    let mut start = start_of_line(text, at);
    while start > 0 {
        let above = start_of_line(text, start - 1);
        let is_comment =
            text.get(above..start).and_then(|line| line.strip_prefix(indent)).is_some_and(|line| line.starts_with('#'));
        if !is_comment {
            break;
        }
        start = above;
    }
    start
}

/// Replaces the string at `path` by `new`, in the style in which it is written.
fn replace_text(text: &str, document: usize, path: &[Step], new: &str, is_base64: bool) -> anyhow::Result<String> {
    let old = tree::find(text, document, path).context("no such place in the file")?;
    let range = tree::range(&old, text);
    let written = text.get(range.clone()).unwrap_or_default();
    let new = if is_base64 {
        Value::from(BASE64_STANDARD.encode(new)).to_string()
    } else if let Some((header, block)) = written.split_once('\n').filter(|(header, _)| header.starts_with('|')) {
        // The first line tells the indentation, so that the new text must start without one.
        let indents =
            block.lines().filter(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len());
        let indent = " ".repeat(indents.min().unwrap_or_default());
        let header: String = header.chars().filter(|c| !c.is_ascii_digit()).collect();
        let lines = new.trim().split(['\n', '\r']).filter(|line| !line.is_empty() || !new.contains('\r'));
        let lines: Vec<_> =
            lines.map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") }).collect();
        let end = if block.contains("\r\n") { "\r\n" } else { "\n" };
        format!("{}{end}{}", header.trim_end(), lines.join(end))
    } else {
        // A string of JSON is one of YAML, too.
        Value::from(new).to_string()
    };
    Ok(splice(text, range, &new))
}

/// A value as a node, written in JSON.
fn node(value: &Value) -> Option<YamlNode> {
    let document: Document = one_line(value).parse().ok()?;
    tree::root(&document).or_else(|| document.as_scalar().map(YamlNode::Scalar))
}

/// A value as JSON in one line, with spaces where people write them.
pub fn one_line(value: &Value) -> String {
    let mut bytes = Vec::new();
    // Neither the value nor a Vec can fail to be written.
    let _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut bytes, OneLine { is_empty: true }));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Writes `{ "a": 1, "b": [1, 2] }`.
struct OneLine {
    /// Whether the object that is being written has no member so far.
    is_empty: bool,
}

impl serde_json::ser::Formatter for OneLine {
    fn begin_object<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.is_empty = true;
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        writer.write_all(if first { b" " } else { b", " })
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object_value<W: ?Sized + std::io::Write>(&mut self, _: &mut W) -> std::io::Result<()> {
        self.is_empty = false;
        Ok(())
    }

    fn end_object<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        let is_empty = std::mem::replace(&mut self.is_empty, false);
        writer.write_all(if is_empty { b"}" } else { b" }" })
    }

    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }
}
