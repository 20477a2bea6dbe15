//! The traffic as lines, laid out for a width. The live screen and `--once` show the same lines.
//!
//! Each endpoint and cohort has a line, and below it a row for each of its backends and shadows. A
//! name is never cut: columns make room for it, and a name that is still too long goes on in the
//! next line.

use std::fmt::{self, Display, Formatter};

use anstyle::{AnsiColor, Style};

use super::picture::{ChoiceRow, Group, Picture, ShadowRow};
use super::refusal::Refusal;
use super::wrap::{length, wrapped};
use crate::table::{bar, percent};
use crate::terminal::{Show, Styled, escaped};

/// Why there is nothing to show.
const NO_METRICS: &str = "The proxy has no metrics of the filter: it does not run the filter, has loaded no policy, or \
     lacks the stats_tags that give the metrics their labels.";

/// The space in front of a column.
const GAP: usize = 2;

/// The space in front of a backend, and of the lines below it.
const INDENT: usize = 2;

/// Names up to this length are not wrapped as long as a column can make room.
const NAME: usize = 48;

/// The least width for names.
const LEAST_NAME: usize = 10;

/// The lines, those that stay on the screen and those that scroll.
pub struct Sheet {
    /// The proxy, its policy, what it refused, and the titles of the columns.
    pub head: Vec<Line>,
    /// The endpoints.
    pub body: Vec<Line>,
}

/// A line: strings without control characters, each in its look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line(pub Vec<(Look, String)>);

/// How a part of a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// As the rest of the terminal.
    Plain,
    /// For titles and endpoints.
    Strong,
    /// For what is wrong.
    Bad,
}

/// The columns beside the names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Column {
    Rate,
    Asked,
    Seen,
    Bar,
    Errors,
    P50,
    P99,
}

/// A column with the width of its widest cell.
type Sized = (Column, usize);

impl Sheet {
    /// The lines for a width; without one, each row has all columns.
    pub fn new(picture: &Picture, refusals: &[Refusal], admin: &str, width: Option<usize>) -> Self {
        let mut head = packed(&title(picture, admin), width, Look::Strong);
        for refusal in refusals {
            head.extend(lines(&refusal.to_string(), 0, width, Look::Bad));
        }
        if !picture.has_any {
            return Self { head, body: lines(NO_METRICS, 0, width, Look::Plain) };
        }
        let (name, columns) = layout(picture, width);
        let titles = columns.iter().map(|(column, width)| (Look::Strong, column.aligned(column.title(), *width)));
        let first = (Look::Strong, format!("{:<name$}", ""));
        head.push(Line(std::iter::once(first).chain(titles).collect()));
        let mut body = Vec::new();
        for group in &picture.groups {
            body.extend(lines(&group.name(), 0, width, Look::Strong));
            for row in &group.choices {
                body.extend(named(&row.backend, name, cells(row, &columns)));
            }
            for row in &group.shadows {
                body.extend(named(&shadow_name(row), name, shadow_cells(row, &columns)));
                body.extend(lines(&outcomes(row), 2 * INDENT, width, Look::Plain));
            }
            if group.misrouted > 0.0 {
                let words = format!("misrouted: {:.0} sampled", group.misrouted);
                body.extend(lines(&words, INDENT, width, Look::Bad));
            }
        }
        Self { head, body }
    }
}

/// The parts of the line at the top.
fn title(picture: &Picture, admin: &str) -> [String; 3] {
    let rates = picture.groups.iter().flat_map(|group| &group.choices).map(|row| row.rate);
    // A sum of no numbers is -0.
    let rate = rates.sum::<f64>() + 0.0;
    let space = |name: &str| if name.is_empty() { "" } else { " " };
    let policies = picture.policies.iter().map(|(name, hash)| format!("policy {name}{}{hash:014x}", space(name)));
    let policies: Vec<_> = policies.collect();
    let policies = if policies.is_empty() { "no policy".to_owned() } else { policies.join(", ") };
    [admin.to_owned(), policies, format!("{rate:.1} requests a second in the last {:.0} s", picture.seconds)]
}

impl Column {
    const ALL: [Self; 7] = [Self::Rate, Self::Asked, Self::Seen, Self::Bar, Self::Errors, Self::P50, Self::P99];

    /// The columns that make room for names, the first one first.
    const SPARE: [Self; 5] = [Self::Bar, Self::P50, Self::P99, Self::Rate, Self::Errors];

