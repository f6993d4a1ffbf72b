//! What is fetched, and what becomes of a fetch of which a part fails; the answers are made up.

use std::collections::BTreeMap;

use anyhow::anyhow;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use jiff::civil::date;

use super::web::{Internet, Web};
use super::*;
use crate::checks::scs::version_policy::judge::judge;
use crate::record::Outcome;

struct Answers(BTreeMap<String, Result<String, String>>);

impl Web for Answers {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, anyhow::Result<String>> {
        let answer = self.0.get(url).cloned();
        let answer = answer.unwrap_or_else(|| Err("answered 404 Not Found".to_owned()));
        async move { answer.map_err(|why| anyhow!(why)) }.boxed()
    }
}

impl Answers {
    fn set(&mut self, url: &str, text: &str) {
        self.0.insert(url.to_owned(), Ok(text.to_owned()));
    }

    fn break_off(&mut self, url: &str, why: &str) {
        self.0.insert(url.to_owned(), Err(why.to_owned()));
    }
}

fn page(number: usize) -> String {
    format!("{RELEASES}?per_page=100&page={number}")
}

const RECORD: &str = r#"{"containers": {"cna": {
  "metrics": [{"format": "CVSS", "cvssV3_1": {"baseScore": 5.0}}, {"cvssV4_0": {"baseScore": 8.5}}],
  "affected": [
    {"product": "Kubernetes", "versions": [
      {"status": "affected", "version": "1.35.0", "lessThan": "1.35.2"},
      {"status": "unaffected", "version": "1.35.2"}]},
    {"product": "ingress-nginx", "versions": [{"status": "affected", "version": "0", "lessThan": "9"}]}]}}}"#;

fn answers() -> Answers {
    let mut web = Answers(BTreeMap::new());
    web.set(
        ENDS,
        "- branch: '1.36'\n  end-of-life: '2027-06-28'\n- branch: '1.35'\n  end-of-life: '2027-02-28'\n- branch: '1.34'\n  end-of-life: '2026-10-27'\n",
    );
    web.set(
        &page(1),
        r#"[{"tag_name": "v1.37.0-alpha.1", "published_at": "2026-05-02T10:00:00Z", "draft": false, "prerelease": true},
            {"tag_name": "v1.36.0", "published_at": "2026-04-22T10:00:00Z", "draft": false, "prerelease": false},
            {"tag_name": "v1.35.9", "published_at": null, "draft": true, "prerelease": false},
            {"tag_name": "v1.35.2", "published_at": "2026-02-26T10:00:00Z", "draft": false, "prerelease": false}]"#,
    );
    web.set(
        &page(2),
        r#"[{"tag_name": "v1.35.0", "published_at": "2025-12-17T10:00:00Z", "draft": false, "prerelease": false},
            {"tag_name": "v1.34.0", "published_at": "2025-08-27T10:00:00Z", "draft": false, "prerelease": false},
            {"tag_name": "v1.33.0", "published_at": "2025-04-23T10:00:00Z", "draft": false, "prerelease": false}]"#,
    );
    web.set(
        FEED,
        r#"{"version": "https://jsonfeed.org/version/1.1", "items": [{"id": "CVE-2026-2"}, {"id": "CVE-2026-1"}]}"#,
    );
    web.set(&format!("{RECORDS}/CVE-2026-1"), RECORD);
    web.set(
        &format!("{RECORDS}/CVE-2026-2"),
        &RECORD.replace("\"Kubernetes\"", "\"kubelet\""),
    );
    web
}

async fn fetched(web: &Answers) -> Result<VersionData, String> {
    let now = "2026-05-03T08:00:00Z".parse().unwrap();
    let failed = |failed: Vec<Failed>| failed.iter().map(|one| format!("{one}\n")).collect();
    fetch(web, || now).await.map_err(failed)
}

#[tokio::test]
async fn what_the_sources_say_becomes_data_that_versions_are_judged_by() {
    let data = fetched(&answers()).await.unwrap();
    assert_eq!(
        (data.generated_at, data.valid_until),
        (date(2026, 5, 3), date(2026, 6, 3))
    );
    let tags: Vec<&str> = data.releases.iter().map(|one| one.tag.as_str()).collect();
    assert_eq!(tags, ["v1.34.0", "v1.35.0", "v1.35.2", "v1.36.0"]);
    assert_eq!(data.cves.len(), 1);
    let cve = &data.cves[0];
    assert_eq!(
        (cve.id.as_str(), cve.base_score, cve.cvss_key.as_str()),
        ("CVE-2026-1", 8.5, "cvssV4_0")
    );
    assert_eq!(cve.ranges[0].less_than.as_deref(), Some("1.35.2"));
    assert_eq!(data.sources.len(), 4);
    let again = VersionData::parse(&serde_json::to_string(&data).unwrap()).unwrap();
    assert_eq!(again, data);
    let answer = judge("v1.35.0", &data, date(2026, 5, 3));
    assert_eq!(answer.outcome, Outcome::Fail);
    assert!(
        answer.message.contains("fixes CVE-2026-1"),
        "{}",
        answer.message
    );
}

