//! `top`: what a proxy does with its traffic, live.

use std::collections::{BTreeMap, VecDeque};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyModifiers};
use ratatui::layout::Constraint;
use ratatui::style::{Color, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Row, Table};
use serde_json::{Value, json};

use crate::Outcome;
use crate::bars::{bar, percent, right, table};
use crate::numbers::{Numbers, Place, Times};

/// The options of `top`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The admin address of the proxy.
    #[arg(default_value = "http://127.0.0.1:9901")]
    admin: String,
    /// How many seconds the rates are about, 1 to 3600. Envoy gathers times every five.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600), value_name = "SECONDS")]
    window: u64,
    /// Print the table once, after the window, rather than live. So it is without a terminal.
    #[arg(long)]
    once: bool,
    /// Print JSON, once.
    #[arg(long)]
    json: bool,
}

/// What happened in a window of time.
struct Picture {
    policy: Option<u64>,
    seconds: f64,
    rows: Vec<ChoiceRow>,
    shadows: Vec<ShadowRow>,
}

struct ChoiceRow {
    place: Place,
    rate: f64,
    asked: Option<f64>,
    /// Of the requests of the endpoint and cohort; `None` if there was none.
    seen: Option<f64>,
    /// The part of the responses that were 5xx; `None` if there was none.
    errors: Option<f64>,
    p50: Option<f64>,
    p99: Option<f64>,
}

struct ShadowRow {
    place: Place,
    rate: f64,
    /// The part of each result.
    results: Vec<(String, f64)>,
    in_flight: f64,
    p50: Option<f64>,
    p99: Option<f64>,
}

/// Shows what a proxy does.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let first = Numbers::read(&arguments.admin)?;
    if !arguments.once && !arguments.json && std::io::stdout().is_terminal() {
        return live(arguments, first);
    }
    std::thread::sleep(Duration::from_secs(arguments.window));
    let picture = Picture::between(&first, &Numbers::read(&arguments.admin)?);
    if arguments.json {
        say!("{}", serde_json::to_string_pretty(&picture.as_json())?);
    } else {
        say!("{}", picture.title(&arguments.admin));
        say!("{}", picture.traffic_table());
        if !picture.shadows.is_empty() {
            say!("{}", picture.shadow_table());
        }
    }
    Ok(Outcome::Good)
}

/// Draws until q is pressed.
fn live(arguments: &Arguments, first: Numbers) -> anyhow::Result<Outcome> {
    let window = Duration::from_secs(arguments.window);
    let mut terminal = ratatui::try_init()?;
    let mut taken = VecDeque::from([first]);
    let result = loop {
        let draw_at = Instant::now() + Duration::from_secs(1);
        let picture = match (taken.front(), taken.back()) {
            (Some(first), Some(last)) => Picture::between(first, last),
            _ => break Ok(Outcome::Good),
        };
        if let Err(error) = terminal.draw(|frame| picture.draw(frame, &arguments.admin)) {
            break Err(error.into());
        }
        if is_quit(draw_at) {
            break Ok(Outcome::Good);
        }
        match Numbers::read(&arguments.admin) {
            Ok(numbers) => taken.push_back(numbers),
            Err(error) => break Err(error),
        }
        // One that is as old as the window stays, so that there is always something to compare with.
        while taken.get(1).is_some_and(|second| second.taken.elapsed() >= window) {
            taken.pop_front();
        }
    };
    ratatui::try_restore()?;
    result
}

/// Waits until `until`, or until the user has had enough.
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

