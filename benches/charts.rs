//! How much faster a chart renders here than with the `helm template` process, in the same run.
//!
//! `cargo bench --bench charts` prints medians and the ratio per chart, and fails below
//! [`WANTED`]; `-- <chart>...` adds charts. Both sides read the chart from disk each time; helm
//! also starts and prints.

#[path = "../tests/common/program.rs"]
mod program;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use stackgate::stack::chart::{Chart, RenderOptions, render};

/// How many times faster it must be.
const WANTED: f64 = 20.0;
/// Both sides take turns, so that what else the machine does hits both.
const TURNS: usize = 15;
const OWN_PER_TURN: usize = 5;

fn main() -> ExitCode {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/charts");
    let own_charts = ["addon", "values", "functions-data", "yaml-functions"];
    let mut charts: Vec<PathBuf> = own_charts
        .iter()
        .map(|name| root.join(name).join("chart"))
        .collect();
    charts.extend(
        std::env::args()
            .skip(1)
            .filter(|arg| !arg.starts_with('-'))
            .map(PathBuf::from),
    );
    let helm = program::find("helm");
    if helm.is_none() {
        eprintln!(
            "helm is neither in PATH nor built by the testbed: only the own times are measured"
        );
    }
    let mut slow = 0;
    for chart in charts {
        let name = chart.strip_prefix(&root).unwrap_or(&chart).display();
        let (own, theirs) = measure(&chart, helm.as_deref());
        let Some(theirs) = theirs else {
            println!("{name}: {own:.2?}");
            continue;
        };
        let ratio = theirs.as_secs_f64() / own.as_secs_f64();
        println!("{name}: {own:.2?} here, {theirs:.2?} helm template, {ratio:.0}x");
        slow += usize::from(ratio < WANTED);
    }
    if slow == 0 {
        return ExitCode::SUCCESS;
    }
    eprintln!("{slow} charts render less than {WANTED} times faster than with helm");
    ExitCode::FAILURE
}

/// Medians of both sides.
fn measure(chart: &Path, helm: Option<&Path>) -> (Duration, Option<Duration>) {
    // A first round of each warms the caches and does not count.
    own(chart);
    if let Some(helm) = helm {
        run_helm(helm, chart);
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        theirs.extend(helm.map(|helm| timed(|| run_helm(helm, chart))));
        ours.extend((0..OWN_PER_TURN).map(|_| timed(|| own(chart))));
    }
    ours.sort();
    theirs.sort();
    (ours[ours.len() / 2], theirs.get(theirs.len() / 2).copied())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn timed(run: impl FnOnce()) -> Duration {
    let start = Instant::now();
    run();
    start.elapsed()
}

fn own(chart: &Path) {
    let chart = match chart.is_dir() {
        true => Chart::from_dir(chart),
        false => Chart::from_archive(chart),
    };
    let chart = chart.expect("the chart is readable");
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
