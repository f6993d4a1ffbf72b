//! The open gate, and what a rehearsal says of itself.

use std::path::Path;

use jiff::Timestamp;
use serde_json::Value;

use crate::common::TestContext;
use crate::rehearsal::{Rehearsal, stacks};
use crate::variant::Variant;
use crate::variants::rehearse;

#[test]
fn embedded_demo_opens_and_says_that_it_is_a_rehearsal() {
    let run = Rehearsal::demo(&["--engine", "embedded", "--seed", "1"]);
    run.is_open();
    let counts = &run.summary["counts"];
    assert_eq!(counts["regressed"], 0);
    assert!(counts["kept"].as_u64().unwrap() >= 12, "{counts}");
    let phases = run.summary["phases"].as_array().unwrap();
    assert!(
        phases.iter().all(|phase| phase["outcome"] == "passed"),
        "{phases:?}"
    );
    let again = run.summary["rehearsal"]["reproduce"].as_str().unwrap();
    assert!(
        again.starts_with("stackgate run docker-demo --engine embedded --seed 1"),
        "{again}"
    );
    assert!(
        String::from_utf8_lossy(&run.output.stderr).contains("a rehearsal on simulated clusters")
    );
}

#[test]
fn embedded_the_same_seed_gives_the_same_stream_and_another_one_another() {
    let run = |seed| Rehearsal::demo(&["--engine", "embedded", "--seed", seed]).events();
    let (one, other) = (run("3"), run("3"));
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
    }
    assert_ne!(one, run("4"));
}

#[test]
fn embedded_readme_shows_what_a_newcomer_sees() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = std::fs::read_to_string(root.join("README.md")).unwrap();
    let blocks = readme.split("```\n").skip(1).step_by(2);
    let mut shown = blocks.filter(|block| block.contains("engine embedded   run"));
    let block = shown.next().expect("README.md shows a rehearsal");
    let (_, seed) = block.split_once("--seed ").unwrap();
    let seed = seed.split_whitespace().next().unwrap();
    let context = TestContext::new();
    let reports = context.path().join("reports");
    let output = context
        .command()
        .current_dir(root)
        .args(["run", "docker-demo", "--seed", seed, "--reports"])
        .arg(&reports)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        text.replace(&*reports.to_string_lossy(), "reports")
    };
    let told = text(&output.stderr) + &text(&output.stdout);
    let mut lines = told.lines().map(str::trim_end);
    for expected in block.lines() {
        // What the machine lacks is that machine's; what is left out is left out.
        let expected = expected.split("; missing for these").next().unwrap();
        let found = expected.trim() == "…" || lines.any(|line| line == expected.trim_end());
        assert!(
            found,
            "README.md shows {expected:?}, which is not in its turn in:\n{told}"
        );
    }
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "it is the machine's clock that is asked about"
)]
fn embedded_real_time_passes_by_the_clock_of_the_machine() {
    // A cluster that is given three seconds, which none is made in.
    let hurried = |stack: &str| stack.replace("create: 10m", "create: 3s");
    let run = |more: &[&str]| {
        let variant = Variant::from("docker-demo").edit_stack(hurried);
        let run = rehearse(variant, &[], &[&["--seed", "1"], more].concat());
        assert_eq!(run.verdict(), "closed", "{}", run.stdout());
        let number = |pointer| run.summary.pointer(pointer).and_then(Value::as_f64);
        let (told, took) = (number("/seconds"), number("/usage/wallSeconds"));
        let started: Timestamp = run.summary["started"].as_str().unwrap().parse().unwrap();
        (told.unwrap(), took.unwrap(), started)
    };
    let before = Timestamp::now();
    let (told, took, started) = run(&["--real-time"]);
    // The two are read one after the other.
    assert!(told >= 3.0 && took > told - 0.5, "{told} s by {took} s");
    assert!(started >= before, "{started}");
    // Otherwise the same waits are over at once, on a day of their own.
    let (told, _, started) = run(&[]);
    assert!(told >= 3.0 && started < before, "{told} s from {started}");
}

#[test]
fn embedded_without_an_engine_a_machine_that_lacks_docker_rehearses_and_says_what_is_missing() {
    let context = TestContext::new();
    let output = context
        .command()
        .args(["run", "docker-demo", "--stacks"])
        .arg(stacks())
        // Nobody listens there.
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    let first = stderr.lines().next().unwrap_or_default();
    assert!(first.contains("engine embedded"), "{stderr}");
    assert!(
        stderr.contains("a rehearsal on simulated clusters"),
        "{stderr}"
    );
    assert!(stderr.contains("/nowhere/docker.sock"), "{stderr}");
    assert_eq!(output.status.code(), Some(0), "{stderr}");
}

#[test]
fn embedded_real_clusters_that_are_insisted_on_are_not_replaced() {
    let context = TestContext::new();
    let output = context
        .command()
        .args(["run", "docker-demo", "--engine", "kind", "--stacks"])
        .arg(stacks())
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{output:?}");
}

#[test]
fn embedded_report_is_handed_to_the_browser() {
    let context = TestContext::new();
    // A browser that notes what it is given.
    context.write(
        "browser",
        "#!/bin/sh\necho \"$1\" > asked.part && mv asked.part asked\n",
    );
    let browser = context.path().join("browser");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&browser, mode).unwrap();
    let output = context
        .command()
        .args([
            "run",
            "docker-demo",
            "--engine",
            "embedded",
            "--open",
            "--stacks",
        ])
        .arg(stacks())
        .env("BROWSER", &browser)
        .env("PATH", std::env::var_os("PATH").unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let asked = context.path().join("asked");
    for _ in 0..300 {
        if asked.exists() {
            break;
        }
        pause();
    }
    let page = std::fs::read_to_string(asked).expect("the browser was asked within 30 s");
    assert!(page.trim().ends_with("/report.html"), "{page}");
    assert!(context.path().join(page.trim()).is_file(), "{page}");
}

/// The browser is nobody's child that could be waited for.
#[expect(
    clippy::disallowed_methods,
    reason = "a process of the machine, in real time"
)]
fn pause() {
    std::thread::sleep(std::time::Duration::from_millis(100));
}
