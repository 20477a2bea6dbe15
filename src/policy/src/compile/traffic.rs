//! Traffic: shares, checked, and the backends that they name.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::{BackendConfig, Share};
use crate::decimal::decimal;
use crate::finding::{Errors, Fault};
use crate::limits::SUM_TOLERANCE;
use crate::named::Named;
use crate::names::{BackendName, ClusterName};
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
        let backend_name: BackendName = name.parse()?;
        // A cluster's wrong name has been reported where it stands.
        let cluster = self.listed.get(name).and_then(|backend| backend.cluster.as_deref()?.parse().ok());
        let cluster: ClusterName = cluster.map_or_else(|| name.parse(), Ok)?;
        let backend = Arc::new(Backend { name: backend_name, cluster });
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
        if errors.count() > before {
            return None;
        }
        let sum: f64 = shares.iter().map(|(_, share)| share.0).sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE && (sum / 100.0 - 1.0).abs() > SUM_TOLERANCE {
            let problem = format!("the shares add up to {}", decimal(sum));
            errors.refuse(at, problem, "make them add up to 1 (or to 100, as percentages)");
            return None;
        }
        Traffic::new(backends)
    }
}
