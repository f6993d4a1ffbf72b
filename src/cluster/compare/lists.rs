//! Lists: which live item is meant by a rendered one, and which live items nobody rendered.

use serde_json::Value;

use super::Comparison;

/// What makes an item of a list of objects itself, the most telling first; the server-side apply
/// keys of the built-in types, and what custom resources use alike.
const KEYS: &[&[&str]] = &[
    &["containerPort", "protocol"],
    &["mountPath"],
    &["devicePath"],
    &["port", "protocol"],
    &["topologyKey", "whenUnsatisfiable"],
    &["name"],
    &["ip"],
    &["type"],
    &["key"],
];

impl Comparison {
    pub(super) fn list(&mut self, rendered: &[Value], live: &[Value]) {
        if rendered.iter().chain(live).all(|item| !item.is_object()) {
            self.scalars(rendered, live);
        } else if let Some(key) = common_key(rendered, live) {
            self.keyed(key, rendered, live);
        } else {
            self.positional(rendered, live);
        }
    }

    /// Items by their key, whatever their order.
    fn keyed(&mut self, key: &[&str], rendered: &[Value], live: &[Value]) {
        for item in rendered {
            let id = identity(key, item);
            let twin = live.iter().find(|live| identity(key, live) == id);
            self.item(segment(key, item), |this| this.value(item, twin));
        }
        if self.gains_items() {
            return;
        }
        for item in live {
            let id = identity(key, item);
            if !rendered
                .iter()
                .any(|rendered| identity(key, rendered) == id)
            {
                self.item(segment(key, item), |this| this.differ(None, Some(item)));
            }
        }
    }

    /// Items of a list that has no key: the API server replaces such a list as a whole.
    fn positional(&mut self, rendered: &[Value], live: &[Value]) {
        for (index, item) in rendered.iter().enumerate() {
            let twin = live.get(index);
            self.item(format!("[{index}]"), |this| match twin {
                Some(twin) => this.value(item, Some(twin)),
                None => this.differ(Some(item), None),
            });
        }
        if self.gains_items() {
            return;
        }
        for (index, item) in live.iter().enumerate().skip(rendered.len()) {
            self.item(format!("[{index}]"), |this| this.differ(None, Some(item)));
        }
    }

    fn scalars(&mut self, rendered: &[Value], live: &[Value]) {
        let same = if self.gains_items() {
            rendered.iter().all(|item| live.contains(item))
        } else {
            rendered.len() == live.len() && rendered.iter().zip(live).all(|(a, b)| self.same(a, b))
        };
        if !same {
            let list = |items: &[Value]| Value::Array(items.to_vec());
            self.differ(Some(&list(rendered)), Some(&list(live)));
        }
    }

    fn item(&mut self, segment: String, act: impl FnOnce(&mut Self)) {
        self.path.push(segment);
        act(self);
        self.path.pop();
    }

    /// Lists to which the cluster itself adds: finalizers, what admission gives to bare Pods, and
    /// the tokens of a ServiceAccount.
    fn gains_items(&self) -> bool {
        self.last() == "finalizers" || matches!(self.kind.as_str(), "Pod" | "ServiceAccount")
    }
}

/// The first key that every item has, and that tells the items of each side apart.
fn common_key(rendered: &[Value], live: &[Value]) -> Option<&'static [&'static str]> {
    KEYS.iter().copied().find(|key| {
        [rendered, live].iter().all(|items| {
            let ids: Option<Vec<_>> = items.iter().map(|item| identity(key, item)).collect();
            ids.is_some_and(|mut ids| {
                ids.sort();
                ids.windows(2).all(|pair| pair[0] != pair[1])
            })
        })
    })
}

/// The values of a key; none when the item lacks its first field.
fn identity(key: &[&str], item: &Value) -> Option<Vec<String>> {
    let first = item.get(key.first()?)?;
    if first.is_null() || first.is_object() || first.is_array() {
        return None;
    }
    let values = key.iter().map(|field| match item.get(field) {
        Some(Value::String(text)) => text.clone(),
        // A port without a protocol is TCP.
        None | Some(Value::Null) if *field == "protocol" => "TCP".to_owned(),
        Some(other) => other.to_string(),
        None => String::new(),
    });
    Some(values.collect())
}

fn segment(key: &[&str], item: &Value) -> String {
    let values = identity(key, item).unwrap_or_default().join("/");
    format!("[{}={values}]", key.first().copied().unwrap_or_default())
}
