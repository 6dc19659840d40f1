//! What was asked, what the log makes of it, and what is stored by that: rows R2, R3, L4, T5, T6.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::Time;
use portolan_core::waist::{
    AttemptId, Certainty, EventKind, Key, KeyValue, LeaseId, Reply, Request, Revision, Revoke,
    StoreError,
};
use portolan_memory::{Cause, Change, ClientId, LeaseChange, LeaseStep, Model};

use super::rules::{self, Records};

/// All that was asked, and all that has changed in this epoch.
#[derive(Default)]
pub(super) struct Ledger {
    calls: BTreeMap<AttemptId, Call>,
    epoch: u64,
    pub(super) past: Vec<Past>,
    records: Records,
    /// When each is over.
    leases: BTreeMap<LeaseId, Time>,
    /// Leases whose time was said to be over.
    cut_short: BTreeSet<LeaseId>,
    lease_steps: usize,
    /// Which revision a request has made, and of how many changes.
    done: BTreeMap<AttemptId, (Revision, usize)>,
    /// How often the store was handed something.
    turn: usize,
    /// Whether something changed then.
    has_changed: bool,
}

struct Call {
    from: ClientId,
    /// `None`: of an operator.
    request: Option<Request>,
    turn: usize,
    is_answered: bool,
    is_refused: bool,
    /// Given up: nobody is told.
    is_over: bool,
}

/// A change that was logged.
pub(super) struct Past {
    pub(super) revision: Revision,
    pub(super) kind: EventKind,
    pub(super) kv: KeyValue,
    /// The record at the revision before.
    pub(super) prev: Option<KeyValue>,
    /// Whether the same request changed the key again.
    pub(super) is_undone: bool,
}

impl Ledger {
    pub(super) fn ask(&mut self, attempt: AttemptId, from: ClientId, request: Option<Request>) {
        let call = Call {
            from,
            request,
            turn: self.turn + 1,
            is_answered: false,
            is_refused: false,
            is_over: false,
        };
        self.calls.insert(attempt, call);
    }

    /// Who does not wait any more is told nothing.
    pub(super) fn give_up(&mut self, wanted: impl Fn(ClientId, AttemptId) -> bool) {
        for (&attempt, call) in &mut self.calls {
            call.is_over |= wanted(call.from, attempt);
        }
    }

    pub(super) fn is_answered(&self, attempt: AttemptId) -> bool {
        self.calls.get(&attempt).is_some_and(|call| call.is_answered)
    }

    /// The request and who asked, by an attempt.
    pub(super) fn asked(&self, attempt: AttemptId) -> Option<(ClientId, Option<&Request>)> {
        self.calls.get(&attempt).map(|call| (call.from, call.request.as_ref()))
    }

    /// Takes over what the log has since.
    pub(super) fn read(&mut self, model: &Model) {
        if model.epoch() != self.epoch {
            let calls = std::mem::take(&mut self.calls);
            let cut_short = std::mem::take(&mut self.cut_short);
            *self =
                Self { calls, cut_short, turn: self.turn, epoch: model.epoch(), ..Self::default() };
        }
        self.turn += 1;
        let fresh = &model.log().changes()[self.past.len()..];
        self.has_changed = !fresh.is_empty();
        for changes in fresh.chunk_by(|one, other| one.revision == other.revision) {
            self.read_revision(changes);
        }
        let steps = &model.log().leases()[self.lease_steps..];
        self.lease_steps += steps.len();
        for step in steps {
            self.read_lease(step);
        }
        let last = self.revision();
        assert_eq!(model.revision(), last, "R2, R3: the revision is not that of the last change");
        if self.has_changed || !steps.is_empty() {
            self.compare(model);
        }
    }

    /// Rows L1, L6, L7 and L10.
    fn read_lease(&mut self, change: &LeaseChange) {
        let LeaseChange { at, lease, step, .. } = change;
        let before = self.leases.get(lease).copied();
        let is_there = !matches!(step, LeaseStep::Granted { .. });
        assert_eq!(before.is_some(), is_there, "L1: the lease is there, or not: {change:?}");
        match *step {
            LeaseStep::Granted { expires, .. }
            | LeaseStep::Renewed { expires, .. }
            | LeaseStep::Prolonged { expires } => {
                self.leases.insert(*lease, expires);
            }
            LeaseStep::Ended { cause } => {
                let is_due = before.is_some_and(|expires| expires <= *at);
                let by_request = !matches!(cause, Cause::Expiry { .. });
                let is_fine = by_request || is_due || self.cut_short.contains(lease);
                assert!(is_fine, "L6: {lease} ends at {at}, before its time");
                self.leases.remove(lease);
            }
        }
    }

    /// A lease's time is said to be over.
    pub(super) fn cut_short(&mut self, lease: LeaseId) {
        self.cut_short.insert(lease);
    }

    fn revision(&self) -> Revision {
        self.past.last().map_or(Revision(1), |past| past.revision)
    }

