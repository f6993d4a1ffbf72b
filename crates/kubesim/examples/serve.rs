//! Brings up a cluster and serves it: `cargo run -p kubesim --example serve -- [KUBECONFIG]`, then
//! `kubectl --kubeconfig KUBECONFIG get nodes`.

use std::error::Error;
use std::io::Write as _;
use std::path::PathBuf;

use kubesim::kubeadm::{self, Init, NodeSpec, Role};
use kubesim::serve::Server;
use kubesim::{Options, Simulation, controllers};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args_os().nth(1).map_or_else(
        || std::env::temp_dir().join(format!("kubesim-{}.kubeconfig", std::process::id())),
        PathBuf::from,
    );
    let simulation = Simulation::new(&Options::default());
    let cluster = simulation.add_cluster("demo", controllers::all());
    let version = cluster.server().version();
    let node = NodeSpec::new("control-plane", Role::ControlPlane, &version);
    kubeadm::init(&cluster, &Init::new(node))?;
    kubeadm::join(&cluster, &NodeSpec::new("worker", Role::Worker, &version))?;
    let server = Server::start(&cluster).await?;
    private(&path)?.write_all(server.kubeconfig().to_string().as_bytes())?;
    println!("{}", path.display());
    eprintln!("serving until Ctrl-C");
    tokio::signal::ctrl_c().await?;
    std::fs::remove_file(&path)?;
    Ok(())
}

/// A new file that nobody else reads.
fn private(path: &PathBuf) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
