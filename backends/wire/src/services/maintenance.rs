//! How a member is.

use etcd_client::proto as pb;
use portolan_core::waist::{self, Revision};
use portolan_memory::Operation;
use tonic::{Request, Response, Status, async_trait};

use super::{Member, unimplemented};
use crate::{replies, requests};

#[async_trait]
impl pb::PbMaintenanceService for Member {
    type SnapshotStream = tonic::codegen::BoxStream<pb::PbSnapshotResponse>;

    async fn status(
        &self,
        request: Request<pb::PbStatusRequest>,
    ) -> Result<Response<pb::PbStatusResponse>, Status> {
        answer!(
            self.ask(waist::Request::Status, request.metadata()).await?,
            Status,
            replies::status
        )
    }

    async fn alarm(
        &self,
        request: Request<pb::PbAlarmRequest>,
    ) -> Result<Response<pb::PbAlarmResponse>, Status> {
        let (metadata, _, asked) = request.into_parts();
        match requests::alarm(&asked) {
            Some(operation) => {
                let mut answer = self.operate(operation, &metadata, replies::alarms).await?;
                if asked.alarm == requests::CORRUPT {
                    answer.get_mut().alarms.clear();
                }
                Ok(answer)
            }
            None => Err(unimplemented("an alarm of another kind than NOSPACE")),
        }
    }

    async fn defragment(
        &self,
        _: Request<pb::PbDefragmentRequest>,
    ) -> Result<Response<pb::PbDefragmentResponse>, Status> {
        Err(unimplemented("defragmentation"))
    }

    async fn hash(
        &self,
        request: Request<pb::PbHashRequest>,
    ) -> Result<Response<pb::PbHashResponse>, Status> {
        let all = Operation::Kept { revision: Revision::ZERO };
        self.operate(all, request.metadata(), replies::hash).await
    }

    async fn hash_kv(
        &self,
        request: Request<pb::PbHashKvRequest>,
    ) -> Result<Response<pb::PbHashKvResponse>, Status> {
        let revision = Revision(request.get_ref().revision);
        let kept = Operation::Kept { revision };
        self.operate(kept, request.metadata(), replies::hash_kv).await
    }

    async fn snapshot(
        &self,
        _: Request<pb::PbSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        Err(unimplemented("a snapshot"))
    }

    async fn move_leader(
        &self,
        _: Request<pb::PbMoveLeaderRequest>,
    ) -> Result<Response<pb::PbMoveLeaderResponse>, Status> {
        Err(unimplemented("moving the lead"))
    }

    async fn downgrade(
        &self,
        _: Request<pb::PbDowngradeRequest>,
    ) -> Result<Response<pb::PbDowngradeResponse>, Status> {
        Err(unimplemented("a downgrade"))
    }
}
