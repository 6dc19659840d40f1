//! An operator marks our record: we obey.

use insta::assert_snapshot;

use super::*;

/// What registration `1` wrote for `a`, as an operator marks it.
fn marked(h: &Harness, modified: i64, stamp: Stamp) -> KeyValue {
    let layout = Layout::native("/p").expect("a root");
    let written = layout.encode_instance(&instance("a"), stamp).expect("it encodes").remove(0);
    let value = layout.evict(&written.key, &written.value, "ops").expect("it has room");
    KeyValue { value, ..record(5, modified, Some(h.leases[0])) }
}

fn stamp(h: &Harness) -> Stamp {
    Stamp { run: h.engine.run(), registration: 1, sequence: 1 }
}

/// The watch of own keys tells that `kv` was put.
fn watched(kv: KeyValue) -> Reply {
    let header = header(kv.mod_revision.0);
    let event = KeyEvent { kind: crate::waist::EventKind::Put, kv, prev: None };
    Reply::Watch(WatchReply { header, watch_id: 1, events: vec![event], ..WatchReply::default() })
}

/// The mark says draining, so there is nothing to say before the record goes.
#[test]
fn an_owner_that_sees_its_mark_removes_the_record_and_ends() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5)).trace();
    let mark = marked(&h, 6, stamp(&h));
    h.reply(3, watched(mark)).reply(4, deleted(7));
    h.reply(5, Reply::Revoke(RevokeReply { header: header(7) }));
    assert_snapshot!(h.trace(), @"
    0.000s < #3 watch @6 id=1 /p/instances/web/a=172B:6d43a42f@5/6~L1
    0.000s > registration 1 lost Evicted
    0.000s > #3 cancel
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @7
    0.000s > registration 1 gone: evicted by ops
    0.000s < #5 revoked @7
    ");
    assert_eq!(h.engine.poll_timeout(), None, "nothing is left to wait for");
}

