//! What must not be written down, taken out where it enters: Secrets' values, values of environment
//! variables, and whatever looks like a credential, wherever it is repeated.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};
use serde_json::Value;

/// What stands where something was taken out.
pub const REDACTED: &str = "(redacted)";
/// The same where base64 is expected.
const REDACTED_DATA: &str = "KHJlZGFjdGVkKQ==";
/// The annotation in which `kubectl apply` repeats the whole object.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Fields whose text is a credential, whatever the kind: lower case, without `-` and `_`.
const CREDENTIALS: [&str; 16] = [
    "token",
    "tokensecret",
    "password",
    "passwd",
    "passphrase",
    "clientsecret",
    "secretkey",
    "secretaccesskey",
    "accesskey",
    "apikey",
    "privatekey",
    "certificatekey",
    "clientkeydata",
    "kubeconfig",
    "bearertoken",
    "authorization",
];

/// Keys of Secrets that hold nothing secret, which is repeated in many places.
const OPEN_KEYS: [&str; 6] = [
    "namespace",
    "ca.crt",
    "tls.crt",
    "username",
    "expiration",
    "token-id",
];

/// What looks like a credential in any text. A group `keep` before it stays.
static CREDENTIAL: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    [
        // PEM: private keys, also with their line ends written as `\n`.
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)",
        // The same in base64, as kubeconfigs have it: `-----BEGIN ` and then not `CERTIFICATE`.
        r"LS0tLS1CRUdJTi(BSU0Eg|BQUklWQVRFI|BFQyBQUklWQVRFI|BFTkNSWVBURUQg)[A-Za-z0-9+/=]+",
        // JSON Web Tokens (RFC 7519), also without their payload (RFC 7797).
        r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*\.[A-Za-z0-9_-]{8,}",
        // kubeadm's bootstrap tokens.
        r"\b[a-z0-9]{6}\.[a-z0-9]{16}\b",
        r"(?i)(?P<keep>\b(bearer|basic)\s+)[A-Za-z0-9._~+/=-]{8,}",
        r"(?P<keep>\b[a-z][a-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?P<after>@)",
        r#"(?i)(?P<keep>(password|passwd|passphrase|token|api[_-]?key|secret[_-]?key|client[_-]?secret|private[_-]?key)\\?["']?\s*[:=]\s*\\?["']?)[^\s"',;&\\]{6,}"#,
        r#"(?i)(?P<keep>\bsecret=["']?)[^\s"',;&]{6,}"#,
    ]
    .iter()
    .filter_map(|pattern| Regex::new(&format!("(?s){pattern}")).ok())
    .collect()
});

/// One look that tells for most texts that there is nothing in them.
static SUSPECT: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let words = r"(?i)PRIVATE KEY|LS0tLS1CRUdJTi|eyJ|bearer|basic|://[^\s/]*@|passw|passphrase|token|api[_-]?key|secret|private[_-]?key|[a-z0-9]\.[a-z0-9]{16}";
    Regex::new(words).ok()
});

/// A flag whose value follows as the next word.
static FLAG: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(r"(?i)^--?[a-z0-9-]*(token|password|passwd|secret|api-?key|private-?key)$").ok()
});

/// Takes out what must not be written down, and remembers what Secrets held to find it elsewhere;
/// clones share what they know. What they know is in memory only.
#[derive(Clone, Default)]
pub struct Redactor(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    /// Words of Secrets' values.
    words: HashSet<Box<str>>,
    /// Values that are not one word.
    odd: Vec<Box<str>>,
}

/// What a word is made of, for finding words of Secrets elsewhere.
fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "+/_.~-".contains(c)
}

