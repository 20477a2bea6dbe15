//! Headers that steer a proxy, though its clients can set them.

use crate::document::steering::{Steers, Unprotected};

/// The warning about such a header.
pub fn unprotected(Unprotected { manager, header, steers }: &Unprotected) -> String {
    let routes = match manager {
        None => "the routes of an EnvoyFilter or EnvoyPatchPolicy".to_owned(),
        Some(name) => format!("the routes of the connection manager {name:?}"),
    };
    let (follow, danger, remedy) = match steers {
        Steers::Route => (
            "take the cluster from",
            "a client that sends it chooses the cluster wherever the filter does not replace it",
            "overwrite it",
        ),
        Steers::Mirror => {
            ("mirror by", "a client that sends it has its requests copied to any cluster of the proxy", "remove it")
        }
    };
    format!(
        "{routes} {follow} the header {header:?}, which the connection manager leaves as the client sent it: {danger}; \
         {remedy} in early_header_mutation_extensions"
    )
}
