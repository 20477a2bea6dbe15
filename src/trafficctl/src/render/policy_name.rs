//! The name of a policy, which is in the names of its objects.

use std::borrow::Cow;

use serde_json::Value;

use crate::error::Error;

/// What the objects of a policy without a name are called.
const PLAIN: &str = "traffic-policy";

/// The name on the command line.
#[derive(clap::Args)]
#[group(skip)]
pub struct PolicyName {
    /// The name of the policy, so that several are in force on the same proxies: it is written into
    /// the policy as `name`, and stands in the names of the objects. By default the policy's own
    /// `name`.
    #[arg(long, value_parser = name)]
    name: Option<String>,
}

fn name(text: &str) -> Result<String, String> {
    if text.parse::<policy::PolicyName>().is_ok() && !text.ends_with('-') {
        Ok(text.to_owned())
    } else {
        Err("write 1 to 40 of a-z, 0-9 and -, without a - at the end".to_owned())
    }
}

impl PolicyName {
    /// The name of the policy: the one on the command line, or its own.
    ///
    /// # Errors
    /// [`Error::Wrong`] if no object can have it in its name.
    pub fn of<'a>(&'a self, document: &'a Value) -> Result<Option<&'a str>, Error> {
        let own = document.get("name").and_then(Value::as_str);
        let name = self.name.as_deref().or(own);
        match name.map(|given| (given, self::name(given))) {
            Some((given, Err(form))) => Err(Error::Wrong(format!("no object can be named after {given:?}: {form}"))),
            _ => Ok(name),
        }
    }
}

/// The name of a policy's objects. `document` is the policy's JSON.
pub fn object_name(document: &Value) -> Cow<'static, str> {
    match document.get("name").and_then(Value::as_str) {
        Some(name) => Cow::Owned(format!("{PLAIN}-{name}")),
        None => Cow::Borrowed(PLAIN),
    }
}
