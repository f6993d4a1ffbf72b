//! The page of a run in a real browser: what is on it, filter and search, keyboard, contrast, no error. Where
//! there is no Chromium, the tests are shown as ignored and one line says why.

#[path = "common/browser.rs"]
mod browser;
mod common;

use std::process::ExitCode;

use browser::Browser;
use common::stream::{self, Stream};
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::json;

type Tested = Result<(), Failed>;
type Test = (&'static str, fn(&mut Browser) -> Tested);

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let program = browser::program();
    if program.is_none() && !arguments.list {
        eprintln!("the page's tests are skipped: no browser (Debian: apt-get install chromium)");
        arguments.include_ignored = false;
        arguments.ignored = false;
    }
    let tests: [Test; 8] = [
        ("the_verdict_and_the_first_cause_are_at_the_top", top),
        (
            "every_check_is_in_the_table_and_failures_lead_to_their_evidence",
            table,
        ),
        ("filter_and_search_are_in_the_address", filter),
        ("everything_can_be_done_from_the_keyboard", keyboard),
        ("text_is_readable_in_light_and_dark", contrast),
        ("without_scripts_the_essentials_are_there", scriptless),
        ("the_timeline_is_zoomed_and_has_a_table", timeline),
        ("probes_are_drawn_and_have_tables", probes),
    ];
    let trials = tests.map(|(name, test)| {
        let run = move || {
            let mut browser = Browser::start(program.unwrap_or_default(), 1200, 900);
            test(&mut browser)?;
            expect(
                browser.complaints.is_empty(),
                &format!("the page complains: {:?}", browser.complaints),
            )
        };
        Trial::test(name, run).with_ignored_flag(program.is_none())
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn expect(holds: bool, what: &str) -> Tested {
    if holds { Ok(()) } else { Err(what.into()) }
}

/// Opens the page of a stream.
fn open(browser: &mut Browser, stream: &Stream, hash: &str) {
    stream.reports();
    browser.open(&stream.folder.path().join("report.html"), hash);
}

fn probes(browser: &mut Browser) -> Tested {
    open(browser, &stream::probed(), "");
    let rows = browser.evaluate(
        "[...document.querySelectorAll('table.probes tbody tr')].map((row) => row.cells[0].textContent + ' ' + row.cells[1].textContent).join(', ')",
    );
    expect(
        rows == "service pass, denied FAIL, volume skip",
        &rows.to_string(),
    )?;
    let drawn = browser.evaluate(
        "[...document.querySelectorAll('figure.probe')].map((figure) => figure.querySelector('b').textContent + ' ' + figure.querySelectorAll('.bad rect').length).join(', ')",
    );
    // Two windows with losses, and the gap itself.
    expect(drawn == "service 0, denied 3", &drawn.to_string())?;
    let tables = browser.evaluate(
        "[...document.querySelectorAll('figure.probe details')].map((table) => table.querySelectorAll('tbody tr').length).join(' ')",
    );
    expect(tables == "2 2", &tables.to_string())?;
    let lane = browser.evaluate(
        "[...document.querySelectorAll('#timeline title')].map((title) => title.textContent).find((text) => text.startsWith('denied'))",
    );
    let lane = lane.as_str().unwrap_or_default();
    expect(
        lane.contains("seen from demo-cp-1, while node demo-md-0 was drained"),
        lane,
    )
}

/// The ids of the checks that are seen.
const SEEN: &str = "[...document.querySelectorAll('.checks tbody tr')].filter((row) => row.offsetHeight > 0)\
    .map((row) => row.querySelector('th').firstChild.textContent).join(' ')";

fn top(browser: &mut Browser) -> Tested {
    open(browser, &stream::failed_upgrade(), "");
    let title = browser.evaluate("document.title");
    expect(
        title == "gate closed: docker-demo 1-34-v1 → 1-35-v1",
        &title.to_string(),
    )?;
    let heading = browser.evaluate("document.querySelector('h1').textContent");
    expect(heading == "✗Gate closed", &heading.to_string())?;
    let reason = browser.evaluate("document.querySelector('.reason').textContent");
    expect(reason == "node image does not exist", &reason.to_string())?;
    let cause = browser.evaluate("document.querySelector('.cause').textContent");
    let cause = cause.as_str().unwrap_or_default();
    let parts = ["image-not-found", "demo-md-0", "docker: manifest unknown"];
    expect(parts.iter().all(|part| cause.contains(part)), cause)?;
    let above = browser
        .evaluate("document.querySelector('.cause').getBoundingClientRect().bottom < innerHeight");
    expect(above == true, "the first cause is not on the first screen")?;
    let rehearsal = browser.evaluate("document.querySelector('.rehearsal')");
    expect(
        rehearsal.is_null(),
        "a run on real clusters is called a rehearsal",
    )?;
    open(browser, &stream::rehearsed(), "");
    let first = browser.evaluate("document.querySelector('main').firstElementChild.textContent");
    expect(
        first
            .as_str()
            .is_some_and(|first| first.starts_with("Rehearsal")),
        &first.to_string(),
    )
}

fn table(browser: &mut Browser) -> Tested {
    open(browser, &stream::regressed(), "");
    let seen = browser.evaluate(SEEN);
    let expected =
        "addons-live no-restarts dns-resolves gpu storage-class etcd-encrypted nodes-ready";
    expect(seen == expected, &seen.to_string())?;
    let evidence = browser.evaluate(
        "document.querySelector(document.querySelector('.checks tbody a').getAttribute('href')).textContent",
    );
    let evidence = evidence.as_str().unwrap_or_default();
    expect(
        evidence.contains("addons-live") && evidence.contains("expected: cni:v2"),
        evidence,
    )
}

fn filter(browser: &mut Browser) -> Tested {
    let stream = stream::regressed();
    for (hash, expected) in [
        ("#filter=regressed", "addons-live"),
        ("#filter=not-comparable&q=DNS", "dns-resolves"),
        (
            "#q=asks+about",
            "addons-live no-restarts dns-resolves gpu storage-class etcd-encrypted nodes-ready",
        ),
        ("#filter=nonsense&q=cni", "addons-live"),
        ("#q=nothing-of-the-kind", ""),
    ] {
        open(browser, &stream, hash);
        let seen = browser.evaluate(SEEN);
        expect(seen == expected, &format!("{hash}: {seen}"))?;
    }
    open(browser, &stream, "");
    browser.evaluate("document.querySelector('[data-filter=accepted]').click()");
    let seen = browser.evaluate(SEEN);
    let told =
        browser.evaluate("location.hash + ' ' + document.querySelector('#shown').textContent");
    expect(
        seen == "etcd-encrypted" && told == "#filter=accepted 1 of 7 shown",
        &format!("{seen}; {told}"),
    )?;
    // The numbers at the top are links of the same kind.
    browser.evaluate("document.querySelector('.counts a').click()");
    let seen = browser.evaluate(&format!(
        "new Promise((done) => setTimeout(() => done({SEEN}), 0))"
    ));
    expect(seen == "addons-live", &seen.to_string())
}

fn keyboard(browser: &mut Browser) -> Tested {
    open(browser, &stream::regressed(), "");
    browser.press("/");
    for key in ["d", "n", "s"] {
        browser.press(key);
    }
    let focused =
        browser.evaluate("document.activeElement.id + ' ' + document.activeElement.value");
    let seen = browser.evaluate(SEEN);
    expect(
        focused == "search dns" && seen == "dns-resolves",
        &format!("{focused}; {seen}"),
    )?;
    browser.press("Escape");
    let seen = browser.evaluate(SEEN);
    expect(
        seen.as_str().is_some_and(|seen| seen.contains("gpu")),
        "Escape does not clear the search",
    )?;
    // From the top, each stop of the Tab key is seen, and a filter is among them.
    open(browser, &stream::regressed(), "");
    let mut reached = Vec::new();
    for _ in 0..60 {
        browser.press("Tab");
        let at = browser.evaluate(
            "(() => { const at = document.activeElement; const style = getComputedStyle(at);\
             return at === document.body ? null : [at.dataset.filter ?? at.id ?? '', at.className, \
             style.outlineStyle, at.getAttribute('data-zoom') ?? ''].join('|'); })()",
        );
        let Some(at) = at.as_str().map(str::to_owned) else {
            break;
        };
        expect(
            !at.contains("|none|"),
            &format!("the focus is not seen at {at}"),
        )?;
        if at.starts_with("regressed|") {
            browser.press("Enter");
        }
        reached.push(at);
    }
    let seen = browser.evaluate(SEEN);
    expect(seen == "addons-live", &format!("{seen}: {reached:?}"))?;
    for wanted in ["search|", "|drawing|", "|in"] {
        let found = reached.iter().any(|at| at.contains(wanted));
        expect(found, &format!("{wanted} is not reached: {reached:?}"))?;
    }
    Ok(())
}

/// Every text's contrast with what lies behind it, as WCAG 2 counts; those that are too low.
const TOO_LOW: &str = "(() => {
    const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((part) => part / 255)
        .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
        .reduce((sum, part, at) => sum + part * [0.2126, 0.7152, 0.0722][at], 0);
    const behind = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const colour = parse(getComputedStyle(at).backgroundColor);
            if (colour.length === 3 || colour[3] === 1) return colour;
        }
        return [255, 255, 255];
    };
    const low = [];
    let seen = 0;
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
        const element = walker.currentNode.parentElement;
        if (!walker.currentNode.data.trim() || element.closest('script, title') || !element.getClientRects().length) continue;
        seen += 1;
        const style = getComputedStyle(element);
        const front = parse(element.closest('svg') ? style.fill : style.color);
        const [one, other] = [light(front), light(behind(element))].sort((a, b) => b - a);
        const contrast = (one + 0.05) / (other + 0.05);
        if (contrast < 4.5) low.push(contrast.toFixed(2) + ' ' + walker.currentNode.data.trim().slice(0, 40));
    }
    return [seen, low];
})()";