    fn title(self) -> &'static str {
        match self {
            Self::Rate => "rate /s",
            Self::Asked => "asked",
            Self::Seen => "seen",
            Self::Bar => "",
            Self::Errors => "errors",
            Self::P50 => "p50 ms",
            Self::P99 => "p99 ms",
        }
    }

    fn of_choice(self, row: &ChoiceRow) -> String {
        match self {
            Self::Rate => format!("{:.1}", row.rate),
            Self::Asked => share(row.asked),
            Self::Seen => share(row.seen),
            Self::Bar => row.seen.map_or(String::new(), bar),
            Self::Errors => share(row.errors),
            Self::P50 => time(row.p50),
            Self::P99 => time(row.p99),
        }
    }

    fn of_shadow(self, row: &ShadowRow) -> String {
        match self {
            Self::Rate => format!("{:.1}", row.rate),
            Self::P50 => time(row.p50),
            Self::P99 => time(row.p99),
            Self::Asked | Self::Seen | Self::Bar | Self::Errors => String::new(),
        }
    }

    /// A cell with the gap in front of it. Only bars start at the left.
    fn aligned(self, cell: &str, width: usize) -> String {
        if self == Self::Bar { format!("{:GAP$}{cell:<width$}", "") } else { format!("{:GAP$}{cell:>width$}", "") }
    }
}

/// The width for names, and the columns that fit beside them.
fn layout(picture: &Picture, width: Option<usize>) -> (usize, Vec<Sized>) {
    let mut names = Vec::new();
    let mut columns: Vec<Sized> = Column::ALL.map(|column| (column, length(column.title()))).into();
    for group in &picture.groups {
        names.extend(group.choices.iter().map(|row| length(&escaped(&row.backend))));
        names.extend(group.shadows.iter().map(|row| length(&escaped(&shadow_name(row)))));
        for (column, width) in &mut columns {
            let choices = group.choices.iter().map(|row| length(&column.of_choice(row)));
            let shadows = group.shadows.iter().map(|row| length(&column.of_shadow(row)));
            *width = choices.chain(shadows).fold(*width, usize::max);
        }
    }
    let longest = INDENT + names.into_iter().max().unwrap_or_default();
    let Some(width) = width else { return (longest, columns) };
    let taken = |columns: &[Sized]| columns.iter().map(|(_, width)| GAP + width).sum::<usize>();
    let wanted = longest.min(NAME);
    for column in Column::SPARE {
        // The errors stay even where names are wrapped for them.
        let wanted = if column == Column::Errors { LEAST_NAME } else { wanted };
        if wanted + taken(&columns) > width {
            columns.retain(|(other, _)| *other != column);
        }
    }
    (width.saturating_sub(taken(&columns)).clamp(LEAST_NAME, longest.max(LEAST_NAME)), columns)
}

fn cells(row: &ChoiceRow, columns: &[Sized]) -> Vec<(Look, String)> {
    let look = |column| if column == Column::Errors && row.is_bad() { Look::Bad } else { Look::Plain };
    columns.iter().map(|(column, width)| (look(*column), column.aligned(&column.of_choice(row), *width))).collect()
}

fn shadow_cells(row: &ShadowRow, columns: &[Sized]) -> Vec<(Look, String)> {
    columns.iter().map(|(column, width)| (Look::Plain, column.aligned(&column.of_shadow(row), *width))).collect()
}

fn shadow_name(row: &ShadowRow) -> String {
    format!("shadow {}", row.backend)
}

/// What became of the copies.
fn outcomes(row: &ShadowRow) -> String {
    let results = row.results.iter().map(|(name, part)| format!("{name} {}", percent(*part)));
    let in_flight = (row.in_flight > 0.0).then(|| format!("{:.0} in flight", row.in_flight));
    results.chain(in_flight).collect::<Vec<_>>().join(", ")
}

/// A row that starts with a name, in as many lines as the name needs.
fn named(name: &str, width: usize, cells: Vec<(Look, String)>) -> Vec<Line> {
    let parts = wrapped(&escaped(name), width.saturating_sub(INDENT));
    let mut lines: Vec<_> = parts
        .iter()
        .map(|part| Line(vec![(Look::Plain, format!("{:INDENT$}{part:<1$}", "", width.saturating_sub(INDENT)))]))
        .collect();
    if let Some(first) = lines.first_mut() {
        first.0.extend(cells);
    }
    lines
}

/// Words in as many lines as they need.
fn lines(words: &str, indent: usize, width: Option<usize>, look: Look) -> Vec<Line> {
    let width = width.map_or(usize::MAX, |width| width.saturating_sub(indent));
    let line = |part: String| Line(vec![(look, format!("{:indent$}{part}", ""))]);
    wrapped(&escaped(words), width).into_iter().map(line).collect()
}

/// Parts in one line, or each in its own lines where that is too long.
fn packed(parts: &[String], width: Option<usize>, look: Look) -> Vec<Line> {
    let one = parts.join("   ");
    if width.is_none_or(|width| length(&escaped(&one)) <= width) {
        return lines(&one, 0, None, look);
    }
    parts.iter().flat_map(|part| lines(part, 0, width, look)).collect()
}

