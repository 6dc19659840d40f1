use proptest::prelude::*;

use super::*;
use crate::json::tests::document;

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9_-][a-zA-Z0-9._-]{0,9}"
}

fn address() -> impl Strategy<Value = String> {
    let host = prop_oneof![
        any::<[u8; 4]>().prop_map(|v4| std::net::Ipv4Addr::from(v4).to_string()),
        any::<[u8; 16]>().prop_map(|v6| format!("[{}]", std::net::Ipv6Addr::from(v6))),
        "[a-z]([a-z0-9-]{0,9}[a-z])?(\\.[a-z]{1,5})?",
    ];
    (host, 1..=u16::MAX).prop_map(|(host, port)| format!("{host}:{port}"))
}

fn label() -> impl Strategy<Value = String> {
    let text = prop_oneof!["[ -~]{0,20}", "\\PC{0,40}"];
    text.prop_filter("prints", |text| crate::instance::check_label(text).is_ok())
}

/// Fields that no version knows yet.
fn unknown() -> impl Strategy<Value = Option<String>> {
    let fields = proptest::collection::btree_map("x[a-z<é]{0,3}", document(), 1..4);
    proptest::option::of(
        fields
            .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect()).to_string()),
    )
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (any::<u64>(), 0..1_u64 << 53, 0..1_u64 << 53).prop_map(|(run, registration, sequence)| Stamp {
        run,
        registration,
        sequence,
    })
}

fn any_instance() -> impl Strategy<Value = Instance> {
    let texts = (
        proptest::collection::btree_map(name(), address(), 0..4),
        proptest::collection::btree_map(name(), label(), 0..5),
        proptest::option::of("[0-9]\\.[1-9]{1,3}\\.0(-[a-z]{1,3})?"),
        unknown(),
    );
    let numbers = (
        proptest::sample::select(&State::ALL[..]),
        proptest::option::of(any::<u16>()),
        proptest::option::of(1..1_u64 << 53),
        proptest::option::of(label().prop_filter("says something", |by| !by.is_empty())),
    );
    (name(), name(), texts, numbers).prop_map(
        |(
            group,
            id,
            (endpoints, labels, version, unknown),
            (state, weight, created_millis, by),
        )| {
            let plain = serde_json::json!({
                "group": group,
                "id": id,
                "endpoints": endpoints,
                "labels": labels,
                "version": version,
                "unknown": unknown,
                "state": state,
                "weight": weight,
                "created_millis": created_millis,
                "evicted_by": by,
            });
            serde_json::from_value(plain).expect("an instance")
        },
    )
}

fn written(layout: &Layout, instance: &Instance, stamp: Stamp) -> Written {
    layout.encode_instance(instance, stamp).expect("fits").remove(0)
}

fn read(layout: &Layout, written: &Written) -> Instance {
    match layout.decode(&written.key, &written.value) {
        Decoded::Instance(instance) => instance,
        other @ (Decoded::Config(_) | Decoded::Ignored | Decoded::Bad(_)) => panic!("{other:?}"),
    }
}

/// Whatever was read can be written, and is read again as it was.
fn settled(layout: &Layout, key: &Key, value: &Value) -> Result<(), TestCaseError> {
    match layout.decode(key, value) {
        Decoded::Instance(instance) => {
            let stamp = instance.stamp();
            let mut back = layout
                .encode_instance(&instance, stamp.unwrap_or_default())
                .map_err(|error| TestCaseError::fail(error.to_string()))?;
            let back = back.remove(0);
            prop_assert_eq!(&back.key, key);
            prop_assert_eq!(read(layout, &back).with_stamp(stamp), instance);
        }
        Decoded::Config(config) => {
            let operation = config.operation().unwrap_or_default();
            let back = layout.encode_config(&config, operation).expect("fits");
            let Decoded::Config(again) = layout.decode(&back.key, &back.value) else {
                return Err(TestCaseError::fail("no configuration any more"));
            };
            prop_assert_eq!(&back.key, key);
            prop_assert_eq!(again.data(), config.data());
            prop_assert_eq!(again.unknown(), config.unknown());
        }
        Decoded::Bad(bad) => {
            prop_assert!(bad.to_string().len() < 500, "{bad}");
            let text = serde_json::to_string(&bad).expect("text");
            prop_assert_eq!(serde_json::from_str::<BadRecord>(&text).expect("a reason"), bad);
        }
        Decoded::Ignored => {}
    }
    Ok(())
}

