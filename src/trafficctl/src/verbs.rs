//! The verbs that change a policy in its file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{bail, ensure};
use policy::Policy;
use serde_json::{Map, Number, Value, json};

use crate::Outcome;
use crate::check::{self, Finding, did_you_mean};
use crate::diff::summary_of_change;
use crate::edit::{Change, edited, one_line};
use crate::file::{PolicyFile, value_at};
use crate::lint;
use crate::store::Locked;
use crate::tree::{self, Step};

/// The file that a verb is about.
#[derive(clap::Args)]
pub struct Target {
    /// The policy, or the file that holds it: an ECDS file, an Envoy configuration, a WasmPlugin, an EnvoyExtensionPolicy.
    #[arg(short, long, value_name = "FILE", env = "TRAFFICCTL_FILE")]
    pub file: PathBuf,
}

/// The file that a verb changes.
#[derive(clap::Args)]
pub struct EditTarget {
    #[command(flatten)]
    target: Target,
    /// Check and say what would change, but write nothing.
    #[arg(long)]
    dry_run: bool,
}

/// A backend and its share, as in `model-v1=0.9`.
#[derive(Clone, Debug)]
pub struct Share {
    backend: String,
    share: Number,
}

impl std::str::FromStr for Share {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let Some((backend, share)) = text.rsplit_once('=') else {
            return Err("write BACKEND=SHARE, as in model-v1=0.9".to_owned());
        };
        Ok(Self { backend: backend.to_owned(), share: number(share)? })
    }
}

/// Reads a number that JSON can hold, `.5` among them.
pub fn number(text: &str) -> Result<Number, String> {
    let as_written = || text.parse::<Number>().ok();
    let rounded = || text.parse::<f64>().ok().and_then(Number::from_f64);
    as_written().or_else(rounded).ok_or_else(|| format!("{text:?} is not a number"))
}

/// The options of `create-endpoint`.
#[derive(clap::Args)]
pub struct CreateEndpoint {
    /// The name of the new endpoint: letters, digits, _ and -.
    name: String,
    /// The path prefix of its requests.
    #[arg(long)]
    route: Option<String>,
    /// A method of its requests; repeat it for several. Without any, all methods.
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// The backend that serves all of them.
    #[arg(long, conflicts_with = "shares", required_unless_present = "shares")]
    backend: Option<String>,
    /// The backends that serve them, with their shares.
    #[arg(value_name = "BACKEND=SHARE")]
    shares: Vec<Share>,
    /// Put it before this endpoint. By default it is the last that is tried.
    #[arg(long, value_name = "ENDPOINT")]
    before: Option<String>,
    #[command(flatten)]
    target: EditTarget,
}

/// The options of `delete-endpoint` and `delete-backend`.
#[derive(clap::Args)]
pub struct Delete {
    /// Its name.
    name: String,
    #[command(flatten)]
    target: EditTarget,
}

/// The options of `create-backend`.
#[derive(clap::Args)]
pub struct CreateBackend {
    /// The name of the new backend.
    name: String,
    /// Its Envoy cluster. By default of the same name.
    #[arg(long)]
    cluster: Option<String>,
    #[command(flatten)]
    target: EditTarget,
}

/// The options of `set-traffic`.
#[derive(clap::Args)]
pub struct SetTraffic {
    /// The endpoint.
    endpoint: String,
    /// All backends that serve it from now on, with their shares, which add up to 1 (or to 100).
    #[arg(required = true, value_name = "BACKEND=SHARE")]
    shares: Vec<Share>,
    /// Change the traffic of this cohort of the endpoint.
    #[arg(long)]
    cohort: Option<String>,
    #[command(flatten)]
    target: EditTarget,
}

/// The options of `shadow-traffic`.
#[derive(clap::Args)]
pub struct ShadowTraffic {
    /// The endpoint.
    endpoint: String,
    /// The backend that gets the copies.
    backend: String,
    /// The fraction of the requests that are copied, 0 to 1; 0 stops it.
    #[arg(value_parser = number)]
    fraction: Number,
    /// Copy only this method; repeat it for several.
    #[arg(long = "method", value_name = "METHOD")]
    methods: Vec<String>,
    /// Change the shadows of this cohort of the endpoint.
    #[arg(long)]
    cohort: Option<String>,
    #[command(flatten)]
    target: EditTarget,
}

