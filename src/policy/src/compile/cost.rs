//! The most that one request may cost: a policy under which it costs more is refused.
//!
//! The model adds up everything that a decision may do, each at a price in nanoseconds. The prices
//! are rounded up from measurements of the filter in Envoy (`tests/load/worst.rs` repeats them for
//! the costliest policies that this model accepts). The request is the worst of Envoy's default
//! size, 60 KiB in up to 100 headers.

use fnv::{FnvHashMap, FnvHashSet};

use crate::finding::Errors;
use crate::limits::{MAX_REQUEST_COST_US, REGEX_VALUE_BYTES, REGEX_VALUES};
use crate::matching::{AllOf, Kind, Match, Number, PathRule, Regex, Rule, Text};
use crate::place::At;
use crate::policy::{Endpoint, Plan};
use crate::source::Source;

/// Nanoseconds.
type Price = u64;

/// The bytes of all headers of the worst request.
const BYTES: u64 = 60 << 10;

/// The headers of the worst request.
const HEADERS: u64 = 100;

/// All headers are read, the cookies and the query are taken apart, and the shard key is hashed.
const REQUEST: Price = 1_000_000;
/// A rule is asked that has been answered, or that compares little.
const RULE: Price = 30;
/// An item of a list is compared.
const ITEM: Price = 10;
/// A byte of a pattern is compared, in tenths.
const TENTHS_PER_BYTE: Price = 15;
/// A condition is answered without its values.
const CONDITION: Price = 150;
/// A header is looked for.
const HEADER: Price = 400;
/// A property is read, which is a host call, and is found again.
const PROPERTY: Price = 15_000;
/// A number is written in decimal.
const NUMBER: Price = 60_000;
/// A value is looked at.
const VALUE: Price = 8;
/// A state of a regex is visited.
const STATE: Price = 20;
/// A byte is searched for a short string, or for a long one, in tenths.
const TENTHS_PER_BYTE_SEARCHED: (Price, Price) = (13, 45);
/// All cookies, or all of the query, are searched for one name.
const SEARCH: Price = 450_000;
/// The score of a backend.
const BACKEND: Price = 60;
/// A header that steers a mirror is set or removed, after which Envoy selects the route again.
const MIRROR: Price = 5_000;
/// A shadow copies the request.
const SHADOW: Price = 130_000;

/// Refuses a policy of which one request may cost too much. The conditions have numbers if
/// `are_numbered`; otherwise each is answered wherever it stands. `mirrors` is the number of headers
/// that steer mirrors, each of which every request gets or loses.
pub(super) fn check(endpoints: &[Endpoint], are_numbered: bool, mirrors: usize, errors: &mut Errors) {
    // Endpoints with an error are missing, so that the others have other numbers.
    if errors.count() > 0 {
        return;
    }
    let mut model = Model { are_numbered, paid: Paid::default() };
    let list = At::Root.member("endpoints");
    // What every request pays, then what it pays by its path, and at last for its endpoint.
    let mut all = Largest::default();
    for (n, endpoint) in endpoints.iter().enumerate() {
        all.join(Largest::of(n, model.without_path(&endpoint.matching)));
    }
    let mut by_path = Paths::default();
    for (n, endpoint) in endpoints.iter().enumerate() {
        model.with_path(n, &endpoint.matching, &mut by_path);
    }
    let by_path = by_path.largest();
    // Only one endpoint takes the request.
    let inside = endpoints.iter().enumerate().map(|(n, endpoint)| Largest::of(n, model.inside(endpoint)));
    let own = inside.reduce(|most, own| if own.sum > most.sum { own } else { most }).unwrap_or_default();
    let request = REQUEST + count(mirrors) * MIRROR;
    let total = request.saturating_add(all.sum).saturating_add(by_path.sum).saturating_add(own.sum);
    if total / 1000 <= MAX_REQUEST_COST_US {
        return;
    }
    let largest = [&all, &by_path, &own].into_iter().max_by_key(|part| part.largest);
    let of_one = largest.filter(|part| part.largest > total / 2).and_then(|part| part.of);
    let problem = format!("a request may cost {} ms of CPU time", total.div_ceil(1_000_000));
    let remedy = format!(
        "the limit is {} ms: use fewer or simpler conditions (regexes cost most, then `contains` and properties), and \
         put them after a path",
        MAX_REQUEST_COST_US / 1000
    );
    match of_one {
        Some(n) => errors.refuse(&list.element(n), problem, remedy),
        None => errors.refuse(&list, problem, remedy),
    }
}

