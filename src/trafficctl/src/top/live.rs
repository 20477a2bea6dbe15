//! The screen that shows the traffic live.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::{Line, Span, Text};

use super::admin::Admin;
use super::numbers::Numbers;
use super::picture::Picture;
use super::refusal::{Received, Refusal};
use super::sheet::{self, Look, Sheet};
use crate::error::Error;

/// Draws the traffic once a second, until the user quits.
///
/// # Errors
/// [`Error::Unreadable`] if the proxy doesn't answer any more, or the terminal can't be used.
pub fn run(admin: &Admin, window: Duration, first: Numbers) -> Result<(), Error> {
    let no_terminal = |error: io::Error| Error::Unreadable(format!("cannot use the terminal: {error}"));
    let mut terminal = ratatui::try_init().map_err(no_terminal)?;
    let mut taken = VecDeque::from([first]);
    let (mut received, mut view) = (Received::default(), View::default());
    let result = 'readings: loop {
        let next = Instant::now() + Duration::from_secs(1);
        let (Some(first), Some(last)) = (taken.front(), taken.back()) else { break Ok(()) };
        received.update(admin);
        let picture = Picture::between(first, last);
        let refusals = received.refusals(&picture);
        loop {
            if let Err(error) = terminal.draw(|frame| view.draw(frame, &picture, &refusals, admin)) {
                break 'readings Err(no_terminal(error));
            }
            match wait(next) {
                Some(Event::Key(key)) if is_quit(&key) => break 'readings Ok(()),
                Some(Event::Key(key)) => view.scroll(&key),
                // Another size needs another layout.
                Some(_) => (),
                None => break,
            }
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

/// The next event; `None` if there is none until `until`.
fn wait(until: Instant) -> Option<Event> {
    let left = until.checked_duration_since(Instant::now())?;
    let is_there = event::poll(left).unwrap_or(false);
    is_there.then(event::read)?.ok()
}

fn is_quit(key: &KeyEvent) -> bool {
    let is_interrupt = key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
    is_interrupt || matches!(key.code, KeyCode::Char('q') | KeyCode::Esc)
}

/// Which rows are on the screen.
#[derive(Default)]
struct View {
    /// The number of the first row.
    first: usize,
    /// How many rows the screen has.
    height: usize,
}

impl View {
    fn scroll(&mut self, key: &KeyEvent) {
        if key.kind == KeyEventKind::Release {
            return;
        }
        let page = self.height.saturating_sub(1).max(1);
        self.first = match key.code {
            KeyCode::Down | KeyCode::Char('j') => self.first.saturating_add(1),
            KeyCode::Up | KeyCode::Char('k') => self.first.saturating_sub(1),
            KeyCode::PageDown | KeyCode::Char(' ') => self.first.saturating_add(page),
            KeyCode::PageUp => self.first.saturating_sub(page),
            KeyCode::Home | KeyCode::Char('g') => 0,
            // Drawing stops at the last row.
            KeyCode::End | KeyCode::Char('G') => usize::MAX,
            _ => self.first,
        };
    }

    fn draw(&mut self, frame: &mut ratatui::Frame<'_>, picture: &Picture, refusals: &[Refusal], admin: &Admin) {
        let area = frame.area();
        let width = Some(usize::from(area.width));
        let Sheet { head, body } = Sheet::new(picture, refusals, &admin.to_string(), width);
        // A long reason of a refusal leaves at least half of the screen to the rows.
        let most = area.height / 2;
        let head_height = u16::try_from(head.len()).map_or(most, |height| height.min(most.max(1)));
        let heights = [Constraint::Length(head_height), Constraint::Min(1), Constraint::Length(1)];
        let [top, rows, bottom] = Layout::vertical(heights).areas(area);
        self.height = usize::from(rows.height);
        self.first = self.first.min(body.len().saturating_sub(self.height));
        let last = body.len().min(self.first.saturating_add(self.height));
        let keys = if body.len() > self.height {
            format!("q quits, j k scroll: {} to {last} of {}", self.first + 1, body.len())
        } else {
            "q quits".to_owned()
        };
        // The titles of the columns are the last line of the head.
        let hidden = head.len().saturating_sub(usize::from(head_height));
        let head = head.iter().take(head.len().saturating_sub(hidden + 1)).chain(head.last());
        frame.render_widget(text(head), top);
        frame.render_widget(text(body.iter().skip(self.first).take(self.height)), rows);
        frame.render_widget(Line::from(keys).dim(), bottom);
    }
}

fn text<'a>(lines: impl Iterator<Item = &'a sheet::Line>) -> Text<'a> {
    let style = |look: Look| match look {
        Look::Plain => Style::new(),
        Look::Strong => Style::new().bold(),
        Look::Bad => Style::new().fg(Color::Red).bold(),
    };
    let line = |line: &'a sheet::Line| {
        Line::from_iter(line.0.iter().map(|(look, text)| Span::styled(text.as_str(), style(*look))))
    };
    Text::from_iter(lines.map(line))
}