/// Adds an endpoint.
pub fn create_endpoint(arguments: &CreateEndpoint) -> anyhow::Result<Outcome> {
    let CreateEndpoint { name, route, methods, backend, shares, before, target } = arguments;
    edit(target, |policy| {
        if let Ok(n) = endpoint(policy, name) {
            bail!("endpoints[{n}] has the name {name:?} already");
        }
        let mut traffic: Map<String, Value> = by_backend(shares)?;
        traffic.extend(backend.iter().map(|backend| (backend.clone(), json!(1))));
        known(policy, traffic.keys())?;
        let mut endpoint_value = Map::new();
        endpoint_value.insert("name".to_owned(), json!(name));
        endpoint_value.extend(route.iter().map(|route| ("route".to_owned(), json!(route))));
        if !methods.is_empty() {
            endpoint_value.insert("methods".to_owned(), json!(methods));
        }
        endpoint_value.insert("traffic".to_owned(), Value::Object(traffic));
        let n = match before {
            Some(before) => endpoint(policy, before)?,
            None => endpoints(policy).count(),
        };
        Ok(vec![Change::Insert(vec!["endpoints".into()], n, Value::Object(endpoint_value))])
    })
}

/// Takes an endpoint out.
pub fn delete_endpoint(arguments: &Delete) -> anyhow::Result<Outcome> {
    edit(&arguments.target, |policy| {
        Ok(vec![Change::Remove(vec!["endpoints".into(), endpoint(policy, &arguments.name)?.into()])])
    })
}

/// Lists a backend.
pub fn create_backend(arguments: &CreateBackend) -> anyhow::Result<Outcome> {
    let CreateBackend { name, cluster, target } = arguments;
    edit(target, |policy| {
        ensure!(!is_listed(policy, name), "the backend {name:?} is there already");
        let backend = cluster.as_ref().map_or_else(|| json!({}), |cluster| json!({ "cluster": cluster }));
        Ok(list_backends(policy, [(name.clone(), backend)]))
    })
}

/// Takes a backend out of the list, and where it has a share or a fraction of 0, if nothing uses it.
pub fn delete_backend(arguments: &Delete) -> anyhow::Result<Outcome> {
    let name = &arguments.name;
    edit(&arguments.target, |policy| {
        let named = lint::names(policy);
        let places = named.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let (idle, used): (Vec<_>, Vec<_>) = places.iter().partition(|place| place.is_idle);
        if !used.is_empty() {
            let used: Vec<_> = used.iter().map(|place| place.to_string()).collect();
            bail!("the backend {name:?} is in use: {}", used.join(", "));
        }
        if !is_listed(policy, name) && idle.is_empty() {
            bail!("{}", unknown("backend", name, &known_backends(policy)));
        }
        let mut changes: Vec<_> = idle.iter().map(|place| Change::Remove(place.path.clone())).collect();
        if is_listed(policy, name) {
            changes.push(Change::Remove(vec!["backends".into(), name.as_str().into()]));
        }
        Ok(changes)
    })
}

/// Gives an endpoint or a cohort new shares. Its shadows stay.
pub fn set_traffic(arguments: &SetTraffic) -> anyhow::Result<Outcome> {
    let SetTraffic { endpoint, shares, cohort, target } = arguments;
    edit(target, |policy| {
        let mut path = plan(policy, endpoint, cohort.as_deref())?;
        let new = by_backend(shares)?;
        known(policy, new.keys())?;
        path.push("traffic".into());
        let old = value_at(policy, &path).and_then(Value::as_object).cloned().unwrap_or_default();
        let to = |backend: &String| [path.as_slice(), &[backend.as_str().into()]].concat();
        let mut changes: Vec<Change> = Vec::new();
        // First what is there, so that the object is never empty on the way.
        changes.extend(
            new.iter()
                .filter(|(backend, share)| old.get(*backend) != Some(share))
                .map(|(backend, share)| Change::set(to(backend), share.clone())),
        );
        changes.extend(
            old.keys().filter(|backend| !new.contains_key(*backend)).map(|backend| Change::Remove(to(backend))),
        );
        // In a policy that lists its backends, what loses its last place is listed: a rollback finds it again.
        if policy.get("backends").is_some() {
            let mut named = lint::names(policy);
            let is_lost = |backend: &&String| {
                !new.contains_key(*backend) && named.remove(backend.as_str()).is_some_and(|places| places.len() == 1)
            };
            let lost: Vec<_> = old.keys().filter(is_lost).filter(|backend| !is_listed(policy, backend)).collect();
            changes.extend(list_backends(policy, lost.into_iter().map(|backend| (backend.clone(), json!({})))));
        }
        Ok(changes)
    })
}