/// A sum, and the endpoint that has the largest part of it.
#[derive(Clone, Copy, Default)]
struct Largest {
    sum: Price,
    largest: Price,
    of: Option<usize>,
}

impl Largest {
    /// The price of one endpoint.
    fn of(endpoint: usize, price: Price) -> Self {
        Self { sum: price, largest: price, of: Some(endpoint) }
    }

    fn join(&mut self, other: Self) {
        self.sum = self.sum.saturating_add(other.sum);
        if other.largest > self.largest {
            (self.largest, self.of) = (other.largest, other.of);
        }
    }
}

struct Model {
    are_numbered: bool,
    /// What every request has paid for.
    paid: Paid,
}

/// The conditions and sources that are answered already.
#[derive(Default)]
struct Paid {
    conditions: FnvHashSet<usize>,
    sources: FnvHashSet<usize>,
}

impl Model {
    /// What every request pays for `matching`: all of it, or the comparison of the path.
    fn without_path(&mut self, matching: &Match) -> Price {
        let mut paid = std::mem::take(&mut self.paid);
        let mut sum = RULE;
        for AllOf(rules) in &matching.0 {
            for rule in rules {
                if let Some(gate) = gate(rule) {
                    // A regex reads no further than its fixed start if that differs.
                    let started = if gate.is_regex { (50 + count(gate.path.len())) * STATE } else { 0 };
                    sum += RULE + per_byte(gate.path.len()) + started;
                    break;
                }
                sum = sum.saturating_add(self.rule(rule, &mut paid));
            }
        }
        self.paid = paid;
        sum
    }

    /// Adds what a request pays for `matching` if its path leads past the first path of an
    /// alternative.
    fn with_path<'a>(&self, endpoint: usize, matching: &'a Match, paths: &mut Paths<'a>) {
        for AllOf(rules) in &matching.0 {
            let Some((at, gate)) = rules.iter().enumerate().find_map(|(at, rule)| Some((at, gate(rule)?))) else {
                continue;
            };
            let entry = paths.0.entry(gate.path).or_default();
            let rest = rules.iter().skip(if gate.is_regex { at } else { at + 1 });
            let mut sum = RULE;
            for rule in rest {
                sum = sum.saturating_add(self.rule(rule, &mut entry.paid));
            }
            if gate.is_exact { &mut entry.exact } else { &mut entry.prefix }.join(Largest::of(endpoint, sum));
        }
    }

    /// What a request pays once `endpoint` has taken it.
    fn inside(&self, endpoint: &Endpoint) -> Price {
        let mut paid = Paid::default();
        let mut sum: Price = 0;
        for cohort in &endpoint.cohorts {
            sum = sum.saturating_add(RULE);
            for rule in cohort.matching.0.iter().flat_map(|AllOf(rules)| rules) {
                sum = sum.saturating_add(self.rule(rule, &mut paid));
            }
        }
        for key in endpoint.affinity.iter().flat_map(|affinity| &affinity.keys) {
            let values = most_values(key).saturating_mul(VALUE);
            sum = sum.saturating_add(CONDITION + values).saturating_add(self.source(key));
        }
        sum.saturating_add(endpoint.plans().map(plan).max().unwrap_or(0))
    }

    fn rule(&self, rule: &Rule, paid: &mut Paid) -> Price {
        match rule {
            Rule::Path(PathRule::Prefix(prefix)) => RULE + per_byte(prefix.len()),
            Rule::Path(PathRule::Text(text)) => match text.kind() {
                Kind::Regex(regex) => regex_price(regex, 1),
                _ => RULE + per_byte(text.pattern().len()),
            },
            Rule::Methods(methods) => RULE + methods.iter().map(|method| ITEM + per_byte(method.len())).sum::<Price>(),
            Rule::Hosts(hosts) => RULE + hosts.iter().map(|host| ITEM + per_byte(host.len())).sum::<Price>(),
            Rule::SourceIp(networks) => RULE + count(networks.len()) * ITEM,
            Rule::Value { source, text, number, .. } => {
                RULE.saturating_add(self.condition(source, text, *number, paid))
            }
        }
    }

    fn condition(&self, source: &Source, text: &Text, number: Number, paid: &mut Paid) -> Price {
        if !self.are_numbered {
            return self.source(source).saturating_add(comparison(source, text));
        }
        let mut sum = 0;
        if !self.paid.sources.contains(&number.source) && paid.sources.insert(number.source) {
            sum += self.source(source);
        }
        if !self.paid.conditions.contains(&number.condition) && paid.conditions.insert(number.condition) {
            sum += if text.as_exact().is_some() { CONDITION } else { comparison(source, text) };
        }
        sum
    }

    /// To find the values of `source`.
    fn source(&self, source: &Source) -> Price {
        match source {
            Source::Header(_) => HEADER,
            Source::Cookie(_) | Source::Query(_) if !self.are_numbered => SEARCH,
            Source::Cookie(_) | Source::Query(_) | Source::ClientIp => HEADER,
            Source::Property(property) => {
                let segments = property.path().iter().map(|segment| per_byte(segment.len()));
                PROPERTY + segments.sum::<Price>() + if property.is_number() { NUMBER } else { 0 }
            }
        }
    }
}

