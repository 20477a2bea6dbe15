//! Objects of Kubernetes, and the module's image in them.

use serde_json::{Value, json};

use crate::error::Error;

/// The namespace of the objects, and the image of the module.
#[derive(clap::Args)]
pub struct Deployment {
    /// The namespace of the objects.
    #[arg(long, default_value = "default")]
    pub namespace: String,
    /// The image of the module. The default is a placeholder.
    #[arg(long, default_value = "registry.example/traffic-policy:0.1.0")]
    pub image: String,
    /// The digest of the image's manifest, as `make image` prints it: no other image runs.
    #[arg(long, value_name = "HEX", value_parser = digest)]
    pub sha256: Option<String>,
}

fn digest(text: &str) -> Result<String, String> {
    let is_digest = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_digest { Ok(text.to_owned()) } else { Err("write 64 hexadecimal digits, without \"sha256:\"".to_owned()) }
}

impl Deployment {
    /// The metadata of an object.
    pub fn metadata(&self, name: &str) -> Value {
        json!({ "name": name, "namespace": self.namespace })
    }
}

/// Sets a member of an object.
pub fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// The policy as a manifest carries it: `kubectl apply` drops members that are null, so no affinity
/// is an empty list of keys.
pub fn without_nulls(policy: &Value) -> Value {
    let mut policy = policy.clone();
    let endpoints = policy.get_mut("endpoints").and_then(Value::as_array_mut);
    for endpoint in endpoints.into_iter().flatten() {
        if endpoint.get("affinity").is_some_and(Value::is_null) {
            set(endpoint, "affinity", json!({ "keys": [] }));
        }
    }
    policy
}

/// The objects as YAML documents.
///
/// # Errors
/// [`Error::Wrong`] if an object can't be written as YAML.
pub fn documents(objects: &[Value]) -> Result<String, Error> {
    let not_yaml = |error| Error::Wrong(format!("the policy can't be written as YAML: {error}"));
    let documents: Result<Vec<_>, _> =
        objects.iter().map(|object| serde_saphyr::to_string(object).map_err(not_yaml)).collect();
    Ok(documents?.join("---\n"))
}
