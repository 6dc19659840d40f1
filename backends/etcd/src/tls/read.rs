use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::Arc;

use secrecy::ExposeSecret;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, Error, RootCertStore};

use super::{Pem, Tls, TlsError, TlsPart};

/// What the settings' files hold, or why that is not known.
pub(super) struct Contents {
    ca: Option<Content>,
    identity: Option<(Content, Content)>,
}

type Content = Result<Vec<u8>, TlsError>;

impl Tls {
    /// Whether what was read may be another the next time.
    pub(super) fn has_files(&self) -> bool {
        let is_file = |pem: &Pem| matches!(pem, Pem::File(_));
        let identity = self.identity.as_ref();
        self.ca.as_ref().is_some_and(is_file)
            || identity.is_some_and(|(cert, key)| is_file(cert) || is_file(key))
    }

    /// Reads all files. Blocks.
    pub(super) fn read(&self) -> Contents {
        Contents {
            ca: self.ca.as_ref().map(|pem| pem.read(TlsPart::Ca)),
            identity: self
                .identity
                .as_ref()
                .map(|(cert, key)| (cert.read(TlsPart::Certificate), key.read(TlsPart::Key))),
        }
    }

    /// What connections are made with, from what was read.
    pub(super) fn config(&self, contents: Contents) -> Result<ClientConfig, TlsError> {
        let roots = match (&self.ca, contents.ca) {
            (Some(pem), Some(read)) => roots(pem, &read?)?,
            (Some(_) | None, _) => system_roots()?,
        };
        let provider = Arc::new(ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::new(TlsPart::Ca, None, error.to_string()))?
            .with_root_certificates(roots);
        let mut config = match (&self.identity, contents.identity) {
            (Some((cert, key)), Some((cert_read, key_read))) => {
                let chain = certificates(cert, TlsPart::Certificate, &cert_read?)?;
                let secret = PrivateKeyDer::from_pem_slice(&key_read?)
                    .map_err(|error| key.error(TlsPart::Key, unread(&error, "private key")))?;
                builder.with_client_auth_cert(chain, secret).map_err(|error| unfit(key, &error))?
            }
            (Some(_) | None, _) => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"h2".to_vec()];
        // Connections are few, and each is to be made with what both sides hold at that time.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

impl Contents {
    /// Tells whether they are the same as before, without keeping them.
    pub(super) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let parts = [
            self.ca.as_ref(),
            self.identity.as_ref().map(|(cert, _)| cert),
            self.identity.as_ref().map(|(_, key)| key),
        ];
        for part in parts.into_iter().flatten() {
            match part {
                Ok(bytes) => bytes.hash(&mut hasher),
                Err(error) => error.problem.hash(&mut hasher),
            }
        }
        hasher.finish()
    }
}

impl Pem {
    fn read(&self, part: TlsPart) -> Content {
        match self {
            Self::Text(text) => Ok(text.expose_secret().as_bytes().to_vec()),
            Self::File(path) => {
                std::fs::read(path).map_err(|error| self.error(part, error.to_string()))
            }
        }
    }

    fn error(&self, part: TlsPart, problem: impl Into<String>) -> TlsError {
        let file = match self {
            Self::File(path) => Some(path.clone()),
            Self::Text(_) => None,
        };
        TlsError::new(part, file, problem)
    }
}

impl TlsError {
    pub(super) fn new(part: TlsPart, file: Option<PathBuf>, problem: impl Into<String>) -> Self {
        Self { part, file, problem: problem.into() }
    }
}

fn certificates(
    pem: &Pem,
    part: TlsPart,
    bytes: &[u8],
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    let found = found.map_err(|error| pem.error(part, unread(&error, "certificate")))?;
    if found.is_empty() {
        return Err(pem.error(part, unread(&pem::Error::NoItemsFound, "certificate")));
    }
    Ok(found)
}

fn roots(pem: &Pem, bytes: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for (index, cert) in certificates(pem, TlsPart::Ca, bytes)?.into_iter().enumerate() {
        roots.add(cert).map_err(|error| {
            pem.error(TlsPart::Ca, format!("certificate {} of it: {error}", index + 1))
        })?;
    }
    Ok(roots)
}

/// What the system trusts: from its own places, or those that `SSL_CERT_FILE` and `SSL_CERT_DIR`
/// name.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
        let problem = format!("the system has none{why}; name a file with those of etcd");
        return Err(TlsError::new(TlsPart::Ca, None, problem));
    }
    Ok(roots)
}

fn unread(error: &pem::Error, what: &str) -> String {
    if matches!(error, pem::Error::NoItemsFound) {
        return format!("holds no {what} as PEM");
    }
    // Its other words may quote what was read.
    format!("holds no {what}: the PEM is damaged")
}

fn unfit(key: &Pem, error: &Error) -> TlsError {
    if matches!(error, Error::InconsistentKeys(_)) {
        return key.error(TlsPart::Key, "is not that of the client certificate");
    }
    key.error(TlsPart::Key, error.to_string())
}
