//! Packs the filter for those who run it: as OCI images, and as the folder of a release.
//!
//! [`Module`] is the filter as `make build` makes it. [`image`] and [`artifact`] are the two forms of image that Istio and Envoy
//! Gateway load, each as a [`Layout`]; [`bundle`] is the folder with everything. The same input gives the same bytes, so that a
//! digest says what the image is made of, and not when. Nothing here talks to a registry: `skopeo`, `crane` and `oras` push
//! what this writes.

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

/// What each command prints, and which field takes it.
const DIGESTS: &str = "Two digests are printed, and each is the `sha256` of some field, as 64 digits without `sha256:`
  manifest  what a registry calls the image, as in oci://registry/name@sha256:...
            Istio's WasmPlugin with an oci:// URL; Envoy Gateway's source of type Image
  module    the .wasm file alone
            Istio's WasmPlugin with an http:// or https:// URL; Envoy Gateway's
            source of type HTTP; Envoy's own `remote`";

/// Packs the filter for those who run it: as OCI images, and as the folder of a release.
///
/// The same module and version give the same bytes and digests, always.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the image that every registry takes, as an OCI image layout.
    ///
    /// One layer holds `plugin.wasm`. Istio and Envoy Gateway load it. This is the form to use unless there is a reason for the
    /// other.
    #[command(after_help = DIGESTS)]
    Image(Form),
    /// Write the module as an OCI artifact, as an OCI image layout.
    ///
    /// One layer says what the module is for, and one is the bare module. Istio and Envoy Gateway load it; not every registry
    /// takes it.
    #[command(after_help = DIGESTS)]
    Artifact(Form),
    /// Write the folder of a release: module, both images, trafficctl, schema, dashboard, alert rules, licence and checksums.
    #[command(after_help = DIGESTS)]
    Bundle(bundle::Arguments),
}

/// What an image is made of, and where it goes.
#[derive(Args)]
struct Form {
    /// The filter, as `make build` makes it.
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
    /// The version, which is the image's tag too.
    #[arg(long, value_name = "VERSION")]
    version: Version,
    /// The folder to write, which is new, empty, or from an earlier run.
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
}

impl Form {
    /// Packs the module, and returns what to print.
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
