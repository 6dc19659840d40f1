//! The model counts how long messages are that it never encodes; here they are encoded.

use etcd_client::proto as pb;
use etcd_client::proto::{PbTargetUnion, PbTxnOpRequest, PbWatchRequestUnion};
use portolan_core::waist::{
    AttemptId, DeleteReply, EventKind, GrantReply, Header, KeepAlive, KeepAliveReply, KeyEvent,
    KeyValue, LeaseId, LeasesReply, OpReply, PutReply, RangeReply, Reply, Request, Revision,
    Revoke, StatusReply, TimeToLive, TimeToLiveReply, TxnReply, WatchReply,
};
use portolan_memory::{Admin, Operation, operation_size, reply_size, request_size};
use proptest::array::{uniform4, uniform9};
use proptest::prelude::{Just, Strategy, any, prop_assert_eq, prop_oneof, proptest};
use prost::Message;

use crate::{replies, requests};

/// What fields are filled with; nothing as often as anything.
#[derive(Clone, Debug)]
struct Fill {
    numbers: [i64; 9],
    texts: [String; 4],
    flags: [bool; 9],
}

fn fill() -> impl Strategy<Value = Fill> {
    let number = || prop_oneof![Just(0), 1..1_000_i64, any::<i64>()];
    let text = || prop_oneof![Just(String::new()), "[a-z]{1,200}"];
    (uniform9(number()), uniform4(text()), uniform9(any::<bool>()))
        .prop_map(|(numbers, texts, flags)| Fill { numbers, texts, flags })
}

/// A request, how long it is encoded, and what it is to the model.
type Asked = (usize, Request);

fn asked(message: impl Message, request: Request) -> Asked {
    (message.encoded_len(), request)
}

impl Fill {
    fn key(&self) -> Vec<u8> {
        self.texts[0].clone().into_bytes()
    }

    fn end(&self) -> Vec<u8> {
        self.texts[1].clone().into_bytes()
    }

    fn value(&self) -> Vec<u8> {
        self.texts[2].clone().into_bytes()
    }

    fn lease(&self) -> Option<LeaseId> {
        LeaseId::new(self.numbers[8])
    }

    fn range(&self) -> pb::PbRangeRequest {
        let [limit, revision, min_mod, max_mod, min_create, max_create, ..] = self.numbers;
        let [serializable, keys_only, count_only, sorted, aimed, ..] = self.flags;
        pb::PbRangeRequest {
            key: self.key(),
            range_end: self.end(),
            limit,
            revision,
            sort_order: if sorted { 2 } else { 0 },
            sort_target: if aimed { 3 } else { 0 },
            serializable,
            keys_only,
            count_only,
            min_mod_revision: min_mod,
            max_mod_revision: max_mod,
            min_create_revision: min_create,
            max_create_revision: max_create,
        }
    }

    fn put(&self) -> pb::PbPutRequest {
        let [prev_kv, ignore_value, ignore_lease, ..] = self.flags;
        let lease = self.numbers[8];
        let (key, value) = (self.key(), self.value());
        pb::PbPutRequest { key, value, lease, prev_kv, ignore_value, ignore_lease }
    }

    fn delete(&self) -> pb::PbDeleteRequest {
        pb::PbDeleteRequest { key: self.key(), range_end: self.end(), prev_kv: self.flags[0] }
    }

    fn compare(&self, target: i32) -> pb::PbCompare {
        let number = self.numbers[0];
        pb::PbCompare {
            result: i32::from(self.flags[0]),
            target,
            key: self.key(),
            range_end: self.end(),
            target_union: Some(match target {
                0 => PbTargetUnion::Version(number),
                1 => PbTargetUnion::CreateRevision(number),
                2 => PbTargetUnion::ModRevision(number),
                3 => PbTargetUnion::Value(self.value()),
                _ => PbTargetUnion::Lease(number),
            }),
        }
    }

    fn txn(&self) -> pb::PbTxnRequest {
        let op = |request| pb::PbTxnRequestOp { request: Some(request) };
        let inner = pb::PbTxnRequest {
            success: vec![op(PbTxnOpRequest::RequestPut(self.put()))],
            ..pb::PbTxnRequest::default()
        };
        pb::PbTxnRequest {
            compare: (0..5).map(|target| self.compare(target)).collect(),
            success: vec![
                op(PbTxnOpRequest::RequestRange(self.range())),
                op(PbTxnOpRequest::RequestTxn(inner)),
            ],
            failure: vec![op(PbTxnOpRequest::RequestDeleteRange(self.delete()))],
        }
    }

