//! How many bytes a message takes in protobuf, for the limits of rows E1 and W14.
//!
//! The shapes are those of `api/etcdserverpb/rpc.proto`, `raft_internal.proto` and
//! `api/mvccpb/kv.proto`: a field that is zero or empty is left out, members of a `oneof` never are.

use portolan_core::waist::{
    Compare, DeleteRange, DeleteReply, EventKind, Header, KeyEvent, KeyRange, KeyValue, Op,
    OpReply, Ordering, Put, PutReply, Range, RangeReply, Reply, Request, Revision, Sort,
    SortTarget, StatusReply, Target, Txn, TxnReply, Watch, WatchReply, WatchSay,
};

use crate::state::Command;
use crate::{Access, Admin, Credentials, Operation, Permission};

/// The length of a request as a gRPC message, in bytes: what etcd's limit for messages is held against
/// (row E1).
pub fn request_size(request: &Request) -> u64 {
    match request {
        Request::Range(request) => range(request),
        Request::Put(request) => put(request),
        Request::Delete(request) => delete(request),
        Request::Txn(request) => txn(request),
        Request::Compact(request) => revision(request.revision) + flag(request.physical),
        Request::Grant(request) => {
            int(request.ttl_secs) + int(request.lease.map_or(0, |lease| lease.get()))
        }
        Request::Revoke(request) => int(request.lease.get()),
        Request::KeepAlive(request) => int(request.lease.get()),
        Request::TimeToLive(request) => int(request.lease.get()) + flag(request.keys),
        Request::Watch(request) => message(watch(request)),
        Request::OnWatch { say, .. } => match say {
            WatchSay::Create(request) => message(watch(request)),
            WatchSay::Cancel { id } => message(int(*id)),
            WatchSay::Progress => message(0),
        },
        Request::Leases | Request::Status | Request::Members | Request::Authenticate => 0,
    }
}

/// The length of what an operator asks, likewise.
pub fn operation_size(operation: &Operation) -> u64 {
    match operation {
        Operation::Admin(admin) => match admin {
            Admin::Enable | Admin::Disable => 0,
            Admin::AddUser(Credentials { user, password })
            | Admin::ChangePassword(Credentials { user, password }) => {
                bytes(user.len()) + bytes(password.len())
            }
            Admin::AddUserWithoutPassword { user } => bytes(user.len()) + message(flag(true)),
            Admin::DeleteUser { user } => bytes(user.len()),
            Admin::AddRole { role } | Admin::DeleteRole { role } => bytes(role.len()),
            Admin::GrantRole { user, role } | Admin::RevokeRole { user, role } => {
                bytes(user.len()) + bytes(role.len())
            }
            Admin::GrantPermission { role, permission: Permission { keys, access } } => {
                let what = flag(*access != Access::Read);
                bytes(role.len()) + message(what + key_range(keys))
            }
            Admin::RevokePermission { role, keys } => bytes(role.len()) + key_range(keys),
        },
        Operation::User { user } => bytes(user.len()),
        Operation::Role { role } => bytes(role.len()),
        Operation::SetAlarm { member, .. } => flag(true) + number(*member) + flag(true),
        Operation::Kept { revision: at } => revision(*at),
        Operation::AuthStatus | Operation::Users | Operation::Roles | Operation::Alarms => 0,
    }
}

fn key_range(keys: &KeyRange) -> u64 {
    bytes(keys.key.len()) + bytes(keys.end.len())
}

/// The length of a command in its envelope (`InternalRaftRequest`), as it is proposed.
///
/// The envelope carries a request id that begins with the lower 16 bits of the member's id, whose
/// length therefore depends on them.
pub(crate) fn proposal(command: &Command, member_id: u64) -> u64 {
    let request_id = (member_id & 0xffff) << 48 | 0xffff_ffff_ffff;
    // Field 100, so its tag takes two bytes.
    let header = 1 + message(number(request_id));
    let body = match command {
        Command::Put(request) => put(request),
        Command::Delete(request) => delete(request),
        Command::Txn(request) => txn(request),
        Command::Compact(request) => revision(request.revision) + flag(request.physical),
        Command::Grant { lease, ttl_secs } => int(*ttl_secs) + int(lease.get()),
        Command::Revoke { lease } => int(lease.get()),
        Command::Operate(asked) => operation_size(asked),
        // Too short to come near any limit.
        Command::Authenticate { .. } => 0,
    };
    header + message(body)
}

