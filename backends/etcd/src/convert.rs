//! Our words into etcd's, and back. Everything is moved: a value is copied once on its way out,
//! into the vector that etcd-client wants, and not at all on its way in.

use etcd_client::proto as pb;
use etcd_client::proto::PbTxnOpResponse as PbOp;
use etcd_client::{
    CompactionOptions, CompareOp, DeleteOptions, GetOptions, PutOptions, SortOrder, TxnOp,
    WatchFilterType, WatchOptions,
};
use portolan_core::waist::{
    Code, Compact, CompactReply, Compare, DeleteRange, DeleteReply, EventKind, GrantReply, Header,
    Key, KeyEvent, KeyValue, LeaseId, LeasesReply, MemberInfo, MembersReply, Op, OpReply, Ordering,
    Put, PutReply, Range, RangeReply, Revision, RevokeReply, Sort, SortTarget, StatusReply,
    StoreError, Target, TimeToLiveReply, Txn, TxnReply, Value, Watch, WatchFilter, WatchReply,
};

pub(crate) fn range(range: Range) -> (Vec<u8>, GetOptions) {
    let mut options = GetOptions::new()
        .with_range(range.keys.end.to_vec())
        .with_limit(range.limit)
        .with_revision(range.revision.0)
        .with_min_mod_revision(range.min_mod_revision.0)
        .with_max_mod_revision(range.max_mod_revision.0)
        .with_min_create_revision(range.min_create_revision.0)
        .with_max_create_revision(range.max_create_revision.0);
    if let Some((target, order)) = range.sort {
        options = options.with_sort(sort_target(target), sort_order(order));
    }
    if range.serializable {
        options = options.with_serializable();
    }
    if range.keys_only {
        options = options.with_keys_only();
    }
    if range.count_only {
        options = options.with_count_only();
    }
    (range.keys.key.to_vec(), options)
}

fn sort_target(target: SortTarget) -> etcd_client::SortTarget {
    match target {
        SortTarget::Key => etcd_client::SortTarget::Key,
        SortTarget::Version => etcd_client::SortTarget::Version,
        SortTarget::Create => etcd_client::SortTarget::Create,
        SortTarget::Mod => etcd_client::SortTarget::Mod,
        SortTarget::Value => etcd_client::SortTarget::Value,
    }
}

fn sort_order(order: Sort) -> SortOrder {
    match order {
        Sort::Unspecified => SortOrder::None,
        Sort::Ascending => SortOrder::Ascend,
        Sort::Descending => SortOrder::Descend,
    }
}

pub(crate) fn put(put: Put) -> (Vec<u8>, Vec<u8>, PutOptions) {
    let mut options = PutOptions::new().with_lease(lease_number(put.lease));
    if put.prev_kv {
        options = options.with_prev_key();
    }
    if put.ignore_value {
        options = options.with_ignore_value();
    }
    if put.ignore_lease {
        options = options.with_ignore_lease();
    }
    (put.key.to_vec(), put.value.into_bytes().into(), options)
}

pub(crate) fn delete(delete: DeleteRange) -> (Vec<u8>, DeleteOptions) {
    let mut options = DeleteOptions::new().with_range(delete.keys.end.to_vec());
    if delete.prev_kv {
        options = options.with_prev_key();
    }
    (delete.keys.key.to_vec(), options)
}

pub(crate) fn txn(txn: Txn) -> etcd_client::Txn {
    let ops = |ops: Vec<Op>| ops.into_iter().map(op).collect::<Vec<_>>();
    etcd_client::Txn::new()
        .when(txn.compares.into_iter().map(compare).collect::<Vec<_>>())
        .and_then(ops(txn.then))
        .or_else(ops(txn.or_else))
}

fn op(op: Op) -> TxnOp {
    match op {
        Op::Range(ask) => {
            let (key, options) = range(ask);
            TxnOp::get(key, Some(options))
        }
        Op::Put(ask) => {
            let (key, value, options) = put(ask);
            TxnOp::put(key, value, Some(options))
        }
        Op::Delete(ask) => {
            let (key, options) = delete(ask);
            TxnOp::delete(key, Some(options))
        }
        Op::Txn(ask) => TxnOp::txn(txn(ask)),
    }
}

