use std::fmt;
use std::future::Future;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};

use etcd_client::AuthClient;
use http::HeaderValue;
use portolan_core::waist::{Code, StoreError};
use secrecy::{ExposeSecret, SecretString};
use tonic::body::Body;
use tower::{BoxError, Service};

use crate::RawChannel;
use crate::error::{from_client, from_status};

/// The credentials and the token, shared by all connections: etcd's members all know a token that
/// one of them issued, since it is issued through consensus.
#[derive(Clone)]
pub(crate) struct Auth(Arc<Shared>);

struct Shared {
    credentials: Option<Credentials>,
    token: RwLock<Token>,
    /// Held while a token is asked for, so that many calls at a start ask once.
    asking: tokio::sync::Mutex<()>,
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

enum Token {
    /// Not asked for yet.
    Missing,
    /// The store has authentication turned off.
    NotNeeded,
    /// Sent with every call.
    Held(HeaderValue),
}

impl Auth {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        let token = RwLock::new(Token::Missing);
        Self(Arc::new(Shared { credentials, token, asking: tokio::sync::Mutex::new(()) }))
    }

    /// Makes sure that calls carry a token, if there are credentials: the first call of all waits
    /// here. A store that has authentication turned off needs none.
    pub(crate) async fn ready(&self, asked: AuthClient, address: &str) -> Result<(), StoreError> {
        if self.0.credentials.is_none() || self.is_settled() {
            return Ok(());
        }
        let _asking = self.0.asking.lock().await;
        if self.is_settled() {
            return Ok(());
        }
        match self.ask(asked, address).await {
            Err(StoreError::AuthNotEnabled) => Ok(()),
            outcome => outcome,
        }
    }

    /// Fetches a new token. Without credentials that fails as a wrong password does.
    pub(crate) async fn renew(&self, asked: AuthClient, address: &str) -> Result<(), StoreError> {
        let _asking = self.0.asking.lock().await;
        self.ask(asked, address).await
    }

    async fn ask(&self, mut asked: AuthClient, address: &str) -> Result<(), StoreError> {
        let Some(Credentials { user, password }) = &self.0.credentials else {
            return Err(StoreError::AuthFailed);
        };
        let password = password.read().await?;
        let answer = asked.authenticate(user.clone(), password.expose_secret().to_owned()).await;
        let token = match answer {
            Ok(answer) => HeaderValue::from_str(answer.token()).map_err(|_| StoreError::Other {
                code: Code::Internal,
                message: "the token holds bytes that no header may".to_owned(),
            }),
            Err(error) => Err(from_client(&error, address)),
        };
        match token {
            Ok(mut token) => {
                token.set_sensitive(true);
                self.set(Token::Held(token));
                Ok(())
            }
            Err(error) => {
                if error == StoreError::AuthNotEnabled {
                    self.set(Token::NotNeeded);
                }
                Err(error)
            }
        }
    }

    fn is_settled(&self) -> bool {
        match *self.0.token.read().unwrap_or_else(PoisonError::into_inner) {
            Token::Missing => false,
            Token::NotNeeded | Token::Held(_) => true,
        }
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
    pub(crate) fn header(&self) -> Option<HeaderValue> {
        match &*self.0.token.read().unwrap_or_else(PoisonError::into_inner) {
            Token::Missing | Token::NotNeeded => None,
            Token::Held(token) => Some(token.clone()),
        }
    }

    /// etcd refused a call that carried `sent`. When the token was the reason, the next call fetches
    /// another one: etcd keeps its tokens in memory, and drops those not used for
    /// `--auth-token-ttl`, 5 min by default (`server/auth/simple_token.go`).
    pub(crate) fn refused(&self, sent: Option<&HeaderValue>, error: &StoreError) {
        let is_token = [StoreError::InvalidToken, StoreError::NoToken, StoreError::OldAuthRevision]
            .contains(error);
        if !is_token || self.0.credentials.is_none() {
            return;
        }
        let mut token = self.0.token.write().unwrap_or_else(PoisonError::into_inner);
        let is_present = match (&*token, sent) {
            (Token::Held(held), Some(sent)) => held == sent,
            (Token::NotNeeded, None) => true,
            // Another one was fetched meanwhile.
            (Token::Missing | Token::NotNeeded | Token::Held(_), _) => false,
        };
        if is_present {
            *token = Token::Missing;
        }
    }

    fn set(&self, token: Token) {
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
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> Self::Future {
        if request.uri().path() == AUTHENTICATE {
            return Box::pin(self.inner.call(request));
        }
        let token = self.auth.header();
        if let Some(token) = &token {
            request.headers_mut().insert(TOKEN, token.clone());
        }
        let auth = self.auth.clone();
        let call = self.inner.call(request);
        Box::pin(async move {
            let response = call.await?;
            // etcd refuses a token before it says anything else: the status is in the headers.
            if let Some(status) = tonic::Status::from_header_map(response.headers()) {
                auth.refused(token.as_ref(), &from_status(&status, ""));
            }
            Ok(response)
        })
    }
}

/// The one call that gets the token and must not carry an old one.
const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
/// etcd: `TokenFieldNameGRPC` in `api/v3rpc/rpctypes/metadatafields.go`.
const TOKEN: &str = "token";
