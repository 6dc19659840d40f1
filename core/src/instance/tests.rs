use std::mem::size_of;

use super::*;

fn builder() -> Builder {
    let group = GroupName::parse("web").expect("a name");
    Instance::builder(group, InstanceId::parse("web-1").expect("a name"))
}

#[test]
fn what_is_built_is_what_is_read() {
    let stamp = Stamp { run: u64::MAX, registration: 2, sequence: 3 };
    let instance = builder()
        .endpoint("metrics", "[::0001]:9100")
        .endpoint("http", "10.1.2.3:8080")
        .label("zone", "a=b")
        .label("empty", "")
        .state(State::Draining)
        .version(Version::new(1, 2, 3))
        .weight(0)
        .created_millis(1_700_000_000_000)
        .build()
        .expect("an instance")
        .with_stamp(Some(stamp));
    assert_eq!(instance.group(), "web");
    assert_eq!(instance.group_name().as_str(), "web");
    assert_eq!(instance.id(), "web-1");
    assert_eq!(instance.instance_id().as_str(), "web-1");
    let endpoints: Vec<_> = instance.endpoints().collect();
    assert_eq!(endpoints, [("http", "10.1.2.3:8080"), ("metrics", "[::1]:9100")]);
    assert_eq!(instance.endpoint("metrics"), Some("[::1]:9100"));
    assert_eq!(instance.endpoint("zone"), None);
    let labels: Vec<_> = instance.labels().collect();
    assert_eq!(labels, [("empty", ""), ("zone", "a=b")]);
    assert_eq!(instance.label("zone"), Some("a=b"));
    assert_eq!(instance.label("http"), None);
    assert_eq!(instance.state(), State::Draining);
    assert_eq!(instance.version(), Some(Version::new(1, 2, 3)));
    assert_eq!(instance.weight(), Some(0));
    assert_eq!(instance.created_millis(), Some(1_700_000_000_000));
    assert_eq!(instance.stamp(), Some(stamp));
    assert_eq!(instance.unknown(), None);
    assert_eq!(instance.edit().build(), Ok(instance.clone()));
    assert_eq!(instance.to_string(), "web/web-1 draining");

    let bare = builder().build().expect("an instance");
    assert_eq!((bare.endpoints().count(), bare.labels().count()), (0, 0));
    assert_eq!((bare.version(), bare.weight(), bare.created_millis()), (None, None, None));
    assert_eq!((bare.state(), bare.stamp()), (State::Ready, None));
}

#[test]
fn changed_copies_differ_in_nothing_else() {
    let instance = builder().endpoint("http", "a:1").label("zone", "a").build().expect("fine");
    let changed = instance
        .edit()
        .endpoint("http", "b:2")
        .without_label("zone")
        .label("rack", "7")
        .build()
        .expect("fine");
    let expected = builder().endpoint("http", "b:2").label("rack", "7").build();
    assert_eq!(Ok(changed), expected);
    assert_eq!(
        instance.edit().without_endpoint("http").build().map(|i| i.endpoints().count()),
        Ok(0)
    );
    assert_ne!(instance.clone().with_state(State::Starting), instance);
    assert_ne!(instance.clone().with_stamp(Some(Stamp::default())), instance);
    assert_eq!(instance.clone().with_stamp(Some(Stamp::default())).with_stamp(None), instance);
}

#[test]
fn bad_instances_are_refused() {
    let many = |count: usize, set: fn(Builder, String) -> Builder| {
        (0..count).fold(builder(), |builder, n| set(builder, format!("n{n}")))
    };
    let endpoint = |builder: Builder, name: String| builder.endpoint(name, "a:1");
    let label = |builder: Builder, key: String| builder.label(key, "x");
    many(32, endpoint).build().expect("at the limit");
    many(64, label).build().expect("at the limit");
    builder().label("l", "x".repeat(256)).build().expect("at the limit");
    builder().created_millis(NUMBER_LIMIT).build().expect("at the limit");
    let version = |length: usize| format!("1.2.3-{}", "x".repeat(length - 6)).parse::<Version>();
    let version = |length| builder().version(version(length).expect("a semantic version"));
    version(128).build().expect("at the limit");
    let cases = [
        (many(33, endpoint), "33 endpoints; the limit is 32"),
        (many(65, label), "65 labels; the limit is 64"),
        (
            builder().endpoint("a b", "a:1"),
            "endpoint name has ' ' at byte 1; allowed are letters, digits, '.', '_' and '-'",
        ),
        (
            builder().endpoint("http", "10.1.2.3"),
            "endpoint name \"http\": endpoint \"10.1.2.3\" has no port; it takes host:port",
        ),
        (builder().label("", "x"), "label key is empty; it takes 1 to 63 bytes"),
        (
            builder().label("l", "x".repeat(257)),
            "label \"l\": value has 257 bytes; the limit is 256",
        ),
        (
            builder().label("l", "a\nb"),
            "label \"l\": value has '\\n' at byte 1; allowed is text of one line that prints",
        ),
        (
            builder().label("l", "\u{7f}"),
            "label \"l\": value has '\\u{7f}' at byte 0; allowed is text of one line that prints",
        ),
        (
            builder().label("l", "é\u{2028}"),
            "label \"l\": value has '\\u{2028}' at byte 2; allowed is text of one line that prints",
        ),
        (
            version(129),
            "version is \"1.2.3-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx..\"; it takes a semantic version \
             like 1.2.3, at most 128 bytes",
        ),
        (
            builder().created_millis(1 << 53),
            "created is 9007199254740992 ms; the limit is 9007199254740991",
        ),
    ];
    for (builder, expected) in cases {
        assert_eq!(builder.build().expect_err(expected).to_string(), expected);
    }
}

