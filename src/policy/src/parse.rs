//! From the JSON text to a policy that is ready.

use crate::finding::{Errors, Finding, Refused};
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
    /// Everything that is wrong with the policy, except for what can't be judged before something
    /// else is mended: a syntax error is reported alone, and a value of a wrong type hides other
    /// errors in the values of its endpoint, or in those of the document if it is in none.
    pub fn from_json(json: &[u8]) -> Result<Parsed, Refused> {
        let mut errors = Errors::default();
        let (config, hash) = config::read(json, &mut errors)?;
        let (policy, warnings) = compile::compile(&config, hash, errors)?;
        Ok(Parsed { policy, warnings })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(json: &str) -> u64 {
        Policy::from_json(json.as_bytes()).unwrap().policy.hash
    }

    #[test]
    fn the_hash_depends_on_what_the_document_says_and_not_on_its_layout() {
        let compact = hash(r#"{"endpoints":[{"name":"e","traffic":{"a":0.5,"b":0.5}}]}"#);
        let spread = hash(r#"{ "endpoints": [ { "traffic": { "b": 5e-1, "a": 0.50 }, "name": "e" } ] }"#);
        assert_eq!(compact, spread);
        assert_ne!(compact, hash(r#"{"endpoints":[{"name":"e","traffic":{"a":0.4,"b":0.6}}]}"#));
    }

    #[test]
    fn a_double_holds_the_hash() {
        for share in 1..50 {
            let rest = 100 - share;
            let json = format!(r#"{{"endpoints": [{{"name": "e", "traffic": {{"a": {share}, "b": {rest}}}}}]}}"#);
            assert!(hash(&json) < 1 << 53, "{json}");
        }
    }
}
