//! Writes the seeds of all checks where libFuzzer reads them: a folder for each check, in the folder that is named.

#![allow(clippy::unwrap_used, reason = "a tool of the tests, with one user: the Makefile")]

use std::fs;
use std::path::PathBuf;

fn main() {
    let into = PathBuf::from(std::env::args_os().nth(1).unwrap());
    for (check, _) in fuzz::CHECKS {
        let folder = into.join(check);
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in fuzz::seeds(check).iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}
