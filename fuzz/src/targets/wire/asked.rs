//! etcd's requests as a tape has them, and as protobuf has them. Keys are texts here, which are the
//! same bytes there.

use prost::encoding::{WireType, encode_key, encode_varint};
use prost::{Message, Oneof};
use serde::{Deserialize, Serialize};

use super::seldom::Seldom;

/// No message is longer, in bytes.
const MOST_BYTES: usize = 64 << 10;

/// Requests, by the names of their methods.
macro_rules! asked {
    ($($name:ident($message:ident) $path:literal;)*) => {
        /// A request, with the method that it is made for.
        #[derive(Clone, Debug, Serialize, Deserialize)]
        pub enum Asked {
            $($name($message),)*
        }

        /// All methods that there are.
        pub const METHODS: &[&str] = &[$($path),*];

        impl Asked {
            /// Service and method.
            pub fn path(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => $path,)*
                }
            }

            fn bytes(&self) -> Vec<u8> {
                match self {
                    $(Self::$name(asked) => asked.bytes(),)*
                }
            }
        }
    };
}

asked! {
    Range(Range) "KV/Range";
    RangeStream(Range) "KV/RangeStream";
    Put(Put) "KV/Put";
    DeleteRange(Delete) "KV/DeleteRange";
    Txn(Nested) "KV/Txn";
    Compact(Compact) "KV/Compact";
    Watch(Watch) "Watch/Watch";
    LeaseGrant(Grant) "Lease/LeaseGrant";
    LeaseRevoke(Number) "Lease/LeaseRevoke";
    LeaseKeepAlive(Number) "Lease/LeaseKeepAlive";
    LeaseTimeToLive(TimeToLive) "Lease/LeaseTimeToLive";
    LeaseLeases(Nothing) "Lease/LeaseLeases";
    MemberAdd(Name) "Cluster/MemberAdd";
    MemberRemove(Number) "Cluster/MemberRemove";
    MemberUpdate(Number) "Cluster/MemberUpdate";
    MemberList(Number) "Cluster/MemberList";
    MemberPromote(Number) "Cluster/MemberPromote";
    Alarm(Alarm) "Maintenance/Alarm";
    Status(Nothing) "Maintenance/Status";
    Defragment(Nothing) "Maintenance/Defragment";
    Hash(Nothing) "Maintenance/Hash";
    HashKv(Number) "Maintenance/HashKV";
    Snapshot(Nothing) "Maintenance/Snapshot";
    MoveLeader(Number) "Maintenance/MoveLeader";
    Downgrade(Number) "Maintenance/Downgrade";
    AuthEnable(Nothing) "Auth/AuthEnable";
    AuthDisable(Nothing) "Auth/AuthDisable";
    AuthStatus(Nothing) "Auth/AuthStatus";
    Authenticate(Login) "Auth/Authenticate";
    UserAdd(NewUser) "Auth/UserAdd";
    UserGet(Name) "Auth/UserGet";
    UserList(Nothing) "Auth/UserList";
    UserDelete(Name) "Auth/UserDelete";
    UserChangePassword(Login) "Auth/UserChangePassword";
    UserGrantRole(Pair) "Auth/UserGrantRole";
    UserRevokeRole(Pair) "Auth/UserRevokeRole";
    RoleAdd(Name) "Auth/RoleAdd";
    RoleGet(Name) "Auth/RoleGet";
    RoleList(Nothing) "Auth/RoleList";
    RoleDelete(Name) "Auth/RoleDelete";
    RoleGrantPermission(GrantPermission) "Auth/RoleGrantPermission";
    RoleRevokePermission(Span) "Auth/RoleRevokePermission";
}

/// The bytes of a message.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Text {
    /// Of a request, one of them changed perhaps.
    Asked(Asked, Seldom<Changed>),
    /// Of any fields.
    Fields(Vec<Field>),
    /// Any.
    Raw(Vec<u8>),
}

/// The byte at a place is another one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changed {
    pub at: u16,
    pub byte: u8,
}

impl Text {
    /// The method that they are made for, if any.
    pub fn path(&self) -> Option<&'static str> {
        if let Self::Asked(asked, _) = self { Some(asked.path()) } else { None }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = match self {
            Self::Asked(asked, changed) => {
                let mut bytes = asked.bytes();
                if let Some(change) = &changed.0 {
                    let length = bytes.len().max(1);
                    if let Some(byte) = bytes.get_mut(usize::from(change.at) % length) {
                        *byte = change.byte;
                    }
                }
                bytes
            }
            Self::Fields(fields) => Field::all(fields),
            Self::Raw(bytes) => bytes.clone(),
        };
        bytes.truncate(MOST_BYTES);
        bytes
    }
}

