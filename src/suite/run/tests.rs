//! The runner, with checks of its own and a cluster that nobody asks.

use std::future::pending;
use std::time::Duration;

use super::*;
use crate::checks::world::World;
use crate::stack::Accepted;
use crate::suite::{Lifetime, Weight};

const fn native(
    name: &'static str,
    run: for<'a> fn(&'a Target<'a>) -> futures::future::BoxFuture<'a, Result<Answer>>,
) -> Native {
    Native {
        name,
        timeout: Duration::from_secs(60),
        parameters: checks::Parameters::NONE,
        needs: &[],
        run,
    }
}

fn answer(outcome: Outcome) -> Answer {
    Answer {
        outcome,
        message: "said so".to_owned(),
        evidence: vec!["line".to_owned()],
    }
}

const NATIVES: &[Native] = &[
    native("slow-pass", |_| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Ok(answer(Outcome::Pass))
        })
    }),
    native("fails", |_| Box::pin(async { Ok(answer(Outcome::Fail)) })),
    native("errs", |_| {
        Box::pin(async { Err(anyhow::anyhow!("inner").context("outer")) })
    }),
    native("panics", |_| {
        Box::pin(async { panic!("out of {}", "luck") })
    }),
    native("panics-at-once", |_| panic!("at once")),
    native("hangs", |_| Box::pin(pending())),
    native("leaves", |target| {
        Box::pin(async {
            let _left = sandbox::Sandbox::create(target, "leaves").await?;
            pending().await
        })
    }),
];

fn suite(checks: &[&str]) -> Suite {
    let check = |name: &&str| Check {
        id: name.parse().unwrap(),
        title: format!("Does it {name}?"),
        severity: crate::record::Severity::Must,
        standard: None,
        weight: Weight::default(),
        lifetime: Lifetime::default(),
        timeout: None,
        retries: 0,
        when: When::default(),
        not_testable: None,
        native: Some(name.parse().unwrap()),
        parameters: serde_json::Map::new(),
        cel: None,
        exec: None,
    };
    Suite {
        name: "own".parse().unwrap(),
        description: String::new(),
        checks: checks.iter().map(check).collect(),
        folder: None,
    }
}

fn accept(check: &str) -> Accepted {
    Accepted {
        check: check.to_owned(),
        reason: "known".to_owned(),
        matches: None,
        expires: None,
        versions: None,
    }
}

struct Ran {
    results: Vec<CheckResult>,
    events: Vec<What>,
    /// What was removed.
    swept: Vec<String>,
}

async fn ran(checks: &[&str], accepted: &[Accepted], interrupted: bool) -> Ran {
    // Nothing but check namespaces is asked for.
    let world = World::new(|_, path| {
        let own = path.starts_with("/api/v1/namespaces") || path.contains("accessreview");
        assert!(own, "{path}");
        (200, serde_json::json!({"metadata": {"name": "n"}}))
    });
    if interrupted {
        world.context.interrupt.raise();
    }
    let runner = Runner {
        target: &world.target(),
        reach: &Reach::default(),
        natives: NATIVES,
        round: Round {
            suites: &[],
            accepted: Acceptance {
                entries: accepted,
                ok_to_fail: &[],
            },
            phase: Phase::CheckBefore,
            place: &Place::default(),
            memory: &Memory::default(),
        },
        today: jiff::civil::date(2026, 5, 1),
    };
    let results = runner.run(&[suite(checks)]).await;
    let events = world.events();
    let mut swept = world.requests();
    swept.retain(|request| request.starts_with("DELETE"));
    Ran {
        results,
        events,
        swept,
    }
}

