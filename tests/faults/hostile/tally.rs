//! Counts of hostile requests and of their outcomes.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// The outcomes of the whole corpus.
#[derive(Default)]
pub(super) struct Tally {
    pub(super) sent: u64,
    /// How many requests the filter decided about.
    ///
    /// Some connections carry many requests. Most carry none that Envoy accepts.
    pub(super) decided: u64,
    /// How many requests a backend got and understood.
    pub(super) arrived: u64,
    outcomes: BTreeMap<String, u64>,
    pub(super) by_rule: BTreeMap<String, OfRule>,
}

/// The outcomes of one case.
#[derive(Debug, Default)]
pub(super) struct OfRule {
    pub(super) sent: u64,
    pub(super) decided: u64,
    pub(super) arrived: u64,
    /// The time of its slowest group.
    pub(super) slowest: Duration,
}

impl Tally {
    pub(super) fn add(&mut self, rule: &str, outcomes: Vec<String>, time: Duration, decided: u64, arrived: u64) {
        let of_rule = self.by_rule.entry(rule.to_owned()).or_default();
        of_rule.sent += outcomes.len() as u64;
        of_rule.decided += decided;
        of_rule.arrived += arrived;
        of_rule.slowest = of_rule.slowest.max(time);
        self.sent += outcomes.len() as u64;
        self.decided += decided;
        self.arrived += arrived;
        for outcome in outcomes {
            *self.outcomes.entry(outcome).or_default() += 1;
        }
    }

    /// How many requests Envoy answered with a client error, or by closing the stream or
    /// connection.
    pub(super) fn refused(&self) -> u64 {
        let is_refusal =
            |outcome: &str| outcome.starts_with('4') || ["closed", "RST_STREAM", "GOAWAY"].contains(&outcome);
        self.outcomes.iter().filter(|(outcome, _)| is_refusal(outcome)).map(|(_, count)| count).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { sent, decided, arrived, outcomes, by_rule } = self;
        for (rule, of_rule) in by_rule {
            writeln!(f, "{rule}: {of_rule:?}")?;
        }
        write!(f, "{sent} sent, {decided} decided about, {arrived} arrived, {} refused: {outcomes:?}", self.refused())
    }
}
