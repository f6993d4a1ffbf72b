//! `node-images.yaml`: the node images that a release declares, for whoever provides them on its infrastructure.

use serde::Deserialize;
use serde_json::Value;

use super::Release;
use crate::stack::problem::Problems;
use crate::stack::values::Version;
use crate::stack::yaml::Source;

/// Its name in a release.
pub(crate) const NODE_IMAGES: &str = "node-images.yaml";
/// With what its apiVersion ends, after the provider's name.
const API_GROUP: &str = ".infrastructure.clusterstack.x-k8s.io/v1alpha1";

/// A node image that a release declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    pub name: String,
    /// From where it is taken, where that is told.
    pub url: Option<String>,
}

/// The providers whose lists are known.
const KNOWN: [&str; 2] = ["docker", "openstack"];

/// The file: a list under another name for each provider. Unknown fields are tolerated: the format is not ours.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    api_version: String,
    /// Names.
    #[serde(default)]
    docker_images: Vec<String>,
    #[serde(default)]
    open_stack_node_images: Vec<Uploaded>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Uploaded {
    url: String,
    create_opts: CreateOpts,
}

#[derive(Debug, Deserialize)]
struct CreateOpts {
    name: String,
}

impl NodeImage {
    /// The versions in its name, or in the name of what is taken for it: that of Kubernetes, if any, and others.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        let url = self.url.as_deref().unwrap_or_default();
        let named: Vec<Version> = Version::all_in(&self.name).collect();
        if named.is_empty() {
            Version::all_in(url).collect()
        } else {
            named
        }
    }

    /// An entry of a list whose form is not known: a name, or what has one.
    fn guessed(entry: &Value) -> Option<Self> {
        let text = |pointer: &str| entry.pointer(pointer).and_then(Value::as_str);
        let url = text("/url").map(str::to_owned);
        let name = text("").or_else(|| text("/name"));
        let name = name.or_else(|| text("/createOpts/name")).or(url.as_deref());
        let name = name?.to_owned();
        Some(Self { name, url })
    }

    /// The node images that sources or a release of `provider` declare.
    ///
    /// # Errors
    /// When the file is none of this provider's, or declares nothing in a form that is known.
    pub(crate) fn read(source: &Source, provider: &str) -> Result<Vec<Self>, Problems> {
        let file: File = source.parse()?;
        let is_known = KNOWN.contains(&provider);
        let expected = format!("{provider}{API_GROUP}");
        // Who is not known may have a group of its own, but not that of another provider.
        if file.api_version != expected && (is_known || file.api_version.ends_with(API_GROUP)) {
            let what = format!(
                "`{}` declares no node images of {provider}",
                file.api_version
            );
            return Err(source
                .problem(&["apiVersion"], what)
                .expected(format!("`{expected}`"))
                .into());
        }
        let named = file.docker_images.into_iter();
        let named = named.map(|name| Self { name, url: None });
        let uploaded = file.open_stack_node_images.into_iter();
        let uploaded = uploaded.map(|image| Self {
            name: image.create_opts.name,
            url: Some(image.url),
        });
        let mut images: Vec<Self> = named.chain(uploaded).collect();
        if !is_known {
            let whole: Value = source.parse()?;
            let fields = whole.as_object().into_iter().flatten();
            let lists = fields.filter_map(|(_, value)| value.as_array());
            images.extend(lists.flatten().filter_map(Self::guessed));
        } else if images.is_empty() {
            let what = "it declares no node image";
            return Err(source.problem(&[], what).expected("at least one").into());
        }
        Ok(images)
    }
}