    fn watch(&self) -> pb::PbWatchRequest {
        let mut union = PbWatchRequestUnion::CreateRequest(Default::default());
        if let PbWatchRequestUnion::CreateRequest(create) = &mut union {
            let [start, id, ..] = self.numbers;
            let [progress, prev_kv, fragment, filtered, ..] = self.flags;
            create.key = self.key();
            create.range_end = self.end();
            create.start_revision = start;
            create.watch_id = id;
            create.progress_notify = progress;
            create.prev_kv = prev_kv;
            create.fragment = fragment;
            // Both or none: one is packed by etcd's own clients, which takes a byte more than here.
            create.filters = if filtered { vec![0, 1] } else { vec![] };
        }
        pb::PbWatchRequest { request_union: Some(union) }
    }

    fn requests(&self) -> Vec<Asked> {
        let [ttl, revision, ..] = self.numbers;
        let (lease, id) = (self.lease(), self.numbers[8]);
        let known = "what is asked has a meaning";
        let grant = pb::PbLeaseGrantRequest { ttl, id };
        let compact = pb::PbCompactionRequest { revision, physical: self.flags[0] };
        let mut all = vec![
            asked(self.range(), Request::Range(requests::range(self.range()).expect(known))),
            asked(self.put(), Request::Put(requests::put(self.put()))),
            asked(self.delete(), Request::Delete(requests::delete(self.delete()))),
            asked(self.txn(), Request::Txn(requests::txn(self.txn()).expect(known))),
            asked(grant, Request::Grant(requests::grant(&grant))),
            asked(compact, Request::Compact(requests::compact(&compact))),
        ];
        let mut cancel = PbWatchRequestUnion::CancelRequest(Default::default());
        if let PbWatchRequestUnion::CancelRequest(cancel) = &mut cancel {
            cancel.watch_id = revision;
        }
        let progress = PbWatchRequestUnion::ProgressRequest(Default::default());
        let unions = [cancel, progress].map(|it| pb::PbWatchRequest { request_union: Some(it) });
        for message in [self.watch()].into_iter().chain(unions) {
            let say = requests::watch(message.clone()).expect(known);
            all.push(asked(message, Request::OnWatch { stream: AttemptId(1), say }));
        }
        if let Some(lease) = lease {
            let keys = self.flags[0];
            all.push(asked(pb::PbLeaseRevokeRequest { id }, Request::Revoke(Revoke { lease })));
            let keep = Request::KeepAlive(KeepAlive { lease });
            all.push(asked(pb::PbLeaseKeepAliveRequest { id }, keep));
            let ask = Request::TimeToLive(TimeToLive { lease, keys });
            all.push(asked(pb::PbLeaseTimeToLiveRequest { id, keys }, ask));
        }
        all
    }

    fn operations(&self) -> Vec<(usize, Operation)> {
        let [name, role, password, _] = self.texts.clone();
        let (user, revision, member_id) = (name.clone(), self.numbers[0], self.numbers[1] as u64);
        let known = "what is asked has a meaning";
        let admin = |message: &dyn Fn() -> usize, admin| (message(), Operation::Admin(admin));
        let mut without = pb::PbAuthUserAddRequest { name: user.clone(), ..Default::default() };
        without.options.get_or_insert_default().no_password = true;
        let add = pb::PbAuthUserAddRequest {
            name: name.clone(),
            password: password.clone(),
            ..Default::default()
        };
        let change = pb::PbAuthUserChangePasswordRequest {
            name: name.clone(),
            password: password.clone(),
            ..Default::default()
        };
        let mut grant = pb::PbAuthRoleGrantPermissionRequest { name: role.clone(), perm: None };
        let permission = grant.perm.get_or_insert_default();
        permission.perm_type = self.numbers[2].rem_euclid(3) as i32;
        permission.key = self.key();
        permission.range_end = self.end();
        let revoke = pb::PbAuthRoleRevokePermissionRequest {
            role: role.clone(),
            key: self.key(),
            range_end: self.end(),
        };
        let alarm = pb::PbAlarmRequest { action: 1, member_id, alarm: 1 };
        vec![
            admin(&|| without.encoded_len(), requests::add_user(without.clone()).expect(known)),
            admin(&|| add.encoded_len(), requests::add_user(add.clone()).expect(known)),
            admin(
                &|| change.encoded_len(),
                requests::change_password(change.clone()).expect(known),
            ),
            admin(&|| grant.encoded_len(), requests::grant_permission(grant.clone()).expect(known)),
            admin(
                &|| revoke.encoded_len(),
                requests::revoke_permission(revoke.clone()).expect(known),
            ),
            admin(
                &|| pb::PbAuthUserDeleteRequest { name: name.clone() }.encoded_len(),
                Admin::DeleteUser { user: user.clone() },
            ),
            admin(
                &|| pb::PbAuthRoleAddRequest { name: role.clone() }.encoded_len(),
                Admin::AddRole { role: role.clone() },
            ),
            admin(
                &|| {
                    let (user, role) = (user.clone(), role.clone());
                    pb::PbAuthUserGrantRoleRequest { user, role }.encoded_len()
                },
                Admin::GrantRole { user: user.clone(), role: role.clone() },
            ),
            (
                pb::PbAuthUserGetRequest { name: name.clone() }.encoded_len(),
                Operation::User { user },
            ),
            (
                pb::PbAuthRoleGetRequest { role: name.clone() }.encoded_len(),
                Operation::Role { role: name },
            ),
            (alarm.encoded_len(), requests::alarm(&alarm).expect(known)),
            (
                pb::PbHashKvRequest { revision }.encoded_len(),
                Operation::Kept { revision: Revision(revision) },
            ),
        ]
    }

