//! Shadow traffic: which requests are copied, what a copy contains, and its outcome.

mod candidate;
mod copy;
mod draw;
mod limit;
mod outcome;
mod target;

pub(crate) use candidate::{Candidate, Drawn, draw, why_never};
pub use copy::Original;
pub use draw::Draw;
pub use limit::RateLimit;
pub use outcome::{Outcome, Skip};
pub use target::{Callout, Shadow, Via};
pub(crate) use target::{Entry, Filter};

/// The header that marks a copy. Its value is the shadow's backend. A request with this header is
/// never copied.
pub const MARKER: &str = "x-traffic-shadow";
