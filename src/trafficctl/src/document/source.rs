//! Where in a file the places of a policy are.

use std::collections::HashMap;
use std::ops::Range;

use super::embedded::Form;
use super::file::PolicyFile;
use super::tree;
use policy::{Place, Step};

/// The text in which the places of a policy are shown.
///
/// That is the text of the file, or the policy's own JSON where the file has it as a quoted string.
pub struct Source {
    /// The name of the text.
    pub name: String,
    text: String,
    positions: HashMap<Vec<Step>, Range<usize>>,
    /// Where each line of the policy's JSON starts in `text`.
    lines: Vec<usize>,
    /// The line and column in the file at which a quoted policy starts.
    quoted_at: Option<(usize, usize)>,
}

/// Some lines of a text.
pub struct Lines<'a> {
    /// The offset of the first line in the text.
    pub start: usize,
    /// The number of the first line, counted from 1.
    pub number: usize,
    /// The lines.
    pub text: &'a str,
}

impl Source {
    /// The text in which places of a policy are shown, or of another part of the file in this form.
    pub fn of(file: &PolicyFile, form: &Form) -> Self {
        let name = file.path.display().to_string();
        let in_file =
            |positions, lines| Self { name: name.clone(), text: file.text.clone(), positions, lines, quoted_at: None };
        match form {
            Form::File => in_file(positions(&file.text, 0, &[]), line_starts(&file.text).collect()),
            Form::Value { document, steps } => in_file(positions(&file.text, *document, steps), Vec::new()),
            Form::Bytes(_) => in_file(HashMap::new(), Vec::new()),
            Form::Text { document, steps, json, .. } => {
                let written = tree::find(&file.text, *document, steps).map(|node| tree::range(&node, &file.text));
                match written.clone().and_then(|written| lines_of_block(&file.text, written, json)) {
                    Some(lines) => {
                        let of_json: Vec<_> = line_starts(json).collect();
                        let to_file = |at: usize| to_file(at, &of_json, &lines);
                        let positions = positions(json, 0, &[]).into_iter();
                        let positions =
                            positions.map(|(steps, range)| (steps, to_file(range.start)..to_file(range.end))).collect();
                        in_file(positions, lines)
                    }
                    None => Self {
                        name: format!("{name}, the policy in quotes"),
                        text: json.clone(),
                        positions: positions(json, 0, &[]),
                        lines: line_starts(json).collect(),
                        quoted_at: written.map(|written| line_and_column(&file.text, written.start)),
                    },
                }
            }
        }
    }

    /// The part of the text at `place`.
    ///
    /// A value that is missing has the position of the value that should contain it.
    pub fn find(&self, place: &Place) -> Option<Range<usize>> {
        match place {
            Place::Text { line, column } => {
                let start = self.lines.get(line.checked_sub(1)?)? + column.saturating_sub(1);
                let start = start.min(self.text.len());
                let end = self.text.get(start..)?.chars().next().map_or(start, |c| start + c.len_utf8());
                Some(start..end)
            }
            Place::Value(steps) => {
                (0..=steps.len()).rev().find_map(|length| self.positions.get(steps.get(..length)?)).cloned()
            }
        }
    }

    /// The line and column in the file of an offset in the text, counted from 1. For a quoted
    /// policy, where it starts.
    pub fn in_file(&self, offset: usize) -> (usize, usize) {
        self.quoted_at.unwrap_or_else(|| line_and_column(&self.text, offset))
    }

    /// The lines that contain `range`; `None` if it is not in the text.
    pub fn lines_around(&self, range: &Range<usize>) -> Option<Lines<'_>> {
        let start = self.text.get(..range.start)?.rfind('\n').map_or(0, |at| at + 1);
        let end = self.text.get(range.end..)?.find('\n').map_or(self.text.len(), |length| range.end + length);
        let (number, _) = line_and_column(&self.text, start);
        Some(Lines { start, number, text: self.text.get(start..end)? })
    }
}

/// The line and column of an offset, counted from 1.
fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rfind('\n').map_or(before, |at| before.get(at + 1..).unwrap_or_default());
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1))
}

/// The positions of the values below the one to which `steps` lead.
fn positions(text: &str, document: usize, steps: &[Step]) -> HashMap<Vec<Step>, Range<usize>> {
    let node = tree::find(text, document, steps);
    node.map(|node| tree::positions(&node, text)).unwrap_or_default()
}

/// Where the lines of `json` start in a literal block of `text`, if the block has them unchanged.
fn lines_of_block(text: &str, written: Range<usize>, json: &str) -> Option<Vec<usize>> {
    let block = text.get(written.clone())?;
    if !block.starts_with('|') {
        return None;
    }
    let mut starts = line_starts(block).skip(1);
    json.lines()
        .map(|line| {
            let start = starts.next()?;
            let written_line = block.get(start..)?.lines().next()?;
            let indent = written_line.len().checked_sub(line.len()).filter(|_| written_line.ends_with(line))?;
            Some(written.start + start + indent)
        })
        .collect()
}

/// Maps an offset in a policy whose lines start at `of_json` to a file in which they start at
/// `of_file`.
fn to_file(at: usize, of_json: &[usize], of_file: &[usize]) -> usize {
    let line = of_json.partition_point(|start| *start <= at).saturating_sub(1);
    let column = at - of_json.get(line).copied().unwrap_or_default();
    of_file.get(line).or(of_file.last()).copied().unwrap_or_default() + column
}
