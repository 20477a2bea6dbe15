//! Objects of Kubernetes, and the module's image in them.

use serde_json::{Map, Value, json};

use crate::error::Error;
use crate::terminal::{note, warn};

/// The most bytes in the annotations of an object: the limit of Kubernetes.
const ANNOTATIONS: usize = 256 * 1024;

/// The namespace of the objects, and the image of the module.
#[derive(clap::Args)]
pub struct Deployment {
    /// The namespace of the objects, which is that of the proxies. By default `default`. In Istio's
    /// root namespace (istio-system), objects are for the proxies of all namespaces.
    #[arg(long)]
    namespace: Option<String>,
    /// The image of the module. In Istio, it may have a scheme: `oci://`, `http://`, `https://` or
    /// `file://`. The default is a placeholder.
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
    /// The namespace of the objects.
    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("default")
    }

    /// The metadata of an object.
    pub fn metadata(&self, name: &str) -> Value {
        json!({ "name": name, "namespace": self.namespace() })
    }

    /// Warns of a namespace that nobody chose: objects in another one than that of the proxies have
    /// no effect in Istio, and nothing says so.
    pub fn warn_of_default_namespace(&self) {
        if self.namespace.is_none() {
            warn(
                "the objects are in the namespace \"default\", and only proxies in that namespace get them: --namespace \
                 names another, such as istio-ingress, or Istio's root namespace for the proxies of all",
            );
        }
    }
}

/// Sets a member of an object.
pub fn set(object: &mut Value, name: &str, value: Value) {
    if let Value::Object(members) = object {
        members.insert(name.to_owned(), value);
    }
}

/// The object with these members in front of the others.
pub fn in_front(object: Value, members: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
    let mut all: Map<String, Value> = members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    if let Value::Object(rest) = object {
        for (name, value) in rest {
            all.entry(name).or_insert(value);
        }
    }
    Value::Object(all)
}

/// The member that keeps a refused policy from other teams: where a proxy starts meanwhile, it would
/// refuse requests to all hosts. `None` if the policy has its own.
pub fn if_invalid(policy: &Value) -> Option<(&'static str, Value)> {
    const NAME: &str = "if_invalid";
    policy.get(NAME).is_none().then(|| (NAME, json!("keep")))
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

/// The objects as YAML documents. Notes if one is too large for the client's side of `kubectl
/// apply`, which writes it into an annotation.
///
/// # Errors
/// [`Error::Wrong`] if an object can't be written as YAML.
pub fn documents(objects: &[Value]) -> Result<String, Error> {
    if objects.iter().any(|object| object.to_string().len() >= ANNOTATIONS) {
        note("an object has more than 256 KiB: apply it with kubectl apply --server-side");
    }
    let not_yaml = |error| Error::Wrong(format!("the policy can't be written as YAML: {error}"));
    let documents: Result<Vec<_>, _> =
        objects.iter().map(|object| serde_saphyr::to_string(object).map_err(not_yaml)).collect();
    Ok(documents?.join("---\n"))
}
