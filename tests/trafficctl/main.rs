//! trafficctl, run as operators run it.

mod admission;
mod arguments;
mod check;
mod clusters;
mod dashboard;
mod edits;
mod explain;
mod files;
mod hostile;
mod istio;
mod kubernetes;
mod mesh_wiring;
mod mirrors;
mod render;
mod schema;
mod screen;
mod services;
mod status;
mod store;
mod top;
mod tour;
mod users;
mod virtual_service;
mod wiring;
mod yaml;

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
    /// A desk with one file, which `--file` names.
    fn with(name: &str, text: impl AsRef<[u8]>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Self { trafficctl: Trafficctl::build(file).unwrap(), folder }
    }

    /// Puts another file on the desk, and returns its path.
    fn put(&self, name: &str, text: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The path of the first file.
    fn file(&self) -> &str {
        self.trafficctl.file.to_str().unwrap()
    }

    /// The current content of the first file.
    fn text(&self) -> String {
        std::fs::read_to_string(&self.trafficctl.file).unwrap()
    }

    /// Runs a command. Its words must not contain spaces.
    fn run(&self, command: &str) -> Ended {
        self.trafficctl.run(command.split(' '))
    }

    /// Runs a command that must succeed, and returns its standard output.
    fn ok(&self, command: &str) -> String {
        self.trafficctl.ok(command.split(' ')).unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// Runs a command that prints JSON, and returns that, whatever the exit status.
    fn json<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Value {
        let ended = self.trafficctl.run(arguments);
        serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    }

    /// The paths of all other files on the desk.
    fn others(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| *path != self.trafficctl.file).collect()
    }
}

/// A policy with two backends, in a layout that people would write.
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
