//! What was measured without a pause: a table of the probes, and for each a chart of how much was answered
//! and how fast, on the run's axis of time, with the same numbers as a table.

use anyhow::Result;

use super::markup::Html;
use super::{Run, class};
use crate::record::{ProbeResult, ProbeWindow};
use crate::report::probes::{self, ProbeView};
use crate::report::text::clock;
use crate::report::words;

/// Height of the part of a chart that shows what was answered, and of the one that shows how fast.
const ANSWERED: u64 = 40;
const LATENCY: u64 = 50;
/// The space between, and above.
const SPACE: u64 = 8;

pub fn write(run: &Run<'_>, html: &mut Html<'_>) -> Result<()> {
    if run.overview.probes.iter().next().is_none() {
        return Ok(());
    }
    html.within(
        "section",
        &[("id", "probes"), ("aria-labelledby", "probes-title")],
        |html| {
            html.element("h2", &[("id", "probes-title")], "Measured without a pause")?;
            write_results(run, html)?;
            let measured = run.overview.probes.iter();
            measured
                .filter(|view| !view.windows.is_empty())
                .try_for_each(|view| write_chart(run, view, html))
        },
    )
}

fn write_results(run: &Run<'_>, html: &mut Html<'_>) -> Result<()> {
    let wide = [
        ("class", "wide"),
        ("tabindex", "0"),
        ("role", "region"),
        ("aria-label", "What the probes have shown"),
    ];
    html.within("div", &wide, |html| {
        html.within("table", &[("class", "probes")], |html| {
            html.literal(
                "<thead><tr><th scope=\"col\">Probe</th><th scope=\"col\"></th><th scope=\"col\">Longest gap</th>\
                 <th scope=\"col\">Lost</th><th scope=\"col\">Answers (median, 99 %)</th><th scope=\"col\">Allowed</th>\
                 <th scope=\"col\">What was seen</th></tr></thead>\n<tbody>",
            )?;
            for result in run.overview.probes.results() {
                write_result(result, html)?;
            }
            html.literal("</tbody>")
        })
    })
}

fn write_result(result: &ProbeResult, html: &mut Html<'_>) -> Result<()> {
    let measured = result.tries > 0;
    let or_none = |text: String| if measured { text } else { "-".to_owned() };
    html.within("tr", &[], |html| {
        html.element(
            "th",
            &[("scope", "row"), ("title", &result.title)],
            &result.probe,
        )?;
        let tone = class(Some(words::outcome_tone(result.outcome)));
        html.element("td", &[("class", tone)], &result.outcome.to_string())?;
        html.element(
            "td",
            &[("class", "number")],
            &or_none(probes::longest(result)),
        )?;
        let lost = or_none(format!("{} of {}", result.lost, result.tries));
        html.element("td", &[("class", "number")], &lost)?;
        let latency = result.latency.as_ref();
        let latency =
            latency.map(|latency| format!("{} ms, {} ms", latency.median_ms, latency.p99_ms));
        html.element(
            "td",
            &[("class", "number")],
            latency.as_deref().unwrap_or("-"),
        )?;
        html.element("td", &[], &probes::budget(&result.budget))?;
        html.element("td", &[], &result.message)
    })
}

fn write_chart(run: &Run<'_>, view: &ProbeView, html: &mut Html<'_>) -> Result<()> {
    let end = run.timeline.end_ms.max(1);
    let slowest = view
        .windows
        .iter()
        .filter_map(|window| window.slowest_ms)
        .max();
    let title = view
        .result
        .as_ref()
        .map_or(view.name.as_str(), |result| &result.title);
    html.within("figure", &[("class", "probe")], |html| {
        html.within("figcaption", &[], |html| {
            html.element("b", &[], &view.name)?;
            let scale = slowest
                .map(|ms| format!("; below, answers up to {ms} ms"))
                .unwrap_or_default();
            html.text(&format!(
                " {title}: above, the share that was not lost{scale}"
            ))
        })?;
        let height = ANSWERED + SPACE * 2 + slowest.map_or(0, |_| LATENCY + SPACE);
        let label = format!("Probe {}, drawn; the same as a table follows", view.name);
        html.within(
            "svg",
            &[
                ("width", "100%"),
                ("height", &height.to_string()),
                ("role", "img"),
                ("aria-label", &label),
            ],
            |html| {
                for window in &view.windows {
                    write_window(window, slowest, end, html)?;
                }
                for gap in &view.gaps {
                    let class = class(Some(probes::gap_tone(gap, view.result.as_ref())));
                    let (x, width) = place(gap.from_ms, gap.to_ms.max(gap.from_ms + 1), end);
                    html.within("g", &[("class", class)], |html| {
                        let from = clock(gap.from_ms / 1000);
                        html.element("title", &[], &format!("{from}: {}", probes::gap(gap)))?;
                        rect(&x, &width, 0, SPACE / 2, html)
                    })?;
                }
                Ok(())
            },
        )?;
        html.within("details", &[], |html| {
            html.element("summary", &[], &format!("Probe {} as a table", view.name))?;
            write_table(view, html)
        })
    })
}

