//! `create-endpoint` and `delete-endpoint`.

use serde_json::{Map, Value, json};

use super::edit::edit;
use super::lookup::{endpoint, require_backends};
use super::share::{ShareOrFile, split, traffic};
use super::target::{EditTarget, Position};
use super::word::name;
use crate::document::change::Change;
use crate::document::outline::list;
use crate::error::Error;
use policy::Place;

/// The options of `create-endpoint`.
#[derive(clap::Args)]
pub struct Create {
    /// The name of the new endpoint: letters, digits, _ and -.
    #[arg(value_parser = name)]
    name: String,
    /// The path prefix of its requests.
    #[arg(long)]
    route: Option<String>,
    /// A method of its requests; may be repeated. By default all methods.
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// The backend that serves all of its requests.
    #[arg(long, value_parser = name)]
    backend: Option<String>,
    /// The backends that serve its requests, with their shares: BACKEND=0.9, or BACKEND=90%. Then
    /// the file of the policy, unless -f or TRAFFICCTL_FILE names it.
    #[arg(value_name = "BACKEND=SHARE|FILE")]
    words: Vec<ShareOrFile>,
    /// Insert it before this endpoint. By default it is tried last.
    #[arg(long, value_name = "ENDPOINT", value_parser = name)]
    before: Option<String>,
    #[command(flatten)]
    target: EditTarget,
}

/// The options of `delete-endpoint`.
#[derive(clap::Args)]
pub struct Delete {
    /// The name of the endpoint.
    #[arg(value_parser = name)]
    name: String,
    #[command(flatten)]
    position: Position,
    #[command(flatten)]
    target: EditTarget,
}

/// Adds an endpoint.
///
/// # Errors
/// See [`edit`].
pub fn create(arguments: &Create) -> Result<(), Error> {
    let Create { name, route, methods, backend, words, before, target } = arguments;
    let (shares, operand) = split(words)?;
    if backend.is_some() != shares.is_empty() {
        let message = "name the backends as BACKEND=SHARE, or one with --backend";
        return Err(Error::Usage(message.to_owned()));
    }
    edit(target, operand, |policy, _| {
        if let Ok(n) = endpoint(policy, name) {
            return Err(Error::Wrong(format!("endpoints[{n}] already has the name {name:?}")));
        }
        let mut traffic = traffic(&shares)?;
        traffic.extend(backend.iter().map(|backend| (backend.clone(), json!(1))));
        require_backends(policy, traffic.keys())?;
        let mut new = Map::new();
        new.insert("name".to_owned(), json!(name));
        new.extend(route.iter().map(|route| ("route".to_owned(), json!(route))));
        if !methods.is_empty() {
            new.insert("methods".to_owned(), json!(methods));
        }
        new.insert("traffic".to_owned(), Value::Object(traffic));
        let n = match before {
            Some(before) => endpoint(policy, before)?,
            None => list(policy, "endpoints").count(),
        };
        Ok(vec![Change::Insert(Place::root().member("endpoints"), n, Value::Object(new))])
    })
}

/// Deletes an endpoint.
///
/// # Errors
/// See [`edit`].
pub fn delete(arguments: &Delete) -> Result<(), Error> {
    let Delete { name, position, target } = arguments;
    edit(target, position.file(), |policy, _| {
        let n = endpoint(policy, name)?;
        Ok(vec![Change::Remove(Place::root().member("endpoints").element(n))])
    })
}
