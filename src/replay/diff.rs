//! What changed between two moments, of one run or of two.

use std::collections::BTreeSet;

use anyhow::Result;

use super::pairs::{Called, called};
use super::terms::{fields, terms};
use crate::record::State;

/// More fields of an object that have no term of their own are only counted.
const FIELDS: usize = 6;

/// On which side an object is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Side {
    /// It is gone.
    Before,
    /// It is new.
    After,
    /// It is there on both, and these of its terms differ: name, before, after.
    Both(Vec<(String, String, String)>),
}

/// An object that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// `management` or `workload`.
    pub cluster: String,
    /// Its kind.
    pub kind: String,
    /// Namespace and name, without what was drawn.
    pub name: String,
    /// What became of it.
    pub side: Side,
}

/// What differs between two moments, by cluster, kind and name.
///
/// # Errors
/// When a recording is broken.
pub fn diff(before: &State, after: &State) -> Result<Vec<Change>> {
    let (before, after) = (called(before)?, called(after)?);
    let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let changes = names.into_iter().filter_map(|key| {
        let (cluster, kind, name) = key;
        Some(Change {
            cluster: cluster.clone(),
            kind: kind.clone(),
            name: name.clone(),
            side: side(&before, &after, key)?,
        })
    });
    Ok(changes.collect())
}

fn side(before: &Called, after: &Called, key: &(String, String, String)) -> Option<Side> {
    let (one, other) = match (before.get(key), after.get(key)) {
        (Some(one), Some(other)) => (one, other),
        (Some(_), None) => return Some(Side::Before),
        _ => return Some(Side::After),
    };
    let (said, says) = (terms(one), terms(other));
    let names: BTreeSet<&String> = said.keys().chain(says.keys()).collect();
    let mut differ: Vec<(String, String, String)> = Vec::new();
    for name in names {
        let (one, other) = (said.get(name), says.get(name));
        if one != other {
            let told = |value: Option<&String>| value.map_or("–", String::as_str).to_owned();
            differ.push((name.clone(), told(one), told(other)));
        }
    }
    let mut more = fields(one, other);
    if more.len() > FIELDS {
        let rest = more.len() - FIELDS;
        more.truncate(FIELDS);
        more.push((
            format!("{rest} more fields of its spec"),
            String::new(),
            String::new(),
        ));
    }
    differ.extend(more);
    (!differ.is_empty()).then_some(Side::Both(differ))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::record::{Clock, Id, Past, RECORDING, Recording, Redactor};

    async fn state(objects: &[(&str, &str, Value)]) -> State {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(RECORDING);
        let clock = Clock::starting_at(Timestamp::UNIX_EPOCH);
        let recording = Recording::create(&path, clock, Redactor::default()).unwrap();
        for (cluster, resource, object) in objects {
            let text = |field: &str| {
                object["metadata"][field]
                    .as_str()
                    .unwrap_or_default()
                    .to_owned()
            };
            let id = Id {
                cluster: (*cluster).to_owned(),
                resource: (*resource).to_owned(),
                namespace: text("namespace"),
                name: text("name"),
            };
            recording.object(id, object.clone());
        }
        recording.finish().unwrap();
        Past::open(&path).unwrap().at(0).unwrap()
    }

    fn cluster(run: &str, version: &str) -> (&'static str, &'static str, Value) {
        (
            "management",
            "clusters.cluster.x-k8s.io",
            json!({"kind": "Cluster",
            "metadata": {"name": format!("demo-{run}"), "namespace": format!("stackgate-{run}")},
            "spec": {"topology": {"version": version}}}),
        )
    }

    fn pod(name: &str, image: &str) -> (&'static str, &'static str, Value) {
        (
            "workload",
            "pods",
            json!({"kind": "Pod",
            "metadata": {"name": name, "namespace": "kube-system", "labels": {"pod-template-hash": "5d7"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "coredns-5d7"}]},
            "spec": {"containers": [{"name": "coredns", "image": image}]}}),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_drawn_is_no_difference_and_what_changed_is_told_in_terms() {
        let before = state(&[
            cluster("0000000a", "v1.34.3"),
            pod("coredns-5d7-abcde", "coredns:1"),
            pod("coredns-5d7-fghij", "coredns:1"),
        ])
        .await;
        let after = state(&[
            cluster("0000000b", "v1.35.0"),
            pod("coredns-5d7-klmno", "coredns:2"),
        ])
        .await;
        let told: Vec<String> = diff(&before, &after)
            .unwrap()
            .into_iter()
            .map(|change| {
                format!(
                    "{} {} {}: {:?}",
                    change.cluster, change.kind, change.name, change.side
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                r#"management Cluster <run>/<cluster>: Both([("version", "v1.34.3", "v1.35.0")])"#,
                r#"workload Pod kube-system/coredns: Both([("image of coredns", "coredns:1", "coredns:2")])"#,
                "workload Pod kube-system/coredns (2): Before",
            ]
        );
        assert!(diff(&before, &before).unwrap().is_empty());
    }
}
