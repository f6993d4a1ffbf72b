//! What suites set for a run of the conformance image, and what follows from it: focus, skip, image, and
//! how many cases there have to be at least.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::checks::images;
use crate::stack::{ImageReference, Pattern};

/// Which cases are run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Mode {
    /// One case, which shows that pods run: minutes.
    Quick,
    /// The conformance cases but those that disturb what else runs: hours.
    NonDisruptive,
    /// Every conformance case, one at a time, as a certificate needs it: hours.
    Certified,
    /// Every case about NetworkPolicies: an hour or two.
    NetworkPolicy,
}

impl Mode {
    /// As it is written in suites.
    const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::NonDisruptive => "nonDisruptive",
            Self::Certified => "certified",
            Self::NetworkPolicy => "networkPolicy",
        }
    }

    const fn focus(self) -> &'static str {
        match self {
            Self::Quick => "Pods should be submitted and removed",
            Self::NonDisruptive | Self::Certified => r"\[Conformance\]",
            Self::NetworkPolicy => "NetworkPolicy",
        }
    }

    const fn skip(self) -> &'static str {
        match self {
            Self::NonDisruptive => r"\[Disruptive\]|NoExecuteTaintManager",
            Self::Quick | Self::Certified | Self::NetworkPolicy => "",
        }
    }

    /// How many cases it has at least.
    fn least(self, kubernetes: &str) -> u32 {
        let conformance = cases(kubernetes);
        match self {
            Self::Quick => 1,
            Self::Certified => conformance,
            Self::NonDisruptive => conformance.saturating_sub(DISRUPTIVE),
            Self::NetworkPolicy => NETWORK_POLICY,
        }
    }
}

/// How many conformance cases a minor version of Kubernetes has: the entries (`- testname`) of
/// `test/conformance/testdata/conformance.yaml` in the module k8s.io/kubernetes, counted at v1.28.15, v1.29.15,
/// v1.30.0, v1.34.3, v1.35.4, v1.36.4 and v1.37.2. Cases are only ever promoted, so a version between two of these
/// has at least as many as the lower one.
const CASES: [(u32, u32); 7] = [
    (28, 380),
    (29, 388),
    (30, 402),
    (34, 424),
    (35, 441),
    (36, 446),
    (37, 462),
];
/// How many conformance cases a non-disruptive run leaves out at most: at v1.34.3 that file has two with
/// [Disruptive], both of NoExecuteTaintManager; three more leave room for versions in which more were promoted.
const DISRUPTIVE: u32 = 5;
/// How many cases name NetworkPolicies: those of `test/e2e/network/netpol` in the same module, 48 in
/// `network_policy.go` and 2 in `network_policy_api.go`, at v1.34.3, v1.35.4 and v1.36.4; one more at v1.37.2.
const NETWORK_POLICY: u32 = 50;

/// How many conformance cases a version has; one that is not known has at least as many as the newest
/// known before it, and one that is older than all is held to the oldest.
#[must_use]
pub fn cases(kubernetes: &str) -> u32 {
    let minor = images::numbers(kubernetes).map_or(0, |[_, minor, _]| minor);
    let known = CASES.iter().rev().find(|(known, _)| *known <= minor);
    known.map_or(CASES[0].1, |(_, cases)| *cases)
}

/// What suites may set.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Fields {
    /// Which cases are run: quick, nonDisruptive, certified or networkPolicy. The check's own default is
    /// taken where it is not set.
    mode: Option<Mode>,
    /// Cases whose names match are run, instead of those of the mode.
    focus: Option<Pattern>,
    /// Cases whose names match are left out, beside those that the mode leaves out.
    skip: Option<Pattern>,
    /// How many processes run cases at the same time; those that are [Serial] run one at a time all the same.
    #[schemars(range(min = 1, max = 32))]
    parallel: u32,
    /// How many cases have to run at least, with a focus or skip of one's own; the modes know theirs.
    #[schemars(range(min = 1))]
    minimum: Option<u32>,
    /// How often a case that fails is tried; 0 and 1 are once. A case that passes only then makes the check flaky.
    #[schemars(range(max = 5))]
    flake_attempts: u32,
    /// The image; without it that of the cluster's version, `registry.k8s.io/conformance:VERSION`.
    image: Option<ImageReference>,
}

