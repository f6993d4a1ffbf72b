//! References to images.

/// A reference to an image, taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// All of it.
    pub whole: &'a str,
    /// Everything before the tag.
    pub repository: &'a str,
    /// The last part of the repository.
    pub name: &'a str,
    /// Behind the colon.
    pub tag: Option<&'a str>,
    /// Behind the `@`.
    pub digest: Option<&'a str>,
}

impl<'a> Image<'a> {
    /// Takes it apart.
    #[must_use]
    pub fn parse(whole: &'a str) -> Self {
        let (named, digest) = match whole.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (whole, None),
        };
        // A colon before the last slash belongs to the registry's port.
        let last = named.rfind('/').map_or(0, |at| at + 1);
        let (repository, tag) = match named[last..].split_once(':') {
            Some((name, tag)) => (&named[..last + name.len()], Some(tag)),
            None => (named, None),
        };
        let name = repository.rsplit('/').next().unwrap_or(repository);
        Self {
            whole,
            repository,
            name,
            tag,
            digest,
        }
    }

    /// Major and minor version of the tag, where it is one.
    #[must_use]
    pub fn minor(&self) -> Option<(u64, u64)> {
        let numbers = self.tag?.trim_start_matches('v');
        let mut parts = numbers.split(['.', '-', '+', '_']);
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_taken_apart() {
        let parts = |text| {
            let image = Image::parse(text);
            (
                image.repository,
                image.name,
                image.tag,
                image.digest.is_some(),
                image.minor(),
            )
        };
        assert_eq!(
            parts("localhost:5000/a/b:v1.2.3@sha256:0"),
            (
                "localhost:5000/a/b",
                "b",
                Some("v1.2.3"),
                true,
                Some((1, 2))
            )
        );
        assert_eq!(
            parts("localhost:5000/b"),
            ("localhost:5000/b", "b", None, false, None)
        );
        assert_eq!(parts("b:latest"), ("b", "b", Some("latest"), false, None));
    }
}
