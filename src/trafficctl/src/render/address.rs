//! The hosts of clusters.

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
}

/// The addresses on the command line.
#[derive(clap::Args)]
pub struct Addresses {
    /// The address of a cluster; may be repeated. By default a cluster is at the host with its
    /// name, port 80.
    #[arg(long = "cluster", value_name = "NAME=HOST:PORT")]
    pub clusters: Vec<Address>,
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (cluster, address) = text.rsplit_once('=').ok_or("write NAME=HOST:PORT")?;
        let (host, port) = host_and_port(address).map_err(|_| "write NAME=HOST:PORT")?;
        Ok(Self { cluster: cluster.to_owned(), host: host.trim_matches(['[', ']']).to_owned(), port })
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
            Address { cluster: cluster.to_owned(), host: host.to_owned(), port }
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
        Address { cluster: cluster.into(), host: host.into(), port }
    }

    #[test]
    fn an_address_is_a_cluster_a_host_and_a_port() {
        for (text, expected) in [
            ("v1=10.0.0.1:8080", Ok(address("v1", "10.0.0.1", 8080))),
            ("s=[::1]:9", Ok(address("s", "::1", 9))),
            ("outbound|80|a=b|c=d:1", Ok(address("outbound|80|a=b|c", "d", 1))),
            ("v1=host", Err("write NAME=HOST:PORT")),
            ("host:1", Err("write NAME=HOST:PORT")),
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