/// To compare all values of `source` with `text`.
fn comparison(source: &Source, text: &Text) -> Price {
    let values = most_values(source);
    let pattern = count(text.pattern().len());
    let looked_at = CONDITION + values * VALUE;
    match text.kind() {
        Kind::Present => CONDITION,
        Kind::Exact | Kind::Prefix | Kind::Suffix => looked_at + BYTES.min(values * pattern) * TENTHS_PER_BYTE / 10,
        Kind::Contains => {
            let (short, long) = TENTHS_PER_BYTE_SEARCHED;
            looked_at + BYTES * if text.is_short() { short } else { long } / 10
        }
        Kind::Regex(regex) => looked_at.saturating_add(regex_price(regex, values)),
    }
}

fn regex_price(regex: &Regex, values: u64) -> Price {
    let work = regex.work();
    let read = count(REGEX_VALUE_BYTES) * work.states_per_byte;
    let started = values.min(count(REGEX_VALUES)) * (work.states + 50);
    (read + started) * STATE
}

fn plan(plan: &Plan) -> Price {
    count(plan.traffic.count()) * BACKEND + count(plan.shadows.len()) * SHADOW
}

/// How many values of `source` the worst request has.
fn most_values(source: &Source) -> u64 {
    match source {
        Source::Header(_) => HEADERS,
        Source::Cookie(name) => BYTES / (count(name.len()) + 2),
        Source::Query(name) => BYTES / (count(name.len()) + 1),
        Source::ClientIp | Source::Property(_) => 1,
    }
}

/// The paths past which a rule lets a request.
struct Gate<'a> {
    path: &'a str,
    is_exact: bool,
    is_regex: bool,
}

fn gate(rule: &Rule) -> Option<Gate<'_>> {
    let Rule::Path(rule) = rule else { return None };
    Some(match rule {
        PathRule::Prefix(path) => Gate { path, is_exact: false, is_regex: false },
        PathRule::Text(text) => match text.kind() {
            Kind::Regex(regex) => Gate { path: regex.fixed_start(text.pattern()), is_exact: false, is_regex: true },
            _ => Gate { path: text.pattern(), is_exact: true, is_regex: false },
        },
    })
}

/// What a request pays by its path.
#[derive(Default)]
struct Paths<'a>(FnvHashMap<&'a str, AtPath>);

#[derive(Default)]
struct AtPath {
    /// For all paths that start so.
    prefix: Largest,
    /// For this path.
    exact: Largest,
    paid: Paid,
}

impl Paths<'_> {
    /// The most that one path costs.
    fn largest(self) -> Largest {
        let Self(mut at_path) = self;
        let mut paths: Vec<&str> = at_path.keys().copied().collect();
        paths.sort_unstable();
        let mut most = Largest::default();
        // The paths that the current one starts with, and the sum of their prices.
        let mut starts: Vec<(&str, Largest)> = Vec::new();
        for path in paths {
            let AtPath { prefix, exact, .. } = at_path.remove(path).unwrap_or_default();
            while starts.last().is_some_and(|(start, _)| !path.starts_with(start)) {
                starts.pop();
            }
            let mut sum = starts.last().map(|(_, sum)| *sum).unwrap_or_default();
            sum.join(prefix);
            let mut here = sum;
            here.join(exact);
            if here.sum > most.sum {
                most = here;
            }
            starts.push((path, sum));
        }
        most
    }
}

fn per_byte(bytes: usize) -> Price {
    count(bytes) * TENTHS_PER_BYTE / 10
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
