//! `shadow-traffic`.

use serde_json::{Map, Number, Value, json};

use super::edit::edit;
use super::lookup::{plan, require_backends};
use super::share::fraction;
use super::target::{EditTarget, Position};
use super::word::name;
use crate::advice::unknown;
use crate::document::change::Change;
use crate::document::embedded::value_at;
use crate::error::Error;
use policy::Place;

/// The options of `shadow-traffic`.
#[derive(clap::Args)]
pub struct Set {
    /// The endpoint.
    #[arg(value_parser = name)]
    endpoint: String,
    /// The backend that gets the copies.
    #[arg(value_parser = name)]
    backend: String,
    /// The fraction of the requests that are copied, 0 to 1, or a percentage, as in 20%; 0 stops
    /// it.
    #[arg(value_parser = self::fraction)]
    fraction: Number,
    /// Copy only requests with this method; may be repeated.
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// Change the shadows of this cohort of the endpoint.
    #[arg(long, value_parser = name)]
    cohort: Option<String>,
    #[command(flatten)]
    position: Position,
    #[command(flatten)]
    target: EditTarget,
}

/// Copies a fraction of the requests of an endpoint or a cohort.
///
/// # Errors
/// See [`edit`].
pub fn set(arguments: &Set) -> Result<(), Error> {
    let Set { endpoint, backend, fraction, methods, cohort, position, target } = arguments;
    edit(target, position.file(), |policy, _| {
        require_backends(policy, [backend])?;
        let place = plan(policy, endpoint, cohort.as_deref())?.member("shadow");
        let inherited = plan(policy, endpoint, None)?.member("shadow");
        let at = |place: &Place| value_at(policy, place.steps()).and_then(Value::as_object);
        let (own, inherited) = (at(&place), at(&inherited));
        let old = own.and_then(|shadows| shadows.get(backend));
        // An entry of a cohort replaces the inherited one as a whole, so it must repeat the options
        // to keep them.
        let basis = old.or_else(|| inherited.and_then(|shadows| shadows.get(backend)));
        if basis.is_none() && fraction.as_f64() == Some(0.0) {
            let known: Vec<_> =
                [own, inherited].into_iter().flatten().flatten().map(|(name, _)| name.as_str()).collect();
            return Err(Error::Wrong(unknown("shadow", backend, &known)));
        }
        let mut options = basis.and_then(Value::as_object).cloned().unwrap_or_default();
        if !methods.is_empty() {
            options.insert("methods".to_owned(), json!(methods));
        }
        Ok(changes(&place, backend, own, with_fraction(options, fraction)))
    })
}

/// A shadow with these options; without any, the fraction alone.
fn with_fraction(mut options: Map<String, Value>, fraction: &Number) -> Value {
    if options.is_empty() {
        return json!(fraction);
    }
    options.insert("fraction".to_owned(), json!(fraction));
    Value::Object(options)
}

/// The changes that make `new` the entry of `backend` among the shadows at `place`, of which `own`
/// are there now.
fn changes(place: &Place, backend: &str, own: Option<&Map<String, Value>>, new: Value) -> Vec<Change> {
    let Some(own) = own else { return vec![Change::set(place.clone(), json!({ backend: new }))] };
    let entry = place.member(backend);
    match (own.get(backend), new) {
        (Some(old), new) if *old == new => Vec::new(),
        // Option by option, so that the others stay as they are written.
        (Some(Value::Object(old)), Value::Object(new)) => {
            let changed = new.into_iter().filter(|(name, value)| old.get(name) != Some(value));
            changed.map(|(name, value)| Change::set(entry.member(&name), value)).collect()
        }
        (_, new) => vec![Change::set(entry, new)],
    }
}
