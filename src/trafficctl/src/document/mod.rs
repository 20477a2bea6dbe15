//! Files that hold a policy: how they are read, searched, edited and replaced.

mod alias;
mod attributes;
pub mod change;
mod dialect;
pub mod edit;
pub mod embedded;
pub mod file;
mod flow;
pub mod istio_cluster;
pub mod lines;
mod link;
mod lock;
pub mod not_json;
pub mod one_line;
pub mod outline;
mod plain;
mod proxy;
pub mod route;
mod route_tables;
pub mod source;
pub mod steering;
pub mod store;
pub mod tree;
mod typed;
pub mod wiring;
mod yaml;
