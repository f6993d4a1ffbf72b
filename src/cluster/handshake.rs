//! The certificates that servers show when somebody begins to talk TLS with them.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use futures::future::BoxFuture;
use http::Uri;
use jiff::Timestamp;
use kube::config::Kubeconfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use x509_parser::parse_x509_certificate;

/// From when to when a certificate is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Its first moment.
    pub not_before: Timestamp,
    /// Its last moment.
    pub not_after: Timestamp,
}

/// A way to servers, to see what they show.
pub trait Handshakes: fmt::Debug + Send + Sync {
    /// Host and port under which the cluster's API is reached, where that is known.
    fn api(&self) -> Option<(String, u16)>;

    /// What a server at this host and port shows. There is no deadline in it.
    fn shown<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, Result<Validity>>;
}

/// The network of this machine.
#[derive(Clone, Debug, Default)]
pub struct Network {
    api: Option<Server>,
}

/// The API's address.
#[derive(Clone, Debug)]
struct Server {
    host: String,
    port: u16,
    /// The name that is asked for, where it is not the host.
    name: Option<String>,
}

impl Network {
    /// The network, in which the cluster's API is at a URL; `name` is the one that is asked for there, where
    /// it is not the URL's host.
    #[must_use]
    pub fn with_api(url: &str, name: Option<&str>) -> Self {
        let server = url.parse::<Uri>().ok().and_then(|uri| {
            let host = uri.host()?.trim_matches(['[', ']']).to_owned();
            let plain = uri.scheme_str() == Some("http");
            (!plain).then(|| Server {
                host,
                port: uri.port_u16().unwrap_or(443),
                name: name.map(str::to_owned),
            })
        });
        Self { api: server }
    }

    /// The network, with the API of a kubeconfig's current context.
    #[must_use]
    pub fn of(kubeconfig: &Kubeconfig) -> Self {
        let wanted = kubeconfig.current_context.as_deref().unwrap_or_default();
        let contexts = kubeconfig.contexts.iter();
        let mut contexts = contexts.filter(|one| one.name == wanted);
        let context = contexts.next().and_then(|one| one.context.as_ref());
        let clusters = kubeconfig.clusters.iter();
        let mut clusters = clusters.filter(|one| context.is_some_and(|it| it.cluster == one.name));
        let cluster = clusters.next().and_then(|one| one.cluster.as_ref());
        let server = cluster.and_then(|cluster| cluster.server.as_deref());
        let name = cluster.and_then(|cluster| cluster.tls_server_name.as_deref());
        server.map_or_else(Self::default, |server| Self::with_api(server, name))
    }

    /// The name that a server is asked for.
    fn name(&self, host: &str, port: u16) -> Result<ServerName<'static>> {
        let own = self.api.as_ref();
        let own = own.filter(|api| api.host == host && api.port == port);
        let name = own.and_then(|api| api.name.as_deref()).unwrap_or(host);
        let name = ServerName::try_from(name.to_owned());
        name.with_context(|| format!("'{host}' is no name of a server"))
    }

    async fn ask(&self, host: &str, port: u16) -> Result<Validity> {
        let name = self.name(host, port)?;
        let provider = Arc::new(ring::default_provider());
        let seen = Arc::new(Seen {
            certificate: Mutex::default(),
            provider: provider.clone(),
        });
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(seen.clone())
            .with_no_client_auth();
        let connection = TcpStream::connect((host, port)).await?;
        let ended = TlsConnector::from(Arc::new(config))
            .connect(name, connection)
            .await;
        // Who asks for a certificate of ours has shown his own before he says no.
        match (seen.taken(), ended) {
            (Some(certificate), _) => validity(&certificate),
            (None, Err(error)) => Err(error.into()),
            (None, Ok(_)) => bail!("no certificate was shown"),
        }
    }
}

impl Handshakes for Network {
    fn api(&self) -> Option<(String, u16)> {
        let api = self.api.as_ref()?;
        Some((api.host.clone(), api.port))
    }

    fn shown<'a>(&'a self, host: &'a str, port: u16) -> BoxFuture<'a, Result<Validity>> {
        Box::pin(self.ask(host, port))
    }
}

fn validity(certificate: &[u8]) -> Result<Validity> {
    let (_, read) =
        parse_x509_certificate(certificate).context("failed to read the certificate")?;
    let at = |time: x509_parser::time::ASN1Time| Timestamp::from_second(time.timestamp());
    Ok(Validity {
        not_before: at(read.validity().not_before)?,
        not_after: at(read.validity().not_after)?,
    })
}

/// Takes whatever certificate is shown by who holds its key, and keeps it: it is looked at, not trusted.
#[derive(Debug)]
struct Seen {
    certificate: Mutex<Option<Vec<u8>>>,
    provider: Arc<CryptoProvider>,
}

impl Seen {
    fn taken(&self) -> Option<Vec<u8>> {
        let mut certificate = self
            .certificate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        certificate.take()
    }
}

impl ServerCertVerifier for Seen {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let mut certificate = self
            .certificate
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *certificate = Some(end_entity.to_vec());
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(url: &str) -> Option<(String, u16)> {
        Network::with_api(url, None).api()
    }

    #[test]
    fn the_apis_address_is_that_of_the_url() {
        let at = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(api("https://10.0.0.1:6443"), at("10.0.0.1", 6443));
        assert_eq!(api("https://api.example.org"), at("api.example.org", 443));
        assert_eq!(
            api("https://[fd00::1]:6443/clusters/a"),
            at("fd00::1", 6443)
        );
        assert_eq!(api("http://127.0.0.1:8080"), None);
        assert_eq!(api("none of that"), None);
    }

    #[test]
    fn the_api_is_that_of_the_current_context() {
        let kubeconfig = Kubeconfig::from_yaml(
            "{current-context: b, contexts: [{name: a, context: {cluster: one}}, {name: b, context: {cluster: two}}], \
             clusters: [{name: one, cluster: {server: 'https://one:1'}}, {name: two, cluster: {server: 'https://two:2'}}]}",
        )
        .unwrap();
        assert_eq!(Network::of(&kubeconfig).api(), Some(("two".to_owned(), 2)));
        assert_eq!(Network::of(&Kubeconfig::default()).api(), None);
    }

    #[test]
    fn another_name_is_asked_for_at_the_api_alone() {
        let network = Network::with_api("https://10.0.0.1:6443", Some("api.example.org"));
        let name = |port| {
            network
                .name("10.0.0.1", port)
                .unwrap()
                .to_str()
                .into_owned()
        };
        assert_eq!(
            (name(6443).as_str(), name(2379).as_str()),
            ("api.example.org", "10.0.0.1")
        );
    }

    #[tokio::test]
    async fn what_is_no_certificate_and_who_does_not_answer_is_told() {
        assert!(validity(b"no").is_err());
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        assert!(Network::default().shown("127.0.0.1", port).await.is_err());
    }
}
