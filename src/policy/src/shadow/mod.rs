//! Shadow traffic: which requests are copied, what a copy contains, and its outcome.
//!
//! A [`Shadow`] receives copies of an endpoint's requests. [`Life`] is the life of one copy, from
//! the draw to its [`Outcome`].

mod answer;
mod candidate;
mod copy;
mod draw;
mod event;
mod life;
mod limit;
mod outcome;
mod target;

pub use answer::Answer;
pub(crate) use candidate::{Candidate, Drawn, draw, why_never};
pub use copy::{MARKER, Original};
pub use draw::Draw;
pub use event::{Event, Kind, Refusal};
pub use life::Life;
pub use limit::RateLimit;
pub use outcome::{Outcome, Skip};
pub use target::{Callout, Entry, Filter, Shadow, Via};
