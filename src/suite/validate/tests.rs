//! Wrong suite files, each told with its line.

use std::os::unix::fs::PermissionsExt;

use crate::suite::Suite;

/// What is wrong with a suite of these checks.
fn told(checks: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "apiVersion: stackgate/v1alpha1\nkind: Suite\nmetadata: {{name: own}}\nspec:\n  description: own\n  checks:\n{checks}"
    );
    let program = folder.path().join("ok.sh");
    std::fs::write(&program, "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = folder.path().join("own.yaml");
    std::fs::write(&path, text).unwrap();
    match Suite::read(&path) {
        Ok(_) => String::new(),
        Err(error) => error
            .to_string()
            .replace(&*folder.path().to_string_lossy(), "DIR"),
    }
}

const HEAD: &str = "  - id: a\n    title: A\n    severity: MUST\n";

#[test]
fn every_kind_of_check_is_taken() {
    for kind in [
        "    native: nodes-ready\n    retries: 2\n    weight: heavy\n    lifetime: month\n",
        "    native: scs-0214-control-plane-nodes\n    parameters: {minimum: 3}\n",
        "    exec: {command: ./ok.sh, args: [a]}\n    when: {engine: [kind], provider: [docker], kubernetes: '>=1.34', phase: after}\n",
        "    cel:\n      objects: {apiVersion: v1, kind: Node}\n      rules:\n      - expression: old.all(o, new.exists(n, n == o)) || size(objects) > 0 && has(object.x)\n        message: \"'x'\"\n",
        "    standard: {name: scs-0214, version: v2, status: stable}\n    native: nodes-ready\n",
    ] {
        assert_eq!(told(&format!("{HEAD}{kind}")), "", "{kind}");
    }
}

#[test]
fn what_is_wrong_is_told_with_its_line() {
    for (kind, expected) in [
        (
            "",
            "own.yaml:7:9: check `a` does not say how it is answered",
        ),
        (
            "    native: nodes-ready\n    exec: {command: ok.sh}\n",
            "own.yaml:7:9: check `a` is answered in several ways",
        ),
        ("    nativ: nodes-ready\n", "own.yaml:10:5: "),
        (
            "    native: nodes-ready\n    parameters: {x: 1}\n",
            "own.yaml:11:21: `nodes-ready`: there is no parameter `x`",
        ),
        (
            "    native: scs-0214-control-plane-nodes\n    parameters:\n      minimum: 0\n",
            "own.yaml:12:16: `scs-0214-control-plane-nodes`: invalid value: integer `0`",
        ),
        (
            "    exec: {command: ok.sh}\n    parameters: {x: 1}\n",
            "own.yaml:11:17: parameters are set",
        ),
        (
            "    exec: {command: none.sh}\n",
            "own.yaml:10:21: `none.sh` cannot be run",
        ),
        (
            "    exec: {command: ok.sh, output: 0}\n",
            "own.yaml:10:36: an output of 0 bytes",
        ),
        (
            "    native: nodes-ready\n    retries: 6\n",
            "own.yaml:11:14: 6 retries are too many",
        ),
        (
            "    native: nodes-ready\n    when: {kubernetes: new}\n",
            "own.yaml:11:24: ",
        ),
        (
            "    native: nodes-ready\n    when: {phase: never}\n",
            "own.yaml:11:19: ",
        ),
        (
            "    native: nodes-ready\n    standard: {name: x, version: v1, status: fine}\n",
            "own.yaml:11:46: ",
        ),
        (
            "    cel:\n      objects: {apiVersion: v1, kind: Node}\n      rules: []\n",
            "own.yaml:12:14: there is no rule",
        ),
        (
            "    cel:\n      objects: {apiVersion: a/b/c, kind: Node}\n      rules: [{expression: 'true'}]\n",
            "own.yaml:11:29: `a/b/c` is no apiVersion",
        ),
        (
            "    cel:\n      objects: {apiVersion: v1, kind: Node}\n      rules:\n      - expression: object.a == && true\n",
            "own.yaml:13:33: this is no CEL",
        ),
        (
            "    cel:\n      objects: {apiVersion: v1, kind: Node}\n      rules:\n      - expression: |\n          object.a == 1\n          && ) object.b\n",
            "own.yaml:15:14: this is no CEL",
        ),
        (
            "    cel:\n      objects: {apiVersion: v1, kind: Node}\n      rules:\n      - expression: 'true'\n        message: nodes + 'x'\n",
            "own.yaml:14:18: there is no variable `nodes`",
        ),
    ] {
        let error = told(&format!("{HEAD}{kind}"));
        assert!(
            error.contains(&format!("DIR/{expected}")),
            "{kind}\n{error}"
        );
    }
    let twice = format!("{HEAD}    native: nodes-ready\n").repeat(2);
    assert!(told(&twice).contains("own.yaml:11:9: check `a` is number 1 already"));
}
