//! Exchanges seeds with libFuzzer, which keeps each in a file: `write FOLDER` writes them, and
//! `keep FOLDER` reads them back. The folder contains a folder for each check.

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
