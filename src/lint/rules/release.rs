//! The files of a release: whether they are there, agree with each other, and render.

use std::path::{Path, PathBuf};

use super::super::finding::Found;
use super::super::rule::{OPERATOR, Rule, rules};
use super::super::subject::{Side, Subject};
use crate::stack::chart::ChartError;
use crate::stack::{Hashes, Pair, Place, Problem, Problems, Release, ReleaseError, ReleaseTag};

rules! {
    RELEASE_FILES = "release-files", Must, Anyone, OPERATOR, [],
        "a release's files are there, carry the names of its tag, and can be read",
        "the Cluster Stack Operator refuses a release whose files do not fit together, and does not download it again",
        "build the release anew; `expected` says what is missing";
    NODE_IMAGE_VERSION = "node-image-version", Must, Operator, OPERATOR, [],
        "metadata.yaml names the version of the node images",
        "the operator parses it before it validates anything, and refuses the release without it, although csctl may leave it out",
        "set versions.components.nodeImage, e.g. to v1";
    HOOK_UNKNOWN = "hook-unknown", Must, Operator, OPERATOR, ["l"],
        "every stage stands under a hook that runs stages",
        "only AfterControlPlaneInitialized and BeforeClusterUpgrade run stages; the handler of AfterClusterUpgrade does nothing",
        "move the stages under BeforeClusterUpgrade";
    STAGE_WITHOUT_CHART = "stage-without-chart", Must, Operator, OPERATOR, ["a"],
        "every stage has a chart in the addon archive",
        "the operator skips such a stage without a word, answers the hook, and nodes are replaced under old addons",
        "correct the stage's name, or add the chart";
    CHART_RENDERS = "chart-renders", Must, Anyone, "https://helm.sh/docs/helm/helm_template/", ["a"],
        "every chart renders for the Kubernetes of its release",
        "a chart that does not render is skipped at its hook, and the upgrade goes on without it",
        "correct the template or its values at the line that is named";
    DEPENDENCIES_VENDORED = "dependencies-vendored", Must, Anyone, "https://helm.sh/docs/topics/charts/#managing-dependencies-manually-via-the-charts-directory", ["a"],
        "the dependencies of every chart lie in its charts/",
        "what is not in the release has to be downloaded by the operator; without a network the stage is skipped without a word",
        "run `helm dependency build` before the release is packed";
    STACK_FITS = "stack-fits", Must, Anyone, "https://cluster-api.sigs.k8s.io/tasks/experimental-features/cluster-class/", [],
        "workers, variables and node images of stack.yaml fit both ClusterClasses",
        "Cluster API's webhooks refuse a Cluster that names what its class does not have",
        "change stack.yaml or the ClusterClass at the place that is named";
    VARIABLE_NEWLY_REQUIRED = "variable-newly-required", Must, Anyone, "https://cluster-api.sigs.k8s.io/tasks/experimental-features/cluster-class/write-clusterclass", [],
        "N+1 requires no variable without a default that N does not require",
        "a Cluster of N cannot be moved before it sets the variable; the class of N may refuse it, so no one patch does both",
        "give the variable a default, or make it optional for one release";
    ARCHIVE_AMBIGUOUS = "archive-ambiguous", Should, Operator, OPERATOR, [],
        "one archive alone answers to the name of each chart",
        "the operator takes the first .tgz whose name contains the one that it expects: v1 is contained in v10",
        "leave one archive for each chart in the release's folder";
    VALUES_UNUSED = "values-unused", May, Operator, OPERATOR, [],
        "no values file lies there that nobody reads",
        "beside clusteraddon.yaml the file cluster-addon-values.yaml is ignored: each chart has an overwrite.yaml of its own",
        "move what it says into the charts' overwrite.yaml, and remove it";
    HASHES_DIFFER = "hashes-differ", Should, Anyone, "https://github.com/SovereignCloudStack/csctl", [],
        "hashes.json, where there is one, is that of the release",
        "csctl compares it with the sources to say whether there is anything to release: of a wrong one a change is refused, or released as something else",
        "build the release anew from its sources";
    CHANGE_UNNOTICED = "change-unnoticed", Should, Anyone, "CS#264, CS#265", ["CS#264", "CS#265"],
        "what changes from one version to the next changes an addon or a node image, too",
        "csctl compares nothing else with the release before: in its stable mode it refuses a change of the class, of Kubernetes' patch or of the stages alone as no change, and nothing is released",
        "give csctl the versions in its custom mode, or build the release with `stackgate release build`";
    NODE_IMAGE_DECLARED = "node-image-declared", Should, Anyone, "https://github.com/SovereignCloudStack/cluster-stack-provider-openstack", [],
        "a release that declares node images declares one of its Kubernetes",
        "the provider's operator makes available what is declared, and nothing else: the image that new Machines need may not be there",
        "declare the image of this version in node-images.yaml, or in the class chart";
}

/// The rule by which a problem of reading is told.
fn rule_of(problem: &Problem) -> &'static Rule {
    let own = problem.rule.unwrap_or_default();
    let known = super::all().find(|rule| rule.id == own);
    known.unwrap_or(&RELEASE_FILES)
}

/// Tells why a release cannot be used.
pub(in crate::lint) fn unusable(
    tag: &ReleaseTag,
    release: Option<&Release>,
    error: ReleaseError,
    found: &mut Found,
) {
    match error {
        ReleaseError::Invalid { problems, .. } => {
            for problem in problems.0 {
                found.add(rule_of(&problem), tag, None, problem);
            }
        }
        ReleaseError::Render { what, source, .. } => {
            let missing = matches!(*source, ChartError::MissingDependencies { .. });
            let rule = if missing {
                &DEPENDENCIES_VENDORED
            } else {
                &CHART_RENDERS
            };
            found.add(rule, tag, None, failed(tag, release, &what, &source));
        }
    }
}

