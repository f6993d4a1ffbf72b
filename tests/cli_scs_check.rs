//! `stackgate scs-check`: its answers, its report and its exit codes.

mod common;

use std::os::unix::fs::PermissionsExt;

use common::TestContext;

const SCOPE: &str = "\
name: Toy
uuid: 1fffebe6-fd4b-44d3-a36c-fc58b4bb0180
url: https://example.org/toy.yaml
variables: [who]
scripts:
- executable: ./one.sh
  args: '{who} {testcases}'
  testcases:
  - {id: a, section: light, description: Must do a., url: 'https://example.org/a'}
  - {id: b, section: heavy}
- testcases:
  - {id: manual}
modules:
- {id: m, targets: {main: [a, b], preview: [manual]}}
timeline:
- {date: 2024-01-01, versions: {v1: effective}}
versions:
- {version: v1, include: [m]}
";

fn context(script: &str) -> TestContext {
    let context = TestContext::new();
    context.write("scope.yaml", SCOPE);
    context.write("one.sh", &format!("#!/bin/sh\n{script}\n"));
    let path = context.path().join("one.sh");
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    context
}

fn code(script: &str, options: &str) -> i32 {
    let shown = context(script).run(&format!("scs-check -s toy -a who=me {options} scope.yaml"));
    let code = shown
        .lines()
        .next()
        .unwrap()
        .strip_prefix("exit code ")
        .unwrap();
    code.parse().unwrap()
}

