//! Where in a file the places of a policy are.

use std::collections::HashMap;
use std::ops::Range;

use crate::file::{Embedded, Form, PolicyFile};
use crate::tree;

/// A text in which places of a policy can be shown: the file's, or the policy's own where the file has it in quotes.
pub struct Source {
    /// The text's name.
    pub name: String,
    pub text: String,
    places: HashMap<String, Range<usize>>,
    /// Where each line of the policy's JSON starts in `text`.
    lines: Vec<usize>,
    /// The line and column of the file at which the policy stands, where `text` is not the file's.
    quoted_at: Option<(usize, usize)>,
}

impl Source {
    /// The text in which places of `policy` are shown.
    pub fn of(file: &PolicyFile, policy: &Embedded) -> Self {
        let name = file.path.display().to_string();
        let in_file =
            |places, lines| Self { name: name.clone(), text: file.text.clone(), places, lines, quoted_at: None };
        match &policy.form {
            Form::File => in_file(places_of(&file.text), line_starts(&file.text).collect()),
            Form::Value { document, path } => in_file(places_of_value(file, *document, path), Vec::new()),
            Form::Bytes(_) => in_file(HashMap::new(), Vec::new()),
            Form::Text { document, path, json, .. } => match literal(file, *document, path, json) {
                Some(lines) => {
                    let of_json: Vec<_> = line_starts(json).collect();
                    let to_file = |at: usize| to_file(at, &of_json, &lines);
                    let places = places_of(json).into_iter();
                    let places =
                        places.map(|(place, range)| (place, to_file(range.start)..to_file(range.end))).collect();
                    in_file(places, lines)
                }
                None => Self {
                    name: format!("{name}, the policy in quotes"),
                    text: json.clone(),
                    places: places_of(json),
                    lines: line_starts(json).collect(),
                    quoted_at: start_of(file, *document, path).map(|start| line_and_column(&file.text, start)),
                },
            },
        }
    }

    /// The part of the text that stands at `place`, or around it.
    pub fn find(&self, place: &str) -> Option<Range<usize>> {
        if let Some(range) = self.at_line_and_column(place) {
            return Some(range);
        }
        // What is missing is shown by what should have it.
        let mut place = if place == "policy" { "" } else { place };
        loop {
            match self.places.get(place) {
                Some(range) => return Some(range.clone()),
                None => place = place.get(..place.rfind(['.', '['])?)?,
            }
        }
    }

    /// Where JSON ends to be JSON: `line 3 column 7`, counted from 1.
    fn at_line_and_column(&self, place: &str) -> Option<Range<usize>> {
        let (line, column) = place.strip_prefix("line ")?.split_once(" column ")?;
        let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
        let start = self.lines.get(line.checked_sub(1)?)? + column.saturating_sub(1);
        let start = start.min(self.text.len());
        let end = self.text.get(start..)?.chars().next().map_or(start, |c| start + c.len_utf8());
        Some(start..end)
    }

    /// The line and column of the file in which an offset is, counted from 1: of a policy in quotes, where that starts.
    pub fn in_file(&self, offset: usize) -> (usize, usize) {
        self.quoted_at.unwrap_or_else(|| line_and_column(&self.text, offset))
    }

    /// The lines of the text that `ranges` are in: where they start, the number of the first, and themselves.
    pub fn lines_around(&self, ranges: &[Range<usize>]) -> Option<(usize, usize, &str)> {
        let (first, last) =
            (ranges.iter().map(|range| range.start).min()?, ranges.iter().map(|range| range.end).max()?);
        let start = self.text.get(..first)?.rfind('\n').map_or(0, |at| at + 1);
        let end = self.text.get(last..)?.find('\n').map_or(self.text.len(), |length| last + length);
        Some((start, line_and_column(&self.text, start).0, self.text.get(start..end)?))
    }
}

/// The line and column of an offset, counted from 1.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rfind('\n').map_or(before, |at| before.get(at + 1..).unwrap_or_default());
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

fn start_of(file: &PolicyFile, document: usize, path: &[tree::Step]) -> Option<usize> {
    Some(tree::range(&tree::find(&file.text, document, path)?, &file.text).start)
}

fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1))
}

fn places_of(text: &str) -> HashMap<String, Range<usize>> {
    let root = tree::find(text, 0, &[]);
    root.map(|root| tree::places(&root, text)).unwrap_or_default()
}

fn places_of_value(file: &PolicyFile, document: usize, path: &[tree::Step]) -> HashMap<String, Range<usize>> {
    let node = tree::find(&file.text, document, path);
    node.map(|node| tree::places(&node, &file.text)).unwrap_or_default()
}

/// Where the lines of `json` start in the file, if the file has them as they are, in a literal block.
fn literal(file: &PolicyFile, document: usize, path: &[tree::Step], json: &str) -> Option<Vec<usize>> {
    let range = tree::range(&tree::find(&file.text, document, path)?, &file.text);
    let block = file.text.get(range.clone())?;
    if !block.starts_with('|') {
        return None;
    }
    let mut starts = line_starts(block).skip(1);
    json.lines()
        .map(|line| {
            let start = starts.next()?;
            let written = block.get(start..)?.lines().next()?;
            let indent = written.len().checked_sub(line.len()).filter(|_| written.ends_with(line))?;
            Some(range.start + start + indent)
        })
        .collect()
}

/// Takes an offset in a policy whose lines start at `of_json` to the file, where they start at `of_file`.
fn to_file(at: usize, of_json: &[usize], of_file: &[usize]) -> usize {
    let line = of_json.partition_point(|start| *start <= at).saturating_sub(1);
    let column = at - of_json.get(line).copied().unwrap_or_default();
    of_file.get(line).or(of_file.last()).copied().unwrap_or_default() + column
}
