//! Any requests, waits and faults to the model of etcd, with rows R2, R3, L4, T5, T6, W7 and some
//! others looked at after each of them.
//!
//! | module | what it holds |
//! |---|---|
//! | `script` | what a tape says |
//! | `rules` | what follows from a request, from the words of `docs/etcd.md` |
//! | `ledger` | the log, what is stored by it, and what calls are told |
//! | `streams` | what watches are told |
//! | `seeds` | what to begin with |

mod ledger;
mod rules;
mod script;
mod seeds;
mod streams;

use std::time::Duration;

use portolan_core::Time;
use portolan_core::waist::{AttemptId, MemberId, Reply, Request, WatchSay};
use portolan_memory::{ClientId, Fault, Identity, Input, Model, Operated, Output, Pass};

use crate::tape::Tape;
use ledger::Ledger;
use script::{Act, Setup, Step};
use streams::{Known, Streams};

pub use seeds::seeds;

/// How many steps are taken, and how many bytes may say one.
const MOST_STEPS: usize = 200;
const MOST_BYTES: usize = 512;
/// How often a timer may be due before time has passed by this much, and how long a watch may lag.
const MOST_TICKS: usize = 20_000;
const CLIENTS: usize = 3;

/// Hands it to the model, step by step.
///
/// # Panics
/// Where a row does not hold.
pub fn run(input: &[u8]) {
    let mut tape = Tape::new(input);
    let Some(setup) = tape.read::<Setup>() else { return };
    let mut rest = tape.rest();
    let mut bench = Bench::new(&setup);
    for number in 0..MOST_STEPS {
        if rest.is_empty() {
            break;
        }
        if number == usize::from(setup.copied_after) {
            bench.copy = Some(Copy { model: bench.model.clone(), ahead: Vec::new() });
        }
        let mut tape = Tape::new(&rest[..rest.len().min(MOST_BYTES)]);
        let before = tape.rest().len();
        let act = tape.read::<Act>();
        rest = &rest[before - tape.rest().len()..];
        if let Some(act) = act {
            bench.act(act);
        }
    }
    bench.settle();
}

/// A model, and all that is known of it.
struct Bench {
    model: Model,
    /// Is handed the same, but for ticks.
    copy: Option<Copy>,
    now: Time,
    attempts: u64,
    /// The attempts that have opened streams.
    opened: Vec<AttemptId>,
    /// How often each client has connected anew: a connection that is gone does not come back.
    connected: [u32; CLIENTS],
    identities: [Identity; CLIENTS],
    is_calm: bool,
    ledger: Ledger,
    streams: Streams,
}

struct Copy {
    model: Model,
    /// What the original has said since the last input.
    ahead: Vec<Said>,
}

#[derive(Debug, PartialEq)]
enum Said {
    Output(Output),
    Operated(Operated),
}

impl Bench {
    fn new(setup: &Setup) -> Self {
        let identity = |name: &str| Identity::of(Some(script::credentials(name)));
        let mut bench = Self {
            model: Model::new(setup.config()),
            copy: None,
            now: Time::ZERO,
            attempts: 0,
            opened: Vec::new(),
            connected: [0; CLIENTS],
            identities: ["root", "a", "b"].map(identity),
            is_calm: true,
            ledger: Ledger::default(),
            streams: Streams::default(),
        };
        for admin in setup.users() {
            bench.hand(Input::Admin(admin));
        }
        bench
    }

