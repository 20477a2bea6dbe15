//! Shadow traffic: which requests are copied, what a copy bears, and what became of it.

mod copy;
mod limit;
mod outcome;

use std::sync::Arc;
use std::time::Duration;

pub use copy::Original;
pub use limit::RateLimit;
pub use outcome::{Outcome, Skip};

use crate::matching::is_one_of;
use crate::placement::{fnv1a, mix, unit};
use crate::request::Request;
use crate::traffic::Backend;

/// The header that marks a copy; its value is the shadow's backend. A request that bears it is never copied.
pub const MARKER: &str = "x-traffic-shadow";

/// A backend that gets copies of an endpoint's requests.
#[derive(Debug, PartialEq)]
pub struct Shadow {
    /// The number of the shadow: all shadows of a policy are numbered from 0.
    pub id: usize,
    /// The entry of the policy that it stands for: a cohort's shadow that is inherited from the endpoint shares its
    /// limits. Entries are numbered from 0, too.
    pub entry: usize,
    /// The endpoint whose requests are copied.
    pub endpoint: Arc<str>,
    /// The cohort whose requests are copied; `None` for requests in no cohort.
    pub cohort: Option<Arc<str>>,
    /// Who gets the copies.
    pub backend: Arc<Backend>,
    /// How they are sent.
    pub via: Arc<Via>,
    draw: Draw,
    filter: Arc<Filter>,
}

/// The chance of a request to be copied: independent of where it is served and of every other shadow.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Draw {
    fraction: f64,
    hash: u64,
}

/// How a shadow's copies are sent.
#[derive(Debug, PartialEq)]
pub enum Via {
    /// By the filter. Outcomes are counted.
    Callout(Callout),
    /// By Envoy's own mirror, which this request header steers. Envoy streams the body itself, of any size.
    Mirror(String),
}

/// The bounds of a shadow whose copies the filter sends, and what it changes in them.
#[derive(Debug, PartialEq)]
pub struct Callout {
    /// How long a copy may take before Envoy gives it up.
    pub timeout: Duration,
    /// The largest request body that is copied. A larger request is served as always.
    pub max_body_bytes: usize,
    /// How many copies may wait for their answer, for each worker.
    pub max_in_flight: usize,
    /// How many copies are sent a second, for each worker; `None` for any number.
    pub max_per_second: Option<f64>,
    /// The authority of the copy; `None` for the request's own.
    pub host: Option<String>,
    /// Headers that the copy doesn't bear.
    pub remove_headers: Vec<String>,
    /// Headers that the copy bears with these values, instead of the request's.
    pub set_headers: Vec<(String, String)>,
}

/// What a shadow asks of a request before it draws.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Filter {
    /// Draw for the shard key rather than for the request.
    pub(crate) by_key: bool,
    /// `None` for any.
    pub(crate) methods: Option<Vec<String>>,
    /// The backends whose requests are copied; `None` for any.
    pub(crate) only_from: Option<Vec<String>>,
}

/// The shadows that get a copy of a request, and those that would have.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Drawn {
    pub(crate) shadows: Vec<Arc<Shadow>>,
    pub(crate) skipped: Vec<(Arc<Shadow>, Skip)>,
}

/// A request that is being decided about.
pub(crate) struct Candidate<'a> {
    pub(crate) backend: &'a Backend,
    pub(crate) draw: u64,
    pub(crate) key_point: Option<u64>,
}

impl Draw {
    /// Copies `fraction` (0 to 1) to the backend of this name.
    pub fn new(backend: &str, fraction: f64) -> Self {
        Self { fraction, hash: fnv1a(format!("shadow\0{backend}").as_bytes()) }
    }

    /// Whether a request with this draw, or a shard key with this point, is copied.
    pub fn takes(self, draw: u64) -> bool {
        self.fraction >= 1.0 || unit(mix(draw ^ self.hash)) < self.fraction
    }
}

impl Shadow {
    /// A shadow of an endpoint's requests that are in no cohort.
    pub(crate) fn new(
        entry: usize,
        endpoint: Arc<str>,
        backend: Arc<Backend>,
        fraction: f64,
        filter: Filter,
        via: Via,
    ) -> Self {
        let draw = Draw::new(&backend.name, fraction);
        Self { id: 0, entry, endpoint, cohort: None, backend, via: Arc::new(via), draw, filter: Arc::new(filter) }
    }

    /// The same entry for the requests of a cohort, or of none, with a number of its own.
    pub(crate) fn of(&self, id: usize, cohort: Option<&Arc<str>>) -> Self {
        Self {
            id,
            entry: self.entry,
            endpoint: Arc::clone(&self.endpoint),
            cohort: cohort.cloned(),
            backend: Arc::clone(&self.backend),
            via: Arc::clone(&self.via),
            draw: self.draw,
            filter: Arc::clone(&self.filter),
        }
    }

