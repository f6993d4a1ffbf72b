//! `stackgate release`: gets, makes and verifies single releases.

use std::path::{Path, PathBuf};

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::exit::Failure;
use crate::source::{self, Registry, ReleaseFiles, SourceError};
use crate::stack::{Release, ReleaseError, ReleaseTag};

#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Pull a release from an OCI registry, with the credentials that Docker has for it
    Pull(PullArgs),
    /// Build a release from a checkout of its sources
    Build(BuildArgs),
    /// Open a release as a run would, and say what it is made of or what is wrong with it
    Verify(VerifyArgs),
}

#[derive(Debug, Args)]
pub struct PullArgs {
    /// Repository and tag, e.g. registry.example.org/kaas/cluster-stacks:docker-scs-1-34-v1
    #[arg(value_name = "REFERENCE")]
    pub reference: String,
    /// The folder in which the release's own is made
    #[arg(long, value_name = "DIR", default_value = "releases/cluster-stacks")]
    pub output: PathBuf,
    /// Refuse the release unless its manifest has this digest
    #[arg(long, value_name = "sha256:…")]
    pub digest: Option<String>,
}

#[derive(Debug, Args)]
pub struct BuildArgs {
    /// The folder with csctl.yaml, or with a folder of it for each minor version
    #[arg(value_name = "SOURCES")]
    pub sources: PathBuf,
    /// The release's tag; its version is that of all components
    #[arg(long, value_name = "TAG")]
    pub tag: ReleaseTag,
    /// The folder in which the release's own is made
    #[arg(long, value_name = "DIR", default_value = "releases/cluster-stacks")]
    pub output: PathBuf,
}

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The release's folder, or an archive of it (.tar.gz), named by its tag
    #[arg(value_name = "FOLDER")]
    pub folder: PathBuf,
}

/// Does what was asked.
///
/// # Errors
/// When the release cannot be had, made or used; nothing is left half written.
pub fn run(command: &ReleaseCommand) -> Result<(), Failure> {
    match command {
        ReleaseCommand::Pull(args) => pull(args),
        ReleaseCommand::Build(args) => build(args),
        ReleaseCommand::Verify(args) => verify(args),
    }
}

/// The failure of a source, with who has to act.
pub fn failure(error: SourceError) -> Failure {
    let hint = error.hint();
    let told = anyhow!("failed to get a release: {error}");
    let failure = if error.is_infrastructure() {
        Failure::infrastructure(told)
    } else {
        Failure::input(told)
    };
    failure.hint(hint)
}

fn pull(args: &PullArgs) -> Result<(), Failure> {
    // A colon before the last slash belongs to the host's port.
    let named = args
        .reference
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'));
    let Some((repository, tag)) = named else {
        let error = anyhow!(
            "failed to understand {}: it names no release",
            args.reference
        );
        return Err(Failure::input(error).hint("expected HOST/PATH:TAG, e.g. registry.example.org/kaas/cluster-stacks:docker-scs-1-34-v1"));
    };
    let tag: ReleaseTag = tag.parse().map_err(Failure::input)?;
    let registry = Registry::new(repository);
    let pulled = super::runtime()?
        .block_on(source::pull(&registry, &tag, args.digest.as_deref()))
        .map_err(failure)?;
    kept(&args.output, &tag, &pulled.files, Origin::Elsewhere)?;
    let text = format!("{}@{}\n", args.reference, pulled.digest);
    super::print(&text).map_err(Failure::infrastructure)
}

fn build(args: &BuildArgs) -> Result<(), Failure> {
    let files = source::build(&args.sources, &args.tag)
        .map_err(SourceError::from)
        .map_err(failure)?;
    kept(&args.output, &args.tag, &files, Origin::Sources)
}

/// Where a release comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It was built a moment ago, and its hashes are those of its sources.
    Sources,
    Elsewhere,
}

/// Writes a release and looks at it; one that is wrong does not stay.
fn kept(
    output: &Path,
    tag: &ReleaseTag,
    files: &ReleaseFiles,
    origin: Origin,
) -> Result<(), Failure> {
    let folder = source::write(output, tag, files).map_err(failure)?;
    let text = verified(&folder, tag, origin).inspect_err(|_| {
        // Whoever made it a moment ago may remove it; if not, it is told why it is wrong all the same.
        let _ = std::fs::remove_dir_all(&folder);
    })?;
    tell(&text, &folder)
}

fn verify(args: &VerifyArgs) -> Result<(), Failure> {
    let folder = args.folder.canonicalize().map_err(|error| {
        Failure::input(anyhow!("failed to find {}: {error}", args.folder.display()))
    })?;
    let name = folder.file_name().and_then(|name| name.to_str());
    let name = name.unwrap_or_default();
    let packed = name.strip_suffix(".tar.gz").filter(|_| folder.is_file());
    let tag = packed
        .unwrap_or(name)
        .parse::<ReleaseTag>()
        .map_err(|error| {
            Failure::input(anyhow!(
                "failed to verify {}: {error}",
                args.folder.display()
            ))
            .hint("the folder of a release is named by its tag in dash form")
        })?;
    if packed.is_none() {
        return tell(&verified(&folder, &tag, Origin::Elsewhere)?, &folder);
    }
    let files = source::unpack(&folder, &tag).map_err(failure)?;
    let scratch = tempfile::tempdir()
        .map_err(SourceError::Local)
        .map_err(failure)?;
    let unpacked = source::write(scratch.path(), &tag, &files).map_err(failure)?;
    tell(&verified(&unpacked, &tag, Origin::Elsewhere)?, &folder)
}

/// Opens a release as a run would, and says what it is made of.
fn verified(folder: &Path, tag: &ReleaseTag, origin: Origin) -> Result<String, Failure> {
    let above = folder.parent().unwrap_or(Path::new("."));
    let release = Release::open(above, tag).map_err(Failure::input)?;
    release.render_class("default").map_err(Failure::input)?;
    let refused = |problems| ReleaseError::Invalid {
        tag: tag.to_string(),
        problems,
    };
    let hashes = release.hashes().map_err(refused).map_err(Failure::input)?;
    if let Some(hashes) = hashes.as_ref().filter(|_| origin != Origin::Sources) {
        let doubts = release.compare(hashes).map_err(refused);
        for doubt in doubts.map_err(Failure::input)?.0 {
            super::note(&format!("warning: {doubt}"));
        }
    }
    let images = release.node_images().map_err(refused);
    let images = images.map_err(Failure::input)?;
    let charts: Vec<&str> = release.addons.charts().map(|(name, _)| name).collect();
    let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
    let names = if names.is_empty() {
        "none declared".to_owned()
    } else {
        names.join(", ")
    };
    let sources = hashes.map_or_else(
        || "not told".to_owned(),
        |hashes| format!("{}, as hashes.json says", hashes.cluster_stack),
    );
    Ok(format!(
        "{tag}: Kubernetes {}, ClusterClass {}, addons {} ({}), node images {} ({names})\nsources: {sources}\n",
        release.kubernetes_version,
        release.class_name,
        release.addon_version,
        charts.join(", "),
        release.node_image_version,
    ))
}

fn tell(text: &str, place: &Path) -> Result<(), Failure> {
    let text = format!("{text}{}\n", place.display());
    super::print(&text).map_err(Failure::infrastructure)
}
