//! The file that Envoy watches for the policy: an answer of its extension config discovery service
//! (ECDS).

use std::path::{Path, PathBuf};

use super::template::scalar;
use crate::document::edit::with_policy;
use crate::document::embedded::Form;
use crate::document::file::PolicyFile;
use crate::error::Error;
use crate::terminal::json_escaped;

/// The file that the tests and the demo run, too.
const TEMPLATE: &str = include_str!("../../../../envoy/traffic-policy.yaml");

/// The path of the module in the template.
pub const MODULE: &str = "target/wasm32-wasip1/release/traffic_policy.wasm";

/// The options of `render ecds`.
#[derive(clap::Args)]
pub struct Arguments {
    /// The policy, or a file that holds it.
    pub file: PathBuf,
    /// The path of the module.
    #[arg(long, value_name = "FILE", default_value = MODULE)]
    module: String,
}

/// Renders the file.
///
/// # Errors
/// If the policy can't be written into it.
pub fn render(arguments: &Arguments, file: &PolicyFile) -> Result<String, Error> {
    with_module(file, &arguments.module)
}

/// The file with the policy of `file`, and the module at this path.
///
/// # Errors
/// If the policy can't be written into it.
pub fn with_module(file: &PolicyFile, module: &str) -> Result<String, Error> {
    let template = PolicyFile::parse(Path::new("traffic-policy.yaml"), TEMPLATE.replace(MODULE, &scalar(module)))?;
    with_policy(&template, &text_of(file)?)
}

/// The policy's JSON as its author wrote it, or with line breaks if it has none.
fn text_of(file: &PolicyFile) -> Result<String, Error> {
    let policy = file.only_policy()?;
    let written = match &policy.form {
        Form::File => Some(&file.text),
        Form::Text { json, .. } => Some(json),
        Form::Value { .. } | Form::Bytes(_) => None,
    };
    let laid_out = || policy.value.as_ref().map(|value| format!("{value:#}")).unwrap_or_default();
    let text = written.filter(|json| json.contains('\n')).cloned().unwrap_or_else(laid_out);
    // YAML has no place for control characters, not even for those that JSON allows.
    Ok(json_escaped(&text).into_owned())
}
