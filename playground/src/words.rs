//! Things in words, for people who see them for the first time.

use portolan_core::engine::{Event, Freshness, Gone, LossReason, RegistrationEvent, UpdateOutcome};
use portolan_core::instance::State;
use portolan_core::layout::Scope;
use portolan_core::waist::{Key, Reply, Request};
use portolan_sim::Carried;
use portolan_sim::plan::{Cut, Do, Fleet, MemberFault, Rights, StoreFault, SubjectKind};

/// Which client runs in a process.
pub fn client(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Engine => "portolan",
        SubjectKind::Naive(fleet) => fleet_id(fleet),
    }
}

/// A fleet as plans name it.
pub fn fleet_id(fleet: Fleet) -> &'static str {
    match fleet {
        Fleet::GoKit => "go-kit",
        Fleet::EtcdNaming => "etcd-naming",
        Fleet::Lumeweb => "lumeweb",
        Fleet::Scalingo => "scalingo",
        Fleet::Ligato => "ligato",
    }
}

/// A fleet as its authors name it, and what its client does.
pub fn fleet(fleet: Fleet) -> (&'static str, &'static str) {
    match fleet {
        Fleet::GoKit => (
            "go-kit sd/etcdv3",
            "Reads the whole group after each event; ends its renewals without a word when its lease is \
             gone.",
        ),
        Fleet::EtcdNaming => (
            "etcd naming",
            "Lists once and follows a watch; when that ends it keeps what it has, and is told nothing \
             more.",
        ),
        Fleet::Lumeweb => (
            "LumeWeb etcd-registry",
            "Asks for another lease whenever the first one's time is over, renewed or not.",
        ),
        Fleet::Scalingo => (
            "Scalingo etcd-discovery",
            "Watches from now on after each break, and does not list what it missed.",
        ),
        Fleet::Ligato => (
            "ligato cn-infra etcd",
            "Keeps the first lease for ever, and goes on at the oldest revision that is left.",
        ),
    }
}

/// The state of a registration: one word, as a page marks it.
pub fn registration_state(told: Option<&RegistrationEvent>) -> &'static str {
    match told {
        None => "starting",
        Some(RegistrationEvent::Registered { .. }) => "registered",
        Some(RegistrationEvent::Lost { .. }) => "lost",
        Some(RegistrationEvent::Denied { .. }) => "denied",
        Some(RegistrationEvent::Waiting { .. }) => "waiting",
        Some(RegistrationEvent::Gone(Gone::Unconfirmed)) => "unconfirmed",
        Some(RegistrationEvent::Gone(_)) => "gone",
    }
}

/// The state of a registration.
pub fn registration(told: Option<&RegistrationEvent>) -> String {
    match told {
        None => "being registered: nothing is confirmed yet".to_owned(),
        Some(RegistrationEvent::Registered { lease, revision, .. }) => {
            format!("registered at revision {revision}, on lease {lease}")
        }
        Some(RegistrationEvent::Lost { reason }) => match reason {
            LossReason::LeaseLost => "lost with its lease, and being put back".to_owned(),
            LossReason::Evicted => "evicted by an operator, and being removed".to_owned(),
            LossReason::Disturbed => "somebody else touched it; being put back".to_owned(),
        },
        Some(RegistrationEvent::Denied { error }) => format!("refused by the store: {error}"),
        Some(RegistrationEvent::Waiting { .. }) => {
            "waits for somebody else's record to go".to_owned()
        }
        Some(RegistrationEvent::Gone(gone)) => match gone {
            Gone::Deregistered => "removed, as wished".to_owned(),
            Gone::Unconfirmed => "removed, but the store has not confirmed it".to_owned(),
            Gone::Rejected { .. } => "gave way: somebody else's record stands there".to_owned(),
            Gone::Superseded { .. } => "superseded by a newer registration".to_owned(),
            Gone::Evicted { by } => format!("evicted by {by}"),
            Gone::Refused { reason } => format!("refused: {reason}"),
        },
    }
}

