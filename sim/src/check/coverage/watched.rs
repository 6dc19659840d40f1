//! What a watch that is open was told.

use portolan_core::waist::{MemberId, Revision, WatchReply};

use super::Mark;

/// A watch that is open.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Watched {
    /// Whom it was asked of.
    pub member: MemberId,
    /// Whether that has accepted it.
    pub accepted: bool,
    /// The store's revision at that moment: what it is told up to there was there before it.
    begun: Revision,
    /// The last such revision of which it was told something, and how many there were.
    last: Revision,
    older: u32,
    /// The last revision of a part after which another one was to come.
    parted: Option<Revision>,
}

impl Watched {
    pub fn at(member: MemberId) -> Self {
        let (begun, last) = (Revision::ZERO, Revision::ZERO);
        Self { member, accepted: false, begun, last, older: 0, parted: None }
    }

    /// It begins, or tells something.
    pub fn told(&mut self, reply: &WatchReply) -> impl Iterator<Item = Mark> + use<> {
        if reply.created {
            (self.accepted, self.begun) = (true, reply.header.revision);
        }
        let before = self.older;
        let mut revisions = reply.events.iter().map(|event| event.kv.mod_revision);
        let first = revisions.next();
        for revision in first.into_iter().chain(revisions) {
            if revision <= self.begun && revision > self.last {
                (self.last, self.older) = (revision, self.older + 1);
            }
        }
        let parted = first.is_some() && first == self.parted;
        let last = reply.events.last().map(|event| event.kv.mod_revision);
        self.parted = last.filter(|_| reply.fragment);
        let long = before < LONG && self.older >= LONG;
        let marks = [(long, Mark::CaughtUpWithAThousandRevisions), (parted, Mark::RevisionInParts)];
        marks.into_iter().filter_map(|(seen, mark)| seen.then_some(mark))
    }
}

/// So many revisions are what etcd tells a watch that is behind at a time (row W8).
const LONG: u32 = 1_000;
