//! A cluster's API over HTTPS on loopback, for kubectl and every other client.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use crate::authorization::User;
use crate::cluster::Cluster;
use crate::http::{Onlooker, refuse_stranger};

/// How long open answers may go on after the server's end.
const GRACE: Duration = Duration::from_millis(200);

/// The server could not begin.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No port of loopback could be had.
    #[error("failed to listen on 127.0.0.1: {0}")]
    Listen(#[from] io::Error),
    /// No certificates could be made.
    #[error("failed to make certificates: {0}")]
    Certificates(#[from] rcgen::Error),
    /// The certificates could not be used.
    #[error("failed to set up TLS: {0}")]
    Tls(String),
}

/// A cluster's API over HTTPS; it ends when this is dropped.
pub struct Server {
    name: String,
    address: SocketAddr,
    authority: String,
    certificate: String,
    key: String,
    token: String,
    /// Its end is what connections wait for.
    _end: watch::Sender<()>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What a connection needs.
#[derive(Clone)]
struct Shared {
    cluster: Cluster,
    acceptor: TlsAcceptor,
    /// Users by their certificates.
    users: Arc<BTreeMap<Vec<u8>, User>>,
    /// Whether no accident stands between them and the cluster.
    onlookers: bool,
    end: watch::Receiver<()>,
}

impl Server {
    /// Serves a cluster on a free port of loopback. Its administrator is known by a certificate and by
    /// a token; further tokens are those of [`crate::server::Server::add_token`].
    ///
    /// # Errors
    /// When no port or no certificate can be had.
    pub async fn start(cluster: &Cluster) -> Result<Self, Error> {
        Self::begin(cluster, false).await
    }

    /// The same for who looks on from outside of the simulation: no fault of a connection hits them, and none
    /// takes note of them.
    ///
    /// # Errors
    /// When no port or no certificate can be had.
    pub async fn for_onlookers(cluster: &Cluster) -> Result<Self, Error> {
        Self::begin(cluster, true).await
    }

    async fn begin(cluster: &Cluster, onlookers: bool) -> Result<Self, Error> {
        let authority_key = KeyPair::generate()?;
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority
            .distinguished_name
            .push(DnType::CommonName, "kubernetes");
        authority.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
        ];
        let authority_certificate = authority.self_signed(&authority_key)?;
        let issuer = Issuer::new(authority, authority_key);

        let names = ["localhost", "127.0.0.1", "kubernetes", "kubernetes.default"];
        let server_key = KeyPair::generate()?;
        let mut server = CertificateParams::new(names.map(str::to_owned).to_vec())?;
        server
            .distinguished_name
            .push(DnType::CommonName, "kube-apiserver");
        server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server = server.signed_by(&server_key, &issuer)?;

        let admin = User::admin();
        let client_key = KeyPair::generate()?;
        let mut client = CertificateParams::new(Vec::new())?;
        let name = &mut client.distinguished_name;
        name.push(DnType::CommonName, admin.name.as_str());
        name.push(DnType::OrganizationName, "system:masters");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = client.signed_by(&client_key, &issuer)?;

        let token = secret()?;
        cluster.server().add_token(&token, admin.clone());
        let users = BTreeMap::from([(client.der().to_vec(), admin)]);

        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (end, ended) = watch::channel(());
        let shared = Shared {
            cluster: cluster.clone(),
            acceptor: acceptor(authority_certificate.der(), server.der(), &server_key)?,
            users: Arc::new(users),
            onlookers,
            end: ended,
        };
        tokio::spawn(accept(listener, shared));
        Ok(Self {
            name: cluster.name().to_owned(),
            address,
            authority: authority_certificate.pem(),
            certificate: client.pem(),
            key: client_key.serialize_pem(),
            token,
            _end: end,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The administrator's token.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The administrator's kubeconfig. JSON is YAML: it can be written to a file as it is.
    #[must_use]
    pub fn kubeconfig(&self) -> Value {
        self.kubeconfig_with(&json!({
            "client-certificate-data": STANDARD.encode(&self.certificate),
            "client-key-data": STANDARD.encode(&self.key),
        }))
    }

    /// A kubeconfig for whoever bears a token.
    #[must_use]
    pub fn kubeconfig_of(&self, token: &str) -> Value {
        self.kubeconfig_with(&json!({"token": token}))
    }

    fn kubeconfig_with(&self, user: &Value) -> Value {
        json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": self.name, "cluster": {
                "server": format!("https://{}", self.address),
                "certificate-authority-data": STANDARD.encode(&self.authority),
            }}],
            "users": [{"name": "user", "user": user}],
            "contexts": [{"name": self.name, "context": {"cluster": self.name, "user": "user"}}],
            "current-context": self.name,
        })
    }
}

/// A word that nobody guesses: the public half of a key that is thrown away.
fn secret() -> Result<String, Error> {
    let key = KeyPair::generate()?;
    let bytes = key.public_key_raw();
    Ok(base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes))
}

fn acceptor(
    authority: &CertificateDer<'static>,
    certificate: &CertificateDer<'static>,
    key: &KeyPair,
) -> Result<TlsAcceptor, Error> {
    let wrong = |error: &dyn fmt::Display| Error::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.clone())
        .map_err(|error| wrong(&error))?;
    // Who has no certificate may have a token.
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| wrong(&error))?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate.clone()], key)
        .map_err(|error| wrong(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn accept(listener: TcpListener, mut shared: Shared) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that breaks while it is accepted is the client's matter.
                if let Ok((stream, _)) = accepted {
                    tokio::spawn(connection(stream, shared.clone()));
                }
            }
            _ = shared.end.changed() => return,
        }
    }
}

async fn connection(stream: TcpStream, shared: Shared) {
    let Ok(stream) = shared.acceptor.accept(stream).await else {
        return;
    };
    let certificates = stream.get_ref().1.peer_certificates();
    let certificate = certificates.and_then(<[_]>::first);
    let known = certificate.and_then(|der| shared.users.get(der.as_ref()).cloned());
    let Shared {
        cluster,
        mut end,
        onlookers,
        ..
    } = shared;
    let service =
        hyper::service::service_fn(move |mut request: http::Request<hyper::body::Incoming>| {
            let (cluster, known) = (cluster.clone(), known.clone());
            async move {
                let Some(user) = known.or_else(|| bearer(&cluster, &request)) else {
                    return Ok(refuse_stranger());
                };
                request.extensions_mut().insert(user);
                if onlookers {
                    request.extensions_mut().insert(Onlooker);
                }
                // Who is not reached is cut off.
                cluster.service().call(request).await
            }
        });
    let builder = Builder::new(TokioExecutor::new());
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        // Whatever breaks a connection, the client sees it.
        _ = serving.as_mut() => {}
        _ = end.changed() => {
            serving.as_mut().graceful_shutdown();
            let _ = tokio::time::timeout(GRACE, serving).await;
        }
    }
}

fn bearer<B>(cluster: &Cluster, request: &http::Request<B>) -> Option<User> {
    let value = request.headers().get(http::header::AUTHORIZATION)?;
    let token = value.to_str().ok()?.strip_prefix("Bearer ")?;
    cluster.server().user_of(token.trim())
}