    /// Row R2: one request, one revision, and in it what follows from the request.
    fn read_revision(&mut self, changes: &[Change]) {
        let revision = changes[0].revision;
        assert_eq!(revision, self.revision().next(), "R2: not the next revision: {}", changes[0]);
        for (index, change) in (0..).zip(changes) {
            assert_eq!(change.index, index, "R2: not in order: {change}");
            assert_eq!(change.cause, changes[0].cause, "R2: two causes of one revision: {change}");
        }
        let expired;
        let request = match changes[0].cause {
            Cause::Request { from, attempt } | Cause::Revoke { from, attempt, .. } => {
                let call = self.calls.get(&attempt).filter(|call| call.from == from);
                let call = call.unwrap_or_else(|| panic!("R2: nobody asked for {}", changes[0]));
                assert!(!call.is_refused, "R3: it was refused, and was done: {}", changes[0]);
                let made = self.done.insert(attempt, (revision, changes.len()));
                assert!(made.is_none(), "R2: a request made two revisions: {}", changes[0]);
                call.request.as_ref()
            }
            Cause::Expiry { lease } => {
                expired = Request::Revoke(Revoke { lease });
                Some(&expired)
            }
        };
        let expected = request.map(|asked| rules::changes(&self.records, asked, revision));
        let found: Vec<_> = changes.iter().map(|each| (each.kind, each.kv.clone())).collect();
        assert_eq!(
            Some(&found),
            expected.as_ref(),
            "R2, L4: not what follows from {request:?} at {revision}"
        );
        let before = |key: &Key| self.records.get(key).cloned();
        for (at, (kind, kv)) in found.iter().enumerate() {
            let is_undone = found[at + 1..].iter().any(|(_, later)| later.key == kv.key);
            let (prev, kv) = (before(&kv.key), kv.clone());
            self.past.push(Past { revision, kind: *kind, kv, prev, is_undone });
        }
        for (kind, kv) in found {
            match kind {
                EventKind::Put => self.records.insert(kv.key.clone(), kv),
                EventKind::Delete => self.records.remove(&kv.key),
            };
        }
    }

    /// Row L4: what is stored, what hangs on leases and what the log makes of it are the same.
    fn compare(&self, model: &Model) {
        assert!(model.records().eq(self.records.values()), "what is stored is not what was logged");
        let mut hanging: BTreeMap<LeaseId, Vec<Key>> =
            self.leases.keys().map(|&lease| (lease, Vec::new())).collect();
        for kv in self.records.values() {
            let Some(lease) = kv.lease else { continue };
            let keys = hanging.get_mut(&lease);
            keys.unwrap_or_else(|| panic!("L4: {} hangs on no lease", kv.key)).push(kv.key.clone());
        }
        let found = model.leases().map(|view| (view.lease, view.keys)).collect();
        assert_eq!(hanging, found, "L4: other keys hang on the leases than the records say");
    }

    /// What a call is told. Rows R3, T5 and T6.
    pub(super) fn hear(&mut self, attempt: AttemptId, to: ClientId, reply: &Reply, max_ops: usize) {
        let present = self.revision();
        let call = self.calls.get_mut(&attempt).filter(|call| call.from == to);
        let call = call.unwrap_or_else(|| panic!("{attempt} was never asked: {reply:?}"));
        assert!(!call.is_over, "{attempt} was given up, and is answered: {reply:?}");
        assert!(!call.is_answered, "{attempt} is answered again: {reply:?}");
        call.is_answered = true;
        if let Reply::Failed(error) = reply
            && error.certainty() == Certainty::NotDone
        {
            call.is_refused = true;
            assert!(!self.done.contains_key(&attempt), "R3: {attempt} was done: {error}");
        }
        let Some(request) = &call.request else { return };
        if let Request::Txn(txn) = request {
            judge(&rules::faults_of(txn, max_ops), reply, request);
        }
        let (revision, many) = match reply {
            Reply::Put(reply) => (reply.header.revision, 1),
            Reply::Delete(reply) => {
                (reply.header.revision, usize::try_from(reply.deleted).unwrap_or(usize::MAX))
            }
            Reply::Txn(reply) => (reply.header.revision, rules::told_changes(reply)),
            _ => return,
        };
        let done = self.done.get(&attempt);
        assert_eq!(
            done.map_or(0, |done| done.1),
            many,
            "{attempt} is told of other changes than were made: {reply:?}"
        );
        match done {
            Some(&(made, _)) => assert_eq!(revision, made, "R5: another revision: {reply:?}"),
            // What was agreed on before is told later, where a member lags.
            None if !self.has_changed && call.turn == self.turn => {
                let missed = rules::changes(&self.records, request, present);
                assert!(missed.is_empty(), "R2: {request:?} has changed nothing");
            }
            None => {}
        }
    }
}

/// Whether a transaction is refused for what it says, and only then (rows T5, T6, K3, K4).
fn judge(faults: &[StoreError], reply: &Reply, request: &Request) {
    let error = if let Reply::Failed(error) = reply { Some(error) } else { None };
    let comes_earlier = matches!(
        error,
        Some(
            StoreError::Refused { .. }
                | StoreError::ConnectionLost { .. }
                | StoreError::MessageTooLarge { .. }
                | StoreError::NoLeader
                | StoreError::NoSpace
        )
    );
    if comes_earlier {
        return;
    }
    if faults.is_empty() {
        let blames = matches!(
            error,
            Some(
                StoreError::TooManyOps
                    | StoreError::DuplicateKey
                    | StoreError::KeyNotProvided
                    | StoreError::ValueProvided
                    | StoreError::LeaseProvided
            )
        );
        assert!(!blames, "T5, T6: refused without a cause: {error:?} of {request:?}");
    } else {
        let is_named = error.is_some_and(|error| faults.contains(error));
        assert!(is_named, "T5, T6: {faults:?} wanted, not {reply:?} of {request:?}");
    }
}