/// Copies a fraction of the requests of an endpoint or a cohort.
pub fn shadow_traffic(arguments: &ShadowTraffic) -> anyhow::Result<Outcome> {
    let ShadowTraffic { endpoint, backend, fraction, methods, cohort, target } = arguments;
    edit(target, |policy| {
        known(policy, [backend])?;
        let of_endpoint = plan(policy, endpoint, None)?;
        let path = plan(policy, endpoint, cohort.as_deref())?;
        let shadows_of = |path: &[Step]| value_at(policy, path).and_then(|plan| plan.get("shadow"));
        let (own, inherited) = (shadows_of(&path), shadows_of(&of_endpoint));
        let old = own.and_then(|shadows| shadows.get(backend));
        // A cohort's entry stands for the whole of the inherited one, whose options it keeps.
        let basis = old.or_else(|| inherited.and_then(|shadows| shadows.get(backend)));
        if basis.is_none() && fraction.as_f64() == Some(0.0) {
            let shadows = [own, inherited].into_iter().flatten().filter_map(Value::as_object).flatten();
            bail!("{}", unknown("shadow", backend, &shadows.map(|(name, _)| name.as_str()).collect::<Vec<_>>()));
        }
        let mut options = basis.and_then(Value::as_object).cloned().unwrap_or_default();
        if !methods.is_empty() {
            options.insert("methods".to_owned(), json!(methods));
        }
        let to = |names: &[&str]| {
            [path.as_slice(), &names.iter().map(|name| Step::from(*name)).collect::<Vec<_>>()].concat()
        };
        if options.is_empty() {
            let new = json!(fraction);
            return Ok(match own {
                _ if old == Some(&new) => Vec::new(),
                Some(_) => vec![Change::Set(to(&["shadow", backend]), new)],
                None => vec![Change::set(to(&["shadow"]), json!({ backend: new }))],
            });
        }
        options.insert("fraction".to_owned(), json!(fraction));
        Ok(match (old, own) {
            // Option by option, which keeps the rest as it is written.
            (Some(Value::Object(old)), _) => {
                let changed = options.into_iter().filter(|(name, value)| old.get(name) != Some(value));
                changed.map(|(name, value)| Change::set(to(&["shadow", backend, &name]), value)).collect()
            }
            (_, Some(_)) => vec![Change::set(to(&["shadow", backend]), options)],
            (_, None) => vec![Change::set(to(&["shadow"]), json!({ backend: options }))],
        })
    })
}

/// Makes the changes that `changes` wants of the policy, if the result is a valid one.
fn edit(target: &EditTarget, changes: impl FnOnce(&Value) -> anyhow::Result<Vec<Change>>) -> anyhow::Result<Outcome> {
    let path = &target.target.file;
    let locked = Locked::open(path)?;
    let before = PolicyFile::read(path)?;
    let old = before.only_policy()?;
    let changes = changes(&before.value(old)?)?;
    if changes.is_empty() {
        say!("{}: nothing to change", path.display());
        return Ok(Outcome::Good);
    }
    let after = edited(&before, old, &changes)?;
    let new = after.only_policy()?;
    let context = lint::Context { is_change: true, ..lint::Context::default() };
    let known = warnings_by_name(&before.value(old)?, &check::findings(&before, old, &context));
    let mut findings = check::findings(&after, new, &context);
    let by_name = warnings_by_name(&after.value(new)?, &findings);
    let mut is_new = by_name.iter().map(|words| !known.contains(words));
    findings.retain(|finding| finding.is_error || is_new.next().unwrap_or(true));
    check::show(&after, new, &findings);
    let Ok(policy) = Policy::from_json(&after.json(new)) else {
        anstream::eprintln!("{}: not changed, since the policy would be refused", path.display());
        return Ok(Outcome::Bad);
    };
    if !target.dry_run {
        locked.replace(&after.text)?;
    }
    let old = Policy::from_json(&before.json(old)).ok();
    let verb = if target.dry_run { "would change" } else { "changed" };
    say!("{}: {verb}", path.display());
    for change in &changes {
        say!("  {}", in_words(change));
    }
    if let Some(old) = old {
        summary_of_change(&old.policy, &policy.policy);
    }
    Ok(Outcome::Good)
}

/// The warnings among the findings about `policy`, with the names of endpoints and cohorts in place of their numbers, which a change may move.
fn warnings_by_name(policy: &Value, findings: &[Finding]) -> Vec<String> {
    let warnings = findings.iter().filter(|finding| !finding.is_error).map(Finding::message);
    warnings.map(|words| by_name(&words, "endpoints", policy)).collect()
}