fn share(part: Option<f64>) -> String {
    part.map_or("-".to_owned(), percent)
}

fn time(milliseconds: Option<f64>) -> String {
    milliseconds.map_or("-".to_owned(), |milliseconds| format!("{milliseconds:.1}"))
}

impl Look {
    fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Strong => Style::new().bold(),
            Self::Bad => AnsiColor::Red.on_default().bold(),
        }
    }
}

impl Show for Line {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (last, others) = match self.0.split_last() {
            Some(((look, text), others)) => (Some((*look, text.trim_end())), others),
            None => (None, [].as_slice()),
        };
        let others = others.iter().map(|(look, text)| (*look, text.as_str()));
        others.chain(last).try_for_each(|(look, text)| Styled(look.style(), text).show(f))
    }
}

impl Display for Line {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(_, text)| f.write_str(text))
    }
}

impl Group {
    /// The endpoint, and the cohort behind a slash.
    pub fn name(&self) -> String {
        if self.cohort.is_empty() { self.endpoint.clone() } else { format!("{}/{}", self.endpoint, self.cohort) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(names: &[&str]) -> Picture {
        let row = |name: &&str| ChoiceRow {
            backend: (*name).to_owned(),
            rate: 1234.5,
            asked: Some(0.000_001),
            seen: Some(0.333_333),
            errors: Some(0.25),
            p50: Some(1234.5),
            p99: Some(12345.6),
        };
        let shadow = ShadowRow {
            backend: names[0].to_owned(),
            rate: 1.0,
            results: vec![("2xx".to_owned(), 0.75), ("timeout".to_owned(), 0.25)],
            in_flight: 3.0,
            p50: None,
            p99: None,
        };
        let group = Group {
            endpoint: "ranker".to_owned(),
            cohort: "beta".to_owned(),
            choices: names.iter().map(row).collect(),
            shadows: vec![shadow],
            misrouted: 3.0,
        };
        Picture {
            policies: [(String::new(), 1)].into(),
            refused: [].into(),
            seconds: 10.0,
            groups: vec![group],
            has_any: true,
        }
    }

    #[test]
    fn no_line_is_wider_than_the_screen_and_no_name_is_cut() {
        let long = format!("outbound|8080|v2|{}.prod.svc.cluster.local", "m".repeat(200));
        for names in [["ranker-v1", "ranker-v2"], ["a", "b"], [&long, "ranker-v2"]] {
            for width in 40..200 {
                let Sheet { head, body } = Sheet::new(&picture(&names), &[], "http://127.0.0.1:9901", Some(width));
                let lines: Vec<_> = head.iter().chain(&body).map(ToString::to_string).collect();
                assert!(lines.iter().all(|line| length(line) <= width), "{width}: {lines:#?}");
                // Only the columns beside the names are taken away, and the indentation.
                let (name, _) = layout(&picture(&names), Some(width));
                let firsts = lines.iter().map(|line| line.chars().take(name).collect::<String>());
                let text: String = firsts.flat_map(|line| line.trim().chars().collect::<Vec<_>>()).collect();
                for name in names {
                    assert!(text.contains(name), "{name} at {width}: {lines:#?}");
                }
            }
        }
    }

    #[test]
    fn wider_screens_have_more_columns() {
        let titles = |width| {
            let sheet = Sheet::new(&picture(&["ranker-v1", "ranker-v2"]), &[], "a", width);
            sheet.head.last().unwrap().to_string().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(titles(Some(40)), "asked seen errors");
        assert_eq!(titles(Some(60)), "rate /s asked seen errors");
        assert_eq!(titles(Some(80)), "rate /s asked seen errors p50 ms p99 ms");
        assert_eq!(titles(None), titles(Some(160)));
    }

    #[test]
    fn misrouted_requests_and_refused_updates_are_shown() {
        let refusals = [Refusal::Policy(String::new(), vec!["endpoints[0]: one".to_owned(), "two".to_owned()])];
        let Sheet { head, body } = Sheet::new(&picture(&["a", "b"]), &refusals, "a", None);
        let expected = "refused: the last policy that the proxy got is not in force: endpoints[0]: one (and 1 more)";
        assert_eq!(head[1], Line(vec![(Look::Bad, expected.to_owned())]));
        assert_eq!(body.last().unwrap().to_string(), "  misrouted: 3 sampled");
        assert_eq!(body[0].to_string(), "ranker/beta");
        assert_eq!(body[4].to_string(), "    2xx 75 %, timeout 25 %, 3 in flight");
    }
}
