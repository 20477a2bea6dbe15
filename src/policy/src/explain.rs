//! Why a decision is what it is, step by step: for operators, not for the request path.

use std::sync::Arc;

use crate::decision::Reason;
use crate::matching::{AllOf, Match, Rule};
use crate::policy::{Cohort, Endpoint, Policy};
use crate::request::Request;
use crate::shadow::{self, Shadow, Skip};
use crate::source::{Source, source_ip};
use crate::traffic::Backend;

/// The steps of a decision, as [`Policy::decide`] takes them.
#[derive(Debug, PartialEq)]
pub struct Explanation<'policy> {
    /// The endpoints that were tried, in order. The last of them matched if any did.
    pub endpoints: Vec<Trial>,
    /// What matched.
    pub endpoint: Option<&'policy Endpoint>,
    /// The cohorts of that endpoint that were tried, in order. The last of them matched if any did.
    pub cohorts: Vec<Trial>,
    /// What matched; `None` for a request that is in no cohort.
    pub cohort: Option<&'policy Cohort>,
    /// The sources that were asked for a shard key, in order. The last of them had one if any did.
    pub keys: Vec<KeyTried>,
    /// Where the key falls on the 64-bit scale; `None` without a key.
    pub point: Option<u64>,
    /// What decides among the backends.
    pub reason: Reason,
    /// The backends that can be chosen, by name.
    pub backends: Vec<Standing<'policy>>,
    /// The shadows, with their chance to get a copy.
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

/// One rule, and what it found.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// The rule, in words.
    pub rule: String,
    /// The values of the request that it looked at; not UTF-8 is replaced. Empty: there is none.
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
    /// Which.
    pub backend: &'policy Arc<Backend>,
    /// Its share of the traffic, above 0 up to 1.
    pub share: f64,
    /// Its score for the request's key, the lowest of which serves; `None` without a key.
    pub score: Option<f64>,
    /// The chance that it serves the request: 0 or 1 with a key.
    pub chance: f64,
}

/// A shadow, and its chance to get a copy of the request.
#[derive(Debug, PartialEq)]
pub struct Chance<'policy> {
    /// Which.
    pub shadow: &'policy Shadow,
    /// What decides about the copy.
    pub copied: Copied,
    /// The chance, 0 to 1, wherever the request is served.
    pub chance: f64,
}

/// What decides whether a shadow gets a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Copied {
    /// The request's draw.
    ByRequest,
    /// The shard key.
    ByKey,
    /// Nothing: what the shadow draws is skipped for this reason.
    Never(Skip),
}

impl Trial {
    /// Whether one of the matches holds.
    pub fn holds(&self) -> bool {
        self.alternatives.iter().any(|checks| checks.iter().all(|check| check.holds))
    }

    fn new(name: &str, matching: &Match, request: &impl Request) -> Self {
        let check =
            |rule: &Rule| Check { rule: rule.to_string(), found: found(rule, request), holds: rule.matches(request) };
        let alternatives = matching.0.iter().map(|AllOf(rules)| rules.iter().map(check).collect()).collect();
        Self { name: name.to_owned(), alternatives }
    }
}

impl Policy {
    /// Explains what [`Policy::decide`] makes of `request`. What its draw decides is given as a chance.
    pub fn explain(&self, request: &impl Request) -> Explanation<'_> {
        let mut explanation = Explanation {
            endpoints: Vec::new(),
            endpoint: None,
            cohorts: Vec::new(),
            cohort: None,
            keys: Vec::new(),
            point: None,
            reason: Reason::Random,
            backends: Vec::new(),
            shadows: Vec::new(),
        };
        for endpoint in &self.endpoints {
            let trial = Trial::new(&endpoint.name, &endpoint.matching, request);
            let holds = trial.holds();
            explanation.endpoints.push(trial);
            if holds {
                explanation.within(endpoint, request);
                break;
            }
        }
        explanation
    }
}

impl<'policy> Explanation<'policy> {
    fn within(&mut self, endpoint: &'policy Endpoint, request: &impl Request) {
        self.endpoint = Some(endpoint);
        for cohort in &endpoint.cohorts {
            let trial = Trial::new(&cohort.name, &cohort.matching, request);
            let holds = trial.holds();
            self.cohorts.push(trial);
            if holds {
                self.cohort = Some(cohort);
                break;
            }
        }
        self.find_key(endpoint, request);
        let plan = self.cohort.map_or(&endpoint.plan, |cohort| &cohort.plan);
        let chosen = self.point.map(|point| plan.traffic.choose(point));
        let scores = self.point.map(|point| plan.traffic.scores(point).map(|(_, score)| score).collect::<Vec<_>>());
        for (n, (backend, share)) in plan.traffic.shares().enumerate() {
            let score = scores.as_ref().and_then(|scores| scores.get(n).copied());
            let chance = chosen.map_or(share, |chosen| f64::from(u8::from(chosen.name == backend.name)));
            self.backends.push(Standing { backend, share, score, chance });
        }
        for shadow in &plan.shadows {
            let chance = self.chance(shadow, request);
            self.shadows.push(chance);
        }
    }

    fn find_key(&mut self, endpoint: &Endpoint, request: &impl Request) {
        let Some(affinity) = &endpoint.affinity else { return };
        for source in affinity.keys() {
            let mut key = None;
            source.any(request, |value| {
                key = (!value.is_empty()).then(|| value.to_vec());
                key.is_some()
            });
            let is_found = key.is_some();
            self.keys.push(KeyTried { source: source.to_string(), key });
            if is_found {
                break;
            }
        }
        self.point = affinity.point(request);
        self.reason = match self.point {
            Some(_) => Reason::Key,
            None if affinity.generated_cookie().is_some() => Reason::Generated,
            None => Reason::Random,
        };
    }

    fn chance(&self, shadow: &'policy Shadow, request: &impl Request) -> Chance<'policy> {
        let served_for_it: f64 = self
            .backends
            .iter()
            .filter(|standing| shadow.is_for(standing.backend))
            .map(|standing| standing.chance)
            .sum();
        let skip = shadow::why_never(request).or_else(|| (!shadow.takes_method(request)).then_some(Skip::Method));
        let (copied, chance) = match (skip, self.point) {
            (Some(skip), _) => (Copied::Never(skip), 0.0),
            (None, Some(point)) if shadow.is_by_key() => (Copied::ByKey, f64::from(u8::from(shadow.draws(point)))),
            (None, _) => (Copied::ByRequest, shadow.fraction()),
        };
        // Rounding may take a sum of shares past 1.
        Chance { shadow, copied, chance: chance * served_for_it.min(1.0) }
    }
}

/// The values of `request` that `rule` looks at.
fn found(rule: &Rule, request: &impl Request) -> Vec<String> {
    let lossy = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let one = |value: Option<&[u8]>| value.map(lossy).into_iter().collect();
    match rule {
        Rule::Path(_) => one(request.path_only()),
        Rule::Methods(_) => one(request.method()),
        Rule::Hosts(_) => one(request.header(":authority").next()),
        Rule::SourceIp(_) => source_ip(request).map(|ip| ip.to_string()).into_iter().collect(),
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
