//! Endpoints and cohorts, checked and made ready.

use std::sync::Arc;

use super::amount::Amounts;
use super::shadow::{Entries, Shadows};
use super::traffic::Backends;
use super::{affinity, matching};
use crate::config::{CohortConfig, EndpointConfig, PolicyConfig, Share};
use crate::finding::{Errors, Fault, Kind};
use crate::ids::ChoiceId;
use crate::matching::{AllOf, Match};
use crate::named::Named;
use crate::names::{CohortName, EndpointName, HeaderName};
use crate::place::At;
use crate::policy::{Cohort, Endpoint, Plan};
use crate::shadow::Shadow;
use crate::traffic::Traffic;

/// The endpoints of `config` that have no error.
pub(super) fn endpoints(
    config: &PolicyConfig,
    routing_header: Option<&HeaderName>,
    errors: &mut Errors,
) -> Vec<Endpoint> {
    let list = At::Root.member("endpoints");
    let mut compiler = Compiler {
        errors,
        backends: Backends::new(&config.backends),
        shadows: Shadows::new(routing_header),
        choices: 0,
        amounts: Amounts::default(),
    };
    let numbered = config.endpoints.iter();
    let endpoints = numbered.filter_map(|(n, endpoint)| compiler.endpoint(&list.element(n), endpoint)).collect();
    check_unique(&list, config.endpoints.iter().map(|(n, endpoint)| (n, endpoint.name.as_str())), errors);
    endpoints
}

/// The state that all endpoints of a policy share while they are compiled.
struct Compiler<'a> {
    errors: &'a mut Errors,
    backends: Backends<'a>,
    shadows: Shadows<'a>,
    /// How many backends can be chosen so far.
    choices: usize,
    amounts: Amounts,
}

impl Compiler<'_> {
    fn endpoint(&mut self, at: &At<'_>, config: &EndpointConfig) -> Option<Endpoint> {
        if !self.amounts.add(at, config, self.errors) {
            return None;
        }
        let name: Option<EndpointName> = self.errors.accept(&at.member("name"), config.name.parse());
        let affinity = affinity::affinity(&at.member("affinity"), &config.name, &config.affinity, self.errors);
        let matching = self.matching(at, config);
        let traffic = self.traffic(at, &config.traffic);
        // A cohort's backends may be named in an entry that the cohort inherits.
        let of_cohorts = config.cohorts.iter().flat_map(|cohort| cohort.traffic.names());
        let mut serving: Vec<&str> = config.traffic.names().chain(of_cohorts).collect();
        serving.sort_unstable();
        serving.dedup();
        let field = at.member("shadow");
        let entries = self.shadows.entries(&field, &config.shadow, &serving, &mut self.backends, self.errors);
        let effective = self.shadows.effective(&field, &Entries::default(), &entries, self.errors);
        let shadows = name.as_ref().map(|name| self.shadows.number(&effective, name, None));
        let list = at.member("cohorts");
        let cohorts = config.cohorts.iter().enumerate();
        let cohorts =
            cohorts.filter_map(|(n, cohort)| self.cohort(&list.element(n), name.as_ref(), cohort, &entries)).collect();
        let names = config.cohorts.iter().map(|cohort| cohort.name.as_str());
        check_unique(&list, names.enumerate(), self.errors);
        Some(Endpoint { name: name?, matching, affinity, plan: self.plan(traffic?, shadows?), cohorts })
    }

    fn cohort(
        &mut self,
        at: &At<'_>,
        endpoint: Option<&EndpointName>,
        config: &CohortConfig,
        inherited: &Entries,
    ) -> Option<Cohort> {
        let name: Option<CohortName> = self.errors.accept(&at.member("name"), config.name.parse());
        let matching = matching::matching(&at.member("match"), &config.matching, &AllOf::default(), self.errors);
        let traffic = self.traffic(at, &config.traffic);
        let serving: Vec<_> = config.traffic.names().collect();
        let field = at.member("shadow");
        let own = self.shadows.entries(&field, &config.shadow, &serving, &mut self.backends, self.errors);
        let effective = self.shadows.effective(&field, &own, inherited, self.errors);
        let shadows = self.shadows.number(&effective, endpoint?, Some(name.as_ref()?));
        Some(Cohort { name: name?, matching, plan: self.plan(traffic?, shadows) })
    }

    fn traffic(&mut self, at: &At<'_>, shares: &Named<Share>) -> Option<Traffic> {
        self.backends.traffic(&at.member("traffic"), shares, self.errors)
    }

    fn plan(&mut self, traffic: Traffic, shadows: Vec<Arc<Shadow>>) -> Plan {
        let first_choice = ChoiceId::from(self.choices);
        self.choices += traffic.count();
        Plan { traffic, first_choice, shadows }
    }

    /// The match of an endpoint: `route`, `methods` and `match` together.
    fn matching(&mut self, at: &At<'_>, config: &EndpointConfig) -> Match {
        let mut shorthand = AllOf::default();
        if let Some(route) = &config.route {
            shorthand.0.extend(matching::prefix(&at.member("route"), route, self.errors));
        }
        if let Some(methods) = &config.methods {
            shorthand.0.push(matching::methods(&at.member("methods"), methods, self.errors));
        }
        match &config.matching {
            Some(config) => matching::matching(&at.member("match"), config, &shorthand, self.errors),
            None => Match(vec![shorthand]),
        }
    }
}

fn check_unique<'a>(list: &At<'_>, names: impl Iterator<Item = (usize, &'a str)>, errors: &mut Errors) {
    let mut sorted: Vec<_> = names.map(|(n, name)| (name, n)).collect();
    sorted.sort_unstable();
    for same in sorted.chunk_by(|(name, _), (next, _)| name == next) {
        let Some(((name, first), others)) = same.split_first() else { continue };
        for (_, other) in others {
            let problem = format!("{name:?} is also the name of {}", list.element(*first).place());
            let fault = Fault::new(problem, "give each a name of its own").of(Kind::Duplicate);
            errors.add(&list.element(*other).member("name"), fault);
        }
    }
}
