use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use tokio::io::AsyncBufRead;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;

use super::words::explain;
use super::{Tls, TlsError, TlsPart};

/// The TLS settings with what their files held last. A clone is another handle to the same.
#[derive(Clone)]
pub(crate) struct Trust(Arc<Shared>);

struct Shared {
    settings: Tls,
    /// What was read last, by its fingerprint. Held while files are read, which may block.
    looked: Mutex<Option<u64>>,
    held: RwLock<Held>,
}

#[derive(Clone, Default)]
struct Held {
    /// The newest that made sense.
    config: Option<Arc<ClientConfig>>,
    /// Why what was read since makes none.
    trouble: Option<TlsError>,
    /// How often one replaced another.
    replaced: u64,
}

impl Trust {
    /// Nothing is read yet; the first connection that needs it will.
    pub(crate) fn new(settings: Tls) -> Self {
        let (looked, held) = (Mutex::default(), RwLock::default());
        Self(Arc::new(Shared { settings, looked, held }))
    }

    /// Reads everything now. Blocks.
    pub(crate) fn load(&self) -> Result<(), TlsError> {
        if let Some(name) = &self.0.settings.server_name {
            server_name(name)
                .map_err(|problem| TlsError::new(TlsPart::ServerName, None, problem))?;
        }
        self.0.look();
        self.held().trouble.map_or(Ok(()), Err)
    }

    pub(crate) fn has_files(&self) -> bool {
        self.0.settings.has_files()
    }

    /// Changes when new connections would be made with something else than before.
    pub(crate) fn replaced(&self) -> u64 {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner).replaced
    }

    /// Reads the files again.
    pub(crate) async fn look(&self) {
        let shared = self.0.clone();
        // It fails only when the runtime ends, or by a panic: then what is held stays.
        let _ = tokio::task::spawn_blocking(move || shared.look()).await;
    }

    /// Makes TLS of a connection.
    pub(crate) async fn handshake(
        &self,
        host: &str,
        socket: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        if self.has_files() || self.held().config.is_none() {
            self.look().await;
        }
        let Held { config, trouble, .. } = self.held();
        let config = match (config, &trouble) {
            (Some(config), _) => config,
            (None, Some(trouble)) => return Err(io::Error::other(format!("TLS: {trouble}"))),
            (None, None) => return Err(io::Error::other("TLS: the settings could not be read")),
        };
        let shake = self.shake(config, host, socket).await;
        shake.map_err(|error| {
            let error = explain(&error, self.0.settings.identity.is_some());
            // Perhaps that is why.
            let stale = trouble.map(|trouble| format!("; not used: {trouble}"));
            io::Error::other(format!("TLS: {error}{}", stale.unwrap_or_default()))
        })
    }

    async fn shake(
        &self,
        config: Arc<ClientConfig>,
        host: &str,
        socket: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = self.0.settings.server_name.as_deref().unwrap_or(host);
        let name = server_name(name).map_err(io::Error::other)?;
        let mut stream = TlsConnector::from(config).connect(name, socket).await?;
        // In TLS 1.3 we are done before the server has looked at our certificate; its refusal is
        // the first thing that we read. An HTTP/2 server that takes us begins with its settings,
        // so waiting for them tells the two apart before anything is sent. One that waits
        // for ours instead costs this pause.
        let first = poll_fn(|cx| Pin::new(&mut stream).poll_fill_buf(cx).map_ok(<[u8]>::len));
        match timeout(FIRST_WORD, first).await {
            Ok(Ok(0)) => Err(io::Error::other("the server hung up after the handshake")),
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) | Err(_) => Ok(stream),
        }
    }

    fn held(&self) -> Held {
        self.0.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    fn has_config(&self) -> bool {
        self.held.read().unwrap_or_else(PoisonError::into_inner).config.is_some()
    }

    /// Reads everything, and makes of it what connections are made with if it is new. Blocks.
    fn look(&self) {
        let mut looked = match self.looked.try_lock() {
            Ok(looked) => looked,
            // Somebody looks already. Where files hang, those who come must not queue up.
            Err(TryLockError::WouldBlock) if self.has_config() => return,
            Err(TryLockError::WouldBlock) => {
                self.looked.lock().unwrap_or_else(PoisonError::into_inner)
            }
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
        };
        let contents = self.settings.read();
        let fingerprint = contents.fingerprint();
        if *looked == Some(fingerprint) {
            return;
        }
        *looked = Some(fingerprint);
        let config = self.settings.config(contents);
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        match config {
            Ok(config) => {
                held.trouble = None;
                held.replaced += u64::from(held.config.is_some());
                held.config = Some(Arc::new(config));
            }
            Err(trouble) => held.trouble = Some(trouble),
        }
    }
}

fn server_name(name: &str) -> Result<ServerName<'static>, String> {
    let parsed = ServerName::try_from(name.to_owned());
    parsed.map_err(|_| format!("{name:?} is neither a DNS name nor an address"))
}

/// More than a round trip takes, less than anybody minds.
const FIRST_WORD: Duration = Duration::from_millis(500);
