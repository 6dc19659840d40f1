//! A guide to a plan: what one is to look at, and when. It is drawn from what really happens in it.

use portolan_core::engine::{Event, Freshness, RegistrationEvent, StepCause};
use portolan_memory::LeaseStep;
use portolan_sim::plan::Do;
use portolan_sim::{Entry, Plan, Runner, What};
use serde::Serialize;

use crate::view::millis;
use crate::words;

/// A moment at which something can be seen.
#[derive(Clone, Debug, Serialize)]
pub struct Stop {
    at_ms: f64,
    pub title: String,
    text: String,
    /// Where to look.
    focus: String,
}

/// The stops of a plan; of one that goes on for too long, those of its first part.
pub fn of(plan: &Plan) -> Vec<Stop> {
    let mut runner = Runner::new(plan, true).heedless();
    let mut stops: Vec<Stop> = Vec::new();
    let mut guide = Guide::default();
    while runner.events() < MOST_EVENTS && stops.len() < MOST_STOPS {
        let going = runner.step();
        for entry in runner.take_trace() {
            stops.extend(guide.stop(&entry));
        }
        if !going {
            break;
        }
    }
    if let Some(violation) = runner.violation() {
        stops.push(Stop {
            at_ms: millis(violation.at),
            title: format!("{} does not hold", violation.property),
            text: format!("It demands: {}. But {}.", violation.property.title(), violation.text),
            focus: format!("check:{}", violation.property),
        });
    } else if runner.has_ended() {
        stops.push(Stop {
            at_ms: millis(runner.world().now()),
            title: "All is at rest".to_owned(),
            text: "Every directory shows what the store has, every registration stands that is wanted, \
                   and every property held on the way."
                .to_owned(),
            focus: "checks".to_owned(),
        });
    }
    stops.truncate(MOST_STOPS);
    stops
}

/// What has been pointed at already.
#[derive(Default)]
struct Guide {
    registered: bool,
    listed: bool,
    healed: bool,
}

impl Guide {
    fn stop(&mut self, entry: &Entry) -> Option<Stop> {
        let (title, text, focus) = match &entry.what {
            What::Did(step) => did(step)?,
            What::Leased(change) if matches!(change.step, LeaseStep::Ended { .. }) => {
                let LeaseStep::Ended { cause } = &change.step else { return None };
                let ran_out = matches!(cause, portolan_memory::Cause::Expiry { .. });
                let title = if ran_out { "A lease runs out" } else { "A lease ends" };
                let text = format!(
                    "Lease {} {}. The store removes what hung on it, and tells everybody who \
                     watches.",
                    change.lease,
                    if ran_out { "was not renewed in time" } else { "was given back or revoked" },
                );
                (title.to_owned(), text, "store".to_owned())
            }
            What::Told { run, event } => self.told(run.process, event)?,
            What::Healed(_) if !self.healed => {
                self.healed = true;
                let text = "The plan is over: links carry again, the store is well, held processes go \
                            on. From now on all must come to rest.";
                ("Everything heals".to_owned(), text.to_owned(), "checks".to_owned())
            }
            _ => return None,
        };
        Some(Stop { at_ms: millis(entry.at), title, text, focus })
    }

    fn told(&mut self, process: u16, event: &Event) -> Option<(String, String, String)> {
        let focus = format!("process:{process}");
        let (title, text) = match event {
            Event::Registration { id, event } => match event {
                RegistrationEvent::Registered { .. } if self.registered => return None,
                RegistrationEvent::Registered { lease, .. } => {
                    self.registered = true;
                    let text = format!(
                        "The record of process {process} stands in the store. It hangs on lease \
                         {lease}: a promise to remove it unless the process renews in time."
                    );
                    ("Registered, on a lease".to_owned(), text)
                }
                RegistrationEvent::Lost { .. }
                | RegistrationEvent::Denied { .. }
                | RegistrationEvent::Waiting { .. } => {
                    // That it stands again is worth a stop, too.
                    self.registered = false;
                    let state = words::registration(Some(event));
                    (format!("Process {process}: {state}"), format!("Its registration {}.", id.0))
                }
                RegistrationEvent::Gone(_) => {
                    let state = words::registration(Some(event));
                    (format!("Process {process}: {state}"), format!("Its registration {}.", id.0))
                }
            },
            Event::Stepped { step, .. } => match step.cause {
                StepCause::Listed if self.listed => return None,
                StepCause::Listed => {
                    self.listed = true;
                    let text = format!(
                        "Process {process} has listed its group, and watches it from there on: it is \
                         told every change, in order."
                    );
                    ("A directory is live".to_owned(), text)
                }
                StepCause::Relisted(_) => {
                    let text = format!(
                        "Process {process} cannot prove that it was told everything, so it lists \
                         anew, and tells the difference: {} changed.",
                        step.changes.len()
                    );
                    ("Listed anew".to_owned(), text)
                }
                StepCause::Watched => return None,
            },
            Event::Freshness { snapshot, .. } => match snapshot.freshness {
                Freshness::Stale { .. } => {
                    let text = format!(
                        "Process {process} has heard nothing for a while. It keeps what it knows, and \
                         says that it may be old."
                    );
                    ("A directory may be old".to_owned(), text)
                }
                Freshness::Live => {
                    let text = format!("Process {process} hears of the store again.");
                    ("A directory is live again".to_owned(), text)
                }
                Freshness::Unsynced => return None,
            },
            Event::Guard { snapshot, .. } => {
                let text = format!(
                    "Most of a group vanished at once, which looks like an outage: {} are kept apart \
                     for a while.",
                    snapshot.suspects.len()
                );
                ("The guard looks into it".to_owned(), text)
            }
            Event::Updated { .. } => {
                let (text, _) = words::told(event);
                (format!("Process {process}: an edit ends"), format!("{text}."))
            }
            Event::Followed { .. }
            | Event::Propose { .. }
            | Event::Called { .. }
            | Event::Closed { .. } => return None,
        };
        Some((title, text, focus))
    }
}

