//! Whether a release comes to be ready, and what the operator says of it then.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::{SHOWN, STAGE, crashes, finding};
use crate::cluster::{Context, Investigate, Object, View, kinds};
use crate::delivery::{self, Untrue, unmet, untrue};
use crate::gate::causes::{Clue, held};
use crate::record::{Blocker, Finding};
use crate::stack::{OPERATOR_NAMESPACE, Release};

/// A release that cannot be fetched or read is tried again with growing pauses, at first of milliseconds.
const DOWNLOAD: Duration = Duration::from_secs(90);
/// The operator knows at once that it lacks a variable, and looks again every 5 s.
const CLIENT: Duration = Duration::from_secs(30);
/// By which variables the operator fetches releases (its own `credentials.go`, for each kind of place).
const VARIABLES: &str = "OCI_REGISTRY, OCI_REPOSITORY, OCI_USERNAME, OCI_PASSWORD, OCI_ACCESS_TOKEN, or GIT_PROVIDER, GIT_ORG_NAME, GIT_REPOSITORY_NAME, GIT_ACCESS_TOKEN";
/// A provider looks at its node images every 30 s: three times.
const PROVIDER: Duration = Duration::from_secs(90);
/// The operator writes what it tells of releases whenever one of them changes.
const COLUMNS: Duration = Duration::from_secs(60);
/// The cause that lies with how the operator was set up: nothing of the stack has been looked at then.
const UNABLE: &str = "operator-cannot-fetch";

/// Whether a cause says nothing about the stack.
pub(in crate::gate) fn is_of_its_setup(finding: &Finding) -> bool {
    finding.cause == UNABLE
}

/// Looks at what keeps a release from becoming ready.
pub(in crate::gate) struct Providing<'a> {
    pub(in crate::gate) context: &'a Context,
    pub(in crate::gate) view: &'a View,
    pub(in crate::gate) namespace: &'a str,
    pub(in crate::gate) release: &'a Release,
    /// Whether the operator fetches releases itself.
    pub(in crate::gate) fetches: bool,
    pub(in crate::gate) seen: Mutex<HashMap<String, Instant>>,
}

impl Investigate for Providing<'_> {
    fn investigate<'b>(&'b self, _: &'b [Blocker]) -> BoxFuture<'b, Option<Finding>> {
        let mut found = crashes(self.view);
        let tag = self.release.tag.to_string();
        let release = self
            .view
            .get(&kinds::CLUSTER_STACK_RELEASE, self.namespace, &tag);
        found.extend(release.iter().filter_map(|release| unable(release)));
        let unprovided = |release| unprovided(release, self.fetches);
        found.extend(release.as_deref().and_then(unprovided));
        found.extend(mistold(self.view, self.namespace, &self.release.class_name));
        let named = held(&self.seen, self.context, found);
        async move { named }.boxed()
    }
}

/// The False condition of an object that has one of these reasons.
fn told(object: &Object, kind: &str, reasons: &[&str]) -> Option<Blocker> {
    unmet(object).into_iter().find(|one| {
        one.condition == format!("{kind} False") && reasons.contains(&one.reason.as_str())
    })
}

/// The operator has not so much as asked for a release: it lacks a variable, or one is wrong.
pub(super) fn unable(object: &Object) -> Option<Clue> {
    let blocker = told(
        object,
        "AssetsClientAPIAvailable",
        &["FailedCreateAssetsClient"],
    )?;
    let message = format!(
        "the operator cannot ask for releases: {}; expected in its variables: {VARIABLES}",
        blocker.message
    );
    let found = finding(
        UNABLE,
        message,
        object.reference(),
        vec![blocker.to_string()],
    );
    Some(Clue::new(CLIENT, found))
}

/// The operator does not get hold of a release, or not back, as it says of an object that needs it: of `release`, or of
/// the one before, which a ClusterAddon names. Where it fetches releases itself, that it cannot says nothing about the
/// stack: stackgate has read them.
pub(super) fn unread(object: &Object, release: &str, fetches: bool) -> Option<Clue> {
    let reasons = ["IssueWithReleaseAssets", "ReleaseAssetsNotDownloadedYet"];
    let blocker = told(object, "ClusterStackReleaseDownloaded", &reasons)?;
    let before = object.str("/spec/clusterStack");
    let own = blocker.message.starts_with("release assets") || before.is_empty();
    let release = if own { release } else { before };
    let mut message = format!(
        "the operator cannot read release {release}: {}",
        blocker.message
    );
    // It says no more where there is no such release, and where nobody lets it in.
    if blocker.reason == "ReleaseAssetsNotDownloadedYet" {
        message.push_str(&format!(
            "; its log, in {OPERATOR_NAMESPACE}, tells why, and where `releases: remote` is set, it asks by its variables: {VARIABLES}"
        ));
    }
    let lines = vec![blocker.to_string()];
    let cause = if fetches && blocker.reason == "ReleaseAssetsNotDownloadedYet" {
        UNABLE
    } else {
        "release-not-downloaded"
    };
    let found = finding(cause, message, object.reference(), lines);
    Some(Clue::new(DOWNLOAD, found))
}

/// What the operator says of a release that it does not get ready (upstream `clusterstackrelease_controller.go`): one
/// that cannot be fetched stays as one that is not there yet, and what cannot be applied is told object by object.
pub(super) fn unprovided(release: &Object, fetches: bool) -> Option<Clue> {
    let name = release.name();
    if let Some(clue) = unread(release, name, fetches) {
        return Some(clue);
    }
    let reasons = ["FailedToApplyObjects", "ObjectsApplyingOngoing"];
    let blocker = told(release, "HelmChartApplied", &reasons)?;
    let resources = release.array("/status/resources").iter();
    let refused = resources.filter_map(|one| {
        let error = one["error"].as_str().filter(|error| !error.is_empty())?;
        let (kind, name) = (one["kind"].as_str()?, one["name"].as_str()?);
        Some(format!("{kind} {name}: {error}"))
    });
    let refused: Vec<String> = refused.take(SHOWN).collect();
    let why = refused.first().unwrap_or(&blocker.message);
    let message = format!("the operator cannot apply the class of release {name}: {why}");
    let mut lines = vec![blocker.to_string()];
    lines.extend(refused);
    let found = finding("class-not-applied", message, release.reference(), lines);
    Some(Clue::new(STAGE, found))
}

/// What the operator says of releases is not so, as far as it concerns the one of a class.
pub(super) fn mistold(view: &View, namespace: &str, class: &str) -> Vec<Clue> {
    let clue = |untrue: Untrue| {
        let hold = match untrue.cause {
            delivery::PROVIDER => PROVIDER,
            _ => COLUMNS,
        };
        let lines = vec![untrue.blocker.to_string()];
        let object = untrue.blocker.object;
        let way = untrue.blocker.condition;
        Clue::new(hold, finding(untrue.cause, untrue.message, object, lines)).by_way_of(way)
    };
    untrue(view, namespace, class)
        .into_iter()
        .map(clue)
        .collect()
}
