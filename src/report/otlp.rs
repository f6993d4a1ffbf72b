//! The run as a trace in OTLP's JSON: the run, its phases, what was waited for in each, and its pauses as spans.
//!
//! The same stream gives the same trace, with the same ids, however often it is exported.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use jiff::{SignedDuration, Timestamp};
use opentelemetry_proto::tonic::common::v1::{
    AnyValue, InstrumentationScope, KeyValue, any_value::Value,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::{Event as SpanEvent, SpanKind};
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status, TracesData};
use sha2::{Digest, Sha256};

use super::overview::{Overview, Start};
use super::summary::NO_VERDICT;
use crate::record::{self, Event, Phase, PhaseOutcome, Verdict, What};

/// Writes the trace of a stream as far as it goes: what did not end by then ends there.
///
/// # Errors
/// When the stream cannot be read or is empty, or `out` cannot be written.
pub fn write(stream: &Path, out: &mut dyn Write) -> Result<()> {
    let overview = Overview::read(stream)?;
    let start = overview.start(stream)?;
    let mut trace = Trace::new(start);
    for event in record::read(stream)? {
        let event = event?;
        if event.seq > overview.end_of_stream() {
            break;
        }
        trace.take(&event);
    }
    let data = TracesData {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource(start)),
            scope_spans: vec![ScopeSpans {
                scope: Some(InstrumentationScope {
                    name: "stackgate".to_owned(),
                    version: start.version.clone(),
                    ..InstrumentationScope::default()
                }),
                spans: trace.finish(&overview),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    };
    serde_json::to_writer(&mut *out, &data)?;
    Ok(writeln!(out)?)
}

fn resource(start: &Start) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", "stackgate"),
            text("service.version", &start.version),
            text("service.instance.id", &start.run.to_string()),
            text("stackgate.stack", &start.stack),
            text("stackgate.engine", &start.engine),
            text("stackgate.delivery", &start.delivery),
            text("stackgate.release.from", &start.from.tag),
            text("stackgate.release.to", &start.to.tag),
            flag("stackgate.rehearsal", start.rehearsal.is_some()),
        ],
        ..Resource::default()
    }
}

struct Trace {
    id: Vec<u8>,
    /// The span of the run.
    root: Vec<u8>,
    began: Timestamp,
    now: Timestamp,
    spans: Vec<Span>,
    /// The spans that have not ended, by their place in `spans`.
    phases: BTreeMap<Phase, usize>,
    waits: BTreeMap<(Phase, String), usize>,
    pause: Option<usize>,
}

impl Trace {
    fn new(start: &Start) -> Self {
        let id = digest(
            &[
                start.run.as_str().as_bytes(),
                start.at.to_string().as_bytes(),
            ],
            16,
        );
        let root = digest(&[&id, b"run"], 8);
        Self {
            id,
            root,
            began: start.at,
            now: start.at,
            spans: Vec::new(),
            phases: BTreeMap::new(),
            waits: BTreeMap::new(),
            pause: None,
        }
    }

