//! An etcd within this process.

use std::fmt;

use portolan_core::waist::{Code, MemberId, Reply, Request, StoreError};
use portolan_memory::{Admin, Config, Fault, Input, Model};
use tonic::service::Routes;

use crate::services::Member;
use crate::status;
use crate::store::{Said, Store};

/// An etcd within this process. Cheap to clone: all clones are one etcd, whose data live as long as
/// one of them, or a connection to it, does.
///
/// It has as many members as its configuration says; a handle leads to one of them, the first at first
/// (see [`member`](Self::member)).
///
/// A [`Server`](crate::Server) lets others connect to it, a [`Link`](crate::Link) clients within this
/// process; [`serve`](Self::serve) takes any stream of bytes, and [`routes`](Self::routes) single
/// calls.
///
/// Its clock is tokio's: it works under a paused one.
///
/// # Memory
/// What is stored has the [`Limits`](crate::Limits) of its [`Config`]: a quota, of which a part may be
/// history. Without them, as by default, it grows with what is written. A stream of watches whose
/// client does not read it is told no more once [`stream_bytes`](crate::Limits::stream_bytes) (256 KiB
/// by default) wait for it: its watches fall behind, and are served from history later, or cancelled if
/// that was compacted, as in etcd. The process then takes at most
///
/// ```text
/// 32 MiB + 2 × quota + 1.25 MiB × connections + (384 KiB + 3 × L) × streams of watches
/// + (2 KiB + K) × watches + 3 × A × other calls under way
/// ```
///
/// with L the longest revision that a stream is told (a transaction; with `prev_kv` also what was there
/// before), K the length of the watched keys, and A the longest question (up to 4 MiB) or answer. Users
/// and roles, which an operator sets up, are not counted. A server has 1,024 connections at most, each
/// of them 10,000 calls and streams; how many watches there are has no limit.
#[derive(Clone)]
pub struct Etcd {
    store: Store,
    /// The member that this handle leads to.
    member: MemberId,
    /// The longest message that it takes, in bytes.
    limit: u64,
    #[cfg(feature = "net")]
    going: std::sync::Arc<tokio::sync::watch::Sender<Vec<crate::connection::Going>>>,
}

impl Etcd {
    /// An empty one, whose time begins now. No [`Log`](portolan_memory::Log) is kept.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(config: Config) -> Self {
        let etcd = Self::untimed(Config { keep_log: false, ..config });
        tokio::spawn(etcd.let_time_pass());
        etcd
    }

    /// An empty one, whose time begins now, and passes only while somebody
    /// [lets it](Self::let_time_pass): no lease ends before, and no watch that is behind catches up.
    pub fn untimed(config: Config) -> Self {
        Self {
            limit: config.max_message_bytes(),
            member: MemberId(0),
            #[cfg(feature = "net")]
            going: {
                let all = config.member_ids().map(|_| crate::connection::Going::default());
                std::sync::Arc::new(tokio::sync::watch::Sender::new(all.collect()))
            },
            store: Store::new(config),
        }
    }

    /// The same etcd by another of its members, by its place from 0 on: who connects to that is served
    /// by it. `None` if there are not that many.
    pub fn member(&self, place: u16) -> Option<Self> {
        let member = MemberId(place);
        let is_there = self.look(|model| model.members().any(|view| view.member == member));
        is_there.then(|| Self { member, ..self.clone() })
    }

    /// Does what is due in the store when it is, until the last clone of this etcd, and the last of
    /// its routes, is gone. One such future is enough, wherever it runs; it may be dropped, and
    /// another one made: what was due meanwhile is then done at once.
    pub fn let_time_pass(&self) -> impl Future<Output = ()> + Send + 'static {
        self.store.let_time_pass()
    }

    /// etcd's services as the member offers them: whoever can carry a gRPC call to them serves it. To
    /// what happens to the member's process they are blind; calls that break with it are not answered.
    pub fn routes(&self) -> Routes {
        Member::new(self.store.clone(), self.member, self.limit).routes()
    }

    /// Changes users and roles, as an operator who may do that. What etcd refuses has no effect.
    pub fn administer(&self, admin: Admin) {
        self.store.happen(Input::Admin(admin));
    }

    /// Does something to the store itself, or to one of its members. Where a member's process ends by
    /// that, all connections to it break without a further word, and whoever connects while it is
    /// stopped is sent away; while it is held, they stand still. Nothing comes of a fault of a member
    /// that is not there, nor of a restore without a backup.
    pub fn fault(&self, fault: Fault) {
        if let Fault::Member(MemberId(place), _) = fault
            && self.member(place).is_none()
        {
            return;
        }
        if fault == Fault::Restore && self.look(|model| !model.has_backup()) {
            return;
        }
        // First, so that nothing of what a process says in its death gets out.
        #[cfg(feature = "net")]
        self.going.send_modify(|all| {
            for (place, going) in (0..).zip(all) {
                *going = going.after(MemberId(place), fault);
            }
        });
        self.store.happen(Input::Fault(fault));
    }

    /// Asks it from beside, without a connection; as nobody, where users are on.
    ///
    /// # Errors
    /// As etcd, and when the store is stopped or stops. While it is held there is no answer.
    pub async fn ask(&self, request: Request) -> Result<Reply, StoreError> {
        match self.store.ask(self.member, request).answer().await {
            Said::Reply(Reply::Failed(error), _) => Err(error),
            Said::Reply(reply, _) => Ok(reply),
            Said::Operated(_) => {
                let message = status::unexpected().message().to_owned();
                Err(StoreError::Other { code: Code::Internal, message })
            }
        }
    }

    /// Looks at the store itself, which nothing changes meanwhile: the truth that a test may hold
    /// against what clients see. `look` must not call this etcd.
    pub fn look<T>(&self, look: impl FnOnce(&Model) -> T) -> T {
        self.store.look(look)
    }
}

#[cfg(feature = "net")]
mod connections {
    use std::net::SocketAddr;

    use tokio::io::{AsyncRead, AsyncWrite};

    use super::Etcd;
    use crate::connection::{self, Served, To};

    impl Etcd {
        /// Serves one connection over any stream of bytes, HTTP/2 within, until its client leaves, it
        /// breaks, or `ending` comes; then calls under way have a second left.
        pub async fn serve<I>(
            &self,
            io: I,
            peer: Option<SocketAddr>,
            ending: impl Future<Output = ()>,
        ) -> Served
        where
            I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
        {
            let (member, routes, limit) = (self.member, self.routes(), self.limit);
            let to = To { member, routes, limit, going: self.going.subscribe() };
            connection::serve(io, peer, to, ending).await
        }

        /// Whether whoever connects now is sent away.
        pub(crate) fn is_shut(&self) -> bool {
            self.going.borrow()[usize::from(self.member.0)].is_shut()
        }

        /// Clients are told that the member is to be found there, or not any more.
        pub(crate) fn advertise(&self, url: &str, on: bool) {
            self.store.advertise(self.member, url, on);
        }
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Etcd")
    }
}
