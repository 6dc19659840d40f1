use super::*;

fn naming(root: &str) -> Layout {
    Layout::etcd_naming(root).expect("a root")
}

#[test]
fn keys_are_taken_or_left() {
    let value = r#"{"Addr":"a:1"}"#;
    let taken = [
        ("shop", "shop/cart/10.0.0.7:8080", "cart", "10.0.0.7:8080"),
        ("shop", "shop/cart/a/b", "cart", "a/b"),
        ("shop/", "shop/cart/1", "cart", "1"),
        ("/shop", "/shop/cart/ключ", "cart", "ключ"),
        ("", "cart/1", "cart", "1"),
        ("/", "/cart/1", "cart", "1"),
    ];
    for (root, key, group, id) in taken {
        let read = instance(&naming(root), key, value);
        assert_eq!((read.group(), read.id()), (group, id), "{root} {key}");
        let keys = naming(root).instance_keys(&read.group_name(), &read.instance_id());
        assert_eq!(keys, Ok(vec![key.into()]));
    }
    // Other targets' keys.
    for key in ["", "shop", "shop/cart", "shop//1", "shop/a b/1", "shopping/cart/1", "/shop/cart/1"]
    {
        assert_eq!(naming("shop").decode(&key.into(), &value.into()), Decoded::Ignored, "{key}");
    }
    let bad_keys = [
        ("shop/cart/", "key: instance id is empty; it takes 1 to 1024 bytes"),
        (
            "shop/cart/\t",
            "key: instance id has '\\t' at byte 0; control characters are not allowed",
        ),
    ];
    for (key, expected) in bad_keys {
        assert_eq!(bad(&fleet(), key, value), expected);
    }
    let key = Key::from(&b"shop/cart/\xff"[..]);
    assert_eq!(fleet().decode(&key, &value.into()), Decoded::Bad(BadRecord::Key(KeyFault::Utf8)));
}

/// What Go's decoder takes, we take.
#[test]
fn reads_what_go_reads() {
    let cases = [
        r#"{"Addr":"a:1"}"#,
        " \r\n\t{ \"Addr\" : \"a:1\" } \n",
        r#"{"addr":"a:1","OP":0,"METADATA":null}"#,
        r#"{"Op":1,"Addr":"a:1"}"#,
        r#"{"Op":null,"Addr":"a:1"}"#,
        r#"{"Addr":"b:2","aDDR":"a:1"}"#,
        r#"{"Addr":"a:1","Addr":null}"#,
        r#"{"Addr":"a:1","Other":{"x":[1]}}"#,
        r#"{"\u0041ddr":"\u0061:1"}"#,
        r#"{"Addr":"a:1","Metadata":{"x":1},"metadata":null}"#,
    ];
    let expected = builder("cart", "1").endpoint(NAMING_ENDPOINT, "a:1").build();
    for value in cases {
        assert_eq!(Ok(instance(&fleet(), "shop/cart/1", value)), expected, "{value}");
    }
    // Bytes that are not UTF-8 are replaced one by one.
    let value = Value::from(&b"{\"Addr\":\"a:1\",\"Metadata\":{\"x\":\"\xe2\x82\"}}"[..]);
    let Decoded::Instance(read) = fleet().decode(&"shop/cart/1".into(), &value) else {
        panic!("Go reads it");
    };
    assert_eq!(read.label("x"), Some("\u{fffd}\u{fffd}"));
}

