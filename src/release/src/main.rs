//! Packs the filter for operators: as OCI images, and as the folder of a release.
//!
//! [`Module`] is the filter that `make build` writes. [`image`] and [`artifact`] pack it in the two
//! variants of images that Istio and Envoy Gateway load, each as a [`Layout`]. [`bundle`] writes
//! the folder of a release. The same input always gives the same bytes and digests. This program
//! does not connect to registries: `skopeo`, `crane` and `oras` push the layouts that it writes.

mod artifact;
mod bundle;
mod files;
mod folder;
mod image;
mod layout;
mod module;
mod version;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use layout::Layout;
use module::Module;
use version::Version;

/// The help about the digests that each command prints.
const DIGESTS: &str = "The command prints two digests. Pin them in the `sha256` field of the proxy's configuration,
as 64 hexadecimal digits without `sha256:`.
  manifest  the digest of the image, as in oci://registry/name@sha256:...
            For Istio's WasmPlugin with an oci:// URL, and Envoy Gateway's source of type Image
  module    the digest of the .wasm file
            For Istio's WasmPlugin with an http:// or https:// URL, Envoy Gateway's source of
            type HTTP, and Envoy's own `remote`";

/// Packs the filter as OCI images and as the folder of a release.
///
/// The same module and version always give the same bytes and digests.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write an image that every registry accepts, as an OCI image layout.
    ///
    /// Its only layer contains `plugin.wasm`. Istio and Envoy Gateway load it. Prefer it unless you
    /// need an artifact.
    #[command(after_help = DIGESTS)]
    Image(Form),
    /// Write an OCI artifact, as an OCI image layout.
    ///
    /// One layer describes the runtime, and one is the module itself. Istio and Envoy Gateway load
    /// it, but not every registry accepts it.
    #[command(after_help = DIGESTS)]
    Artifact(Form),
    /// Write the folder of a release.
    ///
    /// It contains the module, both images, trafficctl, schema, dashboard, alert rules, licence and
    /// checksums.
    #[command(after_help = DIGESTS)]
    Bundle(bundle::Arguments),
}

/// The inputs of an image, and its folder.
#[derive(Args)]
struct Form {
    /// The filter that `make build` writes.
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
    /// The version. It is also the tag of the image.
    #[arg(long, value_name = "VERSION")]
    version: Version,
    /// The folder to write. It must be new, empty, or written by an earlier run.
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
}

impl Form {
    /// Packs the module, and returns the report to print.
    fn write(&self, pack: fn(&Module, &Version) -> anyhow::Result<Layout>) -> anyhow::Result<String> {
        let module = Module::read(&self.module)?;
        let layout = pack(&module, &self.version)?;
        folder::replace(&self.output, layout.files(), layout::is_ours)?;
        Ok(format!("manifest  {}\nmodule    {}\n", layout.manifest(), module.digest()?))
    }
}

fn main() -> anyhow::Result<()> {
    let report = match Arguments::parse().command {
        Command::Image(form) => form.write(image::pack)?,
        Command::Artifact(form) => form.write(artifact::pack)?,
        Command::Bundle(arguments) => bundle::write(&arguments)?,
    };
    Ok(std::io::stdout().write_all(report.as_bytes())?)
}
