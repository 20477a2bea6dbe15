//! Updates that a proxy refused: what it got last is not what is in force.

use std::fmt::{self, Display, Formatter};

use policy::{Gist, Policy};
use serde_json::Value;

use super::admin::Admin;
use super::picture::Picture;
use crate::document::embedded::{Embedded, find};

/// The policies that a proxy got last from its control plane or a watched file. Envoy's dump has
/// them whether or not the filter took them.
const FILTERS: &str = "/config_dump?resource=ecds_filters";

/// The listeners whose last update Envoy refused, with the reasons.
const LISTENERS: &str = "/config_dump?resource=dynamic_listeners&mask=name,error_state.details";

/// What a proxy got last, by two pages of its admin interface.
#[derive(Default)]
pub struct Received {
    pages: [Option<String>; 2],
    filters: Vec<Verdict>,
    listeners: Vec<Refusal>,
}

/// The filter's verdict on a policy: its hash, or its name and its errors.
type Verdict = Result<u64, (String, Vec<String>)>;

/// An update that a proxy refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The last policy of this name has these errors.
    Policy(String, Vec<String>),
    /// The last policy of this name has errors, and the last good one goes on.
    Kept(String),
    /// The last policy of this name has errors, and there is no good one.
    Passing(String),
    /// The last policy is valid for this version of the filter, and not in force.
    NotInForce(u64),
    /// A listener, and Envoy's reason.
    Listener(String, String),
}

impl Received {
    /// Reads the pages again. A proxy without them has refused nothing that is known.
    pub fn update(&mut self, admin: &Admin) {
        let pages = [FILTERS, LISTENERS].map(|path| admin.page(path).ok());
        // A large policy takes a second to judge.
        if pages != self.pages {
            let [filters, listeners] = &pages;
            self.filters = filters.as_deref().map(verdicts).unwrap_or_default();
            self.listeners = listeners.as_deref().map(refused_listeners).unwrap_or_default();
            self.pages = pages;
        }
    }

    /// The updates that are not in force, where the policies of `picture` are.
    pub fn refusals(&self, picture: &Picture) -> Vec<Refusal> {
        let Picture { policies, refused, .. } = picture;
        let only = self.filters.len() == 1 && !policies.is_empty();
        let of_filters = self.filters.iter().filter_map(|verdict| match verdict {
            Err((name, errors)) => Some(Refusal::Policy(name.clone(), errors.clone())),
            // Filters without names publish their hashes under one name.
            Ok(hash) => (only && policies.values().all(|known| known != hash)).then_some(Refusal::NotInForce(*hash)),
        });
        let mut refusals: Vec<_> = of_filters.collect();
        for name in refused {
            if !refusals.iter().any(|refusal| matches!(refusal, Refusal::Policy(known, _) if known == name)) {
                let of_name = if policies.contains_key(name) { Refusal::Kept } else { Refusal::Passing };
                refusals.push(of_name(name.clone()));
            }
        }
        refusals.extend(self.listeners.iter().cloned());
        refusals
    }
}

fn configs(page: &str) -> Vec<Value> {
    let dump: Value = serde_json::from_str(page).unwrap_or_default();
    dump.get("configs").and_then(Value::as_array).cloned().unwrap_or_default()
}

fn verdicts(page: &str) -> Vec<Verdict> {
    let configs = configs(page);
    let verdict = |Embedded { form, .. }: &Embedded| {
        let document = form.json("", form.value(&configs).as_ref());
        let parsed = Policy::from_json(&document);
        parsed.map(|parsed| parsed.policy.hash).map_err(|refused| {
            let name = Gist::of(&document).name.map(|name| name.to_string()).unwrap_or_default();
            (name, refused.0.iter().map(ToString::to_string).collect())
        })
    };
    find(&configs).iter().map(verdict).collect()
}

fn refused_listeners(page: &str) -> Vec<Refusal> {
    let refusal = |listener: &Value| {
        let details = listener.pointer("/error_state/details")?.as_str()?;
        let name = listener.get("name").and_then(Value::as_str).unwrap_or_default();
        Some(Refusal::Listener(name.to_owned(), details.to_owned()))
    };
    configs(page).iter().filter_map(refusal).collect()
}

