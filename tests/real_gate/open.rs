//! The gate that opens, on management clusters of both kinds and on a kept one.

use libtest_mimic::Failed;
use stackgate::record::Phase;

use crate::gate::{Ended, Gate};
use crate::machine::traces;

/// The demo pair goes through: every check kept, reports readable, nothing left.
pub fn open_gate(management: &str) -> Result<(), Failed> {
    let before = traces();
    let ended = Gate::demo().with(&["--management", management]).run()?;
    ended.expect(ended.code == 0, "exit code 0")?;
    let kept = ended.summary.counts.kept;
    ended.expect(kept >= 10, "at least ten checks kept")?;
    ended.expect(ended.summary.counts.regressed == 0, "nothing regressed")?;
    let junit = std::fs::read_to_string(ended.folder.join("junit.xml"))?;
    let report = crate::junit::parse(&junit);
    let suites: Vec<&str> = report
        .test_suites
        .iter()
        .map(|suite| suite.name.as_str())
        .collect();
    for phase in Phase::ALL {
        let named = suites.iter().any(|suite| suite.contains(phase.name()));
        ended.expect(named, &format!("a suite for {phase} among {suites:?}"))?;
    }
    let cases: usize = report
        .test_suites
        .iter()
        .map(|suite| suite.test_cases.len())
        .sum();
    ended.expect(cases >= 2 * kept as usize, "two cases for each check kept")?;
    let after = traces();
    ended.expect(
        before == after,
        &format!("no trace left: {before:#?} against {after:#?}"),
    )?;
    told(&ended);
    within_its_budget(&ended)
}

/// Two runs at a time know nothing of each other, and leave nothing.
pub fn side_by_side() -> Result<(), Failed> {
    let before = traces();
    let gate = || Gate::demo().with(&["--management", "light", "--timeout-scale", "3"]);
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| gate().run());
        let other = scope.spawn(|| gate().run());
        (one.join(), other.join())
    });
    for ended in [one, other] {
        let ended = ended.map_err(|_| "a run panicked")??;
        ended.expect(ended.code == 0, "exit code 0")?;
        told(&ended);
    }
    let after = traces();
    if before == after {
        return Ok(());
    }
    Err(format!("no trace was to be left: {before:#?} against {after:#?}").into())
}

/// A second run on a warm management cluster needs no management phase worth the name.
pub fn reused_management() -> Result<(), Failed> {
    let before = traces();
    let name = "real-test";
    let first = Gate::demo().with(&["--management", "keep", name]).run()?;
    first.expect(first.code == 0, "exit code 0")?;
    let second = Gate::demo().with(&["--management", "reuse", name]).run()?;
    second.expect(second.code == 0, "exit code 0")?;
    let management = |ended: &Ended| {
        let phases = &ended.summary.phases;
        phases
            .iter()
            .find(|phase| phase.phase == Phase::Management)
            .map(|phase| phase.seconds)
    };
    let (made, reused) = (management(&first), management(&second));
    eprintln!("management phase: {made:?} s made, {reused:?} s reused");
    second.expect(reused < made, "a shorter management phase")?;
    crate::killed::clean(&["--kept", name])?;
    let mut after = traces();
    // kind's network is shared, and outlives a kept cluster.
    after.networks.clone_from(&before.networks);
    second.expect(
        before == after,
        &format!("no trace left: {before:#?} against {after:#?}"),
    )
}

/// Memory does not depend on how busy the machine is; the other budgets are told, and checked from
/// `summary.json` by whoever runs on a quiet one.
fn within_its_budget(ended: &Ended) -> Result<(), Failed> {
    let usage = ended.summary.usage;
    let memory = usage.is_some_and(|usage| usage.peak_rss_mib <= 150.0);
    ended.expect(memory, "at most 150 MiB resident")?;
    let reaction = usage.is_some_and(|usage| usage.reaction_median_ms.is_some());
    ended.expect(reaction, "a median reaction")
}

/// The figures of a real run, for whoever reads the log.
fn told(ended: &Ended) {
    for phase in &ended.summary.phases {
        eprintln!("{:>14} {:8.1} s", phase.phase.name(), phase.seconds);
    }
    eprintln!("{:?}", ended.summary.usage);
}
