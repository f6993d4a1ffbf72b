//! Names of releases: `provider-stack-major-minor-version`, in dash form as tags and directories have it,
//! and in dot form as classes and metadata do.

/// A release's name in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// E.g. `docker`.
    pub provider: String,
    /// The stack's own name, e.g. `scs`.
    pub stack: String,
    /// Major and minor of Kubernetes.
    pub kubernetes: (u32, u32),
    /// In dash form, e.g. `v1` or `v0-sha-abc1234`.
    pub version: String,
}

impl Tag {
    /// Reads a name in dash form; five parts, or seven with a channel.
    #[must_use]
    pub fn parse(tag: &str) -> Option<Self> {
        let parts: Vec<&str> = tag.split('-').collect();
        let ([provider, stack, major, minor, version]
        | [provider, stack, major, minor, version, _, _]) = *parts.as_slice()
        else {
            return None;
        };
        let number = version.strip_prefix('v')?;
        let counts = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let filled = parts.iter().all(|part| !part.is_empty());
        (counts && filled).then_some(())?;
        Some(Self {
            provider: provider.to_owned(),
            stack: stack.to_owned(),
            kubernetes: (major.parse().ok()?, minor.parse().ok()?),
            version: parts[4..].join("-"),
        })
    }

    /// Reads the name of a ClusterClass.
    #[must_use]
    pub fn of_class(class: &str) -> Option<Self> {
        Self::parse(&of_class(class))
    }
}

/// The tag of a class: its dot becomes a dash, but only when there is exactly one.
#[must_use]
pub fn of_class(class: &str) -> String {
    if class.matches('.').count() == 1 {
        class.replace('.', "-")
    } else {
        class.to_owned()
    }
}

/// The dash form of a version in dot form, e.g. `v0-sha.abc1234`; none when it is not one.
#[must_use]
pub fn dashed(version: &str) -> Option<String> {
    let (number, channel) = match version.split_once('-') {
        Some((number, channel)) => (number, Some(channel)),
        None => (version, None),
    };
    let digits = number.strip_prefix('v')?;
    let counts = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let word = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    let well = match channel {
        None => true,
        Some(channel) => channel
            .split_once('.')
            .is_some_and(|(name, patch)| word(name) && word(patch)),
    };
    (counts && well).then(|| version.replace('.', "-"))
}

/// The number of a version in either form; later ones are newer within a channel.
#[must_use]
pub fn number(version: &str) -> u32 {
    let digits = version.strip_prefix('v').unwrap_or_default();
    let digits = digits.split('-').next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_has_five_parts_or_seven() {
        let tag = Tag::parse("docker-scs-1-30-v0-sha-abc1234").unwrap();
        assert_eq!(tag.version, "v0-sha-abc1234");
        assert_eq!(tag.kubernetes, (1, 30));
        assert_eq!(Tag::parse("docker-scs-1-34-v2").unwrap().version, "v2");
        for bad in [
            "docker-scs-1-34",
            "docker-scs-1-34-2",
            "docker-scs-1-34-v1-sha",
            "a-b-c-1-34-v1",
            "",
        ] {
            assert_eq!(Tag::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_class_is_a_tag_with_one_dot() {
        assert_eq!(
            of_class("docker-scs-1-30-v0-sha.abc"),
            "docker-scs-1-30-v0-sha-abc"
        );
        assert_eq!(
            of_class("docker-scs-1-30-v0-a.b.c"),
            "docker-scs-1-30-v0-a.b.c"
        );
        assert_eq!(
            Tag::of_class("docker-scs-1-30-v0-sha.abc").unwrap().version,
            "v0-sha-abc"
        );
    }

    #[test]
    fn versions_are_written_with_a_dot() {
        assert_eq!(dashed("v1").as_deref(), Some("v1"));
        assert_eq!(dashed("v0-sha.abc1234").as_deref(), Some("v0-sha-abc1234"));
        for bad in ["1", "v", "v1-sha", "v0-sha-abc", "v0-.a", "v0-sha.a.b"] {
            assert_eq!(dashed(bad), None, "{bad}");
        }
        assert_eq!(number("v12-alpha-3"), 12);
    }
}
