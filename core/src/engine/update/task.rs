//! One update, from the first read to its outcome.

use std::ops::ControlFlow::{self, Break, Continue};
use std::time::Duration;

use super::search::{Search, cancel_reason};
use super::swap::{Answer, Doubted, Present, Swap, Verdict};
use crate::engine::OpId;
use crate::engine::cx::Cx;
use crate::engine::input::Proposal;
use crate::engine::output::{CallError, Event, UpdateOutcome};
use crate::engine::retry::Backoff;
use crate::engine::wire::Owner;
use crate::instance::GroupConfig;
use crate::layout::Decoded;
use crate::name::GroupName;
use crate::rng::Rng;
use crate::time::Time;
use crate::waist::{
    AttemptId, Certainty, Code, Key, KeyRange, Range, RangeReply, Reply, Request, StoreError,
    TxnReply, WatchReply,
};

/// Where an update goes on, or how it ends.
pub(super) type Flow = ControlFlow<UpdateOutcome, State>;

/// What stays the same through an update's states.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) struct Task {
    id: OpId,
    group: GroupName,
    key: Key,
    /// No attempt starts at it or later, and it is answered by then.
    deadline: Time,
    backoff: Backoff,
    /// How it ends if time runs out while no attempt of ours is in doubt.
    so_far: UpdateOutcome,
}

#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum State {
    /// Asks what stands at the key.
    Reading { attempt: AttemptId },
    /// The application thinks, until the deadline.
    Proposing { base: Present, config: Option<GroupConfig> },
    /// A swap is under way; with a doubt, an earlier attempt of it was not answered.
    Swapping { attempt: AttemptId, swap: Swap, doubt: Option<StoreError> },
    /// Asks what stands at the key after an attempt was not answered.
    Looking { attempt: AttemptId, doubted: Doubted },
    /// Reads the key's history, since the present does not tell.
    Searching(Search),
    /// Until when, then what.
    Pausing { until: Time, next: Next },
}

/// What a pause ends with.
#[derive(Clone, Debug, Eq, PartialEq, Hash)]
pub(super) enum Next {
    Read,
    /// The same attempt again; no earlier one is in doubt.
    Swap(Swap),
    Look(Doubted),
}

impl Task {
    pub fn begin(
        cx: &mut Cx<'_>,
        id: OpId,
        group: GroupName,
        within: Duration,
    ) -> Result<(Self, State), UpdateOutcome> {
        let Some(key) = cx.layout.config_key(&group) else {
            let layout = cx.layout.name();
            return Err(invalid(format!("the {layout} layout has no group configuration")));
        };
        if within.is_zero() {
            return Err(out_of_time());
        }
        let mut task = Self {
            id,
            group,
            key,
            deadline: cx.now + within,
            backoff: Backoff::default(),
            so_far: out_of_time(),
        };
        let state = task.read(cx);
        Ok((task, state))
    }

    pub fn proposed(
        &mut self,
        cx: &mut Cx<'_>,
        rng: &mut Rng,
        state: State,
        proposal: Proposal,
    ) -> Flow {
        let (base, config) = match state {
            State::Proposing { base, config } => (base, config),
            State::Reading { .. }
            | State::Swapping { .. }
            | State::Looking { .. }
            | State::Searching(_)
            | State::Pausing { .. } => return Continue(state),
        };
        let data = match proposal {
            Proposal::Keep => {
                return Break(UpdateOutcome::Unchanged { revision: base.mod_revision() });
            }
            Proposal::Write(data) => data,
        };
        let config = match config {
            Some(config) => config.with_data(data),
            None => GroupConfig::new(self.group.clone(), data),
        };
        // 63 bits, so that every reader's integers hold it.
        let operation = rng.bits() >> 1;
        match cx.layout.encode_config(&config, operation) {
            Ok(written) => {
                debug_assert_eq!(written.key, self.key, "a group has one configuration");
                let mark = cx.layout.keeps_operation().then_some(operation);
                Continue(self.swap(cx, Swap { base, mark, written }, None))
            }
            Err(error) => {
                let group = &self.group;
                Break(invalid(format!("configuration of group {group}: {error}")))
            }
        }
    }