fn contrast(browser: &mut Browser) -> Tested {
    for scheme in ["light", "dark"] {
        browser.emulate(scheme, "screen");
        for stream in [
            stream::regressed(),
            stream::failed_upgrade(),
            stream::rehearsed(),
        ] {
            open(browser, &stream, "");
            let told = browser.evaluate(TOO_LOW);
            expect(told[0].as_u64() > Some(50), "there is no text to look at")?;
            expect(told[1] == json!([]), &format!("{scheme}: {}", told[1]))?;
        }
    }
    let dark = browser.evaluate("getComputedStyle(document.body).backgroundColor");
    expect(
        dark == "rgb(16, 20, 24)",
        &format!("the dark page is {dark}"),
    )
}

fn scriptless(browser: &mut Browser) -> Tested {
    browser.scripts(false);
    let stream = stream::regressed();
    stream.reports();
    browser.open(&stream.folder.path().join("report.html"), "");
    let seen = browser.evaluate(SEEN);
    expect(
        seen.as_str()
            .is_some_and(|seen| seen.split(' ').count() == 7),
        &seen.to_string(),
    )?;
    let hidden = browser.evaluate(
        "['.controls', '.zoom'].every((name) => document.querySelector(name).offsetHeight === 0)",
    );
    expect(hidden == true, "controls are shown that do nothing")?;
    let bars = browser.evaluate("document.querySelectorAll('svg rect').length");
    expect(bars.as_u64() > Some(3), &format!("{bars} bars are drawn"))?;
    browser.scripts(true);
    Ok(())
}

