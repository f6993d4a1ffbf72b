//! Events, which two groups serve from one store, with other names for the same fields.

use serde_json::Value;

use super::conversion::Conversion;
use crate::error::ApiError;

/// Fields of the core group's Event and of that in `events.k8s.io`.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
    ("reportingComponent", "reportingController"),
];

/// Between `v1` and `events.k8s.io/v1`.
#[derive(Debug)]
pub struct Events;

impl Conversion for Events {
    fn convert(&self, mut object: Value, to: &str) -> Result<Value, ApiError> {
        let Some(fields) = object.as_object_mut() else {
            return Err(ApiError::bad_request("expected an Event"));
        };
        for (core, new) in NAMES {
            let (from, to) = if to == "v1" { (new, core) } else { (core, new) };
            if let Some(value) = fields.shift_remove(from) {
                fields.insert(to.to_owned(), value);
            }
        }
        object["apiVersion"] = Value::String(to.to_owned());
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_keeps_everything_there_and_back() {
        let core = json!({"apiVersion": "v1", "kind": "Event", "reason": "Started",
            "involvedObject": {"name": "a"}, "message": "m", "count": 2, "reportingComponent": "kubelet"});
        let new = Events.convert(core.clone(), "events.k8s.io/v1").unwrap();
        assert_eq!(new["regarding"]["name"], "a");
        assert_eq!(new["note"], "m");
        assert_eq!(new.get("message"), None);
        assert_eq!(Events.convert(new, "v1").unwrap(), core);
    }
}
