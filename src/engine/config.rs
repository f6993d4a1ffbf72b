//! What the user's machine has to offer: `stackgate/config.yaml` in the user's configuration folder,
//! and the environment, which wins.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde::Deserialize;

/// Names the `kind` program.
pub const KIND_VARIABLE: &str = "STACKGATE_KIND";
/// Names the folder with Cluster API's manifests, as `VERSION=FOLDER` or `FOLDER`.
pub const COMPONENTS_VARIABLE: &str = "STACKGATE_COMPONENTS";

/// The machine's configuration; empty where there is no file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Config {
    /// The `kind` program; `kind` from `PATH` without it.
    pub kind: Option<PathBuf>,
    /// Cluster API's manifests for machines without a network; `clusterctl` fetches them without it.
    pub components: Option<Components>,
}

/// Cluster API's manifests, ready to be applied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Components {
    /// The version of Cluster API that they install, e.g. `v1.12.5`.
    pub version: String,
    /// The folder with one file per provider.
    pub directory: PathBuf,
}

impl Config {
    /// Reads the configuration of this user on this machine.
    ///
    /// # Errors
    /// When the file is there and cannot be read or understood.
    pub fn load() -> Result<Self> {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let path = file(
            variable("XDG_CONFIG_HOME").map(PathBuf::from),
            variable("HOME").map(PathBuf::from),
        );
        let mut config = match path {
            Some(path) => Self::read(&path)?,
            None => Self::default(),
        };
        let text = |name| variable(name).map(|value| value.to_string_lossy().into_owned());
        config.overridden(text(KIND_VARIABLE), text(COMPONENTS_VARIABLE))?;
        Ok(config)
    }

    /// Reads a file; an absent one is an empty configuration.
    ///
    /// # Errors
    /// When it cannot be read or understood.
    pub fn read(path: &Path) -> Result<Self> {
        let shown = path.display();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Self::default());
            }
            Err(error) => return Err(error).with_context(|| format!("failed to read {shown}")),
        };
        if text.trim().is_empty() {
            return Ok(Self::default());
        }
        serde_saphyr::from_str(&text).map_err(|error| {
            anyhow::anyhow!(
                "failed to read {shown}: {error}; expected `kind: PROGRAM` and `components: {{version: v1.12.5, directory: FOLDER}}`, both optional"
            )
        })
    }

    fn overridden(&mut self, kind: Option<String>, components: Option<String>) -> Result<()> {
        if let Some(kind) = kind {
            self.kind = Some(kind.into());
        }
        if let Some(components) = components {
            let (version, directory) = match components.split_once('=') {
                Some((version, directory)) => (version.to_owned(), directory),
                None => {
                    let version = self.components.as_ref().map(|known| known.version.clone());
                    let version = version.with_context(|| {
                        format!("{COMPONENTS_VARIABLE} names no version: expected VERSION=FOLDER, e.g. v1.12.5={components}")
                    })?;
                    (version, components.as_str())
                }
            };
            self.components = Some(Components {
                version,
                directory: directory.into(),
            });
        }
        Ok(())
    }

    /// The `kind` program, as it is to be started.
    #[must_use]
    pub fn kind_program(&self) -> PathBuf {
        self.kind.clone().unwrap_or_else(|| "kind".into())
    }
}

fn file(config_home: Option<PathBuf>, home: Option<PathBuf>) -> Option<PathBuf> {
    let folder = config_home.or_else(|| home.map(|home| home.join(".config")))?;
    Some(folder.join("stackgate").join("config.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Config> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.yaml");
        std::fs::write(&path, text).unwrap();
        Config::read(&path)
    }

    #[test]
    fn a_whole_file_is_read() {
        let config =
            read("kind: /opt/kind\ncomponents:\n  version: v1.12.5\n  directory: /opt/capi\n")
                .unwrap();
        assert_eq!(config.kind_program(), Path::new("/opt/kind"));
        assert_eq!(
            config.components,
            Some(Components {
                version: "v1.12.5".to_owned(),
                directory: "/opt/capi".into()
            })
        );
    }

    #[test]
    fn an_absent_or_empty_file_leaves_everything_to_path() {
        let folder = tempfile::tempdir().unwrap();
        let absent = Config::read(&folder.path().join("config.yaml")).unwrap();
        assert_eq!(absent.kind_program(), Path::new("kind"));
        assert_eq!(read("").unwrap(), absent);
        assert_eq!(read("# nothing\n").unwrap(), absent);
    }

    #[test]
    fn a_mistyped_file_is_refused_with_file_line_and_expectation() {
        for (text, expected) in [
            ("kid: /opt/kind\n", "kid"),
            ("components: /opt\n", "line 1"),
            ("components:\n  version: v1.12.5\n", "directory"),
            ("kind: [a]\n", "line 1"),
        ] {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains("config.yaml"), "{error}");
            assert!(error.contains(expected), "{expected}: {error}");
            assert!(error.contains("expected `kind: PROGRAM`"), "{error}");
        }
    }

    #[test]
    fn the_environment_wins_and_needs_a_version_once() {
        let mut config = Config::default();
        let error = config
            .overridden(None, Some("/capi".to_owned()))
            .unwrap_err();
        assert!(error.to_string().contains("VERSION=FOLDER"), "{error}");
        config
            .overridden(Some("/k".to_owned()), Some("v1.12.5=/capi".to_owned()))
            .unwrap();
        config.overridden(None, Some("/other".to_owned())).unwrap();
        let components = config.components.clone().unwrap();
        assert_eq!(components.version, "v1.12.5");
        assert_eq!(components.directory, Path::new("/other"));
        assert_eq!(config.kind_program(), Path::new("/k"));
    }

    #[test]
    fn the_file_is_where_the_desktop_specification_puts_it() {
        let path = |config: Option<&str>, home: Option<&str>| {
            file(config.map(PathBuf::from), home.map(PathBuf::from))
        };
        let at = |text: &str| Some(PathBuf::from(text));
        assert_eq!(path(Some("/c"), Some("/h")), at("/c/stackgate/config.yaml"));
        assert_eq!(
            path(None, Some("/h")),
            at("/h/.config/stackgate/config.yaml")
        );
        assert_eq!(path(None, None), None);
    }
}
