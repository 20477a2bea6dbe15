//! Plays the commands of a page in a folder of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use testbed::project;
use testbed::trafficctl::Trafficctl;

use super::line::Command;

/// The files that the reader has.
const FILES: [(&str, &str); 5] = [
    ("policy.json", POLICY),
    ("new-policy.json", POLICY),
    ("ranker.json", OF_ONE_HOST),
    ("ranker-routes.yaml", ROUTES),
    ("users.txt", "alice\nbob\n"),
];

const POLICY: &str = r#"{
  "endpoints": [
    {
      "name": "ranker",
      "route": "/rank",
      "traffic": { "model-v1": 0.9, "model-v2": 0.1 },
      "shadow": { "model-v3": { "fraction": 0.5, "methods": ["GET"] } }
    }
  ]
}
"#;

const OF_ONE_HOST: &str = r#"{
  "endpoints": [
    {
      "name": "ranker",
      "match": { "hosts": ["ranker.example.com"], "path": { "prefix": "/rank" } },
      "traffic": { "ranker-v1": 0.9, "ranker-v2": 0.1 }
    }
  ]
}
"#;

/// What the team of the host has for it.
const ROUTES: &str = "\
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: ranker
  namespace: istio-ingress
spec:
  hosts: [ranker.example.com]
  gateways: [prod/ranker]
  http:
  - route:
    - destination: { host: ranker.prod.svc.cluster.local, port: { number: 8080 } }
    timeout: 10s
";

/// Where nothing listens: a page's proxy is not there.
const NO_PROXY: &str = "http://127.0.0.1:1";

/// What a reader who follows a page has so far.
pub struct Play<'a> {
    trafficctl: &'a Trafficctl,
    folder: TempDir,
    variables: BTreeMap<String, String>,
    packages: String,
}

impl<'a> Play<'a> {
    pub fn new(trafficctl: &'a Trafficctl) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in FILES {
            fs::write(folder.path().join(name), text).unwrap();
        }
        Self { trafficctl, folder, variables: BTreeMap::new(), packages: packages() }
    }

    /// Runs a command, and returns what is wrong with it.
    pub fn run(&mut self, command: &Command) -> Option<String> {
        match command.program() {
            "trafficctl" => self.trafficctl(command),
            "make" => None,
            "cargo" => self.cargo(command),
            "export" => {
                let variables = command.arguments().iter().filter_map(|word| word.split_once('='));
                self.variables.extend(variables.map(|(name, value)| (name.to_owned(), value.to_owned())));
                None
            }
            "cp" | "mv" if !command.is_inline => {
                let [from, to] = command.arguments() else { return Some("it needs two files".to_owned()) };
                fs::copy(self.file(from), self.file(to)).err().map(|error| format!("{from}: {error}"))
            }
            _ => {
                let missing = command.arguments().iter().find(|word| is_file(word) && !self.is_there(word));
                missing.map(|word| format!("no step makes {word}"))
            }
        }
    }

    /// Runs trafficctl. A line of text may name a verb alone: then its help must be there.
    fn trafficctl(&self, command: &Command) -> Option<String> {
        // A word for the reader to replace.
        let arguments = command.arguments().iter().map(|word| if word == "VERB" { "check" } else { word.as_str() });
        let mut arguments: Vec<_> = arguments.map(|word| word.replace("http://127.0.0.1:9901", NO_PROXY)).collect();
        let is_top = arguments.first().is_some_and(|verb| verb == "top");
        let is_mention = command.is_inline && arguments.iter().all(|word| is_word(word));
        if is_mention && arguments.first().is_none_or(|verb| verb != "completions" && verb != "help") {
            arguments.push("--help".to_owned());
        }
        let (status, stdout, stderr) = self.ended(&arguments);
        if let Some(output) = &command.output {
            fs::write(self.file(output), stdout).unwrap();
        }
        // Without a proxy, `top` can say no more than that it takes the arguments.
        let is_usage = stderr.contains("Usage:") || stderr.contains("try '--help'");
        let is_good = if is_top { !is_usage } else { status == Some(0) };
        (!is_good).then(|| format!("{status:?} {stderr}"))
    }

    fn ended(&self, arguments: &[String]) -> (Option<i32>, String, String) {
        let arguments = arguments.iter().map(|word| word.replace("/etc/envoy/", ""));
        let mut program = std::process::Command::new(self.trafficctl.program());
        program.args(arguments).envs(&self.variables).current_dir(self.folder.path()).stdin(Stdio::null());
        let output = program.output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        (output.status.code(), text(output.stdout), text(output.stderr))
    }

    /// A package that is named must be there; what cargo does with it is tested by `make`.
    fn cargo(&self, command: &Command) -> Option<String> {
        let mut words = command.arguments().iter();
        while let Some(word) = words.next() {
            let value = match word.as_str() {
                "--package" => words.next().map(|name| format!("\"name\":\"{name}\"")),
                "--path" => words.next().map(|path| format!("/{path}/Cargo.toml\"")),
                _ => None,
            };
            if let Some(value) = value.filter(|value| !self.packages.contains(value)) {
                return Some(format!("the workspace has no package with {value}"));
            }
        }
        None
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name.trim_start_matches("/etc/envoy/"))
    }

    /// Whether a file is in the folder or the project, or is made by a target of the Makefile.
    fn is_there(&self, word: &str) -> bool {
        let name = word.split_once(':').filter(|(form, _)| form.starts_with("oci")).map_or(word, |(_, path)| path);
        let makefile = fs::read_to_string(project().join("Makefile")).unwrap();
        let bundle = fs::read_to_string(project().join("src/release/src/bundle.rs")).unwrap();
        self.file(name).exists()
            || project().join(name).exists()
            || name.starts_with("target/") && makefile.contains(name)
            || bundle.contains(&format!("\"{name}\""))
    }
}

/// The workspace's packages, as cargo describes them.
fn packages() -> String {
    let mut cargo = std::process::Command::new(env!("CARGO"));
    let output =
        cargo.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(project()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Whether an operand names a file, and not an address or an option.
fn is_file(word: &str) -> bool {
    let is_name = !word.starts_with('-') && !word.contains("://");
    let endings = [".yaml", ".json", ".wasm", ".tar", ".txt", "SUMS"];
    is_name && (word.contains("target/") || endings.iter().any(|ending| word.ends_with(ending)))
}

/// Whether it is a verb's name or a form's, rather than an operand.
fn is_word(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-') && !word.starts_with('-')
}