#[tokio::test]
async fn each_source_that_fails_is_named_and_there_is_no_data() {
    let limit = "answered 403 Forbidden: its rate limit is spent, until 2026-05-03T09:00:00Z";
    let record = format!("{RECORDS}/CVE-2026-1");
    let mut web = answers();
    web.break_off(&page(2), limit);
    web.break_off(&record, "no answer within 60 s");
    let told = fetched(&web).await.unwrap_err();
    let expected = format!("{}: {limit}\n{record}: no answer within 60 s\n", page(2));
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_is_not_as_expected_is_a_failure_of_its_source() {
    for (url, text, why) in [
        (ENDS, "[]", "there is no branch"),
        (
            ENDS,
            "- branch: main\n  end-of-life: '2027-06-28'\n",
            "`main` is no branch",
        ),
        (ENDS, "- branch: '1.36'\n", "missing field"),
        (
            &page(1),
            r#"{"message": "API rate limit exceeded"}"#,
            "API rate limit exceeded",
        ),
        (&page(2), "[]", "does not name v1.34.0"),
        (
            &page(1),
            r#"[{"tag_name": "v1.36.0", "published_at": null}]"#,
            "v1.36.0 has no `published_at`",
        ),
        (FEED, r#"{"items": []}"#, "there is no item"),
        (
            FEED,
            r#"{"items": [{"title": "x"}]}"#,
            "an item has no `id`",
        ),
        (FEED, "<html>", "expected value at line 1"),
        (
            &format!("{RECORDS}/CVE-2026-1"),
            r#"{"error": "x"}"#,
            "`containers.cna`",
        ),
    ] {
        let mut web = answers();
        web.set(url, text);
        let told = fetched(&web).await.unwrap_err();
        assert_eq!(told.lines().count(), 1, "{told}");
        let source = url.split('?').next().unwrap();
        assert!(
            told.starts_with(source) && told.contains(why),
            "{why}: {told}"
        );
    }
}

/// The web's addresses at a server of this machine, asked by the client that asks the web.
struct Local(String);

impl Web for Local {
    fn get<'a>(&'a self, url: &'a str) -> BoxFuture<'a, anyhow::Result<String>> {
        let path = url.split_once("://").unwrap().1;
        let path = path.split_once('/').unwrap().1;
        let here = format!("{}/{path}", self.0);
        async move { Internet.get(&here).await }.boxed()
    }
}

/// Serves documents by the path and query that is asked for; its address.
async fn serve(documents: Vec<(&'static str, String)>) -> String {
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut lines = BufReader::new(&mut connection).lines();
            let mut request = Vec::new();
            while let Ok(Some(line)) = lines.next_line().await
                && !line.is_empty()
            {
                request.push(line.to_lowercase());
            }
            let path = request[0].split(' ').nth(1).unwrap();
            let known = request
                .iter()
                .any(|line| line.starts_with("user-agent: stackgate/"));
            let found = documents.iter().find(|(own, _)| own.to_lowercase() == path);
            let (status, body) = match found {
                // GitHub answers nobody who does not say who asks.
                Some((_, body)) if known => ("200 OK", body.as_str()),
                _ => ("404 Not Found", ""),
            };
            let length = body.len();
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
            connection.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    format!("http://{address}")
}

/// A record as the vulnerabilities' registry publishes it, of a product and its versions.
fn record(product: &str, versions: &str) -> String {
    format!(
        r#"{{"dataType": "CVE_RECORD", "dataVersion": "5.1",
        "cveMetadata": {{"cveId": "CVE-2026-0001", "state": "PUBLISHED", "assignerShortName": "kubernetes"}},
        "containers": {{"cna": {{
          "affected": [{{"defaultStatus": "unaffected", "product": "{product}", "vendor": "Kubernetes",
            "repo": "https://github.com/kubernetes/kubernetes", "versions": {versions}}}],
          "metrics": [{{"cvssV3_1": {{"attackVector": "NETWORK", "baseScore": 8.1, "baseSeverity": "HIGH",
            "vectorString": "CVSS:3.1/AV:N/AC:L/PR:L/UI:N/S:U/C:H/I:H/A:N", "version": "3.1"}},
            "format": "CVSS", "scenarios": [{{"lang": "en", "value": "GENERAL"}}]}}],
          "title": "made up"}},
          "adp": [{{"title": "CISA ADP Vulnrichment", "metrics": [{{"other": {{"type": "ssvc", "content": {{}}}}}}]}}]}}}}"#
    )
}

#[tokio::test]
async fn documents_in_their_publishers_own_forms_are_fetched_by_http() {
    let release = |tag: &str, at: &str, pre: bool| {
        format!(
            r#"{{"url": "https://api.github.com/repos/kubernetes/kubernetes/releases/1", "id": 1, "author": {{"login": "k8s-release-robot"}},
            "tag_name": "{tag}", "target_commitish": "master", "name": "Kubernetes {tag}", "draft": false, "immutable": false,
            "prerelease": {pre}, "created_at": "{at}", "published_at": "{at}", "assets": [], "body": "See the changelog."}}"#
        )
    };
    let releases = [
        release("v1.36.0-rc.1", "2026-04-15T18:00:00Z", true),
        release("v1.35.3", "2026-04-20T18:53:33Z", false),
        release("v1.34.0", "2025-08-27T17:00:00Z", false),
        release("v1.35.0", "2025-12-17T17:00:00Z", false),
    ];
    let item = |id: &str| {
        format!(
            r#"{{"_kubernetes_io": {{"google_group_url": "https://groups.google.com/g/kubernetes-announce/search?q={id}", "issue_number": 1}},
            "content_text": "made up", "date_published": "2026-04-20T16:00:00Z", "external_url": "https://www.cve.org/cverecord?id={id}",
            "id": "{id}", "status": "fixed", "summary": "made up", "url": "https://github.com/kubernetes/kubernetes/issues/1"}}"#
        )
    };
    let feed = format!(
        r#"{{"_kubernetes_io": {{"feed_refresh_job": "x", "updated_at": "2026-05-01T00:00:00Z"}},
        "authors": [{{"name": "Kubernetes Community", "url": "https://www.kubernetes.dev"}}],
        "description": "Auto-refreshing official CVE feed", "feed_url": "{FEED}", "home_page_url": "https://kubernetes.io",
        "items": [{}, {}, {}], "title": "Kubernetes Vulnerability Announcements - CVE Feed", "version": "https://jsonfeed.org/version/1.1"}}"#,
        item("CVE-2026-0001"),
        item("CVE-2026-0002"),
        item("CVE-2026-0003")
    );
    let affected = r#"[{"lessThanOrEqual": "1.35.2", "status": "affected", "version": "1.35.0", "versionType": "semver"},
        {"status": "unaffected", "version": "1.35.3"}]"#;
    let rejected = r#"{"dataType": "CVE_RECORD", "cveMetadata": {"cveId": "CVE-2026-0003", "state": "REJECTED"},
        "containers": {"cna": {"rejectedReasons": [{"lang": "en", "value": "made up"}]}}}"#;
    let address = serve(vec![
        (
            "/SovereignCloudStack/standards/main/Tests/kaas/scs_0210_version_policy/k8s-eol-data.yml",
            "# https://kubernetes.io/releases/patch-releases/\n\n- branch: '1.35'\n  end-of-life: '2027-02-28'\n- branch: '1.34'\n  end-of-life: '2026-10-27'\n"
                .to_owned(),
        ),
        (
            "/repos/kubernetes/kubernetes/releases?per_page=100&page=1",
            format!("[{}]", releases.join(",")),
        ),
        (
            "/docs/reference/issues-security/official-cve-feed/index.json",
            feed,
        ),
        ("/api/cve/CVE-2026-0001", record("Kubernetes", affected)),
        ("/api/cve/CVE-2026-0002", record("kubelet", affected)),
        ("/api/cve/CVE-2026-0003", rejected.to_owned()),
    ])
    .await;
    let now = || "2026-05-05T08:00:00Z".parse().unwrap();
    let data = fetch(&Local(address), now).await.unwrap();
    let tags: Vec<&str> = data.releases.iter().map(|one| one.tag.as_str()).collect();
    assert_eq!(tags, ["v1.34.0", "v1.35.0", "v1.35.3"]);
    let cves: Vec<&str> = data.cves.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(cves, ["CVE-2026-0001"]);
    let answer = judge("v1.35.2", &data, date(2026, 5, 5));
    assert!(
        answer.outcome == Outcome::Fail && answer.message.contains("fixes CVE-2026-0001"),
        "{}",
        answer.message
    );
}
