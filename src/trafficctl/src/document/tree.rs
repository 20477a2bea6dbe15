//! YAML or JSON text as a tree whose values know their position.

use std::collections::HashMap;
use std::ops::Range;
use std::str::FromStr;

use yaml_edit::{Document, YamlError, YamlFile, YamlNode};

use policy::Step;

/// The steps of a JSON pointer (RFC 6901), as in `/endpoints/0/name`. A number is an element.
///
/// Only for names without `~` and that are no numbers.
pub fn pointer(pointer: &str) -> Vec<Step> {
    let step = |part: &str| part.parse().map_or_else(|_| Step::Member(part.to_owned()), Step::Element);
    pointer.split('/').skip(1).map(step).collect()
}

/// Parses `text`. The tree keeps comments and layout.
///
/// # Errors
/// That of the parser, if the text is not YAML.
pub fn parse(text: &str) -> Result<YamlFile, YamlError> {
    YamlFile::from_str(text)
}

/// The document's value, if it is an object or a list.
pub fn root(document: &Document) -> Option<YamlNode> {
    let sequence = || document.as_sequence().map(YamlNode::Sequence);
    document.as_mapping().map(YamlNode::Mapping).or_else(sequence)
}

/// The value to which `steps` lead in the document with this number.
pub fn find(text: &str, document: usize, steps: &[Step]) -> Option<YamlNode> {
    walk(&root(&parse(text).ok()?.documents().nth(document)?)?, steps)
}

/// The value to which `steps` lead.
pub fn walk(from: &YamlNode, steps: &[Step]) -> Option<YamlNode> {
    steps.iter().try_fold(from.clone(), |node, step| match step {
        Step::Member(name) => node.as_mapping()?.get(name.as_str()),
        Step::Element(n) => node.as_sequence()?.get(*n),
    })
}

/// The position of a value in the text, without the blanks behind it.
pub fn range(node: &YamlNode, text: &str) -> Range<usize> {
    let position = node.byte_range();
    let (start, end) = (position.start as usize, position.end as usize);
    let trimmed = text.get(start..end).map_or(0, |value| value.trim_end().len());
    start..start + trimmed
}

/// The position of each value in `node`, by the steps that lead to it.
///
/// A value that takes several lines stands for its name or its first line.
pub fn positions(node: &YamlNode, text: &str) -> HashMap<Vec<Step>, Range<usize>> {
    let mut positions = HashMap::new();
    collect(node, text, &mut Vec::new(), None, &mut positions);
    positions
}

fn collect(
    node: &YamlNode,
    text: &str,
    steps: &mut Vec<Step>,
    name: Option<Range<usize>>,
    positions: &mut HashMap<Vec<Step>, Range<usize>>,
) {
    if let Some(mapping) = node.as_mapping() {
        for entry in mapping.entries() {
            let Some(YamlNode::Scalar(key)) = entry.key_node() else { continue };
            let key_range = range(&YamlNode::Scalar(key.clone()), text);
            steps.push(Step::Member(key.as_string()));
            match entry.value_node() {
                Some(value) => collect(&value, text, steps, Some(key_range), positions),
                None => drop(positions.insert(steps.clone(), key_range)),
            }
            steps.pop();
        }
    }
    if let Some(list) = node.as_sequence() {
        for (n, value) in list.values().enumerate() {
            steps.push(Step::Element(n));
            collect(&value, text, steps, None, positions);
            steps.pop();
        }
    }
    let whole = range(node, text);
    let first_line = text.get(whole.clone()).and_then(|value| value.lines().next()).map_or(0, str::len);
    let shown = match name {
        Some(name) if first_line < whole.len() => name,
        Some(name) => name.start..whole.end,
        None => whole.start..whole.start + first_line,
    };
    positions.insert(steps.clone(), shown);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_has_its_position() {
        let text =
            "endpoints:\n- name: a # first\n  traffic: { v1: 0.9, \"v 2\": 0.1 }\n- name: b\n  shadow:\n    v3: 1\n";
        let file = parse(text).unwrap();
        let root = root(&file.documents().next().unwrap()).unwrap();
        let positions = positions(&root, text);
        for (steps, expected) in [
            ("/endpoints", "endpoints"),
            ("/endpoints/0", "name: a # first"),
            ("/endpoints/0/name", "name: a"),
            ("/endpoints/0/traffic", "traffic: { v1: 0.9, \"v 2\": 0.1 }"),
            ("/endpoints/0/traffic/v 2", "\"v 2\": 0.1"),
            ("/endpoints/1/shadow/v3", "v3: 1"),
        ] {
            assert_eq!(text.get(positions[&pointer(steps)].clone()), Some(expected), "{steps}");
        }
    }
}
