//! What is shown of a moment: a pure function of a session, as JSON for the page.

mod wire;

use std::collections::BTreeSet;

use portolan_core::Time;
use portolan_core::engine::{Content, Freshness, RegistrationEvent};
use portolan_core::layout::Decoded;
use portolan_core::waist::{Key, LeaseId};
use serde::{Deserialize, Serialize};

use crate::belief::{Believer, Difference, Registered, Shown};
use crate::play::{Losses, Play};
use crate::session::Session;
use crate::words;
pub use wire::message_id;
use wire::{LinkView, MessageView, Vanished};

/// What is asked for.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Which of two sides.
    pub side: Side,
    /// Things of which everything is shown: `process:3`, `store`.
    pub focus: Vec<String>,
    /// The most rows of each list of all else; 12, if it does not say.
    pub rows: Option<usize>,
    /// The most rows of each list of a process that is not in focus; as `rows`, if it does not say.
    pub other_rows: Option<usize>,
    /// And of what is in focus; 1,000, if it does not say.
    pub focus_rows: Option<usize>,
}

/// One of two sides that run in step.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Side {
    /// The plan as it is.
    #[default]
    Main,
    /// The same with other clients.
    Beside,
}

/// A moment.
#[derive(Debug, Serialize)]
pub struct View {
    now_ms: f64,
    at: String,
    end: Option<End>,
    healed_ms: Option<f64>,
    lasts_ms: u64,
    last_step_ms: f64,
    heals_ms: f64,
    processes: Vec<ProcessView>,
    members: Vec<MemberView>,
    store: StoreView,
    leases: Vec<LeaseView>,
    more_leases: usize,
    links: Vec<LinkView>,
    messages: Vec<MessageView>,
    more_messages: usize,
    vanished: Vec<Vanished>,
    told: Vec<Told>,
    checks: ChecksView,
    /// In how many places what processes believe is not what is stored.
    differs: usize,
    /// What the clients beside have lost.
    beside: Option<Losses>,
}

#[derive(Debug, Serialize)]
struct End {
    why: &'static str,
    words: String,
}

#[derive(Debug, Serialize)]
struct ProcessView {
    n: usize,
    run: Option<String>,
    life: &'static str,
    client: &'static str,
    drift_permille: i16,
    waiting: usize,
    registrations: Vec<RegistrationView>,
    more_registrations: usize,
    directories: Vec<DirectoryView>,
}

#[derive(Debug, Serialize)]
struct RegistrationView {
    id: u64,
    name: String,
    key: Option<String>,
    state: &'static str,
    words: String,
    lease: Option<String>,
}

#[derive(Debug, Serialize)]
struct DirectoryView {
    id: u64,
    title: String,
    freshness: &'static str,
    since_ms: Option<f64>,
    revision: i64,
    guarded: bool,
    believed: usize,
    differs: usize,
    rows: Vec<RowView>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct RowView {
    key: String,
    name: String,
    state: &'static str,
    revision: i64,
    difference: Option<Difference>,
}

#[derive(Debug, Serialize)]
struct MemberView {
    n: u16,
    up: bool,
    leads: bool,
    revision: i64,
    cut_off: bool,
    lags: bool,
    full: bool,
}

#[derive(Debug, Serialize)]
struct StoreView {
    revision: i64,
    compacted: Option<i64>,
    works: bool,
    users: bool,
    backup: bool,
    keys: usize,
    rows: Vec<StoredView>,
    more: usize,
}

#[derive(Debug, Serialize)]
struct StoredView {
    key: String,
    name: String,
    kind: &'static str,
    revision: i64,
    lease: Option<String>,
    words: String,
}

#[derive(Debug, Serialize)]
struct LeaseView {
    id: String,
    ttl_ms: f64,
    left_ms: Option<f64>,
    keys: usize,
    owner: Option<u16>,
}

#[derive(Debug, Serialize)]
struct Told {
    process: usize,
    at_ms: f64,
    words: String,
    tone: &'static str,
}

#[derive(Debug, Serialize)]
struct ChecksView {
    looks: u64,
    violations: usize,
}

impl View {
    /// What is shown of one side.
    pub fn of(play: &Play, options: &Options) -> Self {
        let (session, now) = (play.side(options.side), play.at());
        let (world, runner, plan) = (session.world(), session.runner(), session.plan());
        let in_focus = |what: &str| options.focus.iter().any(|focus| focus == what);
        let rows = options.rows.unwrap_or(12).min(MOST_ROWS);
        let other_rows = options.other_rows.unwrap_or(rows).min(MOST_ROWS);
        let focus_rows = options.focus_rows.unwrap_or(MOST_ROWS).min(MOST_ROWS);
        let rows_of = |n: usize| {
            if in_focus(&format!("process:{n}")) { focus_rows } else { other_rows }
        };
        let checks = runner.checks();
        let healed = runner.has_healed();
        let (messages, more_messages) = wire::messages(session);
        let (leases, more_leases) = leases(session);
        Self {
            now_ms: millis(now),
            at: now.to_string(),
            end: end(session),
            healed_ms: healed.then(|| millis(plan.heals())),
            lasts_ms: plan.lasts_ms,
            last_step_ms: millis(plan.last()),
            heals_ms: millis(plan.heals()),
            processes: (0..world.processes().len())
                .map(|n| process(session, n, rows_of(n)))
                .collect(),
            members: members(session),
            store: store(session, if in_focus("store") { focus_rows } else { rows }),
            leases,
            more_leases,
            links: wire::links(session),
            messages,
            more_messages,
            vanished: wire::vanished(session),
            told: told(session),
            checks: ChecksView {
                looks: checks.looked().values().sum(),
                violations: checks.violations().len(),
            },
            differs: session.beliefs().differs(),
            beside: play.losses(),
        }
    }
}

/// A moment in milliseconds, for a page that draws it.
pub fn millis(at: Time) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a page draws no nanoseconds of a hundred days")]
    let nanos = at.as_nanos() as f64;
    nanos / 1e6
}

