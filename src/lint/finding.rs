//! What lint found: each finding with its rule and place, and all of them with what the upgrade will do.

use super::plan::UpgradePlan;
use super::rule::{By, Rule};
use crate::record::{Finding as Cause, ObjectRef, Severity};
use crate::stack::{Delivery, Problem, ReleaseTag};

/// One breach of a rule.
#[derive(Debug, Clone)]
pub struct Finding {
    /// The rule.
    pub rule: &'static Rule,
    /// The release whose file is to be changed.
    pub release: String,
    /// The rendered object that it is about.
    pub object: Option<ObjectRef>,
    /// What is wrong, where, what was expected and what to do.
    pub problem: Problem,
}

impl Finding {
    /// What to do: what the finding itself says, else the rule.
    #[must_use]
    pub fn remedy(&self) -> &str {
        self.problem.help.as_deref().unwrap_or(self.rule.remedy)
    }

    /// The object, or else the release.
    #[must_use]
    pub fn about(&self) -> ObjectRef {
        let release = || ObjectRef::new("release", "Release", "", &self.release);
        self.object.clone().unwrap_or_else(release)
    }
}

/// Everything that was found about a pair of releases.
#[derive(Debug, Clone)]
pub struct Report {
    /// The stack under test.
    pub stack: String,
    /// Release N.
    pub from: ReleaseTag,
    /// Release N+1.
    pub to: ReleaseTag,
    /// The findings; those of greater force first.
    pub findings: Vec<Finding>,
    /// What the upgrade will do; none where a release cannot be rendered, and so only its files were judged.
    pub plan: Option<UpgradePlan>,
}

impl Report {
    /// How many findings there are of a force.
    #[must_use]
    pub fn count(&self, severity: Severity) -> usize {
        let of = |finding: &&Finding| finding.rule.severity == severity;
        self.findings.iter().filter(of).count()
    }

    /// The findings that close the gate before a cluster is paid for, as its causes. What only the Cluster
    /// Stack Operator does wrong closes it where the operator delivers.
    #[must_use]
    pub fn causes(&self, delivery: Delivery) -> Vec<Cause> {
        let closes = |finding: &&Finding| {
            finding.rule.severity == Severity::Must
                && (finding.rule.by == By::Anyone || delivery == Delivery::Operator)
        };
        let cause = |finding: &Finding| {
            let problem = &finding.problem;
            let mut place = problem.file.display().to_string();
            if let Some(at) = &problem.place {
                place.push_str(&format!(":{}:{}", at.line, at.column));
            }
            let mut evidence = vec![place];
            let expected = problem.expected.as_ref();
            evidence.extend(expected.map(|expected| format!("expected {expected}")));
            evidence.push(format!("{} ({})", finding.rule.why, finding.rule.source));
            evidence.push(format!("what to do: {}", finding.remedy()));
            Cause {
                cause: format!("lint-{}", finding.rule.id),
                message: problem.message.clone(),
                object: finding.about(),
                evidence,
            }
        };
        self.findings.iter().filter(closes).map(cause).collect()
    }
}

/// Collects findings.
#[derive(Debug, Default)]
pub(super) struct Found(Vec<Finding>);

impl Found {
    pub(super) fn add(
        &mut self,
        rule: &'static Rule,
        release: &ReleaseTag,
        object: Option<ObjectRef>,
        problem: Problem,
    ) {
        self.0.push(Finding {
            rule,
            release: release.to_string(),
            object,
            problem,
        });
    }

    /// All of them, those of greater force first, in the order of finding.
    pub(super) fn sorted(mut self) -> Vec<Finding> {
        self.0.sort_by_key(|finding| finding.rule.severity);
        self.0
    }
}