    fn take(&mut self, event: &Event) {
        self.now = self.now.max(event.at);
        match &event.what {
            What::PhaseStarted { phase, deadline_s } => {
                let attributes = vec![whole("stackgate.deadline_seconds", *deadline_s)];
                let name = format!("phase {phase}");
                let parent = self.root.clone();
                let at = self.begin(event.seq, parent, name, event.at, attributes);
                self.phases.insert(*phase, at);
            }
            What::PhaseFinished {
                phase,
                outcome,
                message,
                ..
            } => {
                if let Some(at) = self.phases.remove(phase) {
                    let code = match outcome {
                        PhaseOutcome::Passed => StatusCode::Ok,
                        PhaseOutcome::Failed | PhaseOutcome::Aborted => StatusCode::Error,
                        PhaseOutcome::Skipped { .. } => StatusCode::Unset,
                    };
                    self.end(at, event.at, code, message.as_deref().unwrap_or_default());
                }
            }
            What::WaitStarted {
                phase,
                what,
                deadline_s,
            } => {
                let at = self.wait(event, *phase, what, event.at);
                let deadline = whole("stackgate.deadline_seconds", *deadline_s);
                self.spans[at].attributes.push(deadline);
            }
            What::Blocked {
                phase,
                what,
                blockers,
            } => {
                let at = self.wait(event, *phase, what, event.at);
                if let Some(first) = blockers.first() {
                    let more = whole("stackgate.blockers", blockers.len() as u64);
                    self.tell(at, event.at, &first.to_string(), vec![more]);
                }
            }
            What::WaitFinished {
                phase,
                what,
                satisfied,
                seconds,
                ..
            } => {
                // One that nothing ever blocked is told at its end only.
                let began = event
                    .at
                    .checked_sub(SignedDuration::from_secs_f64(seconds.max(0.0)))
                    .unwrap_or(event.at);
                let at = self.wait(event, *phase, what, began);
                self.waits.remove(&(*phase, what.clone()));
                let (code, message) = match satisfied {
                    true => (StatusCode::Ok, ""),
                    false => (StatusCode::Error, "given up"),
                };
                self.end(at, event.at, code, message);
            }
            What::Finding(finding) => {
                if let Some(at) = self.phases.values().next_back().copied() {
                    let said = vec![
                        text("stackgate.object", &finding.object.to_string()),
                        text("stackgate.message", &finding.message),
                    ];
                    self.tell(at, event.at, &finding.cause, said);
                }
            }
            What::Paused(pause) => {
                let name = format!("paused {}", pause.place);
                let parent = self.parent(pause.phase);
                self.pause = Some(self.begin(event.seq, parent, name, event.at, Vec::new()));
            }
            What::PauseEnded { decision, .. } => {
                if let Some(at) = self.pause.take() {
                    self.end(at, event.at, StatusCode::Ok, decision.words());
                }
            }
            _ => {}
        }
    }

    /// The span of a phase that lasts, else that of the run.
    fn parent(&self, phase: Phase) -> Vec<u8> {
        let at = self.phases.get(&phase);
        at.map_or_else(|| self.root.clone(), |at| self.spans[*at].span_id.clone())
    }

    /// The span of a wait, begun if it is not yet.
    fn wait(&mut self, event: &Event, phase: Phase, what: &str, began: Timestamp) -> usize {
        let key = (phase, what.to_owned());
        if let Some(at) = self.waits.get(&key) {
            return *at;
        }
        let parent = self.parent(phase);
        let name = format!("wait for {what}");
        let at = self.begin(event.seq, parent, name, began.max(self.began), Vec::new());
        self.waits.insert(key, at);
        at
    }

    fn begin(
        &mut self,
        seq: u64,
        parent: Vec<u8>,
        name: String,
        at: Timestamp,
        attributes: Vec<KeyValue>,
    ) -> usize {
        self.spans.push(Span {
            trace_id: self.id.clone(),
            span_id: digest(&[&self.id, &seq.to_be_bytes()], 8),
            parent_span_id: parent,
            name,
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: nanoseconds(at),
            attributes,
            ..Span::default()
        });
        self.spans.len() - 1
    }

    fn end(&mut self, at: usize, when: Timestamp, code: StatusCode, message: &str) {
        let span = &mut self.spans[at];
        span.end_time_unix_nano = nanoseconds(when);
        span.status = Some(Status {
            code: code.into(),
            // Only what went wrong has a message there.
            message: match code {
                StatusCode::Error => message.to_owned(),
                _ => String::new(),
            },
        });
        if !message.is_empty() {
            span.attributes.push(text("stackgate.message", message));
        }
    }

    fn tell(&mut self, at: usize, when: Timestamp, name: &str, attributes: Vec<KeyValue>) {
        self.spans[at].events.push(SpanEvent {
            time_unix_nano: nanoseconds(when),
            name: name.to_owned(),
            attributes,
            ..SpanEvent::default()
        });
    }

