//! Traffic: shares, checked, and the backends that they name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{BackendConfig, Share};
use crate::decimal::decimal;
use crate::finding::{Errors, Fault, Kind};
use crate::limits::SUM_TOLERANCE;
use crate::named::Named;
use crate::place::At;
use crate::traffic::{Backend, Traffic};

/// Every backend of a policy once, however many places name it.
pub(super) struct Backends<'a> {
    listed: &'a Named<BackendConfig>,
    known: BTreeMap<String, Arc<Backend>>,
}

impl<'a> Backends<'a> {
    pub(super) fn new(listed: &'a Named<BackendConfig>) -> Self {
        Self { listed, known: BTreeMap::new() }
    }

    /// The backend of this name.
    pub(super) fn backend(&mut self, name: &str) -> Result<Arc<Backend>, Fault> {
        if let Some(backend) = self.known.get(name) {
            return Ok(Arc::clone(backend));
        }
        let mut backend: Backend = name.parse()?;
        if let Some(listed) = self.listed.get(name) {
            // A wrong cluster or variant has been reported where it stands.
            let (cluster, variant) = (listed.cluster.as_deref(), listed.variant.as_deref());
            backend.cluster = cluster.and_then(|cluster| cluster.parse().ok()).unwrap_or(backend.cluster);
            backend.variant = variant.and_then(|variant| variant.parse().ok()).unwrap_or(backend.variant);
        }
        let backend = Arc::new(backend);
        self.known.insert(name.to_owned(), Arc::clone(&backend));
        Ok(backend)
    }

    /// The traffic of these shares.
    pub(super) fn traffic(&mut self, at: &At<'_>, shares: &Named<Share>, errors: &mut Errors) -> Option<Traffic> {
        let before = errors.count();
        if shares.is_empty() {
            errors.refuse(at, "there is no backend", "name at least one, as in {\"model-v1\": 1}");
        }
        let mut backends = Vec::new();
        for (name, Share(share)) in shares.iter() {
            let at = at.member(name);
            backends.extend(errors.accept(&at, self.backend(name)).map(|backend| (backend, *share)));
            if *share < 0.0 {
                let problem = format!("a share of {} is below 0", decimal(*share));
                errors.refuse(&at, problem, "shares run from 0 to 1");
            }
        }
        let order = by_variant(at, &backends, errors);
        if errors.count() > before {
            return None;
        }
        let sum: f64 = shares.iter().map(|(_, share)| share.0).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE && (sum / 100.0 - 1.0).abs() > SUM_TOLERANCE {
            let problem = format!("the shares add up to {}", decimal(sum));
            errors.refuse(at, problem, "make them add up to 1 (or to 100, as percentages)");
            return None;
        }
        Traffic::new(order.into_iter().filter_map(|n| backends.get(n).cloned()))
    }
}

/// The numbers of the backends, sorted by variant. Two with the same variant are refused: what is
/// drawn for the one would not be independent of what is drawn for the other.
fn by_variant(at: &At<'_>, backends: &[(Arc<Backend>, f64)], errors: &mut Errors) -> Vec<usize> {
    let mut sorted: Vec<(&str, usize)> = backends.iter().map(|(backend, _)| &*backend.variant).zip(0..).collect();
    sorted.sort_unstable();
    for [(variant, first), (next, second)] in sorted.array_windows() {
        if variant == next
            && let (Some((first, _)), Some((second, _))) = (backends.get(*first), backends.get(*second))
        {
            let problem = format!("{:?} has the variant {variant:?}, and so has {:?}", second.name, first.name);
            let fault = Fault::new(problem, "give each a variant of its own under `backends`");
            errors.add(&at.member(&second.name), fault.of(Kind::Duplicate));
        }
    }
    sorted.into_iter().map(|(_, n)| n).collect()
}
