//! The member in use is of no use: it is silent, cut off, of another cluster, or one of several
//! behind a name.

use std::net::SocketAddr;
use std::time::Instant;

use portolan_kit::Cluster;

use super::super::chaos::served;
use super::super::peers::Peers;
use super::*;

/// What is promised, and what a busy machine may add.
const NOTICED: Duration = Duration::from_secs(10 + 5);
const WEB: &str = "/portolan/instances/web/";

/// Registries until one uses this member.
async fn using(cluster: &Cluster, member: u16) -> Registry {
    for _ in 0..100 {
        let registry = registry_of(cluster, Duration::from_secs(15));
        soon("answered", registry.ready(SOON)).await.expect("it answers");
        if registry.status().member == member {
            return registry;
        }
        registry.shutdown().await;
    }
    panic!("none of a hundred registries begins with member {member}");
}

/// Changes what is registered until all directories show it: how long that took.
async fn followed(
    web: &Group,
    registration: &mut Registration,
    directories: &[&Directory],
) -> Duration {
    let begun = Instant::now();
    registration.update(instance(web, "i0")).expect("it can be written");
    let revision = soon("written", registration.ready()).await.expect("it stands");
    for directory in directories {
        seen("followed", directory, |s| s.is_live() && s.revision() >= revision).await;
    }
    begun.elapsed()
}

#[tokio::test]
async fn a_member_that_falls_silent_is_left() {
    let mut cluster = cluster();
    for member in [0, 1, 2] {
        // One that writes, and one that only listens.
        let (ours, theirs) = (using(&cluster, member).await, using(&cluster, member).await);
        let web = ours.group("web").expect("a name");
        let mut registrations = instances(&web, 10);
        stands(&registrations).await;
        let directories = [&ours, &theirs].map(|at| at.group("web").expect("a name").directory());
        for directory in &directories {
            seen("all", directory, |snapshot| snapshot.len() == 10).await;
        }
        let silent = usize::from(member);
        cluster[silent].pause().expect("it runs");
        let took = followed(&web, &mut registrations[0], &directories.each_ref()).await;
        assert!(took < NOTICED, "{took:?}");
        for registry in [&ours, &theirs] {
            assert_ne!(registry.status().member, member);
        }

        cluster[silent].resume().expect("it runs");
        cluster[silent].wait_healthy(SOON).expect("it is well");
        let url = cluster[silent].client_url();
        followed(&web, &mut registrations[0], &directories.each_ref()).await;
        for directory in &directories {
            assert_eq!(agrees(&url, directory, WEB).await.len(), 10);
        }
        assert_eq!(absences(&url, "/portolan/instances/").await, usize::from(member) * 10);
        drop(registrations);
        assert!(soon("closed", ours.shutdown()).await && soon("closed", theirs.shutdown()).await);
    }
}

/// The other two go on; whoever uses the one that is cut off is soon told that it has no leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_is_cut_off_is_left() {
    let peers = Peers::default();
    let ways = peers.clone();
    let builder = Etcd::builder(Release::V3_5).peers_through(move |to, port| ways.way(to, port));
    let cluster = builder.start_cluster(3).unwrap_or_else(|error| panic!("{error}"));
    let leader = cluster.leader(SOON).unwrap_or_else(|error| panic!("{error}"));
    for cut_off in [leader, (leader + 1) % 3] {
        let member = u16::try_from(cut_off).expect("small");
        let (theirs, ours) =
            (using(&cluster, member).await, using(&cluster, (member + 1) % 3).await);
        let web = ours.group("web").expect("a name");
        let mut registrations = instances(&web, 10);
        stands(&registrations).await;
        let beside = theirs.group("beside").expect("a name");
        let mut of_theirs = instances(&beside, 1);
        stands(&of_theirs).await;
        let directory = theirs.group("web").expect("a name").directory();
        seen("all", &directory, |snapshot| snapshot.len() == 10).await;
        peers.cut(&cluster, cut_off);

        registrations[0].update(instance(&web, "i0")).expect("it can be written");
        let revision = soon("written", registrations[0].ready()).await.expect("it stands");
        let written = Instant::now();
        // How long it says that it is live, and lacks what was written meanwhile.
        let mut believed = Duration::ZERO;
        let mut shows = directory.snapshot();
        while shows.revision() < revision || !shows.is_live() {
            assert!(written.elapsed() < SOON, "{directory:?}");
            if shows.is_live() {
                believed = written.elapsed();
            }
            assert_eq!(shows.len(), 10, "nothing is lost of it");
            tokio::time::sleep(Duration::from_millis(20)).await;
            shows = directory.snapshot();
        }
        // A quiet watch is trusted for 5 s, a probe and the read after it take 3 s each.
        assert!(believed < Duration::from_secs(11 + 5), "{believed:?}");
        assert_ne!(theirs.status().member, member);
        of_theirs[0].update(instance(&beside, "i0")).expect("it can be written");
        soon("written", of_theirs[0].ready()).await.expect("it stands");

        peers.heal();
        let healed = &cluster[cut_off];
        let healthy = async {
            while !healed.is_healthy() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        soon("healthy", healthy).await;
        assert_eq!(agrees(&healed.client_url(), &directory, WEB).await.len(), 10);
        drop((registrations, of_theirs));
        assert!(soon("closed", ours.shutdown()).await && soon("closed", theirs.shutdown()).await);
    }
}

