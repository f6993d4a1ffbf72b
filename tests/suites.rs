//! Every check that ships as a test, against a simulated cluster, or that of `$KUBECONFIG`:
//! `cargo test --test suites`, with filters and `--list` as of any test.
//!
//! A check that does not apply is shown as ignored, with its reason.

#[expect(dead_code, reason = "it is shared; these tests need a part of it")]
#[path = "common/simulated.rs"]
mod simulated;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;
use simulated::{Shape, World};
use stackgate::checks::{TOOLS_IMAGE, Target};
use stackgate::cluster::{Context, Interrupt};
use stackgate::record::{CheckResult, Clock, Outcome, Phase, Recorder, RunId};
use stackgate::suite::{self, Acceptance, Memory, Place, Round, Suite};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for name in suite::shipped() {
        let suite = Suite::load(name, Path::new("nowhere")).unwrap();
        for check in &suite.checks {
            let (suite, id) = (suite.clone(), check.id.to_string());
            let title = format!("{name}::{id}");
            trials.push(Trial::ignorable_test(title, move || trial(&suite, &id)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn trial(suite: &Suite, check: &str) -> Result<Completion, Failed> {
    let kubeconfig = std::env::var_os("KUBECONFIG").filter(|path| !path.is_empty());
    let result = match kubeconfig {
        Some(path) => {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            runtime.block_on(real(suite, check, PathBuf::from(path)))?
        }
        None => simulated::virtual_time().block_on(async {
            let world = World::of(&Shape::exemplary()).await;
            world.ask(suite, check, Phase::CheckBefore).await
        }),
    };
    let told = [vec![result.message], result.evidence].concat().join("\n");
    match result.outcome {
        Outcome::Pass | Outcome::Flaky => Ok(Completion::Completed),
        Outcome::Skip => Ok(Completion::ignored_with(told)),
        Outcome::Fail | Outcome::Abort => Err(Failed::from(format!("{}: {told}", result.outcome))),
    }
}

async fn real(suite: &Suite, check: &str, path: PathBuf) -> Result<CheckResult, Failed> {
    let kubeconfig = Kubeconfig::read_from(&path)?;
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
    results
        .pop()
        .ok_or_else(|| Failed::from("nothing was asked"))
}
