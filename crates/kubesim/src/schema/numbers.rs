//! Limits of numbers.

use serde_json::{Number, Value};

use super::{Bounds, Cause, Kind, Path, cause};

/// A limit as Go prints it: of whole numbers without what follows the point.
fn shown(limit: f64, whole: bool) -> String {
    if whole {
        format!("{:.0}", limit.trunc())
    } else {
        limit.to_string()
    }
}

/// What is wrong with a number.
pub(super) fn judge(number: &Number, bounds: &Bounds, path: &Path, causes: &mut Vec<Cause>) {
    let value = Value::Number(number.clone());
    let whole = !number.is_f64();
    let Some(found) = number.as_f64() else {
        return;
    };
    let mut wrong = |why: String| {
        let why = format!("{path} in body should be {why}");
        causes.push(cause::invalid(path.text(), &value, &why));
    };
    if let Some(factor) = bounds.multiple
        && factor > 0.0
        && (found / factor).fract().abs() > f64::EPSILON
    {
        wrong(format!(
            "a multiple of {}",
            shown(factor, factor.fract() == 0.0)
        ));
    }
    if let Some((most, exclusive)) = bounds.maximum {
        if exclusive && found >= most {
            wrong(format!("less than {}", shown(most, whole)));
        } else if found > most {
            wrong(format!("less than or equal to {}", shown(most, whole)));
        }
    }
    if let Some((least, exclusive)) = bounds.minimum {
        if exclusive && found <= least {
            wrong(format!("greater than {}", shown(least, whole)));
        } else if found < least {
            wrong(format!("greater than or equal to {}", shown(least, whole)));
        }
    }
}

/// Why a whole number does not fit into its format, if it does not.
pub(super) fn beyond(number: &Number, kinds: &[Kind], format: &str, path: &Path) -> Option<String> {
    if kinds != [Kind::Integer] || format != "int32" {
        return None;
    }
    let fits = number
        .as_i64()
        .is_some_and(|number| i32::try_from(number).is_ok());
    (!fits).then(|| format!("Checked value must be of type integer with format int32 in {path}"))
}
