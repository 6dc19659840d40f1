use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use etcd_client::{Channel, Client, ConnectOptions, LeaseGrantOptions, LeaseTimeToLiveOptions};
use portolan_core::waist::{
    Compact, DeleteRange, Grant, Put, Range, Reply, Revoke, StoreError, TimeToLive, Txn,
};
use tokio::sync::mpsc;

use crate::auth::{Auth, Tokened};
use crate::error::from_client;
use crate::keepalive::{Order, Renewals};
use crate::wires::{Wires, Workshop};
use crate::{RawChannel, convert};

/// One member of the cluster.
pub(crate) struct Member {
    wires: Wires,
    pub(crate) clients: Arc<Clients>,
    /// What its connections are made with, as [`Trust::replaced`](crate::tls::Trust::replaced)
    /// counts.
    trust: u64,
    /// The way to the task that renews leases here; made with the first renewal.
    pub(crate) renewals: Option<mpsc::UnboundedSender<Order>>,
}

/// The clients of one member, over its two connections.
pub(crate) struct Clients {
    /// What errors call this member.
    pub(crate) name: String,
    auth: Auth,
    /// Asks that the member has a leader, and is refused at once otherwise (row W17).
    strict: Client,
    /// For what a member may say without a leader. etcd-client sets the demand per client.
    lenient: Client,
    streams: Client,
    calls: Tokened,
    habits: Habits,
}

/// What holds for every call.
#[derive(Clone, Copy)]
pub(crate) struct Habits {
    /// In bytes.
    pub(crate) decode_limit: usize,
    pub(crate) require_leader: bool,
}

impl Member {
    pub(crate) fn new(wires: Wires, workshop: &Workshop) -> Self {
        let trust = workshop.dialing.trust.replaced();
        let clients = Arc::new(Clients::new(&wires, workshop));
        Self { wires, clients, trust, renewals: None }
    }

    /// What comes from now on goes over other connections, to the next address if there are several.
    pub(crate) fn redial(&mut self, workshop: &Workshop) {
        self.wires.redials += 1;
        self.rewire(workshop);
    }

    /// As [`Self::redial`], but only if new connections would be made with other certificates, and
    /// to the same address.
    pub(crate) fn keep_up(&mut self, workshop: &Workshop) {
        if self.wires.speaks_tls() && self.trust != workshop.dialing.trust.replaced() {
            self.rewire(workshop);
        }
    }

    /// The former connections last as long as something is under way on them: whatever is has its
    /// own handle to the clients, and the renewing task its orders.
    fn rewire(&mut self, workshop: &Workshop) {
        self.trust = workshop.dialing.trust.replaced();
        self.clients = Arc::new(Clients::new(&self.wires, workshop));
        self.renewals = None;
    }
}

impl Clients {
    fn new(wires: &Wires, workshop: &Workshop) -> Self {
        let (auth, habits) = (workshop.auth.clone(), workshop.habits);
        let (calls, streams) = wires.channels(workshop);
        let calls = Tokened { inner: calls, auth: auth.clone() };
        let streams = Tokened { inner: streams, auth: auth.clone() };
        Self {
            name: wires.name.clone(),
            auth,
            strict: client(calls.clone(), habits.require_leader),
            lenient: client(calls.clone(), false),
            streams: client(streams, habits.require_leader),
            calls,
            habits,
        }
    }

    pub(crate) async fn authenticate(self: Arc<Self>) -> Result<Reply, StoreError> {
        self.auth.renew(self.strict.auth_client(), &self.name).await?;
        Ok(Reply::Authenticated)
    }

    pub(crate) async fn range(self: Arc<Self>, range: Range) -> Result<Reply, StoreError> {
        let client = if range.serializable { &self.lenient } else { &self.strict };
        let (key, options) = convert::range(range);
        let mut kv = client.kv_client().max_decoding_message_size(self.habits.decode_limit);
        let answer = kv.get(key, Some(options)).await.map_err(|e| self.failure(&e))?;
        Ok(Reply::Range(convert::range_reply(answer.0)))
    }

    pub(crate) async fn put(self: Arc<Self>, put: Put) -> Result<Reply, StoreError> {
        let (key, value, options) = convert::put(put);
        let answer =
            self.kv().put(key, value, Some(options)).await.map_err(|e| self.failure(&e))?;
        Ok(Reply::Put(convert::put_reply(answer.0)))
    }

