//! Choosing and running, with scripts of the tests' own.

use std::os::unix::fs::PermissionsExt;

use super::super::native::Judge;
use super::*;

const SCOPE: &str = "\
name: Toy
variables: [who, {mode: fast}]
scripts:
- executable: ./one.sh
  env: {GREETING: 'hello {who}'}
  args: -m {mode} '{testcases}' {{x}}
  testcases:
  - {id: b, section: light}
  - {id: a, section: heavy}
- executable: ./two.sh
  testcases:
  - {id: c}
- testcases:
  - {id: manual, section: light}
modules:
- {id: m, targets: {main: [b, a, c], preview: [manual]}}
- {id: dangling, targets: {main: [nobody]}}
timeline:
- {date: 2024-01-01, versions: {v1: effective}}
versions:
- {version: v1, include: [m]}
- {version: v2, include: [dangling]}
";

fn scope(folder: &Path) -> Scope {
    let path = folder.join("scope.yaml");
    std::fs::write(&path, SCOPE).unwrap();
    Scope::read(&path).unwrap()
}

fn choice() -> Choice {
    Choice {
        date: jiff::civil::date(2025, 1, 1),
        assignment: vec![("who".to_owned(), "me".to_owned())],
        ..Choice::default()
    }
}

fn asked(choice: &Choice) -> Result<Vec<Vec<String>>, ChoiceError> {
    let folder = tempfile::tempdir().unwrap();
    let scope = scope(folder.path());
    let order = Order::new(&scope, choice)?;
    Ok(order.jobs.into_iter().map(|job| job.testcases).collect())
}

/// What comes of a script with this text, judging a and b.
async fn ran(script: &str, means: Means) -> Invocation {
    let folder = tempfile::tempdir().unwrap();
    let scope = scope(folder.path());
    let path = folder.path().join("one.sh");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let order = Order::new(&scope, &choice()).unwrap();
    order.jobs[0].run(&means).await
}

fn means() -> Means {
    Means {
        python: "python3".into(),
        time: Some(Duration::from_secs(60)),
        natives: &[],
        interrupt: Interrupt::default(),
    }
}

#[test]
fn sections_and_patterns_restrict_and_manual_testcases_are_never_run() {
    let all = [vec!["a", "b"], vec!["c"]];
    assert_eq!(asked(&choice()).unwrap(), all);
    let light = Choice {
        sections: Some(vec!["light".to_owned()]),
        ..choice()
    };
    assert_eq!(asked(&light).unwrap(), [["b"]]);
    let tests = Choice {
        tests: Some(Regex::new("^(?:a|manual)").unwrap()),
        ..choice()
    };
    assert_eq!(asked(&tests).unwrap(), [["a"]]);
}

#[test]
fn what_is_missing_is_told_before_anything_is_run() {
    let unassigned = Choice {
        assignment: vec![],
        ..choice()
    };
    let error = asked(&unassigned).unwrap_err().to_string();
    assert_eq!(error, "missing variable assignments (via -a) for: who");
    let early = Choice {
        date: jiff::civil::date(2020, 1, 1),
        ..choice()
    };
    let error = asked(&early).unwrap_err().to_string();
    assert_eq!(error, "no valid version found for 2020-01-01");
    for (version, told) in [
        (
            "v9",
            "requested version 'v9' not found; expected one of v1, v2",
        ),
        (
            "v2",
            "version v2 demands testcase `nobody`, which no script judges",
        ),
    ] {
        let version = Choice {
            version: Some(version.to_owned()),
            ..choice()
        };
        assert_eq!(asked(&version).unwrap_err().to_string(), told);
    }
}

#[tokio::test]
async fn a_script_gets_its_words_and_its_environment() {
    let said = ran(
        "echo \"$#|$2|$3|$4|$GREETING\"; echo 'a: PASS'; exit 3",
        means(),
    )
    .await;
    assert_eq!(said.stdout[0], "4|fast|a b|{x}|hello me");
    assert_eq!(said.results, [("a".to_owned(), Word::Pass)]);
    assert_eq!((said.code, said.not_run), (3, false));
    assert_eq!(said.command, "GREETING=hello me ./one.sh -m fast 'a b' {x}");
}