/// Two labels that look alike are alike.
#[test]
fn labels_show_all_that_they_hold() {
    let refused = [
        ('\u{ad}', '\u{ad}'),
        ('\u{61c}', '\u{61c}'),
        ('\u{180e}', '\u{180e}'),
        ('\u{200b}', '\u{200f}'),
        // With the two ends of lines before them.
        ('\u{2028}', '\u{202e}'),
        ('\u{2060}', '\u{2064}'),
        ('\u{2066}', '\u{206f}'),
        ('\u{feff}', '\u{feff}'),
        ('\u{fff9}', '\u{fffb}'),
        ('\u{e0001}', '\u{e0001}'),
        ('\u{e0020}', '\u{e007f}'),
    ];
    for c in '\u{a0}'..=char::MAX {
        let expected = if refused.iter().any(|&(first, last)| (first..=last).contains(&c)) {
            Err(LabelError::BadChar { found: c, at: 1 })
        } else {
            Ok(())
        };
        assert_eq!(check_label(&format!("a{c}")), expected, "{c:?}");
    }
    let error = builder().label("l", "a\u{202e}").build().expect_err("it turns the text around");
    assert_eq!(
        error.to_string(),
        "label \"l\": value has '\\u{202e}' at byte 1; allowed is text of one line that prints"
    );
}

#[test]
fn endpoints_are_checked() {
    let label = "x".repeat(63);
    let long = format!("{label}.{label}.{label}.{label}:1");
    let good = [
        ("10.1.2.3:8080", "10.1.2.3:8080", "10.1.2.3", 8080),
        ("[2001:DB8:0:0::1]:1", "[2001:db8::1]:1", "2001:db8::1", 1),
        (
            "node-1.internal_x.example:65535",
            "node-1.internal_x.example:65535",
            "node-1.internal_x.example",
            65535,
        ),
        ("1password.com:443", "1password.com:443", "1password.com", 443),
        ("a:80", "a:80", "a", 80),
    ];
    for (text, canonical, host, port) in good {
        let endpoint = Endpoint::parse(text).expect(text);
        assert_eq!((endpoint.as_str(), endpoint.host(), endpoint.port()), (canonical, host, port));
        assert_eq!(Endpoint::parse(canonical), Ok(endpoint));
    }
    let bad = [
        (
            "http://a:80",
            "endpoint \"http://a:80\" has a scheme; it takes host:port, the name says the protocol",
        ),
        ("", "endpoint \"\" has no port; it takes host:port"),
        ("host", "endpoint \"host\" has no port; it takes host:port"),
        ("host:", "endpoint \"host:\" has no port; it takes host:port"),
        (":80", "endpoint \":80\" has no host; it takes host:port"),
        ("a:0", "endpoint \"a:0\" has port \"0\"; a port is 1 to 65535"),
        ("a:080", "endpoint \"a:080\" has port \"080\"; a port is 1 to 65535"),
        ("a:+80", "endpoint \"a:+80\" has port \"+80\"; a port is 1 to 65535"),
        ("a:65536", "endpoint \"a:65536\" has port \"65536\"; a port is 1 to 65535"),
        ("a:http", "endpoint \"a:http\" has port \"http\"; a port is 1 to 65535"),
        ("a:80/x", "endpoint \"a:80/x\" has port \"80/x\"; a port is 1 to 65535"),
        (
            "::1:80",
            "endpoint \"::1:80\" is no IPv6 address in brackets and a port, like [2001:db8::1]:80",
        ),
        (
            "[::1]",
            "endpoint \"[::1]\" is no IPv6 address in brackets and a port, like [2001:db8::1]:80",
        ),
        (
            "[fe80::1%eth0]:80",
            "endpoint \"[fe80::1%eth0]:80\" is no IPv6 address in brackets and a port, like [2001:db8::1]:80",
        ),
        (
            "[10.1.2.3]:80",
            "endpoint \"[10.1.2.3]:80\" is no IPv6 address in brackets and a port, like [2001:db8::1]:80",
        ),
        ("10.1.2:80", "endpoint \"10.1.2:80\" has a host of numbers that is no IPv4 address"),
        (
            "10.1.2.256:80",
            "endpoint \"10.1.2.256:80\" has a host of numbers that is no IPv4 address",
        ),
        ("10.1.2.03:80", "endpoint \"10.1.2.03:80\" has a host of numbers that is no IPv4 address"),
    ];
    for (text, expected) in bad {
        assert_eq!(Endpoint::parse(text).expect_err(text).to_string(), expected);
    }
    for text in [
        "-a:80", "a-:80", "a..b:80", "a.:80", ".a:80", "a b:80", "ä:80", "a.123:80", "a\n:80",
        &long,
    ] {
        let error = Endpoint::parse(text).expect_err(text);
        assert!(matches!(error, EndpointError::Host { limit: 253, .. }), "{text:?}: {error}");
    }
    assert_eq!(
        Endpoint::parse("a_b!:80").expect_err("'!'").to_string(),
        "endpoint \"a_b!:80\" has a host that is no DNS name: labels of 1 to 63 letters, digits, \
         '-' and '_', no '-' at their ends, in all at most 253 bytes"
    );
}

