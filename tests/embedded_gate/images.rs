//! Images that no registry has.

use crate::rehearsal::Rehearsal;

/// What N+1's addon names.
const NEEDED: &str = "registry.k8s.io/metrics-server/metrics-server:v0.8.1";

#[test]
fn embedded_image_that_no_registry_has_closes_the_gate() {
    let rehearsal = Rehearsal::demo(&["--seed", "5", "--missing-image", NEEDED]);
    rehearsal.is_closed_by(&["image-not-available", NEEDED]);
    let told = rehearsal.stdout();
    let sentence = format!("no registry has {NEEDED}");
    assert!(told.contains(&sentence), "{told}");
    let reproduce = rehearsal.summary["rehearsal"]["reproduce"].as_str();
    let option = format!("--missing-image {NEEDED}");
    assert!(reproduce.is_some_and(|it| it.contains(&option)), "{told}");
}

#[test]
fn embedded_image_that_nobody_wants_proves_nothing() {
    let rehearsal = Rehearsal::demo(&["--seed", "5", "--missing-image", "example.org/other:v1"]);
    assert_eq!(rehearsal.output.status.code(), Some(3));
    let reason = rehearsal.reason();
    let told = "no registry was to have image example.org/other:v1, and nothing had to pull it";
    assert!(reason.contains(told), "{reason}");
}