fn did(step: &Do) -> Option<(String, String, String)> {
    let (words, kind) = words::step(step);
    if kind == "action" && !matches!(step, Do::Update { .. } | Do::Shutdown { .. }) {
        return None;
    }
    let mut letters = words.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    let title: String = first.chain(letters).collect();
    let focus = match step.process() {
        Some(process) => format!("process:{process}"),
        None => "store".to_owned(),
    };
    Some((title, means(step).to_owned(), focus))
}

/// What a step of a plan leads to, in general.
fn means(step: &Do) -> &'static str {
    match step {
        Do::Crash { .. } => {
            "It ends without a word. Nobody renews its lease any more; until that runs out, its record \
             stays."
        }
        Do::Restart { .. } => "It is a new run, which wants what the former one wanted.",
        Do::Pause { .. } => {
            "As a suspended machine: it neither hears nor says anything, and does not know it. Its lease \
             goes on running out."
        }
        Do::Resume { .. } => "For it, time has jumped. What it believed may be long over.",
        Do::Cut { .. } => {
            "What is written waits at the cut. Neither end is told; each must find out by the silence."
        }
        Do::Heal { .. } | Do::Mend { .. } => "What has waited goes on first.",
        Do::Reset { .. } => {
            "Both ends notice at once. What was under way may have arrived, or not."
        }
        Do::Blackhole { .. } => "Nobody notices: only a probe that is not answered shows it.",
        Do::Lose { .. } => "Whoever waits for an answer cannot know which of the two was lost.",
        Do::Slow { .. } => "Answers may come after their time limit.",
        Do::Clock { .. } => "Its timers run by it; the store's leases run by the store's.",
        Do::Store { .. } | Do::Member { .. } | Do::Lead { .. } => {
            "The others must agree among themselves before anything can be written again; a new leader \
             starts every lease's countdown over."
        }
        Do::Rights { .. } | Do::Password { .. } => {
            "Refusals of this kind do not pass by themselves: it is asked again, slowly."
        }
        Do::Compact { .. } => {
            "Whoever was to be told of what is forgotten cannot be, and must list instead."
        }
        Do::Expire { .. } | Do::Revoke { .. } | Do::RevokeOf { .. } => {
            "All that hangs on it goes with it. Its owner learns of it by its watch or its next renewal."
        }
        Do::DeleteKey { .. } | Do::PutKey { .. } | Do::MoveKey { .. } => {
            "No process of ours did that. The owner watches its own record, and sees it."
        }
        Do::Crowd { .. } => "Records that nobody here renews.",
        Do::Update { .. } => {
            "It reads what is there, and writes only if nobody has written meanwhile; else it begins \
             anew."
        }
        Do::Shutdown { .. } => {
            "It says that it is draining, removes its records, and gives its leases back."
        }
        Do::Register { .. }
        | Do::Publish { .. }
        | Do::Deregister { .. }
        | Do::Open { .. }
        | Do::Close { .. }
        | Do::Follow { .. }
        | Do::Unfollow { .. }
        | Do::Call { .. }
        | Do::Abandon { .. }
        | Do::AddProcess {} => "",
    }
}

/// How much of a plan is looked at for its guide.
const MOST_EVENTS: u64 = 8_000;
const MOST_STOPS: usize = 24;
