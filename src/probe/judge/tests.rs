//! What is made of measurements: budgets, and what was not measured.

use super::*;

fn result(probe: &str, outcome: Outcome) -> ProbeResult {
    ProbeResult {
        probe: probe.to_owned(),
        title: String::new(),
        outcome,
        message: "why".to_owned(),
        budget: ProbeBudget::default(),
        tries: 0,
        lost: 0,
        share_lost_percent: 0.0,
        longest_gap: None,
        unmeasured_ms: 0,
        latency: None,
    }
}

#[test]
fn a_probe_over_its_budget_closes_an_open_gate_and_one_that_went_dark_leaves_no_verdict() {
    use Outcome::{Abort, Fail, Pass, Skip};
    use Verdict::{Closed, None, NothingRan, Open};
    for (checks, probes, expected, reason) in [
        (Open, vec![Pass, Skip], Open, "checks"),
        (Open, vec![Abort, Fail], Closed, "probe dns: why"),
        (Open, vec![Abort, Pass], None, "probe api: why"),
        (Closed, vec![Fail, Abort], Closed, "checks"),
        (None, vec![Fail, Pass], Closed, "probe api: why"),
        (None, vec![Abort, Pass], None, "checks"),
        (NothingRan, vec![Pass, Pass], NothingRan, "checks"),
    ] {
        let results: Vec<ProbeResult> = ["api", "dns"]
            .iter()
            .zip(&probes)
            .map(|(name, outcome)| result(name, *outcome))
            .collect();
        let told = verdict((checks, "checks".to_owned()), &results);
        assert_eq!(told, (expected, reason.to_owned()), "{probes:?}");
    }
}
