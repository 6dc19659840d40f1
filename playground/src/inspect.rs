//! One thing in words: what it is, how it stands, what it means, what can be done to it.

use portolan_core::Time;
use portolan_core::engine::{DirectoryId, RegistrationId};
use portolan_core::layout::Decoded;
use portolan_core::waist::{Key, MemberId};
use portolan_sim::Property;
use serde::Serialize;
use serde_json::{Value, json};

use crate::session::Session;
use crate::view::{lease_of, message_id, millis};
use crate::words;

/// A thing in words.
#[derive(Debug, Serialize)]
pub struct Inspected {
    title: String,
    meaning: String,
    facts: Vec<(String, String)>,
    see: Vec<See>,
    can: Vec<Can>,
}

#[derive(Debug, Serialize)]
struct See {
    label: String,
    what: String,
}

#[derive(Debug, Serialize)]
struct Can {
    label: String,
    action: Value,
}

impl Inspected {
    fn of(title: impl Into<String>, meaning: impl Into<String>) -> Self {
        let (title, meaning) = (title.into(), meaning.into());
        Self { title, meaning, facts: Vec::new(), see: Vec::new(), can: Vec::new() }
    }

    fn fact(mut self, label: &str, value: impl ToString) -> Self {
        self.facts.push((label.to_owned(), value.to_string()));
        self
    }

    fn see(mut self, label: impl Into<String>, what: impl Into<String>) -> Self {
        self.see.push(See { label: label.into(), what: what.into() });
        self
    }

    fn can(mut self, label: &str, action: Value) -> Self {
        self.can.push(Can { label: label.to_owned(), action });
        self
    }
}

/// Says what a thing is.
///
/// # Errors
/// There is no such thing now.
pub fn inspect(session: &Session, what: &str) -> Result<Inspected, String> {
    let (kind, rest) = what.split_once(':').unwrap_or((what, ""));
    let found = match kind {
        "process" => rest.parse().ok().and_then(|n| process(session, n)),
        "member" => rest.parse().ok().and_then(|n| member(session, n)),
        "link" => two(rest).and_then(|(process, member)| link(session, process, member)),
        "directory" => two(rest).and_then(|(process, id)| directory(session, process, id)),
        "registration" => two(rest).and_then(|(process, id)| registration(session, process, id)),
        "lease" => lease(session, rest),
        "key" => Some(key(session, rest)),
        "message" => message(session, rest),
        "check" => check(session, rest),
        "store" => Some(store(session)),
        _ => None,
    };
    found.ok_or_else(|| format!("there is no {what:?} at this moment"))
}

fn two<A: std::str::FromStr, B: std::str::FromStr>(text: &str) -> Option<(A, B)> {
    let (first, second) = text.split_once(':')?;
    Some((first.parse().ok()?, second.parse().ok()?))
}

fn process(session: &Session, n: u16) -> Option<Inspected> {
    let there = session.world().processes().get(usize::from(n))?;
    let client = words::client(session.plan().world.subjects.of(n));
    let life = match (there.run(), there.is_held()) {
        (None, _) => "crashed: it does not run",
        (Some(_), true) => "held: it hears nothing, and does not know it",
        (Some(_), false) => "running",
    };
    let mut it = Inspected::of(
        format!("Process {n}"),
        "A program with a client of the registry in it. It registers instances under leases, and \
         believes of others what its directories show.",
    )
    .fact("State", life)
    .fact("Client", client);
    if let Some(run) = there.run() {
        it = it.fact("Run", format!("{run}, started {} times", run.start));
    }
    if let Some(clock) = there.clock() {
        let local = clock.local(session.at());
        it = it.fact("Its clock", format!("{local} since it started{clock}"));
    }
    if let Some(believer) = session.beliefs().processes.get(usize::from(n)) {
        for (id, registered) in &believer.registrations {
            let state = words::registration(registered.told.as_ref());
            it = it
                .fact(&format!("{}/{}", registered.group, registered.name), state)
                .see(format!("Registration {}", id.0), format!("registration:{n}:{}", id.0));
        }
        for (id, shown) in &believer.directories {
            let title = words::scope(&shown.scope);
            let count = shown.count();
            it = it
                .fact(&format!("Directory of {title}"), format!("shows {count} instances"))
                .see(format!("Directory of {title}"), format!("directory:{n}:{}", id.0));
        }
        it = it.fact("Waits for", format!("{} answers", believer.waits_for()));
        for (attempt, asked) in believer.waiting.iter().take(8) {
            it = it.fact(&attempt.to_string(), format!("{} since {}", asked.request, asked.at));
        }
    }
    for member in 0..session.world().setup().members {
        it = it.see(format!("Link to member {member}"), format!("link:{n}:{member}"));
    }
    let of = json!({"process": n});
    it = match (there.run(), there.is_held()) {
        (None, _) => it.can("Start again", json!({"restart": of})),
        (Some(_), true) => it
            .can("Go on", json!({"resume": of}))
            .can("Crash", json!({"crash": of}))
            .can("Restart", json!({"restart": of})),
        (Some(_), false) => it
            .can("Crash", json!({"crash": of}))
            .can("Restart", json!({"restart": of}))
            .can("Hold", json!({"pause": of}))
            .can("Shut down", json!({"shutdown": {"process": n, "within_ms": 5000}})),
    };
    Some(
        it.can("Cut off", json!({"cut": {"process": n, "way": "both"}}))
            .can("Reach again", json!({"heal": of}))
            .can("Fast clock", json!({"clock": {"process": n, "drift_permille": 200}}))
            .can("True clock", json!({"clock": {"process": n, "drift_permille": 0}})),
    )
}

