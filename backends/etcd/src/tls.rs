use std::fmt;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

mod live;
mod read;
mod words;

pub(crate) use live::Trust;

/// How members are known, and how we are known to them. Files are read when the backend is built
/// and again when they change: the next connections then use what they hold now, and calls go
/// over new connections, while what is under way stays where it is. If what is read then makes no
/// sense, as in the midst of a replacement, what was read before stays in use.
///
/// TLS 1.2 and 1.3, by rustls.
#[derive(Clone, Default)]
#[must_use]
pub struct Tls {
    ca: Option<Pem>,
    identity: Option<(Pem, Pem)>,
    server_name: Option<String>,
}

#[derive(Clone)]
enum Pem {
    File(PathBuf),
    Text(SecretString),
}

impl Tls {
    /// Members are known by the authorities that the system trusts, and we show no certificate.
    pub fn new() -> Self {
        Self::default()
    }

    /// A file with the certificates of the authorities that sign the members', as PEM. No others
    /// are trusted.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(Pem::File(path.into()));
        self
    }

    /// As [`Tls::ca_file`], with the file's content.
    pub fn ca_pem(mut self, text: impl Into<String>) -> Self {
        self.ca = Some(Pem::Text(text.into().into()));
        self
    }

    /// Files with the certificate that we show, followed by those between it and its authority, and
    /// with its key, as PEM. With etcd's `--client-cert-auth` the certificate's common name is
    /// the user, where authentication is on.
    pub fn identity_files(mut self, cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.identity = Some((Pem::File(cert.into()), Pem::File(key.into())));
        self
    }

    /// As [`Tls::identity_files`], with the files' content.
    pub fn identity_pem(mut self, cert: impl Into<String>, key: SecretString) -> Self {
        self.identity = Some((Pem::Text(cert.into().into()), Pem::Text(key)));
        self
    }

    /// The name or address that members' certificates are for: the one in their address if not
    /// set.
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let identity = self.identity.as_ref();
        f.debug_struct("Tls")
            .field("ca", &self.ca)
            .field("cert", &identity.map(|(cert, _)| cert))
            .field("key", &identity.map(|(_, key)| key))
            .field("server_name", &self.server_name)
            .finish()
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Text(text) => write!(f, "[{} bytes]", text.expose_secret().len()),
        }
    }
}

/// What is wrong with a part of the [`Tls`] settings.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{part}{}: {problem}", .file.as_ref().map(|file| format!(" {}", file.display())).unwrap_or_default())]
pub struct TlsError {
    part: TlsPart,
    file: Option<PathBuf>,
    problem: String,
}

/// A part of the [`Tls`] settings.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum TlsPart {
    /// Whom we trust.
    Ca,
    /// What we show.
    Certificate,
    /// What proves that it is ours.
    Key,
    /// What the members' certificates are to be for.
    ServerName,
}

impl TlsError {
    /// Which part it is.
    pub fn part(&self) -> TlsPart {
        self.part
    }

    /// The file that it was read from, if it was.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// What is wrong. Never what the file holds.
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

impl fmt::Display for TlsPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ca => "CA certificates",
            Self::Certificate => "client certificate",
            Self::Key => "client key",
            Self::ServerName => "server name",
        })
    }
}
