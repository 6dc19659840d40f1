//! The files in `golden/` are what other programs, and other versions of this one, hold in their
//! stores: they are read as told here and written back to the byte. Never change one.

use super::*;
use crate::instance::Data;

macro_rules! golden {
    ($name:literal) => {
        include_str!(concat!("../golden/", $name, ".json"))
    };
}

const STAMP: Stamp = Stamp { run: 1, registration: 1, sequence: 1 };

fn native_instances() -> Vec<(&'static str, &'static str, Instance)> {
    let full = builder("checkout", "checkout-2")
        .endpoint("http", "10.1.2.3:8080")
        .endpoint("metrics", "[2001:db8::1]:9100")
        .label("zone", "eu \"1\" é<")
        .label("rack", "r7")
        .version(semver::Version::parse("1.4.0-rc.1+build.7").expect("a version"))
        .weight(100)
        .created_millis(1_700_000_000_123)
        .build()
        .expect("an instance");
    let stamp = Stamp { run: 0x00c0_ffee_0000_0001, registration: 3, sequence: 12 };
    let small = builder("web", "w1").state(State::OutOfService).build().expect("an instance");
    vec![
        (
            "/portolan/instances/checkout/checkout-2",
            golden!("native-instance"),
            full.with_stamp(Some(stamp)),
        ),
        (
            "/portolan/instances/web/w1",
            golden!("native-instance-small"),
            small.with_stamp(Some(STAMP)),
        ),
    ]
}

#[test]
fn native_instances_are_read_and_written() {
    let layout = Layout::default();
    for (key, value, expected) in native_instances() {
        assert_eq!(instance(&layout, key, value), expected);
        let stamp = expected.stamp().expect("it has one");
        let written = Written { key: key.into(), value: value.into() };
        assert_eq!(layout.encode_instance(&expected, stamp), Ok(vec![written]));
    }
}

