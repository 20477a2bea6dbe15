//! Seeds: the bytes that a fuzzer starts from.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The seeds of a check: those that fuzzers have found, and those in the tests' tables.
pub fn seeds(check: &str) -> Vec<Vec<u8>> {
    let texts: Vec<String> = serde_json::from_value(parse(&file_of(check))).unwrap();
    let kept = texts.iter().map(|text| text.chars().map(|byte| u8::try_from(byte).unwrap()).collect());
    kept.chain(of_tables(check)).collect()
}

/// The policies in the tables of cases and of refusals.
fn of_tables(check: &str) -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    if check == "policy" {
        let data = data();
        for table in files(&data.join("cases")) {
            seeds.push(parse(&table)["policy"].to_string().into_bytes());
        }
        for refusal in parse(&data.join("refusals.json")).as_array().unwrap() {
            let text = refusal["text"].as_str().map(str::to_owned);
            seeds.push(text.unwrap_or_else(|| refusal["policy"].to_string()).into_bytes());
        }
    }
    seeds
}

/// Writes the seeds of a check into a folder for libFuzzer.
pub fn write(check: &str, folder: &Path) {
    fs::create_dir_all(folder).unwrap();
    for (number, seed) in seeds(check).iter().enumerate() {
        fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
    }
}

/// Keeps the files in a folder as the seeds of a check, except for those in the tables and for long
/// ones, which the fuzzer makes again from the others.
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

/// The file with the seeds of a check, in which each character stands for one byte.
fn file_of(check: &str) -> PathBuf {
    data().join("seeds").join(check).with_extension("json")
}

/// The folder `tests/data`.
fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("data")
}

fn parse(file: &Path) -> Value {
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

/// The files in a folder, in order of their names, so that each run has the same order.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
