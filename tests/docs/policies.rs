//! JSON blocks: each is a policy, or a member of an endpoint.

use policy::Policy;

use super::page::Page;
use super::{TRAFFICCTL, assert_none};

/// The policy of a block: the block itself, or an endpoint with it as a member.
pub fn policy_of(block: &str) -> String {
    if block.trim_start().starts_with('{') {
        return block.to_owned();
    }
    format!(r#"{{"endpoints": [{{"name": "e", "traffic": {{"model-v1": 1}}, {block}}}]}}"#)
}

#[test]
fn json_blocks_are_policies() {
    let (mut wrong, mut count) = (Vec::new(), 0);
    for page in Page::all() {
        for block in page.blocks().into_iter().filter(|block| block.language == "json") {
            count += 1;
            match Policy::from_json(policy_of(&block.text).as_bytes()) {
                Err(errors) => wrong.push(format!("{}: {errors}", page.at(block.number))),
                Ok(parsed) if !parsed.warnings.is_empty() => {
                    wrong.push(format!("{}: {:?}", page.at(block.number), parsed.warnings));
                }
                Ok(_) => (),
            }
        }
    }
    assert!(count >= 9, "{count} blocks");
    assert_none(wrong);
}

#[test]
fn json_blocks_pass_the_check_that_denies_warnings() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("policy.json");
    let file = file.to_str().unwrap();
    let mut wrong = Vec::new();
    for page in Page::all() {
        for block in page.blocks().into_iter().filter(|block| block.language == "json") {
            std::fs::write(file, policy_of(&block.text)).unwrap();
            let ended = TRAFFICCTL.run(["check", "--deny-warnings", file]);
            if ended.status != Some(0) {
                wrong.push(format!("{}: {}", page.at(block.number), ended.stderr));
            }
        }
    }
    assert_none(wrong);
}

#[test]
fn the_recipes_use_each_kind_of_match() {
    let page = super::page("src/policy/README.md");
    let recipes = page.text.split_once("\n## Recipes\n").unwrap().1;
    for word in ["\"regex\"", "\"cookies\"", "\"query\"", "\"properties\"", "\"generate_cookie\"", "\"methods\""] {
        assert!(recipes.contains(word), "no recipe has {word}");
    }
}
