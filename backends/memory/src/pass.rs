//! How a client says who it is.

use std::fmt;

use portolan_core::waist::Request;
use serde::{Deserialize, Serialize};

use crate::Output;

/// A password. Never shown, though it is written where a plan or an input is.
#[derive(Clone, Eq, PartialEq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Password(String);

/// What a member has issued to a user for further requests. Never shown.
///
/// etcd's simple tokens: 16 letters, and how far its log was (`server/auth/simple_token.go`).
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(String);

/// A user's name and password.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub struct Credentials {
    /// The name.
    pub user: String,
    /// The password.
    pub password: Password,
}

/// What a carrier adds to a request, as it was when the request was sent: one that arrives late
/// still has the old token.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum Pass {
    /// Nothing.
    #[default]
    Nobody,
    /// The token that was issued last.
    Token(Token),
    /// With [`Request::Authenticate`]: whom a token is wanted for.
    Login(Credentials),
}

/// Who a client is: what its carrier has to keep, for all its connections.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub struct Identity {
    credentials: Option<Credentials>,
    token: Option<Token>,
}

impl Credentials {
    /// Of a name and a password.
    pub fn new(user: impl Into<String>, password: impl Into<Password>) -> Self {
        Self { user: user.into(), password: password.into() }
    }
}

impl Identity {
    /// Of somebody with these credentials, or of nobody.
    pub fn of(credentials: Option<Credentials>) -> Self {
        Self { credentials, token: None }
    }

    /// What a request is sent with.
    pub fn pass(&self, request: &Request) -> Pass {
        match (request, &self.credentials, &self.token) {
            (Request::Authenticate, Some(credentials), _) => Pass::Login(credentials.clone()),
            (_, _, Some(token)) => Pass::Token(token.clone()),
            (_, _, None) => Pass::Nobody,
        }
    }

    /// Keeps the token that an answer brings, if it does.
    pub fn hear(&mut self, token: Option<Token>) {
        if token.is_some() {
            self.token = token;
        }
    }
}

impl Output {
    /// The token for the client's further requests, if this answer brings one.
    pub fn take_token(&mut self) -> Option<Token> {
        self.token.take()
    }
}

impl Token {
    /// The token itself: a secret, for who carries it to the client that has asked for it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    pub(crate) fn new(letters: &str, index: u64) -> Self {
        Self(format!("{letters}.{index}"))
    }

    /// How far a member has to be to know it; `None` if it was never one.
    pub(crate) fn index(&self) -> Option<u64> {
        let (_, index) = self.0.split_once('.')?;
        index.parse().ok()
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl Password {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}
