//! Simulated clusters within reach of kubectl, while a rehearsal is paused.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use kubesim::Cluster;
use kubesim::serve::Server;

use crate::engine::Opened;
use crate::record::Reach;

/// Serves those of the clusters that are there, each with a kubeconfig file in the folder.
pub(super) async fn open(
    folder: &Path,
    clusters: [(&'static str, Option<Cluster>); 2],
) -> Result<Opened> {
    let (mut reached, mut servers) = (Vec::new(), Vec::new());
    for (name, cluster) in clusters {
        let Some(cluster) = cluster else { continue };
        let server = Server::for_onlookers(&cluster).await?;
        let file = folder.join(format!("{name}.kubeconfig"));
        write(&file, &server.kubeconfig().to_string())
            .with_context(|| format!("failed to write {}", file.display()))?;
        servers.push(server);
        reached.push(Reach {
            cluster: name.to_owned(),
            file: file.to_string_lossy().into_owned(),
        });
    }
    Ok(Opened {
        clusters: reached,
        served: Box::new(servers),
    })
}

/// Writes a file that nobody else reads.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    let file = options.write(true).create_new(true).mode(0o600);
    file.open(path)?.write_all(text.as_bytes())
}
