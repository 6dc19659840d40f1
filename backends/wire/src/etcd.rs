//! An etcd within this process.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use portolan_core::waist::MemberId;
use portolan_memory::{Admin, Config, Fault, Input};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tonic::service::Routes;

use crate::connection::{self, Going, Served};
use crate::services::Member;
use crate::store::Store;

/// An etcd with one member, within this process. Cheap to clone: all clones are one etcd, whose data
/// live as long as one of them, or a connection to it, does.
///
/// A [`Server`](crate::Server) lets others connect to it; [`serve`](Self::serve) takes any stream of
/// bytes.
///
/// Its clock is tokio's: it works under a paused one.
#[derive(Clone)]
pub struct Etcd {
    store: Store,
    routes: Routes,
    going: Arc<watch::Sender<Going>>,
}

impl Etcd {
    /// An empty one, whose time begins now.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    pub fn new(config: Config) -> Self {
        // The model refuses what is larger than its limit, in etcd's words: it has to see that.
        let most_bytes = usize::try_from(config.max_message_bytes()).unwrap_or(usize::MAX);
        let store = Store::start(Config { keep_log: false, ..config });
        let member = Member::new(store.clone(), MemberId(0));
        let routes = member.routes(most_bytes.saturating_mul(2));
        Self { store, routes, going: Arc::default() }
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
        self.going.send_modify(|going| *going = going.after(fault));
        self.store.happen(Input::Fault(fault));
    }

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
        let (routes, going) = (self.routes.clone(), self.going.subscribe());
        connection::serve(io, peer, routes, going, ending).await
    }

    /// Whether whoever connects now is sent away.
    pub(crate) fn is_shut(&self) -> bool {
        self.going.borrow().is_shut()
    }
}

impl fmt::Debug for Etcd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Etcd")
    }
}
