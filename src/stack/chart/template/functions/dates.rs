//! Dates: the current time, and Go's way to format one.

use std::rc::Rc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::numbers::to_int;
use super::{Function, Run, Value, drawn, pure, text_arg};
use crate::stack::chart::template::value::Object;

/// What is no time stands for now: such a call is one of [`Run::DrawnWith`].
const fn dated<const AT: usize>(
    name: &'static str,
    count: usize,
    run: fn(&[Value]) -> Result<Value, String>,
) -> Function {
    Function {
        name,
        min: count,
        max: count,
        run: Run::DrawnWith(run, |args| told(&args[AT]).is_none()),
    }
}

pub(super) static FUNCTIONS: &[Function] = &[
    drawn("now", 0, 0, |_| Ok(time(Zoned::now()))),
    dated::<1>("date", 2, |a| {
        Ok(Value::text(layout(&instant(&a[1]), text_arg(a, 0)?)))
    }),
    dated::<0>("htmlDate", 1, |a| {
        Ok(Value::text(layout(&instant(&a[0]), "2006-01-02")))
    }),
    dated::<1>("dateInZone", 3, date_in_zone),
    dated::<1>("date_in_zone", 3, date_in_zone),
    dated::<0>("htmlDateInZone", 2, |a| {
        date_in_zone(&[Value::text("2006-01-02"), a[0].clone(), a[1].clone()])
    }),
    dated::<0>("unixEpoch", 1, |a| {
        Ok(Value::text(
            instant(&a[0]).timestamp().as_second().to_string(),
        ))
    }),
    dated::<1>("dateModify", 2, modify),
    dated::<1>("date_modify", 2, modify),
    dated::<1>("mustDateModify", 2, modify),
    dated::<1>("must_date_modify", 2, modify),
    pure("duration", 1, 1, |a| {
        Ok(Value::text(duration_text(to_int(&a[0]))))
    }),
];

struct Time(Zoned);

impl Object for Time {
    fn type_name(&self) -> &'static str {
        "time.Time"
    }

    fn method(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let int = |n: i64| Some(Ok(Value::Int(n)));
        match name {
            "Format" => Some(text_arg(args, 0).map(|format| Value::text(layout(&self.0, format)))),
            "Unix" => int(self.0.timestamp().as_second()),
            "UnixNano" => int(i64::try_from(self.0.timestamp().as_nanosecond()).unwrap_or(0)),
            "Year" => int(i64::from(self.0.year())),
            "Month" => int(i64::from(self.0.month())),
            "Day" => int(i64::from(self.0.day())),
            "UTC" => Some(Ok(time(self.0.with_time_zone(TimeZone::UTC)))),
            _ => None,
        }
    }

    fn field(&self, _: &str) -> Option<Value> {
        None
    }

    fn data(&self) -> Value {
        Value::text(layout(&self.0, "2006-01-02 15:04:05.999999999 -0700 MST"))
    }
}

fn time(zoned: Zoned) -> Value {
    Value::Object(Rc::new(Time(zoned)))
}

/// A time as given, or as seconds since 1970.
fn told(value: &Value) -> Option<Zoned> {
    let timestamp = match value {
        Value::Object(object) if object.type_name() == "time.Time" => {
            let nanos = object.method("UnixNano", &[])?.ok()?;
            Timestamp::from_nanosecond(i128::from(to_int(&nanos)))
        }
        Value::Int(seconds) => Timestamp::from_second(*seconds),
        _ => return None,
    };
    Some(timestamp.ok()?.to_zoned(TimeZone::system()))
}

fn instant(value: &Value) -> Zoned {
    told(value).unwrap_or_else(Zoned::now)
}

fn date_in_zone(args: &[Value]) -> Result<Value, String> {
    // Sprig falls back to UTC for a zone that it does not know.
    let zone = TimeZone::get(text_arg(args, 2)?).unwrap_or(TimeZone::UTC);
    Ok(Value::text(layout(
        &instant(&args[1]).with_time_zone(zone),
        text_arg(args, 0)?,
    )))
}

/// Adds a Go duration such as `-1.5h30m`; what is not one changes nothing.
fn modify(args: &[Value]) -> Result<Value, String> {
    let date = instant(&args[1]);
    let moved = parse_duration(text_arg(args, 0)?).and_then(|by| date.checked_add(by).ok());
    Ok(time(moved.unwrap_or(date)))
}

fn parse_duration(text: &str) -> Option<SignedDuration> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let value: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let unit = rest
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(rest.len());
        seconds += value
            * match &rest[..unit] {
                "h" => 3600.0,
                "m" => 60.0,
                "s" => 1.0,
                "ms" => 1e-3,
                "us" | "µs" => 1e-6,
                "ns" => 1e-9,
                _ => return None,
            };
        rest = &rest[unit..];
    }
    SignedDuration::try_from_secs_f64(sign * seconds).ok()
}

