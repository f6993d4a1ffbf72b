//! Asking a check of the cluster that a kubeconfig file names.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::Value;
use stackgate::checks::{Shared, TOOLS_IMAGE, Target};
use stackgate::cluster::{Context, Interrupt, Network};
use stackgate::record::{CheckResult, Clock, Phase, Recorder, RunId};
use stackgate::suite::{self, Acceptance, Memory, Place, Round, Suite};

/// What becomes of one check of a suite.
///
/// # Errors
/// When the file cannot be read, or the API server does not tell its version.
pub async fn ask(suite: &Suite, check: &str, path: PathBuf) -> anyhow::Result<CheckResult> {
    let kubeconfig = Kubeconfig::read_from(&path)?;
    let network = Network::of(&kubeconfig);
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await?;
    let client = Client::try_from(config)?;
    let version = client.apiserver_version().await?.git_version;
    let folder = tempfile::tempdir()?;
    let recorder = Recorder::create(folder.path(), Clock::system(), vec![])?;
    let context = Context::new(RunId::random(), recorder, Interrupt::default(), 1.0);
    context.enter(Phase::CheckBefore);
    let mut suite = suite.clone();
    suite.checks.retain(|one| *one.id == *check);
    let place = Place {
        kubeconfig: Some(path),
        ..Place::default()
    };
    let target = Target {
        context: &context,
        workload: &client,
        management: None,
        kubernetes: &version,
        upgraded_from: None,
        addons: &[],
        dropped: &[],
        tools_image: TOOLS_IMAGE,
        ok_to_fail: &[],
        shared: &Shared::with(Some(Arc::new(network))),
        parameters: &Value::Null,
    };
    let round = Round {
        suites: std::slice::from_ref(&suite),
        accepted: Acceptance::default(),
        phase: Phase::CheckBefore,
        place: &place,
        memory: &Memory::default(),
    };
    let mut results = suite::run(&target, round).await;
    results.pop().context("nothing was asked")
}
