//! `node-images.yaml`: the node images that a release declares, for whoever provides them on its infrastructure.

use serde::Deserialize;

use super::Release;
use crate::stack::problem::Problems;
use crate::stack::values::Version;
use crate::stack::yaml::Source;

/// Its name in a release.
pub(crate) const NODE_IMAGES: &str = "node-images.yaml";
/// With what its apiVersion ends, after the provider's name.
const API_GROUP: &str = ".infrastructure.clusterstack.x-k8s.io/v1alpha1";

/// The providers whose lists are known.
const KNOWN: [&str; 2] = ["docker", "openstack"];

/// A node image that a release declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeImage {
    pub name: String,
    /// From where it is taken, where that is told.
    pub url: Option<String>,
}

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
    /// The versions in its name, or, where it has none, in the name of what is taken for it: that of Kubernetes, and
    /// perhaps those of what comes with it.
    #[must_use]
    pub fn versions(&self) -> Vec<Version> {
        let url = self.url.as_deref().unwrap_or_default();
        [self.name.as_str(), url]
            .map(|text| Version::all_named_in(text).collect())
            .into_iter()
            .find(|named: &Vec<_>| !named.is_empty())
            .unwrap_or_default()
    }

    /// The node images that sources or a release of `provider` declare; none where it is one that declares them in a
    /// way of its own.
    ///
    /// # Errors
    /// When the file is none of this provider's, or declares nothing.
    pub(crate) fn read(source: &Source, provider: &str) -> Result<Vec<Self>, Problems> {
        let file: File = source.parse()?;
        let expected = format!("{provider}{API_GROUP}");
        if file.api_version != expected {
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
        let images: Vec<Self> = named.chain(uploaded).collect();
        // How others name theirs is not known here.
        if images.is_empty() && KNOWN.contains(&provider) {
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
        assert_eq!(images[0].versions()[0].to_string(), "v1.34.7");
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
    fn a_provider_of_another_kind_may_declare_them_its_own_way_issue_7() {
        let text = "apiVersion: hetzner.infrastructure.clusterstack.x-k8s.io/v1alpha1\nhcloudImages: [{name: x}]\n";
        assert_eq!(told(text, "hetzner"), Ok(vec![]));
        let error = told(text, "docker").unwrap_err();
        assert!(
            error.contains("declares no node images of docker"),
            "{error}"
        );
    }

    #[test]
    fn what_comes_with_kubernetes_may_be_named_behind_it_issue_7() {
        let image = NodeImage {
            name: "ubuntu-v1.34.7-containerd-v2.1.4".to_owned(),
            url: None,
        };
        let versions = image.versions().into_iter().map(|one| one.to_string());
        assert_eq!(versions.collect::<Vec<_>>(), ["v2.1.4", "v1.34.7"]);
    }

    #[test]
    fn the_last_version_in_a_name_is_that_of_kubernetes() {
        let version = |text| Version::named_in(text).map(|version| version.to_string());
        assert_eq!(
            version("a/v1/ubuntu-2204-kube-v1.32/x-v1.32.5.qcow2").unwrap(),
            "v1.32.5"
        );
        assert_eq!(
            version("kindest/node:v1.34.3@sha256:00").unwrap(),
            "v1.34.3"
        );
        assert_eq!(version("rev1.2.3 v1.2"), None);
    }
}
