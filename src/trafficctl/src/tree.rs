//! A YAML or JSON text as a tree that knows where each value stands.

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;

use anyhow::Context;
use policy::member;
use yaml_edit::{Document, YamlFile, YamlNode};

/// One step from a value to a value in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// To the member of an object.
    Key(String),
    /// To the element of a list.
    Index(usize),
}

impl From<&str> for Step {
    fn from(key: &str) -> Self {
        Self::Key(key.to_owned())
    }
}

impl From<usize> for Step {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

/// A way through a policy as places are written: see [`member`].
pub fn in_words(path: &[Step]) -> String {
    path.iter().fold(String::new(), |place, step| match step {
        Step::Key(key) => member(&place, key),
        Step::Index(n) => format!("{place}[{n}]"),
    })
}

/// Reads `text`, whose comments and layout the result keeps.
pub fn parse(text: &str) -> anyhow::Result<YamlFile> {
    YamlFile::from_str(text).context("not YAML that can be edited")
}

/// The document's value, if it has one that holds others.
pub fn root(document: &Document) -> Option<YamlNode> {
    let sequence = || document.as_sequence().map(YamlNode::Sequence);
    document.as_mapping().map(YamlNode::Mapping).or_else(sequence)
}

/// The value to which `path` leads in the document of this number.
pub fn find(text: &str, document: usize, path: &[Step]) -> Option<YamlNode> {
    walk(&root(&parse(text).ok()?.documents().nth(document)?)?, path)
}

/// `text` with `new` in place of a part of it.
pub fn splice(text: &str, range: Range<usize>, new: &str) -> String {
    let (before, after) = (text.get(..range.start).unwrap_or_default(), text.get(range.end..).unwrap_or_default());
    format!("{before}{new}{after}")
}

/// The value to which `path` leads.
pub fn walk(from: &YamlNode, path: &[Step]) -> Option<YamlNode> {
    path.iter().try_fold(from.clone(), |node, step| match step {
        Step::Key(key) => node.as_mapping()?.get(key.as_str()),
        Step::Index(n) => node.as_sequence()?.get(*n),
    })
}

/// Where a value stands in the text, without what is around it.
pub fn range(node: &YamlNode, text: &str) -> Range<usize> {
    let position = node.byte_range();
    let (start, end) = (position.start as usize, position.end as usize);
    let trimmed = text.get(start..end).map_or(0, |value| value.trim_end().len());
    start..start + trimmed
}

/// Where each value in `node` stands, by its place: see [`member`].
///
/// What takes several lines is shown by its name or by its first line.
pub fn places(node: &YamlNode, text: &str) -> HashMap<String, Range<usize>> {
    let mut places = HashMap::new();
    collect(node, text, String::new(), None, &mut places);
    places
}

fn collect(
    node: &YamlNode,
    text: &str,
    place: String,
    name: Option<Range<usize>>,
    places: &mut HashMap<String, Range<usize>>,
) {
    if let Some(mapping) = node.as_mapping() {
        for entry in mapping.entries() {
            let Some(YamlNode::Scalar(key)) = entry.key_node() else { continue };
            let key_range = range(&YamlNode::Scalar(key.clone()), text);
            let place = member(&place, &key.as_string());
            match entry.value_node() {
                Some(value) => collect(&value, text, place, Some(key_range), places),
                None => drop(places.insert(place, key_range)),
            }
        }
    }
    if let Some(list) = node.as_sequence() {
        for (n, value) in list.values().enumerate() {
            collect(&value, text, format!("{place}[{n}]"), None, places);
        }
    }
    let whole = range(node, text);
    let first_line = text.get(whole.clone()).and_then(|value| value.lines().next()).map_or(0, str::len);
    let shown = match name {
        Some(name) if first_line < whole.len() => name,
        Some(name) => name.start..whole.end,
        None => whole.start..whole.start + first_line,
    };
    places.insert(place, shown);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_place() {
        let text =
            "endpoints:\n- name: a # first\n  traffic: { v1: 0.9, \"v 2\": 0.1 }\n- name: b\n  shadow:\n    v3: 1\n";
        let file = parse(text).unwrap();
        let root = root(&file.documents().next().unwrap()).unwrap();
        let places = places(&root, text);
        for (place, expected) in [
            ("endpoints", "endpoints"),
            ("endpoints[0]", "name: a # first"),
            ("endpoints[0].name", "name: a"),
            ("endpoints[0].traffic", "traffic: { v1: 0.9, \"v 2\": 0.1 }"),
            ("endpoints[0].traffic[\"v 2\"]", "\"v 2\": 0.1"),
            ("endpoints[1].shadow.v3", "v3: 1"),
        ] {
            assert_eq!(text.get(places[place].clone()), Some(expected), "{place}");
        }
    }
}
