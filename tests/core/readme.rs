//! The policies in the README.

use policy::Policy;
use testbed::read;

#[test]
fn the_policies_in_the_readme_are_valid() {
    let readme = read("README.md").unwrap();
    let blocks = readme.split("```json\n").skip(1).filter_map(|rest| Some(rest.split_once("```")?.0.trim()));
    let mut count = 0;
    for block in blocks {
        // A whole policy, or a member of an endpoint.
        let policy = if block.starts_with('{') {
            block.to_owned()
        } else {
            format!(r#"{{"endpoints": [{{"name": "e", "traffic": {{"model-v1": 1}}, {block}}}]}}"#)
        };
        Policy::from_json(policy.as_bytes()).unwrap_or_else(|errors| panic!("{block}\n{errors}"));
        count += 1;
    }
    assert_eq!(count, 3);
}
