//! Every check that ships as a test, against a simulated cluster, or that of `$KUBECONFIG`:
//! `cargo test --test suites`, with filters and `--list` as of any test.
//!
//! A check that does not apply is shown as ignored, with its reason; so is a heavy one on a real cluster,
//! unless it is asked for (`--include-ignored`).

#[path = "common/kubeconfig.rs"]
mod kubeconfig;
#[expect(dead_code, reason = "it is shared; these tests need a part of it")]
#[path = "common/simulated.rs"]
mod simulated;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Failed, Trial};
use simulated::{Shape, World};
use stackgate::record::{Outcome, Phase};
use stackgate::suite::{self, Suite, Weight};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let real = std::env::var_os("KUBECONFIG").is_some_and(|path| !path.is_empty());
    let mut trials = Vec::new();
    for name in suite::shipped() {
        let suite = Suite::load(name, Path::new("nowhere")).unwrap();
        for check in &suite.checks {
            let (suite, id) = (suite.clone(), check.id.to_string());
            let title = format!("{name}::{id}");
            // On a real cluster these take hours.
            let heavy = real && check.weight == Weight::Heavy;
            let trial = Trial::ignorable_test(title, move || trial(&suite, &id));
            trials.push(trial.with_ignored_flag(heavy));
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
            runtime.block_on(kubeconfig::ask(suite, check, PathBuf::from(path)))?
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
