//! Whatever is stored, decoding it ends in an answer; what it reads can be written again, and is read
//! as it was; what was written once is written so ever after, to the byte.

use portolan_core::instance::GroupConfig;
use portolan_core::layout::{Decoded, Layout, Written};
use portolan_core::waist::{Key, Value};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::tape::{self, Tape};

/// Long enough for any sentence about a record, with what it quotes written as escapes.
const LONGEST_REASON: usize = 1_000;

const INSTANCE: &str = "/portolan/instances/web/w1";
const CONFIG: &str = "/portolan/groups/web";
const NAMING: &str = "shop/cart/1";

/// What a tape says of a record: its fields, in any order.
#[derive(Debug, Serialize, Deserialize)]
struct Made {
    of: Of,
    fields: Vec<Field>,
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Of {
    Instance,
    Config,
    Naming,
}

/// A name, and what is told under it.
#[derive(Debug, Serialize, Deserialize)]
enum Field {
    /// One of those that a layout knows, as it may be.
    Good(u8),
    Known(u8, Told),
    Any(String, Told),
}

#[derive(Debug, Serialize, Deserialize)]
enum Told {
    Text(String),
    Number(i64),
    Float(f32),
    Nothing,
    Truth(bool),
    Texts(Vec<(String, String)>),
    List(Vec<String>),
    Within(Vec<(String, Told)>),
}

/// The first byte says of which layout, and at which key, the rest is the value, or that the rest is a
/// tape.
pub fn run(input: &[u8]) {
    let Some((&at, value)) = input.split_first() else { return };
    if at % 8 == 7 {
        if let Some(made) = Tape::new(value).read::<Made>() {
            let value = Value::from(made.text().into_bytes());
            match made.of {
                Of::Instance => hold(&native(), INSTANCE, &value),
                Of::Config => hold(&native(), CONFIG, &value),
                Of::Naming => hold(&naming(), NAMING, &value),
            }
        }
        return;
    }
    let value = Value::from(value);
    match at % 4 {
        0 => hold(&native(), INSTANCE, &value),
        1 => hold(&native(), CONFIG, &value),
        2 => hold(&naming(), NAMING, &value),
        _ => {
            // A key that is hostile as well.
            let (key, value) = value.split_at(value.len().min(usize::from(at) / 4));
            let key = [b"/portolan/", key].concat();
            hold(&native(), key, &Value::from(value));
        }
    }
}

/// The golden records, each at its key.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    macro_rules! golden {
        ($($at:literal $name:literal,)*) => {
            [$(($at, $name, include_str!(concat!("../../../core/src/layout/golden/", $name, ".json"))),)*]
        };
    }
    let golden = golden![
        0 "native-instance",
        0 "native-instance-evicted",
        0 "native-instance-small",
        0 "native-instance-unknown",
        1 "native-config",
        1 "native-config-unknown",
        2 "naming-labels",
        2 "naming-nested",
        2 "naming-plain",
        2 "naming-proxy",
        2 "naming-string",
        2 "naming-weight",
    ];
    // At the key that they are held at here.
    let here = |text: &str| {
        text.replace("checkout-2", "w1").replace(r#""group":"checkout""#, r#""group":"web""#)
    };
    let text =
        golden.map(|(at, name, text)| (name.to_owned(), [&[at], here(text).as_bytes()].concat()));
    let made = [Of::Instance, Of::Config, Of::Naming].map(|of| {
        let fields = (0..of.good().len() as u8).map(Field::Good).collect();
        (format!("made-{of:?}"), [&[7], &tape::write(&[Made { of, fields }])[..]].concat())
    });
    text.into_iter().chain(made).collect()
}

