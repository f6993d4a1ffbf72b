//! scs-0210-v2: is the cluster's Kubernetes version supported upstream, and not behind on patches?

pub mod data;
pub mod judge;
pub mod refresh;
pub mod version;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Client;

use crate::checks::{Answer, Native, Parameters, needs};
pub use data::{FILE, VersionData};

/// The check.
pub const CHECK: Native = Native {
    name: "scs-0210-version-policy",
    timeout: Duration::from_secs(30),
    parameters: Parameters::NONE,
    needs: &[needs::VERSION],
    run: |target| Box::pin(ask(target.workload, target.context.today())),
};

/// Judges the version that a cluster's API server tells, on a day.
///
/// # Errors
/// When the API server does not tell it, or the data cannot be read.
pub async fn ask(client: &Client, today: jiff::civil::Date) -> Result<Answer> {
    let data = VersionData::newest(Path::new(FILE))?;
    let told = client.apiserver_version().await;
    let told = told.context("failed to get /version")?;
    Ok(judge::judge(&told.git_version, &data, today))
}
