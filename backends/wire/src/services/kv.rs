//! Keys.

use etcd_client::proto as pb;
use portolan_core::waist;
use tonic::{Request, Response, Status, async_trait};

use super::{Member, unimplemented};
use crate::{replies, requests, status};

#[async_trait]
impl pb::PbKvService for Member {
    type RangeStreamStream = tonic::codegen::BoxStream<pb::PbRangeStreamResponse>;

    async fn range(
        &self,
        request: Request<pb::PbRangeRequest>,
    ) -> Result<Response<pb::PbRangeResponse>, Status> {
        let (metadata, _, range) = request.into_parts();
        let range = requests::range(range).map_err(|error| status::of(&error))?;
        answer!(self.ask(waist::Request::Range(range), &metadata).await?, Range, replies::range)
    }

    async fn range_stream(
        &self,
        _: Request<pb::PbRangeRequest>,
    ) -> Result<Response<Self::RangeStreamStream>, Status> {
        Err(unimplemented("a range as a stream"))
    }

    async fn put(
        &self,
        request: Request<pb::PbPutRequest>,
    ) -> Result<Response<pb::PbPutResponse>, Status> {
        let (metadata, _, put) = request.into_parts();
        answer!(
            self.ask(waist::Request::Put(requests::put(put)), &metadata).await?,
            Put,
            replies::put
        )
    }

    async fn delete_range(
        &self,
        request: Request<pb::PbDeleteRequest>,
    ) -> Result<Response<pb::PbDeleteResponse>, Status> {
        let (metadata, _, delete) = request.into_parts();
        answer!(
            self.ask(waist::Request::Delete(requests::delete(delete)), &metadata).await?,
            Delete,
            replies::delete
        )
    }

    async fn txn(
        &self,
        request: Request<pb::PbTxnRequest>,
    ) -> Result<Response<pb::PbTxnResponse>, Status> {
        let (metadata, _, txn) = request.into_parts();
        let txn = requests::txn(txn).map_err(|error| status::of(&error))?;
        answer!(self.ask(waist::Request::Txn(txn), &metadata).await?, Txn, replies::txn)
    }

    async fn compact(
        &self,
        request: Request<pb::PbCompactionRequest>,
    ) -> Result<Response<pb::PbCompactionResponse>, Status> {
        let (metadata, _, compact) = request.into_parts();
        answer!(
            self.ask(waist::Request::Compact(requests::compact(&compact)), &metadata).await?,
            Compact,
            replies::compact
        )
    }
}
