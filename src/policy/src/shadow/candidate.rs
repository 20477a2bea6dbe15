//! Draws the shadows that copy a request.

use std::cell::OnceCell;
use std::sync::Arc;

use super::MARKER;
use super::outcome::Skip;
use super::target::Shadow;
use crate::request::Request;
use crate::traffic::Backend;

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

impl Candidate<'_> {
    fn is_drawn_by(&self, shadow: &Shadow) -> bool {
        let draw = if shadow.is_by_key() { self.key_point.unwrap_or(self.draw) } else { self.draw };
        shadow.is_for(self.backend) && shadow.draws(draw)
    }
}

/// Draws for each of `shadows`.
///
/// A copy, an upgrade or a CONNECT is never copied: the first would go round in circles, the others have no end. The
/// request is asked only if a shadow draws it.
pub(crate) fn draw(shadows: &[Arc<Shadow>], request: &impl Request, candidate: &Candidate<'_>) -> Drawn {
    let mut drawn = Drawn::default();
    let never_copied = OnceCell::new();
    for shadow in shadows.iter().filter(|shadow| candidate.is_drawn_by(shadow)) {
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
