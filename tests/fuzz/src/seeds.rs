//! Bytes to begin with.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What a check begins with: the policies of the tables of cases and those that are refused, and what fuzzers have found
/// worth keeping.
pub fn seeds(check: &str) -> Vec<Vec<u8>> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut seeds = Vec::new();
    for file in files(&tests.join("fuzz/seeds").join(check)) {
        seeds.push(fs::read(file).unwrap());
    }
    if check == "policy" {
        for table in files(&tests.join("cases")) {
            seeds.push(parse(&table)["policy"].to_string().into_bytes());
        }
        for refusal in parse(&tests.join("refusals.json")).as_array().unwrap() {
            let text = refusal["text"].as_str().map(str::to_owned);
            seeds.push(text.unwrap_or_else(|| refusal["policy"].to_string()).into_bytes());
        }
    }
    seeds
}

fn parse(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// In order of their names, so that each run has the same.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
