//! A cluster that is given by a kubeconfig: which one, whether it answers, and in words without secrets
//! what is wrong with it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use kube::config::{KubeConfigOptions, Kubeconfig, KubeconfigError};
use kube::{Client, Config};
use tempfile::NamedTempFile;

use super::exit::Failure;
use crate::cluster::{Network, without_secrets};

/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// How long the first answer may take.
const ANSWER: Duration = Duration::from_secs(15);

/// A kubeconfig with one context chosen.
pub struct Given {
    kubeconfig: Kubeconfig,
    /// Where it was read, for the reader.
    place: String,
    /// The context.
    pub context: String,
}

impl Given {
    /// Reads the file, or without one those of `KUBECONFIG`, or `~/.kube/config`, and chooses a context:
    /// its current one unless another is named.
    ///
    /// # Errors
    /// When it cannot be read, or has no such context.
    pub fn read(file: Option<&Path>, context: Option<&str>) -> Result<Self, Failure> {
        let place = file.map_or("KUBECONFIG or ~/.kube/config".to_owned(), |file| {
            file.display().to_string()
        });
        let read = match file {
            Some(file) => Kubeconfig::read_from(file),
            None => Kubeconfig::read(),
        };
        let mut kubeconfig = read.map_err(|error| {
            let error = anyhow!("failed to read the kubeconfig {place}: {}", told(&error));
            Failure::input(error).hint("name another one with --kubeconfig")
        })?;
        let names: Vec<&str> = kubeconfig
            .contexts
            .iter()
            .map(|one| one.name.as_str())
            .collect();
        let wanted = context
            .or(kubeconfig.current_context.as_deref())
            .filter(|name| !name.is_empty());
        let there_are = || match names.as_slice() {
            [] => "the file has no contexts".to_owned(),
            names => format!("there are: {}", names.join(", ")),
        };
        let Some(wanted) = wanted else {
            let error = anyhow!("failed to choose a context of {place}: none is the current one");
            return Err(Failure::input(error).hint(format!("add --context; {}", there_are())));
        };
        if !names.contains(&wanted) {
            let error = anyhow!("failed to find the context '{wanted}' in {place}");
            return Err(Failure::input(error).hint(there_are()));
        }
        let context = wanted.to_owned();
        kubeconfig.current_context = Some(context.clone());
        Ok(Self {
            kubeconfig,
            place,
            context,
        })
    }

    /// A client; it belongs to the runtime in which it is made.
    ///
    /// # Errors
    /// When cluster or user of the context are not there or make no sense.
    pub async fn client(&self) -> Result<Client, Failure> {
        let wrong = |why: String| {
            let (context, place) = (&self.context, &self.place);
            Failure::input(anyhow!(
                "failed to use the context '{context}' of {place}: {why}"
            ))
        };
        let options = KubeConfigOptions::default();
        let config = Config::from_custom_kubeconfig(self.kubeconfig.clone(), &options).await;
        let mut config = config.map_err(|error| wrong(told(&error)))?;
        config.connect_timeout = Some(CONNECT);
        Client::try_from(config).map_err(|error| wrong(without_secrets(&error)))
    }

    /// What was read, with the chosen context as its current one.
    pub const fn kubeconfig(&self) -> &Kubeconfig {
        &self.kubeconfig
    }

    /// The way to its servers.
    pub fn network(&self) -> Network {
        Network::of(&self.kubeconfig)
    }

    /// Connects, and returns the API server's version.
    ///
    /// # Errors
    /// When the kubeconfig makes no sense, the API server does not take its credentials, or does not
    /// answer.
    pub async fn version(&self) -> Result<String, Failure> {
        let client = self.client().await?;
        let context = &self.context;
        let asked = tokio::time::timeout(ANSWER, client.apiserver_version()).await;
        let error = match asked {
            Ok(Ok(version)) => return Ok(version.git_version),
            Ok(Err(error)) => error,
            Err(_) => {
                let seconds = ANSWER.as_secs();
                let error = anyhow!(
                    "failed to reach the cluster of context '{context}': no answer within {seconds} s"
                );
                return Err(Failure::infrastructure(error));
            }
        };
        Err(match &error {
            kube::Error::Api(status) if [401, 403].contains(&status.code) => {
                let error = anyhow!(
                    "the API server of context '{context}' refuses the credentials: {} ({})",
                    status.message,
                    status.code
                );
                Failure::input(error).hint("they may have expired; get a new kubeconfig")
            }
            kube::Error::Auth(_) => {
                let why = without_secrets(&error);
                let error = anyhow!("failed to get the credentials of context '{context}': {why}");
                Failure::input(error)
            }
            error => {
                let why = without_secrets(error);
                let error = anyhow!("failed to reach the cluster of context '{context}': {why}");
                Failure::infrastructure(error)
                    .hint("is it up, and does its server's address still hold?")
            }
        })
    }

    /// A file with the same content and the chosen context, which nobody else may read, and which goes
    /// with what is returned.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn file(&self) -> anyhow::Result<(NamedTempFile, PathBuf)> {
        let file = NamedTempFile::with_prefix("stackgate-kubeconfig-")
            .context("failed to make a kubeconfig for executables")?;
        // JSON is YAML.
        serde_json::to_writer(&file, &self.kubeconfig)?;
        let path = file.path().to_owned();
        Ok((file, path))
    }
}

/// What is wrong with a kubeconfig. A parser's words may quote the text, which holds secrets: then the
/// line has to do.
fn told(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::ReadConfig(cause, _) => cause.to_string(),
        KubeconfigError::Parse(error) => {
            let line = error.location().map(|at| format!("line {}: ", at.line()));
            let line = line.unwrap_or_default();
            format!("{line}it is not the YAML of a kubeconfig")
        }
        error => error.to_string(),
    }
}
