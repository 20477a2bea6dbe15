//! `simulate`: which backends serve simulated requests, by the filter's own arithmetic.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use policy::placement::mix;
use policy::shadow::Shadow;
use policy::{Endpoint, Traffic};
use serde_json::{Value, json};
use statrs::distribution::{Binomial, DiscreteCDF};

use crate::document::file::PolicyFile;
use crate::error::Error;
use crate::report::valid_policy;
use crate::table::{Table, bar, percent};
use crate::terminal::say;
use crate::verbs::target::Target;

/// The options of `simulate`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    target: Target,
    /// How many requests without a shard key each endpoint and cohort gets, up to 100 million.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    requests: u64,
    /// Shard keys, one in each line: simulate one request with each of them instead.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// The seed of the random numbers.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// How often a count is outside its bounds by chance.
const FALSE_ALARM: f64 = 0.001;

/// The requests that a backend serves, or the copies that it gets.
struct Row {
    endpoint: String,
    cohort: Option<String>,
    what: &'static str,
    backend: String,
    expected: f64,
    count: u64,
    of: u64,
    bounds: (u64, u64),
}

/// Simulates requests.
///
/// # Errors
/// If the policy is not valid, or a file can't be read.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let file = PolicyFile::read(arguments.target.file()?)?;
    let policy = valid_policy(&file)?;
    let keys = arguments.keys.as_deref().map(read_keys).transpose()?;
    let mut rows = Vec::new();
    for endpoint in &policy.endpoints {
        let points = |salt: u64| points(arguments, endpoint, keys.as_deref(), salt);
        let by_key = keys.is_some() && endpoint.affinity.is_some();
        rows.extend(simulate(&endpoint.name, None, endpoint.traffic(), endpoint.shadows(), points(0), by_key));
        for (n, cohort) in endpoint.cohorts.iter().enumerate() {
            let points = points(n as u64 + 1);
            rows.extend(simulate(
                &endpoint.name,
                Some(&cohort.name),
                cohort.traffic(),
                cohort.shadows(),
                points,
                by_key,
            ));
        }
    }
    if arguments.json {
        say!("{:#}", Value::from_iter(rows.iter().map(as_json)));
        return Ok(());
    }
    let mut table =
        Table::new(["endpoint", "cohort", "", "backend", "expected", "simulated", "", "count", "bounds", ""]);
    for row in &rows {
        let is_within = (row.bounds.0..=row.bounds.1).contains(&row.count);
        let part = row.part();
        table.row([
            row.endpoint.clone(),
            row.cohort.clone().unwrap_or_default(),
            row.what.to_owned(),
            row.backend.clone(),
            percent(row.expected),
            percent(part),
            bar(part),
            row.count.to_string(),
            format!("{} to {}", row.bounds.0, row.bounds.1),
            if is_within { String::new() } else { "outside".to_owned() },
        ]);
    }
    table.right([4, 5, 7, 8]);
    say!("{}", table);
    let of = rows.first().map_or(0, |row| row.of);
    say!(
        "{} requests for each endpoint and cohort. By chance, one count in {:.0} is outside its bounds.",
        of,
        1.0 / FALSE_ALARM
    );
    Ok(())
}

/// Reads shard keys from a file that has one in each line.
///
/// # Errors
/// [`Error::Unreadable`] if it can't be read, [`Error::Wrong`] if it has no key.
pub fn read_keys(path: &Path) -> Result<Vec<Vec<u8>>, Error> {
    let bytes = std::fs::read(path).map_err(|error| Error::cannot_read(path, &error))?;
    let lines = bytes.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let keys: Vec<_> = lines.filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect();
    if keys.is_empty() {
        return Err(Error::Wrong(format!("{} has no key: write one in each line", path.display())));
    }
    Ok(keys)
}

/// The points and draws of the requests. Without affinity, the point of a request with a key is
/// drawn, too.
fn points(arguments: &Arguments, endpoint: &Endpoint, keys: Option<&[Vec<u8>]>, stream: u64) -> Vec<(u64, u64)> {
    // SplitMix64: mixes a counter that advances by the golden ratio.
    let start = mix(arguments.seed ^ policy::placement::fnv1a(endpoint.name.as_bytes())).wrapping_add(mix(stream));
    let draw = |n: u64| mix(start.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    match (keys, &endpoint.affinity) {
        (Some(keys), Some(affinity)) => {
            let salt = affinity.salt();
            keys.iter().zip(0..).map(|(key, n)| (salt.point(key), draw(n))).collect()
        }
        (Some(keys), None) => (0..keys.len() as u64).map(|n| (draw(n), draw(n))).collect(),
        (None, _) => (0..arguments.requests).map(|n| (draw(n), draw(n))).collect(),
    }
}

fn simulate<'a>(
    endpoint: &str,
    cohort: Option<&str>,
    traffic: &Traffic,
    shadows: impl Iterator<Item = &'a Shadow>,
    points: Vec<(u64, u64)>,
    by_key: bool,
) -> Vec<Row> {
    let of = points.len() as u64;
    let row = |what, backend: &str, expected, count| Row {
        endpoint: endpoint.to_owned(),
        cohort: cohort.map(str::to_owned),
        what,
        backend: backend.to_owned(),
        expected,
        count,
        of,
        bounds: bounds(of, expected),
    };
    let mut served: BTreeMap<&str, u64> = BTreeMap::new();
    for (point, _) in &points {
        *served.entry(&traffic.choose(*point).name).or_default() += 1;
    }
    let count = |name: &str| served.get(name).copied().unwrap_or_default();
    let mut rows: Vec<_> =
        traffic.shares().map(|(backend, share)| row("serves", &backend.name, share, count(&backend.name))).collect();
    for shadow in shadows {
        let is_for = |name: &str| shadow.only_from().is_none_or(|names| names.iter().any(|known| known == name));
        let share: f64 = traffic.shares().filter(|(backend, _)| is_for(&backend.name)).map(|(_, share)| share).sum();
        let copied = points.iter().filter(|(point, draw)| {
            let draw = if by_key && shadow.is_by_key() { *point } else { *draw };
            shadow.draws(draw) && is_for(&traffic.choose(*point).name)
        });
        rows.push(row("copies", &shadow.entry.backend.name, shadow.fraction() * share.min(1.0), copied.count() as u64));
    }
    rows
}

/// The bounds of the count of `n` requests with the chance `p`.
fn bounds(n: u64, p: f64) -> (u64, u64) {
    match Binomial::new(p, n) {
        Ok(counts) if 0.0 < p && p < 1.0 => {
            (counts.inverse_cdf(FALSE_ALARM / 2.0), counts.inverse_cdf(1.0 - FALSE_ALARM / 2.0))
        }
        _ if p > 0.0 => (n, n),
        _ => (0, 0),
    }
}

impl Row {
    /// The part of the requests.
    fn part(&self) -> f64 {
        self.count as f64 / self.of.max(1) as f64
    }
}

fn as_json(row: &Row) -> Value {
    json!({
        "endpoint": row.endpoint,
        "cohort": row.cohort,
        "what": row.what,
        "backend": row.backend,
        "expected": row.expected,
        "simulated": row.part(),
        "count": row.count,
        "requests": row.of,
        "bounds": [row.bounds.0, row.bounds.1],
    })
}