    pub fn on_reply(
        &mut self,
        cx: &mut Cx<'_>,
        state: State,
        attempt: AttemptId,
        reply: Reply,
    ) -> Flow {
        if state.attempt() != Some(attempt) {
            return Continue(state);
        }
        match (state, reply) {
            (state, Reply::Failed(error)) => self.on_failed(cx, state, error),
            (State::Reading { .. }, Reply::Range(reply)) => match self.present(reply) {
                Some(base) => self.propose(cx, base),
                None => self.again_later(cx, Next::Read, garbled()),
            },
            (State::Swapping { swap, doubt, .. }, Reply::Txn(reply)) => {
                self.on_swapped(cx, swap, doubt, reply)
            }
            (State::Looking { doubted, .. }, Reply::Range(reply)) => match self.present(reply) {
                Some(now) => {
                    let verdict = doubted.swap.judge(cx.layout, &now);
                    self.resolve(cx, doubted, now, verdict)
                }
                None => self.look_later(cx, doubted.swap, garbled()),
            },
            (State::Searching(search), Reply::Watch(reply)) => self.on_history(cx, search, reply),
            // The wire lets no other kind of answer through; the deadline still holds.
            (state, _) => Continue(state),
        }
    }

    /// To be called when it wakes, no sooner.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>, state: State) -> Flow {
        if cx.now >= self.deadline {
            return Break(self.out_of_time(state.leave(cx)));
        }
        match state {
            State::Pausing { next, .. } => Continue(match next {
                Next::Read => self.read(cx),
                Next::Swap(swap) => self.swap(cx, swap, None),
                Next::Look(doubted) => self.look(cx, doubted),
            }),
            State::Searching(search) if search.until <= cx.now => {
                cx.blame_stream(search.stream);
                cx.cancel(search.stream);
                self.look_later(cx, search.doubted.swap, StoreError::GaveUp)
            }
            State::Searching(mut search) => {
                search.ask(cx, &mut self.backoff);
                Continue(State::Searching(search))
            }
            State::Reading { .. }
            | State::Proposing { .. }
            | State::Swapping { .. }
            | State::Looking { .. } => Continue(state),
        }
    }

    /// The store's history is another one now: guards of before prove nothing in it, and what was
    /// in doubt stays so.
    pub fn new_epoch(&mut self, cx: &mut Cx<'_>, state: State) -> Flow {
        let doubt = state.leave(cx);
        match state {
            State::Reading { .. } | State::Pausing { next: Next::Read | Next::Swap(_), .. } => {
                self.pause(cx, Next::Read)
            }
            // What the application was shown is no more, and its answer may be on the way.
            State::Proposing { .. } => Break(UpdateOutcome::Conflict),
            State::Swapping { .. }
            | State::Looking { .. }
            | State::Searching(_)
            | State::Pausing { next: Next::Look(_), .. } => Break(self.out_of_time(doubt)),
        }
    }

    /// How it ends when the engine shuts down.
    pub fn closed(&self, doubt: Option<StoreError>) -> UpdateOutcome {
        match doubt {
            Some(error) => UpdateOutcome::Unknown { error },
            None => UpdateOutcome::Failed { error: CallError::Closed },
        }
    }

    pub fn wakes_at(&self, state: &State) -> Time {
        let own = match state {
            State::Pausing { until, .. } => *until,
            State::Searching(search) => search.wakes_at(),
            State::Reading { .. }
            | State::Proposing { .. }
            | State::Swapping { .. }
            | State::Looking { .. } => Time::NEVER,
        };
        own.min(self.deadline)
    }

    fn on_swapped(
        &mut self,
        cx: &mut Cx<'_>,
        swap: Swap,
        doubt: Option<StoreError>,
        reply: TxnReply,
    ) -> Flow {
        match (swap.answer(reply), doubt) {
            (Answer::Applied(revision), _) => Break(UpdateOutcome::Done { revision }),
            // What stands there now will be old when the pause ends: it is read again.
            (Answer::Lost(_), None) => {
                self.so_far = UpdateOutcome::Conflict;
                self.pause(cx, Next::Read)
            }
            (Answer::Lost(now), Some(error)) => {
                let verdict = swap.judge(cx.layout, &now);
                self.resolve(cx, Doubted { swap, error }, now, verdict)
            }
            (Answer::Garbled, _) => self.look_later(cx, swap, garbled()),
        }
    }

    fn on_failed(&mut self, cx: &mut Cx<'_>, state: State, error: StoreError) -> Flow {
        match state {
            State::Reading { .. } => self.again_later(cx, Next::Read, error),
            State::Swapping { swap, doubt, .. } => {
                if doubt.is_some() || error.certainty() == Certainty::Unknown {
                    return self.look_later(cx, swap, error);
                }
                // A creation is never sent twice, whatever became of it: a new operation.
                let next = if swap.creates() { Next::Read } else { Next::Swap(swap) };
                self.again_later(cx, next, error)
            }
            State::Looking { doubted, .. } => self.look_later(cx, doubted.swap, error),
            State::Searching(search) => self.look_later(cx, search.doubted.swap, error),
            State::Proposing { .. } | State::Pausing { .. } => Continue(state),
        }
    }

    fn on_history(&mut self, cx: &mut Cx<'_>, mut search: Search, reply: WatchReply) -> Flow {
        if reply.canceled {
            cx.cancel(search.stream);
            return self.look_later(cx, search.doubted.swap, cancel_reason(&reply));
        }
        let Some(verdict) = search.on_reply(cx, &mut self.backoff, &reply) else {
            return Continue(State::Searching(search));
        };
        cx.cancel(search.stream);
        self.resolve(cx, search.doubted, search.now, verdict)
    }

    fn resolve(
        &mut self,
        cx: &mut Cx<'_>,
        doubted: Doubted,
        now: Present,
        verdict: Verdict,
    ) -> Flow {
        match verdict {
            Verdict::Applied(revision) => Break(UpdateOutcome::Done { revision }),
            Verdict::Lost => {
                self.so_far = UpdateOutcome::Conflict;
                self.propose(cx, now)
            }
            Verdict::Open => Continue(self.swap(cx, doubted.swap, Some(doubted.error))),
            Verdict::AskHistory => Continue(self.search(cx, doubted, now)),
            Verdict::Untold => Break(UpdateOutcome::Unknown { error: doubted.error }),
            Verdict::Absurd => self.look_later(cx, doubted.swap, garbled()),
        }
    }

    fn propose(&mut self, cx: &mut Cx<'_>, base: Present) -> Flow {
        let key = &self.key;
        let config = match base.kv.as_ref().map(|kv| cx.layout.decode(key, &kv.value)) {
            None => None,
            Some(Decoded::Config(config)) => Some(config),
            Some(Decoded::Bad(bad)) => {
                return Break(invalid(format!("the record at {key} cannot be read: {bad}")));
            }
            Some(Decoded::Instance(_) | Decoded::Ignored) => {
                return Break(invalid(format!("the record at {key} is no configuration")));
            }
        };
        cx.event(Event::Propose { id: self.id, base: config.clone() });
        Continue(State::Proposing { base, config })
    }

    fn read(&mut self, cx: &mut Cx<'_>) -> State {
        State::Reading { attempt: self.send(cx, self.range()) }
    }

    fn swap(&mut self, cx: &mut Cx<'_>, swap: Swap, doubt: Option<StoreError>) -> State {
        debug_assert!(doubt.is_none() || !swap.creates(), "a creation is attempted once");
        State::Swapping { attempt: self.send(cx, swap.request()), swap, doubt }
    }

    fn look(&mut self, cx: &mut Cx<'_>, doubted: Doubted) -> State {
        State::Looking { attempt: self.send(cx, self.range()), doubted }
    }

    fn search(&mut self, cx: &mut Cx<'_>, doubted: Doubted, now: Present) -> State {
        debug_assert!(cx.now < self.deadline, "no attempt starts after the deadline");
        State::Searching(Search::open(cx, self.id, doubted, now))
    }

    /// Something failed while nothing of ours is in doubt.
    fn again_later(&mut self, cx: &mut Cx<'_>, next: Next, error: StoreError) -> Flow {
        let permanent = error.is_permanent();
        self.so_far = not_done(error);
        if permanent {
            return Break(self.so_far.clone());
        }
        self.pause(cx, next)
    }

    /// An attempt of `swap` is in doubt, and `error` is the last thing that failed.
    fn look_later(&mut self, cx: &mut Cx<'_>, swap: Swap, error: StoreError) -> Flow {
        // Without a mark even our own bytes in the history would prove nothing.
        let pointless = swap.creates() && swap.mark.is_none();
        if error.is_permanent() || pointless {
            return Break(UpdateOutcome::Unknown { error });
        }
        self.pause(cx, Next::Look(Doubted { swap, error }))
    }

    fn pause(&mut self, cx: &mut Cx<'_>, next: Next) -> Flow {
        match cx.wire.retry_before(self.deadline, cx.now, cx.tuning, &mut self.backoff) {
            Some(until) => Continue(State::Pausing { until, next }),
            None => Break(self.out_of_time(next.doubt())),
        }
    }

    fn out_of_time(&self, doubt: Option<StoreError>) -> UpdateOutcome {
        match doubt {
            Some(error) => UpdateOutcome::Unknown { error },
            None => self.so_far.clone(),
        }
    }

    fn send(&self, cx: &mut Cx<'_>, request: Request) -> AttemptId {
        debug_assert!(cx.now < self.deadline, "no attempt starts after the deadline");
        cx.send_within(Owner::Update(self.id), request, self.deadline.since(cx.now))
    }

    fn range(&self) -> Request {
        Request::Range(Range::of(KeyRange::one(self.key.clone())))
    }

    fn present(&self, reply: RangeReply) -> Option<Present> {
        Present::read(&self.key, reply.header.revision, reply)
    }
}

