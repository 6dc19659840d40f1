//! Whatever a store answers: no panic, no loop, an end by the deadline.

use std::time::Duration;

use proptest::prelude::*;

use super::harness::{OP, data, group, header, key, put_value, theirs};
use crate::engine::update::task::State;
use crate::engine::{Command, Engine, Event, Input, Output, Proposal, Setup};
use crate::layout::Layout;
use crate::time::Time;
use crate::tuning::Tuning;
use crate::waist::{
    AttemptId, EventKind, Key, KeyEvent, KeyValue, OpReply, PutReply, RangeReply, Reply, Request,
    Revision, StoreError, TxnReply, Value, WatchReply,
};

/// Which answer fits.
#[derive(Clone, Copy)]
enum Kind {
    Range,
    Txn,
    Stream,
}

/// What a hostile store draws its answers from.
#[derive(Clone, Debug)]
struct Answer {
    revision: i64,
    kvs: Vec<KeyValue>,
    succeeded: bool,
    put: bool,
    responses: usize,
    flags: u8,
    delete: bool,
    /// Our own bytes, where a record is told.
    ours: bool,
    failed: Option<StoreError>,
}

fn kv() -> impl Strategy<Value = KeyValue> {
    let keys = prop_oneof![9 => Just(key()), 1 => Just(Key::from("elsewhere"))];
    let values = prop_oneof![4 => Just(theirs("1")), 1 => Just(Value::from("{")), 1 => Just(Value::default())];
    (keys, values, -1_i64..6, -1_i64..6, -1_i64..4).prop_map(
        |(key, value, create, modified, version)| KeyValue {
            key,
            value,
            create_revision: Revision(create),
            mod_revision: Revision(modified),
            version,
            lease: None,
        },
    )
}

fn error() -> impl Strategy<Value = StoreError> {
    prop_oneof![
        Just(StoreError::GaveUp),
        Just(StoreError::NoLeader),
        Just(StoreError::NoSpace),
        Just(StoreError::StreamEnded),
        Just(StoreError::TooManyRequests),
        Just(StoreError::InvalidToken),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    let records = prop::collection::vec(kv(), 0..3);
    let failed = prop::option::weighted(0.3, error());
    let drawn =
        (-1_i64..8, records, any::<(bool, bool, bool, bool)>(), 0_usize..3, any::<u8>(), failed);
    drawn.prop_map(|(revision, kvs, (succeeded, put, delete, ours), responses, flags, failed)| {
        Answer { revision, kvs, succeeded, put, responses, flags, delete, ours, failed }
    })
}

impl Answer {
    fn to(&self, kind: Kind, ours: Option<&Value>) -> Reply {
        if let Some(error) = &self.failed {
            return Reply::Failed(error.clone());
        }
        let header = header(self.revision);
        let mut kvs = self.kvs.clone();
        if let (true, Some(value)) = (self.ours, ours) {
            kvs.iter_mut().for_each(|kv| kv.value = value.clone());
        }
        let range = RangeReply { header, kvs: kvs.clone(), more: false, count: 1 };
        match kind {
            Kind::Range => Reply::Range(range),
            Kind::Txn => {
                let put = OpReply::Put(PutReply { header, prev: None });
                let response = if self.put { put } else { OpReply::Range(range) };
                let responses = vec![response; self.responses];
                Reply::Txn(TxnReply { header, succeeded: self.succeeded, responses })
            }
            Kind::Stream => {
                let kind = if self.delete { EventKind::Delete } else { EventKind::Put };
                let event = |kv| KeyEvent { kind, kv, prev: None };
                let flag = |bit: u8| self.flags & 1 << bit != 0;
                Reply::Watch(WatchReply {
                    header,
                    created: flag(0),
                    canceled: flag(1) && flag(2),
                    compact_revision: Revision(0),
                    fragment: flag(3),
                    events: kvs.into_iter().map(event).collect(),
                    ..WatchReply::default()
                })
            }
        }
    }
}

/// Attempts of one kind that EF1 allows in `span`.
fn allowed(span: Duration, tuning: &Tuning) -> u128 {
    let doublings = tuning.backoff_cap.as_nanos().div_ceil(tuning.backoff_base.as_nanos());
    let floor = tuning.backoff_cap.as_nanos() * u128::from(100 - tuning.jitter_percent) / 100;
    1 + u128::from(doublings.next_power_of_two().ilog2()) + span.as_nanos().div_ceil(floor)
}

/// One update against a hostile store.
struct Run {
    engine: Engine,
    tuning: Tuning,
    now: Time,
    answers: Vec<Answer>,
    turn: usize,
    /// Attempts by kind; last, what was said on streams.
    sent: [u128; 4],
    /// The value of the last swap.
    value: Option<Value>,
    ended: Option<Time>,
}

impl Run {
    /// Takes an input, and at once the answers to all that it leads to.
    fn handle(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            self.engine.handle(self.now, input);
            while let Some(output) = self.engine.poll_output() {
                inputs.extend(self.answer(output));
            }
            for sent in self.sent {
                let allowed = allowed(self.now.since(Time::ZERO), &self.tuning);
                assert!(sent <= allowed, "EF1: {sent} by {}, {allowed} allowed", self.now);
            }
        }
    }

    fn answer(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Send { attempt, request, .. } => {
                let kind = kind(&request);
                self.sent[kind.map_or(3, |kind| kind as usize)] += 1;
                self.value = put_value(&request).cloned().or(self.value.take());
                let reply = self.reply(kind?);
                Some(Input::Reply { attempt, reply })
            }
            Output::Event(Event::Propose { id, .. }) => {
                let proposal = Proposal::Write(data("1"));
                Some(Input::Command(Command::Proposed { id, proposal }))
            }
            Output::Event(Event::Updated { .. }) => {
                assert_eq!(self.ended.replace(self.now), None, "ended twice");
                None
            }
            Output::Cancel { .. }
            | Output::Redial { .. }
            | Output::Introduce { .. }
            | Output::Event(_) => None,
        }
    }

    fn reply(&mut self, kind: Kind) -> Reply {
        self.turn += 1;
        self.answers[self.turn % self.answers.len()].to(kind, self.value.as_ref())
    }

    fn stream(&self) -> Option<AttemptId> {
        match self.engine.updates.tasks.get(&OP) {
            Some((_, State::Searching(search))) => Some(search.stream),
            Some(_) | None => None,
        }
    }
}