#[test]
fn local_addresses_are_not_advertised() {
    use LocalKind::{Loopback, Unspecified};
    let cases = [
        ("10.1.2.3:80", None),
        ("[2001:db8::1]:80", None),
        ("localhost.example:80", None),
        ("0.0.0.0:80", Some(Unspecified)),
        ("[::]:80", Some(Unspecified)),
        ("[::ffff:0.0.0.0]:80", Some(Unspecified)),
        ("127.0.0.1:80", Some(Loopback)),
        ("127.9.9.9:80", Some(Loopback)),
        ("[::1]:80", Some(Loopback)),
        ("[::ffff:127.0.0.1]:80", Some(Loopback)),
        ("LocalHost:80", Some(Loopback)),
        ("x.localhost:80", Some(Loopback)),
    ];
    for (text, kind) in cases {
        let endpoint = Endpoint::parse(text).expect(text);
        let found = endpoint.as_str().to_owned();
        let expected = kind.map_or(Ok(()), |kind| Err(EndpointError::Local { found, kind }));
        assert_eq!(endpoint.check_advertised(false), expected, "{text}");
        assert_eq!(endpoint.check_advertised(true), Ok(()), "{text}");
    }
    let instance = builder().endpoint("a", "a:1").endpoint("http", "0.0.0.0:80").build();
    let instance = instance.expect("an instance");
    assert_eq!(
        instance.check_advertised(false).expect_err("unspecified").to_string(),
        "endpoint name \"http\": endpoint \"0.0.0.0:80\" would be advertised, but an unspecified \
         address is reached from this machine only; advertise an address that others reach, or \
         allow local ones"
    );
    assert_eq!(instance.check_advertised(true), Ok(()));
}

