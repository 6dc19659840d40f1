//! The trace as a page shows it: lines by kind and by process, and marks for the time line.

use portolan_core::engine::{Event, RegistrationEvent};
use portolan_memory::{ClientId, LeaseStep};
use portolan_sim::{Entry, What};
use serde::{Deserialize, Serialize};

use crate::belief::Beliefs;
use crate::session::Session;
use crate::view::{Side, millis};
use crate::words;

/// Which lines, and how many of them.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    pub side: Side,
    pub from: usize,
    pub count: usize,
    pub process: Option<u16>,
    pub kind: Option<Kind>,
}

/// A kind of lines.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What the plan says, and what happens to processes.
    Plan,
    /// What applications want and are told.
    Told,
    /// Messages on their way.
    Messages,
    /// What happens in the store, and to it.
    Store,
    /// All that is no message on its way. Of no single line.
    News,
}

#[derive(Debug, Serialize)]
pub struct Lines {
    total: usize,
    first: usize,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    n: usize,
    at_ms: f64,
    text: String,
    kind: Kind,
    process: Option<u16>,
}

/// Which entries of a trace are asked for; found once.
#[derive(Clone, Debug, Default)]
pub struct Index {
    filter: Option<(Option<u16>, Option<Kind>)>,
    /// Which state of the trace has been looked at, and how much of it.
    forks: u64,
    seen: usize,
    found: Vec<usize>,
}

impl Index {
    fn look(&mut self, session: &Session, options: &Options) {
        let filter = Some((options.process, options.kind));
        if self.filter != filter || self.forks != session.forks() {
            *self = Self { filter, forks: session.forks(), ..Self::default() };
        }
        let (known, beliefs) = (session.known(), session.beliefs());
        for (n, entry) in known.iter().enumerate().skip(self.seen) {
            let fits = options.kind.is_none_or(|kind| match kind {
                Kind::News => entry.what.is_news(),
                Kind::Plan | Kind::Told | Kind::Messages | Kind::Store => kind_of(entry) == kind,
            });
            if fits
                && options.process.is_none_or(|process| process_of(entry, beliefs) == Some(process))
            {
                self.found.push(n);
            }
        }
        self.seen = known.len();
    }

    /// Some lines.
    pub fn lines(&mut self, session: &Session, options: &Options) -> Lines {
        self.look(session, options);
        let count = options.count.min(MOST_LINES);
        let chosen = self.found.iter().skip(options.from).take(count);
        let lines = chosen.map(|&n| {
            let entry = &session.known()[n];
            let process = process_of(entry, session.beliefs());
            let (text, kind) = (entry.to_string(), kind_of(entry));
            Line { n, at_ms: millis(entry.at), text, kind, process }
        });
        Lines { total: self.found.len(), first: options.from, lines: lines.collect() }
    }

    /// The place of the last line that has happened; of none, before the first one.
    pub fn present(&mut self, session: &Session, options: &Options) -> Option<usize> {
        self.look(session, options);
        let happened = session.past().len();
        self.found.partition_point(|&n| n < happened).checked_sub(1)
    }
}

fn kind_of(entry: &Entry) -> Kind {
    match &entry.what {
        What::Began(_)
        | What::Did(_)
        | What::Healed(_)
        | What::Started { .. }
        | What::Crashed(_)
        | What::Paused(_)
        | What::Resumed(_)
        | What::Clocked { .. } => Kind::Plan,
        What::Wanted { .. } | What::Told { .. } => Kind::Told,
        What::Sent { .. }
        | What::Cancelled { .. }
        | What::Answered { .. }
        | What::Connected { .. }
        | What::Broke { .. }
        | What::Arrived { .. }
        | What::Delayed { .. }
        | What::Stopped { .. }
        | What::Swallowed { .. }
        | What::Lost { .. } => Kind::Messages,
        What::Stored(_)
        | What::Membered { .. }
        | What::Allowed(_)
        | What::PasswordSet { .. }
        | What::Led(_)
        | What::Changed(_)
        | What::Leased(_)
        | What::Compacted(_) => Kind::Store,
    }
}

