//! A shadow: a backend that receives copies of an endpoint's requests.

use std::sync::Arc;
use std::time::Duration;

use super::draw::Draw;
use crate::ids::{EntryId, ShadowId};
use crate::matching::is_one_of;
use crate::names::{BackendName, CohortName, EndpointName, HeaderName, Method};
use crate::request::Request;
use crate::traffic::Backend;

/// A backend that receives copies of an endpoint's requests.
#[derive(Debug, PartialEq)]
pub struct Shadow {
    /// The number of the shadow in the policy.
    pub id: ShadowId,
    /// The endpoint whose requests are copied.
    pub endpoint: EndpointName,
    /// The cohort whose requests are copied; `None` for requests in no cohort.
    pub cohort: Option<CohortName>,
    /// Its entry in the policy. A cohort that inherits a shadow from its endpoint shares the entry,
    /// and so its limits.
    pub entry: Arc<Entry>,
}

/// An entry of a `shadow` object.
#[derive(Debug, PartialEq)]
pub struct Entry {
    /// The number of the entry in the policy.
    pub id: EntryId,
    /// The backend that receives the copies.
    pub backend: Arc<Backend>,
    /// How the copies are sent.
    pub via: Via,
    /// The chance of a request to be copied.
    pub draw: Draw,
    /// What it requires of a request.
    pub filter: Filter,
}

/// How the copies of a shadow are sent.
#[derive(Debug, PartialEq)]
pub enum Via {
    /// The filter sends them, and counts their outcomes.
    Callout(Callout),
    /// Envoy's own mirror sends them. This request header steers it. Envoy streams the body, which
    /// may have any size.
    Mirror(HeaderName),
}

/// The limits of a shadow whose copies the filter sends, and its changes to them.
#[derive(Debug, PartialEq)]
pub struct Callout {
    /// The time after which Envoy gives up a copy.
    pub timeout: Duration,
    /// The largest request body that is copied. A larger request is served as usual.
    pub max_body_bytes: usize,
    /// How many copies may wait for their answers, per worker.
    pub max_in_flight: usize,
    /// How many copies are sent per second and worker; `None` for no limit.
    pub max_per_second: Option<f64>,
    /// The authority of the copy; `None` for the request's own.
    pub host: Option<String>,
    /// The headers that the copy lacks.
    pub remove_headers: Vec<HeaderName>,
    /// The headers that the copy has with these values instead of the request's.
    pub set_headers: Vec<(HeaderName, String)>,
}

/// What a shadow requires of a request.
#[derive(Debug, Default, PartialEq)]
pub struct Filter {
    /// Draw for the shard key rather than for the request.
    pub by_key: bool,
    /// The methods that are copied; `None` for any.
    pub methods: Option<Vec<Method>>,
    /// The backends whose requests are copied; `None` for any.
    pub only_from: Option<Vec<BackendName>>,
}

impl Entry {
    /// Copies `fraction` (above 0, at most 1) of the requests to `backend`.
    pub(crate) fn new(id: EntryId, backend: Arc<Backend>, fraction: f64, filter: Filter, via: Via) -> Self {
        let draw = Draw::new(&backend.variant, fraction);
        Self { id, backend, via, draw, filter }
    }

    /// The shadow that copies the requests of a cohort, or of the endpoint's that are in none.
    pub(crate) fn shadow(
        self: &Arc<Self>,
        id: ShadowId,
        endpoint: &EndpointName,
        cohort: Option<&CohortName>,
    ) -> Shadow {
        Shadow { id, endpoint: endpoint.clone(), cohort: cohort.cloned(), entry: Arc::clone(self) }
    }
}

impl Shadow {
    /// The limits and changes of its copies; `None` if Envoy's own mirror sends them.
    pub fn callout(&self) -> Option<&Callout> {
        match &self.entry.via {
            Via::Callout(callout) => Some(callout),
            Via::Mirror(_) => None,
        }
    }

    /// The fraction of the requests that it copies, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.entry.draw.fraction()
    }

    /// Whether it draws for whole shard keys rather than for requests.
    pub fn is_by_key(&self) -> bool {
        self.entry.filter.by_key
    }

    /// The methods that it copies; `None` for any.
    pub fn methods(&self) -> Option<&[Method]> {
        self.entry.filter.methods.as_deref()
    }

    /// The backends whose requests it copies; `None` for any.
    pub fn only_from(&self) -> Option<&[BackendName]> {
        self.entry.filter.only_from.as_deref()
    }

    /// Whether it copies a request with this draw, or a shard key with this point: see
    /// [`Shadow::is_by_key`].
    pub fn draws(&self, draw: u64) -> bool {
        self.entry.draw.takes(draw)
    }

    /// Whether it copies requests that `backend` serves.
    pub(crate) fn is_for(&self, backend: &Backend) -> bool {
        self.entry.filter.only_from.as_ref().is_none_or(|names| names.contains(&backend.name))
    }

    /// Whether it copies requests with the method of `request`.
    pub(crate) fn takes_method(&self, request: &impl Request) -> bool {
        self.entry.filter.methods.as_ref().is_none_or(|methods| is_one_of(methods, request.method()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shadow_shows_its_filter() {
        let shadow = |filter| {
            let backend = Arc::new("b".parse::<Backend>().unwrap());
            let via = Via::Mirror("unused".parse().unwrap());
            let entry = Arc::new(Entry::new(EntryId::default(), backend, 0.25, filter, via));
            entry.shadow(ShadowId::default(), &"e".parse().unwrap(), None)
        };
        let any = shadow(Filter::default());
        assert_eq!((any.fraction(), any.is_by_key(), any.methods(), any.only_from()), (0.25, false, None, None));
        let (methods, only_from) = (["GET".parse().unwrap()], ["v1".parse().unwrap(), "v2".parse().unwrap()]);
        let some =
            shadow(Filter { by_key: true, methods: Some(methods.to_vec()), only_from: Some(only_from.to_vec()) });
        assert_eq!(
            (some.is_by_key(), some.methods(), some.only_from()),
            (true, Some(&methods[..]), Some(&only_from[..]))
        );
    }
}
