//! Which form of an answer a client accepts: the object, a table, only its metadata.

use http::HeaderMap;
use http::header;

use crate::error::ApiError;

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// The objects themselves.
    Object,
    /// Rows and columns.
    Table,
    /// `PartialObjectMetadata`.
    Metadata,
}

/// One media range of an `Accept` header.
struct Range<'a> {
    kind: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
}

impl Range<'_> {
    fn is_json(&self) -> bool {
        matches!(self.kind, "application/json" | "application/*" | "*/*")
    }

    fn parameter(&self, name: &str) -> &str {
        let mut found = self.parameters.iter().filter(|(key, _)| *key == name);
        found.next().map_or("", |(_, value)| value)
    }
}

fn ranges(headers: &HeaderMap) -> Vec<Range<'_>> {
    let values = headers.get_all(header::ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .map(|range| {
            let mut words = range.split(';').map(str::trim);
            Range {
                kind: words.next().unwrap_or_default(),
                parameters: words.filter_map(|word| word.split_once('=')).collect(),
            }
        })
        .filter(|range| !range.kind.is_empty())
        .collect()
}

/// The form of an answer about objects.
///
/// # Errors
/// 406 when nothing that is served is accepted.
pub fn shape(headers: &HeaderMap) -> Result<Shape, ApiError> {
    let ranges = ranges(headers);
    if ranges.is_empty() {
        return Ok(Shape::Object);
    }
    for range in &ranges {
        if !range.is_json() {
            continue;
        }
        let known = range.parameter("g") == "meta.k8s.io"
            && matches!(range.parameter("v"), "v1" | "v1beta1");
        match range.parameter("as") {
            "" => return Ok(Shape::Object),
            "Table" if known => return Ok(Shape::Table),
            "PartialObjectMetadata" | "PartialObjectMetadataList" if known => {
                return Ok(Shape::Metadata);
            }
            _ => {}
        }
    }
    Err(not_acceptable("application/json"))
}

/// Whether a client wants all groups and resources of discovery at once.
pub fn wants_aggregated_discovery(headers: &HeaderMap) -> bool {
    // The first that is known decides.
    let ranges = ranges(headers);
    let mut known = ranges.iter().filter(|range| range.is_json());
    let first = known.find(|range| match range.parameter("as") {
        "" => true,
        "APIGroupDiscoveryList" => {
            range.parameter("g") == "apidiscovery.k8s.io" && range.parameter("v") == "v2"
        }
        _ => false,
    });
    first.is_some_and(|range| !range.parameter("as").is_empty())
}

/// Whether a client accepts JSON at all.
#[cfg(feature = "openapi")]
pub fn accepts_json(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    ranges.is_empty() || ranges.iter().any(Range::is_json)
}

/// Whether a client names a form.
#[cfg(feature = "openapi")]
pub fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    ranges(headers).iter().any(|range| range.kind == kind)
}

/// 406.
pub fn not_acceptable(served: &str) -> ApiError {
    ApiError::new(
        406,
        "NotAcceptable",
        format!("only the following media types are accepted: {served}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(accept: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, header::HeaderValue::from_static(accept));
        headers
    }

    #[test]
    fn the_first_form_that_is_served_wins() {
        for (accept, expected) in [
            ("application/json", Some(Shape::Object)),
            ("*/*", Some(Shape::Object)),
            (
                "application/json;as=Table;v=v1;g=meta.k8s.io,application/json",
                Some(Shape::Table),
            ),
            (
                "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json",
                Some(Shape::Metadata),
            ),
            (
                "application/json;as=Unknown;v=v1;g=meta.k8s.io, application/json",
                Some(Shape::Object),
            ),
            ("application/vnd.kubernetes.protobuf", None),
        ] {
            assert_eq!(shape(&headers(accept)).ok(), expected, "{accept}");
        }
        assert_eq!(shape(&HeaderMap::new()).ok(), Some(Shape::Object));
    }

    #[test]
    fn aggregated_discovery_is_given_to_who_asks_for_it() {
        let wanted =
            "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
        assert!(wants_aggregated_discovery(&headers(wanted)));
        assert!(!wants_aggregated_discovery(&headers("application/json")));
        assert!(!wants_aggregated_discovery(&HeaderMap::new()));
    }
}