fn process_of(entry: &Entry, beliefs: &Beliefs) -> Option<u16> {
    let over = |client: &ClientId| Some(beliefs.connection(*client)?.0.process);
    match &entry.what {
        What::Did(step) => step.process(),
        What::Started { run, .. }
        | What::Crashed(run)
        | What::Paused(run)
        | What::Resumed(run)
        | What::Clocked { run, .. }
        | What::Wanted { run, .. }
        | What::Told { run, .. }
        | What::Sent { run, .. }
        | What::Cancelled { run, .. }
        | What::Answered { run, .. }
        | What::Connected { run, .. }
        | What::Broke { run, .. } => Some(run.process),
        What::Arrived { client, .. }
        | What::Delayed { client, .. }
        | What::Stopped { client, .. }
        | What::Swallowed { client, .. }
        | What::Lost { client, .. } => over(client),
        What::Leased(change) => match &change.step {
            LeaseStep::Granted { from, .. } | LeaseStep::Renewed { from, .. } => over(from),
            LeaseStep::Prolonged { .. } | LeaseStep::Ended { .. } => beliefs.owner(change.lease),
        },
        What::Began(_)
        | What::Healed(_)
        | What::Stored(_)
        | What::Membered { .. }
        | What::Allowed(_)
        | What::PasswordSet { .. }
        | What::Led(_)
        | What::Changed(_)
        | What::Compacted(_) => None,
    }
}

/// A mark on the time line.
#[derive(Clone, Debug, Serialize)]
pub struct Mark {
    at_ms: f64,
    kind: &'static str,
    words: String,
}

/// The marks of all that is known.
pub fn marks(session: &Session) -> Vec<Mark> {
    let mut marks: Vec<Mark> = Vec::new();
    let mut lost = std::collections::BTreeSet::new();
    let mut more = 0;
    for entry in session.known() {
        let Some((kind, words)) = mark(entry, &mut lost) else { continue };
        let at_ms = millis(entry.at);
        let again = marks.last().is_some_and(|last| last.kind == kind && last.at_ms == at_ms);
        match marks.last_mut().filter(|_| again) {
            Some(last) if more < 5 => {
                more += 1;
                last.words = format!("{}; {words}", last.words);
            }
            Some(_) => {}
            None => {
                more = 0;
                marks.push(Mark { at_ms, kind, words });
            }
        }
    }
    for (at, violation) in session.violations() {
        let (at_ms, words) = (millis(at), violation.to_string());
        marks.push(Mark { at_ms, kind: "violation", words });
    }
    marks
}

fn mark(
    entry: &Entry,
    lost: &mut std::collections::BTreeSet<(portolan_sim::Run, u64)>,
) -> Option<(&'static str, String)> {
    Some(match &entry.what {
        What::Did(step) => {
            let (words, kind) = words::step(step);
            (kind, words)
        }
        What::Healed(_) => ("heal", "everything heals".to_owned()),
        What::Compacted(revision) => {
            ("compacted", format!("history before revision {revision} is forgotten"))
        }
        What::Led(Some(member)) => ("store", format!("member {} leads", member.0)),
        What::Led(None) => ("store", "nobody leads".to_owned()),
        What::Leased(change) => match change.step {
            LeaseStep::Ended { .. } => ("lease", format!("lease {} ends", change.lease)),
            _ => return None,
        },
        What::Told { run, event: Event::Registration { id, event } } => {
            let whose = format!("process {}, registration {}: ", run.process, id.0);
            let words = whose + &words::registration(Some(event));
            match event {
                RegistrationEvent::Lost { .. } => {
                    lost.insert((*run, id.0));
                    ("lost", words)
                }
                RegistrationEvent::Registered { .. } if lost.remove(&(*run, id.0)) => {
                    ("regained", words)
                }
                _ => return None,
            }
        }
        _ => return None,
    })
}

/// The most lines that are handed out at once.
const MOST_LINES: usize = 1_000;