#[tokio::test(start_paused = true)]
async fn results_come_in_the_suites_order_and_are_told_as_they_end() {
    let ran = ran(&["slow-pass", "fails"], &[], false).await;
    let ids: Vec<&str> = ran
        .results
        .iter()
        .map(|result| result.id.as_str())
        .collect();
    assert_eq!(ids, ["slow-pass", "fails"]);
    let told: Vec<&What> = ran.events.iter().collect();
    assert_eq!(
        told,
        [
            &What::Check(ran.results[1].clone()),
            &What::Check(ran.results[0].clone())
        ]
    );
    let fails = &ran.results[1];
    assert_eq!(
        (fails.outcome, fails.message.as_str()),
        (Outcome::Fail, "said so")
    );
    assert_eq!(
        (fails.suite.as_str(), fails.title.as_str()),
        ("own", "Does it fails?")
    );
    assert_eq!(fails.evidence, ["line"]);
    assert_eq!(fails.phase, Phase::CheckBefore);
    assert!(ran.swept.is_empty());
    assert!((ran.results[0].seconds - 5.0).abs() < 0.1);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_judged_is_aborted_with_its_reason() {
    let ran = ran(
        &[
            "errs",
            "panics",
            "panics-at-once",
            "hangs",
            "unknown",
            "fails",
        ],
        &[],
        false,
    )
    .await;
    let told: Vec<&str> = ran
        .results
        .iter()
        .map(|result| result.message.as_str())
        .collect();
    assert_eq!(
        told,
        [
            "could not be judged: outer: inner",
            "could not be judged: the check panicked: out of luck",
            "could not be judged: the check panicked: at once",
            "could not be judged within 60 s",
            "could not be judged: there is no check `unknown`",
            "said so",
        ]
    );
    assert!(
        ran.results[..5]
            .iter()
            .all(|result| result.outcome == Outcome::Abort)
    );
    assert_eq!(ran.results[5].outcome, Outcome::Fail);
    assert!(ran.swept.is_empty(), "nothing was created");
}

#[tokio::test(start_paused = true)]
async fn what_a_check_that_is_cut_off_left_is_removed() {
    let ran = ran(&["leaves", "fails"], &[], false).await;
    assert_eq!(ran.results[0].outcome, Outcome::Abort);
    assert_eq!(ran.swept.len(), 1, "{:?}", ran.swept);
    assert!(ran.swept[0].starts_with("DELETE /api/v1/namespaces/stackgate-check-"));
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_run_still_has_a_result_for_each_check() {
    let ran = ran(&["hangs", "fails"], &[], true).await;
    for result in &ran.results {
        assert_eq!(
            (result.outcome, result.message.as_str()),
            (Outcome::Abort, "could not be judged: interrupted")
        );
    }
    assert_eq!(ran.results.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_a_failure_is_accepted_and_idle_entries_are_noted() {
    let accepted = [
        accept("fails"),
        accept("slow-pass"),
        accept("errs"),
        accept("gone"),
    ];
    let ran = ran(&["fails", "slow-pass", "errs"], &accepted, false).await;
    let reasons: Vec<_> = ran
        .results
        .iter()
        .map(|result| result.accepted.as_deref())
        .collect();
    assert_eq!(reasons, [Some("known"), None, None]);
    let notes: Vec<_> = ran
        .events
        .iter()
        .filter_map(|what| match what {
            What::Note { message } => Some(message.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes[0].contains("`slow-pass`") && notes[0].contains("it passes"),
        "{notes:?}"
    );
    assert!(
        notes[1].contains("`gone`") && notes[1].contains("no suite"),
        "{notes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn at_most_four_run_at_a_time() {
    let ran = ran(&["slow-pass"; 8], &[], false).await;
    let longest = ran
        .results
        .iter()
        .map(|result| result.seconds)
        .fold(0.0, f64::max);
    assert!(longest < 6.0);
    assert_eq!(ran.results.len(), 8);
}

/// Passes at its third asking, by the clock: each asking of it takes a second.
async fn third_time(target: &Target<'_>) -> Result<Answer> {
    tokio::time::sleep(Duration::from_secs(1)).await;
    let passed = target.context.recorder.clock().elapsed() > Duration::from_millis(2500);
    Ok(answer(if passed { Outcome::Pass } else { Outcome::Fail }))
}

async fn asked(adjust: impl Fn(&mut Check), phase: Phase) -> CheckResult {
    const THIRD: &[Native] = &[native("third-time", |target| Box::pin(third_time(target)))];
    let world = World::new(|_, path| panic!("{path} is not asked for"));
    let mut suite = suite(&["third-time"]);
    adjust(&mut suite.checks[0]);
    let place = Place {
        engine: "kind".to_owned(),
        surroundings: Surroundings {
            provider: "docker".to_owned(),
            cni: "kindest/kindnetd:v1".to_owned(),
            node_image: "Debian GNU/Linux 13 (trixie)".to_owned(),
            topology: "1 control plane node, 1 worker".to_owned(),
        },
        kubeconfig: None,
        read_only: false,
    };
    let runner = Runner {
        target: &world.target(),
        reach: &Reach::default(),
        natives: THIRD,
        round: Round {
            suites: &[],
            accepted: Acceptance::default(),
            phase,
            place: &place,
            memory: &Memory::default(),
        },
        today: jiff::civil::date(2026, 5, 1),
    };
    runner.run(&[suite]).await.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_pass_after_a_retry_is_flaky_and_tells_what_was_before() {
    let result = asked(|check| check.retries = 3, Phase::CheckBefore).await;
    assert_eq!(result.outcome, Outcome::Flaky);
    assert_eq!(
        result.message,
        "passed at attempt 3 of 4; before: FAIL, said so"
    );
    assert_eq!(result.evidence, ["before: FAIL said so", "line", "line"]);
    let result = asked(|check| check.retries = 1, Phase::CheckBefore).await;
    assert_eq!(result.outcome, Outcome::Fail);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_not_meant_for_this_cluster_is_skipped_with_the_reason() {
    for (when, phase, told) in [
        (
            "engine: [embedded, existing]",
            Phase::CheckBefore,
            "asked only with engine embedded, existing; this is kind",
        ),
        (
            "provider: [openstack]",
            Phase::CheckBefore,
            "asked only with provider openstack; this is docker",
        ),
        (
            "kubernetes: '>=1.36'",
            Phase::CheckBefore,
            "asked only of Kubernetes >=1.36; this is v1.35.0",
        ),
        (
            "phase: after",
            Phase::CheckBefore,
            "asked only after the upgrade",
        ),
        (
            "phase: before",
            Phase::CheckAfter,
            "asked only before the upgrade",
        ),
    ] {
        let adjust = |check: &mut Check| check.when = serde_saphyr::from_str(when).unwrap();
        let result = asked(adjust, phase).await;
        assert_eq!(
            (result.outcome, result.message.as_str()),
            (Outcome::Skip, told)
        );
        assert!(result.excluded);
    }
    let meant = "{engine: [kind], provider: [docker], kubernetes: '>=1.35', phase: before}";
    let adjust = |check: &mut Check| check.when = serde_saphyr::from_str(meant).unwrap();
    assert!(!asked(adjust, Phase::CheckBefore).await.excluded);
}

#[tokio::test(start_paused = true)]
async fn an_executable_is_skipped_where_there_is_no_kubeconfig() {
    let adjust = |check: &mut Check| {
        check.native = None;
        check.exec = Some(serde_saphyr::from_str("command: x.sh").unwrap());
    };
    let result = asked(adjust, Phase::CheckBefore).await;
    let told = "an executable needs a kubeconfig file, and the engine kind has none";
    assert_eq!(
        (result.outcome, result.message.as_str()),
        (Outcome::Skip, told)
    );
}

#[tokio::test(start_paused = true)]
async fn heavy_checks_come_last_and_one_at_a_time() {
    let world = World::new(|_, path| panic!("{path} is not asked for"));
    let mut suite = suite(&["slow-pass", "fails", "slow-pass"]);
    for index in [0, 2] {
        suite.checks[index].weight = Weight::Heavy;
    }
    suite.checks[2].retries = 1;
    suite.checks[2].timeout = Some("2m".parse().unwrap());
    let suites = [suite];
    // The first is no check that ships, so it has what a check has by default.
    assert_eq!(heavy(&suites), DEADLINE + Duration::from_secs(240));
    let runner = Runner {
        target: &world.target(),
        reach: &Reach::default(),
        natives: NATIVES,
        round: Round {
            suites: &[],
            accepted: Acceptance::default(),
            phase: Phase::CheckBefore,
            place: &Place::default(),
            memory: &Memory::default(),
        },
        today: jiff::civil::date(2026, 5, 1),
    };
    let started = Instant::now();
    let results = runner.run(&suites).await;
    assert_eq!(started.elapsed(), Duration::from_secs(10));
    let told: Vec<String> = world
        .events()
        .into_iter()
        .filter_map(|what| match what {
            What::Check(result) => Some(result.id),
            _ => None,
        })
        .collect();
    assert_eq!(told, ["fails", "slow-pass", "slow-pass"]);
    let ids: Vec<&str> = results.iter().map(|result| result.id.as_str()).collect();
    assert_eq!(ids, ["slow-pass", "fails", "slow-pass"]);
}

#[tokio::test(start_paused = true)]
async fn each_result_tells_on_what_kind_of_cluster() {
    let result = asked(|_| (), Phase::CheckBefore).await;
    assert_eq!(
        result.surroundings.to_string(),
        "provider docker, CNI kindest/kindnetd:v1, node image Debian GNU/Linux 13 (trixie), topology 1 control plane node, 1 worker"
    );
}

#[tokio::test(start_paused = true)]
async fn what_may_create_something_is_skipped_where_nothing_may_be() {
    const NATIVES: &[Native] = &[
        Native {
            needs: &[checks::needs::SANDBOX],
            ..native("creates", |_| Box::pin(async { Ok(answer(Outcome::Pass)) }))
        },
        Native {
            needs: &[checks::needs::PODS],
            ..native("reads", |_| Box::pin(async { Ok(answer(Outcome::Pass)) }))
        },
    ];
    let world = World::new(|_, path| panic!("{path} is not asked for"));
    let mut suite = suite(&["creates", "reads", "program"]);
    suite.checks[2].native = None;
    suite.checks[2].exec = Some(serde_saphyr::from_str("command: x.sh").unwrap());
    let place = Place {
        read_only: true,
        ..Place::default()
    };
    let runner = Runner {
        target: &world.target(),
        reach: &Reach::default(),
        natives: NATIVES,
        round: Round {
            suites: &[],
            accepted: Acceptance::default(),
            phase: Phase::CheckBefore,
            place: &place,
            memory: &Memory::default(),
        },
        today: jiff::civil::date(2026, 5, 1),
    };
    let results = runner.run(&[suite]).await;
    let told: Vec<_> = results
        .iter()
        .map(|result| (result.outcome, result.excluded, result.message.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Outcome::Skip, true, "creates a namespace; --read-only"),
            (Outcome::Pass, false, "said so"),
            (
                Outcome::Skip,
                true,
                "is a program that may create something; --read-only"
            ),
        ]
    );
}

#[test]
fn an_error_of_the_api_is_told_once_and_in_its_own_words() {
    let status =
        serde_json::json!({"code": 403, "reason": "Forbidden", "message": "no, you may not"});
    let error = kube::Error::Api(serde_json::from_value(status).unwrap());
    let error = anyhow::Error::from(error).context("failed to create it");
    assert_eq!(told(&error), "failed to create it: no, you may not");
    let error = anyhow!("no such file").context("failed to open x: no such file");
    assert_eq!(told(&error), "failed to open x: no such file");
}
