//! `create-backend` and `delete-backend`.

use serde_json::json;

use super::edit::edit;
use super::lookup::{backends, list_backends, unlist_backend};
use super::target::{EditTarget, Position};
use super::word::name;
use crate::advice::unknown;
use crate::document::change::Change;
use crate::document::outline::{Mention, is_listed, mentions};
use crate::error::Error;

/// The options of `create-backend`.
#[derive(clap::Args)]
pub struct Create {
    /// The name of the new backend.
    #[arg(value_parser = name)]
    name: String,
    /// Its Envoy cluster. By default the cluster with the backend's name.
    #[arg(long)]
    cluster: Option<String>,
    #[command(flatten)]
    position: Position,
    #[command(flatten)]
    target: EditTarget,
}

/// The options of `delete-backend`.
#[derive(clap::Args)]
pub struct Delete {
    /// The name of the backend.
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    position: Position,
    #[command(flatten)]
    target: EditTarget,
}

/// Lists a backend.
///
/// # Errors
/// See [`edit`].
pub fn create(arguments: &Create) -> Result<(), Error> {
    let Create { name, cluster, position, target } = arguments;
    edit(target, position.file(), |policy| {
        if is_listed(policy, name) {
            return Err(Error::Wrong(format!("the backend {name:?} is listed already")));
        }
        let backend = cluster.as_ref().map_or_else(|| json!({}), |cluster| json!({ "cluster": cluster }));
        Ok(list_backends(policy, [(name.clone(), backend)]))
    })
}

/// Deletes a backend that nothing uses from the list, and from where its share or fraction is 0.
///
/// # Errors
/// See [`edit`].
pub fn delete(arguments: &Delete) -> Result<(), Error> {
    let Delete { name, position, target } = arguments;
    edit(target, position.file(), |policy| {
        let mentions = mentions(policy).remove(name.as_str()).unwrap_or_default();
        let (idle, used): (Vec<Mention>, Vec<Mention>) = mentions.into_iter().partition(|mention| mention.is_idle);
        if !used.is_empty() {
            let used: Vec<_> = used.iter().map(|mention| mention.place.to_string()).collect();
            return Err(Error::Wrong(format!("the backend {name:?} is in use: {}", used.join(", "))));
        }
        let mut changes: Vec<_> = idle.into_iter().map(|mention| Change::Remove(mention.place)).collect();
        changes.extend(unlist_backend(policy, name));
        if changes.is_empty() {
            return Err(Error::Wrong(unknown("backend", name, &backends(policy))));
        }
        Ok(changes)
    })
}