#[tokio::test]
async fn what_ends_badly_is_critical_and_has_no_verdict() {
    let hangs = Means {
        time: Some(Duration::from_millis(200)),
        ..means()
    };
    for (script, means, told) in [
        (
            "echo 'a: PASS'; sleep 600",
            hangs,
            "CRITICAL: ended because it took longer than 0.2 s",
        ),
        (
            "echo 'a: PASS'; printf '\\377'",
            means(),
            "CRITICAL: 'utf-8' codec can't decode byte 0xff in position 8: invalid start byte",
        ),
    ] {
        let said = ran(script, means).await;
        assert_eq!(said.stderr, [told]);
        assert_eq!((said.code, said.levels.critical), (NOT_RUN, 1));
        assert!(said.not_run && said.results.is_empty());
    }
    let said = ran("echo 'a: PASS'; kill -9 $$", means()).await;
    assert_eq!((said.code, said.results.len()), (-9, 1));
}

#[tokio::test]
async fn a_script_that_is_not_there_is_told_as_python_tells_it() {
    let folder = tempfile::tempdir().unwrap();
    let scope = scope(folder.path());
    let order = Order::new(&scope, &choice()).unwrap();
    let said = order.jobs[1].run(&means()).await;
    let path = folder.path().join("two.sh");
    let told = format!(
        "CRITICAL: [Errno 2] No such file or directory: '{}'",
        path.display()
    );
    assert_eq!(said.stderr, [told]);
}

/// Tells how the script would have been called.
const SAYS: Judge = |call| {
    let told = format!("a: {}", call.words.join("").replace("--", ""));
    Some(Box::pin(async move { Ok(vec![told]) }))
};

#[tokio::test]
async fn a_check_of_our_own_takes_a_scripts_place_when_it_judges_all_of_it() {
    const FAILS: Judge = |_| Some(Box::pin(async { Err(anyhow::anyhow!("no cluster")) }));
    const LEAVES: Judge = |_| None;
    const fn native(testcase: &'static str, run: Judge) -> Substitute {
        Substitute {
            testcase,
            run,
            fail: 3,
            abort: 112,
        }
    }
    const BOTH: &[Substitute] = &[native("a", SAYS), native("b", FAILS)];
    const LEFT: &[Substitute] = &[native("a", SAYS), native("b", LEAVES)];
    const ONE: &[Substitute] = &[native("a", |_| {
        Some(Box::pin(async { Ok(vec!["a: FAIL".to_owned()]) }))
    })];
    let folder = tempfile::tempdir().unwrap();
    let scope = scope(folder.path());
    let order = Order::new(&scope, &choice()).unwrap();
    let natives = |natives| Means { natives, ..means() };
    let job = &order.jobs[0];
    let said = job.run(&natives(BOTH)).await;
    assert_eq!(
        (said.results.last().unwrap(), said.code),
        (&("b".to_owned(), Word::Abort), 112)
    );
    assert_eq!(said.stderr, ["CRITICAL: no cluster"]);
    for left in [LEFT, &BOTH[..1]] {
        assert!(!job.is_native(&natives(left)));
        let said = job.run(&natives(left)).await;
        assert!(said.not_run, "b needs the script, which is not there");
    }
    let mut only = job.clone();
    only.testcases = vec!["a".to_owned()];
    let said = only.run(&natives(ONE)).await;
    assert_eq!(
        (said.results, said.code),
        (vec![("a".to_owned(), Word::Fail)], 3)
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_is_stopped_or_late_comes_to_its_own_end() {
    /// Cleans up when it is asked to stop.
    const SLOW: Judge = |call| {
        let (interrupt, folder) = (call.interrupt.clone(), call.folder.clone());
        Some(Box::pin(async move {
            interrupt.raised().await;
            std::fs::write(folder.join("removed"), "").unwrap();
            Err(anyhow::anyhow!("interrupted"))
        }))
    };
    const NATIVES: &[Substitute] = &[
        Substitute {
            testcase: "a",
            run: SLOW,
            fail: 3,
            abort: 112,
        },
        Substitute {
            testcase: "b",
            run: SLOW,
            fail: 3,
            abort: 112,
        },
    ];
    let folder = tempfile::tempdir().unwrap();
    let scope = scope(folder.path());
    let order = Order::new(&scope, &choice()).unwrap();
    let removed = || std::fs::remove_file(folder.path().join("removed")).is_ok();
    let late = Means {
        natives: NATIVES,
        ..means()
    };
    let said = order.jobs[0].run(&late).await;
    assert_eq!(said.stderr[0], "CRITICAL: not judged within 60s");
    assert!(removed());
    let stopped = Means {
        natives: NATIVES,
        time: None,
        ..means()
    };
    stopped.interrupt.raise();
    let said = order.jobs[0].run(&stopped).await;
    assert_eq!(
        (said.stderr[0].as_str(), said.code),
        ("CRITICAL: interrupted", 112)
    );
    assert!(removed());
}