/// What an application was told, and whether that is good news.
pub fn told(event: &Event) -> (String, &'static str) {
    match event {
        Event::Registration { id, event } => {
            let tone = match event {
                RegistrationEvent::Registered { .. } => "good",
                RegistrationEvent::Gone(Gone::Deregistered) => "plain",
                RegistrationEvent::Lost { .. }
                | RegistrationEvent::Denied { .. }
                | RegistrationEvent::Waiting { .. }
                | RegistrationEvent::Gone(_) => "bad",
            };
            let words = match event {
                RegistrationEvent::Registered { revision, .. } => {
                    format!("registered at revision {revision}")
                }
                _ => registration(Some(event)),
            };
            (format!("registration {}: {words}", id.0), tone)
        }
        Event::Stepped { id, step } => {
            let (shows, changes) = (step.snapshot.records.len(), step.changes.len());
            (format!("directory {}: {changes} changed, {shows} there now", id.0), "plain")
        }
        Event::Freshness { id, snapshot } => match snapshot.freshness {
            Freshness::Live => (format!("directory {}: live again", id.0), "good"),
            Freshness::Stale { .. } => {
                (format!("directory {}: may be old, the store is silent", id.0), "bad")
            }
            Freshness::Unsynced => (format!("directory {}: not listed yet", id.0), "plain"),
        },
        Event::Guard { id, snapshot, .. } => {
            let held = snapshot.suspects.len();
            (format!("directory {}: {held} kept apart, since many vanished at once", id.0), "bad")
        }
        Event::Followed { id, .. } => (format!("follower {} is told what changed", id.0), "plain"),
        Event::Propose { id, .. } => (format!("update {}: what is it to be?", id.0), "plain"),
        Event::Updated { id, outcome } => match outcome {
            UpdateOutcome::Done { revision } => {
                (format!("update {}: done at revision {revision}", id.0), "good")
            }
            UpdateOutcome::Unchanged { .. } => {
                (format!("update {}: left as it was", id.0), "plain")
            }
            UpdateOutcome::Conflict => {
                (format!("update {}: others kept writing, nothing was written", id.0), "bad")
            }
            UpdateOutcome::Unknown { .. } => {
                (format!("update {}: in doubt, it may have been written", id.0), "bad")
            }
            UpdateOutcome::Failed { error } => (format!("update {}: failed, {error}", id.0), "bad"),
        },
        Event::Called { id, result } => match result {
            Ok(_) => (format!("call {}: answered", id.0), "plain"),
            Err(error) => (format!("call {}: {error}", id.0), "bad"),
        },
        Event::Closed { confirmed: true } => ("closed, all was removed".to_owned(), "plain"),
        Event::Closed { confirmed: false } => {
            ("closed; its leases' ends take the rest away".to_owned(), "bad")
        }
    }
}

/// What a directory shows.
pub fn scope(scope: &Scope) -> String {
    match scope {
        Scope::Instances(group) => group.to_string(),
        Scope::AllInstances => "all groups".to_owned(),
        Scope::Config(group) => format!("configuration of {group}"),
        Scope::AllConfigs => "all configurations".to_owned(),
    }
}

/// An instance's state.
pub fn state(state: State) -> &'static str {
    match state {
        State::Starting => "starting",
        State::Ready => "ready",
        State::Draining => "draining",
        State::OutOfService => "out of service",
    }
}

/// The part of a key behind its last slash.
pub fn last_part(key: &Key) -> String {
    let text = key.to_string();
    text.rsplit('/').next().unwrap_or_default().to_owned()
}

