//! An etcd within this process.

use std::fmt;

use portolan_core::waist::{MemberId, Reply, Request, StoreError};
use portolan_memory::{Admin, Config, Fault, Input, Model};
use tonic::service::Routes;

use crate::services::Member;
use crate::store::Store;

/// An etcd within this process. Cheap to clone: all clones are one etcd, whose data live as long as
/// one of them, or a connection to it, does.
///
/// A [`Server`](crate::Server) lets others connect to it, a [`Link`](crate::Link) clients within this
/// process; [`serve`](Self::serve) takes any stream of bytes, and [`routes`](Self::routes) single
/// calls.
///
/// Its clock is tokio's: it works under a paused one.
///
/// # Memory
/// What is stored has the [`Limits`](crate::Limits) of its [`Config`]: a quota, of which a part may be
/// history. Without them, as by default, it grows with
/// what is written. A stream of watches whose client does not read it is told no more once
/// [`stream_bytes`](crate::Limits::stream_bytes) (256 KiB by default) wait for it: its watches fall behind, and
/// are served from history later, or cancelled if that was compacted, as in etcd. The process then
/// takes at most
///
/// ```text
/// 32 MiB + 2 × quota + 1.25 MiB × connections + (384 KiB + 3 × L) × streams + 3 × A × other calls
/// ```
///
/// with L the longest revision that is told on a stream (a transaction; with `prev_kv` also what was
/// there before) and A the longest question (up to 4 MiB) or answer of a call that is under way. That
/// is nothing that a server could be held to by whoever means harm: one connection may have 10,000
/// calls, and each watch takes memory too.
#[derive(Clone)]
pub struct Etcd {
    store: Store,
    /// The longest message that it takes, in bytes.
    limit: u64,
    #[cfg(feature = "net")]
    going: std::sync::Arc<tokio::sync::watch::Sender<crate::connection::Going>>,
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
            store: Store::new(config),
            #[cfg(feature = "net")]
            going: std::sync::Arc::default(),
        }
    }

    /// Does what is due in the store when it is, until the last clone of this etcd, and the last of
    /// its routes, is gone. One such future is enough, wherever it runs; it may be dropped, and
    /// another one made: what was due meanwhile is then done at once.
    pub fn let_time_pass(&self) -> impl Future<Output = ()> + Send + 'static {
        self.store.let_time_pass()
    }

    /// etcd's services as one member offers them, by its place among the members from 0 on: whoever
    /// can carry a gRPC call to them serves it. To what happens to the store's process they are blind;
    /// calls that break with it are not answered.
    pub fn routes(&self, member: u16) -> Routes {
        Member::new(self.store.clone(), MemberId(member), self.limit).routes()
    }

    /// Changes users and roles, as an operator who may do that. What etcd refuses has no effect.
    pub fn administer(&self, admin: Admin) {
        self.store.happen(Input::Admin(admin));
    }

    /// Does something to the store itself. Where its process ends by that, all connections break
    /// without a further word, and whoever connects while it is stopped is sent away; while it is
    /// held, they stand still.
    pub fn fault(&self, fault: Fault) {
        // First, so that nothing of what a process says in its death gets out.
        #[cfg(feature = "net")]
        self.going.send_modify(|going| *going = going.after(fault));
        self.store.happen(Input::Fault(fault));
    }

    /// Asks it from beside, without a connection; as nobody, where users are on.
    ///
    /// # Errors
    /// As etcd, and when the store is stopped or stops. While it is held there is no answer.
    pub async fn ask(&self, request: Request) -> Result<Reply, StoreError> {
        let reply = self.store.ask(MemberId(0), request).answer().await.reply;
        if let Reply::Failed(error) = reply { Err(error) } else { Ok(reply) }
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
    use crate::connection::{self, Served};

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
            let (routes, limit) = (self.routes(connection::SERVED.0), self.limit);
            connection::serve(io, peer, (routes, limit), self.going.subscribe(), ending).await
        }

        /// Whether whoever connects now is sent away.
        pub(crate) fn is_shut(&self) -> bool {
            self.going.borrow().is_shut()
        }
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Etcd")
    }
}
