//! `.Files`.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::stack::chart::glob::{Dialect, matches};
use crate::stack::chart::template::functions::base64;
use crate::stack::chart::template::{Object, Value};
use crate::stack::chart::yaml;

/// `.Files`, or what `.Files.Glob` found of them.
pub(super) struct Files(pub Arc<BTreeMap<String, Vec<u8>>>);

impl Files {
    /// Content as a string; bytes where it is not text (`b64enc` takes both).
    fn content(data: &[u8]) -> Value {
        match std::str::from_utf8(data) {
            Ok(text) => Value::text(text),
            Err(_) => Value::Bytes(data.into()),
        }
    }

    fn by_base_name(&self, encode: impl Fn(&[u8]) -> String) -> Value {
        let base = |path: &str| path.rsplit('/').next().unwrap_or(path).to_owned();
        let map = self
            .0
            .iter()
            .map(|(path, data)| (base(path), Json::from(encode(data))))
            .collect();
        let text = yaml::to_yaml(&Json::Object(map));
        Value::text(text.strip_suffix('\n').unwrap_or(&text))
    }

    fn glob(&self, pattern: &str) -> Value {
        let valid = matches(pattern, "", Dialect::Extended).is_some();
        let pattern = if valid { pattern } else { "**" };
        let found = self
            .0
            .iter()
            .filter(|(p, _)| matches(pattern, p, Dialect::Extended) == Some(true));
        let found = found
            .map(|(path, data)| (path.clone(), data.clone()))
            .collect();
        Value::Object(Rc::new(Files(Arc::new(found))))
    }

    fn lines(&self, path: &str) -> Value {
        let Some(data) = self.0.get(path) else {
            return Value::list([]);
        };
        let text = String::from_utf8_lossy(data);
        Value::texts(text.strip_suffix('\n').unwrap_or(&text).split('\n'))
    }
}

impl Object for Files {
    fn type_name(&self) -> &'static str {
        "engine.files"
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let path = || match args {
            [Value::Text(path)] => Ok(&**path),
            _ => Err(format!(
                "wrong number or type of args for {name}: want one string"
            )),
        };
        let data = |path: &str| self.0.get(path).map(Vec::as_slice).unwrap_or_default();
        Some(match name {
            "Get" => path().map(|p| Files::content(data(p))),
            "GetBytes" => path().map(|p| Value::Bytes(data(p).into())),
            "Glob" => path().map(|p| self.glob(p)),
            "Lines" => path().map(|p| self.lines(p)),
            "AsConfig" => Ok(self.by_base_name(|data| String::from_utf8_lossy(data).into_owned())),
            "AsSecrets" => Ok(self.by_base_name(base64)),
            _ => return None,
        })
    }

    fn field(&self, name: &str) -> Option<Value> {
        Some(
            self.0
                .get(name)
                .map_or(Value::Nil, |data| Value::Bytes(data.as_slice().into())),
        )
    }

    fn data(&self) -> Value {
        Value::map(
            self.0
                .iter()
                .map(|(path, data)| (path.as_str(), Value::Bytes(data.as_slice().into()))),
        )
    }
}
