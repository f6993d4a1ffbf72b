//! Quantities: `1000m` and `1`, `1024Mi` and `1Gi` are the same amount.
//!
//! Source: k8s.io/apimachinery `pkg/api/resource`, the grammar in the comment of `Quantity`.

use serde_json::Value;

/// Maps whose values are quantities.
pub(super) const PARENTS: &[&str] = &[
    "allocatable",
    "capacity",
    "default",
    "defaultRequest",
    "hard",
    "limits",
    "max",
    "maxLimitRequestRatio",
    "min",
    "podFixed",
    "requests",
];
/// Fields that are quantities wherever they are.
pub(super) const FIELDS: &[&str] = &["averageValue", "divisor", "sizeLimit"];

/// Whether both are the same amount. What is no quantity is compared as it is written.
pub(super) fn same(a: &Value, b: &Value) -> bool {
    match (nanos(a), nanos(b)) {
        (Some(a), Some(b)) => a == b,
        _ => a == b,
    }
}

/// The amount in billionths, the finest that Kubernetes keeps.
fn nanos(value: &Value) -> Option<i128> {
    match value {
        Value::String(text) => parse(text),
        Value::Number(number) => parse(&number.to_string()),
        _ => None,
    }
}

fn parse(text: &str) -> Option<i128> {
    let end = text
        .find(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | '+' | '-'))
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(end);
    let (binary, mut power) = match suffix {
        "n" => (0, -9),
        "u" => (0, -6),
        "m" => (0, -3),
        "" => (0, 0),
        "k" => (0, 3),
        "M" => (0, 6),
        "G" => (0, 9),
        "T" => (0, 12),
        "P" => (0, 15),
        "E" => (0, 18),
        "Ki" => (10, 0),
        "Mi" => (20, 0),
        "Gi" => (30, 0),
        "Ti" => (40, 0),
        "Pi" => (50, 0),
        "Ei" => (60, 0),
        exponent => (0, exponent.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    power -= i32::try_from(fraction.len()).ok()?;
    let scaled = digits.checked_mul(1_i128.checked_shl(binary)?)?;
    let power = power.checked_add(9)?;
    let factor = 10_i128.checked_pow(power.unsigned_abs())?;
    if power >= 0 {
        scaled.checked_mul(factor)
    } else {
        // Finer than a billionth: rounded up, as Kubernetes does.
        Some(scaled.div_euclid(factor) + i128::from(scaled.rem_euclid(factor) != 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_same_amount_in_other_words_is_the_same() {
        for (a, b) in [
            (json!("1000m"), json!("1")),
            (json!("1"), json!(1)),
            (json!("1.5"), json!("1500m")),
            (json!("1Gi"), json!("1024Mi")),
            (json!("1e3"), json!("1k")),
            (json!("0.5Gi"), json!("512Mi")),
            (json!("100M"), json!(100_000_000)),
        ] {
            assert!(same(&a, &b), "{a} {b}");
        }
    }

    #[test]
    fn another_amount_or_no_amount_is_not() {
        for (a, b) in [
            (json!("1000m"), json!("2")),
            (json!("1G"), json!("1Gi")),
            (json!("1x"), json!("1")),
            (json!(""), json!("0")),
            (json!("1"), json!(null)),
            (json!("99999999999999999999999999999999999Ei"), json!("1")),
        ] {
            assert!(!same(&a, &b), "{a} {b}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,40}", exponent in proptest::num::i32::ANY) {
            let _ = parse(&text);
            let _ = parse(&format!("1e{exponent}"));
        }
    }
}