/// A failure to render, at the place that it names itself.
fn failed(tag: &ReleaseTag, release: Option<&Release>, what: &str, error: &ChartError) -> Problem {
    let (file, place, message) = match error {
        ChartError::Template(error) => (
            error.file.clone(),
            Some((error.line, error.column)),
            error.message.clone(),
        ),
        // Its line counts in what was rendered, which nobody has.
        ChartError::File { file, message, .. } => (file.clone(), None, message.clone()),
        other => (tag.to_string(), None, other.to_string()),
    };
    let message = format!("{what} does not render: {message}");
    let written = release.and_then(|release| written(release, &file));
    let Some((path, text)) = written else {
        return Problem::new(Path::new(&file), message);
    };
    let place = place.map(|(line, column)| {
        let before = text.split_inclusive('\n').take(line.saturating_sub(1));
        let start: usize = before.map(str::len).sum();
        let line = text[start..].chars().take(column.saturating_sub(1));
        let offset = start + line.map(char::len_utf8).sum::<usize>();
        Place::new(&text.into(), offset, 1)
    });
    Problem::new(&path, message).at(place)
}

/// A template of a release by the name that the renderer has for it: its path, and its text.
fn written<'a>(release: &'a Release, file: &str) -> Option<(PathBuf, &'a str)> {
    let inside = |archive: PathBuf| PathBuf::from(format!("{}:{file}", archive.display()));
    let class = format!("{}/", release.class_chart.name());
    if let Some(text) = release
        .class_chart
        .text_of(file)
        .filter(|_| file.starts_with(&class))
    {
        return Some((inside(release.class_file()), text));
    }
    release.addons.charts().find_map(|(_, addon)| {
        let overwrite = addon.overwrite.as_ref();
        let values = overwrite.filter(|one| one.file.display().to_string() == file);
        match values {
            Some(values) => Some((values.file.clone(), values.text.as_str())),
            None => {
                let own = file.starts_with(&format!("{}/", addon.chart.name()));
                let text = addon.chart.text_of(file).filter(|_| own)?;
                Some((inside(release.addon_file()), text))
            }
        }
    })
}

/// Tells what of stack.yaml does not fit a pair.
pub(in crate::lint) fn unfit(pair: &Pair, problems: Problems, found: &mut Found) {
    for problem in problems.0 {
        let tag = if problem.message.contains(&pair.from.class_name) {
            &pair.from.tag
        } else {
            &pair.to.tag
        };
        let rule = match problem.rule {
            Some("variable-required") if tag == &pair.to.tag && tag != &pair.from.tag => {
                &VARIABLE_NEWLY_REQUIRED
            }
            Some("kubernetes-step") => &super::versions::KUBERNETES_STEP,
            _ => &STACK_FITS,
        };
        found.add(rule, tag, None, problem);
    }
}

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    let mut told = Vec::new();
    for side in [subject.from, subject.to] {
        ambiguous(side, found);
        let values = side.release.folder.join("cluster-addon-values.yaml");
        if side.release.addons.is_staged() && values.is_file() {
            let problem = Problem::new(&values, "nobody reads this file");
            found.add(&VALUES_UNUSED, &side.release.tag, None, problem);
        }
        let hashes = side.release.hashes();
        let hashes = hashes.and_then(|own| {
            let Some(own) = own else {
                return Ok(Problems::default());
            };
            let doubts = side.release.compare(&own)?;
            told.push(own);
            Ok(doubts)
        });
        let hashes = hashes.unwrap_or_else(|wrong| wrong);
        let images = side.release.node_images().err().unwrap_or_default();
        for (rule, problems) in [(&HASHES_DIFFER, hashes), (&NODE_IMAGE_DECLARED, images)] {
            for problem in problems.0 {
                found.add(rule, &side.release.tag, None, problem);
            }
        }
    }
    if let [before, after] = &told[..] {
        unnoticed(subject, before, after, found);
    }
}

/// A change that csctl does not see when it makes N+1 after N.
fn unnoticed(subject: &Subject<'_>, before: &Hashes, after: &Hashes, found: &mut Found) {
    let (from, to) = (&subject.from.release.tag, &subject.to.release.tag);
    let has_changed = before.cluster_stack != after.cluster_stack;
    if to.follows(from) && has_changed && !after.is_noticed_after(before) {
        let message = format!("to csctl these sources are those of {from}, and they are not");
        let problem = Problem::new(&subject.to.release.folder.join("hashes.json"), message);
        let expected = format!("other addons or node images than those of {from}");
        found.add(&CHANGE_UNNOTICED, to, None, problem.expected(expected));
    }
}

/// Archives whose names contain that of another.
fn ambiguous(side: &Side<'_>, found: &mut Found) {
    let entries = std::fs::read_dir(&side.release.folder);
    let names = entries.into_iter().flatten().flatten();
    let mut names: Vec<String> = names
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.ends_with(".tgz"))
        .collect();
    names.sort();
    for expected in [side.release.class_file(), side.release.addon_file()] {
        let stem = expected.file_stem().unwrap_or_default().to_string_lossy();
        let own = expected.file_name().unwrap_or_default().to_string_lossy();
        let others: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|name| name.contains(&*stem) && *name != own)
            .collect();
        if !others.is_empty() {
            let message = format!("{} may be taken for it", others.join(", "));
            let problem = Problem::new(&expected, message);
            found.add(&ARCHIVE_AMBIGUOUS, &side.release.tag, None, problem);
        }
    }
}
