//! Tables, percentages and bars.

use std::fmt::{self, Display, Formatter};

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{Cell, CellAlignment};

use crate::terminal::{Show, escaped};

/// A table whose cells have no control characters from outside.
pub struct Table(comfy_table::Table);

impl Table {
    /// An empty table with these columns.
    pub fn new<T: AsRef<str>>(columns: impl IntoIterator<Item = T>) -> Self {
        let mut table = comfy_table::Table::new();
        let columns = columns.into_iter().map(|column| cell(column.as_ref()));
        table.load_style(UTF8_FULL_CONDENSED).set_header(columns);
        Self(table)
    }

    /// Adds a row.
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        self.0.add_row(cells.into_iter().map(|text| cell(text.as_ref())));
    }

    /// Aligns the columns with these numbers to the right.
    pub fn right(&mut self, columns: impl IntoIterator<Item = usize>) {
        for column in columns {
            if let Some(column) = self.0.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
    }
}

impl Show for Table {
    fn show(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

fn cell(text: &str) -> Cell {
    Cell::new(escaped(text))
}

/// A part as a percentage, with enough digits to distinguish a small part from none.
pub fn percent(part: f64) -> String {
    let percent = part * 100.0;
    let places = if percent == 0.0 || percent >= 1.0 { 2 } else { 4 };
    let text = format!("{percent:.places$}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if percent > 0.0 && text == "0" { "<0.0001 %".to_owned() } else { format!("{text} %") }
}

/// A bar, 20 characters wide for the whole. A part above 0 is always visible.
pub fn bar(part: f64) -> String {
    const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "from 0 to 160")]
    let eighths = (part.clamp(0.0, 1.0) * 160.0).round() as usize;
    let eighths = if part > 0.0 { eighths.max(1) } else { 0 };
    format!("{:<20}", "█".repeat(eighths / 8) + EIGHTHS.get(eighths % 8).copied().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_written_as_a_percentage() {
        for (part, expected) in [
            (0.0, "0 %"),
            (1.0, "100 %"),
            (0.5, "50 %"),
            (0.010_198, "1.02 %"),
            (0.0001, "0.01 %"),
            (0.000_001, "0.0001 %"),
            (1e-12, "<0.0001 %"),
        ] {
            assert_eq!(percent(part), expected);
        }
    }

    #[test]
    fn a_small_part_is_visible() {
        assert_eq!(bar(0.0).trim(), "");
        assert_eq!(bar(1e-9).trim(), "▏");
        assert_eq!(bar(0.5).trim(), "██████████");
        assert_eq!(bar(1.0).trim(), "█".repeat(20));
    }
}
