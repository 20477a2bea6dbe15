//! The subject of a sentence about some of a policy's names.

/// How many names a sentence lists.
const LISTED: usize = 5;

/// Such as `the backend "a"`, `the backends "a", "b"`, or the number and the first few of many.
pub fn subject(kind: &str, names: &[&str]) -> String {
    let listed: Vec<_> = names.iter().take(LISTED).map(|name| format!("{name:?}")).collect();
    let listed = listed.join(", ");
    match names.len() {
        1 => format!("the {kind} {listed}"),
        few if few <= LISTED => format!("the {kind}s {listed}"),
        many => format!("{many} {kind}s ({listed}, …)"),
    }
}