impl Default for Fields {
    fn default() -> Self {
        Self {
            mode: None,
            focus: None,
            skip: None,
            parallel: 1,
            minimum: None,
            flake_attempts: 0,
            image: None,
        }
    }
}

/// What suites set, and hold together.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Fields")]
#[schemars(with = "Fields")]
pub struct Settings(Fields);

impl TryFrom<Fields> for Settings {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        if !(1..=32).contains(&fields.parallel) {
            return Err(format!(
                "{} processes: expected from 1 to 32",
                fields.parallel
            ));
        }
        if fields.flake_attempts > 5 {
            return Err(format!(
                "{} attempts: expected at most 5",
                fields.flake_attempts
            ));
        }
        if fields.minimum == Some(0) {
            return Err("a minimum of 0: a run without cases shows nothing".to_owned());
        }
        let own = fields.focus.is_some() || fields.skip.is_some();
        if fields.mode == Some(Mode::Certified) {
            if fields.parallel > 1 {
                return Err(
                    "a certified run is serial: expected parallel to be 1, or another mode"
                        .to_owned(),
                );
            }
            if own {
                return Err("a certified run has all conformance cases: expected neither focus nor skip, or another mode".to_owned());
            }
        }
        if fields.minimum.is_some() && !own {
            return Err("the modes know how many cases there are: expected minimum only with a focus or skip of one's own".to_owned());
        }
        Ok(Self(fields))
    }
}

/// What is asked of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The mode's name, or `own focus`.
    pub mode: String,
    /// Cases whose names match are run.
    pub focus: String,
    /// Cases whose names match are not; nothing when empty.
    pub skip: String,
    /// How many processes run them.
    pub processes: u32,
    /// How often a case that fails is tried; once for 0.
    pub flake_attempts: u32,
    /// How many have to run at least.
    pub minimum: u32,
    /// The image.
    pub image: String,
}

impl Settings {
    /// What they ask for on a cluster of this version, with the mode of a check that says nothing else.
    pub fn asked(&self, default: Mode, kubernetes: &str) -> Asked {
        let Fields {
            mode,
            focus,
            skip,
            parallel,
            minimum,
            flake_attempts,
            image,
        } = &self.0;
        let mode = mode.unwrap_or(default);
        let own = focus.is_some() || skip.is_some();
        let skipped = [mode.skip().to_owned()]
            .into_iter()
            .chain(skip.as_ref().map(Pattern::to_string));
        let skipped: Vec<String> = skipped.filter(|one| !one.is_empty()).collect();
        let least = if own { 1 } else { mode.least(kubernetes) };
        let image = image.as_ref().map_or_else(
            || format!("registry.k8s.io/conformance:{}", released(kubernetes)),
            |image| image.as_str().to_owned(),
        );
        Asked {
            mode: match focus {
                None => mode.name().to_owned(),
                Some(_) => "own focus".to_owned(),
            },
            focus: focus
                .as_ref()
                .map_or_else(|| mode.focus().to_owned(), Pattern::to_string),
            skip: skipped.join("|"),
            processes: *parallel,
            flake_attempts: *flake_attempts,
            minimum: minimum.unwrap_or(least),
            image,
        }
    }
}

/// The version that Kubernetes' own images are tagged with: without a vendor's build metadata.
fn released(kubernetes: &str) -> &str {
    kubernetes
        .split_once('+')
        .map_or(kubernetes, |(released, _)| released)
}

