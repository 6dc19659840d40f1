//! Which instance to call next.

use std::collections::BTreeSet;
use std::sync::Arc;

use portolan::{
    Embedded, Instance, Layout, Record, RegisterError, Registration, Registry, Selector, State,
};

use super::{group, instance, registry};

#[tokio::test(start_paused = true)]
async fn picks_go_round_the_ready_instances() {
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    let directory = web.directory();
    assert!(directory.pick().is_none());
    let mut kept = Vec::new();
    for (id, state) in [("a", State::Ready), ("b", State::OutOfService), ("c", State::Ready)] {
        let instance = instance(&web, id).with_state(state);
        kept.push(web.register(instance).expect("it can be registered"));
    }
    directory.wait_for(|snapshot| snapshot.len() == 3).await.expect("all are seen");
    let picks: Vec<_> = (0..4)
        .filter_map(|_| directory.pick())
        .filter_map(|record| record.instance().map(|instance| instance.id().to_owned()))
        .collect();
    assert_eq!(picks, ["a", "c", "a", "c"]);
    registry.shutdown().await;
}

/// A selection has a turn of its own: picks of others never make it pass one of its instances by.
#[tokio::test(start_paused = true)]
async fn selections_are_picked_from_in_turn() {
    let store = Embedded::new();
    let registry = registry(&store);
    let web = group(&registry);
    let directory = web.directory();
    let parsed = |text: &str| Selector::parse(text).expect("a selector");
    let (eu, us) = (directory.select(parsed("zone=eu")), directory.select(parsed("zone=us")));
    assert!(eu.pick().is_none());
    let mut kept = Vec::new();
    let zones = [("a", "eu"), ("b", "eu"), ("c", "us"), ("d", "us"), ("e", "eu")];
    for (id, zone) in zones {
        let builder = web.instance(id).expect("a name").label("zone", zone);
        let state = if id == "e" { State::Draining } else { State::Ready };
        let instance = builder.state(state).build().expect("an instance");
        kept.push(web.register(instance).expect("it can be registered"));
    }
    let snapshot = directory.wait_for(|s| s.len() == 5).await.expect("all are seen");
    let fits = parsed("zone=eu");
    let fitting: Vec<_> = snapshot.select(&fits).map(Instance::id).collect();
    assert_eq!(fitting, ["a", "b", "e"], "whatever their state");
    let id = |record: Arc<Record>| record.instance().map(|instance| instance.id().to_owned());
    let picks: Vec<_> = (0..8)
        .filter_map(|at| if at % 2 == 0 { eu.pick() } else { us.clone().pick() })
        .filter_map(id)
        .collect();
    assert_eq!(picks, ["a", "c", "b", "d", "a", "c", "b", "d"]);
    assert_eq!(eu.selector().to_string(), "zone=eu");
    assert_eq!(eu.directory().snapshot(), snapshot);
    assert!(directory.select(parsed("zone=ap")).pick().is_none());
    let anew = (0..5).filter_map(|_| directory.select(parsed("zone=eu")).pick()).filter_map(id);
    assert_eq!(anew.collect::<BTreeSet<_>>().len(), 2, "each begins at another place");

    let moved = web.instance("a").expect("a name").label("zone", "ap").build();
    kept[0].update(moved.expect("an instance")).expect("it can be written");
    directory
        .wait_for(|s| s.instance("a").and_then(|a| a.label("zone")) == Some("ap"))
        .await
        .expect("it is seen");
    let picks: Vec<_> = (0..3).filter_map(|_| eu.pick()).filter_map(id).collect();
    assert_eq!(picks, ["b", "b", "b"], "as the labels are now");
    registry.shutdown().await;
}

/// Directories show what is out of service, or drains; picks pass it over until it is back.
#[tokio::test(start_paused = true)]
async fn what_is_out_of_service_is_shown_and_not_picked() {
    let store = Embedded::new();
    let (ours, theirs) = (registry(&store), registry(&store));
    let (web, seen) = (group(&ours), group(&theirs).directory());
    let labelled = web.instance("a").expect("a name").label("zone", "eu");
    let labelled = labelled.endpoint("http", "10.0.0.7:8080").build().expect("an instance");
    let mut a = web.register(labelled).expect("it can be registered");
    let b = web.register(instance(&web, "b")).expect("it can be registered");
    let picked = || {
        let mut ids: Vec<_> = (0..4)
            .filter_map(|_| seen.pick())
            .filter_map(|record| record.instance().map(|instance| instance.id().to_owned()))
            .collect();
        ids.sort();
        ids.dedup();
        ids
    };
    type Say = fn(&mut Registration) -> Result<(), RegisterError>;
    let steps: [(Say, State, &[&str]); 4] = [
        (Registration::out_of_service, State::OutOfService, &["b"]),
        (Registration::back_in_service, State::Ready, &["a", "b"]),
        (Registration::drain, State::Draining, &["b"]),
        (Registration::back_in_service, State::Ready, &["a", "b"]),
    ];
    b.ready().await.expect("it stands");
    for (say, state, picks) in steps {
        say(&mut a).expect("it can be written");
        let revision = a.ready().await.expect("it stands");
        let snapshot = seen.wait_for(|s| s.revision() >= revision).await.expect("it is seen");
        let shown = snapshot.instance("a").expect("it is shown");
        assert_eq!((shown.state(), shown.labels().count()), (state, 1), "all else stays");
        assert_eq!(picked(), picks, "{state:?}");
    }
    a.drain().expect("it can be written");
    a.deregister().await.expect("it is confirmed");
    seen.wait_for(|s| s.len() == 1).await.expect("it is seen");
    assert_eq!(picked(), ["b"]);
    assert!(ours.shutdown().await && theirs.shutdown().await);

    let stateless = Layout::etcd_naming("web").expect("a base");
    let registry = Registry::builder().embedded(&store).layout(stateless).build();
    let registry = registry.expect("it makes sense");
    let web = group(&registry);
    let one = web.instance("a").expect("a name").endpoint("grpc", "10.0.0.7:80");
    let mut one = web.register(one.build().expect("an instance")).expect("it can be registered");
    let error = one.out_of_service().expect_err("others would go on calling it");
    assert_eq!(error.to_string(), "the layout has no place for an instance's state");
    registry.shutdown().await;
}
