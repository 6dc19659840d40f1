use portolan::Change;

use super::super::chaos::{Chaos, faults};
use super::super::figures::Figures;
use super::*;
use crate::real::history::{content, history};

/// For so many seconds; an hour by hand:
/// `PORTOLAN_CHAOS_SECS=3600 cargo test -p portolan --test it -- --nocapture again_and_again`.
fn chaos_lasts() -> Duration {
    let given = std::env::var("PORTOLAN_CHAOS_SECS").ok();
    Duration::from_secs(given.map_or(120, |text| text.parse().expect("PORTOLAN_CHAOS_SECS")))
}

/// 300 registrations in one registry and 20 directories in two others live through the leader's
/// death every few seconds; meanwhile others come and go, and one changes its content.
///
/// Who judges is a raw client that reads the whole history afterwards: at no revision is a record
/// absent that its owner did not remove. Directories are seen never to show one as removed either.
#[tokio::test]
async fn leader_is_killed_again_and_again() {
    const GROUPS: usize = 20;
    const EACH: usize = 15;
    const PREFIX: &str = "/portolan/instances/";
    let figures = Figures::default();
    let _figures = metrics::set_default_local_recorder(&figures);
    let lasting = chaos_lasts();
    let cluster = cluster();
    let registry = || patient().endpoints(cluster.client_urls()).build();
    let [ours, first, second] = [(), (), ()].map(|()| registry().expect("addresses"));

    let mut marks = BTreeMap::new();
    let mut described = |group: &Group, id: &str, port: usize| {
        let address = format!("10.0.0.7:{port}");
        marks.insert(format!("{PREFIX}{}/{id}", group.name()), address.clone());
        let builder = group.instance(id).expect("a name").endpoint("http", &address);
        builder.build().expect("an instance")
    };
    let mut registrations = Vec::new();
    let mut directories = Vec::new();
    for number in 0..GROUPS {
        let name = format!("group-{number}");
        let group = ours.group(&name).expect("a name");
        for each in 0..EACH {
            let instance = described(&group, &format!("i{each}"), 1_000 + number * EACH + each);
            registrations.push(group.register(instance).expect("it can be registered"));
        }
        let theirs = if number % 2 == 0 { &first } else { &second };
        directories.push(theirs.group(&name).expect("a name").directory());
    }
    stands(&registrations).await;
    let mut watched = Vec::new();
    for directory in &directories {
        seen("all", directory, |snapshot| snapshot.len() == EACH).await;
        let mut changes = directory.changes();
        watched.push(tokio::spawn(async move {
            let mut removed = 0;
            while let Some(difference) = changes.next().await {
                let gone = |change: &&Change| matches!(change, Change::Removed { .. });
                removed += difference.changes.iter().filter(gone).count();
                if difference.snapshot.is_empty() {
                    // They are shut down.
                    return removed - EACH;
                }
            }
            panic!("the registry was closed")
        }));
    }

    let chaos = Chaos::begin(cluster, lasting);
    let guests = ours.group("guests").expect("a name");
    let mut resident = guests.register(described(&guests, "resident", 5_000)).expect("it can be");
    let mut removed = BTreeSet::new();
    let mut rounds = 0;
    while !chaos.is_over() {
        rounds += 1;
        let id = format!("guest-{rounds}");
        let guest = guests.register(described(&guests, &id, 10_000 + rounds)).expect("it can be");
        soon("registered", guest.ready()).await.expect("it stands");
        let instance = described(&guests, "resident", 5_000)
            .with_state([portolan::State::OutOfService, portolan::State::Ready][rounds % 2]);
        resident.update(instance).expect("it can be written");
        soon("written", resident.ready()).await.expect("it stands");
        removed.insert(format!("{PREFIX}guests/{id}"));
        guest.deregister().await.expect("it is confirmed");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let (cluster, report) = chaos.end();

    soon("well", ours.wait_for_status(portolan::Status::is_well)).await.expect("open");
    let url = cluster[0].client_url();
    for (number, directory) in directories.iter().enumerate() {
        let prefix = format!("{PREFIX}group-{number}/");
        let truth: BTreeMap<_, _> = content(&url, &prefix).await.into_iter().collect();
        assert_eq!(truth.len(), EACH);
        seen(&prefix, directory, |snapshot| snapshot.is_live() && shown(snapshot) == truth).await;
    }
    assert_eq!(content(&url, &format!("{PREFIX}guests/")).await.len(), 1, "one has stayed");
    let told = faults(&history(&url, "/portolan/").await, &marks, &removed);
    assert!(told.is_empty(), "{} faults:\n{}", told.len(), told.join("\n"));

    let (done, failed) = (
        figures.sum("portolan_answers_total{outcome=done}"),
        figures.sum("portolan_answers_total{outcome=not_done}")
            + figures.sum("portolan_answers_total{outcome=unknown}"),
    );
    let moves = figures.sum("portolan_member_changes_total");
    report_of(&format!(
        "{report:?}, {rounds} guests, {done} answers, {failed} failures, {moves} times another member"
    ));
    // For each kill, every directory and the few machines beside them (leases, batches, own
    // watches) may fail as often as their backoff lets them in an election (EF1: seven times in
    // some four seconds), and then asks thrice: a watch, a check of where it begins, a status.
    let (machines, kills) = (GROUPS as u64 + 12, report.kills);
    assert!(failed <= kills * machines * 7, "{failed} failures in {kills} kills");
    // Renewals, and the guests' requests.
    let routine = lasting.as_secs() + 30 * rounds as u64;
    assert!(report.served <= kills * machines * 10 + routine, "{report:?}");
    drop(resident);
    drop(registrations);
    for watching in watched {
        let removed = soon("told", watching).await.expect("it ends well");
        assert_eq!(removed, 0, "shown as removed while it was wanted");
    }
    for registry in [ours, first, second] {
        assert!(soon("closed", registry.shutdown()).await);
    }
}

/// Shown with `--nocapture`: what there was to judge.
#[allow(clippy::print_stdout)]
fn report_of(text: &str) {
    println!("{text}");
}
