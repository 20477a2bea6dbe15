//! Changes to a policy in its file: what is not changed stays as it was written, comments and layout among it.

use std::ops::Range;

use anyhow::{Context, ensure};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use serde_json::Value;
use yaml_edit::{Document, Mapping, MappingEntry, ScalarValue, Sequence, YamlNode};

use crate::file::{Embedded, Form, PolicyFile};
use crate::tree::{self, Step};

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
            // JSON wants its names in quotes, and YAML takes them.
            match parent.as_mapping()? {
                mapping if mapping.is_flow_style() => {
                    mapping.set(ScalarValue::double_quoted(key.as_str()), &node(value)?)
                }
                mapping => mapping.set(key.as_str(), &node(value)?),
            }
        }
        Change::Insert(path, n, value) => {
            let list = tree::walk(&policy, path)?.as_sequence()?.clone();
            if list.is_flow_style() {
                return Some(insert_in_flow(text, &list, *n, &one_line(value)));
            }
            if *n < list.len() { list.insert(*n, &node(value)?) } else { list.push(&node(value)?) }
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
                (Step::Key(key), _) => drop(parent.as_mapping()?.remove(key.as_str())?),
                (Step::Index(n), _) => drop(parent.as_sequence()?.remove(*n)?),
            }
        }
    }
    Some(file.to_string())
}

/// Puts an element into a list in brackets, with what stands between the others between them.
fn insert_in_flow(text: &str, list: &Sequence, n: usize, element: &str) -> String {
    let elements = elements(list, text);
    let whole = tree::range(&YamlNode::Sequence(list.clone()), text);
    let (Some(first), Some(last)) = (elements.first(), elements.last()) else {
        return splice(text, whole, &format!("[{element}]"));
    };
    let lead = text
        .get(whole.start + 1..first.start)
        .filter(|lead| lead.trim().is_empty() && lead.contains('\n'))
        .unwrap_or(" ");
    match elements.get(n) {
        Some(next) => splice(text, next.start..next.start, &format!("{element},{lead}")),
        None => splice(text, last.end..last.end, &format!(",{lead}{element}")),
    }
}

/// Takes the part of number `n` out of what stands in brackets, with one of the commas beside it.
fn remove_in_flow(text: &str, parts: &[Range<usize>], n: usize) -> Option<String> {
    let part = parts.get(n)?;
    let range = match (n.checked_sub(1).and_then(|n| parts.get(n)), parts.get(n + 1)) {
        (Some(previous), _) => previous.end..part.end,
        (None, Some(next)) => part.start..next.start,
        (None, None) => part.clone(),
    };
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

fn splice(text: &str, range: Range<usize>, new: &str) -> String {
    let (before, after) = (text.get(..range.start).unwrap_or_default(), text.get(range.end..).unwrap_or_default());
    format!("{before}{new}{after}")
}

/// Replaces the string at `path` by `new`, in the style in which it is written.
fn replace_text(text: &str, document: usize, path: &[Step], new: &str, is_base64: bool) -> anyhow::Result<String> {
    let old =
        tree::parse(text)?.documents().nth(document).and_then(|document| tree::walk(&tree::root(&document)?, path));
    let range = tree::range(&old.context("no such place in the file")?, text);
    let written = text.get(range.clone()).unwrap_or_default();
    let new = if is_base64 {
        Value::from(BASE64_STANDARD.encode(new)).to_string()
    } else if let Some((header, block)) = written.split_once('\n').filter(|(header, _)| header.starts_with('|')) {
        // The first line that is not empty tells the indentation.
        let first = block.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        let indent: String = first.chars().take_while(|c| *c == ' ').collect();
        let lines: Vec<_> = new
            .trim_end()
            .lines()
            .map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") })
            .collect();
        format!("{header}\n{}", lines.join("\n"))
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
