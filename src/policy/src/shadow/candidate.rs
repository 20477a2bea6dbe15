//! Draws the shadows that copy a request.

use std::cell::OnceCell;
use std::sync::Arc;

use super::copy::MARKER;
use super::event::{Event, Kind};
use super::life::Life;
use super::outcome::Skip;
use super::target::Shadow;
use crate::request::Request;
use crate::traffic::Backend;

/// A request whose backend has been chosen.
pub(crate) struct Candidate<'a> {
    pub(crate) backend: &'a Backend,
    /// The request's random draw.
    pub(crate) draw: u64,
    /// The point of its shard key; `None` without one.
    pub(crate) key_point: Option<u64>,
}

/// The shadows that drew a request.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Drawn {
    /// Those that copy it.
    pub(crate) shadows: Vec<Arc<Shadow>>,
    /// Those that don't, and why.
    pub(crate) skipped: Vec<(Arc<Shadow>, Skip)>,
}

/// Draws for each of `shadows`. Reads from the request only if one of them draws it.
pub(crate) fn draw(shadows: &[Arc<Shadow>], request: &impl Request, candidate: &Candidate<'_>) -> Drawn {
    let mut drawn = Drawn::default();
    let kind = OnceCell::new();
    for shadow in shadows.iter().filter(|shadow| candidate.is_drawn_by(shadow)) {
        let kind = *kind.get_or_init(|| kind_of(request));
        let life =
            Life::Drawn.after(Event::Kind(kind)).then(|| Event::Method { is_copied: shadow.takes_method(request) });
        match life.skip() {
            None => drawn.shadows.push(Arc::clone(shadow)),
            Some(skip) => drawn.skipped.push((Arc::clone(shadow), skip)),
        }
    }
    drawn
}

/// Why no shadow ever copies `request`; `None` if a shadow may.
pub(crate) fn why_never(request: &impl Request) -> Option<Skip> {
    Life::Drawn.after(Event::Kind(kind_of(request))).skip()
}

fn kind_of(request: &impl Request) -> Kind {
    if request.header(MARKER).next().is_some() {
        Kind::Copy
    } else if request.header("upgrade").next().is_some() || request.method() == Some(b"CONNECT") {
        Kind::Upgrade
    } else {
        Kind::Ordinary
    }
}

impl Candidate<'_> {
    fn is_drawn_by(&self, shadow: &Shadow) -> bool {
        let draw = if shadow.is_by_key() { self.key_point.unwrap_or(self.draw) } else { self.draw };
        shadow.is_for(self.backend) && shadow.draws(draw)
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::ids::{EntryId, ShadowId};
    use crate::property::Property;
    use crate::shadow::target::{Entry, Filter, Via};

    /// A request with headers alone.
    struct Headers(Vec<(&'static str, &'static [u8])>);

    impl Request for Headers {
        fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
            self.0.iter().filter(move |(known, _)| *known == name).map(|(_, value)| *value)
        }

        fn source_address(&self) -> Option<&[u8]> {
            None
        }

        fn property<'a>(&'a self, _: &Property) -> Option<Cow<'a, [u8]>> {
            None
        }
    }

    fn shadow(fraction: f64, filter: Filter) -> Arc<Shadow> {
        let backend = Arc::new("dark".parse::<Backend>().unwrap());
        let via = Via::Mirror("x-mirror".parse().unwrap());
        let entry = Arc::new(Entry::new(EntryId::default(), backend, fraction, filter, via));
        Arc::new(entry.shadow(ShadowId::default(), &"e".parse().unwrap(), None))
    }

    /// The reasons for which the shadows that draw `request` skip it; `None` where one copies it.
    fn reasons(shadows: &[Arc<Shadow>], request: &Headers) -> Vec<Option<Skip>> {
        let backend = "v1".parse::<Backend>().unwrap();
        let drawn = draw(shadows, request, &Candidate { backend: &backend, draw: 7, key_point: None });
        let copied = drawn.shadows.iter().map(|_| None);
        copied.chain(drawn.skipped.iter().map(|(_, skip)| Some(*skip))).collect()
    }

    #[test]
    fn a_request_is_copied_unless_it_is_a_copy_or_an_upgrade_or_has_another_method() {
        let get = Filter { methods: Some(vec!["GET".parse().unwrap()]), ..Filter::default() };
        let shadows = [shadow(1.0, get)];
        for (headers, expected) in [
            (vec![(":method", b"GET".as_slice())], None),
            (vec![(":method", b"POST")], Some(Skip::Method)),
            (vec![], Some(Skip::Method)),
            (vec![(":method", b"GET"), (MARKER, b"")], Some(Skip::Marked)),
            (vec![(":method", b"GET"), ("upgrade", b"websocket")], Some(Skip::Upgrade)),
            (vec![(":method", b"CONNECT")], Some(Skip::Upgrade)),
            // The marker decides before anything else.
            (vec![(":method", b"CONNECT"), (MARKER, b"dark"), ("upgrade", b"a")], Some(Skip::Marked)),
        ] {
            assert_eq!(reasons(&shadows, &Headers(headers.clone())), [expected], "{headers:?}");
        }
    }

    #[test]
    fn a_shadow_that_does_not_draw_the_request_does_not_skip_it() {
        let only_from = |name: &str| Filter { only_from: Some(vec![name.parse().unwrap()]), ..Filter::default() };
        let marked = Headers(vec![(MARKER, b"dark")]);
        let shadows = [shadow(0.0, Filter::default()), shadow(1.0, only_from("v2")), shadow(1.0, only_from("v1"))];
        assert_eq!(reasons(&shadows, &marked), [Some(Skip::Marked)]);
    }
}