#[test]
fn serde_checks_instances() {
    let instance = builder().endpoint("http", "a:1").weight(3).build().expect("an instance");
    let text = serde_json::to_string(&instance).expect("text");
    assert_eq!(
        text,
        r#"{"group":"web","id":"web-1","state":"ready","endpoints":{"http":"a:1"},"labels":{},"weight":3}"#
    );
    assert_eq!(serde_json::from_str::<Instance>(&text).expect("an instance"), instance);
    let bad = [
        (text.replace("a:1", "a"), "has no port"),
        (text.replace("web-1", ""), "instance id is empty"),
        (text.replace("\"ready\"", "\"busy\""), "unknown variant `busy`"),
        (
            text.replace("\"weight\":3", "\"version\":\"1\""),
            "version is \"1\"; it takes a semantic",
        ),
        (text.replace("weight", "height"), "unknown field `height`"),
        (text.replace("\"weight\":3", r#""unknown":"[1]""#), "expected an object"),
    ];
    for (text, expected) in bad {
        let error = serde_json::from_str::<Instance>(&text).expect_err(&text);
        assert!(error.to_string().contains(expected), "{error}");
    }
}

/// What a directory holds a million of, beside the text.
#[test]
fn instances_are_small() {
    assert_eq!(size_of::<Instance>(), 56);
    assert_eq!(size_of::<GroupConfig>(), 8);
    let instance = builder().endpoint("http", "a:1").label("zone", "a").build();
    let text = instance.expect("an instance").text;
    assert_eq!(&*text, "web\nweb-1\n\n\nhttp=a:1\nzone=a");
}

#[test]
fn debug_hides_what_may_be_secret() {
    let data = Data::parse(r#"{"password":"s3cret"}"#).expect("JSON");
    let config = GroupConfig::new(GroupName::parse("web").expect("a name"), data);
    let shown = format!("{config:?}");
    assert!(!shown.contains("s3cret"), "{shown}");
    assert!(shown.contains("Data(21B:"), "{shown}");
}

#[test]
fn data_is_canonical() {
    let data = Data::parse("{ \"b\": [1.0, 2], \"a\": \"\\u0041\" }").expect("JSON");
    assert_eq!(data.as_str(), r#"{"a":"A","b":[1.0,2]}"#);
    assert_eq!(Data::from_value(&data.to_value()), Ok(data.clone()));
    let text = serde_json::to_string(&data).expect("text");
    assert_eq!(serde_json::from_str::<Data>(&text).expect("data"), data);

    let large = format!("\"{}\"", "x".repeat(DATA_LIMIT - 2));
    let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let wide = large.clone() + &" ".repeat(TEXT_LIMIT - DATA_LIMIT);
    for text in [&large, &wide] {
        let data = Data::parse(text).expect("at the limit");
        // What was written once can be written again.
        assert_eq!(Data::parse(data.as_str()), Ok(data));
    }
    let data = Data::parse(&deep(63)).expect("at the limit");
    assert_eq!(Data::from_value(&data.to_value()), Ok(data));
    let cases = [
        (large.replace('x', "xx"), "configuration has 2097150 bytes; the limit is 1048576"),
        (" ".repeat(TEXT_LIMIT) + "1", "configuration has 4194305 bytes; the limit is 4194304"),
        (deep(64), "configuration is not JSON: byte 63: nested too deeply; the limit is 63 levels"),
        ("{".to_owned(), "configuration is not JSON: byte 1: expected a key"),
    ];
    for (text, expected) in cases {
        assert_eq!(Data::parse(&text).expect_err(expected).to_string(), expected);
    }
    // Values are looked at before they are written out, so that none exhausts the stack.
    let array = |value, _| serde_json::Value::from(vec![value]);
    let object = |value, _| {
        let field = ("a".to_owned(), value);
        serde_json::Value::Object([field].into_iter().collect())
    };
    let empty = || [serde_json::json!([]), serde_json::json!({}), serde_json::json!([0])];
    for levels in [63, 1_000] {
        for inner in empty() {
            for value in
                [(0..levels).fold(inner.clone(), array), (0..levels).fold(inner.clone(), object)]
            {
                let expected =
                    "configuration is not JSON: byte 0: nested too deeply; the limit is 63 levels";
                assert_eq!(Data::from_value(&value).expect_err("too deep").to_string(), expected);
            }
        }
    }
    for inner in empty() {
        Data::from_value(&(0..62).fold(inner, object)).expect("at the limit");
    }
}

#[test]
fn states_have_one_name() {
    for state in State::ALL {
        assert_eq!(State::named(state.as_str()), Some(state));
        let text = serde_json::to_string(&state).expect("text");
        assert_eq!(text, format!("\"{state}\""));
    }
    assert_eq!(State::named("Ready"), None);
}

#[test]
fn what_is_shown_of_an_instance() {
    let stamp = Stamp { run: 255, registration: 2, sequence: 3 };
    let endpoint = Endpoint::parse("[2001:db8::1]:80").expect("an endpoint");
    let text = endpoint.as_str().to_owned();
    assert_eq!(
        (endpoint.to_string(), format!("{endpoint:?}")),
        (text.clone(), format!("{text:?}"))
    );
    assert_eq!((endpoint.as_ref(), String::from(endpoint.clone())), (&*text, text.clone()));
    assert_eq!(stamp.to_string(), "ff/2/3");
    let text = r#"{"group":"web","id":"web-1","endpoints":{"http":"a:1"},"labels":{"zone":"a"},
        "unknown":"{\"key\":\"s3cret\"}"}"#;
    let instance = serde_json::from_str::<Instance>(text).expect("an instance");
    let instance = instance.with_stamp(Some(stamp));
    let shown = format!("{instance:?}");
    assert_eq!(
        shown,
        "Instance { group: \"web\", id: \"web-1\", state: Ready, endpoints: {\"http\": \"a:1\"}, \
         labels: {\"zone\": \"a\"}, version: None, weight: None, created_millis: None, \
         stamp: Some(Stamp { run: 255, registration: 2, sequence: 3 }), evicted_by: None, \
         unknown_bytes: 16 }"
    );
    let unknown = Unknown::checked(instance.unknown().expect("a field"));
    assert_eq!(format!("{unknown:?}"), "Unknown(16B)");
}