/// Seconds as Go prints a duration: `1h2m3s`.
fn duration_text(seconds: i64) -> String {
    let (sign, all) = (if seconds < 0 { "-" } else { "" }, seconds.unsigned_abs());
    let (h, m, s) = (all / 3600, all / 60 % 60, all % 60);
    match (h, m) {
        (0, 0) => format!("{sign}{s}s"),
        (0, m) => format!("{sign}{m}m{s}s"),
        (h, m) => format!("{sign}{h}h{m}m{s}s"),
    }
}

/// Formats by Go's reference time, 2006-01-02 15:04:05.
fn layout(time: &Zoned, layout: &str) -> String {
    const PIECES: &[(&str, &str)] = &[
        ("January", "%B"),
        ("Jan", "%b"),
        ("Monday", "%A"),
        ("Mon", "%a"),
        ("MST", "%Z"),
        ("2006", "%Y"),
        ("-07:00", "%:z"),
        ("-0700", "%z"),
        ("Z07:00", "%:z"),
        ("Z0700", "%z"),
        ("01", "%m"),
        ("02", "%d"),
        ("03", "%I"),
        ("04", "%M"),
        ("05", "%S"),
        ("06", "%y"),
        ("15", "%H"),
        ("PM", "%p"),
        ("pm", "%P"),
        ("_2", "%e"),
        ("1", "%-m"),
        ("2", "%-d"),
        ("3", "%-I"),
        ("4", "%-M"),
        ("5", "%-S"),
    ];
    let mut out = String::new();
    let mut rest = layout;
    'next: while let Some(c) = rest.chars().next() {
        if let Some(digits) = rest
            .strip_prefix('.')
            .map(|r| r.len() - r.trim_start_matches(['0', '9']).len())
            && digits > 0
        {
            let nanos = format!("{:09}", time.subsec_nanosecond());
            let shown = nanos.get(..digits.min(9)).unwrap_or(&nanos);
            let shown = if rest.as_bytes()[1] == b'9' {
                shown.trim_end_matches('0')
            } else {
                shown
            };
            if !shown.is_empty() {
                out.push('.');
                out.push_str(shown);
            }
            rest = &rest[1 + digits..];
            continue;
        }
        for (piece, format) in PIECES {
            if let Some(after) = rest.strip_prefix(piece) {
                if piece.starts_with('Z') && time.offset().is_zero() {
                    out.push('Z');
                } else {
                    out.push_str(&time.strftime(*format).to_string());
                }
                rest = after;
                continue 'next;
            }
        }
        out.push(c);
        rest = &rest[c.len_utf8()..];
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_follow_go_layouts() {
        let time = Timestamp::from_second(1_700_000_000)
            .unwrap()
            .to_zoned(TimeZone::UTC);
        assert_eq!(
            layout(&time, "2006-01-02T15:04:05Z07:00"),
            "2023-11-14T22:13:20Z"
        );
        assert_eq!(
            layout(&time, "Mon Jan _2 3:04PM 06"),
            "Tue Nov 14 10:13PM 23"
        );
        assert_eq!(layout(&time, "15:04:05.000"), "22:13:20.000");
    }

    #[test]
    fn what_is_no_time_stands_for_now_and_is_drawn_issue_7() {
        let is_drawn = |name: &str, args: &[Value]| {
            let function = FUNCTIONS.iter().find(|one| one.name == name).unwrap();
            function.check_arity(args.len()).unwrap();
            function.run.is_drawn(args)
        };
        let (format, zone) = (Value::text("2006"), Value::text("UTC"));
        for (then, expected) in [
            (Value::Int(1_700_000_000), false),
            (time(Zoned::now()), false),
            (Value::Nil, true),
            (Value::text("2023-11-14"), true),
            (Value::Int(i64::MAX), true),
        ] {
            for (name, args) in [
                ("date", vec![format.clone(), then.clone()]),
                ("htmlDate", vec![then.clone()]),
                (
                    "dateInZone",
                    vec![format.clone(), then.clone(), zone.clone()],
                ),
                ("htmlDateInZone", vec![then.clone(), zone.clone()]),
                ("unixEpoch", vec![then.clone()]),
                ("dateModify", vec![Value::text("1h"), then.clone()]),
            ] {
                assert_eq!(is_drawn(name, &args), expected, "{name}");
            }
        }
        assert!(!is_drawn("duration", &[Value::text("x")]));
        assert!(is_drawn("now", &[]));
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("-1h30m").unwrap().as_secs(), -5400);
        assert!(parse_duration("5 days").is_none());
        assert_eq!(duration_text(3723), "1h2m3s");
    }
}
