//! Members.

use etcd_client::proto as pb;
use portolan_core::waist::{self, MemberId, Reply};
use tonic::{Request, Response, Status, async_trait};

use super::{Member, unimplemented};
use crate::replies;

#[async_trait]
impl pb::PbClusterService for Member {
    async fn member_list(
        &self,
        request: Request<pb::PbMemberListRequest>,
    ) -> Result<Response<pb::PbMemberListResponse>, Status> {
        let mut said = self.ask(waist::Request::Members, request.metadata()).await?;
        if let Reply::Members(list) = &mut said {
            // They are listed by their places; the model knows of no addresses.
            for (place, member) in (0..).zip(&mut list.members) {
                member.client_urls.extend(self.store.addresses(MemberId(place)));
            }
        }
        answer!(said, Members, replies::members)
    }

    async fn member_add(
        &self,
        _: Request<pb::PbMemberAddRequest>,
    ) -> Result<Response<pb::PbMemberAddResponse>, Status> {
        Err(unimplemented("adding members"))
    }

    async fn member_remove(
        &self,
        _: Request<pb::PbMemberRemoveRequest>,
    ) -> Result<Response<pb::PbMemberRemoveResponse>, Status> {
        Err(unimplemented("removing members"))
    }

    async fn member_update(
        &self,
        _: Request<pb::PbMemberUpdateRequest>,
    ) -> Result<Response<pb::PbMemberUpdateResponse>, Status> {
        Err(unimplemented("changing members"))
    }

    async fn member_promote(
        &self,
        _: Request<pb::PbMemberPromoteRequest>,
    ) -> Result<Response<pb::PbMemberPromoteResponse>, Status> {
        Err(unimplemented("promoting members"))
    }
}
