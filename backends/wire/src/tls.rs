//! How a server is known to its clients, and they to it.

use std::fmt;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use tokio_rustls::rustls::{Error, RootCertStore, ServerConfig};

/// A server's certificate and key. TLS 1.2 and 1.3, by rustls.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
}

/// Why there is no TLS. It never says what the key holds.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The certificate is none.
    #[error("certificate: {0}")]
    Certificate(String),
    /// The key is none, or another's.
    #[error("key: {0}")]
    Key(String),
    /// The authorities that sign clients' certificates are none.
    #[error("client authority: {0}")]
    ClientCa(String),
}

impl Tls {
    /// The server shows the first of the certificates in `cert`, followed by those between it and
    /// its authority, and proves by `key` that it is its own. With `client_ca` clients too must show
    /// one, signed by one of these authorities. All are PEM.
    ///
    /// # Errors
    /// When one of them is not what it should be.
    pub fn from_pem(cert: &[u8], key: &[u8], client_ca: Option<&[u8]>) -> Result<Self, TlsError> {
        let chain = certificates(cert).map_err(TlsError::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|error| TlsError::Key(unread(&error, "key")))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Certificate(error.to_string()))?;
        let builder = match client_ca {
            None => builder.with_no_client_auth(),
            Some(authorities) => {
                let wrong = |error: VerifierBuilderError| TlsError::ClientCa(error.to_string());
                let roots = roots(authorities).map_err(TlsError::ClientCa)?;
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(wrong)?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).map_err(|error| {
            if let Error::InconsistentKeys(_) = error {
                TlsError::Key("it is not the certificate's".into())
            } else {
                TlsError::Certificate(error.to_string())
            }
        })?;
        config.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    pub(crate) fn acceptor(&self) -> &TlsAcceptor {
        &self.acceptor
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| error.to_string())?;
    }
    Ok(roots)
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match read {
        Ok(read) if read.is_empty() => Err("there is no certificate in it".into()),
        Ok(read) => Ok(read),
        Err(error) => Err(unread(&error, "certificate")),
    }
}

/// Never what was read.
fn unread(error: &pem::Error, what: &str) -> String {
    if let pem::Error::NoItemsFound = error {
        format!("there is no {what} in it")
    } else {
        format!("it is no PEM with a {what}")
    }
}
