//! `stackgate replay RUN`: into the past of a run, with kubectl, or with other checks.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use kubesim::serve::Server;
use serde_json::{Value, json};

use super::exit::{Ending, Failure};
use super::runs::{self, Found};
use crate::record::{Past, RECORDING};
use crate::replay::{At, Replay, Times};
use crate::report::STREAM;

/// The cluster that kubectl means when none is named, if there was one.
const USUAL: &str = "workload";

#[derive(Debug, Args)]
pub struct ReplayArgs {
    /// The run: its folder, its id, `latest`, or a bundle (.tar.zst)
    #[arg(value_name = "RUN|BUNDLE", default_value = "latest")]
    pub run: String,
    /// Serve the run's clusters as they were, as a Kubernetes API that can only be read
    #[arg(long)]
    pub serve: bool,
    /// Judge the run as it was before and after the upgrade by this suite instead: a name, or a file (.yaml); may be
    /// given again. Its checks only read
    #[arg(long, value_name = "NAME|FILE", conflicts_with = "serve")]
    pub suite: Vec<String>,
    /// Where the kubeconfig goes, with the contexts `management` and `workload` [default: a temporary file]
    #[arg(long, value_name = "FILE", requires = "serve")]
    pub kubeconfig: Option<PathBuf>,
    /// The moment: 12:03:05 (UTC), upgrade, upgrade+40s, +90s, end [default: that of the verdict]
    #[arg(long, value_name = "MOMENT", requires = "serve", value_parser = moment)]
    pub at: Option<At>,
    /// Play on from there, so many times as fast as it happened, from the first watch on (`kubectl get -w`)
    #[arg(long, value_name = "FACTOR", requires = "serve", value_parser = speed)]
    pub speed: Option<f64>,
    /// Where runs are found by id
    #[arg(long, value_name = "DIR", default_value = "reports")]
    pub reports: PathBuf,
}

/// A moment as it is typed.
pub fn moment(text: &str) -> Result<At, String> {
    text.parse()
        .map_err(|error: anyhow::Error| error.to_string())
}

fn speed(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|speed: &f64| (0.01..=10_000.0).contains(speed))
        .ok_or_else(|| "expected a number from 0.01 to 10000".to_owned())
}

/// A run with its recording.
pub struct Recorded {
    /// What was recorded.
    pub past: Past,
    /// When what happened.
    pub times: Times,
    /// Where the run is, and stays as long as this.
    pub folder: Found,
}

impl Recorded {
    /// Opens the recording of a run.
    ///
    /// # Errors
    /// When there is no such run, or it has no recording.
    pub fn open(run: &str, reports: &Path) -> Result<Self, Failure> {
        let folder = runs::open(run, reports)?;
        let path = folder.join(RECORDING);
        if !path.exists() {
            let error = anyhow!("failed to find a recording in {}", folder.display());
            return Err(Failure::input(error)
                .hint("`stackgate run` records; `check`, `simulate` and joined shards have none"));
        }
        let past = Past::open(&path).map_err(Failure::input)?;
        let times = Times::read(&folder.join(STREAM), &past).map_err(Failure::input)?;
        Ok(Self {
            past,
            times,
            folder,
        })
    }
}

/// Serves a run's clusters until somebody stops it, or judges them.
///
/// # Errors
/// When there is no such run or moment, or it cannot be served.
pub fn run(args: &ReplayArgs, command: Vec<String>) -> Result<Ending, Failure> {
    if !args.suite.is_empty() {
        return super::judge::run(args, command);
    }
    if !args.serve {
        let error = anyhow!("failed to understand what to do with the run");
        return Err(Failure::input(error)
            .hint("add --serve, for kubectl, or --suite, to judge it by other checks"));
    }
    let Recorded {
        past,
        times,
        folder: _folder,
    } = Recorded::open(&args.run, &args.reports)?;
    let at_ms = times.resolve(args.at.as_ref()).map_err(Failure::input)?;
    let runtime = super::runtime()?;
    runtime.block_on(async {
        let replay = Replay::at(past, at_ms).map_err(Failure::input)?;
        serve(&replay, args).await.map_err(Failure::infrastructure)
    })?;
    Ok(Ending::Done)
}

async fn serve(replay: &Replay, args: &ReplayArgs) -> Result<()> {
    let mut servers = Vec::new();
    for (name, cluster) in replay.clusters() {
        let server = Server::start(cluster).await?;
        servers.push((name.clone(), server));
    }
    let configs: Vec<(&str, Value)> = servers
        .iter()
        .map(|(name, server)| (name.as_str(), server.kubeconfig()))
        .collect();
    let config = joined(&configs);
    // It goes with this, unless somebody chose its place.
    let (path, _made) = match &args.kubeconfig {
        Some(path) => (path.clone(), None),
        None => {
            let folder = tempfile::Builder::new()
                .prefix("stackgate-replay-")
                .tempdir()?;
            (folder.path().join("kubeconfig"), Some(folder))
        }
    };
    private(&path, &config.to_string())?;
    let mut ended = Box::pin(interrupted());
    super::print(&format!("export KUBECONFIG={}\n", path.display()))?;
    let wall = replay
        .wall()
        .map(|wall| wall.strftime("%Y-%m-%d %H:%M:%S UTC").to_string());
    super::note(&format!(
        "{} as of {}, read-only; Ctrl-C ends it",
        Vec::from_iter(replay.clusters().keys().map(String::as_str)).join(" and "),
        wall.unwrap_or_default()
    ));
    let play = async {
        if let Some(speed) = args.speed {
            replay.watched().await;
            replay.play(speed).await?;
            super::note("the recording ends here; what is served stays as it is now");
        }
        std::future::pending::<Result<()>>().await
    };
    let ending = tokio::select! {
        biased;
        ended = &mut ended => ended,
        played = play => played,
    };
    if args.kubeconfig.is_some() {
        // Nobody answers there any more.
        let _ = std::fs::remove_file(&path);
    }
    ending
}

async fn interrupted() -> Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        ended = tokio::signal::ctrl_c() => Ok(ended?),
        _ = terminated.recv() => Ok(()),
    }
}

/// One kubeconfig of several, each a context by its cluster's name.
fn joined(configs: &[(&str, Value)]) -> Value {
    let (mut clusters, mut users, mut contexts) = (Vec::new(), Vec::new(), Vec::new());
    for (name, config) in configs {
        let of = |list: &str, field: &str| config[list][0][field].clone();
        clusters.push(json!({"name": name, "cluster": of("clusters", "cluster")}));
        users.push(json!({"name": name, "user": of("users", "user")}));
        contexts.push(json!({"name": name, "context": {"cluster": name, "user": name}}));
    }
    let names = configs.iter().map(|(name, _)| *name);
    let current = names.max_by_key(|name| *name == USUAL).unwrap_or_default();
    json!({
        "apiVersion": "v1", "kind": "Config", "clusters": clusters, "users": users,
        "contexts": contexts, "current-context": current,
    })
}

/// Writes a file that nobody else reads.
fn private(path: &Path, text: &str) -> Result<()> {
    let context = || format!("failed to write the kubeconfig {}", path.display());
    let mut options = OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = file.open(path).with_context(context)?;
    file.write_all(text.as_bytes()).with_context(context)
}