fn by_name(words: &str, list: &str, within: &Value) -> String {
    let numbered =
        words.split_once(&format!("{list}[")).and_then(|(before, rest)| Some((before, rest.split_once(']')?)));
    let Some((before, (n, rest))) = numbered else { return words.to_owned() };
    let Some(named) = n.parse().ok().and_then(|n: usize| within.get(list)?.get(n)) else { return words.to_owned() };
    format!("{before}{list}[{}]{}", name_of(named), by_name(rest, "cohorts", named))
}

fn in_words(change: &Change) -> String {
    match change {
        Change::Set(path, value) => format!("{} = {}", tree::in_words(path), one_line(value)),
        Change::Insert(path, n, value) => format!("{}[{n}] = {}", tree::in_words(path), one_line(value)),
        Change::Remove(path) => format!("{} is gone", tree::in_words(path)),
    }
}

fn endpoints(policy: &Value) -> impl Iterator<Item = &Value> {
    policy.get("endpoints").and_then(Value::as_array).into_iter().flatten()
}

fn name_of(value: &Value) -> &str {
    value.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The number of an endpoint.
fn endpoint(policy: &Value, name: &str) -> anyhow::Result<usize> {
    match endpoints(policy).position(|endpoint| name_of(endpoint) == name) {
        Some(n) => Ok(n),
        None => bail!("{}", unknown("endpoint", name, &endpoints(policy).map(name_of).collect::<Vec<_>>())),
    }
}

/// The way to an endpoint, or to one of its cohorts.
fn plan(policy: &Value, name: &str, cohort: Option<&str>) -> anyhow::Result<Vec<Step>> {
    let n = endpoint(policy, name)?;
    let mut path: Vec<Step> = vec!["endpoints".into(), n.into()];
    if let Some(cohort) = cohort {
        let cohorts =
            || endpoints(policy).nth(n).and_then(|endpoint| endpoint.get("cohorts")?.as_array()).into_iter().flatten();
        match cohorts().position(|known| name_of(known) == cohort) {
            Some(n) => path.extend(["cohorts".into(), n.into()]),
            None => bail!("{}", unknown("cohort", cohort, &cohorts().map(name_of).collect::<Vec<_>>())),
        }
    }
    Ok(path)
}

fn unknown(kind: &str, name: &str, known: &[&str]) -> String {
    let there_is = if known.is_empty() { "there is none".to_owned() } else { format!("there is {}", known.join(", ")) };
    format!("unknown {kind} {name:?}: {}", did_you_mean(name, known.iter().copied()).unwrap_or(there_is))
}

fn is_listed(policy: &Value, backend: &str) -> bool {
    policy.get("backends").is_some_and(|backends| backends.get(backend).is_some())
}

/// Who lists backends wants to hear of one that is not there. Where there is no list, any name may be a cluster's.
fn known<'a>(policy: &Value, wanted: impl IntoIterator<Item = &'a String>) -> anyhow::Result<()> {
    let known = known_backends(policy);
    for backend in wanted {
        if policy.get("backends").is_some() && !known.contains(&backend.as_str()) {
            bail!("{} (create-backend adds one)", unknown("backend", backend, &known));
        }
    }
    Ok(())
}

/// The backends that are listed or named, each once.
fn known_backends(policy: &Value) -> Vec<&str> {
    let listed = policy.get("backends").and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.as_str());
    let mut known: Vec<_> = listed.chain(lint::names(policy).into_keys()).collect();
    known.sort_unstable();
    known.dedup();
    known
}

/// Adds backends to the list, and the list if need be.
fn list_backends(policy: &Value, new: impl IntoIterator<Item = (String, Value)>) -> Vec<Change> {
    let mut new = new.into_iter();
    let mut changes = Vec::new();
    if policy.get("backends").is_none() {
        changes
            .extend(new.next().map(|(name, backend)| Change::set(vec!["backends".into()], json!({ name: backend }))));
    }
    changes.extend(new.map(|(name, backend)| Change::set(vec!["backends".into(), name.as_str().into()], backend)));
    changes
}

fn by_backend(shares: &[Share]) -> anyhow::Result<Map<String, Value>> {
    let mut traffic = BTreeMap::new();
    for Share { backend, share } in shares {
        ensure!(traffic.insert(backend.clone(), json!(share)).is_none(), "the backend {backend:?} is given twice");
    }
    Ok(traffic.into_iter().collect())
}
