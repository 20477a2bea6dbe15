//! From the JSON text to a policy that is ready.

use crate::finding::{Finding, Refused};
use crate::policy::Policy;
use crate::{compile, config};

/// A policy, and what is odd about it.
#[derive(Debug, PartialEq)]
pub struct Parsed {
    /// Ready to decide.
    pub policy: Policy,
    /// Findings that are no errors, such as an endpoint that no request can reach.
    pub warnings: Vec<Finding>,
}

impl Policy {
    /// Reads a policy from its JSON text, as the filter gets it from Envoy.
    ///
    /// # Errors
    /// Everything that is wrong with the policy. An error that makes the document unreadable (JSON
    /// syntax, a wrong type, an unknown field) is reported alone, since the rest can't be judged
    /// before it is fixed.
    pub fn from_json(json: &[u8]) -> Result<Parsed, Refused> {
        let (config, hash) = config::read(json)?;
        let (policy, warnings) = compile::compile(&config, hash)?;
        Ok(Parsed { policy, warnings })
    }
}