#[tokio::test]
async fn a_name_of_several_members_leads_to_another_when_one_falls_silent() {
    let mut cluster = cluster();
    let places: Vec<_> = cluster
        .members()
        .iter()
        .map(|member| SocketAddr::from(([127, 0, 0, 1], member.client_port())))
        .collect();
    let registry = patient()
        .endpoints(["etcd.test:2379"])
        .resolver(move |host, port| {
            assert_eq!((host.as_str(), port), ("etcd.test", 2379));
            let places = places.clone();
            async move { Ok(places) }
        })
        .build()
        .expect("an address");
    let web = registry.group("web").expect("a name");
    let mut registrations = instances(&web, 10);
    stands(&registrations).await;
    let directory = web.directory();
    seen("all", &directory, |snapshot| snapshot.len() == 10).await;
    // Twice, so that it is not chance that another one is reached.
    let mut before = [0; 3];
    for _ in 0..2 {
        // Whoever has begun to serve most lately is the one in use.
        let now = [0, 1, 2].map(|place| served(&cluster[place]));
        let used = (0..3).max_by_key(|&place| now[place] - before[place]).expect("three");
        assert!(now[used] > before[used], "{before:?} {now:?}");
        cluster[used].pause().expect("it runs");
        let took = followed(&web, &mut registrations[0], &[&directory]).await;
        assert!(took < NOTICED, "{took:?}");
        assert!(took > Duration::from_secs(1), "{took:?}: it was not in use");
        cluster[used].resume().expect("it runs");
        cluster[used].wait_healthy(SOON).expect("it is well");
        before[used] = served(&cluster[used]);
        for other in (0..3).filter(|&other| other != used) {
            before[other] = now[other];
        }
    }
    let url = cluster[0].client_url();
    assert_eq!(agrees(&url, &directory, WEB).await.len(), 10);
    assert_eq!(absences(&url, "/portolan/instances/").await, 0);
    drop(registrations);
    assert!(soon("closed", registry.shutdown()).await);
}

#[tokio::test]
async fn a_wrong_address_gets_no_records() {
    let mut cluster = cluster();
    let stranger = etcd();
    let told = |status: &portolan::Status| {
        status.last_failure.as_ref().is_some_and(|text| text.contains("cluster"))
    };
    // Chance says whom a process asks first.
    let (ours, theirs) =
        ([cluster[0].client_url(), cluster[1].client_url()], stranger.client_url());
    for _ in 0..8 {
        let registry = patient().endpoints([&theirs, &ours[0], &ours[1]]).build();
        let registry = registry.expect("addresses");
        soon("answered", registry.ready(SOON)).await.expect("it answers");
        soon("told", registry.wait_for_status(told)).await.expect("open");
        assert_ne!(registry.status().member, 0);
        assert!(soon("closed", registry.shutdown()).await);
    }
    let registry = patient().endpoints([&ours[0], &ours[1], &theirs]).build().expect("addresses");
    soon("answered", registry.ready(SOON)).await.expect("it answers");
    assert!(registry.status().member < 2);
    let web = registry.group("web").expect("a name");
    let mut registrations = instances(&web, 10);
    stands(&registrations).await;
    let directory = web.directory();
    let epoch = seen("all", &directory, |snapshot| snapshot.len() == 10).await.epoch();
    for round in 0.. {
        assert!(round < 10, "it never came to the stranger: {:?}", registry.status());
        let used = usize::from(registry.status().member);
        cluster[used].kill().expect("it runs");
        let wrong = tokio::time::timeout(Duration::from_secs(5), registry.wait_for_status(told));
        let shown = [&directory];
        let (_, wrong) = tokio::join!(followed(&web, &mut registrations[0], &shown), wrong);
        cluster[used].restart().unwrap_or_else(|error| panic!("{error}"));
        if wrong.is_ok() {
            break;
        }
    }
    assert_eq!(content(&stranger, ""), BTreeMap::new(), "nothing has gone to the stranger");

    // And when it is the only one that answers.
    for member in [0, 1] {
        cluster[member].kill().expect("it runs");
    }
    let stale = seen("stale", &directory, |snapshot| !snapshot.is_live()).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!((stale.len(), directory.snapshot().len()), (10, 10), "what was known is kept");
    for member in [0, 1] {
        cluster[member].launch().expect("it starts");
    }
    followed(&web, &mut registrations[0], &[&directory]).await;
    assert_eq!(content(&stranger, ""), BTreeMap::new(), "nothing has gone to the stranger");
    let url = cluster[0].client_url();
    let snapshot = agrees(&url, &directory, WEB).await;
    assert_eq!((snapshot.len(), snapshot.epoch()), (10, epoch));
    assert_eq!(absences(&url, "/portolan/instances/").await, 0);
    drop(registrations);
    assert!(soon("closed", registry.shutdown()).await);
}

