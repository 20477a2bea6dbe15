//! Warnings about places in an object.

use policy::{Finding, Kind, Place, Step};

/// A warning about a place in an object.
pub fn warning(
    place: impl IntoIterator<Item = Step>,
    problem: impl Into<String>,
    remedy: impl Into<String>,
) -> Finding {
    Finding::warning(Kind::Conflict, Place::from(place.into_iter().collect::<Vec<_>>()), problem, remedy)
}

/// The place of an element of a list in the `spec` of an object.
pub fn element(list: &'static str, n: usize) -> [Step; 3] {
    [Step::from("spec"), Step::from(list), Step::Element(n)]
}
