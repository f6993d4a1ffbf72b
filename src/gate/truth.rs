//! Rendered against live, watched: whether the addons that a release renders are what the workload
//! cluster has, whoever says that they were applied.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube::Client;
use serde_json::Value;
use tokio::time::Instant;

use super::trouble::Trouble;
use crate::cluster::compare::compare;
use crate::cluster::{Applier, Context, Interrupted, Kind, Object, View, blind};
use crate::record::{Blocker, ObjectRef};
use crate::stack::ADDON_NAMESPACE;

/// How long to wait until a server that did not answer is asked again for its kinds.
const AGAIN: Duration = Duration::from_secs(1);

/// In which way an object is not what the release renders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It has fields of another release.
    Behind,
    /// It is not there, and was not there with the release before.
    Missing,
    /// It is not there any more.
    Deleted,
    /// It is there, though only the release before has it.
    Kept,
    /// It is still there, but on its way out.
    Leaving,
}

/// An object that is not what the release renders.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// In which way.
    pub wrong: Wrong,
    /// What it is and what differs.
    pub blocker: Blocker,
}

/// What a release is to look like on the workload cluster.
#[derive(Clone, Copy)]
pub struct Expected<'a> {
    /// The release's tag.
    pub tag: &'a str,
    /// What it renders.
    pub rendered: &'a [Value],
    /// What only the release before rendered.
    pub dropped: &'a [Value],
    /// All that the release before rendered.
    pub before: &'a [Value],
}

/// A live copy of the addons beside what a release renders.
pub struct Truth {
    view: View,
    tag: String,
    rendered: Vec<Rendered>,
    dropped: Vec<(Kind, Value)>,
}

/// An object that the release renders.
struct Rendered {
    /// Its kind, where that is served.
    kind: Option<Kind>,
    object: Value,
    /// Whether the release before had it.
    before: bool,
    /// What was compared last, and what differed. Hardly any object changes from one look to the next.
    compared: Mutex<Option<(Arc<Object>, Option<String>)>>,
}

impl Rendered {
    fn new(kind: Option<Kind>, object: Value, before: bool) -> Self {
        Self {
            kind,
            object,
            before,
            compared: Mutex::default(),
        }
    }

    /// The first difference of a live object.
    fn difference(&self, live: &Arc<Object>) -> Option<String> {
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        match &*compared {
            Some((known, told)) if Arc::ptr_eq(known, live) => told.clone(),
            _ => {
                let differing = compare(&self.object, &live.json);
                let told = differing.first().map(ToString::to_string);
                *compared = Some((live.clone(), told.clone()));
                told
            }
        }
    }
}

impl Truth {
    /// Starts to watch. Objects whose kinds are not served, or not told within `deadline` (scaled by the
    /// context), are left out unless `complete`: while a release is on its way, so may be the definitions
    /// that it brings.
    ///
    /// # Errors
    /// When the workload cluster does not tell its kinds in time, and all are asked for.
    pub async fn watch(
        context: &Context,
        client: &Client,
        expected: Expected<'_>,
        complete: bool,
        deadline: Duration,
    ) -> Result<Self, Trouble> {
        let until = Instant::now() + context.scaled(deadline);
        let applier = Applier::new("workload", client.clone());
        let mut rendered = Vec::new();
        let kind = async |object: &Value| match kind(context, &applier, object, until).await {
            Err(Trouble::Stack { .. }) if !complete => Ok(None),
            told => told,
        };
        for object in expected.rendered {
            let kind = kind(object).await?;
            let same = |other: &&Value| place(other) == place(object);
            let before = expected.before.iter().any(|other| same(&other));
            if complete || kind.is_some() {
                rendered.push(Rendered::new(kind, object.clone(), before));
            }
        }
        let mut dropped = Vec::new();
        for object in expected.dropped {
            let kind = kind(object).await?;
            dropped.extend(kind.map(|kind| (kind, object.clone())));
        }
        let mut kinds: Vec<&Kind> = rendered
            .iter()
            .filter_map(|one| one.kind.as_ref())
            .chain(dropped.iter().map(|(kind, _)| kind))
            .collect();
        kinds.sort();
        kinds.dedup();
        let watched: Vec<(Kind, &str)> = kinds.into_iter().map(|kind| (kind.clone(), "")).collect();
        Ok(Self {
            view: View::start("workload", client, &watched),
            tag: expected.tag.to_owned(),
            rendered,
            dropped,
        })
    }

    /// Wakes when something changes.
    pub const fn view(&self) -> &View {
        &self.view
    }

    /// What keeps the release from being all that there is; none when it is.
    pub fn blockers(&self) -> Vec<Blocker> {
        let mut found = blind(&self.view);
        found.extend(self.differences().into_iter().map(|one| one.blocker));
        found
    }

