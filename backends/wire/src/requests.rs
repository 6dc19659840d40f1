//! etcd's words into ours. What has no meaning at all is refused here, in etcd's words; the rest is
//! the model's to judge.

use etcd_client::proto as pb;
use etcd_client::proto::{PbCompareTarget, PbTargetUnion, PbTxnOpRequest, PbWatchRequestUnion};
use portolan_core::waist::{
    Code, Compact, Compare, DeleteRange, Grant, Key, KeyRange, LeaseId, Op, Ordering, Put, Range,
    Revision, Sort, SortTarget, StoreError, Target, Txn, Value, Watch, WatchFilter, WatchSay,
};
use portolan_memory::{Access, Admin, Credentials, Operation, Password, Permission};

pub(crate) fn range(range: pb::PbRangeRequest) -> Result<Range, StoreError> {
    Ok(Range {
        keys: keys(range.key, range.range_end),
        limit: range.limit,
        revision: Revision(range.revision),
        sort: sort(range.sort_target, range.sort_order)?,
        serializable: range.serializable,
        keys_only: range.keys_only,
        count_only: range.count_only,
        min_mod_revision: Revision(range.min_mod_revision),
        max_mod_revision: Revision(range.max_mod_revision),
        min_create_revision: Revision(range.min_create_revision),
        max_create_revision: Revision(range.max_create_revision),
    })
}

/// Numbers as in `RangeRequest` of etcd's `rpc.proto`.
fn sort(target: i32, order: i32) -> Result<Option<(SortTarget, Sort)>, StoreError> {
    let target = match target {
        0 => SortTarget::Key,
        1 => SortTarget::Version,
        2 => SortTarget::Create,
        3 => SortTarget::Mod,
        4 => SortTarget::Value,
        _ => return Err(StoreError::InvalidSort),
    };
    let order = match order {
        0 => Sort::Unspecified,
        1 => Sort::Ascending,
        2 => Sort::Descending,
        _ => return Err(StoreError::InvalidSort),
    };
    Ok(Some((target, order)).filter(|&sort| sort != (SortTarget::Key, Sort::Unspecified)))
}

pub(crate) fn put(put: pb::PbPutRequest) -> Put {
    Put {
        key: Key::from(put.key),
        value: Value::from(put.value),
        lease: LeaseId::new(put.lease),
        prev_kv: put.prev_kv,
        ignore_value: put.ignore_value,
        ignore_lease: put.ignore_lease,
    }
}

pub(crate) fn delete(delete: pb::PbDeleteRequest) -> DeleteRange {
    DeleteRange { keys: keys(delete.key, delete.range_end), prev_kv: delete.prev_kv }
}

pub(crate) fn txn(txn: pb::PbTxnRequest) -> Result<Txn, StoreError> {
    Ok(Txn {
        compares: txn.compare.into_iter().map(compare).collect::<Result<_, _>>()?,
        then: txn.success.into_iter().map(op).collect::<Result<_, _>>()?,
        or_else: txn.failure.into_iter().map(op).collect::<Result<_, _>>()?,
    })
}

fn op(op: pb::PbTxnRequestOp) -> Result<Op, StoreError> {
    Ok(match op.request {
        Some(PbTxnOpRequest::RequestRange(ask)) => Op::Range(range(ask)?),
        Some(PbTxnOpRequest::RequestPut(ask)) => Op::Put(put(ask)),
        Some(PbTxnOpRequest::RequestDeleteRange(ask)) => Op::Delete(delete(ask)),
        Some(PbTxnOpRequest::RequestTxn(ask)) => Op::Txn(txn(ask)?),
        // `checkRequestOp` of `server/etcdserver/api/v3rpc/key.go`.
        None => return Err(StoreError::KeyNotFound),
    })
}

/// What is compared with nothing is compared with zero, as protobuf has it.
fn compare(compare: pb::PbCompare) -> Result<Compare, StoreError> {
    let unknown = |what: &str| StoreError::Other {
        code: portolan_core::waist::Code::InvalidArgument,
        message: format!("portolan: a comparison has an unknown {what}"),
    };
    let result = match compare.result {
        0 => Ordering::Equal,
        1 => Ordering::Greater,
        2 => Ordering::Less,
        3 => Ordering::NotEqual,
        _ => return Err(unknown("result")),
    };
    let union = compare.target_union;
    let number = |found: Option<i64>| found.unwrap_or(0);
    let target = match PbCompareTarget::try_from(compare.target) {
        Ok(PbCompareTarget::Version) => Target::Version(number(match union {
            Some(PbTargetUnion::Version(version)) => Some(version),
            _ => None,
        })),
        Ok(PbCompareTarget::Create) => Target::CreateRevision(Revision(number(match union {
            Some(PbTargetUnion::CreateRevision(revision)) => Some(revision),
            _ => None,
        }))),
        Ok(PbCompareTarget::Mod) => Target::ModRevision(Revision(number(match union {
            Some(PbTargetUnion::ModRevision(revision)) => Some(revision),
            _ => None,
        }))),
        Ok(PbCompareTarget::Value) => Target::Value(match union {
            Some(PbTargetUnion::Value(value)) => Value::from(value),
            _ => Value::default(),
        }),
        Ok(PbCompareTarget::Lease) => Target::Lease(LeaseId::new(number(match union {
            Some(PbTargetUnion::Lease(lease)) => Some(lease),
            _ => None,
        }))),
        Err(_) => return Err(unknown("target")),
    };
    Ok(Compare { keys: keys(compare.key, compare.range_end), result, target })
}

