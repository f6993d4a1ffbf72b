//! scs-0215-v1 (draft): flags that keep a control plane alive under load.

use std::time::Duration;

use jiff::SignedDuration;

use super::components::{Component, judge_each};
use crate::checks::{Native, Parameters, needs};

const TIMEOUT: Duration = Duration::from_secs(30);

/// Limits of requests are set.
pub const REQUEST_LIMITS: Native = Native {
    name: "scs-0215-request-limits",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(judge_each(target, "kube-apiserver", request_limits)),
};

/// The admission plugin EventRateLimit is on and configured.
pub const EVENT_RATE_LIMIT: Native = Native {
    name: "scs-0215-event-rate-limit",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(judge_each(target, "kube-apiserver", event_rate_limit)),
};

/// etcd is compacted periodically.
pub const ETCD_COMPACTION: Native = Native {
    name: "scs-0215-etcd-compaction",
    timeout: TIMEOUT,
    parameters: Parameters::NONE,
    needs: &[needs::PODS],
    run: |target| Box::pin(judge_each(target, "etcd", etcd_compaction)),
};

/// The standard leaves the values to the operator, so only that they are chosen is judged.
fn request_limits(server: &Component) -> Vec<String> {
    let wanted = [
        "max-requests-inflight",
        "max-mutating-requests-inflight",
        "min-request-timeout",
    ];
    wanted
        .iter()
        .filter_map(|flag| match server.flag(flag) {
            "" => Some(format!("--{flag} is not set")),
            value => match value.parse::<u64>() {
                Ok(1..) => None,
                _ => Some(format!("--{flag} is {value}, not a positive number")),
            },
        })
        .collect()
}

/// The plugin without a configuration file does nothing, and its limits live in a file that the API
/// does not show.
fn event_rate_limit(server: &Component) -> Vec<String> {
    let mut wrong = Vec::new();
    if !server
        .list("enable-admission-plugins")
        .contains(&"EventRateLimit")
    {
        wrong.push("--enable-admission-plugins does not name EventRateLimit".to_owned());
    }
    if !server.has("admission-control-config-file") {
        wrong.push("--admission-control-config-file is not set".to_owned());
    }
    wrong
}

fn etcd_compaction(etcd: &Component) -> Vec<String> {
    let wanted = [
        ("auto-compaction-mode", "periodic"),
        ("auto-compaction-retention", "8h"),
    ];
    wanted
        .iter()
        .filter(|(flag, value)| etcd.flag(flag) != *value && !is_eight_hours(flag, etcd.flag(flag)))
        .map(|(flag, value)| match etcd.flag(flag) {
            "" => format!("--{flag} is not set; the standard asks for {value}"),
            other => format!("--{flag} is {other}; the standard asks for {value}"),
        })
        .collect()
}

/// etcd takes a number without a unit for hours, and any other form of a duration.
fn is_eight_hours(flag: &str, value: &str) -> bool {
    let hours = value.parse::<u16>().ok();
    let hours = hours.map(|hours| SignedDuration::from_hours(hours.into()));
    let period = hours.or_else(|| value.parse().ok());
    flag == "auto-compaction-retention" && period == Some(SignedDuration::from_hours(8))
}

#[cfg(test)]
mod tests {
    use super::super::components::tests::told;
    use super::*;

    #[test]
    fn each_limit_has_to_be_a_number() {
        let all = [
            "--max-requests-inflight=400",
            "--max-mutating-requests-inflight=200",
            "--min-request-timeout=1800",
        ];
        assert_eq!(told("kube-apiserver", &all, request_limits), "");
        assert!(
            told("kube-apiserver", &all[1..], request_limits)
                .contains("--max-requests-inflight is not set")
        );
        let zero = ["--max-requests-inflight=0", all[1], all[2]];
        assert!(told("kube-apiserver", &zero, request_limits).contains("is 0, not a positive"));
    }

    #[test]
    fn the_plugin_needs_its_file() {
        let plugin = "--enable-admission-plugins=NodeRestriction,EventRateLimit";
        let file = "--admission-control-config-file=/etc/kubernetes/admission.yaml";
        assert_eq!(
            told("kube-apiserver", &[plugin, file], event_rate_limit),
            ""
        );
        assert!(
            told("kube-apiserver", &[plugin], event_rate_limit).contains("config-file is not set")
        );
        assert!(told("kube-apiserver", &[file], event_rate_limit).contains("does not name"));
    }

    #[test]
    fn compaction_is_periodic_every_eight_hours() {
        let [mode, retention] = [
            "--auto-compaction-mode=periodic",
            "--auto-compaction-retention=8h",
        ];
        assert_eq!(told("etcd", &[mode, retention], etcd_compaction), "");
        for same in ["8", "480m", "8h0m0s"] {
            let retention = format!("--auto-compaction-retention={same}");
            assert_eq!(told("etcd", &[mode, &retention], etcd_compaction), "");
        }
        assert!(told("etcd", &[mode], etcd_compaction).contains("retention is not set"));
        let other = told(
            "etcd",
            &[mode, "--auto-compaction-retention=1h"],
            etcd_compaction,
        );
        assert!(other.contains("is 1h; the standard asks for 8h"), "{other}");
    }
}
