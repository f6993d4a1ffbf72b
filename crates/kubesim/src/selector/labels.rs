//! Label selectors: `a=b,c in (d,e),!f`, and the same as an object.

use std::fmt;

use serde_json::Value;

use crate::error::ApiError;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Operator {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Greater(i64),
    Less(i64),
}

/// A label selector; the empty one selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Vec<(String, Operator)>);

impl Labels {
    /// Reads a selector as it stands in a query.
    ///
    /// # Errors
    /// 400 with what was found instead of what was expected.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut requirements = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (requirement, after) = requirement(rest).map_err(|why| {
                ApiError::bad_request(format!("unable to parse requirement: {why}"))
            })?;
            requirements.push(requirement);
            rest = after.trim_start();
            match rest.strip_prefix(',') {
                Some(more) if !more.trim().is_empty() => rest = more.trim_start(),
                Some(_) => {
                    return Err(ApiError::bad_request(
                        "unable to parse requirement: found '', expected: identifier after ','",
                    ));
                }
                None if rest.is_empty() => {}
                None => {
                    return Err(ApiError::bad_request(format!(
                        "unable to parse requirement: found '{rest}', expected: ',' or 'end of string'"
                    )));
                }
            }
        }
        requirements.sort_by(|(a, _), (b, _)| a.cmp(b));
        Ok(Self(requirements))
    }

    /// A `metav1.LabelSelector`; null, and what is none, gives `None`: it selects nothing.
    #[must_use]
    pub fn of(selector: &Value) -> Option<Self> {
        let selector = selector.as_object()?;
        let mut requirements = Vec::new();
        let labels = selector.get("matchLabels").and_then(Value::as_object);
        for (key, value) in labels.into_iter().flatten() {
            requirements.push((key.clone(), Operator::In(vec![text(value)])));
        }
        let expressions = selector.get("matchExpressions").and_then(Value::as_array);
        for expression in expressions.into_iter().flatten() {
            let values = expression["values"].as_array().into_iter().flatten();
            let values = values.map(text).collect();
            let operator = match expression["operator"].as_str().unwrap_or_default() {
                "In" => Operator::In(values),
                "NotIn" => Operator::NotIn(values),
                "Exists" => Operator::Exists,
                "DoesNotExist" => Operator::Absent,
                _ => return None,
            };
            requirements.push((text(&expression["key"]), operator));
        }
        requirements.sort_by(|(a, _), (b, _)| a.cmp(b));
        Some(Self(requirements))
    }

    /// Whether labels (an object or null) are selected.
    #[must_use]
    pub fn matches(&self, labels: &Value) -> bool {
        self.0.iter().all(|(key, operator)| {
            let value = labels.get(key).and_then(Value::as_str);
            let number = || value.and_then(|value| value.parse::<i64>().ok());
            match operator {
                Operator::In(values) => value.is_some_and(|value| has(values, value)),
                Operator::NotIn(values) => value.is_none_or(|value| !has(values, value)),
                Operator::Exists => value.is_some(),
                Operator::Absent => value.is_none(),
                Operator::Greater(than) => number().is_some_and(|number| number > *than),
                Operator::Less(than) => number().is_some_and(|number| number < *than),
            }
        })
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (key, operator)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            match operator {
                Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0])?,
                Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0])?,
                Operator::In(values) => write!(f, "{key} in ({})", values.join(","))?,
                Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(","))?,
                Operator::Exists => f.write_str(key)?,
                Operator::Absent => write!(f, "!{key}")?,
                Operator::Greater(than) => write!(f, "{key}>{than}")?,
                Operator::Less(than) => write!(f, "{key}<{than}")?,
            }
        }
        Ok(())
    }
}

fn has(values: &[String], value: &str) -> bool {
    values.iter().any(|one| one == value)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// Splits off a word of a key or value.
fn word(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| c.is_whitespace() || "=!,()<>".contains(c))
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.trim_start())
}

