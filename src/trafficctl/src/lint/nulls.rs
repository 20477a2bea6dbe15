//! Values that get lost on the way to a cluster.

use serde_json::Value;

use crate::document::embedded::Form;
use crate::document::file::Judged;
use crate::document::outline::plans;
use policy::{Finding, Kind};

/// Warns of each `"affinity": null` in a manifest: `kubectl apply` drops members that are null.
pub fn dropped(policy: &Judged, document: &Value) -> Vec<Finding> {
    let is_manifest = matches!(&policy.form, Form::Value { steps, .. } if !steps.is_empty());
    let nulls = plans(document).filter(|(_, plan)| plan.get("affinity").is_some_and(Value::is_null));
    let warning = |(place, _): (policy::Place, &Value)| {
        let problem = "`kubectl apply` drops a member that is null, so the filter would use its default keys";
        Finding::warning(Kind::Conflict, place.member("affinity"), problem, "write {\"keys\": []}")
    };
    if is_manifest { nulls.map(warning).collect() } else { Vec::new() }
}