/// A newer version's record: what it wrote beside the known stays when an older one changes it.
#[test]
fn native_unknown_fields_stay() {
    let layout = Layout::default();
    let key = "/portolan/instances/web/w1";
    let value = golden!("native-instance-unknown");
    let read = instance(&layout, key, value);
    assert_eq!(read.endpoint("http"), Some("w1.example:80"));
    assert_eq!(read.unknown(), Some(r#"{"load":0.250,"zones":[1,2,3]}"#));
    // Which the first version did not know, and kept.
    assert_eq!(read.evicted_by(), Some("ops"));
    let stamp = Stamp { run: u64::MAX, registration: (1 << 53) - 1, sequence: 1 };
    assert_eq!(read.stamp(), Some(stamp));
    let ready = read.with_state(State::Ready).edit().label("zone", "a").build().expect("fine");
    let written = layout.encode_instance(&ready, stamp).expect("fits").remove(0);
    let expected = value
        .replace("draining", "ready")
        .replace(r#","stamp""#, r#","labels":{"zone":"a"},"stamp""#);
    assert_eq!(written.value, Value::from(expected));
}

/// An operator's mark: all else stays, the owner's stamp included, and nobody calls it any more.
#[test]
fn native_eviction_marks_are_read_and_written() {
    let layout = Layout::default();
    let key = Key::from("/portolan/instances/web/w1");
    let value = Value::from(golden!("native-instance-evicted"));
    let read = instance(&layout, "/portolan/instances/web/w1", golden!("native-instance-evicted"));
    assert_eq!((read.evicted_by(), read.state()), (Some(r#"ops at "desk 3""#), State::Draining));
    let written = Written { key: key.clone(), value: value.clone() };
    assert_eq!(layout.encode_instance(&read, STAMP), Ok(vec![written]));
    let by = (STAMP, Box::from(r#"ops at "desk 3""#));
    assert_eq!(layout.eviction_of(&key, &value), Some(by));

    let owned = read.clone().without_mark().with_state(State::Ready);
    let owned = layout.encode_instance(&owned, STAMP).expect("fits").remove(0);
    assert_eq!(layout.eviction_of(&key, &owned.value), None);
    assert_eq!(layout.evict(&key, &owned.value, r#"ops at "desk 3""#), Ok(value.clone()));
    // One mark takes the place of another.
    assert_eq!(
        layout.evict(&key, &value, "me").map(|value| layout.evict(
            &key,
            &value,
            r#"ops at "desk 3""#
        )),
        Ok(Ok(value))
    );

    // By hand, and by a newer version.
    let by_hand = layout.evict(&key, &r#"{"v":1,"weight":2,"y":0.50}"#.into(), "me").expect("fits");
    let expected = r#"{"v":1,"group":"web","id":"w1","state":"draining","weight":2,"evicted":{"by":"me"},"y":0.50}"#;
    assert_eq!(by_hand, Value::from(expected));
    assert_eq!(layout.eviction_of(&key, &by_hand), None, "nobody's registration");
}

#[test]
fn native_configs_are_read_and_written() {
    let layout = Layout::default();
    let cases = [
        (
            "/portolan/groups/checkout",
            golden!("native-config"),
            r#"{"limits":{"rate":12345678901234567890.50},"tags":["a",null,true]}"#,
            0xa0b,
            None,
        ),
        (
            "/portolan/groups/web",
            golden!("native-config-unknown"),
            "null",
            u64::MAX,
            Some(r#"{"note":"by hand"}"#),
        ),
    ];
    for (key, value, data, operation, unknown) in cases {
        let Decoded::Config(config) = layout.decode(&key.into(), &value.into()) else {
            panic!("{key} is no configuration");
        };
        assert_eq!(key, format!("/portolan/groups/{}", config.group()));
        assert_eq!(config.data().as_str(), data);
        assert_eq!((config.operation(), config.unknown()), (Some(operation), unknown));
        let written = Written { key: key.into(), value: value.into() };
        assert_eq!(layout.encode_config(&config, operation), Ok(written));

        let other = config.with_data(Data::parse("[1]").expect("JSON"));
        let written = layout.encode_config(&other, operation).expect("fits");
        assert_eq!(written.value, Value::from(value.replace(data, "[1]")));
    }
}

/// Key, value, address and labels.
type Case = (&'static str, &'static str, &'static str, &'static [(&'static str, &'static str)]);

#[test]
fn naming_records_are_read_and_written() {
    let layout = fleet();
    let plain = golden!("naming-plain");
    let cases: [Case; 7] = [
        ("shop/cart/10.0.0.7:8080", plain, "10.0.0.7:8080", &[]),
        ("shop/cart/a/b c", plain, "10.0.0.7:8080", &[]),
        (
            "shop/cart/1",
            golden!("naming-labels"),
            "10.0.0.7:8080",
            &[("note", "<a & \"b\">/é"), ("zone", "a")],
        ),
        (
            "shop/cart/1",
            golden!("naming-weight"),
            "10.0.0.7:8080",
            &[("weight", "3"), ("zone", "a")],
        ),
        ("shop/cart/1", golden!("naming-string"), "10.0.0.7:8080", &[]),
        ("shop/proxies/10.0.0.5:23790", golden!("naming-proxy"), "10.0.0.5:23790", &[]),
        ("shop/cart/1", golden!("naming-nested"), "[2001:db8::1]:80", &[("canary", "true")]),
    ];
    for (key, value, address, labels) in cases {
        let read = instance(&layout, key, value);
        assert_eq!(key, format!("shop/{}/{}", read.group(), read.id()));
        assert_eq!(read.endpoints().collect::<Vec<_>>(), [(NAMING_ENDPOINT, address)]);
        assert_eq!(read.labels().collect::<Vec<_>>(), labels);
        assert_eq!((read.state(), read.stamp()), (State::Ready, None));
        let written = Written { key: key.into(), value: value.into() };
        assert_eq!(layout.encode_instance(&read, STAMP), Ok(vec![written]));
    }
    let built = builder("cart", "1")
        .endpoint("http", "10.0.0.7:8080")
        .label("zone", "a")
        .label("note", "<a & \"b\">/é")
        .build()
        .expect("an instance");
    let written = layout.encode_instance(&built, STAMP).expect("fits").remove(0);
    assert_eq!(written.value, Value::from(golden!("naming-labels")));
}
