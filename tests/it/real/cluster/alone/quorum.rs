//! Too few members are left, or none, for shorter and for longer than leases last.

use std::time::Instant;

use super::*;
use crate::real::history::Telling;

#[tokio::test]
async fn a_quorum_lost_and_regained_costs_nothing() {
    let mut cluster = cluster();
    // Longer than anything here takes: who is resumed may still lead, with its leases' time over.
    let ttl = Duration::from_secs(60);
    let (ours, theirs) = (registry_of(&cluster, ttl), registry_of(&cluster, ttl));
    let web = ours.group("web").expect("a name");
    let registrations = instances(&web, 50);
    stands(&registrations).await;
    let directories = [&ours, &theirs].map(|at| at.group("web").expect("a name").directory());
    for directory in &directories {
        seen("all", directory, |snapshot| snapshot.len() == 50).await;
    }
    let epoch = directories[0].snapshot().epoch();
    for pair in [[0, 1], [1, 2]] {
        for member in pair {
            cluster[member].pause().expect("it runs");
        }
        for directory in &directories {
            let stale = seen("stale", directory, |snapshot| !snapshot.is_live()).await;
            assert_eq!(stale.len(), 50, "what was known is kept");
        }
        for member in pair {
            cluster[member].resume().expect("it runs");
        }
        for directory in &directories {
            let live = seen("live", directory, Snapshot::is_live).await;
            assert_eq!((live.len(), live.epoch()), (50, epoch));
        }
    }
    stands(&registrations).await;
    let url = cluster[2].client_url();
    for directory in &directories {
        agrees(&url, directory, "/portolan/instances/web/").await;
    }
    assert_eq!(absences(&url, "/portolan/instances/").await, 0);
    drop(registrations);
    assert!(soon("closed", ours.shutdown()).await && soon("closed", theirs.shutdown()).await);
}

/// All leases of twenty processes end in one moment; what they held comes back, not in one moment.
#[tokio::test]
async fn what_was_lost_while_all_was_silent_comes_back_spread() {
    const EACH: usize = 10;
    const PROCESSES: usize = 20;
    /// By then pauses between attempts have grown to some seconds.
    const SILENT: Duration = Duration::from_secs(20);
    let mut cluster = cluster();
    let ttl = Duration::from_secs(3);
    let processes: Vec<_> = (0..PROCESSES).map(|_| registry_of(&cluster, ttl)).collect();
    let mut registrations = Vec::new();
    for (number, process) in processes.iter().enumerate() {
        let group = process.group(&format!("group-{number}")).expect("a name");
        registrations.extend(instances(&group, EACH));
    }
    stands(&registrations).await;
    let reader = registry_of(&cluster, ttl);
    let directory = reader.directory(portolan::Scope::AllInstances);
    let all = EACH * PROCESSES;
    let before = seen("all", &directory, |snapshot| snapshot.len() == all).await;
    let telling =
        Telling::from(&cluster[0].client_url(), "/portolan/", before.revision().0 + 1).await;
    for member in cluster.members_mut() {
        member.pause().expect("it runs");
    }
    let paused = Instant::now();
    let stale = seen("stale", &directory, |snapshot| !snapshot.is_live()).await;
    assert_eq!(stale.len(), all, "what was known is kept");
    for registration in &registrations {
        let lost = |state: &RegistrationState| matches!(state, RegistrationState::Lost { .. });
        soon("lost", registration.wait_for(lost)).await;
    }
    tokio::time::sleep(SILENT.saturating_sub(paused.elapsed())).await;
    assert_eq!(directory.snapshot().len(), all, "what was known is kept");
    let resumed = Instant::now();
    for member in cluster.members_mut() {
        member.resume().expect("it runs");
    }
    stands(&registrations).await;
    let url = cluster[0].client_url();
    let back = agrees(&url, &directory, "/portolan/instances/").await;
    // A group's leases are one each here, too few for the guard.
    assert_eq!((back.len(), back.is_guarded()), (all, false));
    // Each stands on a lease of its own process, and has been written only as often as it was lost.
    let events = telling.end(&url).await;
    let mut first = BTreeMap::new();
    let mut writes = BTreeMap::<_, (usize, usize)>::new();
    for (at, event) in &events {
        let (puts, losses) = writes.entry(event.key.clone()).or_default();
        if event.now.is_some() {
            *puts += 1;
            let group = event.key.split('/').nth(3).expect("a group").to_owned();
            first.entry(group).or_insert((at.duration_since(resumed), event.revision));
        } else {
            *losses += 1;
        }
    }
    assert_eq!((first.len(), writes.len()), (PROCESSES, all), "all were written again");
    for (key, (puts, losses)) in &writes {
        assert!(*puts <= losses + 1, "{key}: {puts} writes, {losses} losses");
    }
    let revisions: BTreeSet<_> = first.values().map(|(_, revision)| revision).collect();
    assert_eq!(revisions.len(), PROCESSES, "each by itself");
    // Half of them or so wait for an answer in that moment, and get it. The others are between two
    // attempts, each for as long as was drawn.
    let times: Vec<_> = first.values().map(|(after, _)| *after).collect();
    let (soonest, latest) = (times.iter().min().expect("some"), times.iter().max().expect("some"));
    assert!(*latest - *soonest > Duration::from_millis(200), "all at once: {times:?}");
    drop(registrations);
    for process in processes.into_iter().chain([reader]) {
        assert!(soon("closed", process.shutdown()).await);
    }
}