/// The length of an answer as a gRPC message, in bytes: what a client's decode limit is held against
/// (row G8). 0 for failures and for answers that are no message.
///
/// Of a status only what is modelled is counted.
pub fn reply_size(reply: &Reply) -> u64 {
    match reply {
        Reply::Range(reply) => range_reply(reply),
        Reply::Put(reply) => put_reply(reply),
        Reply::Delete(reply) => delete_reply(reply),
        Reply::Txn(reply) => txn_reply(reply),
        Reply::Compact(reply) => header(&reply.header),
        Reply::Grant(reply) => header(&reply.header) + int(reply.lease.get()) + int(reply.ttl_secs),
        Reply::Revoke(reply) => header(&reply.header),
        Reply::KeepAlive(reply) => {
            header(&reply.header) + int(reply.lease.get()) + int(reply.ttl_secs)
        }
        Reply::TimeToLive(reply) => {
            let keys: u64 = reply.keys.iter().map(|key| message(key.len() as u64)).sum();
            let times = int(reply.ttl_secs) + int(reply.granted_secs);
            header(&reply.header) + int(reply.lease.get()) + times + keys
        }
        Reply::Leases(reply) => {
            let leases = reply.leases.iter().map(|lease| message(int(lease.get())));
            header(&reply.header) + leases.sum::<u64>()
        }
        Reply::Watch(reply) => watch_reply(reply),
        Reply::Status(reply) => status_reply(reply),
        // No client takes it in by a limit.
        Reply::Members(_) | Reply::Authenticated | Reply::CredentialsChanged | Reply::Failed(_) => {
            0
        }
    }
}

fn range_reply(reply: &RangeReply) -> u64 {
    let kvs: u64 = reply.kvs.iter().map(|kv| message(key_value(kv))).sum();
    header(&reply.header) + kvs + flag(reply.more) + int(reply.count)
}

fn put_reply(reply: &PutReply) -> u64 {
    header(&reply.header) + reply.prev.as_ref().map_or(0, |kv| message(key_value(kv)))
}

fn delete_reply(reply: &DeleteReply) -> u64 {
    let prev: u64 = reply.prev.iter().map(|kv| message(key_value(kv))).sum();
    header(&reply.header) + int(reply.deleted) + prev
}

fn txn_reply(reply: &TxnReply) -> u64 {
    let response = |response: &OpReply| {
        message(message(match response {
            OpReply::Range(reply) => range_reply(reply),
            OpReply::Put(reply) => put_reply(reply),
            OpReply::Delete(reply) => delete_reply(reply),
            OpReply::Txn(reply) => txn_reply(reply),
        }))
    };
    let responses: u64 = reply.responses.iter().map(response).sum();
    header(&reply.header) + flag(reply.succeeded) + responses
}

fn status_reply(reply: &StatusReply) -> u64 {
    let errors: u64 = reply.errors.iter().map(|error| message(error.len() as u64)).sum();
    header(&reply.header)
        + bytes(reply.version.len())
        + int(reply.db_size)
        + number(reply.leader)
        + number(reply.raft_index)
        + flag(reply.is_learner)
        + errors
}

/// What an answer on a stream of watches counts for against
/// [`Limits::stream_bytes`](crate::Limits::stream_bytes): its length, and what it takes beside that
/// as long as it lies in memory.
pub fn watch_weight(reply: &WatchReply) -> u64 {
    let records: usize = reply.events.iter().map(records).sum();
    REPLY_BYTES + watch_reply(reply) + records as u64 * RECORD_BYTES
}

/// What one event adds to that.
pub(crate) fn event_weight(event: &KeyEvent) -> u64 {
    watch_event(event) + records(event) as u64 * RECORD_BYTES
}

fn records(event: &KeyEvent) -> usize {
    1 + usize::from(event.prev.is_some())
}

/// What an answer without events, and a record without its key and value, take in memory.
const REPLY_BYTES: u64 = 256;
const RECORD_BYTES: u64 = 128;

/// The length of a watch answer.
pub(crate) fn watch_reply(reply: &WatchReply) -> u64 {
    watch_reply_head(reply) + reply.events.iter().map(watch_event).sum::<u64>()
}

/// The length of a watch answer without its events.
pub(crate) fn watch_reply_head(reply: &WatchReply) -> u64 {
    header(&reply.header)
        + int(reply.watch_id)
        + flag(reply.created)
        + flag(reply.canceled)
        + revision(reply.compact_revision)
        + bytes(reply.cancel_reason.len())
        + flag(reply.fragment)
}