impl Redactor {
    /// An object as it may be written down, but for what Secrets hold ([`Self::known`]), which is remembered from
    /// each that is seen here.
    pub fn object(&self, object: &mut Value) {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.shift_remove("managedFields");
            let annotations = metadata
                .get_mut("annotations")
                .and_then(Value::as_object_mut);
            annotations.map(|annotations| annotations.shift_remove(LAST_APPLIED));
        }
        let kind = object["kind"].as_str().unwrap_or_default();
        if kind == "Secret" {
            self.secret(object);
            return;
        }
        // Files that are laid on machines: cloud credentials, registries' logins.
        let files = kind.starts_with("Kubeadm");
        Self::walk(object, "", files);
    }

    /// A text as it may be written down.
    pub fn text<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let text = Self::form(text);
        match self.known(&text) {
            Some(replaced) => Cow::Owned(replaced),
            None => text,
        }
    }

    /// A text without what Secrets were seen to hold; none when nothing of it is in there. In JSON nothing but
    /// strings is changed.
    #[must_use]
    pub fn known(&self, text: &str) -> Option<String> {
        self.lock().without(text)
    }

    /// A text without what looks like a credential.
    fn form(text: &str) -> Cow<'_, str> {
        let mut text = Cow::Borrowed(text);
        if SUSPECT
            .as_ref()
            .is_none_or(|suspect| suspect.is_match(&text))
        {
            for pattern in CREDENTIAL.iter() {
                let replaced = pattern.replace_all(&text, |found: &Captures<'_>| {
                    let of = |name| found.name(name).map_or("", |group| group.as_str());
                    if found[0].ends_with(REDACTED_DATA) {
                        // It was taken out already, and is to stay base64.
                        return found[0].to_owned();
                    }
                    format!("{}{REDACTED}{}", of("keep"), of("after"))
                });
                if let Cow::Owned(replaced) = replaced {
                    text = Cow::Owned(replaced);
                }
            }
        }
        text
    }

    /// A command line as it may be written down.
    #[must_use]
    pub fn words(&self, words: &[String]) -> Vec<String> {
        let mut told = Vec::with_capacity(words.len());
        let mut follows = false;
        for word in words {
            let value = std::mem::replace(&mut follows, is_flag(word));
            if value && !word.starts_with('-') {
                told.push(REDACTED.to_owned());
            } else {
                told.push(self.text(word).into_owned());
            }
        }
        told
    }

    /// A document of any form as it may be written down; none when it may be written as it is.
    #[must_use]
    pub fn document(&self, json: &str) -> Option<Value> {
        if let Cow::Borrowed(_) = self.text(json) {
            return None;
        }
        let mut value: Value = serde_json::from_str(json).ok()?;
        self.strings(&mut value);
        Some(value)
    }

    fn strings(&self, value: &mut Value) {
        match value {
            Value::String(text) => {
                if let Cow::Owned(replaced) = self.text(text) {
                    *text = replaced;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.strings(item)),
            Value::Object(fields) => fields.values_mut().for_each(|field| self.strings(field)),
            _ => {}
        }
    }

    fn secret(&self, secret: &mut Value) {
        let mut known = self.lock();
        for (field, encoded) in [("data", true), ("stringData", false)] {
            let Some(data) = secret.get_mut(field).and_then(Value::as_object_mut) else {
                continue;
            };
            for (key, value) in data {
                if let Some(text) = value
                    .as_str()
                    .filter(|_| !OPEN_KEYS.contains(&key.as_str()))
                {
                    known.learn(text, encoded);
                }
                let told = if encoded { REDACTED_DATA } else { REDACTED };
                *value = Value::String(told.to_owned());
            }
        }
        drop(known);
        if let Some(metadata) = secret.get_mut("metadata") {
            Self::walk(metadata, "metadata", false);
        }
    }

    fn walk(value: &mut Value, name: &str, files: bool) {
        match value {
            Value::String(text) => {
                if is_credential(name) || files && name == "content" {
                    REDACTED.clone_into(text);
                } else if let Cow::Owned(replaced) = Self::form(text) {
                    *text = replaced;
                }
            }
            Value::Array(items) if name == "env" => {
                for item in items {
                    if let Some(value) = item.get_mut("value") {
                        *value = Value::String(REDACTED.to_owned());
                    }
                }
            }
            Value::Array(items) if matches!(name, "args" | "command") => {
                let mut follows = false;
                for item in items {
                    let Value::String(word) = item else { continue };
                    let value = std::mem::replace(&mut follows, is_flag(word));
                    if value && !word.starts_with('-') {
                        REDACTED.clone_into(word);
                    } else if let Cow::Owned(replaced) = Self::form(word) {
                        *word = replaced;
                    }
                }
            }
            Value::Array(items) => {
                for item in items {
                    Self::walk(item, name, files);
                }
            }
            Value::Object(fields) => {
                for (name, value) in fields {
                    Self::walk(value, name, files);
                }
            }
            _ => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_flag(word: &str) -> bool {
    FLAG.as_ref().is_some_and(|flag| flag.is_match(word))
}

fn is_credential(name: &str) -> bool {
    // Most names are too long or too short, which costs nothing to see.
    if !(5..=20).contains(&name.len()) {
        return false;
    }
    let plain: String = name
        .chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .map(|c| c.to_ascii_lowercase())
        .collect();
    CREDENTIALS.contains(&plain.as_str())
}

impl Known {
    /// Remembers what a Secret holds under a key.
    fn learn(&mut self, text: &str, encoded: bool) {
        if encoded {
            let decoded = STANDARD.decode(text).ok();
            if let Some(decoded) = decoded.and_then(|bytes| String::from_utf8(bytes).ok()) {
                self.value(&decoded);
            }
            // It may be repeated as it is.
            if text.len() >= 16 {
                self.word(text.trim_end_matches('='));
            }
        } else {
            self.value(text);
        }
    }

    fn value(&mut self, text: &str) {
        let text = text.trim();
        if text.contains(char::is_whitespace) {
            // A file: what is long and no name of anything.
            let words = text.split(|c| !in_word(c));
            for word in words.filter(|word| word.len() >= 24 && is_random(word)) {
                // A certificate is no secret, and stands in many places.
                if !word.starts_with("LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS") {
                    self.word(word);
                }
            }
            return;
        }
        let plain = text.chars().all(|c| c.is_ascii_lowercase() || c == '-');
        let telling = text.starts_with("system:") || text.parse::<jiff::Timestamp>().is_ok();
        if text.len() < 8 || plain || telling {
            return;
        }
        if text.chars().all(in_word) {
            self.word(text);
        } else if !self.odd.iter().any(|known| **known == *text) {
            self.odd.push(text.into());
        }
    }

    fn word(&mut self, word: &str) {
        if !self.words.contains(word) {
            self.words.insert(word.into());
        }
    }

    /// A text without what is known; none when nothing of it is in there.
    fn without(&self, text: &str) -> Option<String> {
        let mut replaced: Option<String> = None;
        for odd in &self.odd {
            let seen = replaced.as_deref().unwrap_or(text);
            if seen.contains(&**odd) {
                replaced = Some(seen.replace(&**odd, REDACTED));
            }
        }
        if self.words.is_empty() {
            return replaced;
        }
        let seen = replaced.as_deref().unwrap_or(text);
        let mut told = String::new();
        let mut from = 0;
        let mut words = Words { text: seen, at: 0 };
        while let Some((start, end)) = words.next_word() {
            if self.words.contains(&seen[start..end]) {
                told.push_str(&seen[from..start]);
                told.push_str(REDACTED);
                from = end;
            }
        }
        if from == 0 {
            return replaced;
        }
        told.push_str(&seen[from..]);
        Some(told)
    }
}

/// Whether a word looks like base64 rather than like a name.
fn is_random(word: &str) -> bool {
    word.bytes().any(|b| b.is_ascii_uppercase()) && word.bytes().any(|b| b.is_ascii_digit())
}

/// The words of a text that are long enough to be one of a Secret.
struct Words<'t> {
    text: &'t str,
    at: usize,
}

impl Words<'_> {
    fn next_word(&mut self) -> Option<(usize, usize)> {
        let bytes = self.text.as_bytes();
        loop {
            let start = self.at
                + bytes[self.at..]
                    .iter()
                    .position(|b| in_word(char::from(*b)))?;
            let length = bytes[start..].iter().position(|b| !in_word(char::from(*b)));
            let end = length.map_or(bytes.len(), |length| start + length);
            self.at = end;
            // A sentence ends with a dot, a word does not.
            let end = start + self.text[start..end].trim_end_matches('.').len();
            if end - start >= 8 {
                return Some((start, end));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const MARKER: &str = "MARKER-9f8e7d6c5b";

    fn redacted(redactor: &Redactor, mut object: Value) -> String {
        redactor.object(&mut object);
        object.to_string()
    }

    #[test]
    fn a_secret_keeps_its_keys_and_its_values_are_found_wherever_they_are_repeated() {
        let redactor = Redactor::default();
        let secret = json!({"kind": "Secret", "metadata": {"name": "login"},
            "data": {"password": STANDARD.encode(MARKER), "namespace": STANDARD.encode("kube-system")}});
        let told = redacted(&redactor, secret);
        assert!(
            told.contains("password") && !told.contains(&STANDARD.encode(MARKER)),
            "{told}"
        );
        for text in [
            format!("logged in with {MARKER}."),
            format!("url?p={MARKER}&x=1"),
            format!("\"{MARKER}\""),
            STANDARD.encode(MARKER),
        ] {
            let told = redactor.text(&text);
            assert!(told.contains(REDACTED) && !told.contains(MARKER), "{told}");
        }
        assert_eq!(redactor.text("in kube-system"), "in kube-system");
    }

    #[test]
    fn names_in_a_kubeconfig_are_no_secrets_but_its_keys_are() {
        let redactor = Redactor::default();
        let key = "c2VjcmV0IGtleSBvZiB0aGUgYWRtaW5pc3RyYXRvcjEyMw";
        let kubeconfig = format!(
            "clusters:\n- name: docker-demo-7f3a09bc\nusers:\n- client-key-data: {key}==\n"
        );
        redacted(
            &redactor,
            json!({"kind": "Secret", "data": {"value": STANDARD.encode(kubeconfig)}}),
        );
        assert_eq!(
            redactor.text("docker-demo-7f3a09bc"),
            "docker-demo-7f3a09bc"
        );
        assert!(!redactor.text(&format!("key {key}==")).contains(key));
    }

    #[test]
    fn environment_last_applied_and_arguments_are_taken_out() {
        let told = redacted(
            &Redactor::default(),
            json!({"kind": "Pod",
            "metadata": {"annotations": {LAST_APPLIED: MARKER, "a": "kept"}, "managedFields": [MARKER]},
            "spec": {"containers": [{
                "env": [{"name": "HOW", "value": MARKER}],
                "args": ["--v=2", "--bearer-token", MARKER, format!("--password={MARKER}")],
                "command": ["/bin/run", format!("https://me:{MARKER}@example.org/")],
            }]}}),
        );
        assert!(!told.contains(MARKER), "{told}");
        for kept in ["HOW", "kept", "--v=2", "example.org"] {
            assert!(told.contains(kept), "{kept}: {told}");
        }
    }

    #[test]
    fn what_looks_like_a_credential_is_taken_out_of_any_text() {
        let redactor = Redactor::default();
        for text in [
            "join --token abcdef.0123456789abcdef now",
            "Authorization: Bearer 0a1b2c3d4e5f",
            "token: eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJrdWJlIn0.c2lnbmF0dXJl",
            "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
            "{\\\"password\\\": \\\"0a1b2c3d4e5f\\\"}",
        ] {
            let told = redactor.text(text);
            assert!(told.contains(REDACTED), "{told}");
            for secret in ["0123456789abcdef", "0a1b2c", "c2lnb", "MIIE"] {
                assert!(!told.contains(secret), "{told}");
            }
        }
        for text in [
            "Secret demo-kubeconfig: missing",
            "failed to mount token of serviceaccount",
            "image registry.k8s.io/pause:3.10.1 pulled",
            "https://registry.k8s.io/v2/",
        ] {
            assert_eq!(redactor.text(text), text);
        }
    }

    #[test]
    fn a_command_line_keeps_all_but_credentials() {
        let words = |line: &str| -> Vec<String> { line.split(' ').map(str::to_owned).collect() };
        let told = Redactor::default().words(&words(
            "stackgate run a --token 12 --seed 7 --api-key=abcdefgh",
        ));
        assert_eq!(
            told,
            words("stackgate run a --token (redacted) --seed 7 --api-key=(redacted)")
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall(text in ".*", secret in "[a-zA-Z0-9]{12,40}") {
            let redactor = Redactor::default();
            redacted(&redactor, json!({"kind": "Secret", "stringData": {"a": format!("{secret}1A")}}));
            let told = redactor.text(&text).into_owned();
            // What was taken out leaves nothing to take out.
            prop_assert_eq!(redactor.text(&told), told.as_str());
            let quoted = format!("{text} {secret}1A {text}");
            let quoted = redactor.text(&quoted).into_owned();
            let needle = format!(" {secret}1A ");
            prop_assert!(!quoted.contains(&needle));
        }
    }
}
