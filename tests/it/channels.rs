//! A registry over channels of one's own: here straight into an etcd in the same process, without a
//! socket.

use std::convert::Infallible;
use std::time::Duration;

use portolan::{RawChannel, Registry};
use portolan_wire::{Config, Etcd};
use tonic::body::Body;
use tower::{BoxError, ServiceExt};

fn into(etcd: &Etcd) -> RawChannel {
    let never = |never: Infallible| -> BoxError { match never {} };
    RawChannel::new(ServiceExt::<http::Request<Body>>::map_err(etcd.routes(0), never))
}

#[tokio::test]
async fn a_registry_needs_no_socket() {
    let etcd = Etcd::new(Config::default());
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
