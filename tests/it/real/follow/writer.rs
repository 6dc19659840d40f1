//! Another client of etcd than ours, which changes things.

use etcd_client::{Client, DeleteOptions, GetOptions, PutOptions, Txn, TxnOp};
use portolan_core::rng::Rng;

use crate::real::history::connect;

/// Below it all is followed.
pub const PREFIX: &str = "/app/";

pub struct Writer {
    url: String,
    client: Client,
    rng: Rng,
    written: u32,
}

impl Writer {
    pub async fn at(url: &str) -> Self {
        let client = connect(url).await;
        Self { url: url.to_owned(), client, rng: Rng::new(7), written: 0 }
    }

    /// After the server was away.
    pub async fn reconnect(&mut self) {
        self.client = connect(&self.url).await;
    }

    /// Makes so many requests, of all kinds that change something, one after the other.
    pub async fn write(&mut self, requests: u32) {
        for _ in 0..requests {
            self.written += 1;
            let value = format!("v{}", self.written);
            match self.rng.below(12) {
                0..=4 => {
                    let key = self.key();
                    self.put(&key, &value).await;
                }
                5..=6 => {
                    let key = self.key();
                    self.client.delete(key, None).await.expect("it is deleted");
                }
                7 => {
                    let (from, to) = (self.key(), format!("{PREFIX}k5"));
                    let range = DeleteOptions::new().with_range(to);
                    self.client.delete(from, Some(range)).await.expect("they are deleted");
                }
                8..=9 => self.together(&value).await,
                10 => self.put("/elsewhere", &value).await,
                _ => self.leased(&value).await,
            }
        }
    }

    pub async fn put(&mut self, key: &str, value: &str) {
        self.client.put(key, value, None).await.expect("it is put");
    }

    pub async fn delete(&mut self, key: &str) {
        self.client.delete(key, None).await.expect("it is deleted");
    }

    /// Puts some and deletes some, all in one revision.
    pub async fn at_once(&mut self, puts: &[&str], deletes: &[&str]) {
        let puts = puts.iter().map(|key| TxnOp::put(*key, "", None));
        let deletes = deletes.iter().map(|key| TxnOp::delete(*key, None));
        let all: Vec<_> = puts.chain(deletes).collect();
        self.client.txn(Txn::new().and_then(all)).await.expect("they are done");
    }

    /// A key that nobody has written yet, written now: what comes before it was told by then.
    pub async fn mark(&mut self) -> String {
        self.written += 1;
        let key = format!("{PREFIX}mark-{}", self.written);
        self.put(&key, "").await;
        key
    }

    pub async fn revision(&mut self) -> i64 {
        let options = GetOptions::new().with_count_only();
        let answer = self.client.get(PREFIX, Some(options)).await.expect("it answers");
        answer.header().expect("it has one").revision()
    }

    /// Different keys: some put, one deleted, in one revision.
    async fn together(&mut self, value: &str) {
        let first = self.rng.below(KEYS);
        let keys = (0..4).map(|nth| format!("{PREFIX}k{}", (first + nth) % KEYS));
        let ops = keys.enumerate().map(|(nth, key)| match nth {
            0 => TxnOp::delete(key, None),
            _ => TxnOp::put(key, value, None),
        });
        let all: Vec<_> = ops.collect();
        self.client.txn(Txn::new().and_then(all)).await.expect("they are done");
    }

    /// Keys that go with their lease, in one revision.
    async fn leased(&mut self, value: &str) {
        let lease = self.client.lease_grant(600, None).await.expect("it is granted").id();
        for _ in 0..3 {
            let (key, options) = (self.key(), PutOptions::new().with_lease(lease));
            self.client.put(key, value, Some(options)).await.expect("it is put");
        }
        self.client.lease_revoke(lease).await.expect("it is revoked");
    }

    fn key(&mut self) -> String {
        format!("{PREFIX}k{}", self.rng.below(KEYS))
    }
}

const KEYS: u64 = 16;
