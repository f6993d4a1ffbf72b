//! The timeline: drawn, and the same as a table.
//!
//! What is drawn is placed in percent of the drawing's width, so zooming is making it wider: no
//! script computes anything, and what is written stays readable.

use anyhow::Result;

use super::markup::Html;
use super::{Run, class, duration};
use crate::report::text::clock;
use crate::report::timeline::{Group, Lane, Span, Timeline};

/// Height of a lane, and of the axis.
const ROW: usize = 22;
/// About so many marks has the axis; each has four parts, marked when zoomed.
const MARKS: u64 = 8;

pub fn write(run: &Run<'_>, html: &mut Html<'_>) -> Result<()> {
    let timeline = run.timeline;
    // A run that took no time has no lanes to look at.
    if timeline.end_ms == 0 || timeline.groups.is_empty() {
        return Ok(());
    }
    html.within(
        "section",
        &[("id", "timeline"), ("aria-labelledby", "timeline-title")],
        |html| {
            html.element("h2", &[("id", "timeline-title")], "Timeline")?;
            html.literal(
                "<div class=\"zoom\" role=\"group\" aria-label=\"Zoom of the timeline\" hidden>\
             <button type=\"button\" data-zoom=\"out\" aria-label=\"Zoom out\">−</button>\
             <button type=\"button\" data-zoom=\"in\" aria-label=\"Zoom in\">+</button>\
             <button type=\"button\" data-zoom=\"all\">all</button>\
             <p id=\"pointed\">Point at a bar to see what it was.</p></div>\n",
            )?;
            html.within("div", &[("class", "lanes")], |html| {
                html.within(
                    "div",
                    &[("class", "names"), ("aria-hidden", "true")],
                    |html| {
                        html.element("div", &[("class", "axis")], "")?;
                        timeline
                            .groups
                            .iter()
                            .try_for_each(|group| write_names(run, group, html))
                    },
                )?;
                html.within(
                    "div",
                    &[
                        ("class", "drawing"),
                        ("tabindex", "0"),
                        ("role", "region"),
                        ("aria-label", "Timeline, drawn; the same as a table follows"),
                    ],
                    |html| write_drawing(timeline, html),
                )
            })?;
            html.within("details", &[], |html| {
                html.element("summary", &[], "The timeline as a table")?;
                write_table(timeline, html)
            })
        },
    )
}

fn write_names(run: &Run<'_>, group: &Group, html: &mut Html<'_>) -> Result<()> {
    let name = match group.left_out {
        0 => group.name.to_owned(),
        more => format!("{} ({more} more are not shown)", group.name),
    };
    html.element("div", &[("class", "group")], &name)?;
    // The run's own name is in that of most of its objects, and there is little room.
    let own = run.overview.start.as_ref().map(|start| {
        let (stack, run) = (&start.stack, &start.run);
        (format!("stackgate-{run}/"), format!("{stack}-{run}"))
    });
    for lane in &group.lanes {
        let shown = own.as_ref().map_or_else(
            || lane.name.clone(),
            |(namespace, cluster)| lane.name.replace(namespace, "").replace(cluster, "…"),
        );
        html.element("div", &[("title", &lane.name)], &shown)?;
    }
    Ok(())
}

fn write_drawing(timeline: &Timeline, html: &mut Html<'_>) -> Result<()> {
    let rows: usize = timeline
        .groups
        .iter()
        .map(|group| group.lanes.len() + 1)
        .sum();
    let height = ((rows + 1) * ROW).to_string();
    html.within(
        "svg",
        &[
            ("width", "100%"),
            ("height", &height),
            ("role", "img"),
            ("aria-label", "Timeline"),
        ],
        |html| {
            write_axis(timeline.end_ms, &height, html)?;
            let mut row = 1;
            for group in &timeline.groups {
                let y = (row * ROW + ROW / 2).to_string();
                html.within(
                    "line",
                    &[
                        ("class", "group"),
                        ("x1", "0"),
                        ("x2", "100%"),
                        ("y1", &y),
                        ("y2", &y),
                    ],
                    |_| Ok(()),
                )?;
                row += 1;
                for lane in &group.lanes {
                    write_lane(lane, row, timeline.end_ms, html)?;
                    row += 1;
                }
            }
            Ok(())
        },
    )
}

/// Marks at round times.
fn write_axis(end_ms: u64, height: &str, html: &mut Html<'_>) -> Result<()> {
    let step = step(end_ms);
    let part = (step / 4).max(1);
    for (number, at) in (0..=end_ms)
        .step_by(usize::try_from(part).unwrap_or(usize::MAX))
        .enumerate()
    {
        let whole = number % 4 == 0;
        // The last text would stick out.
        let at_end = at > end_ms - end_ms / 20;
        let x = percent(at, end_ms);
        let class = if whole { "mark" } else { "part" };
        html.within("g", &[("class", class)], |html| {
            html.within(
                "line",
                &[("x1", &x), ("x2", &x), ("y1", "18"), ("y2", height)],
                |_| Ok(()),
            )?;
            let anchor = match (number, at_end) {
                (0, _) => "start",
                (_, true) => "end",
                _ => "middle",
            };
            html.element(
                "text",
                &[("x", &x), ("y", "13"), ("text-anchor", anchor)],
                &moment(at, step),
            )
        })?;
    }
    Ok(())
}

