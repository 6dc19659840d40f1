//! Our words into etcd's.

use etcd_client::proto as pb;
use etcd_client::proto::PbTxnOpResponse;
use portolan_core::waist::{
    CompactReply, DeleteReply, EventKind, GrantReply, Header, KeepAliveReply, KeyEvent, KeyValue,
    LeaseId, LeasesReply, MembersReply, OpReply, PutReply, RangeReply, RevokeReply, StatusReply,
    TimeToLiveReply, TxnReply, WatchReply,
};
use portolan_memory::{Access, Outcome};

use crate::hash;

pub(crate) fn header(header: Header) -> pb::PbResponseHeader {
    pb::PbResponseHeader {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision: header.revision.0,
        raft_term: header.raft_term,
    }
}

pub(crate) fn key_value(kv: KeyValue) -> pb::PbKeyValue {
    pb::PbKeyValue {
        key: kv.key.to_vec(),
        create_revision: kv.create_revision.0,
        mod_revision: kv.mod_revision.0,
        version: kv.version,
        value: kv.value.into_bytes().into(),
        lease: number(kv.lease),
    }
}

/// 0 is etcd's word for no lease.
fn number(lease: Option<LeaseId>) -> i64 {
    lease.map_or(0, LeaseId::get)
}

pub(crate) fn range(reply: RangeReply) -> pb::PbRangeResponse {
    pb::PbRangeResponse {
        header: Some(header(reply.header)),
        kvs: reply.kvs.into_iter().map(key_value).collect(),
        more: reply.more,
        count: reply.count,
    }
}

pub(crate) fn put(reply: PutReply) -> pb::PbPutResponse {
    pb::PbPutResponse { header: Some(header(reply.header)), prev_kv: reply.prev.map(key_value) }
}

pub(crate) fn delete(reply: DeleteReply) -> pb::PbDeleteResponse {
    pb::PbDeleteResponse {
        header: Some(header(reply.header)),
        deleted: reply.deleted,
        prev_kvs: reply.prev.into_iter().map(key_value).collect(),
    }
}

pub(crate) fn txn(reply: TxnReply) -> pb::PbTxnResponse {
    let response = |reply| match reply {
        OpReply::Range(reply) => PbTxnOpResponse::ResponseRange(range(reply)),
        OpReply::Put(reply) => PbTxnOpResponse::ResponsePut(put(reply)),
        OpReply::Delete(reply) => PbTxnOpResponse::ResponseDeleteRange(delete(reply)),
        OpReply::Txn(reply) => PbTxnOpResponse::ResponseTxn(txn(reply)),
    };
    let responses = reply.responses.into_iter().map(response);
    pb::PbTxnResponse {
        header: Some(header(reply.header)),
        succeeded: reply.succeeded,
        responses: responses
            .map(|response| pb::PbResponseOp { response: Some(response) })
            .collect(),
    }
}

pub(crate) fn compact(reply: CompactReply) -> pb::PbCompactionResponse {
    pb::PbCompactionResponse { header: Some(header(reply.header)) }
}

pub(crate) fn grant(reply: GrantReply) -> pb::PbLeaseGrantResponse {
    pb::PbLeaseGrantResponse {
        header: Some(header(reply.header)),
        id: reply.lease.get(),
        ttl: reply.ttl_secs,
        error: String::new(),
    }
}

pub(crate) fn revoke(reply: RevokeReply) -> pb::PbLeaseRevokeResponse {
    pb::PbLeaseRevokeResponse { header: Some(header(reply.header)) }
}

pub(crate) fn keep_alive(reply: KeepAliveReply) -> pb::PbLeaseKeepAliveResponse {
    pb::PbLeaseKeepAliveResponse {
        header: Some(header(reply.header)),
        id: reply.lease.get(),
        ttl: reply.ttl_secs,
    }
}

pub(crate) fn time_to_live(reply: TimeToLiveReply) -> pb::PbLeaseTimeToLiveResponse {
    pb::PbLeaseTimeToLiveResponse {
        header: Some(header(reply.header)),
        id: reply.lease.get(),
        ttl: reply.ttl_secs,
        granted_ttl: reply.granted_secs,
        keys: reply.keys.iter().map(|key| key.to_vec()).collect(),
    }
}

