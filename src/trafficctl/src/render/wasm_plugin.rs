//! The WasmPlugin that carries a policy.

use clap::ValueEnum;
use serde_json::{Value, json};

use super::kubernetes::{Deployment, set, without_nulls};
use super::proxies::Proxies;
use crate::error::Error;

/// The options of a WasmPlugin.
#[derive(clap::Args)]
#[group(skip)]
pub struct PluginOptions {
    /// What a proxy does without the filter: if the module can't be fetched, or has crashed.
    #[arg(long, value_enum, default_value_t)]
    fail: Fail,
    /// The position of the filter in the chain. By default it is behind authentication and
    /// authorization, and before Istio's fault, CORS and statistics filters. A fault that a
    /// VirtualService injects has no effect on a request that takes the inserted route.
    #[arg(long, value_enum)]
    phase: Option<Phase>,
}

/// What a proxy does without the filter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Fail {
    /// The hosts' own routes serve all requests. A worker whose filter crashed stays without it
    /// until the proxy gets another policy or module, or restarts.
    #[default]
    Open,
    /// All requests of all hosts of the proxy are refused: 403 without the module, 503 after a
    /// crash.
    Closed,
    /// After a crash, the next request starts the filter again. Without the module, all requests of
    /// all hosts of the proxy get 403. Needs Istio 1.25.
    Reload,
}

/// The position of the filter in Istio's chain of filters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Phase {
    /// Before authentication.
    Authn,
    /// After authentication, before authorization.
    Authz,
    /// After authorization, before Istio's statistics.
    Stats,
}

impl Fail {
    /// The name in a WasmPlugin.
    fn name(self) -> &'static str {
        match self {
            Self::Open => "FAIL_OPEN",
            Self::Closed => "FAIL_CLOSE",
            Self::Reload => "FAIL_RELOAD",
        }
    }
}

impl Phase {
    /// The name in a WasmPlugin.
    fn name(self) -> &'static str {
        match self {
            Self::Authn => "AUTHN",
            Self::Authz => "AUTHZ",
            Self::Stats => "STATS",
        }
    }
}

/// Makes the WasmPlugin `name`. `document` is the policy's JSON.
///
/// # Errors
/// [`Error::Usage`] if the image has a scheme that Istio does not know.
pub fn wasm_plugin(
    name: &str,
    deployment: &Deployment,
    proxies: &Proxies,
    options: &PluginOptions,
    document: &Value,
) -> Result<Value, Error> {
    let mut spec = json!({});
    proxies.select(&mut spec, "selector", "matchLabels");
    set(&mut spec, "url", json!(url(&deployment.image)?));
    set(&mut spec, "pluginName", json!(name));
    set(&mut spec, "failStrategy", json!(options.fail.name()));
    set(&mut spec, "match", json!([{ "mode": "CLIENT" }]));
    set(&mut spec, "pluginConfig", without_nulls(document));
    if let Some(digest) = &deployment.sha256 {
        set(&mut spec, "sha256", json!(digest));
    }
    if let Some(phase) = options.phase {
        set(&mut spec, "phase", json!(phase.name()));
    }
    Ok(json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": deployment.metadata(name),
        "spec": spec,
    }))
}

/// Where Istio's agent gets the module.
fn url(image: &str) -> Result<String, Error> {
    match image.split_once("://") {
        None => Ok(format!("oci://{image}")),
        Some(("oci" | "http" | "https" | "file", _)) => Ok(image.to_owned()),
        Some((scheme, _)) => Err(Error::Usage(format!(
            "--image has the scheme {scheme:?}: Istio takes oci://, http://, https:// and file://, and an image without a \
             scheme is in a registry"
        ))),
    }
}
