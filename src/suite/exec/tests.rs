//! Executables that answer, and those that misbehave.

use std::os::unix::fs::PermissionsExt;

use super::*;

const KUBECONFIG: &str = "users:\n- {name: a, user: {token: VERYSECRET}}\n";

async fn asked_with(script: &str, time: Duration, adjust: impl FnOnce(&mut ExecCheck)) -> Answer {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("own.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, KUBECONFIG).unwrap();
    let mut check: ExecCheck = serde_saphyr::from_str("command: own.sh\nargs: [x y]").unwrap();
    adjust(&mut check);
    let given = Given {
        id: "own",
        folder: folder.path(),
        kubeconfig: &kubeconfig,
        time,
    };
    run(&check, &given).await.unwrap()
}

async fn asked(script: &str) -> (Outcome, String) {
    let answer = asked_with(script, Duration::from_secs(60), |_| {}).await;
    (answer.outcome, answer.message)
}

#[tokio::test]
async fn its_verdict_is_the_answer() {
    let told = asked("echo 'own: PASS'").await;
    assert_eq!(told, (Outcome::Pass, "own.sh says PASS".to_owned()));
    let told = asked("echo 'ERROR: no zone' >&2; echo 'own: FAIL'; exit 1").await;
    assert_eq!(
        told,
        (Outcome::Fail, "own.sh says FAIL: ERROR: no zone".to_owned())
    );
    assert_eq!(asked("echo 'own: abort'").await.0, Outcome::Abort);
    let renamed = asked_with("echo 'other: PASS'", Duration::from_secs(60), |check| {
        check.verdict = Some("other".to_owned());
    });
    assert_eq!(renamed.await.outcome, Outcome::Pass);
}

#[tokio::test]
async fn each_misbehaviour_has_its_own_words() {
    let expected = "expected a line `own: PASS`, `FAIL` or `ABORT`";
    for (script, told) in [
        (
            "echo fine; exit 3",
            format!("own.sh gave no verdict (code 3); {expected}"),
        ),
        (
            "echo 'else: PASS'",
            format!("own.sh gave a verdict on `else`, and none on `own`; {expected}"),
        ),
        (
            "echo 'own: PASS'; kill -15 $$",
            "own.sh was ended by signal 15; expected it to end by itself".to_owned(),
        ),
        (
            "echo 'own: PASS'; exit 2",
            "own.sh says PASS, but ended with code 2".to_owned(),
        ),
    ] {
        assert_eq!(asked(script).await, (Outcome::Abort, told));
    }
    let hangs = asked_with(
        "echo 'own: PASS'; sleep 600",
        Duration::from_secs(1),
        |_| {},
    )
    .await;
    assert_eq!(hangs.outcome, Outcome::Abort);
    assert_eq!(
        hangs.message,
        "own.sh did not end within 1 s, and was ended"
    );
    let floods = asked_with("echo 'own: PASS'; yes", Duration::from_secs(60), |check| {
        check.output = 10_000;
    });
    let floods = floods.await;
    assert_eq!(floods.outcome, Outcome::Abort);
    assert_eq!(
        floods.message,
        "own.sh printed more than 10000 bytes, and was ended"
    );
    assert_eq!(floods.evidence.len(), EVIDENCE + 1);
}

#[tokio::test]
async fn it_is_given_a_kubeconfig_an_empty_place_and_nothing_of_our_environment() {
    let script = "echo \"args $# $1\"; ls -A; cat $KUBECONFIG; echo \"cargo [$CARGO_MANIFEST_DIR] [$OWN]\"; echo 'own: PASS'";
    let answer = asked_with(script, Duration::from_secs(60), |check| {
        check.env.insert("OWN".to_owned(), "mine".to_owned());
    });
    assert_eq!(
        answer.await.evidence,
        [
            "args 1 x y",
            "users:",
            "- {name: a, user: {token: (hidden)}}",
            "cargo [] [mine]",
            "own: PASS"
        ]
    );
}
