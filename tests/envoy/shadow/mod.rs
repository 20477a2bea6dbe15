//! Shadow traffic: which requests are copied, the outcomes of copies, and that no client notices
//! them.

mod bounds;
mod copies;
mod kinds;
mod mirror;
mod options;
mod redirects;
mod stage;
