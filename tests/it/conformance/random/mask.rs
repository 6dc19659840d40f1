//! Everything that the two sides may differ in, in one place.
//!
//! | what | why |
//! |---|---|
//! | cluster id, member id, raft term | the model's own; rows R8 and R9 speak of them |
//! | what is left of a lease | time; L9 |
//! | the order of leases, and of a lease's keys | etcd has none; L9 |
//! | the order of records that a sort takes for equal, and which of them a limit keeps | G5 |
//! | the order among watches of one stream | W9 |
//! | for a watch that was ever behind: how its events are cut into messages, and their headers | W8: time |
//! | of a status: who leads, how far raft is, how large the database is | the model's own; whether somebody leads is compared |
//!
//! Nothing else is let pass, and nothing because it came but once: where an answer depends on
//! whether etcd has served a watch behind, etcd is waited for until it has (`pair.rs`).
//!
//! Not drawn at all, besides: leases that the store numbers (L1), leases that run out (L6), ranges
//! sorted by values that they leave out, transactions that kill etcd and compactions that do not
//! wait for their end (`draw.rs`), and messages large enough for limits and fragments (E1, W14).
//! Progress that is told unasked (W12) is wanted by some of the watches, but ten minutes away. Nor
//! is `Authenticate` drawn: without a name and a password the carrier has nothing to send.
//!
//! Revisions are compared as they are: both sides start empty and do the same.

use std::collections::{BTreeMap, BTreeSet};

use portolan_core::waist::{
    Header, KeyEvent, KeyValue, Op, OpReply, Range, RangeReply, Reply, Request, SortTarget,
    StoreError, Txn, TxnReply, WatchReply,
};

/// The answer to `request`, without what may differ.
pub fn reply(request: &Request, mut reply: Reply) -> Reply {
    match &mut reply {
        Reply::Range(reply) => {
            header(&mut reply.header);
            if let Request::Range(asked) = request {
                ties(asked, reply);
            }
        }
        Reply::Txn(reply) => {
            header(&mut reply.header);
            if let Request::Txn(asked) = request {
                ties_inside(asked, reply);
            }
        }
        Reply::Put(reply) => header(&mut reply.header),
        Reply::Delete(reply) => header(&mut reply.header),
        Reply::Compact(reply) => header(&mut reply.header),
        Reply::Grant(reply) => header(&mut reply.header),
        Reply::Revoke(reply) => header(&mut reply.header),
        Reply::KeepAlive(reply) => header(&mut reply.header),
        Reply::TimeToLive(reply) => {
            header(&mut reply.header);
            // Dead or alive, that much can be compared.
            reply.ttl_secs = reply.ttl_secs.min(0);
            reply.keys.sort();
        }
        Reply::Leases(reply) => {
            header(&mut reply.header);
            reply.leases.sort();
        }
        Reply::Status(reply) => {
            header(&mut reply.header);
            reply.leader = reply.leader.min(1);
            reply.raft_index = 0;
            reply.db_size = 0;
        }
        Reply::Watch(_)
        | Reply::Members(_)
        | Reply::Authenticated
        | Reply::CredentialsChanged
        | Reply::Failed(_) => {}
    }
    reply
}

fn header(header: &mut Header) {
    *header = Header { revision: header.revision, ..Header::default() };
}

/// Puts equal records into the order of their keys; of a group that a limit may have cut, it
/// leaves only what makes them equal.
fn ties(asked: &Range, reply: &mut RangeReply) {
    let Some((target, _)) = asked.sort.filter(|(target, _)| *target != SortTarget::Key) else {
        return;
    };
    let equal = |a: &KeyValue, b: &KeyValue| match target {
        SortTarget::Key => a.key == b.key,
        SortTarget::Version => a.version == b.version,
        SortTarget::Create => a.create_revision == b.create_revision,
        SortTarget::Mod => a.mod_revision == b.mod_revision,
        SortTarget::Value => a.value == b.value,
    };
    let mut groups: Vec<_> = reply.kvs.chunk_by_mut(equal).collect();
    for group in &mut groups {
        group.sort_by(|a, b| a.key.cmp(&b.key));
    }
    if reply.more
        && let Some(last) = groups.last_mut()
    {
        for kv in last.iter_mut() {
            *kv = match target {
                SortTarget::Key => KeyValue { key: kv.key.clone(), ..KeyValue::default() },
                SortTarget::Version => KeyValue { version: kv.version, ..KeyValue::default() },
                SortTarget::Create => {
                    KeyValue { create_revision: kv.create_revision, ..KeyValue::default() }
                }
                SortTarget::Mod => {
                    KeyValue { mod_revision: kv.mod_revision, ..KeyValue::default() }
                }
                SortTarget::Value => KeyValue { value: kv.value.clone(), ..KeyValue::default() },
            };
        }
    }
}

fn ties_inside(asked: &Txn, reply: &mut TxnReply) {
    let ops = if reply.succeeded { &asked.then } else { &asked.or_else };
    for (op, reply) in ops.iter().zip(&mut reply.responses) {
        match (op, reply) {
            (Op::Range(asked), OpReply::Range(reply)) => ties(asked, reply),
            (Op::Txn(asked), OpReply::Txn(reply)) => ties_inside(asked, reply),
            _ => {}
        }
    }
}

/// What one watch was told: everything, or what may be compared of one that is behind.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Told {
    Message(WatchReply),
    Event(KeyEvent),
    Failed(StoreError),
}

/// What a stream was told, watch by watch, without what may differ. `behind` are the watches that
/// were behind at some time.
pub fn stream(said: &[Reply], behind: &BTreeSet<i64>) -> BTreeMap<i64, Vec<Told>> {
    let mut watches: BTreeMap<i64, Vec<Told>> = BTreeMap::new();
    for reply in said {
        match reply {
            Reply::Watch(message) => {
                let told = watches.entry(message.watch_id).or_default();
                let mut message = message.clone();
                header(&mut message.header);
                if behind.contains(&message.watch_id) && !message.events.is_empty() {
                    told.extend(message.events.into_iter().map(Told::Event));
                } else {
                    told.push(Told::Message(message));
                }
            }
            Reply::Failed(error) => {
                watches.entry(i64::MIN).or_default().push(Told::Failed(error.clone()));
            }
            other => unreachable!("a stream was told {other:?}"),
        }
    }
    watches
}
