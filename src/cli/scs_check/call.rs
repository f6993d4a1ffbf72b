//! What the arguments of the SCS tests' scripts ask for.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::suite::scs::{Call, split};

/// How many processes a parallel run has.
const PROCESSES: u32 = 4;
/// The focus of a certified run.
const CONFORMANCE: &str = r"\[Conformance\]";
/// What sonobuoy gives to the tests beside its own options.
const EXTRA: &str = "e2e.E2E_EXTRA_ARGS=";

/// Options with their values, in their order; none when a word is not among `known` (short and long name).
fn options(words: &[String], known: &[(&str, &str)]) -> Option<Vec<(String, String)>> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let (name, given) = known.iter().find_map(|(short, long)| {
            if let Some(rest) = word.strip_prefix(long).filter(|_| !long.is_empty()) {
                return match rest.strip_prefix('=') {
                    Some(value) => Some((long, Some(value.to_owned()))),
                    None => rest.is_empty().then_some((long, None)),
                };
            }
            let rest = word.strip_prefix(short).filter(|_| !short.is_empty())?;
            Some((long, Some(rest.to_owned()).filter(|rest| !rest.is_empty())))
        })?;
        let value = match given {
            Some(value) => value,
            None => words.next()?.clone(),
        };
        found.push(((*name).to_owned(), value));
    }
    Some(found)
}

/// The last value of an option.
fn last<'a>(options: &'a [(String, String)], name: &str) -> Option<&'a str> {
    let mut all = options.iter().rev();
    all.find(|(own, _)| own == name)
        .map(|(_, value)| value.as_str())
}

/// The kubeconfig of `k8s_version_policy.py`; none when it is called otherwise than is known.
pub fn version_policy(call: &Call) -> Option<PathBuf> {
    let options = options(&call.words, &[("-k", "--kubeconfig")])?;
    kubeconfig(call, &options)
}

/// The kubeconfig that an option names, or else the environment that the scope sets.
fn kubeconfig(call: &Call, options: &[(String, String)]) -> Option<PathBuf> {
    let mut set = call.env.iter().filter(|(name, _)| name == "KUBECONFIG");
    let path = last(options, "--kubeconfig").or_else(|| set.next().map(|(_, path)| path.as_str()));
    Some(call.folder.join(path?))
}

/// What `run_sonobuoy.py run` is asked for.
#[derive(Debug, PartialEq)]
pub struct Tests {
    /// The cluster's kubeconfig.
    pub kubeconfig: PathBuf,
    /// Failures that are accepted, in the form of the SCS tests.
    pub ok_to_fail: PathBuf,
    /// How the tests are to be run.
    pub way: Way,
}

/// How the tests are to be run.
#[derive(Debug, PartialEq)]
pub enum Way {
    /// With these parameters of the check.
    With(Value),
    /// With these, and as many cases as a certified run has: all of them, in several processes. The
    /// image's own switch for that would leave out every [Serial] case.
    Whole(Value),
    /// Not at all.
    Dry,
}

/// What `run_sonobuoy.py` is called with; none when only the script can do that.
pub fn tests(call: &Call) -> Option<Tests> {
    let (first, words) = call.words.split_first()?;
    if first != "run" {
        return None;
    }
    let known = [
        ("-k", "--kubeconfig"),
        ("-r", "--result_dir_name"),
        ("-c", "--check"),
        ("", "--scs-sonobuoy-config"),
        ("", "--execution-mode"),
        ("-a", "--arg"),
    ];
    let options = options(words, &known)?;
    let arguments = options.iter().filter(|(name, _)| name == "--arg");
    let mut inner = Vec::new();
    for (_, argument) in arguments {
        inner.extend(split(argument).ok()?);
    }
    let way = match last(&options, "--execution-mode").unwrap_or("serial") {
        "serial" => way(&inner, 1)?,
        "parallel" => way(&inner, PROCESSES)?,
        "dry" => Way::Dry,
        _ => return None,
    };
    Some(Tests {
        kubeconfig: kubeconfig(call, &options)?,
        ok_to_fail: call.folder.join(last(&options, "--scs-sonobuoy-config")?),
        way,
    })
}

