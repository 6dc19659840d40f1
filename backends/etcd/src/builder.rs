use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::SecretString;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::BoxError;
use tower::util::BoxCloneSyncService;

use crate::address::{Address, without_userinfo};
use crate::auth::{Auth, Credentials, Password};
use crate::dial::{Dialing, Resolver, system_resolver};
use crate::member::Habits;
use crate::tasks::Tasks;
use crate::tls::Trust;
use crate::wires::{Way, Wires, Workshop};
use crate::{EtcdBackend, Tls, TlsError};

/// Anything that carries gRPC calls: a tonic channel, a server in the same process, a simulated
/// wire.
pub type RawChannel = BoxCloneSyncService<http::Request<Body>, http::Response<Body>, BoxError>;

/// Describes a cluster; [`Builder::build`] connects to nothing yet.
///
/// Members are numbered in the order in which they are named here.
#[must_use]
#[derive(Default)]
pub struct Builder {
    members: Vec<Source>,
    credentials: Option<Credentials>,
    tls: Option<Tls>,
    resolver: Option<Resolver>,
    transport: Transport,
    decode_limit: Option<usize>,
    leader_optional: bool,
}

enum Source {
    Address(String),
    Endpoint(Box<Endpoint>),
    Channels { name: String, calls: RawChannel, streams: RawChannel },
}

/// How connections to members named by address are made and watched over.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Transport {
    /// How long a connection may take to come about.
    pub connect_timeout: Duration,
    /// How often an HTTP/2 ping asks whether the member still lives, while a call or a stream is
    /// open. etcd hangs up on clients that ask more often than every 5 s
    /// (`--grpc-keepalive-min-time`).
    ///
    /// Idle connections are not pinged: etcd allows one such ping in two hours and hangs up at the
    /// fourth (its server is built with `PermitWithoutStream: false`), under a call that is just
    /// being sent, perhaps. The first call after a pause is pinged at once instead, and TCP's own
    /// keepalive, every 10 s, clears away what is dead meanwhile.
    pub keepalive_interval: Duration,
    /// How long such a ping may stay unanswered before the connection is given up.
    pub keepalive_timeout: Duration,
}

impl Default for Transport {
    /// A dead connection is noticed within 9 s, by the first call after a pause within 3 s.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(2),
            keepalive_interval: Duration::from_secs(6),
            keepalive_timeout: Duration::from_secs(3),
        }
    }
}

/// Why no backend was built.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// No member was named.
    #[error("no etcd member is named; at least one is needed")]
    NoMember,
    /// More members than can be numbered.
    #[error("{count} etcd members are named; allowed are up to 65535")]
    TooManyMembers {
        /// How many.
        count: usize,
    },
    /// An address that is none.
    #[error("etcd address {address:?} {problem}")]
    BadAddress {
        /// The address, without what may be a password in it.
        address: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// TLS settings that cannot be used.
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
}

