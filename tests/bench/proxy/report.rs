//! The report: a table, and the same as JSON.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use testbed::project;
use testbed::statistics::quantile;

use crate::policies::Load;
use crate::scenarios::{Bound, Scenario};

/// The factor by which a count may exceed its bound: several times the variation of counts.
const TOLERANCE: f64 = 1.03;

/// All measurements.
pub struct Report {
    rows: Vec<Row>,
    machine: String,
    module_bytes: u64,
    /// The loads of large policies.
    pub loads: Vec<Load>,
}

struct Row {
    name: &'static str,
    baseline: Option<&'static str>,
    instructions: f64,
    bound: Option<Bound>,
    reached: Option<f64>,
    times: Option<Times>,
}

/// The slices of a scenario, in the order of measurement.
#[derive(Default)]
pub struct Times {
    pub cpu_us: Vec<f64>,
    pub rate: Vec<f64>,
    pub p50_us: Vec<f64>,
    pub p99_us: Vec<f64>,
}

impl Report {
    pub fn new(filter: &Path) -> anyhow::Result<Self> {
        let cpus = fs::read_to_string("/proc/cpuinfo")?;
        let model =
            cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ").map(|(_, name)| name));
        let cores = std::thread::available_parallelism()?;
        let machine = format!("{} ({cores} cores)", model.unwrap_or("an unknown processor"));
        Ok(Self { rows: Vec::new(), machine, module_bytes: fs::metadata(filter)?.len(), loads: Vec::new() })
    }

    /// Adds the instructions per request of a scenario.
    pub fn count(&mut self, scenario: &Scenario, instructions: f64) {
        let Scenario { name, baseline, bound, reached, .. } = scenario;
        let (baseline, bound, reached) = (*baseline, *bound, *reached);
        self.rows.push(Row { name, baseline, instructions, bound, reached, times: None });
    }

    /// Adds the times of a scenario whose instructions are there already.
    pub fn time(&mut self, scenario: &Scenario, times: Times) {
        if let Some(row) = self.rows.iter_mut().find(|row| row.name == scenario.name) {
            row.times = Some(times);
        }
    }

    fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.name == name)
    }

    /// The instructions that a scenario adds to those of the plain route with the same requests.
    fn added(&self, row: &Row) -> Option<f64> {
        Some(row.instructions - self.row(row.baseline?)?.instructions)
    }

    fn allowed(&self, row: &Row) -> Option<f64> {
        match row.bound? {
            Bound::AtMost(count) => Some(count),
            Bound::Beside(name, factor, more) => Some(self.added(self.row(name)?)? * factor + more),
        }
    }

    /// Whether every scenario keeps its bound, or is no worse than before.
    pub fn is_good(&self) -> bool {
        let is_kept = |row: &Row| match (self.added(row), self.allowed(row)) {
            (Some(added), Some(allowed)) => added <= row.reached.unwrap_or(allowed).max(allowed) * TOLERANCE,
            _ => row.bound.is_none(),
        };
        self.rows.iter().all(is_kept)
    }

    /// The tables, without columns that were not measured.
    pub fn markdown(&self) -> String {
        let has_times = self.rows.iter().any(|row| row.times.is_some());
        let mut heads = vec!["", "instructions", "added", "goal"];
        if has_times {
            heads.extend(["CPU µs added", "requests/s", "p50 µs added", "p99 µs added"]);
        }
        let mut text = head(&heads);
        for row in &self.rows {
            let mut cells = vec![row.name.to_owned(), thousands(row.instructions)];
            cells.push(self.added(row).map_or(String::new(), |added| format!("+{}", thousands(added))));
            cells.push(self.allowed(row).map_or(String::new(), thousands));
            if let Some(times) = &row.times {
                cells.push(self.paired(row, |times| &times.cpu_us));
                cells.push(format!("{:.0}", quantile(&times.rate, 0.5)));
                cells.push(self.paired(row, |times| &times.p50_us));
                cells.push(self.paired(row, |times| &times.p99_us));
            }
            text += &line(&cells);
        }
        text += &format!(
            "\nInstructions of Envoy for each request (callgrind, user space). *Added*: to the plain route with the same requests, in the same run; times as medians of slices in turn, with 95 % intervals (of a plain route the median itself, in brackets); latency at 1,000 requests a second. Module of {} bytes, Envoy 1.40.0, one worker, {}, {}.\n",
            self.module_bytes,
            self.machine,
            date()
        );
        if !self.loads.is_empty() {
            text += "\n";
            text += &head(&["a policy of 1 MB", "CPU ms for each thread", "ms until in force", "MB gained"]);
            for load in &self.loads {
                let milliseconds = |time: Duration| time.as_millis().to_string();
                let gained = format!("{:.0}", load.gained_bytes as f64 / 1e6);
                text += &line(&[load.shape.clone(), milliseconds(load.cpu), milliseconds(load.in_force), gained]);
            }
        }
        text
    }

    /// The median difference to the baseline's slice of the same round, with its interval. For a
    /// baseline itself, the median.
    fn paired(&self, row: &Row, values: fn(&Times) -> &Vec<f64>) -> String {
        let Some(times) = row.times.as_ref().map(values) else { return String::new() };
        let baseline = row.baseline.and_then(|name| Some(values(self.row(name)?.times.as_ref()?)));
        let Some(baseline) = baseline else { return format!("({:.0})", quantile(times, 0.5)) };
        let differences: Vec<f64> = times.iter().zip(baseline).map(|(time, baseline)| time - baseline).collect();
        let (low, high) = interval(&differences);
        format!("{:+.0} [{low:.0}..{high:.0}]", quantile(&differences, 0.5))
    }

    fn json(&self) -> Value {
        let row = |row: &Row| {
            let times = row.times.as_ref().map(|times| {
                json!({ "cpu_us": times.cpu_us, "requests_per_second": times.rate, "p50_us": times.p50_us, "p99_us": times.p99_us })
            });
            json!({
                "scenario": row.name,
                "baseline": row.baseline,
                "instructions": row.instructions,
                "added": self.added(row),
                "bound": self.allowed(row),
                "slices": times,
            })
        };
        let scenarios: Vec<_> = self.rows.iter().map(row).collect();
        let load = |load: &Load| {
            json!({
                "shape": load.shape,
                "bytes": load.bytes,
                "cpu_ms": load.cpu.as_millis(),
                "in_force_ms": load.in_force.as_millis(),
                "gained_bytes": load.gained_bytes,
            })
        };
        let loads: Vec<_> = self.loads.iter().map(load).collect();
        json!({ "date": date(), "machine": self.machine, "module_bytes": self.module_bytes, "scenarios": scenarios, "loads": loads })
    }

    /// Writes `target/bench.md` and `target/bench.json`, and the table in `tests/README.md`.
    pub fn write(&self, readme: bool) -> anyhow::Result<()> {
        fs::write(project().join("target/bench.md"), self.markdown())?;
        fs::write(project().join("target/bench.json"), serde_json::to_string_pretty(&self.json())?)?;
        if readme {
            const MARKS: [&str; 2] = ["<!-- bench -->\n", "<!-- /bench -->"];
            let path = project().join("tests/README.md");
            let text = fs::read_to_string(&path)?;
            let (before, rest) = text.split_once(MARKS[0]).context("tests/README.md has no place for the table")?;
            let (_, after) = rest.split_once(MARKS[1]).context("the table in tests/README.md has no end")?;
            fs::write(path, format!("{before}{}{}{}{after}", MARKS[0], self.markdown(), MARKS[1]))?;
        }
        Ok(())
    }
}

fn head(cells: &[&str]) -> String {
    let rule = "|---".repeat(cells.len());
    format!("| {} |\n{rule}|\n", cells.join(" | "))
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

fn thousands(count: f64) -> String {
    format!("{:.1} k", count / 1e3)
}

/// The middle 95 % of the medians of 1,000 samples drawn from `values` with replacement.
fn interval(values: &[f64]) -> (f64, f64) {
    let mut state: u64 = 1;
    let mut draw = || {
        // Knuth's MMIX generator.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        values[(state >> 33) as usize % values.len()]
    };
    let medians: Vec<f64> = (0..1000)
        .map(|_| {
            let sample: Vec<f64> = values.iter().map(|_| draw()).collect();
            quantile(&sample, 0.5)
        })
        .collect();
    (quantile(&medians, 0.025), quantile(&medians, 0.975))
}

fn date() -> String {
    let output = std::process::Command::new("date").arg("+%Y-%m-%d").output();
    output.map_or_else(|_| String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