#[test]
fn verdicts_are_printed_by_version_and_target() {
    let context = context("echo 'a: PASS'; echo 'b: FAIL'; echo 'z: PASS'; echo 'ERROR: b' >&2");
    insta::assert_snapshot!(context.run("scs-check -s toy -a who=me scope.yaml"), @"
    exit code 2
    --- stdout
    toy Toy v1:
    - main: FAIL (1 passed, 1 failed)
      - FAILED:
        - b:
    - preview: TENTATIVE pass (0 passed, 1 missing)
      - MISSING:
        - manual:
    --- stderr
    WARNING: ignoring invalid result id: z
    ");
    insta::assert_snapshot!(context.run("scs-check -v -s toy -a who=me -S light -t a scope.yaml"), @"
    exit code 1
    --- stdout
    a: PASS
    b: FAIL
    z: PASS
    ERROR: b
    ********************************************************************************
    toy Toy [sections: light] [tests: 'a'] v1:
    - main: TENTATIVE pass (1 passed, 1 missing)
      - PASSED:
        - a:
          > Must do a.
          > https://example.org/a
    - preview: TENTATIVE pass (0 passed, 1 missing)
    --- stderr
    WARNING: ignoring invalid result id: b
    WARNING: ignoring invalid result id: z
    ");
}

#[test]
fn an_abort_or_a_missing_verdict_ends_in_0_under_strict_compat_only() {
    let all = "echo 'a: PASS'; echo 'b: PASS'";
    assert_eq!(code(all, ""), 0);
    for script in [
        "echo 'a: PASS'; echo 'b: ABORT'",
        "echo 'a: PASS'",
        "exit 9",
    ] {
        assert_eq!(code(script, ""), 1, "{script}");
        assert_eq!(code(script, "-C"), 1, "{script}");
        assert_eq!(code(script, "--strict-compat"), 0, "{script}");
    }
    assert_eq!(code(all, "-S nothing"), 4);
    assert_eq!(code(all, "-S nothing --strict-compat"), 0);
    let failed = "echo 'a: FAIL'; echo 'b: FAIL'; echo 'CRITICAL: x'; echo 'ERROR: y'";
    assert_eq!(code(failed, ""), 4);
    assert_eq!(code(failed, "-C"), 1);
    assert_eq!(
        code(
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do echo 'error
error
error
error
error
error
error
error
error
error
error
error'; done",
            ""
        ),
        127
    );
}

#[test]
fn a_pattern_names_how_an_id_begins_and_a_day_before_the_first_version_is_no_day() {
    let context = context("shift; for id; do echo \"$id: PASS\"; done");
    let scope = SCOPE.replace("id: b,", "id: ba,");
    context.write("scope.yaml", &scope.replace("[a, b]", "[a, ba]"));
    for (pattern, ran) in [("a", "a: PASS"), ("b", "ba: PASS"), ("x|b", "ba: PASS")] {
        let shown = context.run(&format!(
            "scs-check -v -s toy -a who=me -t {pattern} scope.yaml"
        ));
        let ids: Vec<&str> = shown
            .lines()
            .filter(|line| line.ends_with(": PASS"))
            .collect();
        assert_eq!(ids, [ran], "{pattern}: {shown}");
    }
    let shown = context.run("scs-check -s toy -a who=me -d 2023-12-31 scope.yaml");
    assert!(shown.starts_with("exit code 2"), "{shown}");
    assert!(
        shown.contains("no valid version found for 2023-12-31"),
        "{shown}"
    );
}

#[test]
fn a_script_that_hangs_or_is_not_there_is_never_a_pass() {
    assert_eq!(
        code(
            "echo 'a: PASS'; echo 'b: PASS'; sleep 600",
            "--script-timeout 1s"
        ),
        1
    );
    let context = context("");
    std::fs::remove_file(context.path().join("one.sh")).unwrap();
    insta::assert_snapshot!(context.run("scs-check -s toy -a who=me -q scope.yaml"), @"
    exit code 1
    --- stdout
    CRITICAL: [Errno 2] No such file or directory: '[folder]/one.sh'
    --- stderr
    ");
}

#[test]
fn the_report_has_every_field() {
    let context =
        context("echo 'a: PASS'; echo '2024-01-01'; echo 'no'; echo 'warning: w' >&2; exit 3");
    let shown = context.run("scs-check -s toy -a who=me -V v1 -t a -q -o r.yaml scope.yaml");
    assert!(shown.starts_with("exit code 0"), "{shown}");
    let report = std::fs::read_to_string(context.path().join("r.yaml")).unwrap();
    let mut settings = insta::Settings::new();
    settings.add_filter(
        "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}",
        "[uuid]",
    );
    settings.add_filter(r"20\d\d-\d\d-\d\d( [\d:.]+)?\n", "[time]\n");
    settings.bind(|| {
        insta::assert_snapshot!(report, @"
        ---
        spec:
          uuid: '[uuid]'
          name: 'Toy'
          url: 'https://example.org/toy.yaml'
        checked_at: [time]
        reference_date: [time]
        subject: 'toy'
        run:
          uuid: '[uuid]'
          argv:
          - '-s'
          - 'toy'
          - '-a'
          - 'who=me'
          - '-V'
          - 'v1'
          - '-t'
          - 'a'
          - '-q'
          - '-o'
          - 'r.yaml'
          - 'scope.yaml'
          assignment:
            who: 'me'
          sections: null
          forced_version: 'v1'
          forced_tests: 'a'
          invocations:
            [uuid]:
              id: '[uuid]'
              cmd: './one.sh me a'
              results:
                a: 1
              rc: 3
              stdout:
              - 'a: PASS'
              - '2024-01-01'
              - 'no'
              stderr:
              - 'warning: w'
              info: 0
              warning: 1
              error: 0
              critical: 0
        ");
    });
}

/// What a script says, and what the SCS checker makes of it: its exit code, the script's, the results, and how
/// many lines are counted as `info`, `warning`, `error` and `critical`.
const SAID: [(&str, i32, i32, &str, [u32; 4]); 8] = [
    // A FAIL counts beside the lines that begin with `error`, on either stream.
    (
        "echo 'a: FAIL'; echo 'b: PASS'; echo 'ERROR: a' >&2; echo 'error b'; exit 3",
        3,
        3,
        "{a: -1, b: 1}",
        [0, 0, 2, 0],
    ),
    // An abort that nobody calls critical is nothing.
    (
        "echo 'a: ABORT'; echo 'b: PASS'; echo 'Warning: a' >&2; exit 1",
        0,
        1,
        "{a: 0, b: 1}",
        [0, 1, 0, 0],
    ),
    // Nor is a signal.
    ("echo 'a: PASS'; kill -9 $$", 0, -9, "{a: 1}", [0; 4]),
    ("exit 9", 0, 9, "{}", [0; 4]),
    // The last colon divides, the last word counts, and results are in the order of their first mention.
    (
        "echo 'a:b: PASS'; echo 'b : Pass'; echo ' a: fAiL '; echo 'a: PASS'",
        0,
        0,
        "{b: 1, a: 1}",
        [0; 4],
    ),
    // What is no text says nothing.
    ("printf 'a: PASS\\n\\377'", 1, 127, "{}", [0, 0, 0, 1]),
    (
        "printf 'b: PASS\\r\\na: PASS'",
        0,
        0,
        "{b: 1, a: 1}",
        [0; 4],
    ),
    // A level is how a line begins, also that of a longer word.
    (
        "echo 'information'; echo 'CRITICALLY'; echo ' error'; echo 'Errors: 0'; echo 'warning'",
        2,
        0,
        "{}",
        [1, 1, 1, 1],
    ),
];

#[test]
fn what_scripts_say_is_counted_as_the_checker_counts_it() {
    for (script, code, rc, results, levels) in SAID {
        let context = context(script);
        let shown = context.run("scs-check --strict-compat -s toy -a who=me -o r.yaml scope.yaml");
        assert!(
            shown.starts_with(&format!("exit code {code}\n")),
            "{script}: {shown}"
        );
        let report = std::fs::read_to_string(context.path().join("r.yaml")).unwrap();
        let report: serde_json::Value = serde_saphyr::from_str(&report).unwrap();
        let invocations = report["run"]["invocations"].as_object().unwrap();
        assert_eq!(invocations.len(), 1, "{script}");
        let one = invocations.values().next().unwrap();
        let wanted: serde_json::Value = serde_saphyr::from_str(results).unwrap();
        assert_eq!(one["results"], wanted, "{script}");
        assert_eq!(one["rc"], rc, "{script}");
        let counted = ["info", "warning", "error", "critical"].map(|level| &one[level]);
        assert_eq!(
            counted,
            levels.map(serde_json::Value::from).each_ref(),
            "{script}"
        );
    }
}

#[test]
fn what_is_done_is_told_with_what_was_counted() {
    let context = context("echo 'a: FAIL'; echo 'ERROR: a' >&2; exit 3");
    let shown = context.run("scs-check --debug -s toy -a who=me scope.yaml");
    assert!(
        shown
            .contains("DEBUG: running './one.sh me a b'...\nDEBUG: .. rc 3, 0 critical, 1 error\n"),
        "{shown}"
    );
}

#[test]
fn wrong_usage_is_told_and_nothing_is_run() {
    let context = context("touch ran");
    insta::assert_snapshot!(context.run("scs-check -s toy scope.yaml"), @"
    exit code 2
    --- stdout
    --- stderr
    error: missing variable assignments (via -a) for: who
    ");
    insta::assert_snapshot!(context.run("scs-check -s toy -a who=1 -a who=2 scope.yaml"), @"
    exit code 2
    --- stdout
    --- stderr
    error: 'who' is assigned twice
    ");
    context.write("bad.yaml", &SCOPE.replace("id: b,", "id: a,"));
    insta::assert_snapshot!(context.run("scs-check -s toy -a who=1 bad.yaml"), @"
    exit code 2
    --- stdout
    --- stderr
    error: invalid scope
    bad.yaml:10:10: duplicate testcase `a`
       |
    10 |   - {id: a, section: heavy}
       |          ^ expected an id of its own
    ");
    for wrong in [
        "-a who",
        "-d soon -a who=1",
        "-t [ -a who=1",
        "-V v9 -a who=1",
    ] {
        let shown = context.run(&format!("scs-check -s toy {wrong} scope.yaml"));
        assert!(shown.starts_with("exit code 2"), "{wrong}: {shown}");
        let shown = context.run(&format!(
            "scs-check --strict-compat -s toy {wrong} scope.yaml"
        ));
        assert!(shown.starts_with("exit code 1"), "{wrong}: {shown}");
    }
    assert!(!context.path().join("ran").exists());
}

/// A scope with the testcase of the version policy, whose script says something else than we do.
fn version_policy(server: &str) -> TestContext {
    let context = context("echo 'version-policy-check: PASS'; echo 'INFO: the script'");
    let scope = SCOPE
        .replace("variables: [who]", "variables: [kubeconfig]")
        .replace("'{who} {testcases}'", "'-k {kubeconfig}'")
        .replace("  - {id: b, section: heavy}\n", "")
        .replace("id: a", "id: version-policy-check")
        .replace("[a, b]", "[version-policy-check]");
    context.write("scope.yaml", &scope);
    context.write(
        "kubeconfig.yaml",
        &format!(
            "{{apiVersion: v1, kind: Config, current-context: c, contexts: [{{name: c, context: {{cluster: c, user: u}}}}], \
             clusters: [{{name: c, cluster: {{server: '{server}'}}}}], users: [{{name: u, user: {{}}}}]}}"
        ),
    );
    // Newer than what ships, and good for as long as these tests live.
    let data = r#"{"schema": 1, "generated_at": "2998-01-01", "valid_until": "2999-01-01", "sources": [],
        "branches": [{"branch": "1.20", "end_of_life": "2022-02-28"}, {"branch": "1.98", "end_of_life": "2999-01-01"},
            {"branch": "1.99", "end_of_life": "2999-01-01"}],
        "releases": [{"tag": "v1.99.0", "published_at": "2026-08-01"}], "cves": []}"#;
    context.write("data/kubernetes-versions.json", data);
    context
}

/// An API server that tells its version and nothing else, in plain HTTP; its address.
fn server(version: &'static str) -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let _ = connection.read(&mut request);
            let body = format!(
                r#"{{"major": "1", "minor": "20", "gitVersion": "{version}", "gitCommit": "", "gitTreeState": "clean", "buildDate": "", "goVersion": "", "compiler": "gc", "platform": "linux/amd64"}}"#
            );
            let _ = write!(
                connection,
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    format!("http://{address}")
}

#[test]
fn the_version_policy_is_judged_natively_unless_the_script_is_asked_for() {
    const LINE: &str = "scs-check -v -s toy -a kubeconfig=kubeconfig.yaml -t version scope.yaml";
    for (version, code, told) in [
        (
            "v1.99.0",
            0,
            "INFO: v1.99.0 is supported, and no newer patch is overdue",
        ),
        (
            "v1.20.4",
            2,
            "ERROR: v1.20.4 is of branch 1.20, which upstream has not supported since 2022-02-28",
        ),
        (
            "v1.99.1",
            1,
            "CRITICAL: the cluster has v1.99.1, and the newest that the version data knows is v1.99.0",
        ),
    ] {
        let context = version_policy(&server(version));
        let shown = context.run(LINE);
        assert!(shown.starts_with(&format!("exit code {code}\n")), "{shown}");
        assert!(shown.contains(told), "{shown}");
        let shown = context.run(&format!("{LINE} --no-native"));
        assert!(shown.starts_with("exit code 0\n"), "{shown}");
        assert!(shown.contains("INFO: the script"), "{shown}");
    }
    // The script's arguments say where the kubeconfig is, whatever the variable is called; where they say
    // something else, only the script knows what to do.
    let context = version_policy(&server("v1.20.4"));
    let scope = std::fs::read_to_string(context.path().join("scope.yaml")).unwrap();
    let line = "scs-check -v -s toy -a cluster=kubeconfig.yaml -t version other.yaml";
    context.write(
        "other.yaml",
        &scope
            .replace("[kubeconfig]", "[cluster]")
            .replace("-k {kubeconfig}", "--kubeconfig={cluster}"),
    );
    let shown = context.run(line);
    assert!(
        shown.contains("ERROR: v1.20.4 is of branch 1.20"),
        "{shown}"
    );
    context.write(
        "other.yaml",
        &scope
            .replace("[kubeconfig]", "[cluster]")
            .replace("-k {kubeconfig}", "-k {cluster} --deep"),
    );
    let shown = context.run(line);
    assert!(shown.contains("INFO: the script"), "{shown}");
    let context = version_policy("http://127.0.0.1:1");
    let shown = context.run(LINE);
    assert!(shown.starts_with("exit code 1\n"), "{shown}");
    assert!(
        shown.contains("CRITICAL: failed to get /version"),
        "{shown}"
    );
}
