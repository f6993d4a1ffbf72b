//! The tag of a release: provider, stack name, Kubernetes minor and version in one name.

use std::fmt;
use std::str::FromStr;

use super::version::number;
use super::{ReleaseVersion, ValueError, string_value};

/// `docker-demo-1-34-v1` or `docker-demo-1-34-v0-sha-abc1234`: name of the release's directory,
/// of its ClusterStackRelease and of its OCI tag. Neither provider nor stack name may hold a dash,
/// because the Cluster Stack Operator counts the parts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReleaseTag {
    pub provider: String,
    pub stack: String,
    pub major: u16,
    pub minor: u16,
    pub version: ReleaseVersion,
}

string_value!(
    ReleaseTag,
    "^[a-z0-9]+-[a-z0-9]+-[0-9]+-[0-9]+-v[0-9]+(-[0-9A-Za-z_]+[-.][0-9A-Za-z_]+)?$",
    "The tag of a release: docker-demo-1-34-v1 or docker-demo-1-34-v0-sha-abc1234"
);

impl ReleaseTag {
    /// The first four parts, `docker-demo-1-34`: start of archive names, Helm release name of the class chart.
    pub fn stem(&self) -> String {
        format!(
            "{}-{}-{}-{}",
            self.provider, self.stack, self.major, self.minor
        )
    }

    /// Name of the ClusterClass: the tag with a dot before the patch.
    pub fn class_name(&self) -> String {
        format!("{}-{}", self.stem(), self.version.dotted())
    }

    /// Whether csctl, in its stable mode, makes this one after `other`: the next number for the same minor version.
    pub fn follows(&self, other: &Self) -> bool {
        let next = other.version.number().checked_add(1);
        let are_stable = self.version.is_stable() && other.version.is_stable();
        self.stem() == other.stem() && are_stable && next == Some(self.version.number())
    }

    /// Why there may be no such release, though somebody changed the sources of the one before, which is among `others`;
    /// and what to do.
    pub(crate) fn unnoticed<'t>(
        &self,
        others: impl IntoIterator<Item = &'t Self>,
    ) -> Option<String> {
        let before = others.into_iter().find(|other| self.follows(other))?;
        Some(format!(
            "csctl, in its stable mode, makes no release after {before} of a change of the class, of Kubernetes' patch or of \
             the stages alone (cluster-stacks#264): change an addon or a node image with it, build it in csctl's mode custom, \
             or by `stackgate release build SOURCES --tag {self}`"
        ))
    }
}

impl FromStr for ReleaseTag {
    type Err = ValueError;

    /// Reads the dash form and, as it is found in class names, the dot form.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let error = || {
            ValueError::new(
                text,
                "the tag of a release",
                "provider-stack-major-minor-version such as docker-demo-1-34-v1 or docker-demo-1-34-v0-sha-abc1234 (no dash in provider or stack)",
            )
        };
        let parts: Vec<&str> = text.split('-').collect();
        let [provider, stack, major, minor, ref version @ ..] = parts[..] else {
            return Err(error());
        };
        let lower = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !lower(provider) || !lower(stack) {
            return Err(error());
        }
        let version = match version {
            [number, dotted] => dotted
                .split_once('.')
                .and_then(|(channel, patch)| ReleaseVersion::from_parts(&[number, channel, patch])),
            parts => ReleaseVersion::from_parts(parts),
        };
        Ok(Self {
            provider: provider.to_owned(),
            stack: stack.to_owned(),
            major: number(major).ok_or_else(error)?,
            minor: number(minor).ok_or_else(error)?,
            version: version.ok_or_else(error)?,
        })
    }
}

/// Writes the dash form.
impl fmt::Display for ReleaseTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.stem(), self.version.dashed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_one_tag() {
        let dash: Result<ReleaseTag, _> = "docker-scs-1-30-v0-sha-abc1234".parse();
        let dot = "docker-scs-1-30-v0-sha.abc1234".parse();
        assert!(dash.is_ok());
        assert_eq!(dash, dot);
        assert_eq!(
            dot.as_ref().map(ToString::to_string),
            Ok("docker-scs-1-30-v0-sha-abc1234".into())
        );
        assert_eq!(
            dot.as_ref().map(ReleaseTag::class_name),
            Ok("docker-scs-1-30-v0-sha.abc1234".into())
        );
        assert_eq!(
            dot.as_ref().map(ReleaseTag::stem),
            Ok("docker-scs-1-30".into())
        );
    }

    #[test]
    fn the_next_stable_number_of_a_minor_version_follows() {
        let follows = |tag: &str, other: &str| {
            let parsed = |text: &str| text.parse::<ReleaseTag>().unwrap();
            parsed(tag).follows(&parsed(other))
        };
        let first = "docker-demo-1-34-v1";
        assert!(follows("docker-demo-1-34-v2", first));
        for other in [
            first,
            "docker-demo-1-34-v3",
            "docker-demo-1-35-v2",
            "docker-other-1-34-v2",
            "docker-demo-1-34-v2-sha-abc1234",
        ] {
            assert!(!follows(other, first), "{other}");
        }
    }

    #[test]
    fn refuses_other_shapes() {
        for text in [
            "",
            "docker",
            "docker-demo-1-34",
            "docker-my-demo-1-34-v1",
            "docker-demo-1-34-1",
            "docker-demo-1-34-v1-sha",
            "docker-demo-1-34-v1-sha-a-b",
            "Docker-demo-1-34-v1",
            "docker-demo-one-34-v1",
            "docker-demo-1-034-v1",
            "../demo-1-34-v1",
            "docker-demo-1-34-v1/x",
        ] {
            assert!(text.parse::<ReleaseTag>().is_err(), "{text}");
        }
    }
}
