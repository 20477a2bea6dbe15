//! `render`: the configuration that carries a policy to a proxy, ready to run or to apply.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use clap::ValueEnum;
use policy::{Backend, Cohort, Policy, Traffic};
use serde_json::Value;

use crate::Outcome;
use crate::check::did_you_mean;
use crate::edit;
use crate::file::PolicyFile;
use crate::kubernetes;
use crate::tree;

/// The files that the tests and the demo run, too.
const ENVOY: &str = include_str!("../../../envoy/envoy.yaml");
const ECDS: &str = include_str!("../../../envoy/traffic-policy.yaml");
const MIRROR: &str = include_str!("../../../envoy/mirror-policy.yaml");

/// The names in them that a policy may change.
const ROUTING_HEADER: &str = "x-traffic-cluster";
const MIRROR_HEADER: &str = "x-traffic-mirror";
const MODULE: &str = "target/wasm32-wasip1/release/traffic_policy.wasm";

/// What is said of the file that Envoy watches.
const WATCHED: &str =
    "The filter, with its policy, comes from a file that Envoy watches. Replace the file by renaming a new one
          # over it: the new policy is in force at once, on all workers, and a bad one changes nothing.";

/// What a policy is rendered for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Form {
    /// A whole Envoy configuration with the policy in it, to be run by `envoy -c`.
    Envoy,
    /// The file that Envoy watches for the policy (ECDS), to be renamed into place.
    Ecds,
    /// An Istio WasmPlugin, and the EnvoyFilter that lets routes follow the filter.
    Istio,
    /// An EnvoyExtensionPolicy of Envoy Gateway, and the HTTPRoute whose rules follow the filter.
    EnvoyGateway,
}

/// The options of `render`.
#[derive(clap::Args)]
pub struct Arguments {
    /// What to render.
    form: Form,
    /// The policy, or a file that holds it.
    file: PathBuf,
    /// Where a cluster's hosts are; repeat it for each. By default at its name, port 80.
    #[arg(long = "cluster", value_name = "NAME=HOST:PORT")]
    pub clusters: Vec<Address>,
    /// For `envoy` and `ecds`: the path of the module. By default where `make build` puts it.
    #[arg(long, value_name = "FILE")]
    module: Option<String>,
    /// For `envoy`: take the policy from this ECDS file, so that it can change live, rather than hold it.
    #[arg(long, value_name = "FILE")]
    ecds: Option<String>,
    /// For `istio` and `envoy-gateway`: the module's image. By default one that you have to replace.
    #[arg(long)]
    pub image: Option<String>,
    /// For `istio` and `envoy-gateway`: the digest of the image's manifest, as `make image` prints it: no other is run.
    #[arg(long, value_name = "HEX")]
    pub sha256: Option<String>,
    /// For `istio` and `envoy-gateway`: the namespace. By default `default`.
    #[arg(long)]
    pub namespace: Option<String>,
    /// For `istio`: the label `istio` of the proxies; for `envoy-gateway`: the Gateway's name. By default `gateway`.
    #[arg(long)]
    pub gateway: Option<String>,
    /// For `istio`: the sidecars of the workloads with this label, for what they send out, rather than a gateway.
    #[arg(long, value_name = "LABEL=VALUE", value_parser = label, conflicts_with = "gateway")]
    pub sidecar: Option<(String, String)>,
    /// For `istio`: the host whose routes follow the filter, with its port: `ranker.prod.svc.cluster.local:8080`. By
    /// default all routes of the gateway; needed for `--sidecar` and `--routes virtual-service`.
    #[arg(long, value_name = "HOST:PORT", value_parser = host)]
    pub host: Option<(String, u16)>,
    /// For `istio`: how routes follow the filter. By default by an EnvoyFilter.
    #[arg(long, value_enum)]
    pub routes: Option<Routes>,
    /// For `istio`: where in the chain the filter stands. By default at its end, right before the router.
    #[arg(long, value_enum)]
    pub phase: Option<Phase>,
}

/// How Istio's routes follow the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Routes {
    /// An EnvoyFilter that lets the routes take the cluster from the routing header. Any cluster that the proxy knows.
    #[default]
    EnvoyFilter,
    /// A VirtualService with a route for each cluster, by the routing header, and DestinationRules for the subsets.
    /// Nothing but Istio's own API; it must be rendered anew when a backend is added.
    VirtualService,
}

