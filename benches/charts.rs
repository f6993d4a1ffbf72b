//! How much faster a chart renders here than with the `helm template` process, in the same run.
//!
//! `cargo bench --bench charts` prints medians and the ratio per chart, and fails below
//! [`WANTED`]. Both sides read the chart from disk each time; helm also starts and prints.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stackgate::stack::chart::{Chart, RenderOptions, render};

/// How many times faster it must be.
const WANTED: f64 = 20.0;
const OWN_ROUNDS: usize = 51;
const HELM_ROUNDS: usize = 11;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let charts = ["addon", "values", "functions-data", "yaml-functions"];
    let Some(helm) = helm() else {
        eprintln!(
            "helm is neither in PATH nor built by the testbed: only the own times are measured"
        );
        for name in charts {
            let own = median(OWN_ROUNDS, || own(&chart(root, name)));
            println!("{name}: {own:.2?}");
        }
        return ExitCode::SUCCESS;
    };
    let mut slow = Vec::new();
    for name in charts {
        let chart = chart(root, name);
        // Alternating would warm nothing up: each side gets a first round that does not count.
        let own = median(OWN_ROUNDS, || own(&chart));
        let theirs = median(HELM_ROUNDS, || run_helm(&helm, &chart));
        let ratio = theirs.as_secs_f64() / own.as_secs_f64();
        println!("{name}: {own:.2?} here, {theirs:.2?} helm template, {ratio:.0}x");
        if ratio < WANTED {
            slow.push(name);
        }
    }
    if slow.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!(
        "less than {WANTED} times faster than helm: {}",
        slow.join(", ")
    );
    ExitCode::FAILURE
}

fn chart(root: &Path, name: &str) -> PathBuf {
    root.join("tests/charts").join(name).join("chart")
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn median(rounds: usize, mut run: impl FnMut()) -> Duration {
    run();
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let start = Instant::now();
            run();
            start.elapsed()
        })
        .collect();
    times.sort();
    times[rounds / 2]
}

fn own(chart: &Path) {
    let chart = Chart::from_dir(chart).expect("the chart is in the repository");
    let options = RenderOptions {
        release_name: "demo".into(),
        namespace: "kube-system".into(),
        kube_version: "v1.34.3".into(),
        api_versions: Vec::new(),
        values: Value::Null,
        include_crds: true,
    };
    let objects = render(&chart, &options).expect("the chart renders");
    assert!(!objects.is_empty(), "the chart has objects");
}

fn run_helm(helm: &Path, chart: &Path) {
    let status = Command::new(helm)
        .args([
            "template",
            "demo",
            "--namespace",
            "kube-system",
            "--include-crds",
        ])
        .args(["--kube-version", "v1.34.3"])
        .arg(chart)
        .stdout(Stdio::null())
        .status()
        .expect("helm starts");
    assert!(status.success(), "helm renders the chart");
}

/// The real helm: in PATH, or where the testbed builds it.
fn helm() -> Option<PathBuf> {
    let cache = std::env::var_os("STACKGATE_TESTBED_CACHE")
        .map(PathBuf::from)
        .or_else(|| {
            let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
            let base = base.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".cache")));
            base.map(|base| base.join("stackgate-testbed"))
        });
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(cache.map(|cache| cache.join("bin")))
        .map(|dir| dir.join("helm"))
        .find(|program| program.is_file())
}
