//! `stackgate bundle RUN`: a run's folder as one file, to be attached to an issue.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;

use super::exit::{Ending, Failure};
use super::{inputs, runs};
use crate::report::STREAM;

/// How a bundle's name ends.
pub const SUFFIX: &str = ".tar.zst";
/// How hard is compressed; most of it is compressed already.
const LEVEL: i32 = 9;

#[derive(Debug, Args)]
pub struct BundleArgs {
    /// The run: its folder, its id, or `latest`
    #[arg(value_name = "RUN", default_value = "latest")]
    pub run: String,
    /// Where the bundle goes [default: the name of the run's folder and .tar.zst, here]
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Where runs are found by id
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

/// Packs a run.
///
/// # Errors
/// When there is no such run, or the file cannot be written, or is there already.
pub fn run(args: &BundleArgs) -> Result<Ending, Failure> {
    let folder = runs::find(&args.run, &args.reports)?;
    let folder = folder.canonicalize().map_err(Failure::infrastructure)?;
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    let output = args.output.clone();
    let output = output.unwrap_or_else(|| PathBuf::from(format!("{name}{SUFFIX}")));
    if output.exists() {
        let error = anyhow!("failed to write {}: it is there already", output.display());
        return Err(Failure::input(error).hint("give another --output"));
    }
    pack(&folder, &name, &output).map_err(Failure::infrastructure)?;
    super::print(&format!("{}\n", output.display())).map_err(Failure::infrastructure)?;
    if folder.join(inputs::FOLDER).is_dir() {
        super::note(&format!(
            "hint: anybody runs it again with: stackgate reproduce {}",
            output.display()
        ));
    }
    Ok(Ending::Done)
}

fn pack(folder: &Path, name: &str, output: &Path) -> Result<()> {
    let packing = || format!("failed to write {}", output.display());
    let file = File::create_new(output).with_context(packing)?;
    let encoder = zstd::stream::write::Encoder::new(file, LEVEL).with_context(packing)?;
    let mut archive = tar::Builder::new(encoder);
    archive.append_dir_all(name, folder).with_context(packing)?;
    let mut header = tar::Header::new_gnu();
    header.set_size(runs::README.len() as u64);
    header.set_mode(0o644);
    let readme = Path::new(name).join("README.md");
    archive
        .append_data(&mut header, readme, runs::README.as_bytes())
        .with_context(packing)?;
    let encoder = archive.into_inner().with_context(packing)?;
    encoder.finish().with_context(packing)?;
    Ok(())
}

/// Unpacks a bundle into a folder, and returns that of the run in it.
///
/// # Errors
/// When it is no bundle.
pub fn unpack(bundle: &Path, into: &Path) -> Result<PathBuf> {
    let unpacking = || {
        format!(
            "failed to unpack {}: expected a bundle of stackgate",
            bundle.display()
        )
    };
    let file = File::open(bundle).with_context(unpacking)?;
    let decoder = zstd::stream::read::Decoder::new(BufReader::new(file)).with_context(unpacking)?;
    // It writes nothing outside of the folder.
    tar::Archive::new(decoder)
        .unpack(into)
        .with_context(unpacking)?;
    let mut folders = std::fs::read_dir(into).with_context(unpacking)?.flatten();
    let run = folders.find(|entry| entry.path().join(STREAM).is_file());
    run.map(|entry| entry.path()).with_context(unpacking)
}