/// Where in Istio's chain of filters the filter stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Phase {
    /// Before Istio's authentication.
    Authn,
    /// After authentication, before authorization.
    Authz,
    /// After authorization, before Istio's statistics.
    Stats,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (label, value) = text.split_once('=').ok_or("write LABEL=VALUE")?;
    Ok((label.to_owned(), value.to_owned()))
}

fn host(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("write HOST:PORT")?;
    Ok((host.to_owned(), port.parse().map_err(|_| format!("{port:?} is not a port"))?))
}

/// A cluster and where its hosts are.
#[derive(Clone, Debug)]
pub struct Address {
    /// The name that the policy gives to it.
    pub cluster: String,
    /// A name or an IP address.
    pub host: String,
    /// Of TCP.
    pub port: u16,
}

impl std::str::FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.rsplit_once('=').and_then(|(cluster, address)| Some((cluster, address.rsplit_once(':')?)));
        let Some((cluster, (host, port))) = parts else { return Err("write NAME=HOST:PORT".to_owned()) };
        let port = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
        Ok(Self { cluster: cluster.to_owned(), host: host.trim_matches(['[', ']']).to_owned(), port })
    }
}

/// Renders a policy.
pub fn run(arguments: &Arguments) -> anyhow::Result<Outcome> {
    let file = PolicyFile::read(&arguments.file)?;
    let Some(policy) = file.policy()? else { return Ok(Outcome::Bad) };
    let document = file.value(file.only_policy()?)?;
    arguments.check(&policy)?;
    let text = match arguments.form {
        Form::Ecds => ecds(arguments, &file)?,
        Form::Envoy => envoy(arguments, &file, &policy)?,
        Form::Istio => kubernetes::istio(arguments, &policy, &document)?,
        Form::EnvoyGateway => kubernetes::envoy_gateway(arguments, &policy, &document)?,
    };
    let holds_policy = !matches!(arguments.form, Form::Envoy) || arguments.ecds.is_none();
    if holds_policy {
        let rendered = PolicyFile::parse(Path::new("rendered.yaml"), text.clone())?;
        let is_faithful = rendered.value(rendered.only_policy()?)? == document;
        ensure!(is_faithful, "the policy can't be rendered as it is: lay it out anew");
    }
    say!("{}", text.trim_end());
    Ok(Outcome::Good)
}

/// The policy's text as its author wrote it, or laid out anew where it was no JSON.
fn text_of(file: &PolicyFile) -> anyhow::Result<String> {
    let policy = file.only_policy()?;
    let json = file.json(policy);
    let is_written = json.contains(&b'\n');
    if is_written { Ok(String::from_utf8(json)?) } else { Ok(serde_json::to_string_pretty(&file.value(policy)?)?) }
}

fn ecds(arguments: &Arguments, file: &PolicyFile) -> anyhow::Result<String> {
    let module = scalar(arguments.module.as_deref().unwrap_or(MODULE));
    let template = PolicyFile::parse(Path::new("traffic-policy.yaml"), ECDS.replace(MODULE, &module))?;
    edit::with_policy(&template, &text_of(file)?)
}