fn member(session: &Session, n: u16) -> Option<Inspected> {
    let store = session.world().store();
    let view = store.members().find(|view| view.member == MemberId(n))?;
    let leads = store.leader() == Some(view.member);
    let it = Inspected::of(
        format!("Member {n} of the store"),
        "One of etcd's servers. They agree on every write by majority; one of them leads, and counts \
         the leases' time.",
    )
    .fact("State", if view.is_up { "runs" } else { "stopped or held" })
    .fact("Leads", if leads { "yes" } else { "no" })
    .fact("Has applied", format!("up to revision {}", view.revision))
    .fact("Reached by the others", if view.is_cut_off { "no" } else { "yes" })
    .fact("Applies what is agreed on", if view.lags { "no: what it serves is old" } else { "yes" })
    .fact("Room", if view.is_full { "none: writes are refused" } else { "enough" })
    .see("The store", "store");
    let fault = |fault: &str| json!({"member": {"member": n, "fault": fault}});
    let it = if view.is_up {
        it.can("Stop", fault("stop")).can("Hold", fault("pause")).can("Restart", fault("restart"))
    } else {
        it.can("Start", fault("start")).can("Go on", fault("resume"))
    };
    let several = session.world().setup().members > 1;
    Some(match (several, view.is_cut_off, view.lags) {
        (false, ..) => it,
        (true, cut_off, lags) => {
            let it = if cut_off {
                it.can("Rejoin the others", fault("rejoin"))
            } else {
                it.can("Cut off from the others", fault("cut-off"))
            };
            let it = if lags {
                it.can("Catch up", fault("catch-up"))
            } else {
                it.can("Fall behind", fault("lag"))
            };
            it.can("Let it lead", json!({"lead": {"member": n}}))
        }
    })
}