/// What sonobuoy's own options mean to our check.
fn way(words: &[String], parallel: u32) -> Option<Way> {
    let known = [
        ("-m", "--mode"),
        ("", "--e2e-focus"),
        ("", "--e2e-skip"),
        ("", "--plugin-env"),
    ];
    let options = options(words, &known)?;
    let mut parameters = json!({"parallel": parallel});
    for (_, variable) in options.iter().filter(|(name, _)| name == "--plugin-env") {
        let attempts = variable.strip_prefix(EXTRA)?;
        let attempts = attempts.strip_prefix("--ginkgo.flake-attempts=")?;
        parameters["flakeAttempts"] = json!(attempts.parse::<u32>().ok()?);
    }
    let (focus, skip) = (last(&options, "--e2e-focus"), last(&options, "--e2e-skip"));
    match (last(&options, "--mode"), focus, skip) {
        (Some("certified-conformance"), None, None) if parallel == 1 => {
            parameters["mode"] = json!("certified");
        }
        (Some("certified-conformance"), None, None) => {
            parameters["focus"] = json!(CONFORMANCE);
            return Some(Way::Whole(parameters));
        }
        (Some("quick"), None, None) => parameters["mode"] = json!("quick"),
        // What sonobuoy does when nobody says anything.
        (None | Some("non-disruptive-conformance"), None, None) => {
            parameters["mode"] = json!("nonDisruptive");
        }
        (None, Some("NetworkPolicy"), None) => parameters["mode"] = json!("networkPolicy"),
        (None, Some(focus), skip) => {
            parameters["focus"] = json!(focus);
            if let Some(skip) = skip {
                parameters["skip"] = json!(skip);
            }
        }
        _ => return None,
    }
    Some(Way::With(parameters))
}

#[cfg(test)]
mod unit {
    use super::*;
    use crate::cluster::Interrupt;

    fn call(arguments: &str) -> Call {
        Call {
            words: split(arguments).unwrap(),
            env: Vec::new(),
            folder: PathBuf::from("/scope"),
            interrupt: Interrupt::default(),
        }
    }

    #[test]
    fn the_kubeconfig_is_that_of_the_arguments_in_every_form() {
        for (arguments, path) in [
            ("-k a.yaml", Some("/scope/a.yaml")),
            ("-ka.yaml", Some("/scope/a.yaml")),
            ("--kubeconfig a.yaml", Some("/scope/a.yaml")),
            ("--kubeconfig=/b.yaml", Some("/b.yaml")),
            ("-k a.yaml -k c.yaml", Some("/scope/c.yaml")),
            ("", None),
            ("-k", None),
            ("-k a.yaml more", None),
            ("-k a.yaml --fast", None),
        ] {
            assert_eq!(
                version_policy(&call(arguments)),
                path.map(PathBuf::from),
                "{arguments}"
            );
        }
        let mut by_environment = call("");
        by_environment.env = vec![("KUBECONFIG".to_owned(), "e.yaml".to_owned())];
        assert_eq!(
            version_policy(&by_environment),
            Some(PathBuf::from("/scope/e.yaml"))
        );
    }

    fn way_of(mode: &str, arguments: &str) -> Option<Way> {
        let line = format!(
            "run -k k.yaml --scs-sonobuoy-config c.yaml --execution-mode {mode} -r out -c id {arguments}"
        );
        tests(&call(&line)).map(|tests| tests.way)
    }

    #[test]
    fn the_scope_files_own_calls_are_understood() {
        let flakes = "-a '--plugin-env e2e.E2E_EXTRA_ARGS=--ginkgo.flake-attempts=2'";
        let certified = format!("-a '--mode=certified-conformance' {flakes}");
        assert_eq!(
            way_of("serial", &certified),
            Some(Way::With(
                json!({"parallel": 1, "flakeAttempts": 2, "mode": "certified"})
            ))
        );
        assert_eq!(
            way_of("parallel", &certified),
            Some(Way::Whole(
                json!({"parallel": 4, "flakeAttempts": 2, "focus": CONFORMANCE})
            ))
        );
        assert_eq!(way_of("dry", &certified), Some(Way::Dry));
        assert_eq!(
            way_of(
                "serial",
                &format!("-a '--e2e-focus \"NetworkPolicy\"' {flakes}")
            ),
            Some(Way::With(
                json!({"parallel": 1, "flakeAttempts": 2, "mode": "networkPolicy"})
            ))
        );
        let all = tests(&call(
            "run --kubeconfig=k --scs-sonobuoy-config=/c.yaml -a '--mode quick'",
        ))
        .unwrap();
        assert_eq!(all.kubeconfig, PathBuf::from("/scope/k"));
        assert_eq!(all.ok_to_fail, PathBuf::from("/c.yaml"));
        assert_eq!(all.way, Way::With(json!({"parallel": 1, "mode": "quick"})));
    }

    #[test]
    fn what_only_the_script_can_do_is_left_to_it() {
        for arguments in [
            "-a --mode=conformance-lite",
            "-a '--e2e-focus a --mode quick'",
            "-a --plugin=x",
            "-a '--plugin-env e2e.E2E_EXTRA_ARGS=--ginkgo.seed=1'",
            "-a '\"'",
            "--fast",
        ] {
            assert_eq!(way_of("serial", arguments), None, "{arguments}");
        }
        assert_eq!(way_of("twice", ""), None);
        for line in [
            "check-results --scs-sonobuoy-config c r.yaml",
            "run -k k",
            "run --scs-sonobuoy-config c",
            "",
        ] {
            assert_eq!(tests(&call(line)), None, "{line}");
        }
    }
}