fn kind(request: &Request) -> Option<Kind> {
    let kinds = [
        (matches!(request, Request::Range(_)), Kind::Range),
        (matches!(request, Request::Txn(_)), Kind::Txn),
        (matches!(request, Request::Watch(_)), Kind::Stream),
    ];
    kinds.into_iter().find(|(it_is, _)| *it_is).map(|(_, kind)| kind)
}

proptest! {
    /// EF1 and EF4, under one answer without end or several in turn.
    #[test]
    fn hostile_answers_neither_spin_nor_hang(
        seed: u64,
        jitter in 0_u32..=90,
        answers in prop::collection::vec(answer(), 1..6),
        talkative: bool,
    ) {
        let tuning = Tuning { jitter_percent: jitter, census_within: None, ..Tuning::default() };
        let layout = Layout::default();
        let setup = Setup { layout, tuning: tuning.clone(), members: 3, authenticates: false, seed };
        let mut run = Run {
            engine: Engine::new(Time::ZERO, setup),
            tuning,
            now: Time::ZERO,
            answers,
            turn: 0,
            sent: [0; 4],
            value: None,
            ended: None,
        };
        let within = Duration::from_secs(60);
        run.handle(Input::Command(Command::Update { id: OP, group: group(), within }));
        while let Some(due) = run.engine.poll_timeout() {
            assert!(due > run.now, "a timer stays due");
            run.now = due;
            run.handle(Input::Tick);
            if let (true, Some(attempt)) = (talkative, run.stream()) {
                let reply = run.reply(Kind::Stream);
                run.handle(Input::Reply { attempt, reply });
            }
        }
        let ended = run.ended.expect("it ends");
        prop_assert!(ended <= Time::ZERO + within, "EF4: ended at {ended}");
    }
}
