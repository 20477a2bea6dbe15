//! The report: expected and seen counts, and whether chance explains the differences.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment, Color, Table};
use testbed::statistics::{FALSE_ALARM, binomial_bounds};

/// All checks.
#[derive(Default)]
pub struct Report {
    rows: Vec<Row>,
}

struct Row {
    step: String,
    what: String,
    count: u64,
    of: u64,
    expected: f64,
    bounds: (u64, u64),
}

impl Report {
    /// Adds a check of `count` among `of` independent draws with the chance `expected`. Chances of
    /// 0 and 1 are exact.
    pub fn share(&mut self, step: &str, what: &str, count: u64, of: u64, expected: f64) {
        let bounds = binomial_bounds(of, expected, FALSE_ALARM);
        self.rows.push(Row { step: step.into(), what: what.into(), count, of, expected, bounds });
    }

    /// Whether every count lies within its bounds.
    pub fn is_good(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(Row::is_good)
    }

    /// The report as a table.
    pub fn table(&self) -> Table {
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED);
        table.set_header(["step", "what", "expected", "seen", "", "count", "allowed", ""]);
        let mut step = "";
        for row in &self.rows {
            let seen = row.count as f64 / row.of.max(1) as f64;
            let (verdict, color) = if row.is_good() { ("ok", Color::Green) } else { ("WRONG", Color::Red) };
            table.add_row([
                Cell::new(if row.step == step { "" } else { &row.step }),
                Cell::new(&row.what),
                Cell::new(percent(row.expected)).set_alignment(CellAlignment::Right),
                Cell::new(percent(seen)).set_alignment(CellAlignment::Right),
                Cell::new(bar(seen)),
                Cell::new(format!("{} of {}", row.count, row.of)).set_alignment(CellAlignment::Right),
                Cell::new(format!("{} to {}", row.bounds.0, row.bounds.1)).set_alignment(CellAlignment::Right),
                Cell::new(verdict).fg(color),
            ]);
            step = &row.step;
        }
        table
    }
}

impl Row {
    fn is_good(&self) -> bool {
        self.of > 0 && (self.bounds.0..=self.bounds.1).contains(&self.count)
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A bar, whose 20 characters are 100 %.
fn bar(share: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    let eighths = (share.clamp(0.0, 1.0) * 160.0).round() as usize;
    // Even the smallest share is visible.
    let eighths = if share > 0.0 { eighths.max(1) } else { 0 };
    format!("{:<20}", "█".repeat(eighths / 8) + EIGHTHS[eighths % 8])
}
