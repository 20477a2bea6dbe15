//! The command-line program, run as operators run it.

mod check;
mod dashboard;
mod edits;
mod explain;
mod files;
mod kubernetes;
mod render;
mod schema;
mod tour;
mod users;

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;
use testbed::trafficctl::{Ended, Trafficctl};

/// A folder with files, and the program.
struct Desk {
    folder: TempDir,
    trafficctl: Trafficctl,
}

impl Desk {
    /// A desk on which the file of this name lies; it is what `--file` names.
    fn with(name: &str, text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Self { trafficctl: Trafficctl::build(file).unwrap(), folder }
    }

    /// Puts another file on it.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The path of the first file.
    fn file(&self) -> &str {
        self.trafficctl.file.to_str().unwrap()
    }

    /// What the first file holds now.
    fn text(&self) -> String {
        std::fs::read_to_string(&self.trafficctl.file).unwrap()
    }

    /// Runs a command whose words have no spaces in them.
    fn run(&self, command: &str) -> Ended {
        self.trafficctl.run(command.split(' '))
    }

    /// Runs a command that must end well, and returns what it printed.
    fn ok(&self, command: &str) -> String {
        self.trafficctl.ok(command.split(' ')).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Runs a command that prints JSON, whatever its status.
    fn json<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Value {
        let ended = self.trafficctl.run(arguments);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// What else lies on the desk.
    fn others(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| *path != self.trafficctl.file).collect()
    }
}

/// A policy with two backends, written as people write it.
const POLICY: &str = r#"{
  "response_header": "x-traffic-backend",
  "endpoints": [
    {
      "name": "ranker",
      "route": "/rank",
      "traffic": { "model-v1": 0.9, "model-v2": 0.1 }
    }
  ]
}
"#;
