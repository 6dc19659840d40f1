//! etcd's services, as one member offers them.

/// The answer in etcd's words; one of another kind is a fault of our own.
macro_rules! answer {
    ($asked:expr, $kind:ident, $words:path) => {{
        let asked = $asked;
        let portolan_core::waist::Reply::$kind(reply) = asked else {
            return Err(crate::status::unexpected());
        };
        Ok(tonic::Response::new($words(reply)))
    }};
}

mod auth;
mod cluster;
mod kv;
mod lease;
mod maintenance;
mod watch;

use std::task::Poll;

use etcd_client::proto as pb;
use portolan_core::waist::{Header, MemberId, Reply, Request};
use portolan_memory::{Operated, Operation, Outcome, Pass, Token};
use tonic::metadata::MetadataMap;
use tonic::service::{Routes, RoutesBuilder};
use tonic::{Response, Status};

use crate::store::{Call, Store};
use crate::{replies, status};

/// What all services of one member have.
#[derive(Clone)]
pub(crate) struct Member {
    store: Store,
    place: MemberId,
    /// The longest message that etcd takes, in bytes.
    limit: u64,
}

impl Member {
    pub fn new(store: Store, place: MemberId, limit: u64) -> Self {
        Self { store, place, limit }
    }

    /// All services. What is longer than the limit is refused by the model, in etcd's words, so it
    /// has to see it; what is twice as long is not even read.
    pub fn routes(&self) -> Routes {
        let mut routes = RoutesBuilder::default();
        let limit = self.most_read();
        routes
            .add_service(pb::PbKvServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(pb::PbLeaseServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(pb::PbWatchServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(auth::Users(self.clone()))
            .add_service(pb::PbClusterServer::new(self.clone()).max_decoding_message_size(limit))
            .add_service(
                pb::PbMaintenanceServer::new(self.clone()).max_decoding_message_size(limit),
            );
        routes.routes()
    }

    /// The longest message that is read at all, in bytes.
    fn most_read(&self) -> usize {
        usize::try_from(self.limit.saturating_mul(2)).unwrap_or(usize::MAX)
    }

    /// What the transport refused on a stream, as etcd says it.
    fn refusal<T>(&self, status: Status) -> Poll<Option<Result<T, Status>>> {
        Poll::Ready(Some(Err(status::of_transport(status, self.limit))))
    }

    fn header(&self) -> Header {
        self.store.header(self.place)
    }

    fn call(&self, request: Request, pass: Pass) -> Call {
        self.store.call(self.place, request, pass)
    }

    /// Asks as an operator, and waits for the answer; one of another kind is a fault of our own.
    async fn operate<T>(
        &self,
        operation: Operation,
        metadata: &MetadataMap,
        answer: impl FnOnce(Option<pb::PbResponseHeader>, Outcome) -> Option<T>,
    ) -> Result<Response<T>, Status> {
        let call = self.store.operate(self.place, operation, pass(metadata));
        let Operated { header, outcome, .. } = call.answer().await.operated()?;
        let answer = answer(Some(replies::header(header)), outcome);
        answer.map(Response::new).ok_or_else(status::unexpected)
    }

    /// Asks, and waits for the answer.
    async fn ask(&self, request: Request, metadata: &MetadataMap) -> Result<Reply, Status> {
        self.call(request, pass(metadata)).answer().await.done()
    }
}

/// Who asks, by the metadata (`server/etcdserver/api/v3rpc`, `rpctypes.TokenFieldNameGRPC`).
fn pass(metadata: &MetadataMap) -> Pass {
    let token = metadata.get("token").or_else(|| metadata.get("authorization"));
    let token = token.and_then(|token| token.to_str().ok());
    token.map_or(Pass::Nobody, |token| Pass::Token(Token::from(token)))
}

/// What this server does not do.
fn unimplemented(what: &str) -> Status {
    Status::unimplemented(format!("portolan: {what} is not served"))
}
