//! How a member is.

use etcd_client::proto as pb;
use portolan_core::waist;
use tonic::{Request, Response, Status, async_trait};

use super::{Member, unimplemented};
use crate::replies;

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
        _: Request<pb::PbAlarmRequest>,
    ) -> Result<Response<pb::PbAlarmResponse>, Status> {
        unimplemented("alarms")
    }

    async fn defragment(
        &self,
        _: Request<pb::PbDefragmentRequest>,
    ) -> Result<Response<pb::PbDefragmentResponse>, Status> {
        unimplemented("defragmentation")
    }

    async fn hash(
        &self,
        _: Request<pb::PbHashRequest>,
    ) -> Result<Response<pb::PbHashResponse>, Status> {
        unimplemented("the hash of the database")
    }

    async fn hash_kv(
        &self,
        _: Request<pb::PbHashKvRequest>,
    ) -> Result<Response<pb::PbHashKvResponse>, Status> {
        unimplemented("the hash of keys")
    }

    async fn snapshot(
        &self,
        _: Request<pb::PbSnapshotRequest>,
    ) -> Result<Response<Self::SnapshotStream>, Status> {
        unimplemented("a snapshot")
    }

    async fn move_leader(
        &self,
        _: Request<pb::PbMoveLeaderRequest>,
    ) -> Result<Response<pb::PbMoveLeaderResponse>, Status> {
        unimplemented("moving the lead")
    }

    async fn downgrade(
        &self,
        _: Request<pb::PbDowngradeRequest>,
    ) -> Result<Response<pb::PbDowngradeResponse>, Status> {
        unimplemented("a downgrade")
    }
}