impl Builder {
    /// One member more, as `HOST:PORT`, `http://HOST:PORT` or `https://HOST:PORT`. Without a scheme
    /// it is `https` if [`tls`](Self::tls) is set. If it is not, the members of `https` addresses
    /// are known by the authorities that the system trusts.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.members.push(Source::Address(address.into()));
        self
    }

    /// One member more, reached through `endpoint` as it is; only its executor is replaced. Neither
    /// [`tls`](Self::tls) nor [`resolver`](Self::resolver) have a part in it.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.members.push(Source::Endpoint(Box::new(endpoint)));
        self
    }

    /// One member more, reached through two channels: one for calls and renewals, one for watches,
    /// which may stall their channel. `name` is what errors call it. Time limits, pings, tasks and
    /// the way to other connections of these channels are the caller's.
    pub fn channels(
        mut self,
        name: impl Into<String>,
        calls: RawChannel,
        streams: RawChannel,
    ) -> Self {
        self.members.push(Source::Channels { name: name.into(), calls, streams });
        self
    }

    /// Who we are to the store. A token is fetched by
    /// [`Authenticate`](portolan_core::waist::Request::Authenticate), and sent with all that comes
    /// after; nothing is fetched without being asked for.
    pub fn credentials(mut self, user: impl Into<String>, password: SecretString) -> Self {
        let password = Password::Fixed(password);
        self.credentials = Some(Credentials { user: user.into(), password });
        self
    }

    /// As [`credentials`](Self::credentials), with a password that is read from the first line of a
    /// file each time that a token is fetched. That the file changed is told as
    /// [`CredentialsChanged`](portolan_core::waist::Reply::CredentialsChanged), within 2 s.
    pub fn password_file(mut self, user: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        let password = Password::file(path.into());
        self.credentials = Some(Credentials { user: user.into(), password });
        self
    }

    /// Speaks TLS to members named by address.
    pub fn tls(mut self, tls: Tls) -> Self {
        self.tls = Some(tls);
        self
    }

    /// Finds the addresses that a host's name and port stand for: the system's resolver, if not set.
    /// Of several addresses each new connection tries another one first.
    pub fn resolver<R, F>(mut self, resolver: R) -> Self
    where
        R: Fn(String, u16) -> F + Send + Sync + 'static,
        F: Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'static,
    {
        self.resolver = Some(Arc::new(move |host, port| Box::pin(resolver(host, port))));
        self
    }

    /// How connections to members named by address are made.
    pub fn transport(mut self, transport: Transport) -> Self {
        self.transport = transport;
        self
    }

    /// The largest answer, in bytes, that is taken in: 64 MiB if not set. A larger one fails as
    /// [`AnswerTooLarge`](portolan_core::waist::StoreError::AnswerTooLarge). Answers to lease
    /// requests are held to 4 MiB, whatever is set here: etcd-client has no way to raise it.
    pub fn decode_limit(mut self, bytes: usize) -> Self {
        self.decode_limit = Some(bytes);
        self
    }

    /// Whether members are asked to refuse calls and to end streams while they know of no leader: so
    /// it is if not set. Otherwise calls wait for their own time limit, renewals for etcd's, and a
    /// watch stays silent without end (rows G7, L8, W17): for those who want to see that.
    pub fn require_leader(mut self, wanted: bool) -> Self {
        self.leader_optional = !wanted;
        self
    }

    /// Builds the backend. Connections are made when they are first needed; the files of
    /// [`tls`](Self::tls) are read now.
    ///
    /// # Errors
    /// No member, too many, an address that is none, or TLS settings that cannot be used.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn build(self) -> Result<EtcdBackend, BuildError> {
        if self.members.is_empty() {
            return Err(BuildError::NoMember);
        }
        if u16::try_from(self.members.len()).is_err() {
            return Err(BuildError::TooManyMembers { count: self.members.len() });
        }
        let has_tls = self.tls.is_some();
        let wires = self.members.into_iter().map(|source| source.wires(has_tls));
        let wires = wires.collect::<Result<Vec<_>, BuildError>>()?;
        let trust = Trust::new(self.tls.unwrap_or_default());
        if has_tls || wires.iter().any(Wires::speaks_tls) {
            trust.load()?;
        }
        let dialing = Dialing {
            resolver: self.resolver.unwrap_or_else(system_resolver),
            trust,
            limit: self.transport.connect_timeout,
        };
        let workshop = Workshop {
            dialing: Arc::new(dialing),
            transport: self.transport,
            tasks: Tasks::default(),
            auth: Auth::new(self.credentials),
            habits: Habits {
                decode_limit: self.decode_limit.unwrap_or(DECODE_LIMIT),
                require_leader: !self.leader_optional,
            },
            has_tls,
        };
        Ok(EtcdBackend::new(wires, workshop))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("members", &self.members.len())
            .field("user", &self.credentials.as_ref().map(|credentials| &credentials.user))
            .field("tls", &self.tls)
            .field("transport", &self.transport)
            .field("decode_limit", &self.decode_limit)
            .field("require_leader", &!self.leader_optional)
            .finish()
    }
}

impl Source {
    fn wires(self, has_tls: bool) -> Result<Wires, BuildError> {
        Ok(match self {
            Self::Address(address) => {
                let bad = |problem| BuildError::BadAddress {
                    address: without_userinfo(&address).to_owned(),
                    problem,
                };
                let address = Address::parse(&address, has_tls).map_err(bad)?;
                Wires::new(address.to_string(), Way::Addresses(Ok([address].into())))
            }
            Self::Endpoint(endpoint) => {
                let authority = endpoint.uri().authority();
                let name = authority.map_or("", |authority| authority.as_str());
                Wires::new(without_userinfo(name).to_owned(), Way::Endpoint(endpoint))
            }
            Self::Channels { name, calls, streams } => {
                Wires::new(name, Way::Channels { calls, streams })
            }
        })
    }
}

const DECODE_LIMIT: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_built_says_why_and_keeps_the_password() {
        let build = |builder: Builder| builder.build().expect_err("it is wrong").to_string();
        assert_eq!(build(Builder::default()), "no etcd member is named; at least one is needed");
        assert_eq!(
            build(Builder::default().address("root:hush@a:1")),
            "etcd address \"a:1\" holds a user name; give credentials apart from the address"
        );
        assert_eq!(
            build(Builder::default().address("http://a:1").tls(Tls::new())),
            "etcd address \"http://a:1\" is http, but TLS is set up; write https, or leave TLS out"
        );
        let builder = Builder::default().credentials("root", "hush".into());
        let builder = builder.tls(Tls::new().identity_pem("", "hush".into()));
        assert!(!format!("{builder:?}").contains("hush"), "{builder:?}");
    }
}