    /// Every object that is not what the release renders; none of a kind that cannot be watched now.
    pub fn differences(&self) -> Vec<Difference> {
        if !blind(&self.view).is_empty() {
            return Vec::new();
        }
        let mut found = Vec::new();
        for one in &self.rendered {
            let kind = one.kind.as_ref();
            let Some(live) = kind.and_then(|kind| self.live(kind, &one.object)) else {
                if !removes_itself(&one.object) {
                    found.push(missing(&one.object, kind.is_some(), one.before));
                }
                continue;
            };
            found.extend(one.difference(&live).map(|first| Difference {
                wrong: Wrong::Behind,
                blocker: live.blocker(first),
            }));
        }
        for (kind, object) in &self.dropped {
            if let Some(live) = self.live(kind, object) {
                let (wrong, what) = if live.is_deleting() {
                    (Wrong::Leaving, "being deleted".to_owned())
                } else {
                    let what = format!("still there, though {} does not have it", self.tag);
                    (Wrong::Kept, what)
                };
                let blocker = live.blocker(what);
                found.push(Difference { wrong, blocker });
            }
        }
        found
    }

    fn live(&self, kind: &Kind, object: &Value) -> Option<Arc<Object>> {
        let (_, namespace, name) = place(object);
        let get = |namespace: &str| self.view.get(kind, namespace, name);
        // The operator puts namespaced objects there whatever they say, and rendered ones may say nothing.
        get(namespace).or_else(|| get(ADDON_NAMESPACE))
    }
}

fn missing(object: &Value, served: bool, before: bool) -> Difference {
    let (kind, namespace, name) = place(object);
    let api_version = object["apiVersion"].as_str().unwrap_or_default();
    let what = if served {
        "missing".to_owned()
    } else {
        format!("missing: the API server does not serve its kind in {api_version}")
    };
    Difference {
        wrong: if before {
            Wrong::Deleted
        } else {
            Wrong::Missing
        },
        blocker: Blocker::new(ObjectRef::new("workload", kind, namespace, name), what),
    }
}

/// Kind, namespace and name.
fn place(object: &Value) -> (&str, &str, &str) {
    let metadata = &object["metadata"];
    (
        object["kind"].as_str().unwrap_or_default(),
        metadata["namespace"].as_str().unwrap_or_default(),
        metadata["name"].as_str().unwrap_or_default(),
    )
}

/// Whether an object is meant to vanish once it has done its work.
fn removes_itself(object: &Value) -> bool {
    object["kind"] == "Job" && !object["spec"]["ttlSecondsAfterFinished"].is_null()
}

async fn kind(
    context: &Context,
    applier: &Applier,
    object: &Value,
    until: Instant,
) -> Result<Option<Kind>, Trouble> {
    loop {
        match applier.kind(object).await {
            Ok(kind) => return Ok(kind),
            Err(error) if Instant::now() >= until => {
                // The workload cluster is the stack's own work.
                let message =
                    format!("failed to ask the workload cluster for its kinds: {error:#}");
                return Err(Trouble::stack(message));
            }
            Err(_) => tokio::select! {
                biased;
                () = context.interrupt.raised() => return Err(Interrupted.into()),
                () = tokio::time::sleep(AGAIN) => {}
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MAP: Kind = Kind::new("", "v1", "ConfigMap", "configmaps");

    fn map(name: &str, value: &str) -> Value {
        json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "kube-system"}, "data": {"a": value}})
    }

    #[test]
    fn each_way_to_be_wrong_is_told_apart() {
        let live = ["same", "behind", "dropped"].map(|name| (MAP, map(name, "1")));
        let truth = Truth {
            view: View::holding("workload", &live),
            tag: "docker-demo-1-35-v1".to_owned(),
            rendered: vec![
                Rendered::new(Some(MAP), map("same", "1"), true),
                Rendered::new(Some(MAP), map("behind", "2"), true),
                Rendered::new(Some(MAP), map("deleted", "1"), true),
                Rendered::new(None, map("missing", "1"), false),
            ],
            dropped: vec![(MAP, map("dropped", "1")), (MAP, map("gone", "1"))],
        };
        let told: Vec<_> = truth
            .differences()
            .into_iter()
            .map(|one| (one.wrong, one.blocker.to_string()))
            .collect();
        let expected = [
            (
                Wrong::Behind,
                "ConfigMap kube-system/behind: data.a is '1', the release says '2'",
            ),
            (Wrong::Deleted, "ConfigMap kube-system/deleted: missing"),
            (
                Wrong::Missing,
                "ConfigMap kube-system/missing: missing: the API server does not serve its kind in v1",
            ),
            (
                Wrong::Kept,
                "ConfigMap kube-system/dropped: still there, though docker-demo-1-35-v1 does not have it",
            ),
        ];
        assert_eq!(told, expected.map(|(wrong, text)| (wrong, text.to_owned())));
    }
}
