//! Requests and replies as one line each, for traces. Values are shown as length and hash.

use std::fmt::{self, Display, Formatter};

use super::{
    Compare, Header, KeyEvent, KeyValue, LeaseId, Op, OpReply, Ordering, Put, Range, RangeReply,
    Reply, Request, Revision, Target, Txn, TxnReply, Watch, WatchReply, WatchSay,
};

impl Display for Request {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Put(put) => put.fmt(f),
            Self::Delete(delete) => write!(f, "delete {}", delete.keys),
            Self::Txn(txn) => txn.fmt(f),
            Self::Compact(compact) => write!(f, "compact {}", compact.revision),
            Self::Grant(grant) => {
                write!(f, "grant lease={} ttl={}s", or_dash(grant.lease), grant.ttl_secs)
            }
            Self::Revoke(revoke) => write!(f, "revoke lease={}", revoke.lease),
            Self::KeepAlive(keep) => write!(f, "keepalive lease={}", keep.lease),
            Self::TimeToLive(ask) => {
                write!(f, "time-to-live lease={}", ask.lease)?;
                flag(f, " keys", ask.keys)
            }
            Self::Leases => f.write_str("leases"),
            Self::Watch(watch) => watch.fmt(f),
            Self::OnWatch { stream, say } => write!(f, "on {stream} {say}"),
            Self::Status => f.write_str("status"),
            Self::Members => f.write_str("members"),
            Self::Authenticate => f.write_str("authenticate"),
        }
    }
}

impl Display for Range {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "range {}", self.keys)?;
        revision(f, " at", self.revision)?;
        if self.limit > 0 {
            write!(f, " limit={}", self.limit)?;
        }
        if let Some((target, order)) = self.sort {
            write!(f, " sort={target:?}/{order:?}")?;
        }
        flag(f, " serializable", self.serializable)?;
        flag(f, " keys-only", self.keys_only)?;
        flag(f, " count-only", self.count_only)?;
        revision(f, " min-mod=", self.min_mod_revision)?;
        revision(f, " max-mod=", self.max_mod_revision)?;
        revision(f, " min-create=", self.min_create_revision)?;
        revision(f, " max-create=", self.max_create_revision)
    }
}

impl Display for Put {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "put {}={}", self.key, self.value)?;
        if let Some(lease) = self.lease {
            write!(f, " lease={lease}")?;
        }
        flag(f, " prev", self.prev_kv)?;
        flag(f, " ignore-value", self.ignore_value)?;
        flag(f, " ignore-lease", self.ignore_lease)
    }
}

impl Display for Txn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("txn")?;
        list(f, " if ", &self.compares)?;
        list(f, " then ", &self.then)?;
        list(f, " else ", &self.or_else)
    }
}

impl Display for Op {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(range) => range.fmt(f),
            Self::Put(put) => put.fmt(f),
            Self::Delete(delete) => write!(f, "delete {}", delete.keys),
            Self::Txn(txn) => write!(f, "({txn})"),
        }
    }
}

impl Display for Compare {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let sign = match self.result {
            Ordering::Equal => "=",
            Ordering::Greater => ">",
            Ordering::Less => "<",
            Ordering::NotEqual => "!=",
        };
        match &self.target {
            Target::Version(n) => write!(f, "version({}){sign}{n}", self.keys),
            Target::CreateRevision(n) => write!(f, "create({}){sign}{n}", self.keys),
            Target::ModRevision(n) => write!(f, "mod({}){sign}{n}", self.keys),
            Target::Value(value) => write!(f, "value({}){sign}{value}", self.keys),
            Target::Lease(lease) => write!(f, "lease({}){sign}{}", self.keys, or_dash(*lease)),
        }
    }
}

impl Display for Watch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "watch {} from {}", self.keys, self.start)?;
        if self.id != 0 {
            write!(f, " id={}", self.id)?;
        }
        flag(f, " prev", self.prev_kv)?;
        flag(f, " progress", self.progress)?;
        flag(f, " fragment", self.fragment)?;
        for filter in &self.filters {
            write!(f, " {filter:?}")?;
        }
        Ok(())
    }
}

impl Display for WatchSay {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create(watch) => watch.fmt(f),
            Self::Cancel { id } => write!(f, "cancel id={id}"),
            Self::Progress => f.write_str("progress"),
        }
    }
}

impl Display for Reply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(reply) => reply.fmt(f),
            Self::Put(reply) => write!(f, "put {}", at(&reply.header)),
            Self::Delete(reply) => write!(f, "deleted {} {}", reply.deleted, at(&reply.header)),
            Self::Txn(reply) => write!(f, "{reply} {}", at(&reply.header)),
            Self::Compact(reply) => write!(f, "compacted {}", at(&reply.header)),
            Self::Grant(reply) => {
                write!(f, "granted lease={} ttl={}s", reply.lease, reply.ttl_secs)
            }
            Self::Revoke(reply) => write!(f, "revoked {}", at(&reply.header)),
            Self::KeepAlive(reply) => {
                write!(f, "kept alive lease={} ttl={}s", reply.lease, reply.ttl_secs)
            }
            Self::TimeToLive(reply) => write!(
                f,
                "time-to-live lease={} left={}s granted={}s keys={}",
                reply.lease,
                reply.ttl_secs,
                reply.granted_secs,
                reply.keys.len()
            ),
            Self::Leases(reply) => write!(f, "leases {}", reply.leases.len()),
            Self::Watch(reply) => reply.fmt(f),
            Self::Status(reply) => write!(f, "status {} {}", reply.version, at(&reply.header)),
            Self::Members(reply) => write!(f, "members {}", reply.members.len()),
            Self::Authenticated => f.write_str("authenticated"),
            Self::CredentialsChanged => f.write_str("credentials changed"),
            Self::Failed(error) => write!(f, "failed: {error}"),
        }
    }
}