    fn act(&mut self, Act { by, member, step }: Act) {
        let client = usize::from(by) % CLIENTS;
        let from = ClientId(1 + client as u32 + self.connected[client] * CLIENTS as u32);
        let members = u16::try_from(self.model.members().count()).unwrap_or(1);
        let member = u16::from(member) % members;
        let present = self.model.revision();
        if let Some(request) = step.request(present) {
            let stream = self.recent(self.attempts as u8).unwrap_or(AttemptId::NEWS);
            self.ask(from, member, script::redirected(request, stream));
            return;
        }
        if let Some((ago, say)) = step.say(present) {
            let Some(id) = self.recent(ago) else { return };
            if let Some(stream) = self.streams.get(id) {
                let (from, member) = (stream.from, stream.member);
                self.ask(from, member, Request::OnWatch { stream: id, say });
            }
            return;
        }
        match step {
            Step::Take(ago, quarters) => {
                let Some(id) = self.recent(ago) else { return };
                if let Some(stream) = self.streams.get(id) {
                    let bytes = stream.untaken * u64::from(quarters % 5) / 4;
                    self.take(id, stream.from, bytes);
                }
            }
            Step::Wait(millis) => self.wait(Duration::from_millis(millis.into())),
            Step::Cancel(ago) => {
                let attempt = AttemptId(self.attempts.saturating_sub(ago.into()));
                self.leave(from, |_, each| each == attempt, Input::Cancel { from, attempt });
            }
            Step::Disconnect => {
                self.leave(from, |_, _| true, Input::Disconnect { from });
                self.connected[client] += 1;
            }
            Step::Fault(fault) => {
                self.is_calm = false;
                if let Fault::Expire(lease) = fault {
                    self.ledger.cut_short(lease);
                }
                self.hand(Input::Fault(fault));
            }
            Step::Operate(operation) => {
                let attempt = self.attempt();
                self.ledger.ask(attempt, from, None);
                let (member, operation) = (MemberId(member), *operation);
                let pass = self.identity(from).pass(&Request::Status);
                self.hand(Input::Operate { from, attempt, member, operation, pass });
            }
            Step::Admin(admin) => self.hand(Input::Admin(*admin)),
            Step::Put(_)
            | Step::Delete(_)
            | Step::Txn(_)
            | Step::Grant(..)
            | Step::Revoke(_)
            | Step::KeepAlive(_)
            | Step::TimeToLive(_)
            | Step::Read(..)
            | Step::Compact(_)
            | Step::Watch(_)
            | Step::Another(..)
            | Step::Unwatch(..)
            | Step::AskProgress(_)
            | Step::Login
            | Step::Ask(_) => {}
        }
    }

    fn attempt(&mut self) -> AttemptId {
        self.attempts += 1;
        AttemptId(self.attempts)
    }

    fn identity(&mut self, of: ClientId) -> &mut Identity {
        &mut self.identities[(of.0 as usize - 1) % CLIENTS]
    }

    /// The stream that was opened so many before the last.
    fn recent(&self, ago: u8) -> Option<AttemptId> {
        let ago = usize::from(ago).checked_rem(self.opened.len())?;
        self.opened.iter().rev().nth(ago).copied()
    }

    fn ask(&mut self, from: ClientId, member: u16, request: Request) {
        let attempt = self.attempt();
        match &request {
            Request::Watch(watch) => {
                self.opened.push(attempt);
                self.streams.open(attempt, from, member, watch.clone());
            }
            Request::OnWatch { stream, say: WatchSay::Create(watch) } => {
                self.streams.ask(*stream, from, member, watch.clone());
            }
            Request::OnWatch { stream, say: WatchSay::Cancel { id } } => {
                self.streams.leave(*stream, from, member, *id);
            }
            _ => {}
        }
        let may_wait =
            matches!(request, Request::KeepAlive(_) | Request::Watch(_) | Request::OnWatch { .. });
        let pass = self.identity(from).pass(&request);
        let is_known = !matches!(pass, Pass::Token(_));
        self.ledger.ask(attempt, from, Some(request.clone()));
        self.hand(Input::Request { from, attempt, member: MemberId(member), request, pass });
        let is_due = self.is_calm && is_known && !may_wait;
        assert!(!is_due || self.ledger.is_answered(attempt), "{attempt} is not answered at once");
    }

    /// A client goes, from a call, a stream, or all of them. What waits before a process that is held
    /// may still be answered.
    fn leave(&mut self, from: ClientId, which: impl Fn(ClientId, AttemptId) -> bool, input: Input) {
        let is_theirs = |who, attempt| who == from && which(who, attempt);
        let is_heard = self.model.members().all(|member| member.is_up);
        self.streams.close(is_theirs);
        self.hand(input);
        if is_heard {
            self.ledger.give_up(is_theirs);
        }
    }

    fn take(&mut self, attempt: AttemptId, from: ClientId, bytes: u64) {
        self.streams.take(attempt, bytes);
        self.hand(Input::Taken { from, attempt, bytes });
    }

    fn wait(&mut self, time: Duration) {
        let until = self.now + time;
        for _ in 0..MOST_TICKS {
            match self.model.poll_timeout().filter(|&due| due < until) {
                Some(due) => self.now = due,
                None => {
                    self.now = until;
                    self.hand(Input::Tick);
                    return;
                }
            }
            self.hand(Input::Tick);
        }
        panic!("timers without end before {until}");
    }

