//! Tables, percentages and bars.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

/// An empty table with these columns.
pub fn table(columns: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(columns);
    table
}

/// Aligns the columns with these numbers to the right.
pub fn right(table: &mut Table, columns: &[usize]) {
    for column in columns {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
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