#[test]
fn bad_records_say_why() {
    let large = " ".repeat(INSTANCE_LIMIT + 1);
    let deep = format!(r#"{{"Metadata":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    let cases = [
        ("", "record is not JSON: byte 0: expected a value"),
        ("http://10.0.0.7:8080", "record is not JSON: byte 0: expected a value"),
        ("\"a:1\"", "record is a string; it takes an object"),
        ("[", "record is not JSON: byte 1: expected a value"),
        ("null", "Addr is missing; it takes host:port"),
        ("{}", "Addr is missing; it takes host:port"),
        (r#"{"Addr":""}"#, "Addr is missing; it takes host:port"),
        (r#"{"Addr":7}"#, "Addr is 7; it takes text"),
        (r#"{"Addr":7,"Addr":"a:1"}"#, "Addr is 7; it takes text"),
        (r#"{"Op":"0","Addr":"a:1"}"#, "Op is \"0\"; it takes a whole number up to 255"),
        (r#"{"Op":256,"Addr":"a:1"}"#, "Op is 256; it takes a whole number up to 255"),
        (r#"{"Op":0.0,"Addr":"a:1"}"#, "Op is 0.0; it takes a whole number up to 255"),
        (
            r#"{"Addr":"unix:///tmp/sock"}"#,
            "endpoint name \"grpc\": endpoint \"unix:///tmp/sock\" has a scheme; it takes \
             host:port, the name says the protocol",
        ),
        (
            r#"{"Addr":"a:1"}{"#,
            "record is not JSON: byte 14: the document ends here, but text follows",
        ),
        (&large, "record has 131073 bytes; the limit is 131072"),
        (&deep, "record is not JSON: byte 75: nested too deeply; the limit is 64 levels"),
    ];
    for (value, expected) in cases {
        assert_eq!(bad(&fleet(), "shop/cart/1", value), expected, "{value}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let stamp = Stamp::default();
    let none = builder("cart", "1").build().expect("an instance");
    let two = none.edit().endpoint("a", "a:1").endpoint("b", "a:1").build().expect("an instance");
    for (instance, found) in [(none, 0), (two, 2)] {
        let error = fleet().encode_instance(&instance, stamp).expect_err("not one");
        let expected = "endpoints: the etcd-naming layout takes exactly 1, and there are ";
        assert_eq!(error.to_string(), format!("{expected}{found}"));
    }
    let config = GroupConfig::new(group("cart"), "1".parse().expect("JSON"));
    let error = fleet().encode_config(&config, 1).expect_err("no configuration");
    assert_eq!(error.to_string(), "the etcd-naming layout has no group configuration");
}

/// Labels that change are changed in the metadata that came with the record; the rest stays.
#[test]
fn metadata_keeps_what_is_no_label() {
    let metadata = r#"{"a b":1,"canary":true,"deep":{"x":1},"weight":3,"zone":"a"}"#;
    type Change = fn(Builder) -> Builder;
    let cases: [(&str, Change, &str); 6] = [
        (metadata, |b| b, metadata),
        (
            metadata,
            |b| b.label("canary", "false").without_label("weight").label("rack", "7"),
            r#"{"a b":1,"canary":"false","deep":{"x":1},"rack":"7","zone":"a"}"#,
        ),
        (
            metadata,
            |b| b.label("deep", "x"),
            r#"{"a b":1,"canary":true,"deep":"x","weight":3,"zone":"a"}"#,
        ),
        (r#"{"weight":3}"#, |b| b.without_label("weight"), "{}"),
        (r#""zone-a""#, |b| b, r#""zone-a""#),
        (r#""zone-a""#, |b| b.label("zone", "a"), r#"{"zone":"a"}"#),
    ];
    for (metadata, change, expected) in cases {
        let value = |metadata: &str| format!(r#"{{"Op":0,"Addr":"a:1","Metadata":{metadata}}}"#);
        let read = instance(&fleet(), "shop/cart/1", &value(metadata));
        let changed = change(read.edit()).build().expect("an instance");
        let written = fleet().encode_instance(&changed, Stamp::default()).expect("fits").remove(0);
        assert_eq!(written.value, Value::from(value(expected)), "{metadata}");
    }
}

/// No more labels than an instance may have; the others stay in the metadata.
#[test]
fn much_metadata_is_no_trouble() {
    let fields: Vec<String> = (0..100).map(|n| format!("\"l{n:03}\":{n}")).collect();
    let value = format!(r#"{{"Op":0,"Addr":"a:1","Metadata":{{{}}}}}"#, fields.join(","));
    let read = instance(&fleet(), "shop/cart/1", &value);
    assert_eq!(
        (read.labels().count(), read.label("l063"), read.label("l064")),
        (64, Some("63"), None)
    );
    let written = fleet().encode_instance(&read, Stamp::default()).expect("fits").remove(0);
    assert_eq!(written.value, Value::from(value));
}