/// A field of a message that nobody has described.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Field {
    Number {
        tag: u8,
        number: u64,
    },
    Text {
        tag: u8,
        text: String,
    },
    Bytes {
        tag: u8,
        bytes: Vec<u8>,
    },
    Four {
        tag: u8,
        number: u32,
    },
    Eight {
        tag: u8,
        number: u64,
    },
    /// The beginning or the end of a group, which protobuf has given up.
    Group {
        tag: u8,
        ends: bool,
    },
    /// All that follows, as a message within a message within a message.
    Deep {
        tag: u8,
        times: u8,
    },
}

impl Field {
    fn all(fields: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for field in fields.iter().rev() {
            let mut with = Vec::new();
            match field {
                Self::Number { tag, number } => {
                    key(*tag, WireType::Varint, &mut with);
                    encode_varint(*number, &mut with);
                }
                Self::Text { tag, text } => within(*tag, text.as_bytes(), &mut with),
                Self::Bytes { tag, bytes } => within(*tag, bytes, &mut with),
                Self::Four { tag, number } => {
                    key(*tag, WireType::ThirtyTwoBit, &mut with);
                    with.extend(number.to_le_bytes());
                }
                Self::Eight { tag, number } => {
                    key(*tag, WireType::SixtyFourBit, &mut with);
                    with.extend(number.to_le_bytes());
                }
                Self::Group { tag, ends } => {
                    let kind = if *ends { WireType::EndGroup } else { WireType::StartGroup };
                    key(*tag, kind, &mut with);
                }
                Self::Deep { tag, times } => {
                    for _ in 0..*times {
                        let inner = std::mem::take(&mut bytes);
                        within(*tag, &inner, &mut bytes);
                    }
                }
            }
            with.append(&mut bytes);
            bytes = with;
            bytes.truncate(MOST_BYTES);
        }
        bytes
    }
}

/// Protobuf knows no tag 0.
fn key(tag: u8, kind: WireType, to: &mut Vec<u8>) {
    encode_key(u32::from(tag).max(1), kind, to);
}

fn within(tag: u8, bytes: &[u8], to: &mut Vec<u8>) {
    key(tag, WireType::LengthDelimited, to);
    encode_varint(bytes.len() as u64, to);
    to.extend(bytes);
}

/// Something that has bytes as protobuf has them.
trait Bytes {
    fn bytes(&self) -> Vec<u8>;
}

impl<M: Message> Bytes for M {
    fn bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }
}