pub(crate) fn compact(compact: &pb::PbCompactionRequest) -> Compact {
    Compact { revision: Revision(compact.revision), physical: compact.physical }
}

pub(crate) fn grant(grant: &pb::PbLeaseGrantRequest) -> Grant {
    Grant { lease: LeaseId::new(grant.id), ttl_secs: grant.ttl }
}

/// `None`: it says nothing that is known.
pub(crate) fn watch(request: pb::PbWatchRequest) -> Option<WatchSay> {
    Some(match request.request_union? {
        PbWatchRequestUnion::CreateRequest(create) => {
            let filters = create.filters.iter().filter_map(|filter| match filter {
                0 => Some(WatchFilter::NoPut),
                1 => Some(WatchFilter::NoDelete),
                _ => None,
            });
            WatchSay::Create(Watch {
                keys: keys(create.key, create.range_end),
                start: Revision(create.start_revision),
                id: create.watch_id,
                prev_kv: create.prev_kv,
                progress: create.progress_notify,
                filters: filters.collect(),
                fragment: create.fragment,
            })
        }
        PbWatchRequestUnion::CancelRequest(cancel) => WatchSay::Cancel { id: cancel.watch_id },
        PbWatchRequestUnion::ProgressRequest(_) => WatchSay::Progress,
    })
}

fn keys(key: impl Into<Key>, end: impl Into<Key>) -> KeyRange {
    KeyRange { key: key.into(), end: end.into() }
}

pub(crate) fn add_user(asked: pb::PbAuthUserAddRequest) -> Result<Admin, StoreError> {
    if asked.options.is_some_and(|options| options.no_password) {
        return Ok(Admin::AddUserWithoutPassword { user: asked.name });
    }
    let password = password(&asked.password, &asked.hashed_password)?;
    Ok(Admin::AddUser(Credentials { user: asked.name, password }))
}

pub(crate) fn change_password(
    asked: pb::PbAuthUserChangePasswordRequest,
) -> Result<Admin, StoreError> {
    let password = password(&asked.password, &asked.hashed_password)?;
    Ok(Admin::ChangePassword(Credentials { user: asked.name, password }))
}

fn password(text: &str, hashed: &str) -> Result<Password, StoreError> {
    if text.is_empty() && !hashed.is_empty() {
        let message = "portolan: a password that is hashed is not served".to_owned();
        return Err(StoreError::Other { code: Code::Unimplemented, message });
    }
    Ok(Password::from(text))
}

/// Numbers as in `Permission` of etcd's `auth.proto`.
pub(crate) fn grant_permission(
    asked: pb::PbAuthRoleGrantPermissionRequest,
) -> Result<Admin, StoreError> {
    let given = asked.perm.and_then(|given| {
        let access = match given.perm_type {
            0 => Access::Read,
            1 => Access::Write,
            2 => Access::ReadWrite,
            _ => return None,
        };
        Some(Permission { keys: keys(given.key, given.range_end), access })
    });
    let Some(permission) = given else {
        let message = "etcdserver: permission not given".to_owned();
        return Err(StoreError::Other { code: Code::InvalidArgument, message });
    };
    Ok(Admin::GrantPermission { role: asked.name, permission })
}

pub(crate) fn revoke_permission(
    asked: pb::PbAuthRoleRevokePermissionRequest,
) -> Result<Admin, StoreError> {
    Ok(Admin::RevokePermission { role: asked.role, keys: keys(asked.key, asked.range_end) })
}

/// The alarm that a member's data are not as they should be; here they always are.
pub(crate) const CORRUPT: i32 = 2;

/// What is asked about alarms; `None`: nothing that is served here. Numbers as in `AlarmRequest` of
/// etcd's `rpc.proto`.
pub(crate) fn alarm(asked: &pb::PbAlarmRequest) -> Option<Operation> {
    const NONE: i32 = 0;
    const NO_SPACE: i32 = 1;
    let member = asked.member_id;
    match (asked.action, asked.alarm) {
        // Nobody has that one: the answer is empty.
        (0 | 2, CORRUPT) | (0, NONE | NO_SPACE) => Some(Operation::Alarms),
        (1, NO_SPACE) => Some(Operation::SetAlarm { member, on: true }),
        (2, NO_SPACE) => Some(Operation::SetAlarm { member, on: false }),
        _ => None,
    }
}
