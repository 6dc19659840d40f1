use std::collections::VecDeque;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use etcd_client::proto::PbLeaseKeepAliveResponse as Answer;
use futures_core::Stream;
use http::uri::PathAndQuery;
use portolan_core::waist::{AttemptId, KeepAliveReply, LeaseId, Reply, StoreError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::{Status, Streaming};
use tonic_prost::ProstCodec;

use crate::auth::Tokened;
use crate::convert::header;
use crate::error::from_status;
use crate::inbox::Replies;
use crate::member::Clients;

/// What the renewing task is told.
pub(crate) enum Order {
    /// Renew a lease.
    Renew(AttemptId, LeaseId),
    /// Nobody waits for this attempt any more.
    Forget(AttemptId),
}

/// Renews all leases at one member over one stream, until nobody has a way to it any more: the
/// backend keeps one for each renewal that is waited for, and one for those to come, which it
/// gives up when those are to go over another connection.
///
/// The stream is opened by the first renewal and again by the first one after a failure; a failure
/// is the answer to all renewals on the way. etcd answers the renewals of a stream one by one, so
/// one that does not answer holds up all behind it: such a stream is left when a renewal comes
/// while the oldest on the way is [`PATIENCE`] old and given up by the engine.
pub(crate) async fn run(
    clients: Arc<Clients>,
    mut orders: mpsc::UnboundedReceiver<Order>,
    replies: Replies,
) {
    let mut waiting = Waiting { renewals: VecDeque::new(), replies };
    loop {
        while waiting.renewals.is_empty() {
            let Some(order) = orders.recv().await else { return };
            waiting.take(&order);
        }
        match stream(&clients, &mut orders, &mut waiting).await {
            End::Failed(error) => waiting.fail(&error),
            End::Stuck(attempt, lease) => {
                waiting.fail(&StoreError::ConnectionLost {
                    detail: format!("{}: a lease's renewal stays unanswered", clients.name),
                });
                waiting.take(&Order::Renew(attempt, lease));
            }
            End::Closed => return,
        }
    }
}

/// Why a stream was left.
enum End {
    /// It could not be opened, or broke.
    Failed(StoreError),
    /// Its oldest renewal was given up, and this one came.
    Stuck(AttemptId, LeaseId),
    /// Nobody waits any more.
    Closed,
}

/// One stream, from its opening to its end.
async fn stream(
    clients: &Clients,
    orders: &mut mpsc::UnboundedReceiver<Order>,
    waiting: &mut Waiting,
) -> End {
    let (say, said) = mpsc::unbounded_channel();
    for renewal in &waiting.renewals {
        let _ = say.send(renewal.lease);
    }
    let (tell, mut answers) = mpsc::unbounded_channel();
    // Opening is answered with the first renewal only, so more of them may come meanwhile.
    let mut reading = pin!(read(clients.renewals(), said, tell));
    loop {
        tokio::select! {
            biased;
            Some(answer) = answers.recv() => waiting.answer(&answer),
            end = &mut reading => return End::Failed(match end {
                Ok(()) => StoreError::StreamEnded,
                Err(status) => from_status(&status, &clients.name),
            }),
            order = orders.recv() => {
                let Some(order) = order else { return End::Closed };
                if let Order::Renew(attempt, lease) = order {
                    if waiting.is_stuck() {
                        return End::Stuck(attempt, lease);
                    }
                    // It fails only after the stream's end, which is told next.
                    let _ = say.send(lease);
                }
                waiting.take(&order);
            }
        }
    }
}

/// Opens the stream and tells its answers, to its end.
async fn read(
    renewals: Renewals,
    said: mpsc::UnboundedReceiver<LeaseId>,
    tell: mpsc::UnboundedSender<Answer>,
) -> Result<(), Status> {
    let mut stream = renewals.open(said).await?;
    while let Some(answer) = stream.message().await? {
        let _ = tell.send(answer);
    }
    Ok(())
}

/// The renewals on the way, in the order in which they were sent.
struct Waiting {
    renewals: VecDeque<Renewal>,
    replies: Replies,
}

struct Renewal {
    attempt: AttemptId,
    lease: LeaseId,
    since: Instant,
    given_up: bool,
}

impl Waiting {
    fn take(&mut self, order: &Order) {
        match *order {
            Order::Renew(attempt, lease) => {
                let since = Instant::now();
                self.renewals.push_back(Renewal { attempt, lease, since, given_up: false });
            }
            Order::Forget(attempt) => {
                let mut renewals = self.renewals.iter_mut();
                if let Some(renewal) = renewals.find(|renewal| renewal.attempt == attempt) {
                    renewal.given_up = true;
                }
            }
        }
    }

    /// Hands an answer to the oldest renewal of its lease. One that nobody asked for is dropped.
    fn answer(&mut self, answer: &Answer) {
        let Some(lease) = LeaseId::new(answer.id) else { return };
        let Some(at) = self.renewals.iter().position(|renewal| renewal.lease == lease) else {
            return;
        };
        let Some(renewal) = self.renewals.remove(at) else { return };
        let reply =
            KeepAliveReply { header: header(answer.header.as_ref()), lease, ttl_secs: answer.ttl };
        self.replies.call(renewal.attempt, Reply::KeepAlive(reply));
    }

    fn fail(&mut self, error: &StoreError) {
        for renewal in self.renewals.drain(..) {
            self.replies.call(renewal.attempt, Reply::Failed(error.clone()));
        }
    }

    fn is_stuck(&self) -> bool {
        let oldest = self.renewals.front();
        oldest.is_some_and(|renewal| renewal.given_up && renewal.since.elapsed() >= PATIENCE)
    }
}

/// etcd's `LeaseKeepAlive`. etcd-client's own wants to be opened with a lease that lives, and keeps
/// the first answer to itself: a dead lease would look like a broken stream, and its header, by
/// which a restored store is told, would be lost.
pub(crate) struct Renewals {
    grpc: Grpc<Tokened>,
    require_leader: bool,
}

/// `etcdserverpb.LeaseKeepAliveRequest` (`api/etcdserverpb/rpc.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct Ask {
    #[prost(int64, tag = "1")]
    id: i64,
}

