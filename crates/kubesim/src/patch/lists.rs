//! How the lists of Kubernetes' own kinds are merged, as their types say.

use std::collections::BTreeMap;
use std::sync::OnceLock;

/// How one list (or structure) is merged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Merging {
    /// `x-kubernetes-list-type`: `map`, `set` or `atomic`.
    pub(crate) kind: Option<&'static str>,
    /// `x-kubernetes-list-map-keys`.
    pub(crate) keys: Vec<&'static str>,
    /// `x-kubernetes-patch-strategy`, e.g. `merge,retainKeys`.
    pub(crate) strategy: Option<&'static str>,
    /// `x-kubernetes-patch-merge-key`.
    pub(crate) merge_key: Option<&'static str>,
}

/// By definition (`io.k8s.api.core.v1.PodSpec`) and property.
type Lists = BTreeMap<&'static str, BTreeMap<&'static str, Merging>>;

/// All of them.
pub(crate) fn lists() -> &'static Lists {
    static LISTS: OnceLock<Lists> = OnceLock::new();
    LISTS.get_or_init(|| {
        let lines = include_str!("../../data/lists.txt").lines();
        let lines = lines.filter(|line| !line.starts_with('#'));
        let mut lists = Lists::new();
        for (definition, property, merging) in lines.filter_map(entry) {
            lists
                .entry(definition)
                .or_default()
                .insert(property, merging);
        }
        lists
    })
}

fn entry(line: &'static str) -> Option<(&'static str, &'static str, Merging)> {
    let words: Vec<&'static str> = line.split(' ').collect();
    let [definition, property, kind, keys, strategy, merge_key] = words[..] else {
        return None;
    };
    let told = |word: &'static str| (word != "-").then_some(word);
    let merging = Merging {
        kind: told(kind),
        keys: told(keys).map_or_else(Vec::new, |keys| keys.split(',').collect()),
        strategy: told(strategy),
        merge_key: told(merge_key),
    };
    Some((definition, property, merging))
}

/// The definition's name in OpenAPI documents for a message's in protobuf, e.g. `core.v1.PodSpec`.
pub(super) fn of_message(message: &str, property: &str) -> Option<&'static Merging> {
    ["io.k8s.api.", "io.k8s.apimachinery.pkg.apis."]
        .iter()
        .find_map(|prefix| {
            let definition = format!("{prefix}{message}");
            lists().get(definition.as_str())?.get(property)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_read() {
        let lines = include_str!("../../data/lists.txt").lines();
        let lines = lines.filter(|line| !line.starts_with('#'));
        let all = lists().values().map(BTreeMap::len);
        assert_eq!(all.sum::<usize>(), lines.count());
        let ports = of_message("core.v1.Container", "ports").unwrap();
        assert_eq!(
            (ports.kind, ports.merge_key, &*ports.keys),
            (
                Some("map"),
                Some("containerPort"),
                &["containerPort", "protocol"][..]
            )
        );
        assert_eq!(of_message("core.v1.Container", "args"), None);
        let finalizers = of_message("meta.v1.ObjectMeta", "finalizers").unwrap();
        assert_eq!(finalizers.kind, Some("set"));
    }
}
