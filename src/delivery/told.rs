//! What the operator says of releases, held against the objects that it says it of: a release may be called ready
//! after its provider's object is not, and the columns of a ClusterStack may name others than those that are ready.

use crate::cluster::{Kind, Object, View, blind, kinds};
use crate::record::{Blocker, ObjectRef};
use crate::stack::ReleaseTag;

/// A release is ready, and the object of the provider of node images that it stands on is not, or not there.
pub const PROVIDER: &str = "provider-object-not-ready";
/// USABLE or LATEST of a ClusterStack is not what its ready releases make of it.
pub const COLUMNS: &str = "stack-columns-wrong";

/// Something that the operator says and is not so.
pub struct Untrue {
    /// [`PROVIDER`] or [`COLUMNS`].
    pub cause: &'static str,
    /// What is wrong, what was expected, and what to do.
    pub message: String,
    /// Where it is wrong.
    pub blocker: Blocker,
}

/// What the operator says in a namespace and is not so; nothing of what cannot be watched now. `class` is that of the
/// release that what is under way stands on: the provider may have let go of another's node images.
#[must_use]
pub fn untrue(view: &View, namespace: &str, class: &str) -> Vec<Untrue> {
    if !blind(view).is_empty() {
        return Vec::new();
    }
    let mut releases = view.list(&kinds::CLUSTER_STACK_RELEASE);
    releases.retain(|release| release.namespace() == namespace && is_ready(release));
    let own = releases.iter().filter(|release| {
        let tag = release.name().parse::<ReleaseTag>();
        tag.is_ok_and(|tag| tag.class_name() == class)
    });
    let mut found: Vec<Untrue> = own
        .filter_map(|release| unprovided(view, release))
        .collect();
    for stack in view.list(&kinds::CLUSTER_STACK) {
        let own = releases.iter().filter(|release| is_of(release, &stack));
        let own: Vec<&Object> = own.map(|release| &**release).collect();
        if stack.namespace() == namespace {
            found.extend(miscounted(&stack, &own));
        }
    }
    found
}

fn is_ready(object: &Object) -> bool {
    object.bool("/status/ready")
}

fn is_of(release: &Object, stack: &Object) -> bool {
    let mut owners = release.array("/metadata/ownerReferences").iter();
    owners.any(|owner| owner["kind"] == "ClusterStack" && owner["name"] == stack.name())
}

/// A ready release whose provider's object is not.
fn unprovided(view: &View, release: &Object) -> Option<Untrue> {
    let said = |field: &str| release.str(&format!("/spec/providerRef/{field}"));
    let kind = provided(said("apiVersion"), said("kind"))?;
    let (namespace, name) = (release.namespace(), said("name"));
    let (blocker, what) = match view.get(&kind, namespace, name) {
        None => {
            let place = ObjectRef::new(view.cluster(), &kind.kind, namespace, name);
            (Blocker::new(place, "missing"), "is not there".to_owned())
        }
        Some(object) if is_ready(&object) => return None,
        Some(object) => {
            let mut blocker = object.blocker("status.ready is not true");
            let mut what = "is not ready".to_owned();
            if let Some(says) = object
                .unless_true("Ready")
                .filter(|_| object.condition("Ready").is_some())
            {
                what = format!("is not ready: {}: {}", says.reason, says.message);
                blocker = Blocker {
                    condition: blocker.condition,
                    ..says
                };
            }
            (blocker, what)
        }
    };
    let message = format!(
        "{} is ready, and {} {what} (cluster-stack-operator#59): expected status.ready true, for the node images of the \
         release come from it; look at what its controller says, and let it have them again",
        release.reference(),
        blocker.object,
    );
    Some(Untrue {
        cause: PROVIDER,
        message,
        blocker,
    })
}

/// The kind of a provider's objects, called as such kinds are: in lower case, with an `s`.
pub(super) fn provided(api_version: &str, kind: &str) -> Option<Kind> {
    let (group, version) = api_version.split_once('/')?;
    (!kind.is_empty()).then(|| Kind {
        group: group.to_owned().into(),
        version: version.to_owned().into(),
        kind: kind.to_owned().into(),
        plural: format!("{}s", kind.to_lowercase()).into(),
    })
}