fn envoy(arguments: &Arguments, file: &PolicyFile, policy: &Policy) -> anyhow::Result<String> {
    let clusters = clusters(policy);
    let fallback = fallback(policy).context("the policy has no endpoint")?;
    for name in std::iter::once(&policy.routing_header).chain(&policy.mirror_headers) {
        ensure!(scalar(name) == *name, "the header {name:?} would need quotes everywhere: give it another name");
    }
    // Before anything of the policy's goes in, which may have such names, too.
    let mut text = with_mirrors(&ENVOY.replace(ROUTING_HEADER, &policy.routing_header), &policy.mirror_headers)?;
    ensure!(text.contains(WATCHED), "the template does not say what it watches");
    let rendered: String = clusters.iter().map(|name| cluster(&arguments.address(name))).collect();
    text = replace(&text, &["static_resources".into(), "clusters".into()], rendered.trim())?;
    let manager: Vec<tree::Step> = vec![
        "static_resources".into(),
        "listeners".into(),
        0.into(),
        "filter_chains".into(),
        0.into(),
        "filters".into(),
        0.into(),
        "typed_config".into(),
    ];
    let mutation: [tree::Step; 7] = [
        "early_header_mutation_extensions".into(),
        0.into(),
        "typed_config".into(),
        "mutations".into(),
        0.into(),
        "append".into(),
        "header".into(),
    ];
    text = replace(&text, &[manager.as_slice(), &mutation, &["value".into()]].concat(), &scalar(fallback))?;
    let filter = [manager.as_slice(), &["http_filters".into(), 0.into()]].concat();
    match &arguments.ecds {
        Some(path) => {
            let discovery: [tree::Step; 4] =
                ["config_discovery".into(), "config_source".into(), "path_config_source".into(), "path".into()];
            replace(&text, &[filter.as_slice(), &discovery].concat(), &scalar(path))
        }
        None => {
            // The typed configuration of the ECDS file, moved to where it goes in the proxy's own.
            let ecds = ecds(arguments, file)?;
            let config = tree::find(&ecds, 0, &["resources".into(), 0.into(), "typed_config".into()]);
            let range = tree::range(&config.context("the ECDS file has no filter")?, &ecds);
            let config = ecds.get(range).unwrap_or_default();
            let indented: String = config
                .lines()
                .map(|line| line.strip_prefix("    ").unwrap_or(line))
                .map(|line| indent(line, 12))
                .collect();
            let text = text.replace(
                WATCHED,
                "The filter, with its policy. To change it live, let Envoy take it from a file: --ecds.",
            );
            replace(
                &text,
                &filter,
                &format!("name: traffic-policy\n            typed_config:\n{}", indented.trim_end()),
            )
        }
    }
}

fn indent(line: &str, spaces: usize) -> String {
    if line.is_empty() { "\n".to_owned() } else { format!("{:spaces$}  {line}\n", "") }
}

/// Adds a mirror policy to the route for each of these headers, and takes the headers from clients.
fn with_mirrors(text: &str, headers: &[String]) -> anyhow::Result<String> {
    const ROUTE: &str = "                  timeout: 15s\n";
    const MUTATION: &str = "                  append_action: OVERWRITE_IF_EXISTS_OR_ADD\n";
    ensure!(text.contains(ROUTE) && text.contains(MUTATION), "the template has no place for mirrors");
    let mut lines = MIRROR.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let Some(title) = lines.next().filter(|_| !headers.is_empty()) else { return Ok(text.to_owned()) };
    let policy: Vec<_> = lines.collect();
    let of = |header: &String| {
        policy.iter().map(|line| format!("{:18}{}\n", "", line.replace(MIRROR_HEADER, header))).collect()
    };
    let policies: String = headers.iter().map(of).collect::<Vec<String>>().concat();
    let removals: String = headers.iter().map(|header| format!("{:14}- remove: {header}\n", "")).collect();
    let text = text.replacen(ROUTE, &format!("{ROUTE}{:18}{title}\n{policies}", ""), 1);
    Ok(text.replacen(MUTATION, &format!("{MUTATION}{removals}"), 1))
}

/// Replaces the value at `path` by `new`, which starts where the value started.
fn replace(text: &str, path: &[tree::Step], new: &str) -> anyhow::Result<String> {
    let value = tree::find(text, 0, path).context("the template has no such place")?;
    Ok(tree::splice(text, tree::range(&value, text), new))
}

fn cluster(Address { cluster, host, port }: &Address) -> String {
    let kind = if host.parse::<IpAddr>().is_ok() { "STATIC" } else { "STRICT_DNS" };
    let (name, host) = (scalar(cluster), scalar(host));
    format!(
        "  - name: {name}
    type: {kind}
    connect_timeout: 1s
    load_assignment:
      cluster_name: {name}
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: {host}, port_value: {port} }} }} }} }}] }}]
"
    )
}

/// A text as a YAML scalar, in quotes only where it needs them.
fn scalar(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./".contains(c);
    let is_word = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/') && text.chars().all(is_plain);
    let is_address = text.parse::<std::net::Ipv4Addr>().is_ok();
    let means_else =
        ["true", "false", "null", "yes", "no", "on", "off", "y", "n"].contains(&text.to_ascii_lowercase().as_str());
    if (is_word && !means_else) || is_address { text.to_owned() } else { Value::from(text).to_string() }
}

