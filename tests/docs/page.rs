//! A Markdown file, read line by line.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use testbed::project;

/// A Markdown file of the project.
pub struct Page {
    /// Its path from the project's folder.
    pub path: String,
    pub text: String,
    pub lines: Vec<Line>,
}

/// A line of a page.
pub struct Line {
    /// From 1.
    pub number: usize,
    pub text: String,
    pub kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    Heading,
    Prose,
    Table,
    /// Of a code block in this language; empty for an indented one.
    Code(String),
    /// A fence of a code block.
    Fence,
    /// Between marks, and written by a program.
    Generated,
}

/// A code block.
pub struct Block {
    /// The number of its first line.
    pub number: usize,
    pub language: String,
    pub text: String,
}

impl Page {
    /// All pages of the project, by path.
    pub fn all() -> Vec<Self> {
        let mut paths = Vec::new();
        find(project(), &mut paths);
        paths.sort();
        paths.into_iter().map(|path| Self::new(&path, fs::read_to_string(project().join(&path)).unwrap())).collect()
    }

    pub fn new(path: &str, text: String) -> Self {
        let (mut lines, mut language, mut is_generated) = (Vec::new(), None::<String>, false);
        for (n, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            is_generated = is_generated || line == "<!-- bench -->";
            let kind = match (&language, fence) {
                _ if is_generated => Kind::Generated,
                (None, Some(name)) => {
                    language = Some(name.to_owned());
                    Kind::Fence
                }
                (Some(_), Some(_)) => {
                    language = None;
                    Kind::Fence
                }
                (Some(language), None) => Kind::Code(language.clone()),
                (None, None) if line.starts_with('#') => Kind::Heading,
                (None, None) if line.starts_with('|') => Kind::Table,
                (None, None) if line.starts_with("    ") => Kind::Code(String::new()),
                (None, None) => Kind::Prose,
            };
            is_generated = is_generated && line != "<!-- /bench -->";
            lines.push(Line { number: n + 1, text: line.to_owned(), kind });
        }
        Self { path: path.to_owned(), text, lines }
    }

    /// Where something is, for a message.
    pub fn at(&self, number: usize) -> String {
        format!("{}:{number}", self.path)
    }

    /// The anchors that GitHub gives to the headings.
    pub fn anchors(&self) -> Vec<String> {
        let mut seen: BTreeMap<String, usize> = BTreeMap::new();
        let headings = self.lines.iter().filter(|line| line.kind == Kind::Heading);
        let anchors = headings.map(|line| {
            let slug = slug(line.text.trim_start_matches('#'));
            let count = seen.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
        });
        anchors.collect()
    }

    /// The code blocks.
    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut last = 0;
        for line in &self.lines {
            let Kind::Code(language) = &line.kind else { continue };
            match blocks.last_mut().filter(|_| last + 1 == line.number) {
                Some(block) => block.text.push_str(&format!("\n{}", line.text)),
                None => {
                    blocks.push(Block { number: line.number, language: language.clone(), text: line.text.clone() });
                }
            }
            last = line.number;
        }
        blocks
    }

    /// What stands between backticks outside of code blocks, with the number of its line.
    pub fn inline_code(&self) -> Vec<(usize, String)> {
        let is_text = |line: &&Line| matches!(line.kind, Kind::Prose | Kind::Table | Kind::Heading);
        let mut code = Vec::new();
        let mut open: Option<String> = None;
        for line in self.lines.iter().filter(is_text) {
            // A line break inside of inline code is a space.
            for (n, part) in line.text.split('`').enumerate() {
                if n > 0 {
                    match open.take() {
                        Some(text) => code.push((line.number, text)),
                        None => open = Some(String::new()),
                    }
                }
                if let Some(text) = &mut open {
                    let is_continued = n == 0;
                    text.push_str(if is_continued { " " } else { "" });
                    text.push_str(if is_continued { part.trim_start() } else { part });
                }
            }
            // A table's row and a heading end what they begin.
            if line.kind != Kind::Prose || line.text.is_empty() {
                open = None;
            }
        }
        code
    }

    /// The rows of the first table under a heading, without the table's head, as cells.
    pub fn table(&self, heading: &str) -> Vec<Vec<String>> {
        let start = self.lines.iter().position(|line| line.kind == Kind::Heading && is_heading(&line.text, heading));
        let start = start.unwrap_or_else(|| panic!("{} has no heading {heading:?}", self.path)) + 1;
        let lines = self.lines[start..].iter().take_while(|line| line.kind != Kind::Heading);
        let rows = lines.skip_while(|line| line.kind != Kind::Table).take_while(|line| line.kind == Kind::Table);
        rows.skip(2).map(|line| cells(&line.text)).collect()
    }
}

/// The cells of a table's row. A pipe between backticks is text.
fn cells(row: &str) -> Vec<String> {
    let (mut cells, mut cell, mut is_code) = (Vec::new(), String::new(), false);
    for c in row.trim().trim_start_matches('|').chars() {
        match c {
            '|' if !is_code => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            _ => {
                is_code ^= c == '`';
                cell.push(c);
            }
        }
    }
    cells
}

fn is_heading(line: &str, heading: &str) -> bool {
    line.trim_start_matches('#').trim() == heading
}

/// GitHub's rule: lower case, spaces as dashes, and no punctuation.
fn slug(heading: &str) -> String {
    let words = heading.trim().to_lowercase();
    let kept = words.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Adds the Markdown files under `folder`, except for those that are built, fetched or hidden.
fn find(folder: &Path, paths: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" && name != "node_modules" {
                find(&path, paths);
            }
        } else if name.ends_with(".md") {
            paths.push(path.strip_prefix(project()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[test]
fn anchors_follow_githubs_rules() {
    let text = "# A 1 % canary\n## `make`, and more\n```sh\n# no heading\n```\n## Same\n## Same\n";
    assert_eq!(Page::new("x.md", text.to_owned()).anchors(), ["a-1--canary", "make-and-more", "same", "same-1"]);
}

#[test]
fn inline_code_may_break_over_lines() {
    let page = Page::new("x.md", "a `b c` d `e\n  f` g\n| `h` | i |\n".to_owned());
    assert_eq!(page.inline_code(), [(1, "b c".to_owned()), (2, "e f".to_owned()), (3, "h".to_owned())]);
}
