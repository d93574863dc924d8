//! Certificates and keys: read, checked, and read again when their files change.

use super::{Session, TlsError, explain};
use crate::dist::NodeName;
use crate::dist::stream::Fresh;
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Error, InconsistentKeys, RootCertStore,
    ServerConfig, ServerConnection,
};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::net::TcpStream;

/// A file larger than this is surely something else.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where the certificates are; all PEM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// This node's certificate, and those between it and the CA.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The CAs whose certificates peers may show.
    pub ca: PathBuf,
}

/// A file is of no use; says which and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("[node.tls] {key} = {}: {why}", .file.display())]
pub struct TlsFilesError {
    key: &'static str,
    file: PathBuf,
    why: String,
}

/// Both sides' settings, made of one state of the files.
#[derive(Debug)]
struct Material {
    server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

/// One state of the files.
struct Contents {
    chain: Vec<CertificateDer<'static>>,
    roots: Arc<RootCertStore>,
    clients: Arc<dyn ClientCertVerifier>,
    material: Material,
}

/// What tells one state of a file from another.
type Stamp = Option<(i64, i64, u64, u64)>;

/// The certificates of this node, as its files have them now.
#[derive(Debug)]
pub struct Tls {
    files: TlsFiles,
    name: NodeName,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    stamps: [Stamp; 3],
    material: Arc<Material>,
}

impl Tls {
    /// Reads the files for a node of this name. A certificate that peers will refuse is told and used all the same: an
    /// expired one must not keep a restarted sidekick from its games.
    pub fn load(files: TlsFiles, name: NodeName) -> Result<Self, TlsFilesError> {
        let stamps = files.stamps();
        let contents = files.read()?;
        if let Err(error) = files.fits(&contents, &name) {
            tracing::error!(%error, "peers will refuse the certificate of this node");
        }
        let material = Arc::new(contents.material);
        let state = Mutex::new(State { stamps, material });
        Ok(Self { files, name, state })
    }

    /// Shakes hands as the accepting side.
    pub async fn accept(&self, tcp: TcpStream) -> Result<Fresh, TlsError> {
        let tls = ServerConnection::new(self.current().server.clone());
        let tls = tls.map_err(|e| TlsError::Other(e.to_string()))?;
        Session::open(tcp, tls, &self.files.ca).await
    }

    /// Shakes hands with the node that a connection was opened to.
    pub async fn connect(&self, tcp: TcpStream, to: &NodeName) -> Result<Fresh, TlsError> {
        let host = ServerName::try_from(to.host().to_owned());
        let host = host.map_err(|_| TlsError::Host(to.host().to_owned()))?;
        let tls = ClientConnection::new(self.current().client.clone(), host);
        let tls = tls.map_err(|e| TlsError::Other(e.to_string()))?;
        Session::open(tcp, tls, &self.files.ca).await
    }

    /// What the files hold; where they are of no use now, what they held before. Blocks for as long as three looks into
    /// a directory take, and for the reading of small files where they changed.
    fn current(&self) -> Arc<Material> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let stamps = self.files.stamps();
        if stamps != state.stamps {
            // Told once for each state of the files.
            state.stamps = stamps;
            match self.files.read_fitting(&self.name) {
                Ok(contents) => {
                    tracing::info!("the certificates of [node.tls] changed and were read again");
                    state.material = Arc::new(contents.material);
                }
                Err(error) => {
                    tracing::error!(%error, "the certificates of [node.tls] changed but are of no use; the old ones stay in use");
                }
            }
        }
        state.material.clone()
    }
}

impl TlsFiles {
    fn stamps(&self) -> [Stamp; 3] {
        [&self.cert, &self.key, &self.ca].map(|file| {
            let metadata = std::fs::metadata(file).ok()?;
            Some((
                metadata.mtime(),
                metadata.mtime_nsec(),
                metadata.len(),
                metadata.ino(),
            ))
        })
    }

    /// Whether the files can be used, and peers will accept the certificate of a node of this name.
    pub fn check(&self, name: &NodeName) -> Result<(), TlsFilesError> {
        self.read_fitting(name).map(|_| ())
    }

    fn read_fitting(&self, name: &NodeName) -> Result<Contents, TlsFilesError> {
        let contents = self.read()?;
        self.fits(&contents, name)?;
        Ok(contents)
    }

    fn read(&self) -> Result<Contents, TlsFilesError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates("cert_file", &self.cert)?;
        let key = key(&self.key)?;
        let roots = self.roots()?;
        let clients =
            WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let clients = clients.map_err(|e| fault("ca_file", &self.ca, e.to_string()))?;