impl Asked {
    /// What the result says of how it came to be.
    pub fn told(&self) -> String {
        let Self {
            mode,
            focus,
            skip,
            processes,
            flake_attempts,
            minimum,
            image,
        } = self;
        let skip = if skip.is_empty() { "nothing" } else { skip };
        let way = match processes {
            1 => "serial".to_owned(),
            many => format!("{many} processes"),
        };
        let attempts = (*flake_attempts).max(1);
        format!(
            "mode {mode}: focus {focus}, skip {skip}, {way}, at most {attempts} attempt(s) at a case, at least {minimum} case(s), image {image}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::Parameters;
    use serde_json::json;

    fn asked(set: &serde_json::Value) -> Asked {
        let settings: Settings = serde_json::from_value(set.clone()).unwrap();
        settings.asked(Mode::Quick, "v1.35.0+vendor.1")
    }

    #[test]
    fn a_mode_brings_focus_skip_and_how_many_cases_there_are() {
        let quick = asked(&json!({}));
        assert_eq!(quick.image, "registry.k8s.io/conformance:v1.35.0");
        assert_eq!((quick.minimum, quick.processes), (1, 1));
        let certified = asked(&json!({"mode": "certified"}));
        assert_eq!(
            (certified.focus.as_str(), certified.skip.as_str()),
            (r"\[Conformance\]", "")
        );
        assert_eq!(certified.minimum, 441);
        let gentle = asked(&json!({"mode": "nonDisruptive", "parallel": 4}));
        assert!(gentle.skip.contains("Disruptive") && gentle.minimum < certified.minimum);
        assert_eq!(
            gentle.told(),
            r"mode nonDisruptive: focus \[Conformance\], skip \[Disruptive\]|NoExecuteTaintManager, 4 processes, at most 1 attempt(s) at a case, at least 436 case(s), image registry.k8s.io/conformance:v1.35.0"
        );
    }

    #[test]
    fn a_focus_of_ones_own_replaces_the_modes_and_a_skip_adds_to_it() {
        let own = asked(&json!({"focus": "DNS", "minimum": 3}));
        assert_eq!((own.focus.as_str(), own.minimum), ("DNS", 3));
        assert_eq!(own.mode, "own focus");
        let skip = asked(&json!({"mode": "nonDisruptive", "skip": "SCTP"}));
        assert_eq!(skip.skip, r"\[Disruptive\]|NoExecuteTaintManager|SCTP");
        assert_eq!(skip.minimum, 1);
    }

    #[test]
    fn what_does_not_hold_together_is_refused_when_the_suite_is_loaded() {
        for (set, told) in [
            (
                json!({"mode": "certified", "parallel": 2}),
                "a certified run is serial",
            ),
            (
                json!({"mode": "certified", "focus": "DNS"}),
                "has all conformance cases",
            ),
            (
                json!({"mode": "certified", "minimum": 1}),
                "the modes know how many",
            ),
            (
                json!({"focus": "DNS", "minimum": 0}),
                "a run without cases shows nothing",
            ),
            (json!({"parallel": 0}), "0 processes"),
            (json!({"flakeAttempts": 9}), "9 attempts"),
            (json!({"focus": "["}), "not a pattern"),
            (json!({"image": "conformance"}), "conformance"),
            (json!({"mode": "dry"}), "unknown variant `dry`"),
        ] {
            let wrong = Parameters::of::<Settings>().validate(&set).unwrap_err();
            assert!(wrong.message.contains(told), "{set}: {}", wrong.message);
        }
    }

    #[test]
    fn an_unknown_version_has_at_least_the_cases_of_the_newest_known_before_it() {
        for (version, least) in [
            ("v1.34.3", 424),
            ("v1.35.1", 441),
            ("v1.40.0", 462),
            ("v1.32.1", 402),
            ("v1.27.0", 380),
        ] {
            assert_eq!(cases(version), least, "{version}");
        }
    }
}
