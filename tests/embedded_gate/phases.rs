//! Each fault in each phase: refused before anything is made, or it does what it is for.

use stackgate::engine::embedded::faults::{Class, Known, catalogue};
use stackgate::record::Phase;

use crate::common::TestContext;
use crate::rehearsal::{Rehearsal, stacks};
use crate::variant::{Variant, provided};
use crate::variants::rehearse;

fn slug(phase: Phase) -> String {
    phase.name().replace(' ', "-")
}

/// Words in the reason or the findings of a gate that a fault closed where no other test has it.
fn cause(known: &Known, phase: Phase) -> &'static [&'static str] {
    match (known.name, phase) {
        ("cni-deleted", _) => &["addon-deleted", "DaemonSet kube-system/kindnet"],
        ("worker-never-ready", _) => &["NodeHealthy False", "PLEG is not healthy"],
        ("control-plane-join-fails", _) => &["kubeadm-failed", "kubeadm join"],
        ("image-pull-fails", _) => &["image-not-available", "ImagePullBackOff"],
        ("webhook-down", Phase::CheckAfter) => &["dns-resolves", "failed calling webhook"],
        ("webhook-down", _) => &["webhook-down", "failed calling webhook"],
        ("certificate-expired", _) => &["certificate-expired"],
        ("hook-kept", _) => &["hook-kept", "keeps hook"],
        ("provider-object-not-ready", _) => {
            &["provider-object-not-ready", "DockerClusterStackRelease"]
        }
        ("stack-columns-wrong", _) => &["stack-columns-wrong", "says USABLE"],
        ("release-not-downloaded", _) => &["release-not-downloaded", "not downloaded yet"],
        (name, phase) => panic!("{name}@{phase} has no cause to look for"),
    }
}

/// Every fault from one phase on; the phase in which it begins by itself has tests of its own.
fn at(phase: Phase) {
    for known in catalogue() {
        if known.phase == phase || !known.phases.contains(&phase) {
            continue;
        }
        let fault = format!("{}@{}", known.name, slug(phase));
        eprintln!("{fault}");
        let mut given = vec!["--seed", "7", "--fault", &fault];
        if known.needs_operator() {
            given.extend(["--delivery", "operator"]);
        }
        let run = if known.needs_provider() {
            rehearse(provided(), &[], &given)
        } else {
            Rehearsal::demo(&given)
        };
        match known.class {
            Class::Fatal => {
                run.is_closed_by(cause(known, phase));
                if matches!(known.name, "certificate-expired" | "webhook-down") {
                    // Its name is known long before an upgrade's time is over.
                    assert!(!run.reason().contains("1200 s"), "{}", run.reason());
                }
            }
            Class::Transport => run.is_open(),
        }
    }
}

macro_rules! phases {
    ($($test:ident $phase:ident;)*) => {
        /// The phases in which a fault may begin that have a test.
        const TESTED: &[Phase] = &[$(Phase::$phase),*];
        $(
            #[test]
            fn $test() {
                at(Phase::$phase);
            }
        )*
    };
}

phases! {
    embedded_faults_from_management_on Management;
    embedded_faults_from_release_on Release;
    embedded_faults_from_create_on Create;
    embedded_faults_from_check_before_on CheckBefore;
    embedded_faults_from_upgrade_on Upgrade;
    embedded_faults_from_check_after_on CheckAfter;
}

#[test]
fn embedded_faults_in_a_phase_in_which_they_can_do_nothing_are_refused_before_anything_is_made() {
    for known in catalogue() {
        for phase in known.phases {
            assert!(TESTED.contains(phase), "{}@{phase}", known.name);
        }
    }
    // All pairs are read by a unit test; here is what a user meets.
    for fault in [
        "drain-blocked@create",
        "addon-left-behind@check-before",
        "cni-deleted@check-after",
        "slow@teardown",
        "clock-skew@upgrade",
    ] {
        let context = TestContext::new();
        let output = context
            .command()
            .args(["run", "docker-demo", "--fault", fault, "--stacks"])
            .arg(stacks())
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("cannot happen in phase"), "{stderr}");
        assert!(stderr.contains("; it can in "), "{stderr}");
        assert!(!context.path().join("reports").exists(), "{fault}");
    }
}

#[test]
fn embedded_a_fault_that_finds_nothing_to_harm_is_no_proof() {
    // Both releases bring the same addons, so that none can be left behind.
    let same =
        Variant::from("docker-demo").next_version("docker-demo-1-34-v1", "docker-demo-1-34-v2");
    let run = rehearse(same, &[], &["--seed", "7", "--fault", "addon-left-behind"]);
    assert_eq!(
        (run.verdict(), run.output.status.code()),
        ("none", Some(3)),
        "{}",
        run.stdout()
    );
    let expected = "nothing is shown: fault addon-left-behind@upgrade was given and never happened";
    assert_eq!(run.reason(), expected);
    assert!(run.stdout().contains(expected), "{}", run.stdout());
}