pub(crate) fn leases(reply: LeasesReply) -> pb::PbLeaseLeasesResponse {
    let leases = reply.leases.into_iter().map(|lease| pb::PbLeaseStatus { id: lease.get() });
    pb::PbLeaseLeasesResponse { header: Some(header(reply.header)), leases: leases.collect() }
}

pub(crate) fn status(reply: StatusReply) -> pb::PbStatusResponse {
    pb::PbStatusResponse {
        header: Some(header(reply.header)),
        version: reply.version,
        db_size: reply.db_size,
        leader: reply.leader,
        raft_index: reply.raft_index,
        raft_term: reply.header.raft_term,
        raft_applied_index: reply.raft_index,
        errors: reply.errors,
        db_size_in_use: reply.db_size,
        is_learner: reply.is_learner,
        ..pb::PbStatusResponse::default()
    }
}

pub(crate) fn members(reply: MembersReply) -> pb::PbMemberListResponse {
    let member = |member: portolan_core::waist::MemberInfo| pb::PbMember {
        id: member.id,
        name: format!("{:x}", member.id),
        peer_ur_ls: Vec::new(),
        client_ur_ls: member.client_urls,
        is_learner: member.is_learner,
    };
    pb::PbMemberListResponse {
        header: Some(header(reply.header)),
        members: reply.members.into_iter().map(member).collect(),
    }
}

pub(crate) fn watch(reply: WatchReply) -> pb::PbWatchResponse {
    pb::PbWatchResponse {
        header: Some(header(reply.header)),
        watch_id: reply.watch_id,
        created: reply.created,
        canceled: reply.canceled,
        compact_revision: reply.compact_revision.0,
        cancel_reason: reply.cancel_reason,
        fragment: reply.fragment,
        events: reply.events.into_iter().map(event).collect(),
    }
}

fn event(event: KeyEvent) -> pb::PbEvent {
    pb::PbEvent {
        r#type: match event.kind {
            EventKind::Put => 0,
            EventKind::Delete => 1,
        },
        kv: Some(key_value(event.kv)),
        prev_kv: event.prev.map(key_value),
    }
}

/// Numbers as in `Permission` of etcd's `auth.proto`.
pub(crate) fn role(
    header: Option<pb::PbResponseHeader>,
    outcome: Outcome,
) -> Option<pb::PbAuthRoleGetResponse> {
    let Outcome::Permissions(permissions) = outcome else { return None };
    let mut reply = pb::PbAuthRoleGetResponse { header, perm: Vec::new() };
    // A permission has no public type in etcd-client.
    reply.perm.resize_with(permissions.len(), Default::default);
    for (perm, permission) in reply.perm.iter_mut().zip(permissions) {
        perm.perm_type = match permission.access {
            Access::Read => 0,
            Access::Write => 1,
            Access::ReadWrite => 2,
        };
        perm.key = permission.keys.key.to_vec();
        perm.range_end = permission.keys.end.to_vec();
    }
    Some(reply)
}

/// The number as in `AlarmType` of etcd's `rpc.proto`.
pub(crate) fn alarms(
    header: Option<pb::PbResponseHeader>,
    outcome: Outcome,
) -> Option<pb::PbAlarmResponse> {
    let Outcome::Alarms(members) = outcome else { return None };
    let no_space = |member_id| pb::PbAlarmMember { member_id, alarm: 1 };
    Some(pb::PbAlarmResponse { header, alarms: members.into_iter().map(no_space).collect() })
}

pub(crate) fn hash_kv(
    header: Option<pb::PbResponseHeader>,
    outcome: Outcome,
) -> Option<pb::PbHashKvResponse> {
    let Outcome::Kept { revision, compacted, changes } = outcome else { return None };
    Some(pb::PbHashKvResponse {
        header,
        hash: hash::of(changes),
        compact_revision: compacted.0,
        hash_revision: revision.0,
    })
}

pub(crate) fn hash(
    header: Option<pb::PbResponseHeader>,
    outcome: Outcome,
) -> Option<pb::PbHashResponse> {
    let Outcome::Kept { changes, .. } = outcome else { return None };
    Some(pb::PbHashResponse { header, hash: hash::of(changes) })
}
