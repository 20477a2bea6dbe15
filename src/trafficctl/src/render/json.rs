//! The policy itself, as the JSON that the filter takes.

use crate::document::embedded::Form;
use crate::document::file::PolicyFile;
use crate::error::Error;
use crate::terminal::json_escaped;
use crate::verbs::target::Target;

/// The options of `render json`.
#[derive(clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    pub target: Target,
}

/// The policy's JSON as its author wrote it, or with line breaks if it has none.
///
/// # Errors
/// If the file does not have exactly one policy.
pub fn text_of(file: &PolicyFile) -> Result<String, Error> {
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
