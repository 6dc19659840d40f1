//! Epochs: whether the store that answers is still the one that answered before.
//!
//! A store may be restored from a backup, lose its data, or be replaced. Leases and revisions of
//! before then mean nothing any more, and nobody says so: a restored lease is renewed as ever, and
//! a watch from a revision that is still to come is silent (row W2 of `docs/etcd.md`). What shows
//! it are the headers of answers: another cluster, or a raft term or revision below one that was
//! proven before (rows R8, R9).
//!
//! - *Proven* is what an answer said that needed a leader. It holds against every request that is
//!   sent after it; answers to earlier ones may come later.
//! - *Shown* is a revision that any answer told, a watch's too. A member that lags may be below it
//!   later; an answer that needed a leader may not.
//! - An answer below that is a *suspicion* only: a member that lags gives such answers too. One
//!   linearizable read, which no lagging member answers from its own data, settles it.
//! - A suspicion that cannot be settled is dropped. As long as its reason stays it comes again, at
//!   the latest with the next renewal.
//!
//! It does not see a store that has overtaken both term and revision. Directories do, by a read at
//! their cursor, and own keys are read after each loss of their watch. A follower that keeps no copy
//! is told of each epoch, since what it can read at its cursor proves less.

use super::cx::Cx;
use super::retry::Backoff;
use super::wire::Owner;
use crate::time::Time;
use crate::waist::{AttemptId, Header, Key, KeyRange, Op, Range, Reply, Request, Revision};

/// How far a store was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub(crate) struct Stand {
    pub cluster_id: u64,
    pub raft_term: u64,
    pub revision: Revision,
}

impl Stand {
    pub fn of(header: &Header) -> Self {
        let &Header { cluster_id, raft_term, revision, member_id: _ } = header;
        Self { cluster_id, raft_term, revision }
    }

    /// Whether the same store may say `header` later.
    pub fn allows(&self, header: &Header) -> bool {
        header.cluster_id == self.cluster_id
            && header.raft_term >= self.raft_term
            && header.revision >= self.revision
    }
}

/// What was proven when a request was sent.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct Then {
    epoch: u32,
    proven: Option<Stand>,
    shown: Revision,
}

impl Then {
    /// Whether the same store may answer with this header.
    fn allows(&self, needed_leader: bool, header: &Header) -> bool {
        self.proven.is_none_or(|proven| proven.allows(header))
            && (!needed_leader || header.revision >= self.shown)
    }
}

/// What the wire learns from every answer.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct Witness {
    now: Then,
    suspicious: bool,
}

impl Witness {
    /// To be kept with a request, for its answer.
    pub fn now(&self) -> Then {
        self.now
    }

    /// The cluster that is known, if any is.
    pub fn cluster_id(&self) -> Option<u64> {
        self.now.proven.map(|proven| proven.cluster_id)
    }

    /// An answer came to a request that was sent `then`.
    pub fn see(&mut self, then: Then, needed_leader: bool, header: &Header) {
        // A cancelled watch may say nothing of the store (row W3).
        if then.epoch != self.now.epoch || header.revision <= Revision::ZERO {
            return;
        }
        if !then.allows(needed_leader, header) {
            self.suspicious = true;
            return;
        }
        self.now.shown = self.now.shown.max(header.revision);
        if needed_leader {
            let mut proven = self.now.proven.unwrap_or(Stand::of(header));
            proven.raft_term = proven.raft_term.max(header.raft_term);
            proven.revision = proven.revision.max(header.revision);
            self.now.proven = Some(proven);
        }
    }

    fn begin_epoch(&mut self, header: &Header) {
        let (epoch, proven) = (self.now.epoch + 1, Some(Stand::of(header)));
        self.now = Then { epoch, proven, shown: header.revision };
        self.suspicious = false;
    }

    fn forget(&mut self) {
        let epoch = self.now.epoch + 1;
        *self = Self { now: Then { epoch, ..Then::default() }, suspicious: false };
    }
}

/// Whether a request's answer tells how the store stands, and not how one member does.
pub(crate) fn needs_leader(request: &Request) -> bool {
    match request {
        Request::Range(range) => !range.serializable,
        Request::Txn(txn) => txn.then.iter().chain(&txn.or_else).any(|op| match op {
            Op::Range(range) => !range.serializable,
            Op::Put(_) | Op::Delete(_) | Op::Txn(_) => true,
        }),
        Request::Put(_)
        | Request::Delete(_)
        | Request::Compact(_)
        | Request::Grant(_)
        | Request::Revoke(_) => true,
        Request::KeepAlive(_)
        | Request::TimeToLive(_)
        | Request::Leases
        | Request::Watch(_)
        | Request::OnWatch { .. }
        | Request::Status
        | Request::Members
        | Request::Authenticate => false,
    }
}

/// Settles suspicions.
#[derive(Clone, Debug, Default, Eq, PartialEq, Hash)]
pub(crate) struct Detector {
    check: Option<(AttemptId, Then)>,
    /// Suspicions are dropped before.
    patient_until: Time,
    backoff: Backoff,
}

impl Detector {
    /// Asks where there is a suspicion. `key` is one that this process holds; `None`: none, so it
    /// does not matter which store that is. (Directories and updates take care of themselves.)
    pub fn settle(&mut self, cx: &mut Cx<'_>, key: Option<&Key>) {
        if !std::mem::take(&mut cx.wire.witness.suspicious) || self.check.is_some() {
            return;
        }
        let Some(key) = key else {
            cx.wire.witness.forget();
            return;
        };
        if self.patient_until <= cx.now {
            self.patient_until = cx.wire.backoff_at(cx.now, cx.tuning, &mut self.backoff);
            let then = cx.wire.witness.now();
            let attempt =
                cx.send(Owner::Epoch, Request::Range(Range::of(KeyRange::one(key.clone()))));
            self.check = Some((attempt, then));
        }
    }

