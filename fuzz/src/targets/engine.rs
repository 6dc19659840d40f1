//! Any answers to the engine, in any order: true ones of a store, late, repeated, twisted, made up,
//! or none. It does not panic, keeps its queues and its deadlines, does not spin, and what a
//! directory says of its changes is what it shows.

mod bench;
mod rules;

use std::time::Duration;

use portolan_core::engine::{Command, Setup};
use portolan_core::layout::Layout;
use portolan_core::tuning::Tuning;
use portolan_core::waist::{KeyRange, Put, Range, Reply, Request, StoreError};
use portolan_memory::{Fault, MemberFault};
use serde::{Deserialize, Serialize};

use self::bench::Bench;
use crate::tape::{self, Tape};

/// Acts in one run at most.
const MOST_ACTS: usize = 250;

/// Who begins, and how.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Start {
    members: u8,
    authenticates: bool,
    naming: bool,
    /// With small limits, which are reached sooner.
    tight: bool,
    discovers: bool,
    seed: u8,
}

/// What happens next. A number chooses among what there is.
#[derive(Debug, Serialize, Deserialize)]
enum Act {
    /// All that is on its way arrives, for so many rounds.
    Flow(u8),
    Wait {
        ms: u16,
    },
    /// The clock was held, and goes on so much later.
    Jump {
        secs: u8,
    },
    Do(Command),
    /// The store takes in a request.
    Serve(u8),
    /// The engine takes in what the store said.
    Hear(u8),
    HearAgain(u8),
    /// The engine takes in what the store said, but for one byte.
    Twist {
        which: u8,
        at: u8,
        byte: u8,
    },
    Answer {
        which: u8,
        reply: Reply,
    },
    Fail {
        which: u8,
        error: StoreError,
    },
    /// All that is asked fails at once, so many times over.
    Storm {
        error: StoreError,
        times: u8,
    },
    Fault(Fault),
    Stranger(Request),
}

/// A tape with a start and acts.
pub fn run(input: &[u8]) {
    let mut tape = Tape::new(input);
    let start = tape.read::<Start>().unwrap_or_default();
    let mut bench = Bench::new(start.setup());
    for _ in 0..MOST_ACTS {
        if tape.is_over() {
            break;
        }
        if let Some(act) = tape.read::<Act>() {
            bench.act(act);
        }
    }
    bench.end();
}

/// An instance, a directory, a follower, an update and a call, in good times and bad ones.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let json = |text: &str| serde_json::from_str::<Command>(text).expect("a command");
    let begin = || {
        [
            r#"{"Open":{"id":1,"scope":{"instances":"web"}}}"#,
            r#"{"Register":{"id":1,"instance":{"group":"web","id":"a","endpoints":{},"labels":{},"state":"ready"},"conflict":"replace"}}"#,
            r#"{"Follow":{"id":1,"keys":{"key":"/portolan/","end":"/portolan0"},"from":null}}"#,
            r#"{"Update":{"id":1,"group":"web","within":{"secs":5,"nanos":0}}}"#,
        ]
        .map(|text| Act::Do(json(text)))
    };
    let tape = |start: Start, acts: Vec<Act>| {
        let acts = begin().into_iter().chain([Act::Flow(6)]).chain(acts);
        [tape::write(&[start]), tape::write(&acts.collect::<Vec<_>>())].concat()
    };
    let put = |value: &str| {
        let key = "/portolan/instances/web/b".into();
        Act::Stranger(Request::Put(Put { key, value: value.into(), ..Put::default() }))
    };
    let propose = || Act::Do(json(r#"{"Proposed":{"id":1,"proposal":{"Write":"{}"}}}"#));
    let call = || {
        let request = Request::Range(Range::of(KeyRange::all()));
        let within = Duration::from_secs(2);
        Act::Do(Command::Call { id: portolan_core::engine::OpId(2), request, within })
    };
    let storm = || Act::Storm { error: StoreError::NoLeader, times: 40 };
    let one = Start::default;
    let three = || Start { members: 2, tight: true, ..Start::default() };
    let seeds = [
        ("calm", tape(one(), vec![propose(), Act::Flow(4), put("x"), Act::Flow(2), call()])),
        ("storm", tape(three(), vec![storm(), Act::Wait { ms: 3_000 }, storm(), propose()])),
        (
            "restart",
            tape(one(), vec![Act::Fault(Fault::Restart), Act::Flow(9), Act::Jump { secs: 40 }]),
        ),
        (
            "shutdown-at-once",
            tape(one(), vec![Act::Do(Command::Shutdown { within: Duration::ZERO })]),
        ),
        (
            "wipe",
            tape(three(), vec![Act::Fault(Fault::Wipe), Act::Wait { ms: 9_000 }, Act::Flow(9)]),
        ),
        (
            "late",
            tape(
                one(),
                vec![
                    put("x"),
                    Act::Serve(0),
                    Act::Wait { ms: 4_000 },
                    Act::Hear(0),
                    Act::HearAgain(0),
                    Act::Twist { which: 0, at: 3, byte: 7 },
                    Act::Do(json(r#"{"Deregister":{"id":1,"within":{"secs":5,"nanos":0}}}"#)),
                    Act::Flow(5),
                    Act::Do(json(r#"{"Shutdown":{"within":{"secs":5,"nanos":0}}}"#)),
                ],
            ),
        ),
        (
            "lag",
            tape(
                Start { members: 2, discovers: true, authenticates: true, ..Start::default() },
                vec![
                    Act::Fault(Fault::Member(portolan_core::waist::MemberId(1), MemberFault::Lag)),
                    put("y"),
                    Act::Flow(5),
                ],
            ),
        ),
    ];
    seeds.map(|(name, tape)| (name.to_owned(), tape)).into()
}

impl Start {
    fn setup(&self) -> Setup {
        let layout = if self.naming { Layout::etcd_naming("shop") } else { Ok(Layout::default()) };
        let mut tuning = Tuning::default();
        if self.tight {
            tuning = Tuning {
                lease_ttl: Duration::from_secs(3),
                max_keys_per_lease: 2,
                retry_burst: 2,
                retries_per_sec: 2,
                page_limit: 2,
                batch_keys: 2,
                own_watches: 1,
                audit_every: Duration::from_secs(5),
                follow_events: 3,
                follow_bytes: 400,
                max_in_flight: 4,
                max_in_flight_bytes: 3 << 19,
                ..tuning
            };
        }
        if self.discovers {
            tuning.member_list_every = Some(Duration::from_secs(2));
        }
        tuning.check().expect("an engine can work with these");
        Setup {
            layout: layout.expect("a root"),
            tuning,
            members: u16::from(self.members % 3) + 1,
            authenticates: self.authenticates,
            seed: self.seed.into(),
        }
    }
}
