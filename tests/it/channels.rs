//! A registry over channels of one's own: here straight into an etcd in the same process, without a
//! socket.

use std::convert::Infallible;
use std::time::Duration;

use portolan::{Data, ErrorKind, RawChannel, Registry, Revision};
use portolan_wire::{Config, Etcd};
use tonic::body::Body;
use tower::{BoxError, ServiceExt};

fn into(etcd: &Etcd) -> RawChannel {
    let never = |never: Infallible| -> BoxError { match never {} };
    RawChannel::new(ServiceExt::<http::Request<Body>>::map_err(etcd.routes(), never))
}

/// As [`into`], with each answer held up for a while.
fn late(etcd: &Etcd) -> RawChannel {
    RawChannel::new(into(etcd).then(|answer| async {
        tokio::time::sleep(HELD_UP).await;
        answer
    }))
}

const HELD_UP: Duration = Duration::from_secs(1);

/// Who is given up while it waits for an answer is not told that nothing was done.
#[tokio::test(start_paused = true)]
async fn what_may_be_done_is_in_doubt_when_its_registry_is_abandoned() {
    let etcd = Etcd::untimed(Config::default());
    let time = tokio::spawn(etcd.let_time_pass());
    let build = || {
        let registry = Registry::builder().channels("here", late(&etcd), into(&etcd)).build();
        registry.expect("it is described")
    };
    let data = |_: Option<&Data>| Some(Data::parse("{}").expect("a document"));

    // It is read, which takes its time, then written, and the answer to that is awaited.
    let registry = build();
    let web = registry.group("web").expect("a name");
    let (updated, ()) = tokio::join!(web.update(data), async {
        tokio::time::sleep(HELD_UP * 3 / 2).await;
        registry.abandon().await;
    });
    let revision = etcd.look(|model| model.revision());
    assert_eq!(revision, Revision(2), "it is written");
    assert_eq!(updated.expect_err("it was given up").kind(), ErrorKind::Unknown);

    // Nothing is written by then.
    let registry = build();
    let web = registry.group("web").expect("a name");
    let (updated, ()) = tokio::join!(web.update(data), async {
        tokio::time::sleep(HELD_UP / 2).await;
        registry.abandon().await;
    });
    assert_eq!(updated.expect_err("it was given up").kind(), ErrorKind::Closed);

    let registry = build();
    let web = registry.group("web").expect("a name");
    let (removed, read, ()) = tokio::join!(web.remove_config(revision), web.config(), async {
        tokio::time::sleep(HELD_UP / 2).await;
        registry.abandon().await;
    });
    assert_eq!(etcd.look(|model| model.revision()), Revision(3), "it is removed");
    assert_eq!(removed.expect_err("it was given up").kind(), ErrorKind::Unknown);
    assert_eq!(read.expect_err("it was given up").kind(), ErrorKind::Closed);
    time.abort();
}

#[tokio::test]
async fn a_registry_needs_no_socket() {
    let etcd = Etcd::untimed(Config::default());
    let time = tokio::spawn(etcd.let_time_pass());
    let builder = Registry::builder().channels("here", into(&etcd), into(&etcd));
    let registry = builder.build().expect("it is described");
    let web = registry.group("web").expect("a name");
    let instance = web.instance("a").expect("an id").endpoint("http", "10.0.0.7:8080");
    let registration = web.register(instance.build().expect("an instance")).expect("it can be");
    registration.ready().await.expect("it stands");
    let directory = web.directory();
    let shown = directory.wait_for(|snapshot| snapshot.len() == 1);
    tokio::time::timeout(Duration::from_secs(5), shown).await.expect("soon").expect("it is open");
    assert_eq!(etcd.look(|model| model.leases().count()), 1);

    assert!(registry.shutdown().await, "all is confirmed");
    assert_eq!(etcd.look(|model| model.leases().count()), 0);
    drop((registration, directory, web, registry, etcd));
    tokio::time::timeout(Duration::from_secs(5), time).await.expect("soon").expect("it ends");
}
