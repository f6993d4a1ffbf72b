//! The words of the command line: help, version, and what wrong usage is answered with.

mod common;

use std::process::Stdio;

use common::TestContext;

#[test]
fn help_is_an_answer() {
    insta::assert_snapshot!(TestContext::new().run("--help"), @"
    exit code 0
    --- stdout
    Decides whether a cluster stack may be released: deploys release N, checks it, upgrades it to N+1,
    checks again, compares, and answers with an exit code

    Usage: stackgate <COMMAND>

    Commands:
      run        Run the gate on a stack: N, checks, upgrade to N+1, checks, verdict
      check      Check a cluster that is there: no release, no upgrade, only the checks of suites
      lint       Judge both releases without a cluster, and say what the upgrade will do
      release    Get, make and verify releases: from a registry, from sources
      doctor     Check the machine: every problem at once, each with its remedy
      clean      Remove what earlier runs left behind
      report     Make the reports of a run again from its stream, one of them in any form, or join
                 shards
      replay     Look into the past of a run: its clusters as they were, with kubectl
      diff       Show what changed between two moments, of one run or of two: images, replicas,
                 conditions
      reproduce  Run the gate again with the inputs, the seed and the faults of a run, from its folder
                 or a bundle
      resume     Let a paused run go on, or go on with one whose process is gone, while its clusters are
                 there
      abort      Have a paused run torn down
      bundle     Make one file of a run, to be attached to an issue
      simulate   Rehearse many random stacks with random accidents, and judge each run by what must
                 always hold
      faults     List the faults that a rehearsal can be given with `run --fault`
      suites     The suites of checks that ship with stackgate
      scenarios  The scenarios that a stack can be run through
      data       The data that version checks are judged by
      scs-check  Check a subject against an SCS certificate scope, as scs-compliance-check.py does
      version    Print the version

    Options:
      -h, --help     Print help
      -V, --version  Print version

    Exit codes:
      0    gate open, or the command did what was asked
      1    gate closed: the upgrade is not safe
      2    wrong usage or invalid input; nothing was created
      3    no verdict: the infrastructure failed
      4    no check ran
      130  interrupted
    --- stderr
    ");
}

#[test]
fn each_command_has_its_own_help() {
    let context = TestContext::new();
    insta::assert_snapshot!(context.run("run -h"), @"
    exit code 0
    --- stdout
    Run the gate on a stack: N, checks, upgrade to N+1, checks, verdict

    Usage: stackgate run <STACK> [OPTIONS]

    Arguments:
      [STACK]  The stack under test: a folder with stack.yaml, or the name of one in the stacks folder

    Options:
          --engine <ENGINE>           Where clusters come from [default: kind where this machine is
                                      ready for it, else embedded] [possible values: kind, embedded,
                                      existing]
          --delivery <DELIVERY>       How releases reach the clusters [default: as stack.yaml says]
                                      [possible values: direct, operator]
          --management <MODE> [NAME]  The management cluster: `kind` is made by kind and removed,
                                      `light` is made without nodes and removed, `keep NAME` is made by
                                      kind and stays, `reuse NAME` stayed from an earlier run,
                                      `existing` is that of --kubeconfig (the same as --engine existing)
                                      [default: as stack.yaml says]
          --kubeconfig <FILE>         With --engine existing: the management cluster's kubeconfig
          --context <NAME>            With --engine existing: the context that is meant [default: the
                                      current one]
          --keep <KEEP>               Whether to keep the clusters at the end [default: never] [possible
                                      values: never, on-failure, always]
          --no-lint                   Go on although `stackgate lint` finds a MUST broken
          --scenario <NAME>           Instead of the stack's own pair: releases made of it for a
                                      scenario (`stackgate scenarios list`), or, one after the other,
                                      for `all` of them
          --seed <SEED>               What all randomness of a rehearsal comes from: the same seed gives
                                      the same run [default: random, told in the report]
          --real-time                 Let a rehearsal take as long as real clusters would, to watch it
          --simulated                 Instead of a STACK: the random stack and the accidents that
                                      `simulate` made from this seed
          --fault <NAME[@PHASE]>      Make something go wrong in a rehearsal, when it enters a phase
                                      (`stackgate faults` lists both); may be given again
          --missing-image <IMAGE>     An image that no registry of a rehearsal has, as a release names
                                      it; may be given again
          --pause <POINT>             Stand still, to be looked at with kubectl: before:PHASE,
                                      PHASE+DURATION (upgrade+40s), on-failure; may be given again. It
                                      goes on, begins the phase again or tears down by the keys c, r, a,
                                      or by `stackgate resume|abort`
          --pause-for <DURATION>      How long to wait at a pause before giving up: without anybody
                                      there is no verdict [default: 2h]
          --timeout-scale <FACTOR>    Multiplies every deadline; from 0.1 to 100 [default: 1]
          --reports <DIR>             Where the run's folder goes [default: reports]
          --open                      Show the report in a browser at the end
          --now <YYYY-MM-DD>          Judge what ages (versions of Kubernetes, accepted failures) as on
                                      this day
          --stacks <DIR>              Where stacks are found by name [default: stacks-under-test here,
                                      else in the checkout of this program]
      -h, --help                      Print help (see more with '--help')
    --- stderr
    ");
    insta::assert_snapshot!(context.run("doctor -h"), @"
    exit code 0
    --- stdout
    Check the machine: every problem at once, each with its remedy

    Usage: stackgate doctor [OPTIONS] [STACK]

    Arguments:
      [STACK]  Also ask for what this stack needs, such as its images

    Options:
          --management <MANAGEMENT>  The management cluster: `kind` or `light` [default: as the stack
                                     says] [possible values: kind, light]
          --kubeconfig <FILE>        With --engine existing: the management cluster's kubeconfig
          --context <NAME>           With --engine existing: the context that is meant [default: the
                                     current one]
          --engine <ENGINE>          Where clusters come from [default: kind] [possible values: kind,
                                     embedded, existing]
          --stacks <DIR>             Where stacks are found by name [default: stacks-under-test here,
                                     else in the checkout of this program]
      -h, --help                     Print help (see more with '--help')
    --- stderr
    ");
    insta::assert_snapshot!(context.run("clean -h"), @"
    exit code 0
    --- stdout
    Remove what earlier runs left behind

    Usage: stackgate clean [OPTIONS] [RUN]

    Arguments:
      [RUN]  The run to clean up after, e.g. 7f3a09bc; every run of yours when not given

    Options:
          --reports[=<DIR>]  Instead: remove the folders of old runs in DIR (when not given: reports),
                             but for the latest ones
          --keep <COUNT>     How many of the latest runs stay [default: 20]
          --kept <NAME>      Remove the management cluster that was kept under this name
          --forget           With engine existing: the run's management cluster is gone for good; do not
                             ask it
          --engine <ENGINE>  Where clusters come from [default: kind] [possible values: kind, embedded,
                             existing]
      -h, --help             Print help (see more with '--help')
    --- stderr
    ");
    insta::assert_snapshot!(context.run("suites -h"), @"
    exit code 0
    --- stdout
    The suites of checks that ship with stackgate

    Usage: stackgate suites <COMMAND>

    Commands:
      list     List the suites and their checks
      show     Show a suite: each of its checks, as `explain` does
      explain  Explain a check: what is judged, who demands it, what a failure does to the gate
      lint     Say whether suite files are right, with the line of what is not

    Options:
      -h, --help  Print help
    --- stderr
    ");
}

#[test]
fn the_version_is_data() {
    insta::assert_snapshot!(TestContext::new().run("version"), @"
    exit code 0
    --- stdout
    stackgate 0.1.0
    --- stderr
    ");
    insta::assert_snapshot!(TestContext::new().run("--version"), @"
    exit code 0
    --- stdout
    stackgate 0.1.0
    --- stderr
    ");
}

#[test]
fn no_command_and_unknown_commands_are_wrong_usage() {
    let context = TestContext::new();
    assert!(context.run("").starts_with("exit code 2\n"));
    insta::assert_snapshot!(context.run("rnu"), @"
    exit code 2
    --- stdout
    --- stderr
    error: unrecognized subcommand 'rnu'

    Usage: stackgate <COMMAND>

    For more information, try '--help'.
    ");
}

#[test]
fn wrong_flags_are_wrong_usage() {
    let context = TestContext::new();
    insta::assert_snapshot!(context.run("run"), @"
    exit code 2
    --- stdout
    --- stderr
    error: the following required arguments were not provided:
      <STACK>

    Usage: stackgate run <STACK> [OPTIONS]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(context.run("run demo --timeout-scale 1000"), @"
    exit code 2
    --- stdout
    --- stderr
    error: invalid value '1000' for '--timeout-scale <FACTOR>': expected a number from 0.1 to 100

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(context.run("run demo --engine nope"), @"
    exit code 2
    --- stdout
    --- stderr
    error: invalid value 'nope' for '--engine <ENGINE>'
      [possible values: kind, embedded, existing]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(context.run("run demo --keep maybe"), @"
    exit code 2
    --- stdout
    --- stderr
    error: invalid value 'maybe' for '--keep <KEEP>'
      [possible values: never, on-failure, always]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(context.run("run demo --retries 3"), @"
    exit code 2
    --- stdout
    --- stderr
    error: unexpected argument '--retries' found

      tip: a similar argument exists: '--real-time'

    Usage: stackgate run <STACK> [OPTIONS]

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(context.run("run demo --management keep"), @"
    exit code 2
    --- stdout
    --- stderr
    error: failed to understand --management keep
    hint: expected kind, light, existing, keep NAME or reuse NAME
    ");
    insta::assert_snapshot!(context.run("run demo --management reuse Not_a_name"), @"
    exit code 2
    --- stdout
    --- stderr
    error: 'Not_a_name' is no name for a kept management cluster: expected 1 to 35 lower-case letters, digits and hyphens, with no hyphen at the ends
    hint: choose another name, e.g. warm
    ");
    insta::assert_snapshot!(context.run("clean everything"), @"
    exit code 2
    --- stdout
    --- stderr
    error: invalid value 'everything' for '[RUN]': 'everything' is not a run id: expected eight hexadecimal digits, e.g. 7f3a09bc

    For more information, try '--help'.
    ");
    for wrong in ["nan", "inf", "-1", "0", "x", "1e400"] {
        let shown = context.run(&format!("run demo --timeout-scale={wrong}"));
        assert!(shown.starts_with("exit code 2\n"), "{wrong}: {shown}");
    }
}

#[test]
fn a_stack_that_is_not_there_is_answered_with_those_that_are() {
    let context = TestContext::new();
    context.write("mine/one/stack.yaml", "");
    context.write("mine/two/stack.yaml", "");
    insta::assert_snapshot!(context.run("run three --stacks mine"), @"
    exit code 2
    --- stdout
    --- stderr
    error: failed to find the stack 'three' in mine
    hint: there are: one, two
    ");
    insta::assert_snapshot!(context.run("run ./mine"), @"
    exit code 2
    --- stdout
    --- stderr
    error: failed to find stack.yaml in ./mine
    hint: STACK is a folder with stack.yaml, or a name
    ");
}

#[test]
fn wrong_usage_creates_nothing() {
    let context = TestContext::new();
    for wrong in [
        "run nope --stacks .",
        "run nope --reports here --keep maybe",
    ] {
        assert!(context.run(wrong).starts_with("exit code 2\n"), "{wrong}");
    }
    assert_eq!(std::fs::read_dir(context.path()).unwrap().count(), 0);
}

#[test]
fn a_closed_pipe_is_not_an_error() {
    let context = TestContext::new();
    for arguments in [["version"].as_slice(), &["schema", "summary"], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let child = context
            .command()
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn();
        let output = child.unwrap().wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            (output.status.code(), &*stderr),
            (Some(0), ""),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_schema_is_json() {
    let output = TestContext::new()
        .command()
        .args(["schema", "summary"])
        .output()
        .unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(schema["title"], "Summary");
}

#[test]
fn cli_clean_forgets_a_run_whose_management_cluster_is_gone_for_good_issue_7() {
    let context = TestContext::new();
    let clean = |arguments: &str| {
        let mut command = context.command();
        command.env("TMPDIR", context.path()).arg("clean");
        context.show(&command.args(arguments.split_whitespace()).output().unwrap())
    };
    let folder = "stackgate-7f3a09bc-existing";
    // The process is over, and nobody listens at that port.
    context.write(
        &format!("{folder}/run.json"),
        r#"{"process": {"pid": 2147483646, "started": 1}, "context": "theirs"}"#,
    );
    context.write(
        &format!("{folder}/kubeconfig"),
        "apiVersion: v1\nkind: Config\ncurrent-context: theirs\nclusters: [{name: theirs, cluster: {server: 'http://127.0.0.1:1'}}]\ncontexts: [{name: theirs, context: {cluster: theirs, user: me}}]\nusers: [{name: me, user: {token: t}}]\n",
    );
    let told = clean("7f3a09bc --engine existing");
    assert!(told.starts_with("exit code 3\n"), "{told}");
    assert!(
        told.contains("run 7f3a09bc: failed to look for namespace stackgate-7f3a09bc")
            && told.contains(
                "; try again, or, if its management cluster is gone for good: stackgate clean 7f3a09bc --engine existing --forget"
            ),
        "{told}"
    );
    assert!(context.path().join(folder).exists());
    insta::assert_snapshot!(clean("7f3a09bc --forget"), @"
    exit code 2
    --- stdout
    --- stderr
    error: failed to start: only engine existing has management clusters that can be gone for good
    hint: leave --forget away, or add --engine existing
    ");
    insta::assert_snapshot!(clean("7f3a09bc --engine existing --forget"), @"
    exit code 0
    --- stdout
    removed folder [folder]/stackgate-7f3a09bc-existing; namespace stackgate-7f3a09bc in the management cluster of context 'theirs' was not looked for
    --- stderr
    ");
    assert!(!context.path().join(folder).exists());
}
