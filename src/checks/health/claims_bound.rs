//! `claims-bound`: no PersistentVolumeClaim that had its volume has lost it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use crate::checks::judgement::{Judgement, settle};
use crate::checks::{Answer, Native, Parameters, Target, needs, sandbox};
use crate::cluster::{Kind, Object};
use crate::record::Blocker;

const NAME: &str = "claims-bound";

/// The check.
pub const CHECK: Native = Native {
    name: NAME,
    timeout: Duration::from_secs(60),
    parameters: Parameters::NONE,
    needs: &[needs::CLAIMS, needs::VOLUMES],
    run: |target| Box::pin(run(target)),
};

/// A claim and its volume are watched apart, and may be seen one after the other.
const SETTLE: Duration = Duration::from_secs(15);
const CLAIM: Kind = Kind::new("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
const VOLUME: Kind = Kind::new("", "v1", "PersistentVolume", "persistentvolumes");

async fn run(target: &Target<'_>) -> Result<Answer> {
    let view = target.view(&[(CLAIM, ""), (VOLUME, "")]);
    settle(target, NAME, SETTLE, &[&view], || {
        judge(&view.list(&CLAIM), &view.list(&VOLUME))
    })
    .await
}

fn judge(claims: &[Arc<Object>], volumes: &[Arc<Object>]) -> Judgement {
    let volumes: BTreeMap<&str, &Arc<Object>> = volumes
        .iter()
        .map(|volume| (volume.name(), volume))
        .collect();
    let bound: Vec<&Arc<Object>> = claims
        .iter()
        // One that never had a volume is another matter: it may wait for its first pod.
        .filter(|claim| !claim.is_deleting() && !claim.str("/spec/volumeName").is_empty())
        .filter(|claim| !sandbox::is_name(claim.namespace()))
        .collect();
    if bound.is_empty() {
        return Judgement::Skip("no PersistentVolumeClaim has a volume".to_owned());
    }
    let problems = bound.iter().filter_map(|claim| lost(claim, &volumes));
    Judgement::unless(problems.collect(), || {
        format!("{} with its volume", super::count(bound.len(), "claim"))
    })
}

fn lost(claim: &Object, volumes: &BTreeMap<&str, &Arc<Object>>) -> Option<Blocker> {
    let name = claim.str("/spec/volumeName");
    let Some(volume) = volumes.get(name) else {
        return Some(claim.blocker(format!("its volume {name} does not exist any more")));
    };
    let owner = volume.str("/spec/claimRef/uid");
    if owner != claim.str("/metadata/uid") {
        return Some(claim.blocker(format!("its volume {name} is another claim's")));
    }
    let phase = claim.str("/status/phase");
    (phase == "Lost").then(|| claim.blocker(format!("phase Lost, of volume {name}")))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::checks::health::fixtures::{object, with};

    fn claim() -> Arc<Object> {
        object(json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": "data", "namespace": "shop", "uid": "u1"},
            "spec": {"volumeName": "pv-1"}, "status": {"phase": "Bound"}}))
    }

    fn volume() -> Arc<Object> {
        object(
            json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "pv-1"},
            "spec": {"claimRef": {"uid": "u1"}}, "status": {"phase": "Bound"}}),
        )
    }

    #[test]
    fn a_claim_with_its_volume_passes_and_one_without_any_is_not_asked() {
        let passed = Judgement::Pass("1 claim with its volume".to_owned());
        assert_eq!(judge(&[claim()], &[volume()]), passed);
        let pending = with(&claim(), "/spec/volumeName", Value::Null);
        assert!(matches!(judge(&[pending], &[]), Judgement::Skip(_)));
        let checks_own = with(&claim(), "/metadata/namespace", json!("stackgate-check-1"));
        assert!(matches!(judge(&[checks_own], &[]), Judgement::Skip(_)));
    }

    #[test]
    fn a_volume_that_is_gone_lost_or_another_claims_fails() {
        let other = with(&volume(), "/spec/claimRef/uid", json!("u2"));
        let lost = with(&claim(), "/status/phase", json!("Lost"));
        for (claim, volumes, said) in [
            (claim(), vec![], "its volume pv-1 does not exist any more"),
            (claim(), vec![other], "its volume pv-1 is another claim's"),
            (lost, vec![volume()], "phase Lost, of volume pv-1"),
        ] {
            let Judgement::Fail(problems) = judge(&[claim], &volumes) else {
                panic!("{said}")
            };
            assert_eq!(problems[0].condition, said);
        }
    }
}
