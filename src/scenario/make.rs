//! Makes a scenario's releases one after the other, each with a version above those before it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::change::{self, ClassChange};
use super::load::{Scenario, ScenarioError};
use super::recipe::{Base, ReleaseRecipe};
use crate::stack::archive::{self, Files};
use crate::stack::{ImageReference, Pair, Release, ReleaseTag, Stack, Version, pack};

/// A scenario's releases, made of a stack's.
#[derive(Debug)]
pub struct Made {
    /// What the cluster has before N.
    pub start: Option<ReleaseTag>,
    /// Release N.
    pub from: ReleaseTag,
    /// Release N+1.
    pub to: ReleaseTag,
    /// The node images of what was made, by Kubernetes version.
    pub(super) node_images: BTreeMap<Version, String>,
    /// Node images beside these.
    pub(super) images: Vec<String>,
}

/// What makes them.
pub(super) struct Maker<'a> {
    scenario: &'a Scenario,
    stack: &'a Stack,
    pair: &'a Pair,
    /// Where they go: `<folder>/<tag>/`.
    folder: &'a Path,
    /// The highest number that a version has so far.
    number: u32,
    /// Of which minors a release was made by now: those after it must not be older.
    newer: BTreeSet<String>,
    /// The addons that were made so far, with their version.
    addons: Vec<((Base, bool, bool), String)>,
    node_images: BTreeMap<Version, String>,
    images: Vec<String>,
}

impl<'a> Maker<'a> {
    pub(super) fn new(
        scenario: &'a Scenario,
        stack: &'a Stack,
        pair: &'a Pair,
        folder: &'a Path,
    ) -> Self {
        let numbers = [&pair.from, &pair.to].map(|one| {
            let versions = [&one.cluster_stack_version, &one.addon_version];
            versions.map(|version| version.number()).into_iter().max()
        });
        Self {
            scenario,
            stack,
            pair,
            folder,
            number: numbers.into_iter().flatten().max().unwrap_or_default(),
            newer: BTreeSet::new(),
            addons: Vec::new(),
            node_images: BTreeMap::new(),
            images: Vec::new(),
        }
    }

    /// Makes all of them.
    pub(super) fn make(mut self) -> Result<Made, ScenarioError> {
        let spec = &self.scenario.spec;
        let start = match &spec.start {
            Some(recipe) => Some(self.release(recipe)?),
            None => None,
        };
        let from = self.release(&spec.from)?;
        let to = if spec.to == spec.from {
            from.clone()
        } else {
            self.release(&spec.to)?
        };
        if spec.new_minor && from.minor == to.minor {
            let why = "both releases are of the same minor of Kubernetes";
            return Err(self.unfit(&self.pair.to, why));
        }
        Ok(Made {
            start,
            from,
            to,
            node_images: self.node_images,
            images: self.images,
        })
    }