/// Which kind of message it is: one word, as a page marks it.
pub fn kind(carried: &Carried<'_>) -> &'static str {
    match carried {
        Carried::Cancel => "cancel",
        Carried::Request(request) => match request {
            Request::Range(_) => "read",
            Request::Put(_) | Request::Delete(_) | Request::Txn(_) | Request::Compact(_) => "write",
            Request::Grant(_) | Request::Revoke(_) => "lease",
            Request::KeepAlive(_) => "renew",
            Request::Watch(_) | Request::OnWatch { .. } => "watch",
            Request::TimeToLive(_)
            | Request::Leases
            | Request::Status
            | Request::Members
            | Request::Authenticate => "other",
        },
        Carried::Reply(Reply::Failed(_)) => "failed",
        Carried::Reply(Reply::Watch(_)) => "event",
        Carried::Reply(_) => "answer",
    }
}

/// Whether it answers a call; streams say many things.
pub fn is_answer(carried: &Carried<'_>) -> bool {
    matches!(carried, Carried::Reply(reply) if !matches!(reply, Reply::Watch(_)))
}

/// What a message says.
pub fn message(carried: &Carried<'_>) -> String {
    match carried {
        Carried::Cancel => "does not wait any more".to_owned(),
        Carried::Request(request) => request.to_string(),
        Carried::Reply(reply) => reply.to_string(),
    }
}

/// What a kind of message is for, in a sentence.
pub fn kind_means(kind: &str) -> &'static str {
    match kind {
        "read" => "It asks the store what it has.",
        "write" => {
            "It asks the store to change something, often only if nothing changed meanwhile."
        }
        "lease" => {
            "It asks for a lease, or gives one back. What hangs on a lease goes when the lease ends."
        }
        "renew" => {
            "It starts a lease's time over. Whoever stops renewing loses what hangs on the lease."
        }
        "watch" => "It asks to be told of every change from a revision on.",
        "event" => "The store tells what has changed, whole revisions in their order.",
        "answer" => "The store answers a request.",
        "failed" => "The store refuses, or cannot.",
        "cancel" => {
            "Whoever asked has given up; the request may have been carried out all the same."
        }
        _ => "It asks about the store itself, or logs in.",
    }
}

/// A step of a plan, and which kind of mark stands for it.
pub fn step(what: &Do) -> (String, &'static str) {
    let all = |member: &Option<u16>| match member {
        Some(member) => format!("member {member}"),
        None => "the store".to_owned(),
    };
    match what {
        Do::Register { process, group, instance, .. } => {
            (format!("process {process} registers {group}/{instance}"), "action")
        }
        Do::Publish { process, id, state: new, .. } => {
            (format!("process {process} says that {} is {}", id.0, state(*new)), "action")
        }
        Do::Deregister { process, id, .. } => {
            (format!("process {process} removes registration {}", id.0), "action")
        }
        Do::Open { process, scope: shown, .. } => {
            (format!("process {process} opens a directory of {}", scope(shown)), "action")
        }
        Do::Close { process, id } => {
            (format!("process {process} closes directory {}", id.0), "action")
        }
        Do::Follow { process, prefix, .. } => {
            (format!("process {process} follows {prefix}"), "action")
        }
        Do::Unfollow { process, id } => {
            (format!("process {process} follows {} no longer", id.0), "action")
        }
        Do::Update { process, group, .. } => {
            (format!("process {process} edits the configuration of {group}"), "action")
        }
        Do::Call { process, .. } => (format!("process {process} makes a call"), "action"),
        Do::Abandon { process, id } => {
            (format!("process {process} gives up operation {}", id.0), "action")
        }
        Do::Shutdown { process, .. } => (format!("process {process} shuts down"), "action"),
        Do::AddProcess {} => ("one process more starts".to_owned(), "action"),
        Do::Crash { process } => (format!("process {process} crashes"), "fault"),
        Do::Restart { process } => (format!("process {process} starts again"), "fault"),
        Do::Pause { process } => (format!("process {process} is held"), "fault"),
        Do::Resume { process } => (format!("process {process} goes on"), "heal"),
        Do::Clock { process, drift_permille: 0 } => {
            (format!("process {process} has a true clock"), "heal")
        }
        Do::Clock { process, drift_permille } => {
            (format!("process {process}'s clock runs {drift_permille:+} in 1000"), "fault")
        }
        Do::Cut { process, member, way, .. } => {
            let way = match way {
                Cut::Up => "to",
                Cut::Down => "from",
                Cut::Both => "between it and",
            };
            (format!("process {process} is cut off: nothing passes {way} {}", all(member)), "fault")
        }
        Do::Heal { process, member } => {
            (format!("process {process} reaches {} again", all(member)), "heal")
        }
        Do::Reset { process, member } => {
            (format!("the connection of process {process} to {} breaks", all(member)), "fault")
        }
        Do::Blackhole { process, member } => {
            let whose = all(member);
            (format!("the connection of process {process} to {whose} dies unnoticed"), "fault")
        }
        Do::Lose { process, count, .. } => {
            (format!("{count} messages of process {process} are lost"), "fault")
        }
        Do::Slow { process, extra_ms: 0, .. } => {
            (format!("the link of process {process} is fast again"), "heal")
        }
        Do::Slow { process, extra_ms, .. } => {
            (format!("messages of process {process} take {extra_ms} ms longer"), "fault")
        }
        Do::Store { fault } => store_fault(*fault),
        Do::Member { member, fault } => member_fault(*member, *fault),
        Do::Lead { member } => (format!("member {member} is to lead"), "store"),
        Do::Rights { may } => match may {
            Rights::All => ("processes may do everything".to_owned(), "heal"),
            Rights::Read => ("processes may only read".to_owned(), "fault"),
            Rights::Nothing => ("processes may do nothing".to_owned(), "fault"),
        },
        Do::Password { right: true } => ("the password is the right one again".to_owned(), "heal"),
        Do::Password { right: false } => ("the password is changed".to_owned(), "fault"),
        Do::Compact { .. } => ("the store forgets its history".to_owned(), "compacted"),
        Do::Expire { lease } => (format!("the time of lease {lease} is over"), "fault"),
        Do::Revoke { lease } => (format!("an operator revokes lease {lease}"), "fault"),
        Do::RevokeOf { key } => (format!("an operator revokes the lease of {key}"), "fault"),
        Do::DeleteKey { key } => (format!("a stranger deletes {key}"), "fault"),
        Do::PutKey { key, .. } => (format!("a stranger writes {key}"), "fault"),
        Do::MoveKey { key, .. } => (format!("a stranger moves {key} to another lease"), "fault"),
        Do::Crowd { group, count, .. } => {
            (format!("{count} instances of strangers come to {group}"), "action")
        }
        Do::Mend { .. } => ("everything heals".to_owned(), "heal"),
    }
}

