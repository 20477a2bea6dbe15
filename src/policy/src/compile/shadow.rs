//! Shadows: their entries, checked, and the shadows that each endpoint and cohort has.

use std::sync::Arc;

use super::callout;
use super::header::own_header;
use super::matching::method_list;
use super::traffic::Backends;
use crate::config::{Fraction, Sample, ShadowConfig, ShadowFields, Via as ViaConfig};
use crate::decimal::decimal;
use crate::finding::{Errors, Fault, Kind};
use crate::ids::{EntryId, ShadowId};
use crate::limits::{MIRROR_HEADER, NAMES_LISTED};
use crate::named::Named;
use crate::names::{BackendName, CohortName, EndpointName, HeaderName};
use crate::place::At;
use crate::shadow::{Entry, Filter, Shadow, Via};

/// The entries of a `shadow` object, by backend; `None` for one that is switched off.
pub(super) type Entries = Named<Option<Arc<Entry>>>;

/// The header that steers an entry's mirror.
fn steering(entry: &Entry) -> Option<&HeaderName> {
    match &entry.via {
        Via::Callout(_) => None,
        Via::Mirror(header) => Some(header),
    }
}

/// Numbers the shadows of a policy and their entries.
pub(super) struct Shadows<'a> {
    routing_header: Option<&'a HeaderName>,
    entries: usize,
    shadows: usize,
}

impl<'a> Shadows<'a> {
    pub(super) fn new(routing_header: Option<&'a HeaderName>) -> Self {
        Self { routing_header, entries: 0, shadows: 0 }
    }

    /// The entries of `config`. `serving` are the backends that may serve the requests.
    pub(super) fn entries(
        &mut self,
        at: &At<'_>,
        config: &Named<ShadowConfig>,
        serving: &[&str],
        backends: &mut Backends<'_>,
        errors: &mut Errors,
    ) -> Entries {
        let mut entries = Entries::default();
        for (name, ShadowConfig(fields)) in config.iter() {
            let at = at.member(name);
            let backend = errors.accept(&at, backends.backend(name));
            let Fraction(fraction) = fields.fraction;
            if !(0.0..=1.0).contains(&fraction) {
                let problem = format!("a fraction of {} is not between 0 and 1", decimal(fraction));
                errors.refuse(&at, problem, remedy(fraction));
            }
            let filter = filter(&at, fields, serving, errors);
            let via = match fields.via {
                ViaConfig::Callout => callout::callout(&at, fields, errors).map(Via::Callout),
                ViaConfig::Mirror => self.mirror(&at, fields, errors).map(Via::Mirror),
            };
            let entry = match (backend, via) {
                (Some(backend), Some(via)) if fraction > 0.0 => {
                    let id = EntryId::from(self.entries);
                    self.entries += 1;
                    Some(Arc::new(Entry::new(id, backend, fraction, filter, via)))
                }
                _ => None,
            };
            entries.insert(name.to_owned(), entry);
        }
        entries
    }

    /// The entries that are in force for a cohort, or for the requests in none: its own override
    /// those that it inherits.
    pub(super) fn effective(
        &self,
        at: &At<'_>,
        own: &Entries,
        inherited: &Entries,
        errors: &mut Errors,
    ) -> Vec<Arc<Entry>> {
        let mut entries: Vec<Arc<Entry>> = Vec::new();
        // Inherited entries in their order, and then those that only the cohort has.
        let only_own = own.names().filter(|name| inherited.get(name).is_none());
        for name in inherited.names().chain(only_own) {
            if let Some(Some(entry)) = own.get(name).or_else(|| inherited.get(name)) {
                entries.push(Arc::clone(entry));
            }
        }
        check_mirror_headers(at, &entries, errors);
        entries
    }

    /// The shadows of these entries for a cohort, or for the requests in none.
    pub(super) fn number(
        &mut self,
        entries: &[Arc<Entry>],
        endpoint: &EndpointName,
        cohort: Option<&CohortName>,
    ) -> Vec<Arc<Shadow>> {
        let mut shadow = |entry: &Arc<Entry>| {
            let id = ShadowId::from(self.shadows);
            self.shadows += 1;
            Arc::new(entry.shadow(id, endpoint, cohort))
        };
        entries.iter().map(&mut shadow).collect()
    }