/// Reads one requirement; what follows it.
fn requirement(text: &str) -> Result<((String, Operator), &str), String> {
    if let Some(rest) = text.strip_prefix('!') {
        let (key, rest) = word(rest.trim_start());
        return Ok(((known(key)?, Operator::Absent), rest));
    }
    let (key, rest) = word(text);
    let key = known(key)?;
    for sign in ["==", "=", "!="] {
        if let Some(rest) = rest.strip_prefix(sign) {
            let (value, rest) = word(rest.trim_start());
            check_value(&key, value)?;
            let values = vec![value.to_owned()];
            let operator = if sign == "!=" {
                Operator::NotIn(values)
            } else {
                Operator::In(values)
            };
            return Ok(((key, operator), rest));
        }
    }
    for sign in [">", "<"] {
        if let Some(rest) = rest.strip_prefix(sign) {
            let (value, rest) = word(rest.trim_start());
            let number = value.parse().map_err(|_| {
                format!("values[0][{key}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer")
            })?;
            let operator = if sign == ">" {
                Operator::Greater(number)
            } else {
                Operator::Less(number)
            };
            return Ok(((key, operator), rest));
        }
    }
    if rest.is_empty() || rest.starts_with(',') {
        return Ok(((key, Operator::Exists), rest));
    }
    let (name, after) = word(rest);
    let isnt = match name {
        "in" => false,
        "notin" => true,
        _ => {
            return Err(format!(
                "found '{}', expected: in, notin, =, ==, !=, gt, lt",
                if name.is_empty() { rest } else { name }
            ));
        }
    };
    let (values, rest) = set(&key, after)?;
    let operator = if isnt {
        Operator::NotIn(values)
    } else {
        Operator::In(values)
    };
    Ok(((key, operator), rest))
}

/// Reads `(a,b)`, sorted.
fn set<'a>(key: &str, text: &'a str) -> Result<(Vec<String>, &'a str), String> {
    let inside = text
        .strip_prefix('(')
        .ok_or_else(|| format!("found '{text}' expected: '('"))?;
    let (inside, rest) = inside
        .split_once(')')
        .ok_or_else(|| format!("found '{inside}', expected: ',' or ')'"))?;
    let mut values: Vec<String> = inside.split(',').map(|v| v.trim().to_owned()).collect();
    for value in &values {
        check_value(key, value)?;
    }
    values.sort();
    values.dedup();
    Ok((values, rest.trim_start()))
}

/// A label's key: an optional DNS prefix, and a name.
fn known(key: &str) -> Result<String, String> {
    let name = key.rsplit_once('/').map_or(key, |(_, name)| name);
    if name.is_empty() {
        return Err(format!(
            "found '{key}', expected: !, identifier, or 'end of string'"
        ));
    }
    if is_name(name) {
        Ok(key.to_owned())
    } else {
        Err(format!(
            "<nil>: Invalid value: \"{key}\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
        ))
    }
}

fn check_value(key: &str, value: &str) -> Result<(), String> {
    if value.is_empty() || is_name(value) {
        return Ok(());
    }
    Err(format!(
        "values[0][{key}]: Invalid value: \"{value}\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
    ))
}

fn is_name(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && edge(text.chars().next())
        && edge(text.chars().last())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_operator_selects_what_it_says() {
        let labels = json!({"app": "web", "tier": "front", "size": "7"});
        for (selector, selected) in [
            ("", true),
            ("app=web", true),
            ("app==web,tier!=back", true),
            ("app=db", false),
            ("app in (db, web)", true),
            ("app notin (db,web)", false),
            ("missing notin (a)", true),
            ("missing!=a", true),
            ("app", true),
            ("!app", false),
            ("!missing , app", true),
            ("size>6", true),
            ("size<7", false),
            ("app=", false),
        ] {
            let parsed = Labels::parse(selector).unwrap();
            assert_eq!(parsed.matches(&labels), selected, "{selector}");
        }
    }

    #[test]
    fn a_selector_is_shown_in_its_usual_form() {
        for (selector, shown) in [
            ("b, a", "a,b"),
            ("x in (c,b)", "x in (b,c)"),
            ("x==1", "x=1"),
            ("!k8s.io/x", "!k8s.io/x"),
        ] {
            assert_eq!(Labels::parse(selector).unwrap().to_string(), shown);
        }
        let selector = json!({"matchLabels": {"app": "web"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["a", "b"]}]});
        let selector = Labels::of(&selector).unwrap();
        assert_eq!(selector.to_string(), "app=web,tier notin (a,b)");
        assert_eq!(Labels::of(&Value::Null), None);
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for selector in ["=a", "a in b", "a=b c", "a,", "a=b=c", "a=_x", "x>y", "-a"] {
            assert_eq!(Labels::parse(selector).unwrap_err().code, 400, "{selector}");
        }
    }
}
