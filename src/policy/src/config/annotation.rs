//! Fields for editors and people, which change nothing: `$schema` and `description`.

use super::node::Node;

/// The names of the fields.
const NAMES: [&str; 2] = ["$schema", "description"];

/// Removes the annotations of a policy, its backends, endpoints and cohorts. Elsewhere the names are
/// those of backends or headers.
pub(super) fn remove(policy: &mut Node) {
    remove_from(policy);
    if let Some(Node::Object(backends)) = policy.member_mut("backends") {
        backends.iter_mut().for_each(|(_, backend)| remove_from(backend));
    }
    for endpoint in elements(policy, "endpoints") {
        remove_from(endpoint);
        elements(endpoint, "cohorts").iter_mut().for_each(remove_from);
    }
}

fn remove_from(node: &mut Node) {
    if let Node::Object(members) = node {
        members.retain(|(name, _)| !NAMES.contains(&name.as_str()));
    }
}

fn elements<'a>(node: &'a mut Node, name: &str) -> &'a mut [Node] {
    match node.member_mut(name) {
        Some(Node::List(list)) => list,
        _ => &mut [],
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    fn hash(json: &str) -> u64 {
        Policy::from_json(json.as_bytes()).unwrap().policy.hash
    }

    #[test]
    fn annotations_leave_the_hash_as_it_is() {
        let policy = |note: &str| {
            format!(
                r#"{{{note} "backends": {{"a": {{{note} "cluster": "c"}}}}, "endpoints": [
                    {{{note} "name": "e", "traffic": {{"a": 1}}, "cohorts": [
                        {{{note} "name": "c", "match": {{}}, "traffic": {{"a": 1}}}}]}}]}}"#
            )
        };
        let plain = hash(&policy(""));
        assert_eq!(hash(&policy(r#""description": "for testers","#)), plain);
        assert_eq!(hash(&policy(r#""$schema": "./policy.schema.json", "description": "","#)), plain);
    }

    #[test]
    fn a_backend_may_have_the_name_of_an_annotation() {
        let policy = |cluster: &str| {
            format!(
                r#"{{"backends": {{"description": {{"cluster": "{cluster}"}}}},
                    "endpoints": [{{"name": "e", "traffic": {{"description": 1}}}}]}}"#
            )
        };
        assert_ne!(hash(&policy("a")), hash(&policy("b")));
        let shares = |shares: &str| format!(r#"{{"endpoints": [{{"name": "e", "traffic": {{{shares}}}}}]}}"#);
        assert_ne!(hash(&shares(r#""description": 1"#)), hash(&shares(r#""description": 1, "a": 0"#)));
    }
}