impl Picture {
    fn between(first: &Numbers, last: &Numbers) -> Self {
        let seconds = last.taken.duration_since(first.taken).as_secs_f64().max(1e-3);
        let mut sums: BTreeMap<(&str, &str), f64> = BTreeMap::new();
        let requests = |place: &Place, now: f64| {
            // A counter that fell was started anew.
            let before = first.choices.get(place).map_or(0.0, |before| before.requests);
            if now >= before { now - before } else { now }
        };
        for (place, choice) in &last.choices {
            *sums.entry((&place.endpoint, &place.cohort)).or_default() += requests(place, choice.requests);
        }
        let mut rows = Vec::new();
        for (place, choice) in &last.choices {
            let before = first.choices.get(place);
            let count = requests(place, choice.requests);
            let is_idle = count == 0.0 && choice.asked.is_none_or(|asked| asked == 0.0);
            if is_idle {
                continue;
            }
            let responses = since(&choice.responses, before.map(|before| &before.responses));
            let ended: f64 = responses.values().sum();
            let failed = responses.get("5xx").copied().unwrap_or_default();
            let sum = sums.get(&(place.endpoint.as_str(), place.cohort.as_str())).copied().unwrap_or_default();
            let (p50, p99) = quantiles(&choice.times, before.map(|before| &before.times));
            rows.push(ChoiceRow {
                place: place.clone(),
                rate: count / seconds,
                asked: choice.asked,
                seen: (sum > 0.0).then(|| count / sum),
                errors: (ended > 0.0).then(|| failed / ended),
                p50,
                p99,
            });
        }
        let mut shadows = Vec::new();
        for (place, shadow) in &last.shadows {
            let before = first.shadows.get(place);
            let results = since(&shadow.results, before.map(|before| &before.results));
            let count: f64 = results.values().sum();
            if count == 0.0 && shadow.in_flight == 0.0 {
                continue;
            }
            let parts = results.into_iter().filter(|(_, part)| *part > 0.0).map(|(name, part)| (name, part / count));
            let (p50, p99) = quantiles(&shadow.times, before.map(|before| &before.times));
            let (results, in_flight) = (parts.collect(), shadow.in_flight);
            shadows.push(ShadowRow { place: place.clone(), rate: count / seconds, results, in_flight, p50, p99 });
        }
        Self { policy: last.policy, seconds, rows, shadows }
    }

    fn title(&self, admin: &str) -> String {
        let rate: f64 = self.rows.iter().map(|row| row.rate).sum();
        let policy = self.policy.map_or("no policy".to_owned(), |hash| format!("policy {hash:014x}"));
        format!("{admin}   {policy}   {rate:.1} requests a second in the last {:.0} s", self.seconds)
    }

    fn traffic_table(&self) -> comfy_table::Table {
        let mut table = table(&TRAFFIC);
        // What is printed is told by its stream whether it is for a terminal.
        table.enforce_styling();
        for row in &self.rows {
            let mut cells: Vec<_> = row.cells().into_iter().map(comfy_table::Cell::new).collect();
            if row.is_bad()
                && let Some(errors) = cells.get_mut(ERRORS)
            {
                *errors = comfy_table::Cell::new(share(row.errors)).fg(comfy_table::Color::Red);
            }
            table.add_row(cells);
        }
        right(&mut table, &[3, 4, 5, 7, 8, 9]);
        table
    }

    fn shadow_table(&self) -> comfy_table::Table {
        let mut table = table(&SHADOWS);
        for row in &self.shadows {
            table.add_row(row.cells());
        }
        right(&mut table, &[3, 4, 5, 6]);
        table
    }