/// The columns of a ClusterStack beside those of its releases that are ready.
fn miscounted(stack: &Object, ready: &[&Object]) -> Option<Untrue> {
    let tags: Option<Vec<ReleaseTag>> = ready.iter().map(|one| one.name().parse().ok()).collect();
    let tags = tags?;
    let sorted = |mut all: Vec<String>| {
        all.sort();
        all.join(", ")
    };
    // In no order: the operator lists them as its cache does.
    let usable = stack.str("/status/usableVersions");
    let told = usable.split(", ").filter(|one| !one.is_empty());
    let told = sorted(told.map(str::to_owned).collect());
    let wanted = sorted(tags.iter().map(|tag| tag.version.dotted()).collect());
    let wrong = |column: &str, field: &str, said: &str, expected: &str| {
        let blocker = stack.blocker(format!("status.{field} is '{said}', not '{expected}'"));
        let message = format!(
            "{} says {column} '{said}', expected '{expected}' of its ClusterStackReleases that are ready \
             (cluster-stack-operator#57, #221): whoever goes by that column takes another release; go by the \
             ClusterStackReleases, and by an operator that counts them right",
            stack.reference(),
        );
        Some(Untrue {
            cause: COLUMNS,
            message,
            blocker,
        })
    };
    if told != wanted {
        return wrong("USABLE", "usableVersions", usable, &wanted);
    }
    let over = |tag: &ReleaseTag| {
        let mut all = tags.iter();
        all.all(|one| one == tag || one.version.precedes(&tag.version))
    };
    // Versions of several channels have no order, and the operator takes any of them.
    let ordered = tags.iter().any(over);
    let latest = tags.iter().zip(ready);
    let latest = latest.filter(|(tag, _)| !ordered || over(tag));
    let latest = latest.map(|(tag, release)| {
        let kubernetes = release.str("/status/kubernetesVersion");
        format!("{} | {kubernetes}", tag.class_name())
    });
    let latest: Vec<String> = latest.collect();
    let said = stack.str("/status/latestRelease");
    match latest.first() {
        Some(expected) if !latest.iter().any(|one| one == said) => {
            wrong("LATEST", "latestRelease", said, expected)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const PROVIDERS: &str = "infrastructure.clusterstack.x-k8s.io/v1alpha1";
    const IMAGES: &str = "OpenStackClusterStackRelease";

    fn release(name: &str, ready: bool) -> (Kind, Value) {
        let owner = json!([{"kind": "ClusterStack", "name": "openstack-scs-1-34"}]);
        let json = json!({
            "kind": "ClusterStackRelease", "metadata": {"name": name, "namespace": "n", "ownerReferences": owner},
            "spec": {"providerRef": {"apiVersion": PROVIDERS, "kind": IMAGES, "name": name}},
            "status": {"ready": ready, "kubernetesVersion": "v1.34.3"}});
        (kinds::CLUSTER_STACK_RELEASE, json)
    }

    fn images(name: &str, status: Value) -> (Kind, Value) {
        let json =
            json!({"kind": IMAGES, "metadata": {"name": name, "namespace": "n"}, "status": status});
        (provided(PROVIDERS, IMAGES).unwrap(), json)
    }

    fn stack(usable: &str, latest: &str) -> (Kind, Value) {
        let json = json!({"kind": "ClusterStack", "metadata": {"name": "openstack-scs-1-34", "namespace": "n"},
            "status": {"usableVersions": usable, "latestRelease": latest}});
        (kinds::CLUSTER_STACK, json)
    }

    fn told(objects: &[(Kind, Value)]) -> Vec<(&'static str, String)> {
        of(objects, "openstack-scs-1-34-v1")
    }

    /// What is untrue to what stands on a class.
    fn of(objects: &[(Kind, Value)], class: &str) -> Vec<(&'static str, String)> {
        let view = View::holding("management", objects);
        let found = untrue(&view, "n", class).into_iter();
        found
            .map(|one| (one.cause, one.blocker.to_string()))
            .collect()
    }

    #[test]
    fn a_ready_release_stands_on_a_provider_object_that_is_ready_issue_7() {
        let name = "openstack-scs-1-34-v1";
        let given = |ready, status| told(&[release(name, ready), images(name, status)]);
        assert!(given(true, json!({"ready": true})).is_empty());
        // What is not ready yet is waited for.
        assert!(given(false, json!({})).is_empty());
        let said = |text: &str| vec![(PROVIDER, format!("{IMAGES} n/{name}: {text}"))];
        assert_eq!(given(true, json!({})), said("status.ready is not true"));
        let condition = json!({"type": "Ready", "status": "False", "reason": "ProcessOngoing", "message": "no image"});
        let found = given(true, json!({"ready": false, "conditions": [condition]}));
        assert_eq!(
            found,
            said("status.ready is not true, ProcessOngoing: no image")
        );
        assert_eq!(told(&[release(name, true)]), said("missing"));
    }

    #[test]
    fn only_the_release_that_is_stood_on_has_to_have_its_node_images_issue_7() {
        let names = ["openstack-scs-1-34-v1", "openstack-scs-1-35-v0-sha-abc1234"];
        for (lost, kept, class, other) in [
            (
                names[0],
                names[1],
                names[0],
                "openstack-scs-1-35-v0-sha.abc1234",
            ),
            (
                names[1],
                names[0],
                "openstack-scs-1-35-v0-sha.abc1234",
                names[0],
            ),
        ] {
            let objects = [
                release(lost, true),
                images(lost, json!({})),
                release(kept, true),
                images(kept, json!({"ready": true})),
            ];
            let said = format!("{IMAGES} n/{lost}: status.ready is not true");
            assert_eq!(of(&objects, class), [(PROVIDER, said)]);
            assert_eq!(of(&objects, other), []);
        }
    }

    #[test]
    fn columns_are_what_the_ready_releases_make_of_them_issue_7() {
        let counted = |names: &[&str], usable: &str, latest: &str| {
            let mut objects = vec![stack(usable, latest)];
            for name in names {
                objects.extend([release(name, true), images(name, json!({"ready": true}))]);
            }
            objects.push(release("openstack-scs-1-34-v9", false));
            told(&objects)
        };
        let (one, two) = ("openstack-scs-1-34-v1", "openstack-scs-1-34-v2");
        assert!(counted(&[], "", "").is_empty());
        assert!(counted(&[one], "v1", "openstack-scs-1-34-v1 | v1.34.3").is_empty());
        for usable in ["v1, v2", "v2, v1"] {
            assert!(counted(&[one, two], usable, "openstack-scs-1-34-v2 | v1.34.3").is_empty());
        }
        let hash = "openstack-scs-1-34-v0-sha-abc1234";
        let dotted = "openstack-scs-1-34-v0-sha.abc1234 | v1.34.3";
        assert!(counted(&[hash], "v0-sha.abc1234", dotted).is_empty());
        // Of several channels any may be called the latest, but none that is not there.
        let mixed = |latest| counted(&[hash, one, two], "v0-sha.abc1234, v1, v2", latest);
        for latest in [dotted, "openstack-scs-1-34-v1 | v1.34.3"] {
            assert!(mixed(latest).is_empty());
        }
        assert_eq!(mixed("openstack-scs-1-34-v3 | v1.34.3").len(), 1);
        for (names, usable, latest, said) in [
            (
                &[one, two][..],
                "v1, v1",
                "openstack-scs-1-34-v2 | v1.34.3",
                "status.usableVersions is 'v1, v1', not 'v1, v2'",
            ),
            (
                &[one, two],
                "v1, v2",
                "openstack-scs-1-34-v1 | v1.34.3",
                "status.latestRelease is 'openstack-scs-1-34-v1 | v1.34.3', not 'openstack-scs-1-34-v2 | v1.34.3'",
            ),
            (
                &[hash],
                "v0-sha-abc1234",
                dotted,
                "status.usableVersions is 'v0-sha-abc1234', not 'v0-sha.abc1234'",
            ),
            (
                &[hash],
                "v0-sha.abc1234",
                "openstack-scs-1-34-v0-sha-abc1234 | v1.34.3",
                "status.latestRelease is 'openstack-scs-1-34-v0-sha-abc1234 | v1.34.3', not 'openstack-scs-1-34-v0-sha.abc1234 | v1.34.3'",
            ),
            (&[one], "", "", "status.usableVersions is '', not 'v1'"),
        ] {
            let expected = format!("ClusterStack n/openstack-scs-1-34: {said}");
            assert_eq!(
                counted(names, usable, latest),
                [(COLUMNS, expected)],
                "{usable}, {latest}"
            );
        }
    }
}
