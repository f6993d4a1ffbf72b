//! scs-0215-v1 (draft): the certificates of the control plane last for a year at most, so that whoever
//! runs it has to renew them.
//!
//! kubeadm writes the validity of what it issues into its configuration in the cluster
//! (`certificateValidityPeriod`, since v1beta4 of its API); before that it was a year, always.

use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use serde_json::Value;

use crate::checks::judgement::{Judgement, problem};
use crate::checks::{Answer, Native, Parameters, Target, needs};

/// The check.
pub const CHECK: Native = Native {
    name: "scs-0215-certificate-validity",
    timeout: Duration::from_secs(30),
    parameters: Parameters::NONE,
    needs: &[needs::CONFIG_MAPS],
    run: |target| Box::pin(run(target)),
};

const MAP: &str = "kubeadm-config";
const FIELD: &str = "certificateValidityPeriod";
/// A year, as kubeadm counts it.
const YEAR: SignedDuration = SignedDuration::from_hours(365 * 24);

async fn run(target: &Target<'_>) -> Result<Answer> {
    let maps: Api<ConfigMap> = Api::namespaced(target.workload.clone(), "kube-system");
    let map = maps.get_opt(MAP).await;
    let map = map.with_context(|| format!("failed to get ConfigMap kube-system/{MAP}"))?;
    let data = map.and_then(|map| map.data);
    let text = data.and_then(|mut data| data.remove("ClusterConfiguration"));
    Ok(judge(text.as_deref())?.into())
}

/// Judges kubeadm's ClusterConfiguration.
fn judge(configuration: Option<&str>) -> Result<Judgement> {
    let Some(text) = configuration else {
        return Ok(Judgement::Skip(format!(
            "there is no ConfigMap kube-system/{MAP}: the control plane was not made by kubeadm"
        )));
    };
    let configuration: Value =
        serde_saphyr::from_str(text).context("failed to read kubeadm's ClusterConfiguration")?;
    let Some(told) = configuration[FIELD].as_str() else {
        return Ok(Judgement::Pass(format!("{FIELD} is kubeadm's own: a year")));
    };
    let period: SignedDuration = told
        .parse()
        .with_context(|| format!("{FIELD} is '{told}', no duration"))?;
    if period > YEAR {
        let what = format!("{FIELD} is {told}, longer than a year");
        let wrong = problem("workload", "ConfigMap", "kube-system", MAP, what);
        return Ok(Judgement::Fail(vec![wrong]));
    }
    Ok(Judgement::Pass(format!("{FIELD} is {told}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checks::health::fixtures::problems;

    fn told(period: &str) -> Result<Judgement> {
        let text = format!("kind: ClusterConfiguration\n{FIELD}: {period}\n");
        judge(Some(&text))
    }

    #[test]
    fn a_year_is_the_longest() {
        for good in ["8760h0m0s", "720h", "8759h59m59s"] {
            assert_eq!(problems(&told(good).unwrap()), "", "{good}");
        }
        let told_of = problems(&told("8760h0m1s").unwrap());
        assert!(
            told_of.contains("is 8760h0m1s, longer than a year"),
            "{told_of}"
        );
        assert_eq!(
            problems(&judge(Some("kind: ClusterConfiguration")).unwrap()),
            ""
        );
        assert!(matches!(judge(None), Ok(Judgement::Skip(_))));
        assert!(told("soon").is_err() && judge(Some("[")).is_err());
    }
}