impl Display for RangeReply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "range {}", at(&self.header))?;
        list(f, " ", &self.kvs)?;
        if self.more || self.count != i64::try_from(self.kvs.len()).unwrap_or(i64::MAX) {
            write!(f, " of {}", self.count)?;
        }
        Ok(())
    }
}

impl Display for TxnReply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(if self.succeeded { "then" } else { "else" })?;
        list(f, " ", &self.responses)
    }
}

impl Display for OpReply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(reply) if reply.kvs.is_empty() => f.write_str("nothing"),
            Self::Range(reply) => list(f, "", &reply.kvs),
            Self::Put(_) => f.write_str("put"),
            Self::Delete(reply) => write!(f, "deleted {}", reply.deleted),
            Self::Txn(reply) => write!(f, "({reply})"),
        }
    }
}

impl Display for KeyValue {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.key, self.value)?;
        write!(f, "@{}/{}", self.create_revision, self.mod_revision)?;
        if let Some(lease) = self.lease {
            write!(f, "~{lease}")?;
        }
        Ok(())
    }
}

impl Display for KeyEvent {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            super::EventKind::Put => self.kv.fmt(f),
            super::EventKind::Delete => write!(f, "-{}@{}", self.kv.key, self.kv.mod_revision),
        }
    }
}

impl Display for WatchReply {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "watch {}", at(&self.header))?;
        if self.watch_id != 0 {
            write!(f, " id={}", self.watch_id)?;
        }
        flag(f, " created", self.created)?;
        flag(f, " canceled", self.canceled)?;
        revision(f, " compacted=", self.compact_revision)?;
        if !self.cancel_reason.is_empty() {
            write!(f, " reason={:?}", self.cancel_reason)?;
        }
        flag(f, " fragment", self.fragment)?;
        list(f, " ", &self.events)
    }
}

fn at(header: &Header) -> impl Display + use<> {
    struct At(Revision);
    impl Display for At {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            write!(f, "@{}", self.0)
        }
    }
    At(header.revision)
}

fn revision(f: &mut Formatter<'_>, before: &str, revision: Revision) -> fmt::Result {
    if revision == Revision::ZERO { Ok(()) } else { write!(f, "{before}{revision}") }
}

fn flag(f: &mut Formatter<'_>, text: &str, set: bool) -> fmt::Result {
    if set { f.write_str(text) } else { Ok(()) }
}

fn or_dash(lease: Option<LeaseId>) -> impl Display {
    struct OrDash(Option<LeaseId>);
    impl Display for OrDash {
        fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
            match self.0 {
                Some(lease) => lease.fmt(f),
                None => f.write_str("-"),
            }
        }
    }
    OrDash(lease)
}

/// The first few of a list, and how many there are when that is not all.
fn list<T: Display>(f: &mut Formatter<'_>, before: &str, items: &[T]) -> fmt::Result {
    const SHOWN: usize = 4;
    for (place, item) in items.iter().take(SHOWN).enumerate() {
        write!(f, "{}{item}", if place == 0 { before } else { ", " })?;
    }
    if items.len() > SHOWN {
        write!(f, ", .. {} in all", items.len())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waist::Key;

    /// A trace is short, and says where it leaves something out.
    #[test]
    fn a_long_list_is_shown_in_part() {
        let kv = |n: i64| {
            let key = Key::from(format!("k{n}"));
            let (create_revision, mod_revision) = (Revision(n), Revision(n + 1));
            KeyValue { key, create_revision, mod_revision, ..KeyValue::default() }
        };
        let range = |kvs: i64, count, more| RangeReply {
            header: Header { revision: Revision(9), ..Header::default() },
            kvs: (0..kvs).map(kv).collect(),
            count,
            more,
        };
        let value = format!("={}", KeyValue::default().value);
        let shown = |reply: RangeReply| reply.to_string().replace(&value, "");
        let two = " k0@0/1, k1@1/2";
        assert_eq!(shown(range(0, 0, false)), "range @9");
        assert_eq!(shown(range(2, 2, false)), format!("range @9{two}"));
        assert_eq!(shown(range(2, 5, true)), format!("range @9{two} of 5"));
        assert_eq!(shown(range(2, 2, true)), format!("range @9{two} of 2"));
        assert_eq!(shown(range(0, 3, false)), "range @9 of 3");
        let four = format!("range @9{two}, k2@2/3, k3@3/4");
        assert_eq!(shown(range(4, 4, false)), four);
        assert_eq!(shown(range(5, 5, false)), format!("{four}, .. 5 in all"));
    }
}