    pub(crate) async fn delete(self: Arc<Self>, delete: DeleteRange) -> Result<Reply, StoreError> {
        let (key, options) = convert::delete(delete);
        let answer = self.kv().delete(key, Some(options)).await.map_err(|e| self.failure(&e))?;
        Ok(Reply::Delete(convert::delete_reply(answer.0)))
    }

    pub(crate) async fn txn(self: Arc<Self>, txn: Txn) -> Result<Reply, StoreError> {
        let answer = self.kv().txn(convert::txn(txn)).await.map_err(|e| self.failure(&e))?;
        convert::txn_reply(answer.0).map(Reply::Txn)
    }

    pub(crate) async fn compact(self: Arc<Self>, compact: Compact) -> Result<Reply, StoreError> {
        let options = convert::compact(compact);
        let answer = self.kv().compact(compact.revision.0, Some(options)).await;
        let answer = answer.map_err(|e| self.failure(&e))?;
        Ok(Reply::Compact(convert::compact_reply(answer.0)))
    }

    pub(crate) async fn grant(self: Arc<Self>, grant: Grant) -> Result<Reply, StoreError> {
        let options = grant.lease.map(|lease| LeaseGrantOptions::new().with_id(lease.get()));
        let answer = self.strict.lease_client().grant(grant.ttl_secs, options).await;
        convert::grant_reply(answer.map_err(|e| self.failure(&e))?.0).map(Reply::Grant)
    }

    pub(crate) async fn revoke(self: Arc<Self>, revoke: Revoke) -> Result<Reply, StoreError> {
        let answer = self.strict.lease_client().revoke(revoke.lease.get()).await;
        let answer = answer.map_err(|e| self.failure(&e))?;
        Ok(Reply::Revoke(convert::revoke_reply(answer.0)))
    }

    pub(crate) async fn time_to_live(
        self: Arc<Self>,
        ask: TimeToLive,
    ) -> Result<Reply, StoreError> {
        let options = ask.keys.then(|| LeaseTimeToLiveOptions::new().with_keys());
        let answer = self.strict.lease_client().time_to_live(ask.lease.get(), options).await;
        let answer = answer.map_err(|e| self.failure(&e))?;
        Ok(Reply::TimeToLive(convert::time_to_live_reply(ask.lease, answer.0)))
    }

    pub(crate) async fn leases(self: Arc<Self>) -> Result<Reply, StoreError> {
        let answer = self.strict.lease_client().leases().await.map_err(|e| self.failure(&e))?;
        Ok(Reply::Leases(convert::leases_reply(answer.0)))
    }

    /// Asked without the demand for a leader: whether there is one is what one wants to know.
    pub(crate) async fn status(self: Arc<Self>) -> Result<Reply, StoreError> {
        let answer = self.lenient.maintenance_client().status().await;
        Ok(Reply::Status(convert::status_reply(answer.map_err(|e| self.failure(&e))?.0)))
    }

    /// Asked without the demand for a leader: one that has none knows better where others are.
    pub(crate) async fn members(self: Arc<Self>) -> Result<Reply, StoreError> {
        let answer = self.lenient.cluster_client().member_list().await;
        Ok(Reply::Members(convert::members_reply(&answer.map_err(|e| self.failure(&e))?)))
    }

    pub(crate) fn watch_client(&self) -> etcd_client::WatchClient {
        self.streams.watch_client().max_decoding_message_size(self.habits.decode_limit)
    }

    /// Renewals go over the connection for calls: that for watches may stall.
    pub(crate) fn renewals(&self) -> Renewals {
        Renewals::new(self.calls.clone(), self.habits.require_leader)
    }

    pub(crate) fn failure(&self, error: &etcd_client::Error) -> StoreError {
        from_client(error, &self.name)
    }

    fn kv(&self) -> etcd_client::KvClient {
        self.strict.kv_client().max_decoding_message_size(self.habits.decode_limit)
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Member").field(&self.clients.name).finish()
    }
}

fn client(channel: Tokened, require_leader: bool) -> Client {
    let options = ConnectOptions::new().with_require_leader(require_leader);
    let channel = Channel::Custom(RawChannel::new(channel));
    let building = pin!(Client::from_channel(channel, Some(options)));
    match building.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(client)) => client,
        // Without credentials it neither asks nor waits.
        Poll::Ready(Err(_)) | Poll::Pending => unreachable!("a client without user needs nothing"),
    }
}
