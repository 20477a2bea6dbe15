//! `create-backend` and `delete-backend`.

use serde_json::{Value, json};

use super::edit::edit;
use super::lookup::{backends, list_backends, unlist_backend};
use super::target::{EditTarget, Position};
use super::word::name;
use crate::advice::unknown;
use crate::document::change::Change;
use crate::document::istio_cluster::ClusterForm;
use crate::document::outline::{Mention, cluster_of, is_listed, mentions};
use crate::error::Error;

/// The options of `create-backend`.
#[derive(clap::Args)]
pub struct Create {
    /// The name of the new backend.
    #[arg(value_parser = name)]
    name: String,
    /// Its Envoy cluster. By default the cluster with the backend's name; in a WasmPlugin, the
    /// cluster that is named as those of the other backends are.
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
    edit(target, position.file(), |policy, resource| {
        if is_listed(policy, name) {
            return Err(Error::Wrong(format!("the backend {name:?} is listed already")));
        }
        let cluster = match cluster {
            None if resource.starts_with("WasmPlugin") => Some(like_the_others(policy, name)?),
            given => given.clone(),
        };
        let backend = cluster.as_ref().map_or_else(|| json!({}), |cluster| json!({ "cluster": cluster }));
        Ok(list_backends(policy, [(name.clone(), backend)]))
    })
}

/// The cluster of a new backend, if those of the others have one form.
///
/// # Errors
/// [`Error::Wrong`] if they have none, or several.
fn like_the_others(policy: &Value, name: &str) -> Result<String, Error> {
    let forms: Option<Vec<_>> =
        backends(policy).into_iter().map(|backend| ClusterForm::of(backend, cluster_of(policy, backend))).collect();
    let form = forms.and_then(|forms| {
        let first = forms.first()?.clone();
        forms.iter().all(|form| *form == first).then_some(first)
    });
    form.and_then(|form| form.cluster(name)).ok_or_else(|| {
        Error::Wrong(format!(
            "the clusters of the other backends have no form in common that {name:?} fits: name its cluster, as in \
             --cluster 'outbound|8080||SERVICE.NAMESPACE.svc.cluster.local'"
        ))
    })
}

/// Deletes a backend that nothing uses from the list, and from where its share or fraction is 0.
///
/// # Errors
/// See [`edit`].
pub fn delete(arguments: &Delete) -> Result<(), Error> {
    let Delete { name, position, target } = arguments;
    edit(target, position.file(), |policy, _| {
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
