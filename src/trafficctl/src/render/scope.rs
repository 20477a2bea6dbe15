//! The hosts whose requests a policy is about, and whether its endpoints keep to them.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::subject::subject;
use crate::document::endpoint_path::{is_bound, matches};
use crate::document::host::may_be_same;
use crate::document::outline::{list, name_of};
use crate::error::Error;
use crate::terminal::warn;

/// The hosts on the command line.
#[derive(clap::Args)]
#[group(skip)]
pub struct Scope {
    /// A host whose requests follow the filter; may be repeated: `ranker.example.com`, or for
    /// sidecars `ranker.prod.svc.cluster.local`. It stands for all ports of the host, and for all
    /// hosts of its VirtualService. With `HOST:PORT`, it stands for one port, and has to be the
    /// first host of its VirtualService.
    #[arg(id = "host", long = "host", value_name = "HOST[:PORT]")]
    pub hosts: Vec<Host>,
    /// The policy is about all hosts of the proxies. It decides about the requests of all teams that
    /// share them, wherever its endpoints match.
    #[arg(long, conflicts_with = "host")]
    pub all_hosts: bool,
}

/// A host, perhaps with a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The name, in lower case, or a pattern such as `*.example.com`.
    pub name: String,
    /// The port; `None` for all.
    pub port: Option<u16>,
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, port) = match text.rsplit_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| format!("{port:?} is not a port"))?)),
            None => (text, None),
        };
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let rest = name.strip_prefix("*.").unwrap_or(name);
        if name != "*" && (rest.is_empty() || !rest.chars().all(is_name)) {
            return Err("write HOST or HOST:PORT, as in ranker.example.com or ranker.example.com:443".to_owned());
        }
        Ok(Self { name: name.to_ascii_lowercase(), port })
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

impl Scope {
    /// Checks that the policy keeps to the hosts. Warns of what has no effect, or takes more of
    /// these hosts than the endpoints do. `document` is the policy's JSON.
    ///
    /// # Errors
    /// [`Error::Usage`] without hosts, [`Error::Wrong`] for endpoints that take requests of every host of
    /// the proxies.
    pub fn check(&self, document: &Value) -> Result<(), Error> {
        let has_default = document.get("default_cluster").is_some();
        let first = match self.hosts.first() {
            Some(first) => first,
            None if !self.all_hosts => return Err(Error::Usage(NO_HOST.to_owned())),
            None => {
                if has_default {
                    warn_of_default("of these proxies");
                }
                return Ok(());
            }
        };
        let unbound: Vec<_> = list(document, "endpoints").filter(|endpoint| !is_bound(endpoint)).collect();
        if !unbound.is_empty() {
            return Err(Error::Wrong(unbound_endpoints(&unbound, first)));
        }
        for endpoint in list(document, "endpoints") {
            let of_matches = matches(endpoint).into_iter().flat_map(|one| list(one, "hosts"));
            let hosts: Vec<_> = of_matches.filter_map(Value::as_str).collect();
            if !hosts.is_empty() && !hosts.iter().any(|host| self.has(host)) {
                warn(&format!(
                    "the endpoint {:?} is for {}, none of which is a --host: its requests are counted, but no route \
                     follows the filter",
                    name_of(endpoint),
                    hosts.join(", ")
                ));
            }
        }
        if has_default {
            let hosts: Vec<_> = self.hosts.iter().map(ToString::to_string).collect();
            warn_of_default(&format!("to {}", hosts.join(", ")));
        }
        Ok(())
    }

    /// Whether requests to `host`, as an endpoint writes it, can be among those of these hosts.
    fn has(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| may_be_same(&known.name, host))
    }
}

/// The error about a policy for no host.
const NO_HOST: &str = "which hosts is the policy about? Name each with --host, as in --host ranker.example.com; \
                       --all-hosts is for proxies that you share with nobody";

/// Warns of a default cluster, which takes more than the endpoints do.
fn warn_of_default(requests: &str) {
    warn(&format!(
        "default_cluster takes all requests {requests} that no endpoint takes, in place of the hosts' own routes, \
         redirects included; without it, they are served as before"
    ));
}

/// The error about endpoints for every host.
fn unbound_endpoints(endpoints: &[&Value], host: &Host) -> String {
    let names: Vec<_> = endpoints.iter().map(|endpoint| name_of(endpoint)).collect();
    let (subject, verb) = (subject("endpoint", &names), if names.len() == 1 { "names" } else { "name" });
    format!(
        "{subject} {verb} no host, and the filter sees the requests of every host of the proxies: it would decide, \
         count and copy those of other teams too. Write \"match\": {{\"hosts\": [{:?}]}} beside `route`, or name the \
         route by the property [\"xds\", \"route_name\"]; --all-hosts is for proxies that you share with nobody",
        host.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_has_a_port_or_stands_for_all() {
        for (text, expected) in [
            ("a.example", Ok(("a.example", None))),
            ("A.example:443", Ok(("a.example", Some(443)))),
            ("*.example", Ok(("*.example", None))),
            ("*", Ok(("*", None))),
            ("a.example:x", Err("\"x\" is not a port")),
            ("https://a.example", Err("\"//a.example\" is not a port")),
            ("a/b", Err("write HOST or HOST:PORT, as in ranker.example.com or ranker.example.com:443")),
            ("*.", Err("write HOST or HOST:PORT, as in ranker.example.com or ranker.example.com:443")),
        ] {
            let host = |(name, port): (&str, _)| Host { name: name.to_owned(), port };
            assert_eq!(text.parse(), expected.map(host).map_err(str::to_owned), "{text}");
        }
    }
}