/// Messages of etcd's `rpc.proto`, by their fields; those alike are one.
macro_rules! messages {
    ($($name:ident { $($(#[$kind:meta])* $field:ident: $type:ty,)* })*) => {
        $(
            #[derive(Clone, PartialEq, Message, Serialize, Deserialize)]
            pub struct $name {
                $($(#[$kind])* pub $field: $type,)*
            }
        )*
    };
}

messages! {
    Nothing {}
    Number {
        #[prost(int64, tag = "1")] number: i64,
    }
    Name {
        #[prost(string, tag = "1")] name: String,
    }
    Pair {
        #[prost(string, tag = "1")] one: String,
        #[prost(string, tag = "2")] other: String,
    }
    Range {
        #[prost(string, tag = "1")] key: String,
        #[prost(string, tag = "2")] end: String,
        #[prost(int64, tag = "3")] limit: i64,
        #[prost(int64, tag = "4")] revision: i64,
        #[prost(int32, tag = "5")] sort_order: i32,
        #[prost(int32, tag = "6")] sort_target: i32,
        #[prost(bool, tag = "7")] serializable: bool,
        #[prost(bool, tag = "8")] keys_only: bool,
        #[prost(bool, tag = "9")] count_only: bool,
        #[prost(int64, tag = "10")] min_mod: i64,
        #[prost(int64, tag = "11")] max_mod: i64,
        #[prost(int64, tag = "12")] min_create: i64,
        #[prost(int64, tag = "13")] max_create: i64,
    }
    Put {
        #[prost(string, tag = "1")] key: String,
        #[prost(string, tag = "2")] value: String,
        #[prost(int64, tag = "3")] lease: i64,
        #[prost(bool, tag = "4")] prev_kv: bool,
        #[prost(bool, tag = "5")] ignore_value: bool,
        #[prost(bool, tag = "6")] ignore_lease: bool,
    }
    Delete {
        #[prost(string, tag = "1")] key: String,
        #[prost(string, tag = "2")] end: String,
        #[prost(bool, tag = "3")] prev_kv: bool,
    }
    Compact {
        #[prost(int64, tag = "1")] revision: i64,
        #[prost(bool, tag = "2")] physical: bool,
    }
    Txn {
        #[prost(message, repeated, tag = "1")] compares: Vec<Compare>,
        #[prost(message, repeated, tag = "2")] then: Vec<Operation>,
        #[prost(message, repeated, tag = "3")] or_else: Vec<Operation>,
    }
    Compare {
        #[prost(int32, tag = "1")] result: i32,
        #[prost(int32, tag = "2")] target: i32,
        #[prost(string, tag = "3")] key: String,
        #[prost(oneof = "With", tags = "4, 5, 6, 7, 8")] with: Option<With>,
        #[prost(string, tag = "64")] end: String,
    }
    Operation {
        #[prost(oneof = "Op", tags = "1, 2, 3")] op: Option<Op>,
    }
    Watch {
        #[prost(oneof = "WatchSay", tags = "1, 2, 3")] say: Option<WatchSay>,
    }
    Create {
        #[prost(string, tag = "1")] key: String,
        #[prost(string, tag = "2")] end: String,
        #[prost(int64, tag = "3")] start: i64,
        #[prost(bool, tag = "4")] progress: bool,
        #[prost(int32, repeated, tag = "5")] filters: Vec<i32>,
        #[prost(bool, tag = "6")] prev_kv: bool,
        #[prost(int64, tag = "7")] id: i64,
        #[prost(bool, tag = "8")] fragment: bool,
    }
    Grant {
        #[prost(int64, tag = "1")] ttl: i64,
        #[prost(int64, tag = "2")] id: i64,
    }
    TimeToLive {
        #[prost(int64, tag = "1")] id: i64,
        #[prost(bool, tag = "2")] keys: bool,
    }
    Alarm {
        #[prost(int32, tag = "1")] action: i32,
        #[prost(uint64, tag = "2")] member: u64,
        #[prost(int32, tag = "3")] alarm: i32,
    }
    Login {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] password: String,
        #[prost(string, tag = "3")] hashed: String,
    }
    NewUser {
        #[prost(string, tag = "1")] name: String,
        #[prost(string, tag = "2")] password: String,
        #[prost(message, optional, tag = "3")] options: Option<Number>,
        #[prost(string, tag = "4")] hashed: String,
    }
    GrantPermission {
        #[prost(string, tag = "1")] role: String,
        #[prost(message, optional, tag = "2")] permission: Option<Permission>,
    }
    Permission {
        #[prost(int32, tag = "1")] access: i32,
        #[prost(string, tag = "2")] key: String,
        #[prost(string, tag = "3")] end: String,
    }
    Span {
        #[prost(string, tag = "1")] role: String,
        #[prost(string, tag = "2")] key: String,
        #[prost(string, tag = "3")] end: String,
    }
}

#[derive(Clone, PartialEq, Oneof, Serialize, Deserialize)]
pub enum With {
    #[prost(int64, tag = "4")]
    Version(i64),
    #[prost(int64, tag = "5")]
    Create(i64),
    #[prost(int64, tag = "6")]
    Mod(i64),
    #[prost(string, tag = "7")]
    Value(String),
    #[prost(int64, tag = "8")]
    Lease(i64),
}

#[derive(Clone, PartialEq, Oneof, Serialize, Deserialize)]
pub enum Op {
    #[prost(message, tag = "1")]
    Range(Range),
    #[prost(message, tag = "2")]
    Put(Put),
    #[prost(message, tag = "3")]
    Delete(Delete),
}

#[derive(Clone, PartialEq, Oneof, Serialize, Deserialize)]
pub enum WatchSay {
    #[prost(message, tag = "1")]
    Create(Create),
    #[prost(message, tag = "2")]
    Cancel(Number),
    #[prost(message, tag = "3")]
    Progress(Nothing),
}

/// A transaction within a transaction within a transaction.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Nested {
    pub txn: Txn,
    pub times: u8,
}

impl Nested {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.txn.encode_to_vec();
        for _ in 0..self.times {
            let (mut operation, mut outer) = (Vec::new(), Vec::new());
            within(4, &bytes, &mut operation);
            within(2, &operation, &mut outer);
            bytes = outer;
        }
        bytes
    }
}
