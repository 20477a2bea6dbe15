//! The traffic as tables: their columns and cells, and the tables that are printed once.

use super::numbers::Labels;
use super::picture::{ChoiceRow, Picture, ShadowRow};
use crate::table::{Table, bar, percent};

/// The columns of the traffic.
pub const TRAFFIC: [&str; 10] =
    ["endpoint", "cohort", "backend", "rate /s", "asked", "seen", "", "errors", "p50 ms", "p99 ms"];

/// The number of the column with the errors.
pub const ERRORS: usize = 7;

/// The columns of the shadows.
pub const SHADOWS: [&str; 8] =
    ["shadow of", "cohort", "backend", "rate /s", "in flight", "p50 ms", "p99 ms", "results"];

/// Why there is nothing to show.
pub const NO_METRICS: &str = "The proxy has no metrics of the filter: it does not run the filter, has loaded no policy, or \
     lacks the stats_tags that give the metrics their labels.";

/// The line above the tables.
pub fn title(picture: &Picture, admin: &str) -> String {
    // A sum of no numbers is -0.
    let rate = picture.rows.iter().map(|row| row.rate).sum::<f64>() + 0.0;
    let policy = picture.policy.map_or("no policy".to_owned(), |hash| format!("policy {hash:014x}"));
    format!("{admin}   {policy}   {rate:.1} requests a second in the last {:.0} s", picture.seconds)
}

/// The table of the traffic.
pub fn traffic(picture: &Picture) -> Table {
    let mut table = Table::new(TRAFFIC);
    for row in &picture.rows {
        table.row_with_red(traffic_cells(row), row.is_bad().then_some(ERRORS));
    }
    table.right([3, 4, 5, 7, 8, 9]);
    table
}

/// The table of the shadows.
pub fn shadows(picture: &Picture) -> Table {
    let mut table = Table::new(SHADOWS);
    for row in &picture.shadows {
        table.row(shadow_cells(row));
    }
    table.right([3, 4, 5, 6]);
    table
}

/// The cells of a row of the traffic.
pub fn traffic_cells(row: &ChoiceRow) -> [String; 10] {
    let Labels { endpoint, cohort, backend } = row.labels.clone();
    [
        endpoint,
        cohort,
        backend,
        format!("{:.1}", row.rate),
        share(row.asked),
        share(row.seen),
        row.seen.map_or(String::new(), bar),
        share(row.errors),
        time(row.p50),
        time(row.p99),
    ]
}

/// The cells of a row of the shadows.
pub fn shadow_cells(row: &ShadowRow) -> [String; 8] {
    let Labels { endpoint, cohort, backend } = row.labels.clone();
    let results: Vec<_> = row.results.iter().map(|(name, part)| format!("{name} {}", percent(*part))).collect();
    [
        endpoint,
        cohort,
        backend,
        format!("{:.1}", row.rate),
        format!("{:.0}", row.in_flight),
        time(row.p50),
        time(row.p99),
        results.join(", "),
    ]
}

fn share(part: Option<f64>) -> String {
    part.map_or("-".to_owned(), percent)
}

fn time(milliseconds: Option<f64>) -> String {
    milliseconds.map_or("-".to_owned(), |milliseconds| format!("{milliseconds:.1}"))
}