/// An update that was on its way meets the mark by its guard; it is not put over it.
#[test]
fn an_update_does_not_undo_a_mark() {
    let mut h = Harness::registered();
    let out = instance("a").with_state(State::OutOfService);
    h.command(Command::Publish { id: RegistrationId(1), instance: out });
    let mark = marked(&h, 6, stamp(&h));
    h.reply(3, found(6, Some(mark))).reply(4, deleted(7));
    assert_snapshot!(h.trace(), @"
    0.000s < publish 1 web/a out-of-service
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=155B:a3356908 lease=L1 else range /p/instances/web/a
    0.000s < #3 else /p/instances/web/a=172B:6d43a42f@5/6~L1 @6
    0.000s > registration 1 lost Evicted
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #5 m0 revoke lease=L1
    0.000s < #4 then deleted 1 @7
    0.000s > registration 1 gone: evicted by ops
    ");
}

/// The lease was lost, and the record is still there with a mark: it is not moved to another one.
#[test]
fn a_mark_counts_on_an_earlier_lease_too() {
    let mut h = Harness::registered();
    h.sleep(TTL + 1).input(Input::Tick).grant(3);
    let mark = marked(&h, 6, stamp(&h));
    h.reply(4, found(6, Some(mark))).trace();
    h.reply(5, deleted(7));
    assert_snapshot!(h.trace(), @"
    10.000s < #5 then deleted 1 @7
    10.000s > registration 1 gone: evicted by ops
    ");
}

/// Marks that are not for this registration, or say nothing of theirs, are healed as anything else
/// that was put over it; so is one on a record that was detached.
#[test]
fn a_mark_for_somebody_else_is_healed() {
    let mut outcome = String::new();
    for what in ["another run's", "another registration's", "nobody's", "detached"] {
        let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
        h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5));
        let Stamp { run, registration, sequence } = stamp(&h);
        let stamp = match what {
            "another run's" => Stamp { run: run + 1, registration, sequence },
            "another registration's" => Stamp { run, registration: 2, sequence },
            _ => stamp(&h),
        };
        h.trace();
        let mut mark = marked(&h, 6, stamp);
        if what == "nobody's" {
            mark.value = br#"{"v":1,"evicted":{"by":"ops"}}"#.as_slice().into();
        } else if what == "detached" {
            mark.lease = None;
        }
        h.reply(3, watched(mark)).wait(1);
        outcome += &format!("{what}\n{}", h.trace());
    }
    assert_snapshot!(outcome, @"
    another run's
    0.000s < #3 watch @6 id=1 /p/instances/web/a=172B:9e39574c@5/6~L1
    0.000s > registration 1 lost Disturbed
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    another registration's
    0.000s < #3 watch @6 id=1 /p/instances/web/a=172B:21082550@5/6~L1
    0.000s > registration 1 lost Disturbed
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    nobody's
    0.000s < #3 watch @6 id=1 /p/instances/web/a=30B:35ef7b82@5/6~L1
    0.000s > registration 1 lost Disturbed
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    detached
    0.000s < #3 watch @6 id=1 /p/instances/web/a=172B:6d43a42f@5/6
    0.000s > registration 1 lost Disturbed
    0.100s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=- then put /p/instances/web/a=146B:1a5ed297 lease=L1 else range /p/instances/web/a
    ");
}

/// Whoever removes the record himself is done when it is gone, mark or not.
#[test]
fn a_mark_changes_nothing_for_a_removal_under_way() {
    let mut h = Harness::registered();
    h.deregister(1);
    let mark = marked(&h, 6, stamp(&h));
    h.reply(3, found(6, Some(mark))).reply(4, put(7)).reply(5, deleted(8));
    assert_snapshot!(h.trace(), @"
    0.000s < deregister 1 within 20s
    0.000s > #3 m0 txn if mod(/p/instances/web/a)=5, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #3 else /p/instances/web/a=172B:6d43a42f@5/6~L1 @6
    0.000s > #4 m0 txn if mod(/p/instances/web/a)=6, lease(/p/instances/web/a)=L1 then put /p/instances/web/a=149B:89827a71 lease=L1 else range /p/instances/web/a
    0.000s < #4 then put @7
    0.000s > #5 m0 txn if mod(/p/instances/web/a)=7, lease(/p/instances/web/a)=L1 then delete /p/instances/web/a else range /p/instances/web/a
    0.000s > #6 m0 revoke lease=L1
    0.000s < #5 then deleted 1 @8
    0.000s > registration 1 gone: deregistered
    ");
}

/// The record stands still: nobody may rely on its being gone.
#[test]
fn an_eviction_whose_removal_is_not_confirmed_is_not_told_as_one() {
    let mut h = Harness::tuned(|tuning| tuning.own_watches = 200);
    h.register(1, "a", Conflict::Replace).grant(1).reply(2, put(5)).reply(3, created(5));
    let mark = marked(&h, 6, stamp(&h));
    h.reply(3, watched(mark)).trace();
    h.command(Command::Shutdown { within: Duration::from_secs(2) }).wait(2);
    assert_snapshot!(h.trace(), @"
    0.000s < shutdown within 2s
    1.000s > registration 1 gone: removal not confirmed in time
    2.000s > #4 cancel
    2.000s > #5 cancel
    2.000s > closed confirmed=false
    ");
}

/// What is read from a directory may be registered again: others' marks are not.
#[test]
fn nobody_registers_a_mark() {
    let mut h = Harness::new();
    let marked = instance("a").evicted("ops").expect("a name");
    let (id, conflict) = (RegistrationId(1), Conflict::Replace);
    h.command(Command::Register { id, instance: marked.clone(), conflict }).grant(1);
    h.reply(2, put(5)).command(Command::Publish { id, instance: marked });
    let values = h.asked.iter().filter_map(|(_, request)| {
        let Request::Txn(txn) = request else { return None };
        let [Op::Put(put)] = &txn.then[..] else { return None };
        Some(String::from_utf8(put.value.to_vec()).expect("JSON"))
    });
    let values: Vec<_> = values.collect();
    assert_eq!(values.len(), 2);
    assert!(values.iter().all(|value| !value.contains("evicted")), "{values:?}");
}
