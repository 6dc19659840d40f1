use super::*;
use crate::instance::{DATA_LIMIT, Data};

#[test]
fn keys_are_taken_or_refused() {
    let layout = Layout::native("/root").expect("a root");
    for key in
        ["/root", "/root/", "/root/else/web", "/rootinstances/web/1", "/other/instances/a/b", ""]
    {
        let decoded = layout.decode(&key.into(), &"{}".into());
        assert_eq!(decoded, Decoded::Ignored, "{key}");
    }
    let long = format!("/root/instances/web/{}", "x".repeat(64));
    let cases = [
        ("/root/instances/web", "key has a group but no instance id"),
        ("/root/instances/web/", "key: instance id is empty; it takes 1 to 63 bytes"),
        ("/root/instances//1", "key: group name is empty; it takes 1 to 63 bytes"),
        (
            "/root/instances/web/a/b",
            "key: instance id has '/' at byte 1; allowed are letters, digits, '.', '_' and '-'",
        ),
        (&long, "key: instance id has 64 bytes; the limit is 63"),
        ("/root/groups/", "key: group name is empty; it takes 1 to 63 bytes"),
        (
            "/root/groups/web/1",
            "key: group name has '/' at byte 3; allowed are letters, digits, '.', '_' and '-'",
        ),
    ];
    for (key, expected) in cases {
        assert_eq!(bad(&layout, key, r#"{"v":1,"data":1}"#), expected);
    }
    let key = Key::from(&b"/root/instances/web/\xff"[..]);
    let decoded = layout.decode(&key, &r#"{"v":1}"#.into());
    assert_eq!(decoded, Decoded::Bad(BadRecord::Key(KeyFault::Utf8)));
}

#[test]
fn nothing_but_the_version_is_needed() {
    let layout = Layout::default();
    let read = instance(&layout, "/portolan/instances/web/1", " {\n \"v\": 1 }\n");
    assert_eq!(Ok(read), builder("web", "1").build());
    let decoded = layout.decode(&"/portolan/groups/web".into(), &r#"{"v":1,"data":[ 1 ]}"#.into());
    let config = GroupConfig::new(group("web"), Data::parse("[1]").expect("JSON"));
    assert_eq!(decoded, Decoded::Config(config));
}

#[test]
fn bad_instances_say_why() {
    let large = " ".repeat(INSTANCE_LIMIT + 1);
    let deep = format!(r#"{{"v":1,"x":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    let cases = [
        ("", "record is not JSON: byte 0: expected a value"),
        ("{", "record is not JSON: byte 1: expected a key"),
        ("[1,", "record is not JSON: byte 3: expected a value"),
        ("[1]", "record is an array; it takes an object"),
        ("null", "record is null; it takes an object"),
        (r#"{"v":1} x"#, "record is not JSON: byte 8: the document ends here, but text follows"),
        ("{}", "v is missing; it takes 1"),
        (r#"{"v":"1"}"#, "v is \"1\"; it takes 1"),
        (r#"{"v":0}"#, "v is 0; it takes 1"),
        (r#"{"v":1.0}"#, "v is 1.0; it takes 1"),
        (r#"{"v":2}"#, "v is 2; this version reads 1 and nothing newer"),
        // Its version is told whatever else a newer record holds, wherever it stands.
        (
            r#"{"state":["new"],"v":3,"group":"other"}"#,
            "v is 3; this version reads 1 and nothing newer",
        ),
        (r#"{"v":1,"v":1}"#, "record is not JSON: byte 11: an object has the key \"v\" twice"),
        (r#"{"v":1,"x":1,"x":2}"#, "record is not JSON: byte 0: an object has the key \"x\" twice"),
        (r#"{"v":1,"group":"we"}"#, "group is \"we\", but the key says \"web\""),
        (r#"{"v":1,"id":"2"}"#, "id is \"2\", but the key says \"1\""),
        (r#"{"v":1,"id":2}"#, "id is 2; it takes text"),
        (
            r#"{"v":1,"state":"busy"}"#,
            "state is \"busy\"; it takes starting, ready, draining or out-of-service",
        ),
        (r#"{"v":1,"endpoints":["a:1"]}"#, "endpoints is [\"a:1\"]; it takes an object of texts"),
        (r#"{"v":1,"endpoints":{"http":80}}"#, "endpoints.http is 80; it takes text"),
        (
            r#"{"v":1,"endpoints":{"http":"a"}}"#,
            "endpoint name \"http\": endpoint \"a\" has no port; it takes host:port",
        ),
        (r#"{"v":1,"endpoints":{"a":"a:1","b":"a:1","a":"b:1"}}"#, "endpoint \"a\" is there twice"),
        (
            r#"{"v":1,"endpoints":{"a b":"a:1"}}"#,
            "endpoint name has ' ' at byte 1; allowed are letters, digits, '.', '_' and '-'",
        ),
        (r#"{"v":1,"labels":null}"#, "labels is null; it takes an object of texts"),
        (
            r#"{"v":1,"labels":{"a":"\u0007"}}"#,
            "label \"a\": value has '\\u{7}' at byte 0; allowed is text of one line that prints",
        ),
        (
            r#"{"v":1,"version":"1.2"}"#,
            "version is \"1.2\"; it takes a semantic version like 1.2.3, at most 128 bytes",
        ),
        (r#"{"v":1,"weight":65536}"#, "weight is 65536; it takes a whole number up to 65535"),
        (r#"{"v":1,"weight":-1}"#, "weight is -1; it takes a whole number up to 65535"),
        (
            r#"{"v":1,"created":9007199254740992}"#,
            "created is 9007199254740992; it takes a whole number up to 9007199254740991",
        ),
        (
            r#"{"v":1,"created":"2024-12-30T06:58:34.123456789Z and then some"}"#,
            "created is \"2024-12-30T06:58:34.123456789Z and then..; it takes a whole number up to \
             9007199254740991",
        ),
        (r#"{"v":1,"evicted":"ops"}"#, "evicted is \"ops\"; it takes an object"),
        (r#"{"v":1,"evicted":{"why":1}}"#, "evicted.by is missing; it takes text"),
        (r#"{"v":1,"evicted":{"by":1}}"#, "evicted.by is 1; it takes text"),
        (r#"{"v":1,"evicted":{"by":""}}"#, "evicted by: value is empty; it takes 1 to 256 bytes"),
        (
            r#"{"v":1,"evicted":{"by":"a\nb"}}"#,
            "evicted by: value has '\\n' at byte 1; allowed is text of one line that prints",
        ),
        (
            r#"{"v":1,"evicted":{"by":"a","by":"b"}}"#,
            "record is not JSON: byte 35: an object has the key \"by\" twice",
        ),
        (r#"{"v":1,"stamp":1}"#, "stamp is 1; it takes an object"),
        (r#"{"v":1,"stamp":{}}"#, "stamp.run is missing; it takes hexadecimal digits"),
        (
            r#"{"v":1,"stamp":{"run":"0","sequence":1}}"#,
            "stamp.registration is missing; it takes a whole number",
        ),
        (
            r#"{"v":1,"stamp":{"run":"xyz"}}"#,
            "stamp.run is \"xyz\"; it takes 1 to 16 hexadecimal digits",
        ),
        (
            r#"{"v":1,"stamp":{"run":"0","run":"0"}}"#,
            "record is not JSON: byte 35: an object has the key \"run\" twice",
        ),
        (&large, "record has 131073 bytes; the limit is 131072"),
        (&deep, "record is not JSON: byte 74: nested too deeply; the limit is 64 levels"),
    ];
    for (value, expected) in cases {
        assert_eq!(
            bad(&Layout::default(), "/portolan/instances/web/1", value),
            expected,
            "{value}"
        );
    }
    let value = Value::from(&b"{\"v\":1,\"id\":\"\xff\"}"[..]);
    let Decoded::Bad(bad) = Layout::default().decode(&"/portolan/instances/web/1".into(), &value)
    else {
        panic!("it is not UTF-8");
    };
    assert_eq!(bad.to_string(), "record is not JSON: byte 13: not UTF-8");
}

#[test]
fn bad_configs_say_why() {
    let large = " ".repeat(CONFIG_LIMIT + 1);
    let data = format!(r#"{{"v":1,"data":"{}"}}"#, "x".repeat(DATA_LIMIT));
    let cases = [
        (r#"{"v":1}"#, "data is missing; it takes any JSON"),
        (r#"{"data":1}"#, "v is missing; it takes 1"),
        (r#"{"v":2,"data":1}"#, "v is 2; this version reads 1 and nothing newer"),
        (r#"{"v":1,"data":1,"group":"webs"}"#, "group is \"webs\", but the key says \"web\""),
        (r#"{"v":1,"data":1,"operation":7}"#, "operation is 7; it takes text"),
        (
            r#"{"v":1,"data":1,"operation":"12345678901234567"}"#,
            "operation is \"12345678901234567\"; it takes 1 to 16 hexadecimal digits",
        ),
        (
            r#"{"v":1,"data":{"a":1,"a":2}}"#,
            "record is not JSON: byte 14: an object has the key \"a\" twice",
        ),
        (&data, "configuration has 1048578 bytes; the limit is 1048576"),
        (&large, "record has 1179649 bytes; the limit is 1179648"),
    ];
    for (value, expected) in cases {
        assert_eq!(bad(&Layout::default(), "/portolan/groups/web", value), expected);
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let layout = Layout::default();
    let stamp = Stamp { run: 1, registration: 1, sequence: 1 };
    let plain = builder("web", "1").build().expect("an instance");
    let late = |registration, sequence| Stamp { run: 1, registration, sequence };
    let unknown = |text: &str| {
        let text = format!(r#"{{"group":"web","id":"1","unknown":{text:?}}}"#);
        serde_json::from_str::<Instance>(&text).expect("an instance")
    };
    let large = unknown(&format!(r#"{{"x":"{}"}}"#, "x".repeat(INSTANCE_LIMIT)));
    let cases = [
        (
            layout.encode_instance(&builder("web", "a:1").build().expect("an instance"), stamp),
            "instance id has ':' at byte 1; allowed are letters, digits, '.', '_' and '-'",
        ),
        (
            layout.encode_instance(&plain, late(1 << 53, 1)),
            "stamp.registration is 9007199254740992; the limit is 9007199254740991",
        ),
        (
            layout.encode_instance(&plain, late(1, 1 << 53)),
            "stamp.sequence is 9007199254740992; the limit is 9007199254740991",
        ),
        (
            layout.encode_instance(&unknown(r#"{"state":"busy"}"#), stamp),
            "unknown field \"state\" is one that this version writes itself",
        ),
        (layout.encode_instance(&large, stamp), "record has 131190 bytes; the limit is 131072"),
    ];
    for (result, expected) in cases {
        assert_eq!(result.expect_err(expected).to_string(), expected);
    }
    layout.encode_instance(&unknown(r#"{"data":1}"#), stamp).expect("a configuration's field");
}

/// The largest configuration and the fullest instance fit into a record.
#[test]
fn limits_leave_room() {
    let layout = Layout::default();
    let text = format!("\"{}\"", "x".repeat(DATA_LIMIT - 2));
    let config = GroupConfig::new(group("web"), Data::parse(&text).expect("JSON"));
    let written = layout.encode_config(&config, 1).expect("fits");
    let Decoded::Config(read) = layout.decode(&written.key, &written.value) else {
        panic!("it is a configuration");
    };
    assert_eq!(read.data(), config.data());

    let name = |n: usize| format!("{n:0>63}");
    let full = (0..32).fold(builder("web", "1"), |builder, n| {
        builder.endpoint(
            name(n),
            format!("{}.{}.{}.{}:65535", name(1), name(2), name(3), "x".repeat(61)),
        )
    });
    let full = (0..64).fold(full, |builder, n| builder.label(name(n), "\"".repeat(256)));
    let full = full.build().expect("an instance");
    let written = layout.encode_instance(&full, Stamp::default()).expect("fits").remove(0);
    let Decoded::Instance(read) = layout.decode(&written.key, &written.value) else {
        panic!("it is an instance");
    };
    assert_eq!(read.with_stamp(None), full);
}

/// What the fast reader must not take, since the whole one refuses it.
#[test]
fn the_fast_reader_gives_up() {
    let record = |rest: &str| format!(r#"{{"v":1,"group":"web","id":"w1","state":"ready"{rest}}}"#);
    let good = [
        "",
        r#","weight":0"#,
        r#","endpoints":{"http":"a:1"},"labels":{"a":"é","b":""},"version":"1.2.3""#,
        r#","created":9007199254740991,"stamp":{"run":"F","registration":0,"sequence":10}"#,
    ];
    for rest in good {
        let (fast, whole) = crate::layout::native::both_ways(&record(rest));
        assert!(fast.is_some(), "{rest}");
        assert_eq!(fast, whole.ok(), "{rest}");
    }
    let bad = [
        r#","weight":00"#,
        r#","weight":"#,
        r#","weight":65536"#,
        r#","weight":1.0"#,
        r#","weight":1,"weight":1"#,
        r#","created":9007199254740992"#,
        r#","created":18446744073709551617"#,
        r#","version":"1""#,
        r#","labels":{"a":"x","a":"x"}"#,
        r#","labels":{"a":"x",}"#,
        r#","labels":{"a":"x""#,
        ",\"labels\":{\"a\":\"\n\"}",
        r#","labels":{"a b":"x"}"#,
        r#","endpoints":{"http":"a"}"#,
        r#","stamp":{"run":"","registration":1,"sequence":1}"#,
        r#","stamp":{"run":"1","registration":1}"#,
        r#","stamp":{"run":"1","registration":9007199254740992,"sequence":1}"#,
        r#"}"#,
        r#","#,
        r#" x"#,
    ];
    for rest in bad {
        let (fast, whole) = crate::layout::native::both_ways(&record(rest));
        assert_eq!(fast, None, "{rest}");
        whole.expect_err(rest);
    }
    let good = record("");
    for other in [good.replace("web", "web2"), good.replace("w1", "w2"), good.replace(":1", ":2")] {
        let (fast, whole) = crate::layout::native::both_ways(&other);
        assert_eq!(fast, None, "{other}");
        whole.expect_err(&other);
    }
}

#[test]
fn what_cannot_be_marked_as_evicted_says_why() {
    let native = Layout::default();
    let key = Key::from("/portolan/instances/web/w1");
    let of_256 = "x".repeat(256);
    let of_257 = "x".repeat(257);
    let cases = [
        (&native, "{}", "ops", "record is unreadable: v is missing; it takes 1"),
        (&native, r#"{"v":1}"#, "", "evicted by: value is empty; it takes 1 to 256 bytes"),
        (&native, r#"{"v":1}"#, &of_257, "evicted by: value has 257 bytes; the limit is 256"),
        (
            &fleet(),
            r#"{"Addr":"a:1"}"#,
            "ops",
            "the etcd-naming layout has no room for an eviction mark",
        ),
    ];
    for (layout, value, by, expected) in cases {
        let error = layout.evict(&key, &value.into(), by).expect_err(expected);
        assert_eq!(error.to_string(), expected);
    }
    let config = Key::from("/portolan/groups/web");
    let error = native.evict(&config, &r#"{"v":1,"data":1}"#.into(), "ops");
    assert_eq!(error, Err(EvictError::NoInstance));
    assert!(native.evict(&key, &r#"{"v":1}"#.into(), &of_256).is_ok());
    // One byte too many.
    let room = INSTANCE_LIMIT - r#"{"v":1,"x":""}"#.len();
    let full = format!(r#"{{"v":1,"x":"{}"}}"#, "y".repeat(room));
    let error = native.evict(&key, &full.into(), "ops").expect_err("too large");
    let reason = "record has 131138 bytes; the limit is 131072";
    assert_eq!(error.to_string(), reason);
}
