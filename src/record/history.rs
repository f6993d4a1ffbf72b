//! The history of watched objects: what each looked like, and when, as gzipped JSON lines.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

/// Keys whose values may hold secrets, or are long and tell nothing of what happened.
const LEFT_OUT: [&str; 7] = [
    "env",
    "envFrom",
    "data",
    "stringData",
    "binaryData",
    "managedFields",
    "kubectl.kubernetes.io/last-applied-configuration",
];

/// What became of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// Milliseconds since the history began.
    pub at_ms: u64,
    /// `management` or `workload`.
    pub cluster: String,
    /// Whether the object is gone; then it is told as it was last.
    pub gone: bool,
    /// The object, without what may be secret.
    pub object: Value,
}

/// The writer of a history; clones write to the same file.
#[derive(Clone)]
pub struct History(Arc<Mutex<Option<Inner>>>);

struct Inner {
    file: GzEncoder<File>,
    began: Instant,
}

impl History {
    /// Begins a history in a new file.
    ///
    /// # Errors
    /// When the file cannot be created, or is there already.
    pub fn create(path: &Path) -> Result<Self> {
        let file = File::create_new(path)
            .with_context(|| format!("failed to create the history {}", path.display()))?;
        let inner = Inner {
            file: GzEncoder::new(file, Compression::default()),
            began: Instant::now(),
        };
        Ok(Self(Arc::new(Mutex::new(Some(inner)))))
    }

    /// Appends what became of an object. A history that cannot be written must not end a run.
    pub fn tell(&self, cluster: &str, gone: bool, object: &Value) {
        let mut inner = self.lock();
        let Some(inner) = inner.as_mut() else {
            return;
        };
        let mut object = object.clone();
        leave_out(&mut object);
        let moment = Moment {
            at_ms: u64::try_from(inner.began.elapsed().as_millis()).unwrap_or(u64::MAX),
            cluster: cluster.to_owned(),
            gone,
            object,
        };
        if let Ok(mut line) = serde_json::to_vec(&moment) {
            line.push(b'\n');
            let _ = inner.file.write_all(&line);
        }
    }

    /// Writes out what is left; what is told afterwards is not taken any more.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&self) -> Result<()> {
        match self.lock().take() {
            Some(inner) => {
                inner.file.finish().context("failed to write the history")?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Inner>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn leave_out(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|key, _| !LEFT_OUT.contains(&key.as_str()));
            fields.values_mut().for_each(leave_out);
        }
        Value::Array(items) => items.iter_mut().for_each(leave_out),
        _ => {}
    }
}

/// Reads a history back.
///
/// # Errors
/// When the file cannot be opened, or a line is not a moment.
pub fn read_history(path: &Path) -> Result<Vec<Moment>> {
    let shown = path.display();
    let file = File::open(path).with_context(|| format!("failed to open the history {shown}"))?;
    BufReader::new(MultiGzDecoder::new(BufReader::new(file)))
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let line = line.with_context(|| format!("{shown}: not gzipped lines"))?;
            serde_json::from_str(&line)
                .with_context(|| format!("{shown}:{}: not a moment of a history", number + 1))
        })
        .collect()
}

/// Reads a history back, moment by moment, without holding it in memory. Of a run that was killed the file
/// has no end: what can be read of it is all there is.
///
/// # Errors
/// When the file cannot be opened; a line in its middle that is not a moment is an error in its place.
pub fn moments(path: &Path) -> Result<impl Iterator<Item = Result<Moment>> + use<>> {
    let shown = path.display().to_string();
    let file = File::open(path).with_context(|| format!("failed to open the history {shown}"))?;
    let mut lines = BufReader::new(MultiGzDecoder::new(BufReader::new(file)))
        .lines()
        .map_while(Result::ok)
        .enumerate()
        .peekable();
    Ok(std::iter::from_fn(move || {
        let (number, line) = lines.next()?;
        match serde_json::from_str(&line) {
            Ok(moment) => Some(Ok(moment)),
            Err(_) if lines.peek().is_none() => None,
            Err(error) => Some(
                Err(error)
                    .with_context(|| format!("{shown}:{}: not a moment of a history", number + 1)),
            ),
        }
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn what_may_be_secret_never_gets_in() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.gz");
        let history = History::create(&path).unwrap();
        let pod = json!({"kind": "Pod", "metadata": {"name": "a"},
            "spec": {"containers": [{"name": "c", "env": [{"name": "TOKEN", "value": "secret"}]}]}});
        history.tell("workload", false, &pod);
        history.finish().unwrap();
        history.tell("workload", true, &pod);
        let moments = read_history(&path).unwrap();
        assert_eq!(moments.len(), 1);
        let container = &moments[0].object["spec"]["containers"][0];
        assert_eq!(container, &json!({"name": "c"}));
    }

    #[tokio::test]
    async fn a_history_without_an_end_is_read_as_far_as_it_goes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("history.gz");
        let history = History::create(&path).unwrap();
        for number in 0..20_000_u64 {
            // Something that cannot be made much shorter.
            let name = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_string();
            history.tell("workload", false, &json!({"kind": "Pod", "name": name}));
        }
        history.finish().unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        let read = moments(&path).unwrap().map(Result::unwrap).count();
        assert!((1000..19_000).contains(&read), "{read}");
    }
}
