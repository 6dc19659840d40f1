//! The hash of what a member keeps, as etcd makes it (`server/storage/mvcc/hash.go`): of its table of
//! keys, where each change lies by its revision.

use crc::{CRC_32_ISCSI, Crc, Digest};
use etcd_client::proto as pb;
use portolan_core::waist::KeyValue;
use prost::Message;

use crate::replies;

/// etcd's, by the polynomial of Castagnoli.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

/// Of changes in order, each with its place within its revision; a version of 0 marks a delete.
pub(crate) fn of(changes: Vec<(KeyValue, u32)>) -> u32 {
    let mut digest = CRC.digest();
    digest.update(b"key");
    for (kv, index) in changes {
        row(&mut digest, kv, index);
    }
    digest.finalize()
}

/// `RevToBytes` and `BucketKey` in `server/storage/mvcc/revision.go`.
fn row(digest: &mut Digest<'_, u32>, kv: KeyValue, index: u32) {
    digest.update(&kv.mod_revision.0.to_be_bytes());
    digest.update(b"_");
    digest.update(&i64::from(index).to_be_bytes());
    let kv = if kv.version == 0 {
        digest.update(b"t");
        // A delete is written down with its key alone.
        pb::PbKeyValue { key: kv.key.to_vec(), ..pb::PbKeyValue::default() }
    } else {
        replies::key_value(kv)
    };
    digest.update(&kv.encode_to_vec());
}
