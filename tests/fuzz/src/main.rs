//! Between the seeds and libFuzzer, which has them as files: `write FOLDER` writes them there,
//! `keep FOLDER` takes over what is there; a folder in it for each check.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a tool of the tests, with one user: the Makefile")]

use std::path::PathBuf;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let verb = arguments.next().unwrap();
    let folder = PathBuf::from(arguments.next().unwrap());
    for (check, _) in fuzz::CHECKS {
        match verb.as_str() {
            "write" => fuzz::seeds::write(check, &folder.join(check)),
            "keep" => fuzz::seeds::keep(check, &folder.join(check)),
            _ => panic!("write or keep"),
        }
    }
}
