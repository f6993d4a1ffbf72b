//! What the suites `health` and `scs-light` cost on a simulated cluster of three nodes: requests, and stackgate's
//! own time, that of the simulated cluster included. Waiting for pods is virtual and costs nothing, so it is all
//! processor time, and other programs do not count.
//!
//! `cargo bench --bench checks` fails above [`REQUESTS`] requests or [`OWN`] of time.

#[path = "../tests/common/lab.rs"]
mod lab;
#[path = "common/processor.rs"]
mod processor;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use lab::{Lab, Log};
use stackgate::record::Verdict;

/// What is asked.
const SUITES: [&str; 2] = ["health", "scs-light"];
/// So many requests at most.
const REQUESTS: usize = 200;
/// So much time at most.
const OWN: Duration = Duration::from_millis(100);
/// How often it is measured.
const TURNS: usize = 15;

fn main() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    let mut good = true;
    runtime.block_on(async {
        let lab = Lab::settled().await;
        for (what, read_only) in [("all checks", false), ("--read-only", true)] {
            let (time, log) = measure(&lab, read_only).await;
            let requests = log.all();
            println!(
                "{} {what}: {time:.1?}, {} requests (at most {OWN:?}, {REQUESTS})",
                SUITES.join(" + "),
                requests.len()
            );
            let mut kinds = BTreeMap::<String, usize>::new();
            for (verb, _, resource) in requests.iter().filter_map(lab::Asked::right) {
                *kinds.entry(format!("{verb} {resource}")).or_default() += 1;
            }
            for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 1) {
                println!("  {count:>3} {kind}");
            }
            good &= time <= OWN && requests.len() <= REQUESTS;
        }
    });
    if good {
        return ExitCode::SUCCESS;
    }
    eprintln!("the checks cost more than they may");
    ExitCode::FAILURE
}

/// The median time of a round, and what one of them asked.
async fn measure(lab: &Lab, read_only: bool) -> (Duration, Log) {
    let mut times = Vec::new();
    let mut last = Log::default();
    for turn in 0..=TURNS {
        let log = Log::default();
        let start = processor::time().expect("the system tells");
        let (ending, _) = lab.ask(None, &log, &SUITES, read_only).await;
        let took = processor::time().expect("the system tells") - start;
        assert_eq!(ending.verdict, Verdict::Open, "{}", ending.reason);
        // The first one warms up and does not count.
        if turn > 0 {
            times.push(took);
        }
        last = log;
        // What it created is gone before the next one.
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    times.sort();
    (times[times.len() / 2], last)
}