impl Release {
    /// The node images that it declares; none where it has no such file, and its class alone knows them.
    ///
    /// # Errors
    /// When the file is wrong, or declares images of another Kubernetes than the release's alone.
    pub fn node_images(&self) -> Result<Vec<NodeImage>, Problems> {
        let file = self.folder.join(NODE_IMAGES);
        if !file.is_file() {
            return Ok(Vec::new());
        }
        let source = Source::read(&file)?;
        let images = NodeImage::read(&source, &self.tag.provider)?;
        let told: Vec<Version> = images.iter().flat_map(NodeImage::versions).collect();
        let wanted = self.kubernetes_version;
        if told.is_empty() || told.contains(&wanted) {
            return Ok(images);
        }
        let names: Vec<&str> = images.iter().map(|image| image.name.as_str()).collect();
        let what = format!("{}: no node image of Kubernetes {wanted}", names.join(", "));
        Err(source
            .problem(&[], what)
            .expected(format!("one of Kubernetes {wanted}, as metadata.yaml says"))
            .into())
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn told(text: &str, provider: &str) -> Result<Vec<NodeImage>, String> {
        NodeImage::read(&Source::new(Path::new("node-images.yaml"), text), provider)
            .map_err(|problems| problems.to_string())
    }

    const UPLOADED: &str = "\
apiVersion: openstack.infrastructure.clusterstack.x-k8s.io/v1alpha1
openStackNodeImages:
- url: https://images.example.org/ubuntu-kube-v1.34/ubuntu-kube-v1.34.7.qcow2
  createOpts: {name: ubuntu-capi-image-v1.34.7, disk_format: qcow2}
";

    #[test]
    fn both_forms_are_read_and_what_is_wrong_is_named_with_its_line_issue_7() {
        let images = told(UPLOADED, "openstack").unwrap();
        assert_eq!(images[0].name, "ubuntu-capi-image-v1.34.7");
        assert_eq!(images[0].versions(), ["v1.34.7".parse().unwrap()]);
        let named = "apiVersion: docker.infrastructure.clusterstack.x-k8s.io/v1alpha1\ndockerImages: [controlplaneamd64]\n";
        let image = &told(named, "docker").unwrap()[0];
        assert_eq!(
            (image.name.as_str(), image.versions()),
            ("controlplaneamd64", vec![])
        );
        for (text, provider, words) in [
            (
                UPLOADED.to_owned(),
                "docker",
                "node-images.yaml:1:13: `openstack.infra",
            ),
            (
                UPLOADED.replace("url:", "uri:"),
                "openstack",
                "missing field `url`",
            ),
            (
                named.replace("[controlplaneamd64]", "[]"),
                "docker",
                "it declares no node image",
            ),
        ] {
            let error = told(&text, provider).unwrap_err();
            assert!(error.contains(words), "{words}: {error}");
        }
    }

    #[test]
    fn a_provider_that_is_not_known_has_a_list_of_its_own_issue_7() {
        let text = "apiVersion: hetzner.infrastructure.clusterstack.x-k8s.io/v1alpha1\nhetznerImages: [a-v1.34.7, {name: b}, {url: 'https://c/v1.34.8.raw'}, 5]\n";
        let names = |text: &str, provider: &str| {
            told(text, provider)
                .map(|images| images.into_iter().map(|one| one.name).collect::<Vec<_>>())
        };
        let found = ["a-v1.34.7", "b", "https://c/v1.34.8.raw"];
        assert_eq!(names(text, "hetzner").unwrap(), found);
        let own = text.replace(
            "hetzner.infrastructure.clusterstack.x-k8s.io",
            "images.hetzner",
        );
        assert_eq!(names(&own, "hetzner").unwrap(), found);
        assert_eq!(
            names("apiVersion: x/v1\nkind: Other\n", "hetzner").unwrap(),
            Vec::<String>::new()
        );
        let error = names(UPLOADED, "hetzner").unwrap_err();
        assert!(
            error.contains("declares no node images of hetzner"),
            "{error}"
        );
    }

    #[test]
    fn an_image_may_name_other_versions_beside_that_of_kubernetes_issue_7() {
        let versions = |text: &str| {
            let image = NodeImage {
                name: text.to_owned(),
                url: None,
            };
            let all = image.versions();
            all.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            versions("ubuntu-2404-kube-v1.34.7-containerd-v2.1.4"),
            ["v1.34.7", "v2.1.4"]
        );
        assert_eq!(
            versions("a/v1/ubuntu-2204-kube-v1.32/x-v1.32.5.qcow2"),
            ["v1.32.5"]
        );
        assert_eq!(versions("kindest/node:v1.34.3@sha256:00"), ["v1.34.3"]);
        assert!(versions("rev1.2.3 v1.2").is_empty());
    }
}
