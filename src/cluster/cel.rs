//! CEL expressions over Kubernetes objects, as release files use them.

use std::collections::HashMap;
use std::sync::LazyLock;

use cel::{Context, Program, Value as Cel};
use regex::Regex;
use serde_json::Value;

/// Why an expression has no answer.
#[derive(Debug, thiserror::Error)]
pub enum CelError {
    /// It is not CEL.
    #[error("'{expression}' is not a CEL expression: {reason}")]
    Syntax {
        /// The expression.
        expression: String,
        /// What the parser said.
        reason: String,
        /// Line and column in the expression, from 1, where the parser tells.
        at: Option<(usize, usize)>,
    },
    /// It could not be evaluated on these objects, e.g. for want of a field.
    #[error("'{expression}' cannot be evaluated: {reason}")]
    Evaluation {
        /// The expression.
        expression: String,
        /// What the evaluation said.
        reason: String,
    },
    /// It gave something else than text.
    #[error("'{expression}' gave {found}: expected text")]
    NotText {
        /// The expression.
        expression: String,
        /// The type of what it gave; never the value, which may be a secret.
        found: String,
    },
    /// It gave something else than true or false.
    #[error("'{expression}' gave {found}: expected true or false")]
    NotBool {
        /// The expression.
        expression: String,
        /// The type of what it gave; never the value, which may be a secret.
        found: String,
    },
}

/// A parsed expression.
pub struct Condition {
    expression: String,
    program: Program,
}

impl Condition {
    /// Parses an expression.
    ///
    /// # Errors
    /// [`CelError::Syntax`].
    pub fn parse(expression: &str) -> Result<Self, CelError> {
        let program = Program::compile(expression).map_err(|error| syntax(expression, &error))?;
        Ok(Self {
            expression: expression.to_owned(),
            program,
        })
    }

    /// The expression as written.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The names that it uses and does not bind itself, in alphabetical order.
    #[must_use]
    pub fn variables(&self) -> Vec<String> {
        let references = self.program.references();
        let bound = bound(&self.expression);
        let used = references.variables().into_iter().map(str::to_owned);
        let mut free: Vec<String> = used.filter(|name| !bound.contains(name)).collect();
        free.sort();
        free
    }

    /// Evaluates it to a text.
    ///
    /// # Errors
    /// [`CelError::Evaluation`], and [`CelError::NotText`].
    pub fn text<'o>(
        &self,
        objects: impl IntoIterator<Item = (&'o str, &'o Value)>,
    ) -> Result<String, CelError> {
        match self.evaluate(objects)? {
            Cel::String(text) => Ok(text.to_string()),
            other => Err(CelError::NotText {
                expression: self.expression.clone(),
                found: other.type_of().to_string(),
            }),
        }
    }

    /// Evaluates it with objects by their keys.
    ///
    /// # Errors
    /// [`CelError::Evaluation`] and [`CelError::NotBool`].
    pub fn holds<'o>(
        &self,
        objects: impl IntoIterator<Item = (&'o str, &'o Value)>,
    ) -> Result<bool, CelError> {
        match self.evaluate(objects)? {
            Cel::Bool(holds) => Ok(holds),
            other => Err(CelError::NotBool {
                expression: self.expression.clone(),
                found: other.type_of().to_string(),
            }),
        }
    }

    fn evaluate<'o>(
        &self,
        objects: impl IntoIterator<Item = (&'o str, &'o Value)>,
    ) -> Result<Cel, CelError> {
        let mut context = Context::default();
        for (key, object) in objects {
            context.add_variable_from_value(key, value(object));
        }
        self.program
            .execute(&context)
            .map_err(|error| CelError::Evaluation {
                expression: self.expression.clone(),
                reason: error.to_string(),
            })
    }
}

fn syntax(expression: &str, error: &cel::ParseErrors) -> CelError {
    let first = error.errors.first();
    let at = first.and_then(|first| {
        let (line, column) = first.pos;
        let (line, column) = (usize::try_from(line).ok()?, usize::try_from(column).ok()?);
        (line > 0 && column > 0).then_some((line, column))
    });
    CelError::Syntax {
        expression: expression.to_owned(),
        reason: first.map_or_else(|| error.to_string(), |first| first.msg.clone()),
        at,
    }
}

/// The names that macros bind, as in `list.all(name, …)`.
fn bound(expression: &str) -> Vec<String> {
    static MACROS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        Regex::new(r"\.\s*(?:all|exists|exists_one|filter|map)\s*\(\s*(\w+)\s*,").ok()
    });
    let found = MACROS.as_ref().into_iter();
    found
        .flat_map(|macros| macros.captures_iter(expression))
        .map(|captures| captures[1].to_owned())
        .collect()
}

/// JSON as Kubernetes types it in CEL: whole numbers are int, never uint.
fn value(json: &Value) -> Cel {
    match json {
        Value::Null => Cel::Null,
        Value::Bool(bool) => Cel::Bool(*bool),
        Value::Number(number) => match number.as_i64() {
            Some(int) => Cel::Int(int),
            None => Cel::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Cel::from(text.as_str()),
        Value::Array(items) => Cel::from(items.iter().map(value).collect::<Vec<_>>()),
        Value::Object(fields) => {
            let fields: HashMap<String, Cel> = fields
                .iter()
                .map(|(key, field)| (key.clone(), value(field)))
                .collect();
            Cel::from(fields)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn holds(expression: &str) -> Result<bool, CelError> {
        let object = json!({"status": {"numberReady": 2, "desired": 2, "phase": "Ready"}, "spec": {"list": [1, 2]}});
        Condition::parse(expression)?.holds([("ds", &object)])
    }

    #[test]
    fn counts_texts_and_lists_compare_as_in_kubernetes() {
        assert!(
            holds("ds.status.numberReady == ds.status.desired && ds.status.numberReady + 1 > 2")
                .unwrap()
        );
        assert!(holds("ds.status.phase == 'Ready' && size(ds.spec.list) == 2").unwrap());
        assert!(!holds("has(ds.status.missing)").unwrap());
    }

    #[test]
    fn a_text_and_the_names_that_an_expression_needs_are_found() {
        let expression = "old.all(o, new.exists(n, n.a == o.a)) ? 'x' : objects[0].name";
        let parsed = Condition::parse(expression).unwrap();
        assert_eq!(parsed.variables(), ["new", "objects", "old"]);
        let object = json!({"name": "n1"});
        let text = |expression: &str| {
            let parsed = Condition::parse(expression)?;
            parsed.text([("object", &object)])
        };
        assert_eq!(text("'node ' + object.name").unwrap(), "node n1");
        assert!(matches!(text("1"), Err(CelError::NotText { .. })));
    }

    #[test]
    fn the_place_of_a_syntax_error_is_told() {
        let Err(CelError::Syntax { at, reason, .. }) = Condition::parse("a.b ==\n  == 2") else {
            panic!("it is no CEL")
        };
        assert_eq!(at, Some((2, 3)), "{reason}");
    }

    #[test]
    fn a_missing_field_a_wrong_type_and_bad_syntax_say_so() {
        assert!(matches!(
            holds("ds.status.missing == 1"),
            Err(CelError::Evaluation { .. })
        ));
        assert!(matches!(
            holds("ds.status.desired"),
            Err(CelError::NotBool { .. })
        ));
        assert!(matches!(holds("ds.status.("), Err(CelError::Syntax { .. })));
    }
}
