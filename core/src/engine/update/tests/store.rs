//! A store with one key: all that an update can ask of one.

use super::harness::{delete, found, header, put, record};
use crate::layout::Layout;
use crate::waist::{
    EventKind, KeyEvent, KeyValue, Op, OpReply, PutReply, RangeReply, Reply, Revision, Target, Txn,
    TxnReply, Value,
};

/// One key of a store, with its whole history.
#[derive(Default)]
pub struct Store {
    pub revision: i64,
    pub compacted: i64,
    pub log: Vec<Change>,
}

pub struct Change {
    pub event: KeyEvent,
    pub by: By,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum By {
    Stranger,
    /// The attempt of a client's operation.
    Client(usize, u64),
}

impl Store {
    pub fn current(&self) -> Option<&KeyValue> {
        let last = &self.log.last()?.event;
        (last.kind == EventKind::Put).then_some(&last.kv)
    }

    pub fn put(&mut self, value: Value, by: By) {
        self.revision += 1;
        let (create, version) =
            self.current().map_or((self.revision, 1), |kv| (kv.create_revision.0, kv.version + 1));
        let event = put(record(value, create, self.revision, version));
        self.log.push(Change { event, by });
    }

    pub fn delete(&mut self) {
        if self.current().is_some() {
            self.revision += 1;
            self.log.push(Change { event: delete(self.revision), by: By::Stranger });
        }
    }

    pub fn range(&self) -> RangeReply {
        found(self.revision, self.current().cloned())
    }

    pub fn txn(&mut self, client: usize, txn: &Txn) -> Reply {
        let [compare] = &txn.compares[..] else { panic!("one compare: {txn}") };
        let found = self.current().map_or(Revision::ZERO, |kv| kv.mod_revision);
        let succeeded = compare.target == Target::ModRevision(found);
        let response = match if succeeded { &txn.then[..] } else { &txn.or_else[..] } {
            [Op::Put(put)] => {
                let operation = Layout::default().operation_of(&put.value).expect("ours");
                self.put(put.value.clone(), By::Client(client, operation));
                OpReply::Put(PutReply { header: header(self.revision), prev: None })
            }
            [Op::Range(_)] => OpReply::Range(self.range()),
            ops => panic!("one put, or one range: {ops:?}"),
        };
        let responses = vec![response];
        Reply::Txn(TxnReply { header: header(self.revision), succeeded, responses })
    }
}
