//! Aliases and merge keys: places in YAML at which the text of a value is elsewhere.

use std::ops::Range;

use yaml_edit::YamlNode;

use super::tree;
use policy::Step;

/// A place that has its value from elsewhere.
#[derive(Debug, PartialEq, Eq)]
pub struct Alias {
    /// Its position in the text.
    pub range: Range<usize>,
    /// What it is, in words.
    pub what: String,
}

/// The alias on the way from `node` along `steps`, or else the first one below `node`.
pub fn on_the_way(node: &YamlNode, steps: &[Step], text: &str) -> Option<Alias> {
    let mut reached = node.clone();
    for step in steps {
        match tree::walk(&reached, std::slice::from_ref(step)) {
            Some(next) => reached = next,
            None => break,
        }
        if let Some(alias) = here(&reached, text) {
            return Some(alias);
        }
    }
    merge_key(&reached, text).or_else(|| first(node, text))
}

/// The first alias or merge key in `node`.
pub fn first(node: &YamlNode, text: &str) -> Option<Alias> {
    if let Some(mapping) = node.as_mapping() {
        let of_values = mapping.entries().filter_map(|entry| entry.value_node()).find_map(|value| first(&value, text));
        let of_keys = || mapping.entries().filter_map(|entry| entry.key_node()).find_map(|key| here(&key, text));
        return merge_key(node, text).or_else(of_keys).or(of_values);
    }
    match node.as_sequence() {
        Some(list) => list.values().find_map(|value| first(&value, text)),
        None => here(node, text),
    }
}

fn here(node: &YamlNode, text: &str) -> Option<Alias> {
    let alias = node.as_alias()?;
    Some(Alias { range: tree::range(node, text), what: format!("the alias *{}", alias.name()) })
}

fn merge_key(node: &YamlNode, text: &str) -> Option<Alias> {
    let keys = node.as_mapping()?.entries().filter_map(|entry| entry.key_node());
    let range = keys.map(|key| tree::range(&key, text)).find(|range| text.get(range.clone()) == Some("<<"))?;
    Some(Alias { range, what: "the merge key <<".to_owned() })
}
