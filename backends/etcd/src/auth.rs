use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};

use etcd_client::AuthClient;
use http::HeaderValue;
use portolan_core::waist::{Code, StoreError};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;
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
    asking: Mutex<()>,
}

pub(crate) struct Credentials {
    pub(crate) user: String,
    pub(crate) password: SecretString,
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
        Self(Arc::new(Shared { credentials, token, asking: Mutex::new(()) }))
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
