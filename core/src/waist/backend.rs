use std::fmt;
use std::task::{Context, Poll};

use serde::{Deserialize, Serialize};

use super::{Reply, Request};

/// One request on the wire: it is applied at most once, possibly long after its time limit.
///
/// Numbered by the engine from 1, never twice in a run. A watch's attempt stands for its whole
/// stream.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct AttemptId(pub u64);

/// A place in the driver's list of etcd members, from 0. Not etcd's own member id.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MemberId(pub u16);

/// Reaches a store: carries requests out and replies back, and decides nothing.
///
/// Each submitted attempt is answered exactly once, except that
/// - a watch is answered by any number of [`Reply::Watch`] and, when its stream ends, by one
///   [`Reply::Failed`];
/// - [`Request::OnWatch`] has no answer of its own: what it causes arrives on the stream it
///   names (nothing at all, if that stream is gone);
/// - a cancelled attempt may be answered or not, whatever reached the store stays applied.
pub trait Backend {
    /// Sends `request` to `member`. Never blocks and never fails: failures are replies.
    fn submit(&mut self, attempt: AttemptId, member: MemberId, request: Request);

    /// Stops waiting for `attempt`, and ends its stream if it is a watch. Unknown ids are ignored.
    fn cancel(&mut self, attempt: AttemptId);

    /// The next reply, in the order of arrival for each stream. Answers about leases do not queue
    /// behind watch data.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Reply)>;
}

impl fmt::Display for AttemptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}
