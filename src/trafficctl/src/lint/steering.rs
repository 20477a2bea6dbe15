//! Headers that steer a proxy, though its clients can set them.

use crate::document::steering::{Steers, Unprotected};

/// The warning about such a header.
pub fn unprotected(Unprotected { manager, header, steers }: &Unprotected) -> String {
    let routes = match manager.as_str() {
        "" => "the routes of an EnvoyFilter or EnvoyPatchPolicy".to_owned(),
        name => format!("the routes of the connection manager {name:?}"),
    };
    let danger = match steers {
        Steers::Route => "a client that sends it chooses the cluster wherever the filter does not replace it",
        Steers::Mirror => "a client that sends it has its requests copied to any cluster of the proxy",
    };
    let verb = match steers {
        Steers::Route => "take the cluster from",
        Steers::Mirror => "mirror by",
    };
    let remedy = match steers {
        Steers::Route => "overwrite it",
        Steers::Mirror => "remove it",
    };
    format!(
        "{routes} {verb} the header {header:?}, which the connection manager leaves as the client sent it: {danger}; \
         {remedy} in early_header_mutation_extensions"
    )
}
