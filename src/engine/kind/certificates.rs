//! One authority per run, and what it signs: nothing of it outlives the run's containers but the
//! administrator's kubeconfig in the private folder.

use anyhow::{Context as _, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

/// A certificate with its key, both as PEM.
pub(super) struct Pair {
    pub(super) certificate: String,
    pub(super) key: String,
}

/// The certificate authority of one management cluster.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate as PEM.
    pub(super) certificate: String,
}

impl Authority {
    /// A new one, valid as long as rcgen's default, which is longer than any run.
    ///
    /// # Errors
    /// When there is no randomness to be had.
    pub(super) fn new() -> Result<Self> {
        let key = KeyPair::generate().context("failed to make a key")?;
        let mut parameters = CertificateParams::default();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters
            .distinguished_name
            .push(DnType::CommonName, "stackgate-management");
        parameters.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        let certificate = parameters
            .self_signed(&key)
            .context("failed to make a certificate authority")?
            .pem();
        Ok(Self {
            issuer: Issuer::new(parameters, key),
            certificate,
        })
    }

    /// For a server that is reached under these names and addresses.
    ///
    /// # Errors
    /// When a name is none.
    pub(super) fn server(&self, names: &[String]) -> Result<Pair> {
        let mut parameters = CertificateParams::new(names.to_vec())
            .with_context(|| format!("failed to make a certificate for {}", names.join(", ")))?;
        // etcd answers to its own name and talks to itself.
        parameters.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.sign(parameters, names.first().map_or("server", String::as_str))
    }

    /// For a client whom the API server knows under this name, in this group.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub(super) fn client(&self, name: &str, group: &str) -> Result<Pair> {
        let mut parameters = CertificateParams::default();
        parameters
            .distinguished_name
            .push(DnType::OrganizationName, group);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(parameters, name)
    }

    fn sign(&self, mut parameters: CertificateParams, name: &str) -> Result<Pair> {
        parameters.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().context("failed to make a key")?;
        let certificate = parameters
            .signed_by(&key, &self.issuer)
            .with_context(|| format!("failed to sign the certificate of {name}"))?;
        Ok(Pair {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// The pair with which the API server signs tokens of ServiceAccounts: private and public key as PEM.
///
/// # Errors
/// When there is no randomness to be had.
pub(super) fn signer() -> Result<(String, String)> {
    let key = KeyPair::generate().context("failed to make a key")?;
    Ok((key.serialize_pem(), key.public_key_pem()))
}
