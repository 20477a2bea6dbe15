//! The proxies that Istio's objects are for.

use std::str::FromStr;

use serde_json::{Value, json};

use super::kubernetes::set;

/// The proxies on the command line: a gateway by its label, a gateway by its resource, or sidecars.
#[derive(clap::Args)]
#[group(skip)]
pub struct Proxies {
    /// The gateway: the value of the label `istio` of its pods. The name of the Gateway resource may
    /// be another.
    #[arg(long, value_name = "VALUE", default_value = "gateway")]
    pub gateway: String,
    /// Use the sidecars of the workloads with this label, for the requests that they send, rather
    /// than a gateway.
    #[arg(long, value_name = "LABEL=VALUE", value_parser = label, conflicts_with = "gateway")]
    pub sidecar: Option<(String, String)>,
    /// Use the gateway of this Gateway resource of the Gateway API, by `targetRefs` in place of a
    /// label. A waypoint can't be a target.
    #[arg(id = "target", long = "target", value_name = "gateway/NAME", conflicts_with_all = ["gateway", "sidecar"])]
    pub resource: Option<GatewayResource>,
}

/// A Gateway resource of the Gateway API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewayResource {
    name: String,
}

impl FromStr for GatewayResource {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const WAYPOINT: &str = "the filter is not supported in waypoints";
        match text.split_once('/') {
            // The name that `istioctl waypoint apply` gives.
            Some(("gateway", "waypoint")) => Err(WAYPOINT.to_owned()),
            Some(("gateway", name)) if !name.is_empty() && !name.contains('/') => Ok(Self { name: name.to_owned() }),
            Some(("service" | "serviceentry", _)) => Err(format!("Istio binds Services to waypoints, and {WAYPOINT}")),
            _ => Err("write gateway/NAME".to_owned()),
        }
    }
}

fn label(text: &str) -> Result<(String, String), String> {
    let (label, value) = text.split_once('=').ok_or("write LABEL=VALUE")?;
    Ok((label.to_owned(), value.to_owned()))
}

impl Proxies {
    /// Whether they are sidecars, rather than a gateway.
    pub fn are_sidecars(&self) -> bool {
        self.sidecar.is_some()
    }

    /// The context of patches for them.
    pub fn context(&self) -> &'static str {
        if self.are_sidecars() { "SIDECAR_OUTBOUND" } else { "GATEWAY" }
    }

    /// Selects them in the `spec` of an object: by `targetRefs`, or by labels that stand in
    /// `selector` under the name `labels`.
    pub fn select(&self, spec: &mut Value, selector: &str, labels: &str) {
        match &self.resource {
            Some(GatewayResource { name }) => {
                let target = json!({ "group": "gateway.networking.k8s.io", "kind": "Gateway", "name": name });
                set(spec, "targetRefs", json!([target]));
            }
            None => set(spec, selector, json!({ labels: self.labels() })),
        }
    }

    fn labels(&self) -> Value {
        match &self.sidecar {
            Some((label, value)) => json!({ label: value }),
            None => json!({ "istio": self.gateway }),
        }
    }
}
