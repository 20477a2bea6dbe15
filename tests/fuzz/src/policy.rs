//! Policies as documents.

use policy::{Gist, Policy};
use serde_json::Value;

/// Any bytes are a policy, or are refused with place, problem and remedy. A policy does not depend
/// on the layout of its document.
///
/// The gist of any bytes can be read, and is what the policy says.
pub fn policy(data: &[u8]) {
    let gist = Gist::of(data);
    assert!(gist.headers.len() >= 2);
    match Policy::from_json(data) {
        Ok(parsed) => {
            assert_eq!((&gist.name, gist.if_invalid), (&parsed.policy.name, parsed.policy.if_invalid));
            let value: Value = serde_json::from_slice(data).unwrap();
            for text in [value.to_string(), serde_json::to_string_pretty(&value).unwrap()] {
                let again = Policy::from_json(text.as_bytes()).unwrap();
                assert_eq!(again.policy.hash, parsed.policy.hash);
                assert!(again == parsed, "{text}");
            }
            for (_, _, traffic) in parsed.policy.traffics() {
                let sum: f64 = traffic.shares().map(|(_, share)| share).sum();
                assert!((sum - 1.0).abs() < 1e-9, "{sum}");
                assert!(traffic.shares().all(|(_, share)| share > 0.0));
            }
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            for error in &errors.0 {
                let text = error.to_string();
                assert!(error.is_error() && text.contains(": ") && text.contains("; "), "{text}");
            }
        }
    }
}
