//! The Docker API, with the few questions that are asked here.

use std::collections::HashMap;
use std::future::Future;

use anyhow::{Context, Result, bail};
use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error;
use bollard::exec::{CreateExecOptions, StartExecOptions, StartExecResults};
use bollard::models::{ContainerInspectResponse, ContainerState, ContainerSummary};
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder,
    RemoveContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use futures::{Stream, StreamExt, TryStreamExt};
use tokio::io::AsyncWriteExt;

use super::names::{CLUSTER_LABEL, PART_LABEL};

/// The most that is read of anything a container says, in bytes.
const OUTPUT_LIMIT: usize = 4 << 20;

/// Connects to Docker at the version that it speaks.
pub(super) async fn connect() -> Result<Docker, Error> {
    Docker::connect_with_defaults()?.negotiate_version().await
}

/// A node container of some cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// The container's id.
    pub(super) id: String,
    /// The container's name.
    pub(super) name: String,
    /// The cluster, as kind's label says.
    pub(super) cluster: String,
    /// Which program it is, where it is no node but a part of a management cluster without nodes.
    pub(super) part: Option<String>,
    /// Whether it runs.
    pub(super) running: bool,
    /// The image that it was made from.
    pub(super) image: String,
    /// The volumes that it has.
    pub(super) volumes: Vec<String>,
}

