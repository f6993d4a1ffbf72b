//! CEL expressions over Kubernetes objects, as release files use them.

use std::collections::HashMap;

use cel::{Context, Program, Value as Cel};
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
    },
    /// It could not be evaluated on these objects, e.g. for want of a field.
    #[error("'{expression}' cannot be evaluated: {reason}")]
    Evaluation {
        /// The expression.
        expression: String,
        /// What the evaluation said.
        reason: String,
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
        let program = Program::compile(expression).map_err(|error| CelError::Syntax {
            expression: expression.to_owned(),
            reason: error.to_string(),
        })?;
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

    /// Evaluates it with objects by their keys.
    ///
    /// # Errors
    /// [`CelError::Evaluation`] and [`CelError::NotBool`].
    pub fn holds<'o>(
        &self,
        objects: impl IntoIterator<Item = (&'o str, &'o Value)>,
    ) -> Result<bool, CelError> {
        let mut context = Context::default();
        for (key, object) in objects {
            context.add_variable_from_value(key, value(object));
        }
        match self.program.execute(&context) {
            Ok(Cel::Bool(holds)) => Ok(holds),
            Ok(other) => Err(CelError::NotBool {
                expression: self.expression.clone(),
                found: other.type_of().to_string(),
            }),
            Err(error) => Err(CelError::Evaluation {
                expression: self.expression.clone(),
                reason: error.to_string(),
            }),
        }
    }
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
