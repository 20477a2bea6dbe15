//! Names on the command line.

/// A name as it is written. What stands between names or before a value is refused here, where the
/// whole command line is at hand; the policy's own rules follow.
///
/// # Errors
/// A message for the user.
pub fn name(text: &str) -> Result<String, String> {
    if text.is_empty() {
        return Err("the name is empty".to_owned());
    }
    if text.contains(',') {
        return Err(format!("{text:?} has a \",\", which no name has: put spaces between names"));
    }
    if text.contains('=') {
        return Err(format!("{text:?} has a \"=\", which no name has: only a share has one, as in model-v1=0.9"));
    }
    Ok(text.to_owned())
}