    fn finish(mut self, overview: &Overview) -> Vec<Span> {
        let open = self.spans.iter().enumerate();
        let open: Vec<usize> = open
            .filter(|(_, span)| span.end_time_unix_nano == 0)
            .map(|(at, _)| at)
            .collect();
        for at in open {
            self.end(at, self.now, StatusCode::Unset, "not ended");
        }
        let told = overview.verdict.as_ref();
        let reason = told.map_or(NO_VERDICT, |(_, reason, _)| reason);
        let open = told.is_some_and(|(verdict, ..)| *verdict == Verdict::Open);
        let code = if open {
            StatusCode::Ok
        } else {
            StatusCode::Error
        };
        let stack = overview.start.as_ref().map(|start| start.stack.as_str());
        let (_, word) = overview.verdict_in_words();
        let root = Span {
            trace_id: self.id.clone(),
            span_id: self.root.clone(),
            name: format!("gate {}", stack.unwrap_or_default()),
            kind: SpanKind::Internal.into(),
            start_time_unix_nano: nanoseconds(self.began),
            attributes: vec![text("stackgate.verdict", word)],
            ..Span::default()
        };
        self.spans.insert(0, root);
        self.end(0, self.now, code, reason);
        self.spans
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn whole(key: &str, value: u64) -> KeyValue {
    attribute(
        key,
        Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
    )
}

fn flag(key: &str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn nanoseconds(at: Timestamp) -> u64 {
    u64::try_from(at.as_nanosecond()).unwrap_or_default()
}

/// The first bytes of a digest; never all zero, which would be no id.
fn digest(parts: &[&[u8]], length: usize) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    let mut bytes = hash.finalize()[..length].to_vec();
    if bytes.iter().all(|byte| *byte == 0) {
        bytes[0] = 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use serde_json::Value as Json;

    use super::*;
    use crate::record::{
        Blocker, Clock, Counts, Decision, FORMAT, ObjectRef, Pause, Recorder, ReleaseRef,
    };

    /// A run that is paused, waits, fails in its upgrade, and is killed in its teardown.
    fn stream() -> (tempfile::TempDir, Recorder) {
        let folder = tempfile::tempdir().unwrap();
        let clock = Clock::starting_at("2026-01-01T00:00:00Z".parse().unwrap());
        let recorder = Recorder::create(folder.path(), clock, vec![]).unwrap();
        let release = |tag: &str| ReleaseRef {
            tag: tag.to_owned(),
            kubernetes: "v1.35.0".to_owned(),
        };
        recorder.emit(What::RunStarted {
            run: "7f3a09bc".parse().unwrap(),
            format: FORMAT,
            version: "0.1.0".to_owned(),
            stack: "demo".to_owned(),
            from: release("demo-1"),
            to: release("demo-2"),
            engine: "kind".to_owned(),
            delivery: "direct".to_owned(),
            command: vec![],
            rehearsal: None,
        });
        (folder, recorder)
    }

    async fn told() -> (tempfile::TempDir, Recorder) {
        let (folder, recorder) = stream();
        let second = || tokio::time::advance(std::time::Duration::from_secs(1));
        let phase = Phase::Upgrade;
        recorder.emit(What::Paused(Pause {
            phase,
            place: "before upgrade".to_owned(),
            failed: vec![],
            clusters: vec![],
            control: String::new(),
            keys: false,
            may_retry: false,
            at_most_s: 60,
        }));
        second().await;
        recorder.emit(What::PauseEnded {
            phase,
            decision: Decision::GoesOn,
            by: "a key".to_owned(),
            seconds: 1.0,
        });
        recorder.emit(What::PhaseStarted {
            phase,
            deadline_s: 900,
        });
        recorder.emit(What::WaitStarted {
            phase,
            what: "rain".to_owned(),
            deadline_s: 60,
        });
        recorder.emit(What::Blocked {
            phase,
            what: "rain".to_owned(),
            blockers: vec![Blocker::new(
                ObjectRef::new("management", "Machine", "", "a"),
                "dry",
            )],
        });
        second().await;
        recorder.emit(What::WaitFinished {
            phase,
            what: "rain".to_owned(),
            satisfied: false,
            seconds: 1.0,
            reaction_ms: None,
        });
        recorder.emit(What::WaitFinished {
            phase,
            what: "at once".to_owned(),
            satisfied: true,
            seconds: 0.5,
            reaction_ms: None,
        });
        recorder.emit(What::PhaseFinished {
            phase,
            outcome: PhaseOutcome::Failed,
            seconds: 1.0,
            message: Some("no rain".to_owned()),
        });
        recorder.emit(What::Verdict {
            verdict: Verdict::Closed,
            reason: "upgrade: no rain".to_owned(),
            counts: Counts::default(),
        });
        recorder.emit(What::PhaseStarted {
            phase: Phase::Teardown,
            deadline_s: 60,
        });
        (folder, recorder)
    }

    fn export(recorder: &Recorder) -> String {
        let mut out = Vec::new();
        write(recorder.path(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn phases_waits_and_pauses_are_spans_of_one_trace() {
        let (_folder, recorder) = told().await;
        let data: TracesData = serde_json::from_str(&export(&recorder)).unwrap();
        let spans = &data.resource_spans[0].scope_spans[0].spans;
        let root = &spans[0];
        let shown = spans.iter().map(|span| {
            let parent = spans
                .iter()
                .find(|one| one.span_id == span.parent_span_id)
                .map_or("-", |parent| parent.name.as_str());
            let since = |nanos: u64| (nanos - root.start_time_unix_nano) / 1_000_000;
            let status = span.status.as_ref().unwrap();
            format!(
                "{} < {parent}: {}-{} {:?} {:?} events {}",
                span.name,
                since(span.start_time_unix_nano),
                since(span.end_time_unix_nano),
                status.code(),
                status.message,
                span.events.len()
            )
        });
        let shown: Vec<String> = shown.collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        gate demo < -: 0-2000 Error "upgrade: no rain" events 0
        paused before upgrade < gate demo: 0-1000 Ok "" events 0
        phase upgrade < gate demo: 1000-2000 Error "no rain" events 0
        wait for rain < phase upgrade: 1000-2000 Error "given up" events 1
        wait for at once < phase upgrade: 1500-2000 Ok "" events 0
        phase teardown < gate demo: 2000-2000 Unset "" events 0
        "#);
        let mut ids: Vec<_> = spans.iter().map(|span| &span.span_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), spans.len());
        assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    }

    /// What readers of OTLP's JSON rely on: ids in hexadecimal, times as strings, names in camel case.
    #[tokio::test(start_paused = true)]
    async fn it_is_the_json_that_collectors_read_and_always_the_same() {
        let (_folder, recorder) = told().await;
        let text = export(&recorder);
        assert_eq!(text, export(&recorder));
        let json: Json = serde_json::from_str(&text).unwrap();
        let scope = &json["resourceSpans"][0]["scopeSpans"][0];
        assert_eq!(scope["scope"]["name"], "stackgate");
        let hexadecimal = |value: &Json, digits: usize| {
            let text = value.as_str().unwrap();
            text.len() == digits && text.chars().all(|c| c.is_ascii_hexdigit())
        };
        for span in scope["spans"].as_array().unwrap() {
            assert!(hexadecimal(&span["traceId"], 32), "{span}");
            assert!(hexadecimal(&span["spanId"], 16), "{span}");
            let began = span["startTimeUnixNano"].as_str().unwrap();
            assert!(
                began.parse::<u64>().unwrap() > 1_700_000_000_000_000_000,
                "{span}"
            );
        }
        let named = json["resourceSpans"][0]["resource"]["attributes"]
            .as_array()
            .unwrap();
        let service = named
            .iter()
            .find(|one| one["key"] == "service.name")
            .unwrap();
        assert_eq!(service["value"]["stringValue"], "stackgate");
    }
}
