//! The query of a request.

use http::Uri;

/// Decoded pairs of a query, in their order.
#[derive(Clone, Debug, Default)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// The query of a URI.
    #[must_use]
    pub fn of(uri: &Uri) -> Self {
        let pairs = uri.query().unwrap_or_default().as_bytes();
        Self(form_urlencoded::parse(pairs).into_owned().collect())
    }

    /// The last value of a key.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        let mut values = self.0.iter().rev().filter(|(name, _)| name == key);
        values.next().map(|(_, value)| value.as_str())
    }

    /// Whether a key is there and true.
    #[must_use]
    pub fn is_set(&self, key: &str) -> bool {
        matches!(self.text(key), Some("true" | "1" | ""))
    }

    /// Every value of a key.
    #[must_use]
    pub fn all(&self, key: &str) -> Vec<&str> {
        let values = self.0.iter().filter(|(name, _)| name == key);
        values.map(|(_, value)| value.as_str()).collect()
    }
}
