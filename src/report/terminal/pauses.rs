//! What is told when a run stands still: how it is looked at, what failed, how it goes on.

use super::screen::Screen;
use crate::record::Pause;
use crate::report::text::{clock, one_line};
use crate::report::words::Tone;

/// How much of what failed is told.
const FAILED: usize = 10;

/// The lines of a pause of the run with this id.
pub(super) fn lines(screen: &Screen, run: &str, pause: &Pause) -> Vec<String> {
    let mark = screen.paint(Tone::Attention, "‖");
    let (place, most) = (one_line(&pause.place), clock(pause.at_most_s));
    let mut lines = vec![format!("  {mark} paused {place}, for at most {most}")];
    for reach in &pause.clusters {
        let (cluster, file) = (one_line(&reach.cluster), one_line(&reach.file));
        lines.push(format!("    {cluster}: export KUBECONFIG={file}"));
    }
    let left_out = pause.failed.len().saturating_sub(FAILED);
    if left_out > 0 {
        lines.push(format!("    failed: {left_out} before these, and"));
    }
    for failed in &pause.failed[left_out..] {
        let word = screen.paint(Tone::Bad, "failed");
        lines.push(format!("    {word}: {}", one_line(failed)));
    }
    let mut ways = vec![("to go on", "c", format!("stackgate resume {run}"))];
    if pause.may_retry {
        let retry = format!("stackgate resume {run} --retry");
        ways.push(("to begin the phase again", "r", retry));
    }
    ways.push(("to tear down", "a", format!("stackgate abort {run}")));
    lines.extend(ways.into_iter().map(|(what, key, command)| {
        let key = if pause.keys {
            format!("press {key}, or ")
        } else {
            String::new()
        };
        format!("    {what}: {key}{command}")
    }));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Phase, Reach};

    #[test]
    fn a_pause_says_how_to_look_what_failed_and_how_to_go_on() {
        let mut pause = Pause {
            phase: Phase::Upgrade,
            place: "at upgrade+40s".to_owned(),
            failed: vec!["check before: fail dns: no\nanswer".to_owned()],
            clusters: vec![Reach {
                cluster: "workload".to_owned(),
                file: "/tmp/x/workload.kubeconfig".to_owned(),
            }],
            control: "/tmp/x/control".to_owned(),
            keys: true,
            may_retry: true,
            at_most_s: 7200,
        };
        let told = |pause: &Pause| lines(&Screen::PLAIN, "7f3a09bc", pause).join("\n");
        insta::assert_snapshot!(told(&pause), @"
        ‖ paused at upgrade+40s, for at most 2:00:00
          workload: export KUBECONFIG=/tmp/x/workload.kubeconfig
          failed: check before: fail dns: no answer
          to go on: press c, or stackgate resume 7f3a09bc
          to begin the phase again: press r, or stackgate resume 7f3a09bc --retry
          to tear down: press a, or stackgate abort 7f3a09bc
        ");
        pause.keys = false;
        pause.may_retry = false;
        pause.failed = (0..12).map(|number| format!("check {number}")).collect();
        let told = told(&pause);
        assert!(
            told.contains("failed: 2 before these") && !told.contains("check 1\n"),
            "{told}"
        );
        assert!(
            told.ends_with(
                "to go on: stackgate resume 7f3a09bc\n    to tear down: stackgate abort 7f3a09bc"
            ),
            "{told}"
        );
    }
}
