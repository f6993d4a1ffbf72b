//! Checks of our own that take the place of a script of an SCS scope.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context as _, Result};
use jiff::tz::TimeZone;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use crate::checks::Answer;
use crate::checks::scs::version_policy;
use crate::record::{Clock, Outcome};
use crate::suite::scs::{Said, Substitute};

/// All of them.
pub(super) const NATIVES: &[Substitute] = &[Substitute {
    testcase: VERSION_POLICY,
    run: version_policy,
}];

const VERSION_POLICY: &str = "version-policy-check";

fn version_policy(values: &BTreeMap<String, String>) -> Said<'_> {
    Box::pin(async {
        let client = client(values).await?;
        let today = Clock::system().now().to_zoned(TimeZone::UTC).date();
        let answer = version_policy::ask(&client, today).await?;
        Ok(lines(VERSION_POLICY, &answer))
    })
}

/// A client of the cluster that the scope's variable names.
async fn client(values: &BTreeMap<String, String>) -> Result<Client> {
    let path = values.get("kubeconfig");
    let path = path.context("the scope has no variable `kubeconfig`")?;
    let kubeconfig = Kubeconfig::read_from(Path::new(path));
    let kubeconfig = kubeconfig.with_context(|| format!("failed to read {path}"))?;
    let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await;
    let config = config.with_context(|| format!("failed to read {path}"))?;
    Ok(Client::try_from(config)?)
}

/// An answer as a script would print it.
fn lines(testcase: &str, answer: &Answer) -> Vec<String> {
    let (level, word) = match answer.outcome {
        Outcome::Pass | Outcome::Flaky => ("INFO", "PASS"),
        Outcome::Fail => ("ERROR", "FAIL"),
        Outcome::Abort | Outcome::Skip => ("CRITICAL", "ABORT"),
    };
    let evidence = answer.evidence.iter().map(|line| {
        let warning = line.strip_prefix("warning: ");
        warning.map_or_else(
            || format!("INFO: {line}"),
            |warning| format!("WARNING: {warning}"),
        )
    });
    std::iter::once(format!("{level}: {}", answer.message))
        .chain(evidence)
        .chain([format!("{testcase}: {word}")])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_in_the_words_of_scripts() {
        let told = |outcome, evidence: &[&str]| {
            let answer = Answer {
                outcome,
                message: "why".to_owned(),
                evidence: evidence.iter().map(|line| (*line).to_owned()).collect(),
            };
            lines("a", &answer).join("|")
        };
        assert_eq!(
            told(Outcome::Pass, &["warning: soon", "by data of x"]),
            "INFO: why|WARNING: soon|INFO: by data of x|a: PASS"
        );
        assert_eq!(told(Outcome::Fail, &[]), "ERROR: why|a: FAIL");
        assert_eq!(told(Outcome::Abort, &[]), "CRITICAL: why|a: ABORT");
    }
}
