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

    /// Has `member`'s next request use new connections, so that a name that stands for several
    /// members may lead to another one. What is under way stays where it is.
    fn redial(&mut self, member: MemberId) {
        let _ = member;
    }

    /// From now on `member`, a number not used before, is the one that serves clients at one of
    /// `urls`, of which there is at least one.
    fn introduce(&mut self, member: MemberId, urls: &[String]) {
        let _ = (member, urls);
    }

    /// The next reply, in the order of arrival for each stream. Answers about leases do not queue
    /// behind watch data.
    fn poll_reply(&mut self, cx: &mut Context<'_>) -> Poll<(AttemptId, Reply)>;
}

impl AttemptId {
    /// No attempt: what a backend tells without being asked, [`Reply::CredentialsChanged`] alone.
    pub const NEWS: Self = Self(0);
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
