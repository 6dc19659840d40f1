//! Whatever is stored, decoding it ends in an answer; what it reads can be written again, and is read
//! as it was; what was written once is written so ever after, to the byte.

use portolan_core::instance::GroupConfig;
use portolan_core::layout::{Decoded, Layout, Written};
use portolan_core::waist::{Key, Value};

/// Long enough for any sentence about a record, with what it quotes written as escapes.
const LONGEST_REASON: usize = 1_000;

/// The first byte says of which layout, and at which key, the rest is the value.
pub fn run(input: &[u8]) {
    let Some((&at, value)) = input.split_first() else { return };
    let value = Value::from(value);
    match at % 4 {
        0 => hold(&native(), "/portolan/instances/web/w1", &value),
        1 => hold(&native(), "/portolan/groups/web", &value),
        2 => hold(&naming(), "shop/cart/1", &value),
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
    golden.map(|(at, name, text)| (name.to_owned(), [&[at], text.as_bytes()].concat())).into()
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