fn compare(compare: Compare) -> etcd_client::Compare {
    use etcd_client::Compare as Etcd;
    let key = compare.keys.key.to_vec();
    let result = match compare.result {
        Ordering::Equal => CompareOp::Equal,
        Ordering::Greater => CompareOp::Greater,
        Ordering::Less => CompareOp::Less,
        Ordering::NotEqual => CompareOp::NotEqual,
    };
    let compared = match compare.target {
        Target::Version(version) => Etcd::version(key, result, version),
        Target::CreateRevision(revision) => Etcd::create_revision(key, result, revision.0),
        Target::ModRevision(revision) => Etcd::mod_revision(key, result, revision.0),
        Target::Value(value) => Etcd::value(key, result, value.into_bytes()),
        Target::Lease(lease) => Etcd::lease(key, result, lease_number(lease)),
    };
    compared.with_range(compare.keys.end.to_vec())
}

pub(crate) fn compact(compact: Compact) -> CompactionOptions {
    let options = CompactionOptions::new();
    if compact.physical { options.with_physical() } else { options }
}

pub(crate) fn watch(watch: Watch) -> (Vec<u8>, WatchOptions) {
    let filters = watch.filters.iter().map(|filter| match filter {
        WatchFilter::NoPut => WatchFilterType::NoPut,
        WatchFilter::NoDelete => WatchFilterType::NoDelete,
    });
    let mut options = WatchOptions::new()
        .with_range(watch.keys.end.to_vec())
        .with_start_revision(watch.start.0)
        .with_watch_id(watch.id)
        .with_filters(filters.collect::<Vec<_>>());
    if watch.prev_kv {
        options = options.with_prev_key();
    }
    if watch.progress {
        options = options.with_progress_notify();
    }
    if watch.fragment {
        options = options.with_fragment();
    }
    (watch.keys.key.to_vec(), options)
}

/// 0 is etcd's word for no lease.
fn lease_number(lease: Option<LeaseId>) -> i64 {
    lease.map_or(0, LeaseId::get)
}

pub(crate) fn header(header: Option<&pb::PbResponseHeader>) -> Header {
    header.map_or_else(Header::default, |header| Header {
        cluster_id: header.cluster_id,
        member_id: header.member_id,
        revision: Revision(header.revision),
        raft_term: header.raft_term,
    })
}

fn key_value(kv: pb::PbKeyValue) -> KeyValue {
    KeyValue {
        key: Key::from(kv.key),
        create_revision: Revision(kv.create_revision),
        mod_revision: Revision(kv.mod_revision),
        version: kv.version,
        value: Value::from(kv.value),
        lease: LeaseId::new(kv.lease),
    }
}

pub(crate) fn range_reply(reply: pb::PbRangeResponse) -> RangeReply {
    RangeReply {
        header: header(reply.header.as_ref()),
        kvs: reply.kvs.into_iter().map(key_value).collect(),
        more: reply.more,
        count: reply.count,
    }
}

pub(crate) fn put_reply(reply: pb::PbPutResponse) -> PutReply {
    PutReply { header: header(reply.header.as_ref()), prev: reply.prev_kv.map(key_value) }
}

pub(crate) fn delete_reply(reply: pb::PbDeleteResponse) -> DeleteReply {
    DeleteReply {
        header: header(reply.header.as_ref()),
        deleted: reply.deleted,
        prev: reply.prev_kvs.into_iter().map(key_value).collect(),
    }
}

pub(crate) fn txn_reply(reply: pb::PbTxnResponse) -> Result<TxnReply, StoreError> {
    let responses = reply.responses.into_iter().map(|response| match response.response {
        Some(PbOp::ResponseRange(reply)) => Ok(OpReply::Range(range_reply(reply))),
        Some(PbOp::ResponsePut(reply)) => Ok(OpReply::Put(put_reply(reply))),
        Some(PbOp::ResponseDeleteRange(reply)) => Ok(OpReply::Delete(delete_reply(reply))),
        Some(PbOp::ResponseTxn(reply)) => txn_reply(reply).map(OpReply::Txn),
        None => Err(senseless("a transaction's result without content")),
    });
    Ok(TxnReply {
        header: header(reply.header.as_ref()),
        succeeded: reply.succeeded,
        responses: responses.collect::<Result<_, _>>()?,
    })
}

