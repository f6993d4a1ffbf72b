//! Images: whether they are fixed, known to the stack file, and of the Kubernetes that the release is of.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::finding::Found;
use super::super::identity::reference;
use super::super::rule::rules;
use super::super::subject::Subject;
use super::release::NODE_IMAGE_DECLARED;
use crate::stack::{Image, Version};

const IMAGES: &str = "https://kubernetes.io/docs/concepts/containers/images/#image-names";

rules! {
    IMAGE_UNPINNED = "image-unpinned", Should, Anyone, IMAGES, [],
        "every image has a tag other than latest, or a digest",
        "what runs is decided when a node pulls it: nodes of one cluster run different things, and what was tested is not what is installed",
        "name a version or a digest";
    IMAGE_UNLISTED = "image-unlisted", May, Anyone, IMAGES, [],
        "stack.yaml lists the images of the addons",
        "an image that is not listed is not looked for before the run: that it does not exist shows on the cluster, minutes later",
        "add it to spec.images of stack.yaml";
    NODE_IMAGE_STALE = "node-image-stale", Must, Anyone, "https://cluster-api.sigs.k8s.io/reference/versions", [],
        "the class names the node image of its release's Kubernetes",
        "a node of another version than the topology asks for never counts as up to date, so the upgrade does not end",
        "name the image that stack.yaml has for this version";
}

/// The images of all containers in an object, wherever its Pods are described.
pub(super) fn images(object: &Value) -> Vec<Image<'_>> {
    let mut found = Vec::new();
    collect(object, &mut found);
    found
}

fn collect<'a>(value: &'a Value, found: &mut Vec<Image<'a>>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if matches!(key.as_str(), "containers" | "initContainers") {
                    let containers = value.as_array().into_iter().flatten();
                    let images = containers.filter_map(|one| one["image"].as_str());
                    found.extend(images.map(Image::parse));
                } else {
                    collect(value, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, found)),
        _ => {}
    }
}

pub(super) fn check(subject: &Subject<'_>, found: &mut Found) {
    let listed: BTreeSet<&str> = subject
        .stack
        .spec
        .images
        .iter()
        .map(|one| one.as_str())
        .collect();
    for side in [subject.from, subject.to] {
        for item in side.addons() {
            let object = || Some(reference(&item.object));
            let tag = &side.release.tag;
            let mut told = BTreeSet::new();
            for image in images(&item.object) {
                let (whole, name) = (image.whole, image.name);
                if !told.insert(whole) {
                    continue;
                }
                // The name is what a template that takes the tag from its values still shows.
                let keys = ["containers", "image"];
                if image.digest.is_none() && matches!(image.tag, None | Some("latest" | "")) {
                    let message = format!("image {whole} is not fixed");
                    let problem = side.problem(item, &keys, message);
                    let problem = problem.expected(format!("a version of {name}"));
                    found.add(&IMAGE_UNPINNED, tag, object(), problem);
                } else if !listed.contains(whole) {
                    let message = format!("stack.yaml does not list image {whole}");
                    let problem = side.problem(item, &keys, message);
                    found.add(&IMAGE_UNLISTED, tag, object(), problem);
                }
            }
        }
    }
    nodes(subject, found);
    downloads(subject, found);
}

/// Node images that the class has downloaded: of which Kubernetes, and whether what comes is looked at.
fn downloads(subject: &Subject<'_>, found: &mut Found) {
    for side in [subject.from, subject.to] {
        let (tag, wanted) = (&side.release.tag, side.release.kubernetes_version);
        let items = side.class.iter();
        let downloaded = items.filter_map(|item| {
            let download = item.object.pointer("/spec/resource/content/download")?;
            Some((item, download, download["url"].as_str()?))
        });
        for (item, download, url) in downloaded {
            let object = || Some(reference(&item.object));
            let keys = ["spec", "resource", "content", "download"];
            if download["hash"].is_null() {
                let message = format!("what is downloaded from {url} is not fixed");
                let problem = side.problem(item, &keys, message).expected("its hash");
                found.add(&IMAGE_UNPINNED, tag, object(), problem);
            }
            let is_wanted = Version::all_in(url).any(|version| version == wanted);
            if let Some(other) = Version::all_in(url).next_back().filter(|_| !is_wanted) {
                let message = format!("{url} is a node image of Kubernetes {other}");
                let problem = side.problem(item, &keys, message);
                let problem = problem.expected(format!("one of {wanted}"));
                found.add(&NODE_IMAGE_DECLARED, tag, object(), problem);
            }
        }
    }
}

/// Node images of another version than that of the release.
fn nodes(subject: &Subject<'_>, found: &mut Found) {
    let known = &subject.stack.spec.node_images;
    for side in [subject.from, subject.to] {
        let version = side.release.kubernetes_version;
        let Some(expected) = known.get(&version) else {
            continue;
        };
        let wanted = Image::parse(expected.as_str());
        for item in &side.class {
            let mut texts = Vec::new();
            strings(&item.object["spec"], &mut texts);
            let stale = texts.into_iter().find(|text| {
                let image = Image::parse(text);
                // Another image for the same Kubernetes is one that stack.yaml lists beside it.
                let other = image
                    .tag
                    .is_some_and(|tag| tag.starts_with(&version.to_string()))
                    && subject
                        .stack
                        .spec
                        .images
                        .iter()
                        .any(|one| one.as_str() == image.whole);
                image.repository == wanted.repository && image.tag != wanted.tag && !other
            });
            if let Some(stale) = stale {
                let message = format!("node image {stale} is not that of Kubernetes {version}");
                let problem = side.problem(item, &["spec", "customImage"], message);
                let problem = problem.expected(expected.as_str());
                let object = Some(reference(&item.object));
                found.add(&NODE_IMAGE_STALE, &side.release.tag, object, problem);
            }
        }
    }
}

fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Object(fields) => fields.values().for_each(|one| strings(one, found)),
        Value::Array(items) => items.iter().for_each(|one| strings(one, found)),
        _ => {}
    }
}
