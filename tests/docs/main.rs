//! Checks that the documents are true: sizes, links, commands, policies and field tables.

mod alerts;
mod claims;
mod commands;
mod fields;
mod links;
mod metrics;
mod page;
mod policies;
mod shape;
mod template;

use std::sync::LazyLock;

use page::Page;
use testbed::trafficctl::Trafficctl;

/// The program, from the sources as they are now.
static TRAFFICCTL: LazyLock<Trafficctl> = LazyLock::new(|| Trafficctl::build("unused").unwrap());

/// Fails with everything that is wrong, not just with the first of it.
fn assert_none(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

/// The page at `path`, from the project's folder.
fn page(path: &str) -> Page {
    Page::all().into_iter().find(|page| page.path == path).unwrap_or_else(|| panic!("there is no {path}"))
}
