//! Bytes to begin with.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// What a check begins with: what fuzzers found worth keeping, and what the tables of the tests
/// have.
pub fn seeds(check: &str) -> Vec<Vec<u8>> {
    let texts: Vec<String> = serde_json::from_value(parse(&file_of(check))).unwrap();
    let kept = texts.iter().map(|text| text.chars().map(|byte| u8::try_from(byte).unwrap()).collect());
    kept.chain(of_tables(check)).collect()
}

/// The policies of the tables of cases and those that are refused.
fn of_tables(check: &str) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    if check == "policy" {
        let tests = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for table in files(&tests.join("data/cases")) {
            seeds.push(parse(&table)["policy"].to_string().into_bytes());
        }
        for refusal in parse(&tests.join("data/refusals.json")).as_array().unwrap() {
            let text = refusal["text"].as_str().map(str::to_owned);
            seeds.push(text.unwrap_or_else(|| refusal["policy"].to_string()).into_bytes());
        }
    }
    seeds
}

/// Writes the seeds of a check into a folder, where libFuzzer reads them.
pub fn write(check: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (number, seed) in seeds(check).iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
    }
}

/// Keeps what libFuzzer has left in a folder as the seeds of a check, but for what the tables have,
/// and what is long: the fuzzer makes it of the others again.
pub fn keep(check: &str, folder: &Path) {
    const LONGEST: usize = 200;
    let mut seeds: Vec<_> = files(folder).iter().map(|file| fs::read(file).unwrap()).collect();
    let known = of_tables(check);
    seeds.retain(|seed| seed.len() <= LONGEST && !known.contains(seed));
    seeds.sort();
    seeds.dedup();
    let text = |seed: Vec<u8>| seed.into_iter().map(char::from).collect::<String>();
    let texts: Vec<_> = seeds.into_iter().map(text).collect();
    fs::write(file_of(check), serde_json::to_string_pretty(&texts).unwrap() + "\n").unwrap();
}

/// The file with the seeds of a check. Each character stands for one byte.
fn file_of(check: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("data/seeds").join(check).with_extension("json")
}

fn parse(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// In order of their names, so that each run has the same.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
