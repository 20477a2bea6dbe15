//! `render admission`: a policy of Kubernetes that refuses what the filter would refuse.

mod cel;
mod check;
mod object;
mod refine;
mod rules;
mod section;
mod shape;
mod size;

use serde_json::{Value, json};

use super::kubernetes::documents;
use crate::error::Error;
use check::operand;

/// The options of `render admission`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The name of the objects.
    #[arg(long, default_value = "traffic-policy")]
    name: String,
    /// Only warn about what the filter would refuse, and admit it.
    #[arg(long)]
    warn: bool,
}

/// A resource that carries policies.
struct Resource {
    group: &'static str,
    version: &'static str,
    plural: &'static str,
    /// Whether an object of this kind carries a policy: a bool in CEL.
    carries: &'static str,
    /// The policy in it, or null: CEL.
    policy: &'static str,
}

const RESOURCES: [Resource; 1] = [Resource {
    group: "extensions.istio.io",
    version: "v1alpha1",
    plural: "wasmplugins",
    carries: "object.spec.?pluginName.orValue('').matches('^traffic-policy(-|$)')",
    policy: "object.spec.?pluginConfig.orValue(null)",
}];

/// Renders the objects.
///
/// # Errors
/// [`Error::Wrong`] if they can't be written as YAML.
pub fn render(arguments: &Arguments) -> Result<String, Error> {
    let objects: Vec<Value> = RESOURCES.iter().flat_map(|resource| objects(arguments, resource)).collect();
    documents(&objects)
}

/// The rules and what binds them to the cluster.
fn objects(arguments: &Arguments, resource: &Resource) -> [Value; 2] {
    let name = &arguments.name;
    let schema = refine::refined();
    let mut variables = vec![
        json!({ "name": "policy", "expression": resource.policy }),
        json!({ "name": "is_large", "expression": size::is_large() }),
    ];
    let mut validations = Vec::new();
    let mut well_formed = Vec::new();
    for section in section::sections(&schema) {
        let variable = format!("{}_is_right", section.name);
        let value = format!("variables.{variable}");
        variables.push(json!({ "name": variable, "expression": section.check.holds }));
        let value_or_large = format!("variables.is_large || {value}");
        validations.push(json!({
            "expression": value_or_large,
            "message": format!("the policy's {} is wrong", section.name.replace('_', " ")),
            "messageExpression": format!("{value_or_large} ? '' : {}", operand(&section.check.problem)),
        }));
        well_formed.push(value);
    }
    variables.push(json!({ "name": "is_well_formed", "expression": well_formed.join(" && ") }));
    for variable in rules::variables() {
        variables.push(json!({ "name": variable.name, "expression": variable.expression }));
    }
    for rule in rules::rules() {
        variables.push(json!({ "name": rule.name, "expression": rule.check.holds }));
        let value = format!("variables.is_large || !variables.is_well_formed || variables.{}", rule.name);
        validations.push(json!({
            "expression": value,
            "message": rule.words,
            "messageExpression": format!("{value} ? '' : {}", operand(&rule.check.problem)),
        }));
    }
    let rules = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": { "name": name },
        "spec": {
            "failurePolicy": "Ignore",
            "matchConstraints": { "resourceRules": [{
                "apiGroups": [resource.group],
                "apiVersions": [resource.version],
                "operations": ["CREATE", "UPDATE"],
                "resources": [resource.plural],
            }] },
            "matchConditions": [{ "name": "carries-a-traffic-policy", "expression": resource.carries }],
            "variables": variables,
            "validations": validations,
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": { "name": name },
        "spec": { "policyName": name, "validationActions": [if arguments.warn { "Warn" } else { "Deny" }] },
    });
    [rules, binding]
}