impl Of {
    /// All fields, in order, as they may be.
    fn good(self) -> Vec<(&'static str, serde_json::Value)> {
        match self {
            Self::Instance => vec![
                ("v", json!(1)),
                ("group", json!("web")),
                ("id", json!("w1")),
                ("state", json!("ready")),
                ("endpoints", json!({ "http": "10.1.2.3:8080", "metrics": "[2001:db8::1]:9100" })),
                ("labels", json!({ "zone": "eu \"1\"", "rack": "r7" })),
                ("version", json!("1.4.0-rc.1")),
                ("weight", json!(100)),
                ("created", json!(1_700_000_000_123_u64)),
                ("stamp", json!({ "run": "00c0ffee00000001", "registration": 3, "sequence": 12 })),
                ("evicted", json!({ "by": "ops" })),
            ],
            Self::Config => vec![
                ("v", json!(1)),
                ("group", json!("web")),
                ("data", json!({ "limits": { "rate": 2 }, "tags": ["a", null, true] })),
                ("operation", json!("0000000000000a0b")),
            ],
            Self::Naming => vec![
                ("Op", json!(0)),
                ("Addr", json!("10.0.0.7:8080")),
                ("Metadata", json!({ "zone": "a", "weight": 3 })),
            ],
        }
    }
}

impl Made {
    /// As JSON; a name may come twice.
    fn text(&self) -> String {
        let good = self.of.good();
        let known = |at: u8| &good[usize::from(at) % good.len()];
        let field = |field: &Field| {
            let (name, told) = match field {
                Field::Good(at) => known(*at).clone(),
                Field::Known(at, told) => (known(*at).0, told.json()),
                Field::Any(name, told) => (name.as_str(), told.json()),
            };
            format!("{}:{told}", json!(name))
        };
        format!("{{{}}}", self.fields.iter().map(field).collect::<Vec<_>>().join(","))
    }
}

impl Told {
    fn json(&self) -> serde_json::Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(number) => json!(number),
            Self::Float(number) => json!(number),
            Self::Nothing => json!(null),
            Self::Truth(truth) => json!(truth),
            Self::Texts(pairs) => {
                pairs.iter().map(|(name, text)| (name.clone(), json!(text))).collect()
            }
            Self::List(texts) => json!(texts),
            Self::Within(fields) => {
                fields.iter().map(|(name, told)| (name.clone(), told.json())).collect()
            }
        }
    }
}

fn native() -> Layout {
    Layout::default()
}

fn naming() -> Layout {
    Layout::etcd_naming("shop").expect("a root")
}

fn hold(layout: &Layout, key: impl Into<Key>, value: &Value) {
    let key = key.into();
    layout.operation_of(value);
    let stamp = layout.stamp_of(&key, value);
    match layout.decode(&key, value) {
        Decoded::Instance(instance) => {
            assert_eq!(instance.stamp(), stamp, "one stamp");
            let stamp = stamp.unwrap_or_default();
            let write = |instance| match layout.encode_instance(instance, stamp).as_deref() {
                Ok([written]) => written.clone(),
                other => panic!("what was read is written as one record: {other:?}"),
            };
            let written: Written = write(&instance);
            assert_eq!(written.key, key, "at the key it was read from");
            let Decoded::Instance(again) = layout.decode(&written.key, &written.value) else {
                panic!("what was written is no instance");
            };
            assert_eq!(again.clone().with_stamp(instance.stamp()), instance, "read as it was");
            assert_eq!(write(&again), written, "canonical once it is written");
            if let Ok(marked) = layout.evict(&key, value, "an operator") {
                let of = layout.eviction_of(&key, &marked);
                let by = of.as_ref().map(|(stamp, by)| (*stamp, &**by));
                assert_eq!(by, instance.stamp().map(|stamp| (stamp, "an operator")));
            }
        }
        Decoded::Config(config) => {
            let operation = config.operation().unwrap_or_default();
            let write = |config: &GroupConfig| match layout.encode_config(config, operation) {
                Ok(written) => written,
                Err(error) => panic!("what was read cannot be written: {error}"),
            };
            let written = write(&config);
            assert_eq!(written.key, key, "at the key it was read from");
            assert_eq!(layout.operation_of(&written.value), Some(operation));
            let Decoded::Config(again) = layout.decode(&written.key, &written.value) else {
                panic!("what was written is no configuration");
            };
            assert_eq!((again.data(), again.unknown()), (config.data(), config.unknown()));
            assert_eq!(write(&again), written, "canonical once it is written");
        }
        Decoded::Bad(bad) => {
            assert_eq!(stamp, None, "what cannot be read has no stamp");
            let why = bad.to_string();
            assert!(why.len() < LONGEST_REASON, "{} bytes of reasons", why.len());
        }
        Decoded::Ignored => assert_eq!(stamp, None, "what is none of ours has no stamp"),
    }
}
