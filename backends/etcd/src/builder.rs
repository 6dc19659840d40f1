use std::fmt;
use std::time::Duration;

use http::Uri;
use secrecy::SecretString;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::BoxError;
use tower::util::BoxCloneSyncService;

use crate::EtcdBackend;
use crate::auth::{Auth, Credentials};
use crate::inbox::Inbox;
use crate::member::{Habits, Member};
use crate::tasks::Tasks;

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
}

impl Builder {
    /// One member more, as `HOST:PORT` or `http://HOST:PORT`.
    pub fn address(mut self, address: impl Into<String>) -> Self {
        self.members.push(Source::Address(address.into()));
        self
    }

    /// One member more, reached through `endpoint` as it is; only its executor is replaced.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.members.push(Source::Endpoint(Box::new(endpoint)));
        self
    }

    /// One member more, reached through two channels: one for calls and renewals, one for watches,
    /// which may stall their channel. `name` is what errors call it. Time limits, pings and tasks
    /// of these channels are the caller's.
    pub fn channels(
        mut self,
        name: impl Into<String>,
        calls: RawChannel,
        streams: RawChannel,
    ) -> Self {
        self.members.push(Source::Channels { name: name.into(), calls, streams });
        self
    }

    /// Who we are to the store. A token is fetched before the first request.
    pub fn credentials(mut self, user: impl Into<String>, password: SecretString) -> Self {
        self.credentials = Some(Credentials { user: user.into(), password });
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

    /// Builds the backend. Connections are made when they are first needed.
    ///
    /// # Errors
    /// No member, too many, or an address that is none.
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
        let auth = Auth::new(self.credentials);
        let tasks = Tasks::default();
        let habits = Habits {
            decode_limit: self.decode_limit.unwrap_or(DECODE_LIMIT),
            require_leader: !self.leader_optional,
        };
        let members = self.members.into_iter().map(|source| {
            let (name, calls, streams) = source.connect(&self.transport, &tasks)?;
            Ok(Member::new(name, calls, streams, auth.clone(), habits))
        });
        let members = members.collect::<Result<_, BuildError>>()?;
        Ok(EtcdBackend::new(members, Inbox::new(), tasks))
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("members", &self.members.len())
            .field("user", &self.credentials.as_ref().map(|credentials| &credentials.user))
            .field("transport", &self.transport)
            .field("decode_limit", &self.decode_limit)
            .field("require_leader", &!self.leader_optional)
            .finish()
    }
}

impl Source {
    /// The member's name and its two channels.
    fn connect(
        self,
        transport: &Transport,
        tasks: &Tasks,
    ) -> Result<(String, RawChannel, RawChannel), BuildError> {
        let endpoint = match self {
            Self::Address(address) => transport.endpoint(&address)?,
            Self::Endpoint(endpoint) => *endpoint,
            Self::Channels { name, calls, streams } => return Ok((name, calls, streams)),
        };
        let endpoint = endpoint.executor(tasks.clone());
        let channel = || {
            use tower::ServiceExt;
            RawChannel::new(endpoint.connect_lazy().map_err(BoxError::from))
        };
        Ok((name_of(endpoint.uri()), channel(), channel()))
    }
}

impl Transport {
    fn endpoint(&self, address: &str) -> Result<Endpoint, BuildError> {
        let uri = parse(address).map_err(|problem| BuildError::BadAddress {
            address: without_userinfo(address).to_owned(),
            problem,
        })?;
        Ok(Endpoint::from(uri)
            .connect_timeout(self.connect_timeout)
            .http2_keep_alive_interval(self.keepalive_interval)
            .keep_alive_timeout(self.keepalive_timeout)
            .keep_alive_while_idle(false)
            .tcp_keepalive(Some(TCP_KEEPALIVE))
            .tcp_keepalive_interval(Some(TCP_KEEPALIVE_INTERVAL))
            .tcp_keepalive_retries(Some(3))
            .tcp_nodelay(true))
    }
}

fn parse(address: &str) -> Result<Uri, &'static str> {
    let (scheme, rest) = address.split_once("://").unwrap_or(("http", address));
    match scheme {
        "http" => {}
        "https" => return Err("asks for TLS, which this release does not have"),
        _ => return Err("has an unknown scheme; allowed is http"),
    }
    if rest.contains('@') {
        return Err("holds a user name; give credentials apart from the address");
    }
    let uri: Uri = format!("http://{rest}").parse().map_err(|_| "is not HOST:PORT")?;
    let authority = uri.authority().ok_or("has no host")?;
    if authority.host().is_empty() {
        return Err("has no host");
    }
    if authority.port_u16().is_none_or(|port| port == 0) {
        return Err("has no port from 1 to 65535");
    }
    if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
        return Err("has a path; allowed is HOST:PORT only");
    }
    Ok(uri)
}

/// Passwords are known to turn up before the `@` of an address.
fn without_userinfo(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, host)| host)
}

fn name_of(uri: &Uri) -> String {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    without_userinfo(authority).to_owned()
}

const TCP_KEEPALIVE: Duration = Duration::from_secs(10);
const TCP_KEEPALIVE_INTERVAL: Duration = Duration::from_secs(3);
const DECODE_LIMIT: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("127.0.0.1:2379", Ok("http://127.0.0.1:2379/")),
            ("http://etcd-0.etcd:2379", Ok("http://etcd-0.etcd:2379/")),
            ("http://[::1]:2379/", Ok("http://[::1]:2379/")),
            ("localhost", Err("has no port from 1 to 65535")),
            ("localhost:0", Err("has no port from 1 to 65535")),
            ("localhost:70000", Err("has no port from 1 to 65535")),
            ("", Err("is not HOST:PORT")),
            (":2379", Err("has no host")),
            ("a b:2379", Err("is not HOST:PORT")),
            ("a:1/b", Err("has a path; allowed is HOST:PORT only")),
            ("ftp://a:1", Err("has an unknown scheme; allowed is http")),
            ("https://a:1", Err("asks for TLS, which this release does not have")),
            ("u:p@a:1", Err("holds a user name; give credentials apart from the address")),
        ];
        for (address, expected) in cases {
            let found = parse(address).map(|uri| uri.to_string());
            assert_eq!(found, expected.map(str::to_owned), "{address:?}");
        }
    }

    #[test]
    fn what_cannot_be_built_says_why_and_keeps_the_password() {
        let build = |builder: Builder| builder.build().expect_err("it is wrong").to_string();
        assert_eq!(build(Builder::default()), "no etcd member is named; at least one is needed");
        assert_eq!(
            build(Builder::default().address("root:hush@a:1")),
            "etcd address \"a:1\" holds a user name; give credentials apart from the address"
        );
        let builder = Builder::default().credentials("root", "hush".into());
        assert!(!format!("{builder:?}").contains("hush"), "{builder:?}");
    }
}