/// Every node container of every cluster, running or not.
pub(super) async fn nodes(docker: &Docker) -> Result<Vec<Node>> {
    let filters = HashMap::from([("label", vec![CLUSTER_LABEL])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let containers = docker
        .list_containers(Some(options))
        .await
        .context("failed to list Docker's containers")?;
    Ok(containers.into_iter().filter_map(node).collect())
}

/// Whether Docker has a network of that name.
pub(super) async fn network_exists(docker: &Docker, name: &str) -> Result<bool> {
    let found = absent(docker.inspect_network(name, None).await)
        .with_context(|| format!("failed to look for Docker's network {name}"))?;
    Ok(found.is_some())
}

/// Whether any container is attached to a network, running or not; Docker itself names those that run.
pub(super) async fn uses_network(docker: &Docker, network: &str) -> Result<bool> {
    let filters = HashMap::from([("network", vec![network])]);
    let options = ListContainersOptionsBuilder::new()
        .all(true)
        .filters(&filters)
        .build();
    let users = docker
        .list_containers(Some(options))
        .await
        .with_context(|| format!("failed to list the containers in Docker's network {network}"))?;
    Ok(!users.is_empty())
}

fn node(container: ContainerSummary) -> Option<Node> {
    let name = container.names?.into_iter().next()?;
    let mut labels = container.labels?;
    Some(Node {
        id: container.id?,
        name: name.trim_start_matches('/').to_owned(),
        cluster: labels.remove(CLUSTER_LABEL)?,
        part: labels.remove(PART_LABEL),
        running: container.state.is_some_and(|s| s.to_string() == "running"),
        image: container.image.unwrap_or_default(),
        // Only volumes have a name; what is mounted from the machine has none.
        volumes: container
            .mounts
            .unwrap_or_default()
            .into_iter()
            .filter_map(|mount| mount.name.filter(|name| !name.is_empty()))
            .collect(),
    })
}

/// A container by its name, if there is one.
pub(super) async fn inspect(
    docker: &Docker,
    name: &str,
) -> Result<Option<ContainerInspectResponse>> {
    absent(docker.inspect_container(name, None).await)
        .with_context(|| format!("failed to look at container {name}"))
}

/// How a container ended that Docker does not start again, e.g. `has ended with exit code 1`; none for another.
pub(super) fn end_of(state: &ContainerState) -> Option<String> {
    let over = matches!(state.status?.to_string().as_str(), "exited" | "dead");
    if !over || state.restarting == Some(true) {
        return None;
    }
    let code = state.exit_code.unwrap_or_default();
    let killed = if state.oom_killed == Some(true) {
        ", killed for want of memory"
    } else {
        ""
    };
    Some(format!("has ended with exit code {code}{killed}"))
}

/// Removes a container with its anonymous volumes, running or not; an absent one is fine.
pub(super) async fn remove(docker: &Docker, id: &str) -> Result<()> {
    let options = RemoveContainerOptionsBuilder::new()
        .force(true)
        .v(true)
        .build();
    match docker.remove_container(id, Some(options)).await {
        // Somebody else is removing it at this moment, which comes to the same.
        Err(Error::DockerResponseServerError {
            status_code: 409, ..
        }) => Ok(()),
        other => absent(other)
            .map(|_| ())
            .with_context(|| format!("failed to remove container {id}")),
    }
}

/// Turns "there is no such thing" into nothing.
pub(super) fn absent<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Ok(found) => Ok(Some(found)),
        Err(Error::DockerResponseServerError {
            status_code: 404, ..
        }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What a command in a container said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Output {
    /// Its exit code.
    pub(super) code: i64,
    /// Standard output.
    pub(super) stdout: String,
    /// Standard error.
    pub(super) stderr: String,
}

impl Output {
    /// Standard output of a command that succeeded.
    pub(super) fn success(self, what: &str) -> Result<String> {
        if self.code != 0 {
            let said = if self.stderr.trim().is_empty() {
                self.stdout
            } else {
                self.stderr
            };
            bail!(
                "failed to {what}: exit code {}: {}",
                self.code,
                said.trim().lines().last().unwrap_or("it said nothing")
            );
        }
        Ok(self.stdout)
    }
}

/// Runs a command in a container.
pub(super) async fn exec(docker: &Docker, container: &str, command: &[&str]) -> Result<Output> {
    let nothing = futures::stream::empty::<Result<&[u8], Error>>();
    exec_with(docker, container, command, nothing).await
}

/// Runs a command in a container, with a stream as its standard input.
pub(super) async fn exec_with(
    docker: &Docker,
    container: &str,
    command: &[&str],
    input: impl Stream<Item = Result<impl AsRef<[u8]>, Error>>,
) -> Result<Output> {
    let options = CreateExecOptions {
        attach_stdin: Some(true),
        attach_stdout: Some(true),
        attach_stderr: Some(true),
        cmd: Some(command.to_vec()),
        ..CreateExecOptions::default()
    };
    let shown = || format!("failed to run `{}` in {container}", command.join(" "));
    let id = docker
        .create_exec(container, options)
        .await
        .with_context(shown)?
        .id;
    let started = docker.start_exec(&id, None::<StartExecOptions>).await;
    let StartExecResults::Attached {
        output,
        input: mut stdin,
    } = started.with_context(shown)?
    else {
        bail!("{}: Docker did not attach to it", shown());
    };
    let write = async {
        let mut input = std::pin::pin!(input);
        while let Some(chunk) = input.next().await {
            stdin.write_all(chunk?.as_ref()).await?;
        }
        // Some commands read until the end.
        stdin.shutdown().await?;
        anyhow::Ok(())
    };
    let (written, read) = both(write, gather(output)).await;
    let mut said = read.with_context(shown)?;
    said.code = docker
        .inspect_exec(&id)
        .await
        .with_context(shown)?
        .exit_code
        .unwrap_or(-1);
    // A command that fails stops reading; its own words tell more than the broken pipe.
    if said.code == 0 {
        written.with_context(shown)?;
    }
    Ok(said)
}

/// Waits for the reader; the writer is dropped when the command has ended without reading on.
async fn both<R>(
    write: impl Future<Output = Result<()>>,
    read: impl Future<Output = R>,
) -> (Result<()>, R) {
    let mut write = std::pin::pin!(write);
    let mut read = std::pin::pin!(read);
    tokio::select! {
        read = &mut read => (Ok(()), read),
        written = &mut write => (written, read.await),
    }
}

async fn gather(
    mut output: impl Stream<Item = Result<LogOutput, Error>> + Unpin,
) -> Result<Output, Error> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(chunk) = output.try_next().await? {
        let target = match chunk {
            LogOutput::StdErr { .. } => &mut stderr,
            _ => &mut stdout,
        };
        let bytes = chunk.into_bytes();
        let room = OUTPUT_LIMIT.saturating_sub(target.len());
        target.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok(Output {
        code: 0,
        stdout: String::from_utf8_lossy(&stdout).into_owned(),
        stderr: String::from_utf8_lossy(&stderr).into_owned(),
    })
}

/// The last lines that a container's main process wrote, both streams in their order.
pub(super) async fn logs(docker: &Docker, container: &str, lines: usize) -> Result<Vec<String>> {
    let options = LogsOptionsBuilder::new()
        .stdout(true)
        .stderr(true)
        .tail(&lines.to_string())
        .build();
    let mut stream = std::pin::pin!(docker.logs(container, Some(options)));
    let mut text = Vec::new();
    while let Some(chunk) = stream
        .try_next()
        .await
        .with_context(|| format!("failed to read what container {container} wrote"))?
    {
        let bytes = chunk.into_bytes();
        let room = OUTPUT_LIMIT.saturating_sub(text.len());
        text.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }
    Ok(clean_lines(&String::from_utf8_lossy(&text)))
}

/// A file or folder that is put into a container.
pub(super) struct Entry {
    path: String,
    /// None for a folder.
    content: Option<Vec<u8>>,
    mode: u32,
}

impl Entry {
    /// A file by its path from the root, which whoever runs in the container may read: it is the only program
    /// of its file system.
    pub(super) fn file(path: impl Into<String>, content: impl Into<Vec<u8>>) -> Self {
        Self {
            path: path.into(),
            content: Some(content.into()),
            mode: 0o444,
        }
    }

    /// A folder in which everybody may write.
    pub(super) fn folder(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            content: None,
            mode: 0o777,
        }
    }

    /// The same for everybody to write.
    pub(super) fn writable(mut self) -> Self {
        self.mode |= 0o222;
        self
    }

    /// Its path from the root.
    #[cfg(test)]
    pub(super) fn path(&self) -> &str {
        &self.path
    }
}

/// Puts files into a container, which need not run.
pub(super) async fn upload(docker: &Docker, container: &str, entries: &[Entry]) -> Result<()> {
    if entries.is_empty() {
        return Ok(());
    }
    let options = UploadToContainerOptionsBuilder::new().path("/").build();
    let archive = archive(entries).context("failed to pack files")?;
    docker
        .upload_to_container(container, Some(options), bollard::body_full(archive.into()))
        .await
        .with_context(|| format!("failed to put files into container {container}"))
}

fn archive(entries: &[Entry]) -> std::io::Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_gnu();
        header.set_mode(entry.mode);
        let path = entry.path.trim_start_matches('/');
        let content = entry.content.as_deref();
        if content.is_none() {
            header.set_entry_type(tar::EntryType::Directory);
        }
        let content = content.unwrap_or_default();
        header.set_size(content.len() as u64);
        archive.append_data(&mut header, path, content)?;
    }
    archive.into_inner()
}

