//! Several members, which all are asked.

use std::time::Duration;

use portolan_core::waist::{
    Compare, KeepAlive, LeaseId, Range, Reply, Request, Revision, StoreError, Txn, Watch,
};

use super::cases;
use crate::conformance::client::{Client, Tap};
use crate::conformance::store::Happening;

cases! {
    m1_members_say_who_they_are_and_who_leads: CLUSTER,
    m2_what_becomes_of_calls_when_the_leader_is_held: LENIENT_CLUSTER,
    m3_another_leader_starts_every_lease_over: CLUSTER,
}

fn m1_members_say_who_they_are_and_who_leads(client: &mut Client<'_>) {
    client.put("a", "1");
    let leader = client.leader();
    let mut ids = Vec::new();
    let mut leaders = Vec::new();
    let mut lists = Vec::new();
    for member in 0..3 {
        client.turn_to(member);
        let read = client.get("a");
        assert!(read.is_some());
        let Reply::Status(status) = client.ask(Request::Status) else { panic!("no status") };
        assert!(status.errors.is_empty() && !status.is_learner, "{status:?}");
        ids.push(status.header.member_id);
        leaders.push(status.leader);
        let written = client.put("a", "2").header;
        assert_eq!(written.member_id, status.header.member_id);
        assert_eq!(written.cluster_id, status.header.cluster_id);
        let reply = client.ask(Request::Members);
        let Reply::Members(reply) = reply else { panic!("{reply:?}") };
        assert_eq!(reply.header.member_id, status.header.member_id);
        assert_eq!(reply.header.revision, Revision::ZERO);
        let mut list: Vec<_> =
            reply.members.iter().map(|each| (each.id, each.is_learner)).collect();
        list.sort_unstable();
        lists.push(list);
    }
    assert_eq!(leaders, [ids[usize::from(leader)]; 3]);
    let mut expected: Vec<_> = ids.iter().map(|&id| (id, false)).collect();
    expected.sort_unstable();
    expected.dedup();
    assert_eq!(expected.len(), 3, "{ids:?}");
    assert_eq!(lists, [expected.clone(), expected.clone(), expected]);
}

fn renewal(lease: LeaseId) -> Request {
    Request::KeepAlive(KeepAlive { lease })
}

fn m2_what_becomes_of_calls_when_the_leader_is_held(client: &mut Client<'_>) {
    let lease = client.grant(600);
    client.put("a", "1");
    let leader = client.leader();
    client.turn_to((leader + 1) % 3);
    // The member asked has applied all that, and knows its leader.
    assert!(client.get("a").is_some() && client.renew(lease).ttl_secs == 600);
    client.happen(Happening::PauseMember(leader));
    let asked = client.now();
    let put = client.submit(Request::Put(client.a_put("b", "1")));
    let read = client.submit(Request::Range(Range::of(client.one("a"))));
    let renewing = client.submit(renewal(lease));
    // What needs no leader is answered.
    let stale = Range { serializable: true, ..Range::of(client.one("a")) };
    assert_eq!(client.range(stale).count, 1);
    let compare = Compare::mod_revision(client.key("none"), Revision::ZERO);
    assert!(client.txn(Txn { compares: vec![compare], ..Txn::default() }).succeeded);
    let reply = client.ask(Request::Leases);
    assert!(matches!(&reply, Reply::Leases(reply) if reply.leases.contains(&lease)), "{reply:?}");
    assert_eq!(client.answer(read), Reply::Failed(StoreError::LeaderChanged));
    let took = client.now() - asked;
    assert!(took < Duration::from_secs(5), "{took:?}");
    assert_eq!(client.answer(renewing), Reply::Failed(StoreError::TimedOut));
    // Which of the two depends on how long the election took.
    let lost = [StoreError::TimedOutLeaderFail, StoreError::TimedOut].map(Reply::Failed);
    let reply = client.answer(put);
    assert!(lost.contains(&reply), "{reply:?}");
    let took = client.now() - asked;
    assert!(took > Duration::from_millis(6500) && took < Duration::from_secs(12), "{took:?}");
    // The others go on meanwhile, and who was held follows.
    assert!(client.leader() != leader);
    let written = client.put("c", "1").header.revision;
    client.happen(Happening::ResumeMember(leader));
    client.turn_to(leader);
    client.come_back();
    assert!(client.records().header.revision >= written);
    assert_eq!(client.renew(lease).ttl_secs, 600);
}

fn m3_another_leader_starts_every_lease_over(client: &mut Client<'_>) {
    let leader = client.leader();
    client.turn_to((leader + 1) % 3);
    let lease = client.grant(4);
    client.ask_put(client.a_put("a", "1").tap(|put| put.lease = Some(lease)));
    let stream = client.watch(Watch::of(client.one("a"), Revision::ZERO));
    client.wait(Duration::from_secs(3));
    client.happen(Happening::KillMember(leader));
    let killed = client.now();
    // A renewal on its way is passed on to the next leader; this one is of nothing.
    let reply = client.ask(renewal(client.never()));
    let refused = |reply: &Reply| {
        matches!(reply, Reply::KeepAlive(reply) if reply.ttl_secs == 0)
            || *reply == Reply::Failed(StoreError::NoLeader)
    };
    assert!(refused(&reply), "{reply:?}");
    // The watch outlives the change.
    let event = client.events(stream, 1).remove(0);
    let took = client.now() - killed;
    assert!(event.kv.version == 0, "{event:?}");
    // Its full time and an election timeout after the election, which takes one to two more.
    assert!(took > Duration::from_secs(5) && took < Duration::from_secs(11), "{took:?}");
    client.happen(Happening::StartMember(leader));
    client.turn_to(leader);
    client.come_back();
    assert_eq!(client.time_to_live(lease).ttl_secs, -1);
}