fn end(session: &Session) -> Option<End> {
    let runner = session.runner();
    if !runner.has_ended() {
        return None;
    }
    Some(match runner.violation() {
        Some(violation) => End { why: "violated", words: violation.to_string() },
        None => {
            let words = "All has healed, and the world has come to rest: every property held.";
            End { why: "rest", words: words.to_owned() }
        }
    })
}

fn process(session: &Session, n: usize, rows: usize) -> ProcessView {
    let world = session.world();
    let there = &world.processes()[n];
    let number = u16::try_from(n).unwrap_or(u16::MAX);
    let believer = session.beliefs().processes.get(n);
    let life = match (there.run(), there.is_held()) {
        (None, _) => "crashed",
        (Some(_), true) => "held",
        (Some(_), false) => "running",
    };
    let known = believer.map_or(0, |believer| believer.registrations.len());
    let registrations: Vec<_> = believer
        .into_iter()
        .flat_map(|believer| &believer.registrations)
        .take(rows)
        .map(|(id, registered)| registration(id.0, registered))
        .collect();
    let clock = there.clock();
    let local = clock.map_or(Time::ZERO, |clock| clock.local(session.at()));
    let directories = believer.into_iter().flat_map(|believer| &believer.directories);
    ProcessView {
        n,
        run: there.run().map(|run| run.to_string()),
        life,
        client: words::client(session.plan().world.subjects.of(number)),
        drift_permille: clock.map_or(0, |clock| clock.drift_permille),
        waiting: believer.map_or(0, Believer::waits_for),
        more_registrations: known - registrations.len(),
        registrations,
        directories: directories
            .map(|(id, shown)| directory(session, id.0, shown, local, rows))
            .collect(),
    }
}

fn registration(id: u64, registered: &Registered) -> RegistrationView {
    let lease = match registered.told {
        Some(RegistrationEvent::Registered { lease, .. }) => Some(lease.to_string()),
        _ => None,
    };
    RegistrationView {
        id,
        name: format!("{}/{}", registered.group, registered.name),
        key: registered.key.as_ref().map(ToString::to_string),
        state: words::registration_state(registered.told.as_ref()),
        words: words::registration(registered.told.as_ref()),
        lease,
    }
}

fn directory(session: &Session, id: u64, shown: &Shown, local: Time, rows: usize) -> DirectoryView {
    let snapshot = shown.snapshot.as_ref();
    let (freshness, since) = match snapshot.map(|snapshot| snapshot.freshness) {
        None | Some(Freshness::Unsynced) => ("unsynced", None),
        Some(Freshness::Live) => ("live", None),
        Some(Freshness::Stale { since }) => ("stale", Some(local.since(since))),
    };
    let believed = snapshot.into_iter().flat_map(|snapshot| snapshot.records.keys());
    let missing = shown.differs.iter().filter(|(_, it)| **it == Difference::Missing);
    let total = shown.count() + missing.clone().count();
    let keys: BTreeSet<&Key> = if rows == 0 {
        BTreeSet::new()
    } else {
        // What differs is shown first of all.
        let differing = shown.differs.keys().take(rows);
        differing.chain(believed.take(rows)).collect()
    };
    let shown_rows: Vec<_> =
        keys.into_iter().take(rows).map(|key| row(session, shown, key)).collect();
    DirectoryView {
        id,
        title: words::scope(&shown.scope),
        freshness,
        since_ms: since.map(|since| since.as_secs_f64() * 1e3),
        revision: snapshot.map_or(0, |snapshot| snapshot.revision.0),
        guarded: snapshot.is_some_and(|snapshot| snapshot.guarded),
        believed: shown.count(),
        differs: shown.differs.len(),
        more: total.saturating_sub(shown_rows.len()),
        rows: shown_rows,
    }
}

