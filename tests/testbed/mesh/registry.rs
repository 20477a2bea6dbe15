//! A registry of images, without TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use serde_json::Value;
use tempfile::TempDir;

use super::ports::Ports;
use super::program::{Program, tool};
use crate::client::{Client, Http};
use crate::{project, wait_until};

/// A running registry. Dropping the value stops it.
pub struct Registry {
    _program: Program,
    folder: TempDir,
    address: SocketAddr,
}

impl Registry {
    /// Starts an empty registry.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = SocketAddr::from(([127, 0, 0, 1], Ports::find(1)?.nth(0)));
        let root = folder.path().join("images");
        let configuration = format!(
            "version: 0.1\nstorage: {{ filesystem: {{ rootdirectory: {} }} }}\nhttp: {{ addr: \"{address}\" }}\n",
            root.display()
        );
        fs::write(folder.path().join("registry.yaml"), configuration)?;
        let mut command = Command::new(tool("debian/usr/bin/docker-registry")?);
        command.arg("serve").arg(folder.path().join("registry.yaml"));
        let program = Program::start("registry", folder.path(), &mut command)?;
        let client = Client::new(address, Http::V1);
        wait_until("the registry is ready", async || client.get("/v2/", &[]).await.is_ok_and(|a| a.status() == 200))
            .await?;
        Ok(Self { _program: program, folder, address })
    }

    /// Its address, as the start of an image's name.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Pushes the image in the layout `layout`, whose path is relative to the project, and returns the
    /// digest of its manifest as 64 digits.
    ///
    /// # Errors
    /// When the layout is missing (`make image`) or the push fails.
    pub fn push(&self, layout: &str, image: &str) -> anyhow::Result<String> {
        let libraries = tool("debian/usr/lib/x86_64-linux-gnu")?;
        let digest = self.folder.path().join("digest");
        let output = Command::new(tool("debian/usr/bin/skopeo")?)
            .args(["--insecure-policy", "copy", "--dest-tls-verify=false", "--preserve-digests", "--digestfile"])
            .arg(&digest)
            .arg(format!("oci:{}", project().join(layout).display()))
            .arg(format!("docker://{}/{image}", self.address))
            .env("LD_LIBRARY_PATH", libraries)
            .output()?;
        ensure!(output.status.success(), "skopeo: {}", String::from_utf8_lossy(&output.stderr));
        let digest = fs::read_to_string(&digest)?;
        Ok(digest.trim().strip_prefix("sha256:").context("no digest")?.to_owned())
    }
}

/// The digest of the module in `target/artifact`, as 64 digits.
///
/// # Errors
/// When there is none (`make image`).
pub fn module_digest() -> anyhow::Result<String> {
    let layout = project().join("target/artifact");
    let digest_at = |document: &[u8], at: &str| -> anyhow::Result<String> {
        let document: Value = serde_json::from_slice(document)?;
        let digest = document.pointer(at).and_then(Value::as_str).and_then(|text| text.strip_prefix("sha256:"));
        Ok(digest.with_context(|| format!("no digest at {at}"))?.to_owned())
    };
    let index = fs::read(layout.join("index.json")).context("run `make image`")?;
    let manifest = digest_at(&index, "/manifests/0/digest")?;
    digest_at(&fs::read(layout.join("blobs/sha256").join(manifest))?, "/layers/1/digest")
}

/// The SHA-256 of a file, as 64 digits.
///
/// # Errors
/// When it can't be read.
pub fn sha256(file: &Path) -> anyhow::Result<String> {
    use sha2::Digest;
    Ok(sha2::Sha256::digest(fs::read(file)?).iter().map(|byte| format!("{byte:02x}")).collect())
}
