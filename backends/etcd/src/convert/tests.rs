use super::*;

/// Answers that etcd never gives fail as such: nothing panics, nothing is made up.
#[test]
fn senseless_answers() {
    let senseless = |what: &str| StoreError::Other {
        code: Code::Internal,
        message: format!("the store answered {what}"),
    };

    let hollow = pb::PbTxnResponse {
        responses: vec![pb::PbResponseOp { response: None }],
        ..Default::default()
    };
    let nested = pb::PbTxnResponse {
        responses: vec![pb::PbResponseOp { response: Some(PbOp::ResponseTxn(hollow.clone())) }],
        ..Default::default()
    };
    for reply in [hollow, nested] {
        let expected = senseless("a transaction's result without content");
        assert_eq!(txn_reply(reply), Err(expected));
    }

    let granted = pb::PbLeaseGrantResponse { id: 0, ttl: 9, ..Default::default() };
    assert_eq!(grant_reply(granted), Err(senseless("a lease with the id 0")));

    let told = |event| {
        watch_reply(pb::PbWatchResponse { events: vec![event], ..Default::default() }).map(drop)
    };
    let strange = pb::PbEvent { r#type: 2, kv: Some(Default::default()), prev_kv: None };
    assert_eq!(told(strange), Err(senseless("an event that is neither a put nor a delete")));
    let hollow = pb::PbEvent { r#type: 0, kv: None, prev_kv: None };
    assert_eq!(told(hollow), Err(senseless("an event without a key")));

    // Nobody's lease is nobody's; a missing header is an empty one.
    let leases = vec![pb::PbLeaseStatus { id: 0 }, pb::PbLeaseStatus { id: 7 }];
    let reply = leases_reply(pb::PbLeaseLeasesResponse { header: None, leases });
    assert_eq!(reply.header, Header::default());
    assert_eq!(reply.leases, Vec::from_iter(LeaseId::new(7)));
}

/// What comes in is not copied: the buffers are the ones that were decoded into.
#[test]
fn keys_and_values_come_in_without_a_copy() {
    let value = vec![7; 1000];
    let buffer = value.as_ptr();
    let kv = pb::PbKeyValue { value, ..Default::default() };
    let reply = range_reply(pb::PbRangeResponse { kvs: vec![kv], ..Default::default() });
    assert_eq!(reply.kvs[0].value.as_ptr(), buffer);
}
