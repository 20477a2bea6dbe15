//! Elements of a list in a file, inserted and removed. Everything else, comments and layout
//! included, stays as it was written.

use std::ops::Range;

use serde_json::Value;

use super::lines::{end_of_line, indent_of, line_end, splice, start_with_comments};
use super::one_line::one_line;
use super::{flow, tree};
use policy::Step;

/// `text` without these elements of the list to which `steps` lead in a document; `None` if the
/// layout of the list can't be edited. At least one element has to stay.
pub fn without(text: &str, document: usize, steps: &[Step], removed: &[usize]) -> Option<String> {
    // From the last one on, so that the numbers of the others hold.
    removed.iter().rev().try_fold(text.to_owned(), |text, n| {
        let (list, elements) = list(&text, document, steps)?;
        if list.as_sequence()?.is_flow_style() {
            return flow::remove(&text, &elements, *n);
        }
        let part = elements.get(*n)?;
        Some(splice(&text, start_with_comments(&text, part.start)..end_of_line(&text, part.end), ""))
    })
}

/// `text` with new elements in the list to which `steps` lead in a document: each group before the
/// element that has its number now. `None` if the layout of the list can't be edited.
///
/// `comment` stands above each group, unless the list is in brackets.
pub fn with(
    text: &str,
    document: usize,
    steps: &[Step],
    groups: &[(usize, Vec<Value>)],
    comment: &str,
) -> Option<String> {
    groups.iter().rev().try_fold(text.to_owned(), |text, (n, group)| {
        let (list, elements) = list(&text, document, steps)?;
        if list.as_sequence()?.is_flow_style() {
            let whole = tree::range(&list, &text);
            let group: Vec<_> = group.iter().map(one_line).collect();
            return Some(flow::insert(&text, &whole, &elements, *n, &group.join(", "), ["[", "]"]));
        }
        let next = elements.get(*n)?;
        let (start, indent) = (start_with_comments(&text, next.start), indent_of(&text, next.start));
        let block = format!("# {comment}\n{}", serde_saphyr::to_string(group).ok()?);
        let lines = block.lines().map(|line| if line.is_empty() { String::new() } else { format!("{indent}{line}") });
        let block: String = lines.map(|line| line + line_end(&text)).collect();
        Some(splice(&text, start..start, &block))
    })
}

/// The list to which `steps` lead, with the positions of its elements.
fn list(text: &str, document: usize, steps: &[Step]) -> Option<(yaml_edit::YamlNode, Vec<Range<usize>>)> {
    let list = tree::find(text, document, steps)?;
    let elements = list.as_sequence()?.values().map(|value| tree::range(&value, text)).collect();
    Some((list, elements))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn comments_and_layout_stay() {
        let steps = tree::pointer("/spec/http");
        let text = "spec:\n  http:  # ours\n  # first\n  - name: a   # a\n\n  # second\n  - name: b\n  tail: 1\n";
        let groups = [(0, vec![json!({ "name": "x" })]), (1, vec![json!({ "name": "v" }), json!({ "name": "z" })])];
        let grown = with(text, 0, &steps, &groups, "new").unwrap();
        assert_eq!(
            grown,
            "spec:\n  http:  # ours\n  # new\n  - name: x\n  # first\n  - name: a   # a\n\n  # new\n  - name: v\n  - name: z\n  \
             # second\n  - name: b\n  tail: 1\n"
        );
        let shrunk = without(&grown, 0, &steps, &[0, 2, 3]).unwrap();
        assert_eq!(shrunk, text);
        let flow = "spec: { http: [{ name: a }] }\n";
        let grown = with(flow, 0, &steps, &groups[..1], "new").unwrap();
        assert_eq!(grown, "spec: { http: [{ \"name\": \"x\" }, { name: a }] }\n");
        assert_eq!(without(&grown, 0, &steps, &[0]).as_deref(), Some(flow));
    }
}