    fn header(&self) -> Header {
        let [cluster, member, revision, term, ..] = self.numbers;
        Header {
            cluster_id: cluster as u64,
            member_id: member as u64,
            revision: Revision(revision),
            raft_term: term as u64,
        }
    }

    fn record(&self) -> KeyValue {
        let [create, modified, version, ..] = self.numbers;
        KeyValue {
            key: self.key().into(),
            create_revision: Revision(create),
            mod_revision: Revision(modified),
            version,
            value: self.value().into(),
            lease: self.lease(),
        }
    }

    fn replies(&self) -> Vec<(usize, Reply)> {
        let header = self.header();
        let [count, ttl_secs, granted_secs, ..] = self.numbers;
        let [more, created, canceled, fragment, deleted, has_prev, ..] = self.flags;
        let prev = has_prev.then(|| self.record());
        let range = RangeReply { header, kvs: vec![self.record(); 2], more, count };
        let put = PutReply { header, prev: prev.clone() };
        let delete =
            DeleteReply { header, deleted: count, prev: prev.clone().into_iter().collect() };
        let inner = TxnReply { header, succeeded: more, responses: vec![] };
        let responses = vec![
            OpReply::Range(range.clone()),
            OpReply::Put(put.clone()),
            OpReply::Delete(delete.clone()),
            OpReply::Txn(inner),
        ];
        let txn = TxnReply { header, succeeded: more, responses };
        let kind = if deleted { EventKind::Delete } else { EventKind::Put };
        let watch = WatchReply {
            header,
            watch_id: count,
            created,
            canceled,
            compact_revision: Revision(ttl_secs),
            cancel_reason: self.texts[3].clone(),
            fragment,
            events: vec![KeyEvent { kind, kv: self.record(), prev }; 2],
        };
        let status = StatusReply {
            header,
            version: self.texts[0].clone(),
            db_size: count,
            leader: ttl_secs as u64,
            raft_index: granted_secs as u64,
            is_learner: more,
            errors: vec![self.texts[1].clone()],
        };
        // What the model does not know, the server makes up.
        let told = pb::PbStatusResponse {
            raft_term: 0,
            raft_applied_index: 0,
            db_size_in_use: 0,
            ..replies::status(status.clone())
        };
        let mut all = vec![
            (replies::range(range.clone()).encoded_len(), Reply::Range(range)),
            (replies::put(put.clone()).encoded_len(), Reply::Put(put)),
            (replies::delete(delete.clone()).encoded_len(), Reply::Delete(delete)),
            (replies::txn(txn.clone()).encoded_len(), Reply::Txn(txn)),
            (replies::watch(watch.clone()).encoded_len(), Reply::Watch(watch)),
            (told.encoded_len(), Reply::Status(status)),
        ];
        if let Some(lease) = self.lease() {
            let grant = GrantReply { header, lease, ttl_secs };
            let kept = KeepAliveReply { header, lease, ttl_secs };
            let keys = vec![self.key().into(), self.end().into()];
            let lives = TimeToLiveReply { header, lease, ttl_secs, granted_secs, keys };
            let leases = LeasesReply { header, leases: vec![lease; 2] };
            all.extend([
                (replies::grant(grant.clone()).encoded_len(), Reply::Grant(grant)),
                (replies::keep_alive(kept.clone()).encoded_len(), Reply::KeepAlive(kept)),
                (replies::time_to_live(lives.clone()).encoded_len(), Reply::TimeToLive(lives)),
                (replies::leases(leases.clone()).encoded_len(), Reply::Leases(leases)),
            ]);
        }
        all
    }
}

proptest! {
    #[test]
    fn messages_are_as_long_as_the_model_counts(fill in fill()) {
        for (encoded, request) in fill.requests() {
            prop_assert_eq!(request_size(&request), encoded as u64, "{:?}", request);
        }
        for (encoded, operation) in fill.operations() {
            prop_assert_eq!(operation_size(&operation), encoded as u64, "{:?}", operation);
        }
        for (encoded, reply) in fill.replies() {
            prop_assert_eq!(reply_size(&reply), encoded as u64, "{:?}", reply);
        }
    }
}