/// One way to spoil bytes.
#[derive(Clone, Debug)]
enum Spoil {
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index),
}

fn spoil() -> impl Strategy<Value = Spoil> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        (at(), 0..8_u8).prop_map(|(at, bit)| Spoil::Flip(at, 1 << bit)),
        at().prop_map(Spoil::Cut),
        (at(), "[\\[\\]{}\":,0-9a-z]{1,3}").prop_map(|(at, text)| Spoil::Insert(at, text.into())),
        at().prop_map(Spoil::Remove),
    ]
}

fn spoiled(bytes: &[u8], spoils: &[Spoil]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for spoil in spoils {
        if bytes.is_empty() {
            break;
        }
        match spoil {
            Spoil::Flip(at, bits) => {
                let at = at.index(bytes.len());
                bytes[at] ^= bits;
            }
            Spoil::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Spoil::Insert(at, text) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, text.iter().copied());
            }
            Spoil::Remove(at) => {
                bytes.remove(at.index(bytes.len()));
            }
        }
    }
    bytes
}

proptest! {
    #[test]
    fn native_instances_round_trip(instance in any_instance(), stamp in stamp()) {
        let layout = Layout::default();
        let back = read(&layout, &written(&layout, &instance, stamp));
        prop_assert_eq!(&back, &instance.with_stamp(Some(stamp)));
        let text = serde_json::to_string(&back).expect("text");
        prop_assert_eq!(serde_json::from_str::<Instance>(&text).expect("an instance"), back);
    }

    /// An older version's change of a newer one's record keeps what it does not know.
    #[test]
    fn unknown_fields_survive_an_update(instance in any_instance(), stamp in stamp()) {
        let layout = Layout::default();
        let found = read(&layout, &written(&layout, &instance, Stamp::default()));
        let changed = found.with_state(State::Draining).edit().label("new", "1").build();
        let back = read(&layout, &written(&layout, &changed.expect("fits"), stamp));
        prop_assert_eq!(back.unknown(), instance.unknown());
        prop_assert_eq!(back.label("new"), Some("1"));
    }

    #[test]
    fn native_configs_round_trip(data in document(), other in document(), operation in any::<u64>()) {
        let layout = Layout::default();
        let data = crate::instance::Data::from_value(&data).expect("JSON");
        let config = GroupConfig::new(group("web"), data.clone());
        let back = layout.encode_config(&config, operation).expect("fits");
        prop_assert_eq!(layout.operation_of(&back.value), Some(operation));
        let Decoded::Config(back) = layout.decode(&back.key, &back.value) else {
            return Err(TestCaseError::fail("no configuration"));
        };
        prop_assert_eq!((back.data(), back.operation()), (&data, Some(operation)));
        prop_assert_eq!(&data.to_value().to_string().parse::<crate::instance::Data>(), &Ok(data));

        let other = crate::instance::Data::from_value(&other).expect("JSON");
        let changed = back.with_data(other.clone());
        prop_assert_eq!((changed.data(), changed.group()), (&other, &group("web")));
    }

    /// All but the endpoint and the labels is left out.
    #[test]
    fn naming_instances_round_trip(instance in any_instance(), address in address(), id in "[^\\pC]{1,20}") {
        let layout = fleet();
        let id = layout.parse_id(&id).expect("it prints");
        let labels = |builder: Builder| {
            instance.labels().fold(builder, |builder, (key, value)| builder.label(key, value))
        };
        let full = Instance::builder(instance.group_name(), id.clone())
            .endpoint("http", &address)
            .state(State::Draining)
            .weight(1);
        let full = labels(full).build().expect("an instance");
        let expected = Instance::builder(instance.group_name(), id).endpoint(NAMING_ENDPOINT, &address);
        let expected = labels(expected).build().expect("an instance");
        let back = written(&layout, &full, Stamp::default());
        prop_assert_eq!(&read(&layout, &back), &expected);
        prop_assert_eq!(written(&layout, &expected, Stamp::default()), back);
    }

    /// Any metadata stays to the byte; labels are what fits of it.
    #[test]
    fn naming_metadata_stays(metadata in document()) {
        let mut text = String::new();
        let plain = metadata.to_string();
        let json = crate::json::Json::parse(&plain, crate::json::Style::Go).expect("JSON");
        json.write(crate::json::Style::Go, &mut text);
        let value = format!(r#"{{"Op":0,"Addr":"a:1","Metadata":{text}}}"#);
        let record = Written { key: "shop/cart/1".into(), value: value.into() };
        let back = read(&fleet(), &record);
        prop_assert_eq!(written(&fleet(), &back, Stamp::default()), record);
    }

    /// The fast reader gives up or reads what the whole one reads; it takes on what is written
    /// plainly.
    #[test]
    fn the_fast_reader_is_right(
        instance in any_instance(),
        stamp in stamp(),
        spoils in proptest::collection::vec(spoil(), 0..3),
    ) {
        let mut plain = serde_json::to_value(&instance).expect("JSON");
        plain["group"] = "web".into();
        plain["id"] = "w1".into();
        let instance: Instance = serde_json::from_value(plain).expect("an instance");
        let value = written(&Layout::default(), &instance, stamp).value;
        let text = std::str::from_utf8(&value).expect("it is text");
        let (fast, whole) = crate::layout::native::both_ways(text);
        let rare = instance.unknown().is_some() || instance.evicted_by().is_some();
        prop_assert_eq!(fast.is_some(), !rare && !text.contains('\\'));
        prop_assert!(fast.is_none_or(|fast| whole == Ok(fast)));

        if let Ok(text) = String::from_utf8(spoiled(&value, &spoils)) {
            let (fast, whole) = crate::layout::native::both_ways(&text);
            prop_assert!(fast.is_none_or(|fast| whole == Ok(fast)), "{text}");
        }
    }

    #[test]
    fn decoding_is_total(key in proptest::collection::vec(any::<u8>(), 0..8), value in proptest::collection::vec(any::<u8>(), 0..64)) {
        for layout in [Layout::default(), fleet(), Layout::etcd_naming("").expect("a root")] {
            for start in ["", "/portolan/instances/web/", "/portolan/groups/", "shop/cart/"] {
                let key = Key::from([start.as_bytes(), &key].concat());
                settled(&layout, &key, &value.clone().into())?;
            }
        }
    }

    /// Records that were good once.
    #[test]
    fn decoding_spoiled_records_is_total(
        instance in any_instance(),
        data in document(),
        key_spoils in proptest::collection::vec(spoil(), 0..2),
        value_spoils in proptest::collection::vec(spoil(), 0..4),
    ) {
        let native = Layout::default();
        let config = crate::instance::Data::from_value(&data).expect("JSON");
        let config = GroupConfig::new(instance.group_name(), config);
        let config = native.encode_config(&config, 7).expect("fits");
        let one = instance.edit().endpoint("e", "a:1").build().expect("an instance");
        let one = one.endpoints().map(|(name, _)| name.to_owned()).filter(|name| name != "e")
            .fold(one.edit(), |builder, name| builder.without_endpoint(&name));
        let one = one.build().expect("an instance");
        let stamp = Stamp::default();
        for (layout, record) in [
            (&native, written(&native, &instance, stamp)),
            (&native, config),
            (&fleet(), written(&fleet(), &one, stamp)),
        ] {
            let key = Key::from(spoiled(&record.key, &key_spoils));
            settled(layout, &key, &spoiled(&record.value, &value_spoils).into())?;
        }
    }
}