/// Waits until the member has told its list of members to somebody.
async fn listed(etcd: &Etcd) {
    let told = async {
        let start = "grpc_server_handled_total{grpc_code=\"OK\",grpc_method=\"MemberList\"";
        while etcd.counted(|line| line.starts_with(start)).expect("it runs") == 0 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    soon("listed", told).await;
}

#[tokio::test]
async fn of_a_cluster_whose_members_are_found_any_may_die() {
    let mut cluster = cluster();
    let given = [cluster[0].client_url()];
    let finds = patient().endpoints(&given).member_list_every(Duration::from_secs(1));
    let finds = finds.build().expect("an address");
    let plain = patient().endpoints(&given).build().expect("an address");
    let web = finds.group("web").expect("a name");
    let mut registrations = instances(&web, 10);
    stands(&registrations).await;
    let directory = web.directory();
    let of_plain = plain.group("web").expect("a name").directory();
    for directory in [&directory, &of_plain] {
        seen("all", directory, |snapshot| snapshot.len() == 10).await;
    }
    listed(&cluster[0]).await;

    cluster[0].kill().expect("it runs");
    followed(&web, &mut registrations[0], &[&directory]).await;
    assert!(finds.status().member > 0, "{:?}", finds.status());
    // Who was not told to look for others has the one that it was given.
    seen("stale", &of_plain, |snapshot| !snapshot.is_live()).await;
    assert_eq!(plain.status().member, 0);

    cluster[0].restart().expect("it starts");
    for found in [1, 2] {
        cluster[found].kill().expect("it runs");
        followed(&web, &mut registrations[0], &[&directory]).await;
        cluster[found].restart().expect("it starts");
    }
    let url = cluster[0].client_url();
    assert_eq!(agrees(&url, &directory, WEB).await.len(), 10);
    seen("live again", &of_plain, |snapshot| snapshot.is_live() && snapshot.len() == 10).await;
    assert_eq!(absences(&url, "/portolan/instances/").await, 0);
    drop(registrations);
    assert!(soon("closed", finds.shutdown()).await && soon("closed", plain.shutdown()).await);
}

/// Nobody is at the addresses that the members advertise, or another cluster is.
#[tokio::test]
async fn found_addresses_that_lead_nowhere_or_astray_do_no_harm() {
    let stranger = etcd();
    for (advertised, astray) in
        [("http://127.0.0.1:1".to_owned(), false), (stranger.client_url(), true)]
    {
        let flag = format!("--advertise-client-urls={advertised}");
        let builder = Etcd::builder(Release::V3_5).flag(flag);
        let mut cluster = builder.start_cluster(3).unwrap_or_else(|error| panic!("{error}"));
        let given = [0, 1].map(|member| cluster[member].client_url());
        let finds = patient().endpoints(&given).member_list_every(Duration::from_secs(1));
        let finds = finds.build().expect("addresses");
        let web = finds.group("web").expect("a name");
        let mut registrations = instances(&web, 10);
        stands(&registrations).await;
        let directory = web.directory();
        let epoch = seen("all", &directory, |snapshot| snapshot.len() == 10).await.epoch();
        let used = usize::from(finds.status().member);
        listed(&cluster[used]).await;
        // Whoever was given but one address has found more of the others than it was given.
        let lone = patient().endpoints([&given[0]]).member_list_every(Duration::from_secs(1));
        let lone = lone.build().expect("an address");
        let of_lone = register(&lone.group("lone").expect("a name"), "a");
        soon("registered", of_lone.ready()).await.expect("it stands");
        listed(&cluster[0]).await;
        // From either of those that were given, once past those that were found.
        for _ in 0..2 {
            let used = usize::from(finds.status().member);
            assert!(used < 2, "{:?}", finds.status());
            cluster[used].kill().expect("it runs");
            followed(&web, &mut registrations[0], &[&directory]).await;
            cluster[used].restart().expect("it starts");
        }

        // And when they are the only ones.
        for member in [0, 1] {
            cluster[member].kill().expect("it runs");
        }
        let told = |status: &portolan::Status| {
            let text = if astray { "cluster" } else { "127.0.0.1:1" };
            status.last_failure.as_ref().is_some_and(|failure| failure.contains(text))
        };
        soon("told", finds.wait_for_status(told)).await;
        soon("told", lone.wait_for_status(told)).await;
        let stale = seen("stale", &directory, |snapshot| !snapshot.is_live()).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!((stale.len(), directory.snapshot().len()), (10, 10), "what was known is kept");
        for member in [0, 1] {
            cluster[member].launch().expect("it starts");
        }
        followed(&web, &mut registrations[0], &[&directory]).await;
        let url = cluster[0].client_url();
        let snapshot = agrees(&url, &directory, WEB).await;
        assert_eq!((snapshot.len(), snapshot.epoch()), (10, epoch));
        soon("registered", of_lone.ready()).await.expect("it stands");
        assert_eq!(absences(&url, WEB).await, 0);
        assert_eq!(content(&stranger, ""), BTreeMap::new(), "nothing has gone to the stranger");
        drop((registrations, of_lone));
        assert!(soon("closed", finds.shutdown()).await && soon("closed", lone.shutdown()).await);
    }
}