fn timeline(browser: &mut Browser) -> Tested {
    open(browser, &stream::regressed(), "");
    let width = "document.querySelector('.drawing svg').getBoundingClientRect().width";
    let before = browser.evaluate(width).as_f64().unwrap_or_default();
    browser.evaluate("document.querySelector('.drawing').focus()");
    browser.press("+");
    browser.press("+");
    let after = browser.evaluate(width).as_f64().unwrap_or_default();
    expect(
        (after / before - 4.0).abs() < 0.01,
        &format!("{before} became {after}"),
    )?;
    browser.press("0");
    let again = browser.evaluate(width).as_f64().unwrap_or_default();
    expect(
        (again / before - 1.0).abs() < 0.01,
        &format!("{before} became {again}"),
    )?;
    // Whatever is drawn is in the table, too.
    let missing = browser.evaluate(
        "(() => { const table = document.querySelector('#timeline details table').textContent;\
         return [...document.querySelectorAll('svg g title')].map((title) => title.textContent.split(':')[0])\
         .filter((name) => !table.includes(name)); })()",
    );
    expect(missing == json!([]), &missing.to_string())?;
    let reason = browser.evaluate(
        "[...document.querySelectorAll('svg title')].map((title) => title.textContent)\
        .find((title) => title.includes('WaitingForNodeRef')) ?? ''",
    );
    expect(
        reason
            .as_str()
            .is_some_and(|reason| reason.contains("NodeHealthy False")),
        "no reason on hover",
    )
}
