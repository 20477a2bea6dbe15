//! The hosts of clusters.

use std::net::Ipv6Addr;
use std::str::FromStr;

use crate::advice::did_you_mean;
use crate::error::Error;

/// The address of a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The cluster.
    pub cluster: String,
    /// A host name or an IP address.
    pub host: String,
    /// The TCP port.
    pub port: u16,
    /// The protocol that it speaks; `None` if the address has no scheme.
    pub protocol: Option<Protocol>,
}

/// The protocol of a cluster, which is the scheme of its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 without TLS: `http://`.
    Http1,
    /// HTTP/2 without TLS, with prior knowledge, as gRPC needs it: `http2://`.
    Http2,
    /// HTTP/2 or HTTP/1.1 over TLS, as the server chooses: `https://`.
    Https,
}

/// The addresses on the command line.
#[derive(clap::Args)]
pub struct Addresses {
    /// The address of a cluster; may be repeated. By default a cluster is at the host with its
    /// name, port 80. In `render envoy`, `NAME=http2://HOST:PORT` is a cluster that speaks HTTP/2,
    /// such as a gRPC server, and `NAME=https://HOST:PORT` one that speaks TLS.
    #[arg(long = "cluster", value_name = "NAME=HOST:PORT")]
    pub clusters: Vec<Address>,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const FORM: &str = "write NAME=HOST:PORT";
        let (cluster, address) = text.rsplit_once('=').ok_or(FORM)?;
        let (protocol, address) = match address.split_once("://") {
            Some((scheme, address)) => (Some(scheme.parse()?), address),
            None => (None, address),
        };
        let (host, port) = host_and_port(address).map_err(|_| FORM)?;
        let host = host.trim_matches(['[', ']']);
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        if host.is_empty() || !(host.chars().all(is_name) || host.parse::<Ipv6Addr>().is_ok()) {
            return Err(format!("{host:?} is neither a host name nor an IP address"));
        }
        Ok(Self { cluster: cluster.to_owned(), host: host.to_owned(), port, protocol })
    }
}

impl FromStr for Protocol {
    type Err = String;

    fn from_str(scheme: &str) -> Result<Self, String> {
        match scheme {
            "http" => Ok(Self::Http1),
            "http2" => Ok(Self::Http2),
            "https" => Ok(Self::Https),
            // The names that gRPC and proxies have for the same.
            "grpc" | "h2c" => Err(format!("unknown scheme {scheme:?}: did you mean \"http2\"?")),
            "grpcs" | "h2" => Err(format!("unknown scheme {scheme:?}: did you mean \"https\"?")),
            _ => Err(format!("unknown scheme {scheme:?}: write http, http2 or https")),
        }
    }
}

/// Parses `HOST:PORT`.
///
/// # Errors
/// A message for the user.
pub fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let (host, port) = text.rsplit_once(':').ok_or("write HOST:PORT")?;
    Ok((host.to_owned(), port.parse().map_err(|_| format!("{port:?} is not a port"))?))
}

impl Addresses {
    /// Checks that all of these clusters are among `known`, the clusters of the policy.
    ///
    /// # Errors
    /// [`Error::Wrong`] for the first that is not.
    pub fn check(&self, known: &[&str]) -> Result<(), Error> {
        match self.clusters.iter().find(|address| !known.contains(&address.cluster.as_str())) {
            Some(Address { cluster, .. }) => {
                let names = || format!("it names {}", known.join(", "));
                let help = did_you_mean(cluster, known.iter().copied()).unwrap_or_else(names);
                Err(Error::Wrong(format!("the policy names no cluster {cluster:?}: {help}")))
            }
            None => Ok(()),
        }
    }

    /// Checks that no address has a scheme.
    ///
    /// # Errors
    /// [`Error::Wrong`] for the first that has one, with the object that sets the protocol instead.
    pub fn refuse_schemes(&self, instead: &str) -> Result<(), Error> {
        match self.clusters.iter().find(|address| address.protocol.is_some()) {
            Some(Address { cluster, .. }) => Err(Error::Wrong(format!(
                "the address of the cluster {cluster:?} has a scheme, which has an effect only in `render envoy`: {instead}"
            ))),
            None => Ok(()),
        }
    }

    /// Whether the command line has the address of this cluster.
    pub fn has(&self, cluster: &str) -> bool {
        self.clusters.iter().any(|address| address.cluster == cluster)
    }

    /// The address of a cluster: the one on the command line, or else the one in its name.
    pub fn of(&self, cluster: &str) -> Address {
        let given = self.clusters.iter().find(|address| address.cluster == cluster).cloned();
        given.unwrap_or_else(|| {
            // Istio's names contain an address: outbound|8080|v2|model.prod.svc.cluster.local
            let parts: Vec<_> = cluster.split('|').collect();
            let (host, port) = match parts.as_slice() {
                [_, port, _, host] => (*host, port.parse().unwrap_or(80)),
                _ => (cluster, 80),
            };
            Address { cluster: cluster.to_owned(), host: host.to_owned(), port, protocol: None }
        })
    }
}

/// The subset in one of Istio's names for clusters; empty if there is none.
pub fn subset(cluster: &str) -> &str {
    cluster.split('|').nth(2).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(cluster: &str, host: &str, port: u16) -> Address {
        Address { cluster: cluster.into(), host: host.into(), port, protocol: None }
    }

    fn with(protocol: Protocol, address: Address) -> Address {
        Address { protocol: Some(protocol), ..address }
    }

    #[test]
    fn an_address_is_a_cluster_a_host_and_a_port() {
        for (text, expected) in [
            ("v1=10.0.0.1:8080", Ok(address("v1", "10.0.0.1", 8080))),
            ("s=[::1]:9", Ok(address("s", "::1", 9))),
            ("outbound|80|a=b|c=d:1", Ok(address("outbound|80|a=b|c", "d", 1))),
            ("v1=host", Err("write NAME=HOST:PORT")),
            ("host:1", Err("write NAME=HOST:PORT")),
            ("v1=http://h:1", Ok(with(Protocol::Http1, address("v1", "h", 1)))),
            ("v1=http2://h.example:1", Ok(with(Protocol::Http2, address("v1", "h.example", 1)))),
            ("v1=https://[::1]:9", Ok(with(Protocol::Https, address("v1", "::1", 9)))),
            ("v1=grpc://h:1", Err("unknown scheme \"grpc\": did you mean \"http2\"?")),
            ("v1=tcp://h:1", Err("unknown scheme \"tcp\": write http, http2 or https")),
            ("v1=http2://h", Err("write NAME=HOST:PORT")),
            ("v1=https://h:1/path", Err("write NAME=HOST:PORT")),
            ("v1=https://user@h:1", Err("\"user@h\" is neither a host name nor an IP address")),
            ("v1=:1", Err("\"\" is neither a host name nor an IP address")),
        ] {
            assert_eq!(text.parse(), expected.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn a_cluster_without_an_address_is_at_the_one_in_its_name() {
        let addresses = Addresses { clusters: vec![address("v1", "here", 1)] };
        for (cluster, host, port) in
            [("v1", "here", 1), ("v2", "v2", 80), ("outbound|8080|v2|model.prod.svc", "model.prod.svc", 8080)]
        {
            assert_eq!(addresses.of(cluster), address(cluster, host, port));
        }
        assert_eq!((subset("outbound|8080|v2|model"), subset("v2")), ("v2", ""));
    }
}