fn row(session: &Session, shown: &Shown, key: &Key) -> RowView {
    let difference = shown.differs.get(key).copied();
    let record = shown.snapshot.as_ref().and_then(|snapshot| snapshot.records.get(key));
    let (name, state, revision) = match record {
        Some(record) => match &record.content {
            Content::Instance(instance) => {
                (instance.id().to_owned(), words::state(instance.state()), record.mod_revision)
            }
            Content::Config(config) => (config.group().to_string(), "config", record.mod_revision),
        },
        None => {
            let stored = session.world().store().record(key);
            let revision = stored.map_or_else(Default::default, |kv| kv.mod_revision);
            (words::last_part(key), "", revision)
        }
    };
    RowView { key: key.to_string(), name, state, revision: revision.0, difference }
}

fn members(session: &Session) -> Vec<MemberView> {
    let store = session.world().store();
    let view = |view: portolan_memory::MemberView| MemberView {
        n: view.member.0,
        up: view.is_up,
        leads: store.leader() == Some(view.member),
        revision: view.revision.0,
        cut_off: view.is_cut_off,
        lags: view.lags,
        full: view.is_full,
    };
    store.members().map(view).collect()
}

fn store(session: &Session, rows: usize) -> StoreView {
    let store = session.world().store();
    let layout = &session.plan().world.layout;
    let keys = store.records().count();
    let stored: Vec<_> = store
        .records()
        .take(rows)
        .map(|kv| {
            let (kind, name, words) = match layout.decode(&kv.key, &kv.value) {
                Decoded::Instance(instance) => {
                    let name = format!("{}/{}", instance.group(), instance.id());
                    ("instance", name, words::state(instance.state()).to_owned())
                }
                Decoded::Config(config) => {
                    ("config", config.group().to_string(), config.data().as_str().to_owned())
                }
                Decoded::Ignored => ("other", kv.key.to_string(), String::new()),
                Decoded::Bad(bad) => ("other", kv.key.to_string(), bad.to_string()),
            };
            StoredView {
                key: kv.key.to_string(),
                name,
                kind,
                revision: kv.mod_revision.0,
                lease: kv.lease.map(|lease| lease.to_string()),
                words,
            }
        })
        .collect();
    StoreView {
        revision: store.revision().0,
        compacted: store.compacted().map(|revision| revision.0),
        works: store.works(),
        users: session.plan().world.users,
        backup: store.has_backup(),
        keys,
        more: keys - stored.len(),
        rows: stored,
    }
}

fn leases(session: &Session) -> (Vec<LeaseView>, usize) {
    let store = session.world().store();
    let of_one = |view: portolan_memory::LeaseView| LeaseView {
        id: view.lease.to_string(),
        ttl_ms: lossy(view.ttl_secs) * 1e3,
        left_ms: view.expires.map(|at| at.since(session.at()).as_secs_f64() * 1e3),
        keys: view.keys.len(),
        owner: session.beliefs().owner(view.lease),
    };
    let mut leases: Vec<_> = store.leases().map(of_one).collect();
    // Those of strangers last.
    leases.sort_by_key(|lease| lease.owner.is_none());
    cut_to(leases, MOST_LEASES)
}

fn told(session: &Session) -> Vec<Told> {
    let believers = session.beliefs().processes.iter().enumerate();
    let told = believers.filter_map(|(process, believer)| {
        let (at, event) = believer.told.as_ref()?;
        let (words, tone) = words::told(event);
        Some(Told { process, at_ms: millis(*at), words, tone })
    });
    told.collect()
}

fn cut_to<T>(mut all: Vec<T>, most: usize) -> (Vec<T>, usize) {
    let more = all.len().saturating_sub(most);
    all.truncate(most);
    (all, more)
}

#[expect(clippy::cast_precision_loss, reason = "for drawing")]
fn lossy(number: i64) -> f64 {
    number as f64
}

/// A lease by the digits that stand for it everywhere.
pub fn lease_of(digits: &str) -> Option<LeaseId> {
    let (negative, digits) = match digits.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, digits),
    };
    let id = i64::from_str_radix(digits, 16).ok()?;
    LeaseId::new(if negative { -id } else { id })
}

/// The most rows of what is in focus.
const MOST_ROWS: usize = 1_000;
const MOST_LEASES: usize = 200;
