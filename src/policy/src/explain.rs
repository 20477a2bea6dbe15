//! Explains a decision to operators, step by step. Not for the request path.

use std::sync::Arc;

use crate::decision::{Located, Reason};
use crate::matching::{AllOf, Match, Rule, Tried};
use crate::names::{CohortName, EndpointName};
use crate::policy::{Cohort, Endpoint, Policy};
use crate::request::Request;
use crate::shadow::{self, Shadow, Skip};
use crate::source::Source;
use crate::traffic::Backend;
use crate::witness::Witness;

/// The steps of a decision, as [`Policy::decide`] takes them.
#[derive(Debug, PartialEq)]
pub struct Explanation<'policy> {
    /// The endpoints that were tried, in order. The last of them matched if any did.
    pub endpoints: Vec<Trial>,
    /// The endpoint that matched.
    pub endpoint: Option<&'policy Endpoint>,
    /// The cohorts of that endpoint that were tried, in order. The last of them matched if any did.
    pub cohorts: Vec<Trial>,
    /// The cohort that matched; `None` for a request in no cohort.
    pub cohort: Option<&'policy Cohort>,
    /// The sources that were asked for a shard key, in order. The last of them had the key, if any
    /// did.
    pub keys: Vec<KeyTried>,
    /// The point of the key on the 64-bit scale; `None` without a key.
    pub point: Option<u64>,
    /// How a backend is chosen.
    pub reason: Reason,
    /// The backends that can be chosen, by name.
    pub backends: Vec<Standing<'policy>>,
    /// The shadows, with their chances to get a copy.
    pub shadows: Vec<Chance<'policy>>,
}

/// An endpoint or a cohort that was tried.
#[derive(Debug, PartialEq, Eq)]
pub struct Trial {
    /// Its name.
    pub name: String,
    /// The rules of each of its matches, one of which must hold whole.
    pub alternatives: Vec<Vec<Check>>,
}

/// One rule, and the values that it found.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// The rule, in words.
    pub rule: String,
    /// The values of the request that it looked at; bytes that are not UTF-8 are replaced. Empty if
    /// there is none.
    pub found: Vec<String>,
    /// Whether it holds.
    pub holds: bool,
}

/// A source that was asked for a shard key.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyTried {
    /// The source, in words.
    pub source: String,
    /// The key, if it had one.
    pub key: Option<Vec<u8>>,
}

/// A backend that can be chosen.
#[derive(Debug, PartialEq)]
pub struct Standing<'policy> {
    /// The backend.
    pub backend: &'policy Arc<Backend>,
    /// Its share of the traffic, above 0 up to 1.
    pub share: f64,
    /// Its score for the request's key; the lowest score serves. `None` without a key.
    pub score: Option<f64>,
    /// The chance that it serves the request: 0 or 1 with a key.
    pub chance: f64,
}

/// A shadow, and its chance to get a copy of the request.
#[derive(Debug, PartialEq)]
pub struct Chance<'policy> {
    /// The shadow.
    pub shadow: &'policy Shadow,
    /// How the copy is drawn.
    pub copied: Copied,
    /// The chance, 0 to 1, over all backends that may serve the request.
    pub chance: f64,
}

/// How a shadow decides on a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The request's draw.
    ByRequest,
    /// The shard key.
    ByKey,
    /// Nothing: the shadow skips the request for this reason, even if it draws it.
    Never(Skip),
}

impl Trial {
    /// Whether one of the matches holds.
    pub fn holds(&self) -> bool {
        self.alternatives.iter().any(|checks| checks.iter().all(|check| check.holds))
    }

    fn new(name: &str, matching: &Match, request: &Tried<'_, impl Request>) -> Self {
        let check =
            |rule: &Rule| Check { rule: rule.to_string(), found: found(rule, request), holds: rule.matches(request) };
        let alternatives = matching.0.iter().map(|AllOf(rules)| rules.iter().map(check).collect()).collect();
        Self { name: name.to_owned(), alternatives }
    }
}

