//! Sizes: the README is short, and so are lines of prose.

use super::page::{Kind, Page};
use super::{assert_none, page};

const README_BYTES: usize = 10 << 10;
const LINE_CHARACTERS: usize = 100;

#[test]
fn the_readme_is_short() {
    let bytes = page("README.md").text.len();
    assert!(bytes <= README_BYTES, "README.md has {bytes} bytes: move something into a README of a folder");
}

#[test]
fn lines_of_prose_are_short() {
    let mut wrong = Vec::new();
    for page in Page::all() {
        for line in page.lines.iter().filter(|line| matches!(line.kind, Kind::Prose | Kind::Heading)) {
            // An address can't be broken.
            let words = line.text.split_whitespace().filter(|word| !word.contains("://"));
            let indent = line.text.len() - line.text.trim_start().len();
            let length: usize = words.map(|word| word.chars().count() + 1).sum::<usize>() + indent;
            if length > LINE_CHARACTERS + 1 {
                wrong.push(format!("{}: {} characters", page.at(line.number), length - 1));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn each_part_of_the_project_has_a_readme() {
    for folder in ["", "src/policy/", "src/filter/", "src/trafficctl/", "src/release/", "envoy/", "tests/"] {
        page(&format!("{folder}README.md"));
    }
}