    fn draw(&self, frame: &mut ratatui::Frame<'_>, admin: &str) {
        use ratatui::layout::Layout;
        let shadows = u16::try_from(self.shadows.len()).unwrap_or(u16::MAX);
        let heights = [Constraint::Length(2), Constraint::Min(3), Constraint::Length(shadows.saturating_add(2))];
        let [title, traffic, copies] = Layout::vertical(heights).areas(frame.area());
        frame.render_widget(Line::from(format!("{}   q quits", self.title(admin))).bold(), title);
        let head =
            |names: &[&'static str]| Row::new(names.iter().copied().map(Cell::from).collect::<Vec<_>>()).underlined();
        let rows = self.rows.iter().map(|row| {
            let cells = row.cells().into_iter().enumerate().map(|(n, text)| {
                let cell = Cell::from(text);
                if n == ERRORS && row.is_bad() { cell.fg(Color::Red).bold() } else { cell }
            });
            Row::new(cells.collect::<Vec<_>>())
        });
        let widths = [16, 16, 20, 9, 10, 10, 20, 9, 9, 9].map(Constraint::Length);
        frame.render_widget(Table::new(rows, widths).header(head(&TRAFFIC)), traffic);
        if !self.shadows.is_empty() {
            let rows = self.shadows.iter().map(|row| Row::new(row.cells().map(Cell::from)));
            let widths = [16, 16, 20, 9, 10, 9, 9, 60].map(Constraint::Length);
            frame.render_widget(Table::new(rows, widths).header(head(&SHADOWS)), copies);
        }
    }

    fn as_json(&self) -> Value {
        let traffic = self.rows.iter().map(|row| {
            json!({
                "endpoint": row.place.endpoint,
                "cohort": none_if_empty(&row.place.cohort),
                "backend": row.place.backend,
                "requests_per_second": row.rate,
                "share_asked": row.asked,
                "share_seen": row.seen,
                "errors": row.errors,
                "p50_milliseconds": row.p50,
                "p99_milliseconds": row.p99,
            })
        });
        let shadows = self.shadows.iter().map(|row| {
            let results: serde_json::Map<_, _> =
                row.results.iter().map(|(name, part)| (name.clone(), json!(part))).collect();
            json!({
                "endpoint": row.place.endpoint,
                "cohort": none_if_empty(&row.place.cohort),
                "backend": row.place.backend,
                "copies_per_second": row.rate,
                "results": results,
                "in_flight": row.in_flight,
                "p50_milliseconds": row.p50,
                "p99_milliseconds": row.p99,
            })
        });
        json!({
            "policy": self.policy.map(|hash| format!("{hash:014x}")),
            "seconds": self.seconds,
            "traffic": traffic.collect::<Vec<_>>(),
            "shadows": shadows.collect::<Vec<_>>(),
        })
    }
}

const TRAFFIC: [&str; 10] =
    ["endpoint", "cohort", "backend", "rate /s", "asked", "seen", "", "errors", "p50 ms", "p99 ms"];
const ERRORS: usize = 7;
const SHADOWS: [&str; 8] = ["shadow of", "cohort", "backend", "rate /s", "in flight", "p50 ms", "p99 ms", "results"];

impl ChoiceRow {
    fn cells(&self) -> [String; 10] {
        let Place { endpoint, cohort, backend } = self.place.clone();
        let seen = self.seen.map_or(String::new(), bar);
        let rate = format!("{:.1}", self.rate);
        let errors = share(self.errors);
        [
            endpoint,
            cohort,
            backend,
            rate,
            share(self.asked),
            share(self.seen),
            seen,
            errors,
            time(self.p50),
            time(self.p99),
        ]
    }

    /// Whether one response in a hundred is an error.
    fn is_bad(&self) -> bool {
        self.errors.is_some_and(|errors| errors >= 0.01)
    }
}

impl ShadowRow {
    fn cells(&self) -> [String; 8] {
        let Place { endpoint, cohort, backend } = self.place.clone();
        let results: Vec<_> = self.results.iter().map(|(name, part)| format!("{name} {}", percent(*part))).collect();
        let rate = format!("{:.1}", self.rate);
        let in_flight = format!("{:.0}", self.in_flight);
        [endpoint, cohort, backend, rate, in_flight, time(self.p50), time(self.p99), results.join(", ")]
    }
}

fn since(now: &BTreeMap<String, f64>, before: Option<&BTreeMap<String, f64>>) -> BTreeMap<String, f64> {
    let earlier = |name: &str| before.and_then(|before| before.get(name)).copied().unwrap_or_default();
    now.iter().map(|(name, count)| (name.clone(), (count - earlier(name)).max(0.0))).collect()
}

fn quantiles(now: &Times, before: Option<&Times>) -> (Option<f64>, Option<f64>) {
    let times = before.map_or_else(|| now.clone(), |before| now.since(before));
    (times.quantile(0.5), times.quantile(0.99))
}

fn share(part: Option<f64>) -> String {
    part.map_or("-".to_owned(), percent)
}

fn time(milliseconds: Option<f64>) -> String {
    milliseconds.map_or("-".to_owned(), |milliseconds| format!("{milliseconds:.1}"))
}

fn none_if_empty(name: &str) -> Option<&str> {
    (!name.is_empty()).then_some(name)
}