    /// The fraction of the requests that it copies, 0 to 1.
    pub fn fraction(&self) -> f64 {
        self.draw.fraction
    }

    /// Whether it draws for whole shard keys rather than for requests.
    pub fn is_by_key(&self) -> bool {
        self.filter.by_key
    }

    /// The methods that it copies; `None` for any.
    pub fn methods(&self) -> Option<&[String]> {
        self.filter.methods.as_deref()
    }

    /// The backends whose requests it copies; `None` for any.
    pub fn only_from(&self) -> Option<&[String]> {
        self.filter.only_from.as_deref()
    }

    /// Whether it copies a request with this draw, or a shard key with this point: see [`Shadow::is_by_key`].
    pub fn draws(&self, draw: u64) -> bool {
        self.draw.takes(draw)
    }

    /// Whether it copies requests that `backend` serves.
    pub(crate) fn is_for(&self, backend: &Backend) -> bool {
        self.filter.only_from.as_ref().is_none_or(|names| names.contains(&backend.name))
    }

    fn takes(&self, candidate: &Candidate<'_>) -> bool {
        let draw = if self.filter.by_key { candidate.key_point.unwrap_or(candidate.draw) } else { candidate.draw };
        self.is_for(candidate.backend) && self.draws(draw)
    }

    pub(crate) fn takes_method(&self, request: &impl Request) -> bool {
        self.filter.methods.as_ref().is_none_or(|methods| is_one_of(methods, request.method()))
    }
}

/// Draws for each of `shadows`.
///
/// A copy, an upgrade or a CONNECT is never copied: the first would go round in circles, the others have no end. The
/// request is asked only if a shadow draws it.
pub(crate) fn draw(shadows: &[Arc<Shadow>], request: &impl Request, candidate: &Candidate<'_>) -> Drawn {
    let mut drawn = Drawn::default();
    let never_copied = std::cell::OnceCell::new();
    for shadow in shadows.iter().filter(|shadow| shadow.takes(candidate)) {
        let skip = never_copied.get_or_init(|| why_never(request));
        let skip = skip.or_else(|| (!shadow.takes_method(request)).then_some(Skip::Method));
        match skip {
            None => drawn.shadows.push(Arc::clone(shadow)),
            Some(skip) => drawn.skipped.push((Arc::clone(shadow), skip)),
        }
    }
    drawn
}

/// Why `request` is never copied, by whatever shadow.
pub(crate) fn why_never(request: &impl Request) -> Option<Skip> {
    if request.header(MARKER).next().is_some() {
        Some(Skip::Marked)
    } else if request.header("upgrade").next().is_some() || request.method() == Some(b"CONNECT") {
        Some(Skip::Upgrade)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fraction_of_one_copies_every_draw_and_a_fraction_of_zero_none() {
        let (all, none) = (Draw::new("b", 1.0), Draw::new("b", 0.0));
        // The finalizer undone: the draw whose u() rounds up to 1.
        let top = 0x89a5_850e_63c5_f8aa_u64 ^ all.hash;
        assert_eq!(unit(mix(top ^ all.hash)), 1.0);
        for draw in [0, 1, u64::MAX, top] {
            assert!(all.takes(draw));
            assert!(!none.takes(draw));
        }
    }

    #[test]
    fn a_draw_at_the_fraction_itself_is_not_copied() {
        // Below a half, where a fraction can be this precise.
        let draw = (0..).find(|draw| unit(mix(*draw)) < 0.5).unwrap();
        let at = Draw { fraction: unit(mix(draw)), hash: 0 };
        assert!(!at.takes(draw));
        assert!(Draw { fraction: at.fraction.next_up(), ..at }.takes(draw));
    }

    #[test]
    fn a_shadow_tells_what_it_copies() {
        let shadow = |filter| {
            let backend = Arc::new(Backend { name: "b".into(), cluster: "b".into() });
            Shadow::new(0, "e".into(), backend, 0.25, filter, Via::Mirror("unused".into()))
        };
        let any = shadow(Filter::default());
        assert_eq!((any.fraction(), any.is_by_key(), any.methods(), any.only_from()), (0.25, false, None, None));
        let (methods, only_from) = (["GET".to_owned()], ["v1".to_owned(), "v2".to_owned()]);
        let some =
            shadow(Filter { by_key: true, methods: Some(methods.to_vec()), only_from: Some(only_from.to_vec()) });
        assert_eq!(
            (some.is_by_key(), some.methods(), some.only_from()),
            (true, Some(&methods[..]), Some(&only_from[..]))
        );
    }
}