fn store_fault(fault: StoreFault) -> (String, &'static str) {
    let (words, kind) = match fault {
        StoreFault::Restart => ("the store restarts", "fault"),
        StoreFault::Stop => ("the store stops", "fault"),
        StoreFault::Start => ("the store starts", "heal"),
        StoreFault::Pause => ("the store is held", "fault"),
        StoreFault::Resume => ("the store goes on", "heal"),
        StoreFault::LoseLeader => ("the store loses its leader", "fault"),
        StoreFault::RegainLeader => ("the store may have a leader again", "heal"),
        StoreFault::Fill => ("the store is full", "fault"),
        StoreFault::MakeRoom => ("the store has room again", "heal"),
        StoreFault::Wipe => ("the store loses all its data", "fault"),
        StoreFault::Backup => ("a backup of the store is taken", "store"),
        StoreFault::Restore => ("the store is put back to its backup", "fault"),
        StoreFault::Replace => ("another, empty cluster takes the store's place", "fault"),
    };
    (words.to_owned(), kind)
}

fn member_fault(member: u16, fault: MemberFault) -> (String, &'static str) {
    let (words, kind) = match fault {
        MemberFault::Restart => ("restarts", "fault"),
        MemberFault::Stop => ("stops", "fault"),
        MemberFault::Start => ("starts", "heal"),
        MemberFault::Pause => ("is held", "fault"),
        MemberFault::Resume => ("goes on", "heal"),
        MemberFault::CutOff => ("is cut off from the other members", "fault"),
        MemberFault::Rejoin => ("is with the other members again", "heal"),
        MemberFault::Lag => ("applies nothing more", "fault"),
        MemberFault::CatchUp => ("catches up", "heal"),
    };
    (format!("member {member} {words}"), kind)
}