    /// One input: nothing stays due, and whatever is said is looked at.
    fn hand(&mut self, input: Input) {
        self.model.handle(self.now, input.clone());
        let said = drain(&mut self.model);
        let is_due = self.model.poll_timeout().is_some_and(|due| due <= self.now);
        assert!(!is_due, "something is still due after {input}");
        self.ledger.read(&self.model);
        if let Some(copy) = &mut self.copy {
            copy.ahead.extend(said.iter().map(Said::again));
            if !matches!(input, Input::Tick) {
                copy.hand(self.now, input);
            }
        }
        for said in said {
            self.hear(said);
        }
        self.streams.check(Known { past: &self.ledger.past, model: &self.model });
    }

    fn hear(&mut self, said: Said) {
        let max_ops = self.model.config().max_txn_ops;
        let mut output = match said {
            Said::Output(output) => output,
            Said::Operated(Operated { to, attempt, .. }) => {
                self.ledger.hear(attempt, to, &Reply::Authenticated, max_ops);
                return;
            }
        };
        let token = output.take_token();
        let Output { to, attempt, reply, .. } = output;
        self.identity(to).hear(token);
        let known = Known { past: &self.ledger.past, model: &self.model };
        let is_on_stream = self.streams.hear(attempt, &reply, known);
        let asked = self.ledger.asked(attempt).and_then(|(_, request)| request);
        let is_said = matches!(asked, Some(Request::OnWatch { .. }));
        assert!(!is_said, "what is said on a stream has no answer of its own: {reply:?}");
        // Whoever has left a stream may still be told what was on its way.
        let is_late = matches!(asked, Some(Request::Watch(_))) && matches!(reply, Reply::Watch(_));
        if !is_on_stream && !is_late {
            self.ledger.hear(attempt, to, &reply, max_ops);
        }
    }

    /// In the end every watch at a member that runs is told all that this has applied.
    fn settle(&mut self) {
        for _ in 0..MOST_TICKS {
            let known = Known { past: &self.ledger.past, model: &self.model };
            let Some(late) = self.streams.late(known) else { break };
            let untaken = self.streams.untaken();
            if !untaken.is_empty() {
                untaken.into_iter().for_each(|(id, from, bytes)| self.take(id, from, bytes));
                continue;
            }
            let due = self.model.poll_timeout();
            self.now = due.unwrap_or_else(|| panic!("W8: nobody will tell {late}"));
            self.hand(Input::Tick);
        }
        let late = self.streams.late(Known { past: &self.ledger.past, model: &self.model });
        assert_eq!(late, None, "W8: it is still not told");
        self.hand(Input::Tick);
        if let Some(mut copy) = self.copy.take() {
            copy.hand(self.now, Input::Tick);
            assert!(copy.model == self.model, "a copy is not the same in the end");
        }
    }
}

impl Copy {
    /// It says the same as the original, which was ticked in between.
    fn hand(&mut self, now: Time, input: Input) {
        let mut said = Vec::new();
        for input in [Input::Tick, input] {
            self.model.handle(now, input);
            said.extend(drain(&mut self.model));
        }
        let mut ahead = std::mem::take(&mut self.ahead);
        // Operators are told by a way of their own.
        for all in [&mut said, &mut ahead] {
            all.sort_by_key(|each| matches!(each, Said::Operated(_)));
        }
        assert_eq!(said, ahead, "a copy says something else");
    }
}

impl Said {
    fn again(&self) -> Self {
        match self {
            Self::Output(output) => Self::Output(output.clone()),
            Self::Operated(operated) => Self::Operated(operated.clone()),
        }
    }
}

fn drain(model: &mut Model) -> Vec<Said> {
    let mut said = Vec::new();
    while let Some(output) = model.poll_output() {
        said.push(Said::Output(output));
    }
    while let Some(operated) = model.poll_operated() {
        said.push(Said::Operated(operated));
    }
    said
}

#[cfg(test)]
mod tests {
    use portolan_core::Rng;

    #[test]
    fn what_to_begin_with_holds() {
        for (name, seed) in super::seeds() {
            println!("{name}");
            super::run(&seed);
        }
    }

    #[test]
    fn noise_holds() {
        for seed in 0..300 {
            let mut rng = Rng::new(seed);
            let noise: Vec<u8> = (0..1000).map(|_| (rng.bits() % 40) as u8).collect();
            super::run(&noise);
        }
    }
}