        let server = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for the default versions");
        let server = server
            .with_client_cert_verifier(clients.clone())
            .with_single_cert(chain.clone(), key.clone_key());
        let mut server = server.map_err(|e| self.unfit(&e))?;
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;

        let client = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has suites for the default versions");
        let client = client
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key);
        let mut client = client.map_err(|e| self.unfit(&e))?;
        client.resumption = Resumption::disabled();
        let material = Material {
            server: Arc::new(server),
            client: Arc::new(client),
        };
        Ok(Contents {
            chain,
            roots,
            clients,
            material,
        })
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, TlsFilesError> {
        let mut roots = RootCertStore::empty();
        for ca in certificates("ca_file", &self.ca)? {
            roots.add(ca).map_err(|e| {
                let why = format!("one of its certificates cannot be a CA's ({e})");
                fault("ca_file", &self.ca, why)
            })?;
        }
        Ok(Arc::new(roots))
    }

    /// Looks at our own certificate as peers will.
    fn fits(&self, contents: &Contents, name: &NodeName) -> Result<(), TlsFilesError> {
        let refuse = |why| fault("cert_file", &self.cert, why);
        let (own, between) = contents
            .chain
            .split_first()
            .expect("at least one was found");
        let host = ServerName::try_from(name.host())
            .map_err(|_| refuse(TlsError::Host(name.host().to_owned()).to_string()))?;
        let provider = Arc::new(ring::default_provider());
        let servers =
            WebPkiServerVerifier::builder_with_provider(contents.roots.clone(), provider).build();
        let servers = servers.map_err(|e| fault("ca_file", &self.ca, e.to_string()))?;
        let now = UnixTime::now();
        let as_server = servers.verify_server_cert(own, between, &host, &[], now);
        let as_client = contents.clients.verify_client_cert(own, between, now);
        as_server.map(|_| ()).and(as_client.map(|_| ())).map_err(|error| match error {
            Error::InvalidCertificate(CertificateError::UnknownIssuer) => refuse(format!(
                "no CA in {} signed it (what stands between the two belongs into cert_file, after the certificate)",
                self.ca.display()
            )),
            Error::InvalidCertificate(why) => refuse(explain(&why)),
            other => refuse(other.to_string()),
        })
    }

    fn unfit(&self, error: &Error) -> TlsFilesError {
        let why = match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => format!(
                "this key is not that of the certificate in {}; name the two that belong together",
                self.cert.display()
            ),
            other => format!(
                "this kind of key cannot be used ({other}); RSA from 2048 bits, ECDSA on P-256 or P-384, and Ed25519 can"
            ),
        };
        fault("key_file", &self.key, why)
    }
}

fn fault(key: &'static str, file: &Path, why: String) -> TlsFilesError {
    let file = file.to_owned();
    TlsFilesError { key, file, why }
}

fn contents(key: &'static str, file: &Path) -> Result<Vec<u8>, TlsFilesError> {
    let unreadable = |e: std::io::Error| {
        let remedy = match e.kind() {
            std::io::ErrorKind::NotFound => "; make it as docs/OPERATING.md shows",
            std::io::ErrorKind::PermissionDenied => "; let the user who runs sidekick read it",
            _ => "",
        };
        fault(key, file, format!("{e}{remedy}"))
    };
    let metadata = std::fs::metadata(file).map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return Err(fault(
            key,
            file,
            "it is not a file of certificates or keys".to_owned(),
        ));
    }
    std::fs::read(file).map_err(unreadable)
}

fn certificates(
    key: &'static str,
    file: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsFilesError> {
    let bytes = contents(key, file)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|e| fault(key, file, format!("it is not proper PEM: {e}")))?;
    if found.is_empty() {
        let why = "no certificate is in it; it must hold PEM text with -----BEGIN CERTIFICATE-----";
        return Err(fault(key, file, why.to_owned()));
    }
    Ok(found)
}

fn key(file: &Path) -> Result<PrivateKeyDer<'static>, TlsFilesError> {
    let bytes = contents("key_file", file)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let encrypted = bytes.windows(9).any(|w| w == b"ENCRYPTED");
        let why = match error {
            _ if encrypted => {
                "the key is encrypted, and nobody is there to type its password; write it in the clear with  openssl pkey -in OLD -out NEW  and chmod 400".to_owned()
            }
            pem::Error::NoItemsFound => "no private key is in it; it must hold PEM text with -----BEGIN PRIVATE KEY-----".to_owned(),
            error => format!("it is not proper PEM: {error}"),
        };
        fault("key_file", file, why)
    })
}
