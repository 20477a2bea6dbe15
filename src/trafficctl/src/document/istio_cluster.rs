//! The names that Istio gives to clusters.

use std::fmt;

/// A cluster for the requests that a proxy sends to a Service: `outbound|PORT|SUBSET|HOST`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IstioCluster {
    /// The port of the Service.
    pub port: u16,
    /// The subset of a DestinationRule; empty for all of the Service.
    pub subset: String,
    /// The full name of the Service.
    pub host: String,
}

impl IstioCluster {
    /// Reads the name of a cluster; `None` if it has another form.
    pub fn parse(cluster: &str) -> Option<Self> {
        let mut parts = cluster.split('|');
        let (direction, port, subset, host) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let is_host = host.contains('.') && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
        let is_valid = direction == "outbound" && parts.next().is_none() && is_host;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        is_valid.then(|| Self { port, subset: subset.to_owned(), host: host.to_owned() })
    }

    /// Whether Istio can have a cluster of this name.
    pub fn is_known(cluster: &str) -> bool {
        const OTHERS: [&str; 2] = ["PassthroughCluster", "BlackHoleCluster"];
        const INBOUND: &str = "inbound|";
        const OF_TLS: &str = "outbound_.";
        Self::parse(cluster).is_some()
            || OTHERS.contains(&cluster)
            || (cluster.starts_with(INBOUND) && cluster.split('|').count() == 4)
            || (cluster.starts_with(OF_TLS) && cluster.split("_.").count() == 4)
    }
}

impl fmt::Display for IstioCluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "outbound|{}|{}|{}", self.port, self.subset, self.host)
    }
}

/// How the clusters of a policy are named after its backends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterForm {
    /// A backend is a Service of its name.
    Services {
        /// The port of the Services.
        port: u16,
        /// What follows the name of a Service, with the dot.
        domain: String,
    },
    /// A backend is a subset of one Service.
    Subsets {
        /// The port of the Service.
        port: u16,
        /// The full name of the Service.
        host: String,
        /// What stands in the name of a backend before that of its subset; often empty.
        prefix: String,
    },
}

impl ClusterForm {
    /// The form of a backend's cluster; `None` if it has another.
    pub fn of(backend: &str, cluster: &str) -> Option<Self> {
        let IstioCluster { port, subset, host } = IstioCluster::parse(cluster)?;
        if subset.is_empty() {
            let domain = host.strip_prefix(backend).filter(|domain| domain.starts_with('.'))?;
            return Some(Self::Services { port, domain: domain.to_owned() });
        }
        let prefix = backend.strip_suffix(&subset)?.to_owned();
        Some(Self::Subsets { port, host, prefix })
    }

    /// The cluster of a backend in this form; `None` if its name does not fit.
    pub fn cluster(&self, backend: &str) -> Option<String> {
        let cluster = match self {
            Self::Services { port, domain } => {
                let host = is_service(backend).then(|| format!("{backend}{domain}"))?;
                IstioCluster { port: *port, subset: String::new(), host }
            }
            Self::Subsets { port, host, prefix } => {
                let subset =
                    backend.strip_prefix(prefix).filter(|subset| !subset.is_empty() && !subset.contains('|'))?;
                IstioCluster { port: *port, subset: subset.to_owned(), host: host.clone() }
            }
        };
        Some(cluster.to_string())
    }
}

/// Whether a Service can have this name: the label of a DNS name.
pub fn is_service(name: &str) -> bool {
    let is_inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_outer = |byte: Option<u8>| byte.is_some_and(|byte| byte != b'-');
    (1..=63).contains(&name.len())
        && name.bytes().all(is_inner)
        && is_outer(name.bytes().next())
        && is_outer(name.bytes().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn istio_has_clusters_of_a_few_forms() {
        for (cluster, expected) in [
            ("outbound|8080|v1|ranker.prod.svc.cluster.local", true),
            ("outbound|8080||ranker.prod.svc.cluster.local", true),
            ("outbound|443||api.example.com", true),
            ("outbound_.8080_.v1_.ranker.prod.svc.cluster.local", true),
            ("inbound|8080||", true),
            ("PassthroughCluster", true),
            ("BlackHoleCluster", true),
            ("ranker-v1", false),
            ("outbound|8080||ranker", false),
            ("outbound|http||ranker.prod.svc.cluster.local", false),
            ("outbound|0||ranker.prod.svc.cluster.local", false),
            ("outbound|8080|ranker.prod.svc.cluster.local", false),
            ("outbound|8080||ranker.prod.svc.cluster.local|", false),
            ("outbound|8080||ranker prod.svc", false),
            ("Outbound|8080||ranker.prod.svc", false),
        ] {
            assert_eq!(IstioCluster::is_known(cluster), expected, "{cluster}");
        }
    }

    #[test]
    fn a_new_cluster_is_named_as_another_is() {
        for (backend, cluster, new, expected) in [
            ("ranker-v1", "outbound|80||ranker-v1.a.svc.b", "ranker-v3", Some("outbound|80||ranker-v3.a.svc.b")),
            ("ranker-v1", "outbound|80||ranker-v1.a.svc.b", "ranker_v3", None),
            ("v1", "outbound|80|v1|ranker.a.svc.b", "v3", Some("outbound|80|v3|ranker.a.svc.b")),
            ("ranker-v1", "outbound|80|v1|ranker.a.svc.b", "ranker-v3", Some("outbound|80|v3|ranker.a.svc.b")),
            ("ranker-v1", "outbound|80|v1|ranker.a.svc.b", "v3", None),
            ("ranker-v1", "outbound|80|v1|ranker.a.svc.b", "ranker-", None),
            ("stable", "outbound|80|v1|ranker.a.svc.b", "v3", None),
            ("stable", "outbound|80||ranker.a.svc.b", "v3", None),
            ("stable", "stable", "v3", None),
        ] {
            let found = ClusterForm::of(backend, cluster).and_then(|form| form.cluster(new));
            assert_eq!(found.as_deref(), expected, "{backend} {cluster} {new}");
        }
    }

    #[test]
    fn a_name_is_that_of_a_service_by_the_rules_of_dns() {
        let long = "a".repeat(64);
        for (name, expected) in [
            ("ranker-v1", true),
            ("1", true),
            ("", false),
            ("a_b", false),
            ("A", false),
            ("-a", false),
            ("a-", false),
            (&long, false),
        ] {
            assert_eq!(is_service(name), expected, "{name}");
        }
    }
}
