//! The file that Envoy watches for the policy: an answer of its extension config discovery service
//! (ECDS).

use std::path::Path;

use super::json::text_of;
use super::template::scalar;
use crate::document::edit::with_policy;
use crate::document::file::PolicyFile;
use crate::error::Error;
use crate::verbs::target::Target;

/// The file that the tests and the demo run, too.
const TEMPLATE: &str = include_str!("../../../../envoy/traffic-policy.yaml");

/// The path of the module in the template.
pub const MODULE: &str = "target/wasm32-wasip1/release/traffic_policy.wasm";

/// The options of `render ecds`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
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