/// Where a span stands in the drawing, and how wide it is, in percent.
fn place(from_ms: u64, to_ms: u64, end_ms: u64) -> (String, String) {
    let percent = |ms: u64| ms as f64 * 100.0 / end_ms as f64;
    let to = to_ms.min(end_ms).max(from_ms);
    (
        format!("{:.3}%", percent(from_ms)),
        format!("{:.3}%", percent(to - from_ms)),
    )
}

fn rect(x: &str, width: &str, y: u64, height: u64, html: &mut Html<'_>) -> Result<()> {
    let (y, height) = (y.to_string(), height.max(1).to_string());
    html.within(
        "rect",
        &[("x", x), ("y", &y), ("width", width), ("height", &height)],
        |_| Ok(()),
    )
}

fn write_window(
    window: &ProbeWindow,
    slowest: Option<u32>,
    end: u64,
    html: &mut Html<'_>,
) -> Result<()> {
    if window.tries == 0 {
        return Ok(());
    }
    let (x, width) = place(window.from_ms, window.to_ms, end);
    let lost = ANSWERED * u64::from(window.lost.min(window.tries)) / u64::from(window.tries);
    html.within("g", &[("class", "good")], |html| {
        html.element("title", &[], &told(window))?;
        rect(&x, &width, SPACE + lost, ANSWERED - lost, html)
    })?;
    if lost > 0 {
        html.within("g", &[("class", "bad")], |html| {
            html.element("title", &[], &told(window))?;
            rect(&x, &width, SPACE, lost, html)
        })?;
    }
    let (Some(slowest), Some(median), Some(worst)) = (slowest, window.median_ms, window.slowest_ms)
    else {
        return Ok(());
    };
    let scaled = |ms: u32| u64::from(ms) * LATENCY / u64::from(slowest.max(1));
    let bottom = ANSWERED + SPACE * 2 + LATENCY;
    for (name, ms) in [("faint", worst), ("plain", median)] {
        html.within("g", &[("class", name)], |html| {
            html.element("title", &[], &told(window))?;
            rect(&x, &width, bottom - scaled(ms).max(1), scaled(ms), html)
        })?;
    }
    Ok(())
}

fn told(window: &ProbeWindow) -> String {
    let at = clock(window.from_ms / 1000);
    let mut text = format!("{at}: {} of {} lost", window.lost, window.tries);
    if let (Some(median), Some(slowest)) = (window.median_ms, window.slowest_ms) {
        text.push_str(&format!(", {median} ms (median), {slowest} ms (slowest)"));
    }
    text
}

fn write_table(view: &ProbeView, html: &mut Html<'_>) -> Result<()> {
    let label = format!("Probe {} as a table", view.name);
    let wide = [
        ("class", "wide"),
        ("tabindex", "0"),
        ("role", "region"),
        ("aria-label", label.as_str()),
    ];
    html.within("div", &wide, |html| {
        html.within("table", &[], |html| {
            html.literal(
                "<thead><tr><th scope=\"col\">From</th><th scope=\"col\">Tries</th><th scope=\"col\">Lost</th>\
                 <th scope=\"col\">Median</th><th scope=\"col\">Slowest</th></tr></thead>\n<tbody>",
            )?;
            let ms = |ms: Option<u32>| ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms"));
            for window in &view.windows {
                html.within("tr", &[], |html| {
                    html.element("th", &[("scope", "row")], &clock(window.from_ms / 1000))?;
                    html.element("td", &[("class", "number")], &window.tries.to_string())?;
                    html.element("td", &[("class", "number")], &window.lost.to_string())?;
                    html.element("td", &[("class", "number")], &ms(window.median_ms))?;
                    html.element("td", &[("class", "number")], &ms(window.slowest_ms))
                })?;
            }
            html.literal("</tbody>")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_reaches_past_the_end_ends_with_it() {
        assert_eq!(
            place(50, 150, 100),
            ("50.000%".to_owned(), "50.000%".to_owned())
        );
        assert_eq!(
            place(120, 150, 100),
            ("120.000%".to_owned(), "0.000%".to_owned())
        );
    }
}