impl State {
    /// Stops waiting; what reached the store stays applied. Returns why nobody can say whether an
    /// attempt of ours was, or will be, applied; `None` where none had left.
    pub fn leave(&self, cx: &mut Cx<'_>) -> Option<StoreError> {
        let sent = self.attempt().is_some_and(|attempt| cx.take_back(attempt));
        match self {
            Self::Swapping { .. } if sent => Some(StoreError::GaveUp),
            Self::Swapping { doubt, .. } => doubt.clone(),
            Self::Looking { doubted, .. } | Self::Searching(Search { doubted, .. }) => {
                Some(doubted.error.clone())
            }
            Self::Pausing { next, .. } => next.doubt(),
            Self::Reading { .. } | Self::Proposing { .. } => None,
        }
    }

    /// Whether it counts in the wire's number of calls.
    pub fn in_flight(&self) -> bool {
        match self {
            Self::Reading { .. } | Self::Swapping { .. } | Self::Looking { .. } => true,
            Self::Proposing { .. } | Self::Searching(_) | Self::Pausing { .. } => false,
        }
    }

    fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Reading { attempt }
            | Self::Swapping { attempt, .. }
            | Self::Looking { attempt, .. }
            | Self::Searching(Search { stream: attempt, .. }) => Some(*attempt),
            Self::Proposing { .. } | Self::Pausing { .. } => None,
        }
    }
}

impl Next {
    /// What is in doubt meanwhile.
    fn doubt(&self) -> Option<StoreError> {
        match self {
            Self::Look(doubted) => Some(doubted.error.clone()),
            Self::Read | Self::Swap(_) => None,
        }
    }
}

/// The answer is nothing that a store would say.
fn garbled() -> StoreError {
    let message = "the answer contradicts itself or earlier ones".to_owned();
    StoreError::Other { code: Code::Internal, message }
}

fn invalid(reason: String) -> UpdateOutcome {
    UpdateOutcome::Failed { error: CallError::Invalid { reason } }
}

fn not_done(error: StoreError) -> UpdateOutcome {
    UpdateOutcome::Failed { error: CallError::NotDone(error) }
}

fn out_of_time() -> UpdateOutcome {
    not_done(StoreError::GaveUp)
}