/// A file in a container, if it is there; the container need not run.
pub(super) async fn read_file(
    docker: &Docker,
    container: &str,
    path: &str,
) -> Result<Option<String>> {
    let options = DownloadFromContainerOptionsBuilder::new()
        .path(path)
        .build();
    let chunks: Result<Vec<_>, Error> = docker
        .download_from_container(container, Some(options))
        .try_collect()
        .await;
    let Some(chunks) = absent(chunks)
        .with_context(|| format!("failed to read {path} in container {container}"))?
    else {
        return Ok(None);
    };
    let archive = chunks.concat();
    let mut archive = tar::Archive::new(archive.as_slice());
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut text = String::new();
            std::io::Read::read_to_string(&mut entry, &mut text)
                .with_context(|| format!("failed to read {path} in container {container}"))?;
            return Ok(Some(text));
        }
    }
    Ok(None)
}

/// Lines without colour, control characters and blank ones.
pub(super) fn clean_lines(text: &str) -> Vec<String> {
    text.lines()
        .map(clean)
        .filter(|line| !line.trim().is_empty())
        .collect()
}

/// A line without escape sequences (ECMA-48 CSI) and control characters.
fn clean(line: &str) -> String {
    let mut cleaned = String::with_capacity(line.len());
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        if character == '\u{1b}' {
            if characters.next_if_eq(&'[').is_some() {
                // Parameters, until the final byte.
                while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
            }
        } else if character == '\t' {
            cleaned.push(' ');
        } else if !character.is_control() {
            cleaned.push(character);
        }
    }
    cleaned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_free_of_colour_and_control_characters() {
        let text = "\u{1b}[0;1;31mfailed\u{1b}[0m\r\n\n  \u{1b}[K\n[\u{1b}[32m  OK  \u{1b}[0m] a\tb\u{7}\u{0}\n";
        assert_eq!(clean_lines(text), ["failed", "[  OK  ] a b"]);
        assert_eq!(clean_lines("torn \u{1b}[3"), ["torn "]);
    }

    #[test]
    fn a_command_that_failed_says_why() {
        let output = Output {
            code: 1,
            stdout: String::new(),
            stderr: "first\nctr: failed to ingest\n".to_owned(),
        };
        let error = output.success("load images").unwrap_err().to_string();
        assert_eq!(
            error,
            "failed to load images: exit code 1: ctr: failed to ingest"
        );
    }

    #[tokio::test]
    async fn a_command_that_stops_reading_does_not_hold_up_its_answer() {
        let (written, read) = both(std::future::pending(), async { 7 }).await;
        assert!(written.is_ok());
        assert_eq!(read, 7);
    }

    #[test]
    fn a_container_without_the_label_is_no_node() {
        let mut container = ContainerSummary {
            id: Some("1".to_owned()),
            names: Some(vec!["/a".to_owned()]),
            labels: Some(HashMap::new()),
            ..ContainerSummary::default()
        };
        assert_eq!(node(container.clone()), None);
        container.labels = Some(HashMap::from([(
            CLUSTER_LABEL.to_owned(),
            "demo".to_owned(),
        )]));
        let node = node(container).unwrap();
        assert_eq!((node.name.as_str(), node.running), ("a", false));
    }

    #[test]
    fn files_are_packed_where_they_belong() {
        let packed = archive(&[Entry::file("/pki/ca.crt", "PEM"), Entry::folder("/r")]).unwrap();
        let mut read = tar::Archive::new(packed.as_slice());
        let entries = read.entries().unwrap().map(|entry| {
            let entry = entry.unwrap();
            let path = entry.path().unwrap().to_string_lossy().into_owned();
            (
                path,
                entry.header().entry_type().is_dir(),
                entry.header().mode().unwrap(),
            )
        });
        let entries: Vec<_> = entries.collect();
        let expected = [("pki/ca.crt", false, 0o444), ("r", true, 0o777)];
        let expected = expected.map(|(path, folder, mode)| (path.to_owned(), folder, mode));
        assert_eq!(entries, expected);
    }
}
