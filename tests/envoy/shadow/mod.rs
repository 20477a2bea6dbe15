//! Shadow traffic in a real Envoy: what is copied, what becomes of it, and that no user notices.

mod bounds;
mod copies;
mod kinds;
mod options;
mod stage;