/// The length of one event in a watch answer.
pub(crate) fn watch_event(event: &KeyEvent) -> u64 {
    let kind = match event.kind {
        EventKind::Put => 0,
        EventKind::Delete => 2,
    };
    let prev = event.prev.as_ref().map_or(0, |kv| message(key_value(kv)));
    message(kind + message(key_value(&event.kv)) + prev)
}

fn header(header: &Header) -> u64 {
    let Header { cluster_id, member_id, revision: at, raft_term } = *header;
    message(number(cluster_id) + number(member_id) + revision(at) + number(raft_term))
}

fn key_value(kv: &KeyValue) -> u64 {
    bytes(kv.key.len())
        + revision(kv.create_revision)
        + revision(kv.mod_revision)
        + int(kv.version)
        + bytes(kv.value.len())
        + int(kv.lease.map_or(0, |lease| lease.get()))
}

fn range(request: &Range) -> u64 {
    let (target, order) = request.sort.unwrap_or((SortTarget::Key, Sort::Unspecified));
    bytes(request.keys.key.len())
        + bytes(request.keys.end.len())
        + int(request.limit)
        + revision(request.revision)
        + flag(order != Sort::Unspecified)
        + flag(target != SortTarget::Key)
        + flag(request.serializable)
        + flag(request.keys_only)
        + flag(request.count_only)
        + revision(request.min_mod_revision)
        + revision(request.max_mod_revision)
        + revision(request.min_create_revision)
        + revision(request.max_create_revision)
}

fn put(request: &Put) -> u64 {
    bytes(request.key.len())
        + bytes(request.value.len())
        + int(request.lease.map_or(0, |lease| lease.get()))
        + flag(request.prev_kv)
        + flag(request.ignore_value)
        + flag(request.ignore_lease)
}

fn delete(request: &DeleteRange) -> u64 {
    bytes(request.keys.key.len()) + bytes(request.keys.end.len()) + flag(request.prev_kv)
}

fn txn(request: &Txn) -> u64 {
    let compares: u64 = request.compares.iter().map(|each| message(compare(each))).sum();
    let ops = request.then.iter().chain(&request.or_else);
    compares + ops.map(|each| message(op(each))).sum::<u64>()
}

fn op(op: &Op) -> u64 {
    message(match op {
        Op::Range(request) => range(request),
        Op::Put(request) => put(request),
        Op::Delete(request) => delete(request),
        Op::Txn(request) => txn(request),
    })
}

fn compare(compare: &Compare) -> u64 {
    let given = |value: i64| 1 + varint(value as u64);
    let (is_zero_target, target) = match &compare.target {
        Target::Version(version) => (true, given(*version)),
        Target::CreateRevision(revision) => (false, given(revision.0)),
        Target::ModRevision(revision) => (false, given(revision.0)),
        Target::Value(value) => (false, message(value.len() as u64)),
        Target::Lease(lease) => (false, given(lease.map_or(0, |lease| lease.get()))),
    };
    // `range_end` is field 64, so its tag takes two bytes.
    let end = match compare.keys.end.len() {
        0 => 0,
        length => 1 + bytes(length),
    };
    flag(compare.result != Ordering::Equal)
        + flag(!is_zero_target)
        + bytes(compare.keys.key.len())
        + target
        + end
}

fn watch(request: &Watch) -> u64 {
    // A packed list with one byte for each.
    let filters = match request.filters.len() {
        0 => 0,
        length => message(length as u64),
    };
    bytes(request.keys.key.len())
        + bytes(request.keys.end.len())
        + revision(request.start)
        + flag(request.progress)
        + filters
        + flag(request.prev_kv)
        + int(request.id)
        + flag(request.fragment)
}

/// A message of `length` bytes as a field: tag, length, content.
fn message(length: u64) -> u64 {
    1 + varint(length) + length
}

/// A field of bytes or text.
fn bytes(length: usize) -> u64 {
    if length == 0 { 0 } else { message(length as u64) }
}

/// A field of type `int64`; negative numbers take ten bytes.
fn int(value: i64) -> u64 {
    number(value as u64)
}

fn revision(revision: Revision) -> u64 {
    int(revision.0)
}

/// A field of type `uint64`.
fn number(value: u64) -> u64 {
    if value == 0 { 0 } else { 1 + varint(value) }
}

/// A field of type `bool`, or an enumeration of fewer than 128 names.
fn flag(set: bool) -> u64 {
    if set { 2 } else { 0 }
}

fn varint(value: u64) -> u64 {
    u64::from(64 - (value | 1).leading_zeros()).div_ceil(7)
}