    const fn base(&self, base: Base) -> &'a Release {
        match base {
            Base::From => &self.pair.from,
            Base::To => &self.pair.to,
        }
    }

    fn unfit(&self, release: &Release, why: &str) -> ScenarioError {
        ScenarioError::Unfit {
            scenario: self.scenario.name.to_string(),
            stack: self.stack.name.to_string(),
            why: format!("release {}: {why}", release.tag),
        }
    }

    fn release(&mut self, recipe: &ReleaseRecipe) -> Result<ReleaseTag, ScenarioError> {
        let base = self.base(recipe.base);
        let taken = self.folder.join(base.tag.to_string()).exists();
        if recipe.is_base() && !self.newer.contains(&base.tag.stem()) && !taken {
            copy(&base.folder, &self.folder.join(base.tag.to_string()))?;
            let version = base.addon_version.dotted();
            self.addons.push((recipe.addons(), version));
            return Ok(base.tag.clone());
        }
        self.newer.insert(base.tag.stem());
        self.number += 1;
        let tag = ReleaseTag {
            version: base.tag.version.numbered(self.number),
            ..base.tag.clone()
        };
        let made = self.sources(recipe, base, &tag)?;
        for (name, content) in made {
            let file = self.folder.join(tag.to_string()).join(name);
            put(&file, &content)?;
        }
        Release::open(self.folder, &tag)?;
        Ok(tag)
    }

    /// The files of a release that is not its base, by name.
    fn sources(
        &mut self,
        recipe: &ReleaseRecipe,
        base: &Release,
        tag: &ReleaseTag,
    ) -> Result<BTreeMap<String, Vec<u8>>, ScenarioError> {
        let (kubernetes, texts) = self.nodes(recipe, base)?;
        let unfit = |why: String| self.unfit(base, &why);
        let sources = tempfile::tempdir()?;
        let sources = sources.path();
        let version = tag.version.dotted();
        let metadata = std::fs::read(base.folder.join("metadata.yaml"))?;
        let mut metadata = change::mapping(&metadata).map_err(unfit)?;
        let versions = &mut metadata["versions"];
        versions["clusterStack"] = json!(version);
        versions["kubernetes"] = json!(kubernetes.to_string());
        let addons = recipe.addons();
        let known = self.addons.iter().rev().find(|(made, _)| *made == addons);
        let addon_version = known.map_or_else(|| version.clone(), |(_, version)| version.clone());
        versions["components"]["clusterAddon"] = json!(addon_version);
        if !texts.is_empty() {
            versions["components"]["nodeImage"] = json!(version);
        }
        put(&sources.join("metadata.yaml"), text(&metadata).as_bytes())?;

        let of = self.base(addons.0);
        let config = of.addon_config_file();
        let name = config.file_name().unwrap_or_default();
        put(&sources.join(name), &std::fs::read(&config)?)?;
        let mut files = archive::read(&of.addon_file())?;
        if recipe.broken {
            change::break_first_addon(of, &mut files).map_err(unfit)?;
        }
        if recipe.budget {
            change::add_budget(of, &mut files).map_err(unfit)?;
        }
        let files = if of.addons.is_staged() {
            files
        } else {
            inside(files)
        };
        put_all(&sources.join("cluster-addon"), &files)?;

        let mut class = inside(archive::read(&base.class_file())?);
        let about = class
            .get(Path::new("Chart.yaml"))
            .cloned()
            .unwrap_or_default();
        let mut about = change::mapping(&about).map_err(unfit)?;
        about["version"] = json!(version);
        class.insert("Chart.yaml".into(), text(&about).into_bytes());
        put_all(&sources.join("cluster-class"), &class)?;
        let mut packed = pack(sources, tag)?;
        if recipe.changes_class() {
            // By its new version, from which the names of its objects come.
            let place = tempfile::tempdir()?;
            for (name, content) in &packed {
                put(&place.path().join(tag.to_string()).join(name), content)?;
            }
            let opened = Release::open(place.path(), tag)?;
            let change = ClassChange {
                command: recipe.class_command.as_deref(),
                texts: &texts,
            };
            let changed = change::class(&opened, &class, &change).map_err(unfit)?;
            let folder = sources.join("cluster-class");
            std::fs::remove_dir_all(&folder)?;
            put_all(&folder, &changed)?;
            packed = pack(sources, tag)?;
        }
        self.addons.push((addons, addon_version));
        Ok(packed)
    }

    /// The Kubernetes version of a release, and what its class says in another way for that.
    fn nodes(
        &mut self,
        recipe: &ReleaseRecipe,
        base: &Release,
    ) -> Result<(Version, Vec<(String, String)>), ScenarioError> {
        let old = base.kubernetes_version;
        let mut kubernetes = old;
        let image = self
            .stack
            .spec
            .node_images
            .get(&old)
            .map(ImageReference::as_str);
        let image = image.unwrap_or_default().to_owned();
        let mut wanted = image.clone();
        let mut texts = Vec::new();
        if recipe.next_patch {
            kubernetes.patch += 1;
            wanted = image.replace(&old.to_string(), &kubernetes.to_string());
            if wanted == image {
                let why = format!("its node image `{image}` does not name its Kubernetes version");
                return Err(self.unfit(base, &why));
            }
        }
        if let Some(suffix) = &recipe.node_image_suffix {
            wanted.push_str(suffix);
            self.images.push(wanted.clone());
        } else if recipe.next_patch {
            self.node_images.insert(kubernetes, wanted.clone());
        }
        if wanted != image {
            texts.push((image, wanted));
        }
        if kubernetes != old {
            texts.push((old.to_string(), kubernetes.to_string()));
        }
        Ok((kubernetes, texts))
    }
}

/// Files without the one folder that they are all in.
fn inside(files: Files) -> Files {
    let stripped = files.into_iter().filter_map(|(path, content)| {
        let mut parts = path.components();
        parts.next()?;
        Some((parts.as_path().to_owned(), content))
    });
    stripped.collect()
}

fn text(value: &Value) -> String {
    format!("{value:#}\n")
}

fn put_all(folder: &Path, files: &Files) -> std::io::Result<()> {
    files
        .iter()
        .try_for_each(|(path, content)| put(&folder.join(path), content))
}

/// Writes a file, and the folders above it.
pub(super) fn put(file: &PathBuf, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(file, content)
}

/// Copies a folder, if there is one.
pub(super) fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