    /// The header that steers the mirror. Envoy makes the copy: options that change the filter's
    /// own copies are refused.
    fn mirror(&self, at: &At<'_>, fields: &ShadowFields, errors: &mut Errors) -> Option<HeaderName> {
        for (name, is_present) in [
            ("timeout_ms", fields.timeout_ms.is_some()),
            ("max_body_bytes", fields.max_body_bytes.is_some()),
            ("max_in_flight", fields.max_in_flight.is_some()),
            ("max_per_second", fields.max_per_second.is_some()),
            ("headers", fields.headers.is_some()),
            ("host", fields.host.is_some()),
        ] {
            if is_present {
                let remedy = "remove it, and set it in Envoy: on the route's mirror policy or on the cluster";
                let fault = Fault::new("Envoy makes the copies of a shadow via \"mirror\"", remedy);
                errors.add(&at.member(name), fault.of(Kind::Conflict));
            }
        }
        let at = at.member("mirror_header");
        let header = fields.mirror_header.as_deref().unwrap_or(MIRROR_HEADER);
        let header = errors.accept(&at, own_header(header))?;
        if Some(&header) == self.routing_header {
            let fault = Fault::new(format!("{header:?} is the routing header"), "choose a header of its own");
            errors.add(&at, fault.of(Kind::Conflict));
        }
        Some(header)
    }
}

/// What to write in place of a fraction that is none, which may be a percentage.
fn remedy(fraction: f64) -> String {
    if !(1.0..=100.0).contains(&fraction) {
        return "0 copies no request, 0.5 every other one, 1 all".to_owned();
    }
    format!("{} % is {}", decimal(fraction), decimal(fraction / 100.0))
}

fn filter(at: &At<'_>, fields: &ShadowFields, serving: &[&str], errors: &mut Errors) -> Filter {
    let methods = fields.methods.as_ref().map(|names| method_list(&at.member("methods"), names, errors));
    let only_from = fields.only_from.as_ref().map(|names| only_from(&at.member("only_from"), names, serving, errors));
    Filter { by_key: fields.sample == Sample::Key, methods, only_from }
}

fn only_from(at: &At<'_>, names: &[String], serving: &[&str], errors: &mut Errors) -> Vec<BackendName> {
    if names.is_empty() {
        let problem = "the list is empty: no request would be copied";
        errors.refuse(at, problem, "name a backend of the endpoint's traffic, or remove the field");
    }
    let serving_one = |name: &str| {
        if serving.binary_search(&name).is_ok() {
            return name.parse();
        }
        let (nearest, others) = nearest(name, serving);
        let mut remedy = format!("their traffic names {}", nearest.join(", "));
        if others > 0 {
            remedy.push_str(&format!(" and {others} more"));
        }
        Err(Fault::new(format!("{name:?} serves none of these requests"), remedy).about(name, nearest))
    };
    names.iter().enumerate().filter_map(|(n, name)| errors.accept(&at.element(n), serving_one(name))).collect()
}

/// Those of the sorted names that are next to `name`, and the number of the others.
fn nearest<'a, 'n>(name: &str, sorted: &'a [&'n str]) -> (&'a [&'n str], usize) {
    let at = sorted.partition_point(|other| *other < name);
    let start = at.saturating_sub(NAMES_LISTED / 2).min(sorted.len().saturating_sub(NAMES_LISTED));
    let nearest = sorted.get(start..).unwrap_or_default();
    let nearest = nearest.get(..NAMES_LISTED).unwrap_or(nearest);
    (nearest, sorted.len() - nearest.len())
}

/// One header steers one mirror: two shadows of an endpoint need two headers.
fn check_mirror_headers(at: &At<'_>, entries: &[Arc<Entry>], errors: &mut Errors) {
    let numbered = entries.iter().enumerate();
    let mut mirrors: Vec<(&str, usize)> = numbered.filter_map(|(n, entry)| Some((&**steering(entry)?, n))).collect();
    mirrors.sort_unstable();
    for same in mirrors.chunk_by(|(header, _), (next, _)| header == next) {
        let mut same = same.iter().filter_map(|(header, n)| Some((header, entries.get(*n)?)));
        let Some((header, first)) = same.next() else { continue };
        for (_, entry) in same {
            let problem = format!("{header:?} already steers the mirror of {:?}", first.backend.name);
            let remedy = "give each its own header, and the route a mirror policy for each";
            let at = at.member(&entry.backend.name);
            errors.add(&at.member("mirror_header"), Fault::new(problem, remedy).of(Kind::Conflict));
        }
    }
}