impl Arguments {
    /// Refuses options that would have no effect.
    fn check(&self, policy: &Policy) -> anyhow::Result<()> {
        let has_proxy = matches!(self.form, Form::Envoy | Form::Ecds);
        let is_istio = matches!(self.form, Form::Istio);
        let is_virtual_service = is_istio && self.routes() == Routes::VirtualService;
        let has_addresses = matches!(self.form, Form::Envoy | Form::EnvoyGateway) || is_virtual_service;
        let unused = [
            ("--cluster", !self.clusters.is_empty() && !has_addresses),
            ("--module", self.module.is_some() && !has_proxy),
            ("--ecds", self.ecds.is_some() && !matches!(self.form, Form::Envoy)),
            ("--image", self.image.is_some() && has_proxy),
            ("--namespace", self.namespace.is_some() && has_proxy),
            ("--gateway", self.gateway.is_some() && has_proxy),
            ("--sha256", self.sha256.is_some() && has_proxy),
            ("--sidecar", self.sidecar.is_some() && !is_istio),
            ("--host", self.host.is_some() && !is_istio),
            ("--routes", self.routes.is_some() && !is_istio),
            ("--phase", self.phase.is_some() && !is_istio),
        ];
        if let Some((option, _)) = unused.iter().find(|(_, is_unused)| *is_unused) {
            bail!("{option} is for another form than this");
        }
        if let Some(digest) = &self.sha256 {
            let is_digest = digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit());
            ensure!(is_digest, "--sha256 is 64 hexadecimal digits, without \"sha256:\"");
        }
        let needs_host = self.sidecar.is_some() || is_virtual_service;
        ensure!(!needs_host || self.host.is_some(), "name the host whose routes follow the filter: --host HOST:PORT");
        let known = clusters(policy);
        for Address { cluster, .. } in &self.clusters {
            if !known.contains(&cluster.as_str()) {
                let guess = did_you_mean(cluster, known.iter().copied());
                bail!(
                    "the policy names no cluster {cluster:?}: {}",
                    guess.unwrap_or_else(|| format!("it names {}", known.join(", ")))
                );
            }
        }
        Ok(())
    }

    /// See the option.
    pub fn routes(&self) -> Routes {
        self.routes.unwrap_or_default()
    }

    /// See the option.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// See the option.
    pub fn gateway(&self) -> &str {
        self.gateway.as_deref().unwrap_or("gateway")
    }

    /// See the option.
    pub fn image(&self) -> &str {
        self.image.as_deref().unwrap_or("registry.example/traffic-policy:0.1.0")
    }

    /// Where the hosts of a cluster are.
    pub fn address(&self, cluster: &str) -> Address {
        let given = self.clusters.iter().find(|address| address.cluster == cluster).cloned();
        given.unwrap_or_else(|| {
            // Istio's own names say where: outbound|8080|v2|model.prod.svc.cluster.local
            let parts: Vec<_> = cluster.split('|').collect();
            let (host, port) = match parts.as_slice() {
                [_, port, _, host] => (*host, port.parse().unwrap_or(80)),
                _ => (cluster, 80),
            };
            Address { cluster: cluster.to_owned(), host: host.to_owned(), port }
        })
    }
}

/// All backends that serve or get copies.
fn backends(policy: &Policy) -> impl Iterator<Item = &Backend> {
    let plans = policy
        .endpoints()
        .flat_map(|endpoint| std::iter::once(endpoint.traffic()).chain(endpoint.cohorts().map(Cohort::traffic)));
    let serving = plans.flat_map(Traffic::shares).map(|(backend, _)| &**backend);
    serving.chain(policy.shadows().map(|shadow| &*shadow.backend))
}

/// The clusters that the policy may name, each once, in the order in which it does.
pub fn clusters(policy: &Policy) -> Vec<&str> {
    let mut known = BTreeSet::new();
    let all =
        policy.default_cluster.as_deref().into_iter().chain(backends(policy).map(|backend| backend.cluster.as_str()));
    all.filter(|cluster| known.insert(*cluster)).collect()
}

/// The cluster that serves where the filter does not.
pub fn fallback(policy: &Policy) -> Option<&str> {
    let first = policy.endpoints().next().map(|endpoint| {
        let largest = endpoint.traffic().shares().max_by(|(_, a), (_, b)| a.total_cmp(b));
        largest.map_or("", |(backend, _)| backend.cluster.as_str())
    });
    policy.default_cluster.as_deref().or(first)
}
