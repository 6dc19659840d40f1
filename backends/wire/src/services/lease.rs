//! Leases.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use etcd_client::proto as pb;
use futures_core::Stream;
use portolan_core::waist::{self, KeepAlive, LeaseId, Reply, Revoke, StoreError, TimeToLive};
use portolan_memory::Pass;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Member, pass};
use crate::store::Call;
use crate::{replies, requests, status};

#[async_trait]
impl pb::PbLeaseService for Member {
    type LeaseKeepAliveStream = KeepAlives;

    async fn lease_grant(
        &self,
        request: Request<pb::PbLeaseGrantRequest>,
    ) -> Result<Response<pb::PbLeaseGrantResponse>, Status> {
        let (metadata, _, grant) = request.into_parts();
        answer!(
            self.ask(waist::Request::Grant(requests::grant(&grant)), &metadata).await?,
            Grant,
            replies::grant
        )
    }

    async fn lease_revoke(
        &self,
        request: Request<pb::PbLeaseRevokeRequest>,
    ) -> Result<Response<pb::PbLeaseRevokeResponse>, Status> {
        let (metadata, _, revoke) = request.into_parts();
        let Some(lease) = LeaseId::new(revoke.id) else {
            return Err(status::of(&StoreError::LeaseNotFound));
        };
        answer!(
            self.ask(waist::Request::Revoke(Revoke { lease }), &metadata).await?,
            Revoke,
            replies::revoke
        )
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<pb::PbLeaseKeepAliveRequest>>,
    ) -> Result<Response<Self::LeaseKeepAliveStream>, Status> {
        let (metadata, _, said) = request.into_parts();
        let (member, pass) = (self.clone(), pass(&metadata));
        Ok(Response::new(KeepAlives { said, member, pass, asked: None }))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<pb::PbLeaseTimeToLiveRequest>,
    ) -> Result<Response<pb::PbLeaseTimeToLiveResponse>, Status> {
        let (metadata, _, ask) = request.into_parts();
        let Some(lease) = LeaseId::new(ask.id) else {
            // No lease has this id (row L8).
            let header = Some(replies::header(self.header()));
            let (id, ttl) = (0, -1);
            let none = pb::PbLeaseTimeToLiveResponse { header, id, ttl, ..Default::default() };
            return Ok(Response::new(none));
        };
        let ask = waist::Request::TimeToLive(TimeToLive { lease, keys: ask.keys });
        answer!(self.ask(ask, &metadata).await?, TimeToLive, replies::time_to_live)
    }

    async fn lease_leases(
        &self,
        request: Request<pb::PbLeaseLeasesRequest>,
    ) -> Result<Response<pb::PbLeaseLeasesResponse>, Status> {
        answer!(
            self.ask(waist::Request::Leases, request.metadata()).await?,
            Leases,
            replies::leases
        )
    }
}

/// The answers to a stream of renewals: one after the other, in the order in which they were asked
/// for. The first failure ends it, as in etcd.
pub(crate) struct KeepAlives {
    said: Streaming<pb::PbLeaseKeepAliveRequest>,
    member: Member,
    pass: Pass,
    asked: Option<Call>,
}

impl Stream for KeepAlives {
    type Item = Result<pb::PbLeaseKeepAliveResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            if let Some(call) = &this.asked {
                let said = ready!(call.poll_said(cx));
                this.asked = None;
                return Poll::Ready(Some(match said.done() {
                    Ok(Reply::KeepAlive(reply)) => Ok(replies::keep_alive(reply)),
                    Ok(_) => Err(status::unexpected()),
                    Err(status) => Err(status),
                }));
            }
            let asked = match ready!(Pin::new(&mut this.said).poll_next(cx)) {
                Some(Ok(asked)) => asked,
                Some(Err(status)) => return this.member.refusal(status),
                None => return Poll::Ready(None),
            };
            let Some(lease) = LeaseId::new(asked.id) else {
                // No lease has this id (row L3).
                let header = Some(replies::header(this.member.header()));
                let (id, ttl) = (0, 0);
                let none = pb::PbLeaseKeepAliveResponse { header, id, ttl };
                return Poll::Ready(Some(Ok(none)));
            };
            let renew = waist::Request::KeepAlive(KeepAlive { lease });
            this.asked = Some(this.member.call(renew, this.pass.clone()));
        }
    }
}