impl Policy {
    /// Explains the decision of [`Policy::decide`] about `request`. Where its draw decides, there
    /// is a chance instead.
    pub fn explain(&self, request: &impl Request) -> Explanation<'_> {
        let request = &Tried::new(request, self.conditions.as_ref());
        let mut steps = Steps::default();
        let located = self.locate(request, &mut steps);
        let (backends, shadows) = match &located {
            Some(located) => {
                let backends = standings(located);
                let shadows = located.plan.shadows.iter().map(|shadow| chance(shadow, located, &backends, request));
                let shadows = shadows.collect();
                (backends, shadows)
            }
            None => (Vec::new(), Vec::new()),
        };
        Explanation {
            endpoints: steps.endpoints,
            endpoint: located.as_ref().map(|located| located.endpoint),
            cohorts: steps.cohorts,
            cohort: located.as_ref().and_then(|located| located.cohort),
            keys: steps.keys,
            point: located.as_ref().and_then(|located| located.key_point),
            reason: located.as_ref().map_or(Reason::Random, |located| reason(located, request)),
            backends,
            shadows,
        }
    }
}

/// The steps that a decision takes.
#[derive(Default)]
struct Steps {
    endpoints: Vec<Trial>,
    cohorts: Vec<Trial>,
    keys: Vec<KeyTried>,
}

impl Witness for Steps {
    fn endpoint(&mut self, name: &EndpointName, matching: &Match, request: &Tried<'_, impl Request>) {
        self.endpoints.push(Trial::new(name, matching, request));
    }

    fn cohort(&mut self, name: &CohortName, matching: &Match, request: &Tried<'_, impl Request>) {
        self.cohorts.push(Trial::new(name, matching, request));
    }

    fn source(&mut self, source: &Source, key: Option<&[u8]>) {
        self.keys.push(KeyTried { source: source.to_string(), key: key.map(<[u8]>::to_vec) });
    }
}

fn reason(located: &Located<'_>, request: &Tried<'_, impl Request>) -> Reason {
    match (located.key_point, &located.endpoint.affinity) {
        (Some(_), _) => Reason::Key,
        (None, Some(affinity)) if affinity.generates(request) => Reason::Generated,
        (None, _) => Reason::Random,
    }
}

fn standings<'policy>(located: &Located<'policy>) -> Vec<Standing<'policy>> {
    let (traffic, point) = (&located.plan.traffic, located.key_point);
    let chosen = point.map(|point| traffic.choose(point));
    let mut scores = point.map(|point| traffic.scores(point));
    let standing = |(backend, share): (&'policy Arc<Backend>, f64)| {
        let score = scores.as_mut().and_then(|scores| scores.next()).map(|(_, score)| score);
        let chance = chosen.map_or(share, |chosen| f64::from(u8::from(chosen.name == backend.name)));
        Standing { backend, share, score, chance }
    };
    traffic.shares().map(standing).collect()
}

fn chance<'policy>(
    shadow: &'policy Shadow,
    located: &Located<'_>,
    backends: &[Standing<'_>],
    request: &impl Request,
) -> Chance<'policy> {
    let copied_from = backends.iter().filter(|standing| shadow.is_for(standing.backend));
    let chance_of_those: f64 = copied_from.map(|standing| standing.chance).sum();
    let skip = shadow::why_never(request).or_else(|| (!shadow.takes_method(request)).then_some(Skip::Method));
    let (copied, chance) = match (skip, located.key_point) {
        (Some(skip), _) => (Copied::Never(skip), 0.0),
        (None, Some(point)) if shadow.is_by_key() => (Copied::ByKey, f64::from(u8::from(shadow.draws(point)))),
        (None, _) => (Copied::ByRequest, shadow.fraction()),
    };
    // Rounding may take a sum of shares past 1.
    Chance { shadow, copied, chance: chance * chance_of_those.min(1.0) }
}

/// The values of `request` that `rule` looks at.
fn found(rule: &Rule, request: &Tried<'_, impl Request>) -> Vec<String> {
    let lossy = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let one = |value: Option<&[u8]>| value.map(lossy).into_iter().collect();
    match rule {
        Rule::Path(_) => one(request.path_only()),
        Rule::Methods(_) => one(request.method()),
        Rule::Hosts(_) => one(request.header(":authority").next()),
        Rule::SourceIp(_) => request.source_ip().map(|ip| ip.to_string()).into_iter().collect(),
        Rule::Value { source, .. } => all(source, request).iter().map(|value| lossy(value)).collect(),
    }
}

fn all(source: &Source, request: &impl Request) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    source.any(request, |value| {
        values.push(value.to_vec());
        false
    });
    values
}