/// A round time between two marks.
fn step(end_ms: u64) -> u64 {
    const ROUND: [u64; 17] = [
        4, 20, 100, 200, 400, 1000, 2000, 4000, 10_000, 20_000, 60_000, 120_000, 300_000, 600_000,
        1_200_000, 3_600_000, 7_200_000,
    ];
    let wanted = end_ms / MARKS;
    let found = ROUND.into_iter().find(|round| *round >= wanted);
    found.unwrap_or_else(|| wanted.div_ceil(3_600_000) * 3_600_000)
}

fn moment(at_ms: u64, step: u64) -> String {
    if step < 4000 {
        let seconds = format!("{:.3}", at_ms as f64 / 1000.0);
        return format!("{} s", seconds.trim_end_matches('0').trim_end_matches('.'));
    }
    clock(at_ms / 1000)
}

fn percent(at_ms: u64, end_ms: u64) -> String {
    format!("{:.3}%", at_ms as f64 * 100.0 / end_ms as f64)
}

fn write_lane(lane: &Lane, row: usize, end_ms: u64, html: &mut Html<'_>) -> Result<()> {
    for (number, span) in lane.spans.iter().enumerate() {
        // Neighbours look different, so that it is seen where one ends.
        let mut class = class(span.tone).to_owned();
        if number % 2 == 1 {
            class.push_str(" odd");
        }
        let from = percent(span.from_ms, end_ms);
        html.within("g", &[("class", &class)], |html| {
            html.element(
                "title",
                &[],
                &format!("{}: {} ({})", lane.name, span.what, when(span)),
            )?;
            if span.from_ms == span.to_ms {
                let y = (row * ROW + ROW / 2).to_string();
                return html.within("circle", &[("cx", &from), ("cy", &y), ("r", "4")], |_| {
                    Ok(())
                });
            }
            let width = percent(span.to_ms - span.from_ms, end_ms);
            let (y, height) = ((row * ROW + 4).to_string(), (ROW - 8).to_string());
            html.within(
                "rect",
                &[
                    ("x", &from),
                    ("y", &y),
                    ("width", &width),
                    ("height", &height),
                ],
                |_| Ok(()),
            )
        })?;
    }
    Ok(())
}

fn when(span: &Span) -> String {
    let (from, to) = (clock(span.from_ms / 1000), clock(span.to_ms / 1000));
    if span.from_ms == span.to_ms {
        return from;
    }
    format!("{from} to {to}, {}", lasted(span))
}

fn lasted(span: &Span) -> String {
    duration((span.to_ms - span.from_ms) as f64 / 1000.0)
}

fn write_table(timeline: &Timeline, html: &mut Html<'_>) -> Result<()> {
    html.within("div", &[("class", "wide"), ("tabindex", "0"), ("role", "region"), ("aria-label", "Timeline as a table")], |html| {
        html.within("table", &[], |html| {
            html.literal(
                "<thead><tr><th scope=\"col\">What</th><th scope=\"col\">From</th><th scope=\"col\">Lasted</th>\
                 <th scope=\"col\">How it was</th></tr></thead>\n",
            )?;
            for group in &timeline.groups {
                html.within("tbody", &[], |html| {
                    html.within("tr", &[("class", "group")], |html| {
                        html.element("th", &[("colspan", "4"), ("scope", "rowgroup")], group.name)
                    })?;
                    for lane in &group.lanes {
                        for span in &lane.spans {
                            html.within("tr", &[], |html| {
                                html.element("th", &[("scope", "row")], &lane.name)?;
                                html.element("td", &[], &clock(span.from_ms / 1000))?;
                                html.element("td", &[], &lasted(span))?;
                                html.element("td", &[], &span.what)
                            })?;
                        }
                    }
                    Ok(())
                })?;
            }
            Ok(())
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_axis_has_a_handful_of_marks_at_round_times() {
        for end_ms in [
            1,
            60,
            999,
            12_000,
            263_000,
            3_600_000,
            50_000_000,
            1_000_000_000,
        ] {
            let step = step(end_ms);
            assert!(end_ms / step <= 8, "{end_ms}: {step}");
            assert!(step.is_multiple_of(4), "{step}");
        }
        assert_eq!(
            (step(263_000), moment(240_000, 60_000)),
            (60_000, "04:00".to_owned())
        );
        assert_eq!(moment(1250, 1000), "1.25 s");
    }
}
