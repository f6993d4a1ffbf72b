//! The Secrets of a Cluster: its kubeconfig and certificates.

use serde_json::{Value, json};

use super::super::access::server;
use super::super::kinds::CLUSTER_NAME;
use super::MANAGER;
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::object::{controlled_by, name, namespace};
use crate::registry::Write;
use crate::resource::builtin::SECRETS;

/// The administrator's kubeconfig of the workload cluster, and the certificate Secrets beside it.
pub(super) fn provide(cluster: &Cluster, plane: &Value, owner: &Value) -> Result<(), ApiError> {
    let (space, own) = (namespace(owner), name(owner));
    let secret_name = format!("{own}-kubeconfig");
    if cluster.api().get(&SECRETS, space, &secret_name).is_some() {
        return Ok(());
    }
    let document = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": format!("{own}-admin@{own}"),
        "clusters": [{"name": own, "cluster": {"server": server(space, own)}}],
        "contexts": [{"name": format!("{own}-admin@{own}"), "context": {"cluster": own, "user": format!("{own}-admin")}}],
        "users": [{"name": format!("{own}-admin"), "user": {"token": cluster.api().uid()}}],
    });
    let secret = |name: String, data: Value| {
        json!({
            "apiVersion": "v1", "kind": "Secret", "type": "cluster.x-k8s.io/secret",
            "metadata": {"namespace": space, "name": name, "labels": {CLUSTER_NAME: own},
                "ownerReferences": [controlled_by(plane)]},
            "data": data,
        })
    };
    let encoded = base64(document.to_string().as_bytes());
    let mut secrets = vec![secret(secret_name, json!({"value": encoded}))];
    for part in ["ca", "etcd", "proxy", "sa"] {
        secrets.push(secret(
            format!("{own}-{part}"),
            json!({"tls.crt": "", "tls.key": ""}),
        ));
    }
    for secret in secrets {
        match cluster.api().create(&SECRETS, secret, &Write::by(MANAGER)) {
            Err(error) if error.reason != "AlreadyExists" => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .fold(0_u32, |group, byte| group << 8 | u32::from(*byte))
            << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = usize::try_from(group >> (18 - 6 * place) & 63).unwrap_or(0);
            text.push(if place <= chunk.len() {
                char::from(DIGITS[digit])
            } else {
                '='
            });
        }
    }
    text
}
