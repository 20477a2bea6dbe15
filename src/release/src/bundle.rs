//! Writes the folder of a release, for `make release`.

use std::collections::BTreeSet;
use std::env::consts::{ARCH, OS};
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use crate::files::Files;
use crate::module::Module;
use crate::version::Version;
use crate::{artifact, folder, image};

/// The file name of the module in a release.
const MODULE: &str = "traffic_policy.wasm";

/// The file that lists the checksums of all other files.
const CHECKSUMS: &str = "SHA256SUMS";

/// The files that are copied from the repository as they are.
const SHIPPED: [(&str, &[u8]); 4] = [
    ("policy.schema.json", include_bytes!("../../../envoy/policy.schema.json")),
    ("dashboard.json", include_bytes!("../../../envoy/dashboard.json")),
    ("alerts.yaml", include_bytes!("../../../envoy/alerts.yaml")),
    ("LICENSE", include_bytes!("../../../LICENSE")),
];

/// The inputs of a release, and its folder.
#[derive(Args)]
pub struct Arguments {
    /// The version. It is also the tag of the images.
    #[arg(long, value_name = "VERSION")]
    version: Version,
    /// The filter that `make build` writes.
    #[arg(long, value_name = "FILE")]
    module: PathBuf,
    /// The command-line program, built for the platform that this command runs on. The platform
    /// becomes part of its file name.
    #[arg(long, value_name = "FILE")]
    trafficctl: PathBuf,
    /// The folder to write. It must be new, empty, or written by an earlier run.
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
}

/// Writes the folder, and returns the report to print.
///
/// # Errors
/// If the module or the program can't be read, or if the folder has other contents or can't be
/// written.
pub fn write(arguments: &Arguments) -> anyhow::Result<String> {
    let module = Module::read(&arguments.module)?;
    let name = arguments.trafficctl.display();
    let trafficctl = std::fs::read(&arguments.trafficctl)
        .with_context(|| format!("can't read the program {name}: build it with `make trafficctl`"))?;
    let image = image::pack(&module, &arguments.version)?;
    let artifact = artifact::pack(&module, &arguments.version)?;

    let mut files = Files::default();
    files.add(MODULE, module.bytes());
    files.add("traffic-policy-image.tar", image.files().to_tar()?);
    files.add("traffic-policy-artifact.tar", artifact.files().to_tar()?);
    files.add_program(format!("trafficctl-{ARCH}-{OS}"), trafficctl);
    for (name, bytes) in SHIPPED {
        files.add(name, bytes);
    }
    files.add(CHECKSUMS, files.checksums()?);
    folder::replace(&arguments.output, &files, is_ours)?;
    Ok(format!(
        "image     manifest  {}\nartifact  manifest  {}\nboth      module    {}\n",
        image.manifest(),
        artifact.manifest(),
        module.digest()?
    ))
}

/// Whether the paths in a folder are those of a release: the checksums list each of them, and the
/// module is among them.
fn is_ours(folder: &Path, paths: &BTreeSet<String>) -> bool {
    let Ok(checksums) = std::fs::read_to_string(folder.join(CHECKSUMS)) else { return false };
    let named = checksums.lines().filter_map(|line| line.split_once("  ")).map(|(_, path)| path);
    let whole: BTreeSet<_> = named.chain([CHECKSUMS]).map(str::to_owned).collect();
    whole.contains(MODULE) && *paths == whole
}