    /// The read was answered; true: a new epoch has begun.
    pub fn on_reply(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, reply: &Reply) -> bool {
        let Some((_, then)) = self.check.take_if(|(asked, _)| *asked == attempt) else {
            return false;
        };
        if let Reply::Failed(error) = reply
            && error.is_permanent()
        {
            // What raised the suspicion may come again at once; what is refused stays so.
            let slowly = cx.wire.backoff_slowly_at(cx.now, cx.tuning, &mut self.backoff);
            self.patient_until = slowly.max(self.patient_until);
        }
        let Reply::Range(answer) = reply else { return false };
        self.backoff.worked(cx.now);
        let is_other =
            then.epoch == cx.wire.witness.now.epoch && !then.allows(true, &answer.header);
        if is_other {
            cx.wire.witness.begin_epoch(&answer.header);
        }
        is_other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waist::{DeleteRange, Txn};
    use proptest::collection::vec;
    use proptest::prelude::{Strategy, any, prop_assert, prop_oneof, proptest};

    #[derive(Clone, Debug)]
    enum Turn {
        Send,
        Write,
        Elect,
        /// The store answers the n-th open request.
        Serve(usize),
        /// The answer arrives.
        Deliver(usize),
    }

    fn turn() -> impl Strategy<Value = Turn> {
        prop_oneof![
            any::<()>().prop_map(|()| Turn::Send),
            any::<()>().prop_map(|()| Turn::Write),
            any::<()>().prop_map(|()| Turn::Elect),
            any::<usize>().prop_map(Turn::Serve),
            any::<usize>().prop_map(Turn::Deliver),
        ]
    }

    proptest! {
        /// Answers of one store are never suspected, in whatever order they come; once it has lost
        /// what was proven, each later one is.
        #[test]
        fn only_another_store_is_suspected(turns in vec(turn(), 0..60)) {
            let mut witness = Witness::default();
            let mut header = Header { cluster_id: 7, member_id: 1, revision: Revision(5), raft_term: 3 };
            let before = header;
            let mut open: Vec<(Then, Option<Header>)> = Vec::new();
            for turn in turns {
                let count = open.len().max(1);
                match turn {
                    Turn::Send => open.push((witness.now(), None)),
                    Turn::Write => header.revision = header.revision.next(),
                    Turn::Elect => header.raft_term += 1,
                    Turn::Serve(n) => {
                        if let Some((_, answer)) = open.get_mut(n % count) {
                            answer.get_or_insert(header);
                        }
                    }
                    Turn::Deliver(n) => {
                        if let Some(&(then, Some(answer))) = open.get(n % count) {
                            witness.see(then, true, &answer);
                            open.remove(n % count);
                        }
                    }
                }
                prop_assert!(!witness.suspicious);
            }
            let then = witness.now();
            witness.see(then, true, &before);
            let lost = then.proven.is_some_and(|proven| proven != Stand::of(&before));
            prop_assert!(witness.suspicious == lost);
        }
    }

    #[test]
    fn answers_to_requests_of_a_former_epoch_prove_nothing() {
        let header = |revision| Header { revision: Revision(revision), ..Header::default() };
        let ends: [fn(&mut Witness, &Header); 2] =
            [Witness::begin_epoch, |witness, _| witness.forget()];
        for end in ends {
            let mut witness = Witness::default();
            let then = witness.now();
            witness.see(then, true, &header(9));
            let before = witness.now();
            end(&mut witness, &header(2));
            let after = witness.now();
            for answer in [header(12), header(1)] {
                witness.see(before, true, &answer);
                assert_eq!(witness, Witness { now: after, suspicious: false });
            }
        }
    }

    /// What a watch tells is in the store, whatever the member that serves it knows of the others.
    #[test]
    fn a_read_is_not_below_what_a_watch_has_shown() {
        let header = |revision| Header { revision: Revision(revision), ..Header::default() };
        for (needed_leader, revision, suspected) in
            [(true, 9, false), (true, 8, true), (false, 8, false), (false, 2, true)]
        {
            let mut witness = Witness::default();
            witness.see(witness.now(), true, &header(3));
            let before = witness.now();
            witness.see(before, false, &header(9));
            witness.see(before, true, &header(8));
            assert!(!witness.suspicious, "asked before it was shown");
            witness.see(witness.now(), needed_leader, &header(revision));
            // Proven by then is 8.
            let suspected = suspected || revision < 8;
            assert_eq!(witness.suspicious, suspected, "{needed_leader} {revision}");
        }
    }

    /// A read that any member answers from its own data proves nothing of the others.
    #[test]
    fn what_needs_no_leader_proves_nothing() {
        let range = |serializable| Range { serializable, ..Range::of(KeyRange::one("k")) };
        let one = |op| Txn { then: vec![op], ..Txn::default() };
        let delete = || DeleteRange { keys: KeyRange::one("k"), prev_kv: false };
        let cases = [
            (Request::Range(range(false)), true),
            (Request::Range(range(true)), false),
            (Request::Txn(one(Op::Range(range(false)))), true),
            (Request::Txn(one(Op::Range(range(true)))), false),
            (Request::Txn(one(Op::Delete(delete()))), true),
            (Request::Txn(one(Op::Txn(Txn::default()))), true),
            (Request::Txn(Txn { or_else: vec![Op::Delete(delete())], ..Txn::default() }), true),
            (Request::Txn(Txn::default()), false),
            (Request::Delete(delete()), true),
            (Request::Leases, false),
            (Request::Status, false),
        ];
        for (request, needs) in cases {
            assert_eq!(needs_leader(&request), needs, "{request}");
        }
    }
}