fn link(session: &Session, process: u16, member: u16) -> Option<Inspected> {
    let world = session.world();
    world.processes().get(usize::from(process))?;
    (member < world.setup().members).then_some(())?;
    let link = world.link(process, MemberId(member));
    use portolan_sim::plan::Cut;
    let cut = match link.cut {
        None => "carries both ways",
        Some(Cut::Up) => "cut towards the store: answers arrive, requests do not",
        Some(Cut::Down) => "cut from the store: requests arrive, answers do not",
        Some(Cut::Both) => "cut both ways",
    };
    let of = json!({"process": process, "member": member});
    let with = |more: Value| {
        let mut all = of.clone();
        if let (Some(all), Some(more)) = (all.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        all
    };
    let connection = match (link.client, link.is_dead) {
        (None, _) => "none".to_owned(),
        (Some(client), false) => client.to_string(),
        (Some(client), true) => format!("{client}, which is dead; nobody has noticed"),
    };
    Some(
        Inspected::of(
            format!("Link of process {process} to member {member}"),
            "What passes between a process and a server of the store. What is written to a cut link \
             waits there; neither end is told.",
        )
        .fact("State", cut)
        .fact("Connection", connection)
        .fact("Slower by", format!("{} ms", link.extra.as_millis()))
        .fact("Calls that it will lose", link.losing)
        .see(format!("Process {process}"), format!("process:{process}"))
        .see(format!("Member {member}"), format!("member:{member}"))
        .can("Cut both ways", json!({"cut": with(json!({"way": "both"}))}))
        .can("Cut towards the store", json!({"cut": with(json!({"way": "up"}))}))
        .can("Cut from the store", json!({"cut": with(json!({"way": "down"}))}))
        .can("Carry again", json!({"heal": of}))
        .can("Slow: 400 ms more", json!({"slow": with(json!({"extra_ms": 400}))}))
        .can("Fast again", json!({"slow": with(json!({"extra_ms": 0}))}))
        .can("Lose 5 requests", json!({"lose": with(json!({"way": "up", "count": 5}))}))
        .can("Lose 5 answers", json!({"lose": with(json!({"way": "down", "count": 5}))}))
        .can("Reset its connection", json!({"reset": of}))
        .can("Let it die unnoticed", json!({"blackhole": of})),
    )
}

fn directory(session: &Session, process: u16, id: u64) -> Option<Inspected> {
    let believer = session.beliefs().processes.get(usize::from(process))?;
    let shown = believer.directories.get(&DirectoryId(id))?;
    let snapshot = shown.snapshot.as_ref();
    let mut it = Inspected::of(
        format!("Directory of {} in process {process}", words::scope(&shown.scope)),
        "What this process believes to be there. It is the store's content at one revision, and follows \
         it by a watch; when it cannot be sure, it says that it may be old.",
    )
    .fact("Shows", format!("{} records", shown.count()))
    .fact("At revision", snapshot.map_or(0, |snapshot| snapshot.revision.0))
    .fact("Told last", shown.told_at)
    .fact("Differs from the store in", format!("{} records", shown.differs.len()));
    if let Some(snapshot) = snapshot {
        it = it.fact("Trust", format!("{:?}", snapshot.freshness)).fact(
            "Kept apart by its guard",
            format!("{} that vanished together", snapshot.suspects.len()),
        );
        for key in snapshot.records.keys().take(20) {
            it = it.see(words::last_part(key), format!("key:{key}"));
        }
    }
    Some(it.see(format!("Process {process}"), format!("process:{process}")))
}

fn registration(session: &Session, process: u16, id: u64) -> Option<Inspected> {
    let believer = session.beliefs().processes.get(usize::from(process))?;
    let registered = believer.registrations.get(&RegistrationId(id))?;
    let mut it = Inspected::of(
        format!("{}/{} of process {process}", registered.group, registered.name),
        "An instance that this process announces. It stands in the store as a record on a lease; when \
         the lease ends, so does the record.",
    )
    .fact("State", words::registration(registered.told.as_ref()))
    .fact("Told", registered.told_at);
    if let Some(key) = &registered.key {
        it = it.fact("Key", key).see("Its record", format!("key:{key}"));
    }
    let of = |state: &str| json!({"publish": {"process": process, "id": id, "state": state}});
    Some(
        it.see(format!("Process {process}"), format!("process:{process}"))
            .can("Say that it is draining", of("draining"))
            .can("Say that it is ready", of("ready"))
            .can("Remove it", json!({"deregister": {"process": process, "id": id}})),
    )
}

fn lease(session: &Session, digits: &str) -> Option<Inspected> {
    let id = lease_of(digits)?;
    let view = session.world().store().leases().find(|view| view.lease == id)?;
    let left = match view.expires {
        Some(at) => format!("{:.1} s", at.since(session.at()).as_secs_f64()),
        None => "nobody counts, while there is no leader".to_owned(),
    };
    let mut it = Inspected::of(
        format!("Lease {id}"),
        "A promise of the store to remove what hangs on it, unless it is renewed in time. Each renewal \
         starts its time over.",
    )
    .fact("Time to live", format!("{} s", view.ttl_secs))
    .fact("Time left", left)
    .fact("Records on it", view.keys.len());
    if let Some(owner) = session.beliefs().owner(id) {
        it = it.fact("Granted for", format!("process {owner}"));
        it = it.see(format!("Process {owner}"), format!("process:{owner}"));
    }
    for key in view.keys.iter().take(20) {
        it = it.see(key.to_string(), format!("key:{key}"));
    }
    Some(
        it.can("Let its time be over", json!({"expire": {"lease": digits}}))
            .can("Revoke it", json!({"revoke": {"lease": digits}})),
    )
}

fn key(session: &Session, name: &str) -> Inspected {
    let key = Key::from(name);
    let store = session.world().store();
    let it = Inspected::of(
        name,
        "A key of the store. Each change of any key raises the store's revision by one; watchers are \
         told them in that order.",
    );
    let mut it = match store.record(&key) {
        None => it.fact("State", "not there"),
        Some(kv) => {
            let decoded = session.plan().world.layout.decode(&kv.key, &kv.value);
            let what = match &decoded {
                Decoded::Instance(instance) => {
                    format!("an instance, {}", words::state(instance.state()))
                }
                Decoded::Config(_) => "a group's configuration".to_owned(),
                Decoded::Ignored => "nothing of the registry's".to_owned(),
                Decoded::Bad(bad) => format!("unreadable: {bad}"),
            };
            let mut it = it
                .fact("What", what)
                .fact("Value", &kv.value)
                .fact("Came into being", format!("at revision {}", kv.create_revision))
                .fact("Last changed", format!("at revision {}", kv.mod_revision));
            if let Some(lease) = kv.lease {
                it = it
                    .fact("Hangs on lease", lease)
                    .see(format!("Lease {lease}"), format!("lease:{lease}"))
                    .can("Revoke its lease", json!({"revoke": {"lease": lease.to_string()}}));
            }
            it.can("Delete it as a stranger", json!({"delete-key": {"key": name}})).can(
                "Overwrite it as a stranger",
                json!({"put-key": {"key": name, "value": "not a record"}}),
            )
        }
    };
    let changes = store.log().changes().iter().filter(|change| change.kv.key == key);
    let changes: Vec<_> = changes.collect();
    for change in changes.iter().rev().take(8) {
        let what = if change.kv.version == 0 { "deleted" } else { "written" };
        it = it.fact(&change.at.to_string(), format!("{what} by {}", change.cause));
    }
    it
}

fn message(session: &Session, id: &str) -> Option<Inspected> {
    let all = session.world().travelling();
    let it = all.iter().find(|message| message_id(message) == id)?;
    let (process, member) = (it.run.process, it.member.0);
    let kind = words::kind(&it.carries);
    let arrives = match it.arrives {
        Some(at) => at.to_string(),
        None => "not before its link carries again".to_owned(),
    };
    Some(
        Inspected::of(format!("Message: {kind}"), words::kind_means(kind))
            .fact("Says", words::message(&it.carries))
            .fact("Attempt", format!("{} over {}", it.attempt, it.client))
            .fact("Set out", it.left)
            .fact("Arrives", arrives)
            .see(format!("Process {process}"), format!("process:{process}"))
            .see(format!("Member {member}"), format!("member:{member}"))
            .see("Its link", format!("link:{process}:{member}")),
    )
}

fn check(session: &Session, id: &str) -> Option<Inspected> {
    let property = Property::ALL.iter().copied().find(|property| property.to_string() == id)?;
    let checks = session.runner().checks();
    let looks = checks.looked().get(&property).copied();
    let mut it = Inspected::of(format!("{property}"), format!("It demands: {}.", property.title()));
    it = match looks {
        None => it.fact("State", "this plan is not held to it"),
        Some(0) => it.fact("State", "had nothing to look at yet"),
        Some(looks) => it.fact("Looked", format!("{looks} times")),
    };
    for violation in checks.violations().iter().filter(|it| it.property == property) {
        it = it.fact(&format!("Did not hold at {}", violation.at), &violation.text);
    }
    Some(it)
}

fn store(session: &Session) -> Inspected {
    let store = session.world().store();
    let fault = |fault: &str| json!({"store": {"fault": fault}});
    let leader =
        store.leader().map_or("nobody".to_owned(), |member| format!("member {}", member.0));
    let compacted = store.compacted().map_or("nothing yet".to_owned(), |revision| {
        format!("what was before revision {revision}")
    });
    let mut it = Inspected::of(
        "The store",
        "A model of etcd: keys with revisions, leases, and watches that tell each change in order. It is \
         held against the real one by the project's tests.",
    )
    .fact("Revision", store.revision())
    .fact("Led by", leader)
    .fact("Has forgotten", compacted)
    .fact("Records", store.records().count())
    .fact("Leases", store.leases().count())
    .fact("Now", format!("{} ms", millis(session.at().max(Time::ZERO))));
    for view in store.members() {
        let n = view.member.0;
        it = it.see(format!("Member {n}"), format!("member:{n}"));
    }
    it.can("Forget its history", json!({"compact": {"keep": 0}}))
        .can("Restart", fault("restart"))
        .can("Stop", fault("stop"))
        .can("Start", fault("start"))
        .can("Hold", fault("pause"))
        .can("Go on", fault("resume"))
        .can("Lose its leader", fault("lose-leader"))
        .can("Elect a leader again", fault("regain-leader"))
        .can("Be full", fault("fill"))
        .can("Have room again", fault("make-room"))
        .can("Take a backup", fault("backup"))
        .can("Go back to the backup", fault("restore"))
        .can("Lose all data", fault("wipe"))
        .can("Be replaced by another cluster", fault("replace"))
}
