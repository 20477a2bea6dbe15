//! The screen that shows the traffic live.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row, Table, Wrap};

use super::numbers::Numbers;
use super::picture::Picture;
use super::tables::{ERRORS, NO_METRICS, SHADOWS, TRAFFIC, shadow_cells, title, traffic_cells};
use crate::error::Error;
use crate::terminal::escaped;

/// Draws the traffic once a second, until the user quits.
///
/// # Errors
/// [`Error::Unreadable`] if the proxy doesn't answer any more, or the terminal can't be used.
pub fn run(admin: &str, window: Duration, first: Numbers) -> Result<(), Error> {
    let no_terminal = |error: io::Error| Error::Unreadable(format!("cannot use the terminal: {error}"));
    let mut terminal = ratatui::try_init().map_err(no_terminal)?;
    let mut taken = VecDeque::from([first]);
    let result = loop {
        let draw_at = Instant::now() + Duration::from_secs(1);
        let (Some(first), Some(last)) = (taken.front(), taken.back()) else { break Ok(()) };
        let picture = Picture::between(first, last);
        if let Err(error) = terminal.draw(|frame| draw(&picture, frame, admin)) {
            break Err(no_terminal(error));
        }
        if is_quit(draw_at) {
            break Ok(());
        }
        match Numbers::read(admin) {
            Ok(numbers) => taken.push_back(numbers),
            Err(error) => break Err(error),
        }
        // The first that stays is at least as old as the window, so that there is always something
        // to compare with.
        while taken.get(1).is_some_and(|second| second.taken.elapsed() >= window) {
            taken.pop_front();
        }
    };
    ratatui::try_restore().map_err(no_terminal)?;
    result
}

/// Waits until `until`; true as soon as the user quits.
fn is_quit(until: Instant) -> bool {
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if !event::poll(left).unwrap_or(false) {
            return false;
        }
        if let Ok(Event::Key(key)) = event::read() {
            let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            if is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) {
                return true;
            }
        }
    }
    false
}

fn draw(picture: &Picture, frame: &mut ratatui::Frame<'_>, admin: &str) {
    let shadows = u16::try_from(picture.shadows.len()).unwrap_or(u16::MAX);
    let heights = [Constraint::Length(2), Constraint::Min(3), Constraint::Length(shadows.saturating_add(2))];
    let [top, traffic, copies] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Line::from(format!("{}   q quits", escaped(&title(picture, admin)))).bold(), top);
    if !picture.has_any {
        frame.render_widget(Paragraph::new(NO_METRICS).wrap(Wrap { trim: true }), traffic);
        return;
    }
    let head =
        |names: &[&'static str]| Row::new(names.iter().copied().map(Cell::from).collect::<Vec<_>>()).underlined();
    let rows = picture.rows.iter().map(|row| {
        let cells = traffic_cells(row).into_iter().enumerate().map(|(n, text)| {
            let cell = shown(&text);
            if n == ERRORS && row.is_bad() { cell.fg(Color::Red).bold() } else { cell }
        });
        Row::new(cells.collect::<Vec<_>>())
    });
    let widths = [16, 16, 20, 9, 10, 10, 20, 9, 9, 9].map(Constraint::Length);
    frame.render_widget(Table::new(rows, widths).header(head(&TRAFFIC)), traffic);
    if !picture.shadows.is_empty() {
        let rows = picture.shadows.iter().map(|row| Row::new(shadow_cells(row).map(|text| shown(&text))));
        let widths = [16, 16, 20, 9, 10, 9, 9, 60].map(Constraint::Length);
        frame.render_widget(Table::new(rows, widths).header(head(&SHADOWS)), copies);
    }
}

/// A cell without control characters from outside.
fn shown(text: &str) -> Cell<'static> {
    Cell::from(escaped(text).into_owned())
}
