//! `render`: the configuration that carries a policy to a proxy.

mod address;
mod admission;
mod cluster;
mod clusters;
mod ecds;
mod envoy;
mod envoy_filter;
mod envoy_gateway;
mod followers;
mod inserted_route;
mod into;
mod istio;
mod json;
mod kubernetes;
mod mirror;
mod policy_name;
mod proxies;
mod scope;
mod services;
mod subject;
mod template;
mod virtual_service;
mod wasm_plugin;

use std::path::Path;

use policy::{Policy, Refused};
use serde_json::Value;

use crate::document::file::PolicyFile;
use crate::error::Error;
use crate::report::source_policy;
use crate::terminal::print_document;
use crate::verbs::target::Target;

/// The options of `render`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    form: Form,
}

/// The form of the configuration.
#[derive(clap::Subcommand)]
enum Form {
    #[command(flatten)]
    OfPolicy(PolicyForm),
    /// Render a ValidatingAdmissionPolicy of Kubernetes, which refuses what the filter would refuse.
    #[command(after_help = "Example:
  trafficctl render admission | kubectl apply -f -")]
    Admission(admission::Arguments),
}

/// The form of a configuration that carries a policy.
#[derive(clap::Subcommand)]
enum PolicyForm {
    /// Render an Envoy configuration with the policy in it, for `envoy -c`.
    #[command(after_help = "Examples:
  trafficctl render envoy policy.json --cluster model-v1=10.0.0.1:8080 --cluster model-v2=10.0.0.2:8080 > envoy.yaml
  trafficctl render envoy policy.json --cluster ranker-v1=http2://ranker-v1:8001 --cluster ranker-v2=https://ranker.example:443")]
    Envoy(envoy::Arguments),
    /// Render the policy itself as JSON, which is what the filter takes.
    #[command(after_help = "Example:
  trafficctl render json policy.yaml > policy.json")]
    Json(json::Arguments),
    /// Render the file that Envoy watches for the policy (ECDS). Rename it into place.
    #[command(after_help = "Example:
  trafficctl render ecds policy.json > traffic-policy.yaml.new && mv traffic-policy.yaml.new traffic-policy.yaml")]
    Ecds(ecds::Arguments),
    /// Render an Istio WasmPlugin, and the objects that let routes follow the filter.
    #[command(after_help = "Examples:
  trafficctl render istio policy.json --namespace istio-ingress --gateway ingressgateway \
    --host ranker.example.com --port 8080 --service-namespace prod | kubectl apply -f -
  trafficctl render istio policy.json --namespace prod --sidecar app=frontend --host ranker.prod.svc.cluster.local
  trafficctl render istio policy.json --routes virtual-service --into ranker-routes.yaml   # without an EnvoyFilter
  trafficctl render istio policy.json --routes none --host ranker.example.com              # and its WasmPlugin")]
    Istio(Box<istio::Arguments>),
    /// Render an EnvoyExtensionPolicy of Envoy Gateway, and an HTTPRoute whose rules follow the
    /// filter.
    #[command(after_help = "Example:
  trafficctl render envoy-gateway policy.json --gateway eg | kubectl apply -f -")]
    EnvoyGateway(envoy_gateway::Arguments),
}

impl PolicyForm {
    fn target(&self) -> &Target {
        match self {
            Self::Envoy(arguments) => &arguments.target,
            Self::Json(arguments) => &arguments.target,
            Self::Ecds(arguments) => &arguments.target,
            Self::Istio(arguments) => &arguments.target,
            Self::EnvoyGateway(arguments) => &arguments.target,
        }
    }

    /// Whether the policy is a value of a manifest, rather than JSON text.
    fn is_manifest(&self) -> bool {
        matches!(self, Self::Istio(_) | Self::EnvoyGateway(_))
    }

    /// Whether the output has the policy in it.
    fn has_policy(&self) -> bool {
        match self {
            Self::Envoy(arguments) => arguments.ecds.is_none(),
            Self::Istio(arguments) => arguments.has_policy(),
            Self::Json(_) | Self::Ecds(_) | Self::EnvoyGateway(_) => true,
        }
    }
}

/// Renders a policy.
///
/// # Errors
/// If the file can't be read, the policy is not valid, or the form can't express it.
pub fn run(arguments: &Arguments) -> Result<(), Error> {
    let text = match &arguments.form {
        Form::OfPolicy(form) => of_policy(form)?,
        Form::Admission(arguments) => admission::render(arguments)?,
    };
    print_document(&text);
    Ok(())
}

fn of_policy(form: &PolicyForm) -> Result<String, Error> {
    let file = PolicyFile::read(form.target().file()?)?;
    let policy = source_policy(&file)?;
    let written = file.only_policy()?.value.clone().unwrap_or_default();
    let document = match form {
        PolicyForm::Istio(arguments) => istio::resolved(arguments, &written)?,
        PolicyForm::EnvoyGateway(_) => {
            let kept = kubernetes::if_invalid(&written);
            kubernetes::in_front(written, kept)
        }
        PolicyForm::Envoy(_) | PolicyForm::Json(_) | PolicyForm::Ecds(_) => written,
    };
    let text = match form {
        PolicyForm::Envoy(arguments) => envoy::render(arguments, &file, policy),
        PolicyForm::Json(_) => json::text_of(&file),
        PolicyForm::Ecds(arguments) => ecds::render(arguments, &file),
        PolicyForm::Istio(arguments) => istio::render(arguments, &compiled(&document)?, &document),
        PolicyForm::EnvoyGateway(arguments) => envoy_gateway::render(arguments, policy, &document),
    }?;
    if form.has_policy() {
        let rendered = PolicyFile::parse(Path::new("rendered.yaml"), text.clone())?;
        let expected = if form.is_manifest() { kubernetes::without_nulls(&document) } else { document };
        if rendered.only_policy()?.value.as_ref() != Some(&expected) {
            return Err(Error::Wrong("the layout of the policy can't be rendered: write it in another way".to_owned()));
        }
    }
    Ok(text)
}

/// The policy of a document that was changed for its proxy.
fn compiled(document: &Value) -> Result<Policy, Error> {
    match Policy::from_json(document.to_string().as_bytes()) {
        Ok(parsed) => Ok(parsed.policy),
        Err(Refused(findings)) => {
            let findings: Vec<_> = findings.iter().map(ToString::to_string).collect();
            Err(Error::Wrong(format!("the policy would be refused: {}", findings.join("; "))))
        }
    }
}
