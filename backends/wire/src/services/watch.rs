//! Watches.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use etcd_client::proto as pb;
use futures_core::Stream;
use portolan_core::waist::{self, Reply, WatchSay};
use portolan_memory::Pass;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::{Member, pass};
use crate::store::Call;
use crate::{replies, requests, status};

#[async_trait]
impl pb::PbWatchService for Member {
    type WatchStream = Watches;

    async fn watch(
        &self,
        request: Request<Streaming<pb::PbWatchRequest>>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (metadata, _, said) = request.into_parts();
        let (member, pass) = (self.clone(), pass(&metadata));
        Ok(Response::new(Watches { said, member, pass, opened: None }))
    }
}

/// A stream of watches. It ends when its client has nothing more to say.
pub(crate) struct Watches {
    said: Streaming<pb::PbWatchRequest>,
    member: Member,
    pass: Pass,
    /// To the model the first watch opens the stream.
    opened: Option<Call>,
}

impl Watches {
    fn hear(&mut self, say: WatchSay) {
        match (&self.opened, say) {
            (Some(call), say) => call.say(say),
            (None, WatchSay::Create(watch)) => {
                let open = waist::Request::Watch(watch);
                self.opened = Some(self.member.call(open, self.pass.clone()));
            }
            // Nothing is watched that could end, or make progress.
            (None, WatchSay::Cancel { .. } | WatchSay::Progress) => {}
        }
    }
}

impl Stream for Watches {
    type Item = Result<pb::PbWatchResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        // What there is to tell comes first: who does not take it is not heard further.
        loop {
            if let Some(call) = &this.opened
                && let Poll::Ready(said) = call.poll_said(cx)
            {
                return Poll::Ready(Some(match said.done() {
                    Ok(Reply::Watch(reply)) => Ok(replies::watch(reply)),
                    Ok(_) => Err(status::unexpected()),
                    Err(status) => Err(status),
                }));
            }
            match ready!(Pin::new(&mut this.said).poll_next(cx)) {
                Some(Ok(said)) => requests::watch(said).into_iter().for_each(|say| this.hear(say)),
                Some(Err(status)) => return this.member.refusal(status),
                None => return Poll::Ready(None),
            }
        }
    }
}