impl Display for Refusal {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept(name) => write!(
                f,
                "refused: the last policy{} that the proxy got has errors (see its log): the last good one goes on",
                Spaced(name)
            ),
            Self::Passing(name) => write!(
                f,
                "refused: the last policy{} that the proxy got has errors (see its log), and there is no good one: \
                 requests pass undecided",
                Spaced(name)
            ),
            Self::Policy(name, errors) => {
                let (first, name) = (errors.first().map(String::as_str).unwrap_or_default(), Spaced(name));
                write!(f, "refused: the last policy{name} that the proxy got is not in force: {first}")?;
                match errors.len() {
                    0 | 1 => Ok(()),
                    more => write!(f, " (and {} more)", more - 1),
                }
            }
            Self::NotInForce(hash) => write!(
                f,
                "refused: the last policy that the proxy got, {hash:014x}, is not in force: it has just come, or the \
                 proxy's version of the filter refuses it (see its log)"
            ),
            Self::Listener(name, details) => {
                write!(f, "refused: the last update of the listener {name:?}: {details}")
            }
        }
    }
}

/// A name with a space in front, if it is not empty.
struct Spaced<'a>(&'a str);

impl Display for Spaced<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, " {}", self.0) }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn received(policies: &[&str]) -> Received {
        let filter = |policy: &&str| {
            json!({ "ecds_filter": { "name": "traffic-policy", "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": { "name": "traffic_policy", "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue", "value": policy } } } } })
        };
        let page = json!({ "configs": policies.iter().map(filter).collect::<Vec<_>>() });
        Received { filters: verdicts(&page.to_string()), ..Received::default() }
    }

    /// A picture of a proxy that runs this policy.
    fn running(hash: Option<u64>) -> Picture {
        let policies = hash.map(|hash| (String::new(), hash)).into_iter().collect();
        Picture { policies, refused: [].into(), seconds: 1.0, groups: Vec::new(), has_any: true }
    }

    #[test]
    fn a_refused_policy_that_the_filter_took_is_shown_by_its_gauge() {
        const BAD: &str = r#"{ "name": "a", "endpoints": 7 }"#;
        let refused = ["a", "b", ""].map(str::to_owned).into();
        let picture = Picture { policies: [("b".to_owned(), 1)].into(), refused, ..running(None) };
        let shown = received(&[BAD]).refusals(&picture).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            shown,
            [
                "refused: the last policy a that the proxy got is not in force: endpoints: this is the number 7; \
                 expected a list",
                "refused: the last policy that the proxy got has errors (see its log), and there is no good one: \
                 requests pass undecided",
                "refused: the last policy b that the proxy got has errors (see its log): the last good one goes on",
            ]
        );
    }

    #[test]
    fn a_policy_with_errors_and_one_that_is_not_in_force_are_refused() {
        const GOOD: &str = r#"{ "endpoints": [{ "name": "e", "traffic": { "a": 1 } }] }"#;
        let hash = Policy::from_json(GOOD.as_bytes()).unwrap().policy.hash;
        assert_eq!(received(&[GOOD]).refusals(&running(Some(hash))), []);
        assert_eq!(received(&[GOOD]).refusals(&running(Some(1))), [Refusal::NotInForce(hash)]);
        // The metric has the hash of only one of them.
        assert_eq!(received(&[GOOD, GOOD]).refusals(&running(Some(1))), []);
        let refusals = received(&[r#"{ "endpoint": [] }"#]).refusals(&running(Some(hash)));
        let [Refusal::Policy(_, errors)] = refusals.as_slice() else { panic!("{refusals:?}") };
        assert!(errors[0].contains("endpoint"), "{errors:?}");
        assert_eq!(received(&[]).refusals(&running(None)), []);
    }

    #[test]
    fn a_refused_listener_is_shown_with_envoys_reason() {
        let page =
            json!({ "configs": [{ "name": "good" }, { "name": "main", "error_state": { "details": "no module" } }] });
        let refused = refused_listeners(&page.to_string());
        assert_eq!(refused, [Refusal::Listener("main".to_owned(), "no module".to_owned())]);
        assert_eq!(refused_listeners("not JSON"), []);
    }
}