pub(crate) fn compact_reply(reply: pb::PbCompactionResponse) -> CompactReply {
    CompactReply { header: header(reply.header.as_ref()) }
}

pub(crate) fn grant_reply(reply: pb::PbLeaseGrantResponse) -> Result<GrantReply, StoreError> {
    let lease = LeaseId::new(reply.id).ok_or_else(|| senseless("a lease with the id 0"))?;
    Ok(GrantReply { header: header(reply.header.as_ref()), lease, ttl_secs: reply.ttl })
}

pub(crate) fn revoke_reply(reply: pb::PbLeaseRevokeResponse) -> RevokeReply {
    RevokeReply { header: header(reply.header.as_ref()) }
}

/// The answer names the lease that was `asked` for; there is no reason to read it from there.
pub(crate) fn time_to_live_reply(
    asked: LeaseId,
    reply: pb::PbLeaseTimeToLiveResponse,
) -> TimeToLiveReply {
    TimeToLiveReply {
        header: header(reply.header.as_ref()),
        lease: asked,
        ttl_secs: reply.ttl,
        granted_secs: reply.granted_ttl,
        keys: reply.keys.into_iter().map(Key::from).collect(),
    }
}

pub(crate) fn leases_reply(reply: pb::PbLeaseLeasesResponse) -> LeasesReply {
    LeasesReply {
        header: header(reply.header.as_ref()),
        leases: reply.leases.iter().filter_map(|lease| LeaseId::new(lease.id)).collect(),
    }
}

pub(crate) fn status_reply(reply: pb::PbStatusResponse) -> StatusReply {
    StatusReply {
        header: header(reply.header.as_ref()),
        version: reply.version,
        leader: reply.leader,
        raft_index: reply.raft_index,
        db_size: reply.db_size,
        is_learner: reply.is_learner,
        errors: reply.errors,
    }
}

pub(crate) fn members_reply(reply: &etcd_client::MemberListResponse) -> MembersReply {
    let member = |member: &etcd_client::Member| MemberInfo {
        id: member.id(),
        client_urls: member.client_urls().to_vec(),
        is_learner: member.is_learner(),
    };
    let header = reply.header().map_or_else(Header::default, |header| Header {
        cluster_id: header.cluster_id(),
        member_id: header.member_id(),
        revision: Revision(header.revision()),
        raft_term: header.raft_term(),
    });
    MembersReply { header, members: reply.members().iter().map(member).collect() }
}

pub(crate) fn watch_reply(reply: pb::PbWatchResponse) -> Result<WatchReply, StoreError> {
    Ok(WatchReply {
        header: header(reply.header.as_ref()),
        watch_id: reply.watch_id,
        created: reply.created,
        canceled: reply.canceled,
        compact_revision: Revision(reply.compact_revision),
        cancel_reason: reply.cancel_reason,
        fragment: reply.fragment,
        events: reply.events.into_iter().map(event).collect::<Result<_, _>>()?,
    })
}

fn event(event: pb::PbEvent) -> Result<KeyEvent, StoreError> {
    let kind = match event.r#type {
        0 => EventKind::Put,
        1 => EventKind::Delete,
        _ => return Err(senseless("an event that is neither a put nor a delete")),
    };
    let kv = event.kv.ok_or_else(|| senseless("an event without a key"))?;
    Ok(KeyEvent { kind, kv: key_value(kv), prev: event.prev_kv.map(key_value) })
}

/// An answer that etcd never gives. The request may well have been applied.
fn senseless(what: &str) -> StoreError {
    StoreError::Other { code: Code::Internal, message: format!("the store answered {what}") }
}

#[cfg(test)]
mod tests;
