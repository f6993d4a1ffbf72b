//! Definitions of custom resources: versions that go while objects are kept or spoken to in them.

use serde_json::Value;

use super::super::finding::Found;
use super::super::identity::{by_identity, list, reference, text};
use super::super::rule::rules;
use super::super::subject::Subject;

const VERSIONS: &str = "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/";

rules! {
    DEFINITION_VERSION_DROPPED = "definition-version-dropped", Must, Anyone, VERSIONS, [],
        "a definition keeps the version that objects are stored in",
        "the API server refuses a definition without a version of status.storedVersions, and what was stored could not be read any more",
        "keep the version, not served, until a release after the objects were migrated";
    DEFINITION_VERSION_UNSERVED = "definition-version-unserved", Should, Anyone, VERSIONS, [],
        "a definition serves every version that N serves",
        "whoever speaks to the objects in that version, users' manifests and controllers among them, fails",
        "serve both versions for one release, and mark the old one deprecated";
}

fn versions<'a>(definition: &'a Value, flag: &'a str) -> impl Iterator<Item = &'a str> {
    let all = list(definition, "/spec/versions").iter();
    all.filter(move |version| version[flag] == true)
        .map(|version| text(version, "/name"))
}

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    let (from, to) = (subject.from, subject.to);
    let before = by_identity(from.definitions());
    for (id, new) in by_identity(to.definitions()) {
        let Some(old) = before.get(&id) else { continue };
        let kept = |version: &str| {
            let all = list(&new.object, "/spec/versions").iter();
            all.clone().any(|one| one["name"] == version)
        };
        let served = |version: &str| versions(&new.object, "served").any(|one| one == version);
        let object = || Some(reference(&new.object));
        for stored in versions(&old.object, "storage").filter(|version| !kept(version)) {
            let message = format!(
                "version {stored} is gone, which {} stores objects in",
                from.release.tag
            );
            let problem = to.problem(new, &["spec", "versions"], message);
            found.add(
                &DEFINITION_VERSION_DROPPED,
                &to.release.tag,
                object(),
                problem,
            );
        }
        for version in versions(&old.object, "served").filter(|version| !served(version)) {
            let message = format!("version {version} is served no more");
            let problem = to.problem(new, &["spec", "versions"], message);
            found.add(
                &DEFINITION_VERSION_UNSERVED,
                &to.release.tag,
                object(),
                problem,
            );
        }
    }
}