/// The leases to renew, as the messages of the stream.
struct Asks(mpsc::UnboundedReceiver<LeaseId>);

impl Renewals {
    pub(crate) fn new(channel: Tokened, require_leader: bool) -> Self {
        Self { grpc: Grpc::new(channel), require_leader }
    }

    /// Opens a stream; done when the first answer is there.
    async fn open(
        mut self,
        leases: mpsc::UnboundedReceiver<LeaseId>,
    ) -> Result<Streaming<Answer>, Status> {
        if let Err(error) = self.grpc.ready().await {
            return Err(Status::from_error(error));
        }
        let mut request = tonic::Request::new(Asks(leases));
        if self.require_leader {
            request.metadata_mut().insert(REQUIRE_LEADER, MetadataValue::from_static("true"));
        }
        let codec = ProstCodec::<Ask, Answer>::default();
        let path = PathAndQuery::from_static("/etcdserverpb.Lease/LeaseKeepAlive");
        Ok(self.grpc.streaming(request, path, codec).await?.into_inner())
    }
}

impl Stream for Asks {
    type Item = Ask;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Ask>> {
        self.0.poll_recv(cx).map(|lease| lease.map(|lease| Ask { id: lease.get() }))
    }
}

/// How long a renewal may be on the way before its stream is doubted. The engine has its own, longer
/// limits; this keeps a renewal that it takes back early from costing the others their stream.
const PATIENCE: Duration = Duration::from_secs(2);

/// etcd: `MetadataRequireLeaderKey` in `api/v3rpc/rpctypes/metadatafields.go`.
const REQUIRE_LEADER: &str = "hasleader";
