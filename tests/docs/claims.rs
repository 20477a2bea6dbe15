//! Claims: each test that a table names beside a claim exists.

use std::fs;
use std::path::Path;

use testbed::project;

use super::assert_none;
use super::page::{Kind, Page};

#[test]
fn each_test_that_is_named_beside_a_claim_exists() {
    let mut sources = String::new();
    for folder in ["src", "tests"] {
        read(&project().join(folder), &mut sources);
    }
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in Page::all() {
        let rows = page.lines.iter().filter(|line| line.kind == Kind::Table);
        let tests = rows.flat_map(|row| row.text.split('`').skip(1).step_by(2)).filter(|name| is_test(name));
        for name in tests {
            count += 1;
            if !sources.contains(&format!("fn {name}()")) {
                wrong.push(format!("{}: there is no test {name}", page.path));
            }
        }
    }
    assert!(count >= 10, "only {count} tests are named");
    assert_none(wrong);
}

/// Whether it is the name of a test: a sentence of some words.
fn is_test(name: &str) -> bool {
    let is_word_byte = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.starts_with("traffic_policy_") && name.bytes().all(is_word_byte) && name.matches('_').count() >= 5
}

/// Adds all Rust sources under `folder`.
fn read(folder: &Path, sources: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
}
