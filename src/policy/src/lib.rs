//! A traffic policy for Envoy: exact splits, session affinity and shadow traffic from one JSON
//! document.
//!
//! One way through the crate:
//!
//! ```text
//! on_configure   bytes ─► config (as written) ─ compile ─► Policy (ready: nothing left to fail)
//! a request      policy.decide(request, draw) ─ asks the Request for what it needs ─► Decision (plain data)
//!                                                     └─► filter applies it: routing header, shadow copies
//! ```
//!
//! Native programs can ask for the same decisions:
//!
//! ```
//! # struct Rank;
//! # impl policy::Request for Rank {
//! #     fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
//! #         let value: Option<&[u8]> = match name {
//! #             ":path" => Some(b"/rank?q=1"),
//! #             "x-serve-shard-key" => Some(b"user-1"),
//! #             _ => None,
//! #         };
//! #         value.into_iter()
//! #     }
//! #     fn source_address(&self) -> Option<&[u8]> { None }
//! #     fn property(&self, _: &policy::Property) -> Option<std::borrow::Cow<'_, [u8]>> { None }
//! # }
//! let json = br#"{"endpoints": [{"name": "ranker", "route": "/rank", "traffic": {"v1": 0.5, "v2": 0.5}}]}"#;
//! let policy = policy::Policy::from_json(json)?.policy;
//! let decision = policy.decide(&Rank, 0, || 0).expect("an endpoint takes /rank");
//! assert_eq!(decision.backend.name, "v2");
//! assert_eq!(decision.reason, policy::Reason::Key);
//! # Ok::<(), policy::Refused>(())
//! ```
//!
//! The crate is pure: no host call, no clock, no randomness, no log. It does not balance load,
//! retry or find hosts: it names a cluster, and Envoy does the rest.

mod affinity;
pub mod attribute;
mod compile;
mod config;
mod cookie;
mod decimal;
mod decision;
mod excerpt;
mod explain;
mod finding;
mod gist;
mod ids;
pub mod limits;
mod matching;
pub mod metrics;
mod named;
mod names;
mod parse;
mod place;
pub mod placement;
mod policy;
mod property;
mod request;
pub mod shadow;
mod shortest;
mod source;
mod status;
mod traffic;
mod witness;

pub use affinity::Affinity;
pub use config::IfInvalid;
#[cfg(feature = "schema")]
pub use config::schema;
pub use cookie::KeyCookie;
pub use decision::{Decision, Reason};
pub use explain::{Chance, Check, Copied, Explanation, KeyTried, Standing, Trial};
pub use finding::{Fault, Finding, Kind, Refused, Severity};
pub use gist::Gist;
pub use ids::{ChoiceId, EntryId, ShadowId};
pub use matching::{Conditions, Match};
pub use names::{
    BackendName, ClusterName, CohortName, CookieName, EndpointName, FilterStateName, HeaderName, Method, PolicyName,
    Variant,
};
pub use parse::Parsed;
pub use place::{Place, Step};
pub use policy::{Cohort, Endpoint, Plan, Policy};
pub use property::{As, Property};
pub use request::Request;
pub use source::Source;
pub use status::{StatusClass, is_grpc};
pub use traffic::{Backend, Traffic};
