//! What the light checks cost on large clusters: 10, 100 and 1,000 nodes with 20 pods each. The time is
//! stackgate's own, with that of the simulated cluster while it is asked; waiting for pods is virtual.
//!
//! `cargo bench --bench clusters [-- NODES…]` prints a table, and fails when the checks take more than
//! [`MOST`], or when an object takes more memory the more there are of them ([`LINEAR`]).

#[path = "../tests/common/lab.rs"]
mod lab;
#[path = "common/processor.rs"]
mod processor;

use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use kubesim::resource::builtin::PODS;
use lab::{Lab, Log};
use mimalloc::MiMalloc;
use serde::{Deserialize, Serialize};
use stackgate::record::Verdict;

/// The program's own: without it, half of the time is spent in glibc's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// How many nodes are measured, unless it is said.
const SIZES: [usize; 3] = [10, 100, 1000];
/// So many pods a node.
const PODS_A_NODE: usize = 20;
/// What is asked.
const SUITES: [&str; 2] = ["scs-light", "health"];
/// How long the checks may take, whatever the size.
const MOST: Duration = Duration::from_secs(5);
/// How much more memory an object may take from one size to the next, than between the two before.
const LINEAR: f64 = 1.25;
/// The word that makes this process measure one size.
const ONE: &str = "--one";

/// What one size costs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Row {
    nodes: usize,
    pods: usize,
    /// All objects of the cluster.
    objects: usize,
    requests: usize,
    wall: Duration,
    cpu: Duration,
    /// Largest resident set of the cluster alone, and with the checks, in MiB.
    before: f64,
    peak: f64,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let mut sizes: Vec<usize> = words.iter().filter_map(|word| word.parse().ok()).collect();
    if words.iter().any(|word| word == ONE) {
        let nodes = *sizes.first().context("no number of nodes")?;
        println!("{}", serde_json::to_string(&measure(nodes)?)?);
        return Ok(());
    }
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    println!(
        "{} on clusters with {PODS_A_NODE} pods a node",
        SUITES.join(" + ")
    );
    println!(
        "{:>6} {:>7} {:>8} {:>9} {:>8} {:>8} {:>12} {:>11} {:>11}",
        "nodes",
        "pods",
        "objects",
        "requests",
        "seconds",
        "cpu",
        "cluster MiB",
        "checks MiB",
        "KiB/object"
    );
    let mut rows = Vec::new();
    for nodes in sizes {
        let row = apart(nodes)?;
        println!(
            "{:>6} {:>7} {:>8} {:>9} {:>8.2} {:>8.2} {:>12.0} {:>11.0} {:>11.1}",
            row.nodes,
            row.pods,
            row.objects,
            row.requests,
            row.wall.as_secs_f64(),
            row.cpu.as_secs_f64(),
            row.before,
            row.peak - row.before,
            row.peak * 1024.0 / row.objects as f64,
        );
        rows.push(row);
    }
    for pair in rows.windows(2) {
        let ratio = |of: fn(&Row) -> f64| of(&pair[1]) / of(&pair[0]);
        println!(
            "{} to {} nodes: objects × {:.1}, requests × {:.1}, seconds × {:.1}, memory × {:.1}",
            pair[0].nodes,
            pair[1].nodes,
            ratio(|row| row.objects as f64),
            ratio(|row| row.requests as f64),
            ratio(|row| row.wall.as_secs_f64()),
            ratio(|row| row.peak),
        );
    }
    judge(&rows)
}

fn judge(rows: &[Row]) -> Result<()> {
    for row in rows {
        let (nodes, wall) = (row.nodes, row.wall);
        ensure!(
            wall <= MOST,
            "the checks take {wall:.1?} on {nodes} nodes, more than {MOST:?}"
        );
    }
    // What the process takes by itself does not count: what more objects take does.
    let growth: Vec<f64> = rows
        .windows(2)
        .map(|pair| (pair[1].peak - pair[0].peak) / (pair[1].objects - pair[0].objects) as f64)
        .collect();
    for pair in growth.windows(2) {
        let ratio = pair[1] / pair[0];
        println!("memory of one more object: × {ratio:.2} (at most {LINEAR})");
        ensure!(ratio <= LINEAR, "memory is not linear in objects");
    }
    Ok(())
}

/// Measures one size in a process of its own: how much memory it took at most is told once.
fn apart(nodes: usize) -> Result<Row> {
    let output = Command::new(std::env::current_exe()?)
        .args([ONE, &nodes.to_string()])
        .output()?;
    ensure!(
        output.status.success(),
        "{nodes} nodes: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn measure(nodes: usize) -> Result<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    runtime.block_on(async {
        let lab = Lab::of_size(nodes, PODS_A_NODE).await;
        let store = lab.cluster.store();
        let pods = store.count(&PODS);
        let kinds = lab.cluster.api().catalogue().all();
        let objects = kinds.iter().map(|kind| store.count(&kind.id)).sum();
        let log = Log::default();
        let before = memory()?;
        let (begun, used) = (now(), processor::time()?);
        let (ending, _) = lab.ask(None, &log, &SUITES, false).await;
        let (wall, cpu) = (begun.elapsed(), processor::time()? - used);
        ensure!(ending.verdict == Verdict::Open, "{}", ending.reason);
        Ok(Row {
            nodes,
            pods,
            objects,
            requests: log.all().len(),
            wall,
            cpu,
            before,
            peak: memory()?,
        })
    })
}

/// The largest resident set of this process so far, in MiB.
fn memory() -> Result<f64> {
    let usage = nix::sys::resource::getrusage(nix::sys::resource::UsageWho::RUSAGE_SELF)?;
    // Linux counts in KiB.
    Ok(usage.max_rss() as f64 / 1024.0)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Instant {
    Instant::now()
}
