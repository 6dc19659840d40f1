use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};

use etcd_client::AuthClient;
use http::HeaderValue;
use portolan_core::waist::{Code, StoreError};
use secrecy::{ExposeSecret, SecretString};
use tonic::body::Body;
use tower::{BoxError, Service};

use crate::RawChannel;
use crate::error::from_client;

/// The credentials and the token, shared by all connections: etcd's members all know a token that
/// one of them issued, since it is issued through consensus.
///
/// When to fetch one is the engine's to say.
#[derive(Clone)]
pub(crate) struct Auth(Arc<Shared>);

struct Shared {
    credentials: Option<Credentials>,
    /// Sent with every call, if there is one.
    token: RwLock<Option<HeaderValue>>,
}

pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: Password,
}

pub(crate) enum Password {
    Fixed(SecretString),
    /// In the first line of a file.
    File {
        path: PathBuf,
        /// What was read last, by its fingerprint; of use to tell that it changed.
        known: Mutex<Option<u64>>,
    },
}

impl Password {
    /// Reads the file, so that every later change shows. Blocks.
    pub(crate) fn file(path: PathBuf) -> Self {
        let known = std::fs::read(&path).ok().map(|bytes| fingerprint(&bytes));
        Self::File { path, known: Mutex::new(known) }
    }

    async fn read(&self) -> Result<SecretString, StoreError> {
        match self {
            Self::Fixed(password) => Ok(password.clone()),
            Self::File { path, known } => {
                let bytes = read(path.clone()).await.map_err(|error| unusable(path, &error))?;
                *lock(known) = Some(fingerprint(&bytes));
                let text = String::from_utf8(bytes).map_err(|_| unusable(path, &"is not UTF-8"))?;
                let text = SecretString::from(text);
                match text.expose_secret().lines().next() {
                    Some(line) if !line.is_empty() => Ok(line.into()),
                    Some(_) | None => Err(unusable(path, &"begins with an empty line")),
                }
            }
        }
    }
}

/// Nothing was asked, and no member is to blame; it may be mended any time.
fn unusable(path: &Path, problem: &dyn fmt::Display) -> StoreError {
    let message = format!("password file {}: {problem}", path.display());
    StoreError::Other { code: Code::Unauthenticated, message }
}

async fn read(path: PathBuf) -> io::Result<Vec<u8>> {
    let read = tokio::task::spawn_blocking(move || std::fs::read(path)).await;
    read.unwrap_or_else(|_| Err(io::Error::other("nobody reads files any more")))
}

fn fingerprint(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Auth {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Self(Arc::new(Shared { credentials, token: RwLock::new(None) }))
    }

    /// Fetches a token, which everything carries from then on. Without credentials that fails as a
    /// wrong password does. A store that has authentication turned off is sent none any more;
    /// after any other failure what was held stays.
    pub(crate) async fn renew(
        &self,
        mut asked: AuthClient,
        address: &str,
    ) -> Result<(), StoreError> {
        let Some(Credentials { user, password }) = &self.0.credentials else {
            return Err(StoreError::AuthFailed);
        };
        let password = password.read().await?;
        let answer = asked.authenticate(user.clone(), password.expose_secret().to_owned()).await;
        let answer = answer.map_err(|error| from_client(&error, address));
        let answer = answer.inspect_err(|error| {
            if *error == StoreError::AuthNotEnabled {
                self.set(None);
            }
        })?;
        let mut token = HeaderValue::from_str(answer.token()).map_err(|_| StoreError::Other {
            code: Code::Internal,
            message: "the token holds bytes that no header may".to_owned(),
        })?;
        token.set_sensitive(true);
        self.set(Some(token));
        Ok(())
    }

    /// Whether the password is in a file.
    pub(crate) fn has_file(&self) -> bool {
        let password = self.0.credentials.as_ref().map(|credentials| &credentials.password);
        matches!(password, Some(Password::File { .. }))
    }

    /// Whether the password's file holds something else than when it was last read. One that cannot
    /// be read holds nothing new.
    pub(crate) async fn file_changed(&self) -> bool {
        let password = self.0.credentials.as_ref().map(|credentials| &credentials.password);
        let Some(Password::File { path, known }) = password else { return false };
        let Ok(bytes) = read(path.clone()).await else { return false };
        let now = Some(fingerprint(&bytes));
        std::mem::replace(&mut *lock(known), now) != now
    }

    /// What calls carry now.
    fn header(&self) -> Option<HeaderValue> {
        self.0.token.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, token: Option<HeaderValue>) {
        *self.0.token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let user = self.0.credentials.as_ref().map(|credentials| &credentials.user);
        f.debug_struct("Auth").field("user", &user).finish_non_exhaustive()
    }
}

/// A channel that adds the token to every call, whichever client makes it. etcd-client would keep
/// one token for each of its clients, and so ask for as many.
#[derive(Clone)]
pub(crate) struct Tokened {
    pub(crate) inner: RawChannel,
    pub(crate) auth: Auth,
}

impl Service<http::Request<Body>> for Tokened {
    type Response = http::Response<Body>;
    type Error = BoxError;
    type Future = <RawChannel as Service<http::Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if request.uri().path() != AUTHENTICATE
            && let Some(token) = self.auth.header()
        {
            request.headers_mut().insert(TOKEN, token);
        }
        self.inner.call(request)
    }
}

/// The one call that gets the token and must not carry an old one.
const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
/// etcd: `TokenFieldNameGRPC` in `api/v3rpc/rpctypes/metadatafields.go`.
const TOKEN: &str = "token";
