mod golden;
mod laws;
mod naming;
mod native;

use super::*;
use crate::instance::{Builder, State};

fn group(name: &str) -> GroupName {
    GroupName::parse(name).expect("a name")
}

fn builder(group_name: &str, id: &str) -> Builder {
    Instance::builder(group(group_name), InstanceId::foreign(id).expect("an id"))
}

fn fleet() -> Layout {
    Layout::etcd_naming("shop").expect("a root")
}

/// What is wrong with a record, as text.
fn bad(layout: &Layout, key: &str, value: &str) -> String {
    match layout.decode(&key.into(), &value.into()) {
        Decoded::Bad(bad) => bad.to_string(),
        other @ (Decoded::Instance(_) | Decoded::Config(_) | Decoded::Ignored) => {
            panic!("{key} {value}: {other:?}")
        }
    }
}

fn instance(layout: &Layout, key: &str, value: &str) -> Instance {
    match layout.decode(&key.into(), &value.into()) {
        Decoded::Instance(instance) => instance,
        other @ (Decoded::Config(_) | Decoded::Ignored | Decoded::Bad(_)) => {
            panic!("{key} {value}: {other:?}")
        }
    }
}

#[test]
fn roots_are_checked() {
    let long = "x".repeat(257);
    for root in ["/portolan", "/a/b.c/d_e", "/..a"] {
        assert_eq!(
            Layout::native(root).map(|layout| layout.root().to_owned()),
            Ok(root.to_owned())
        );
    }
    for root in ["", "/", "shop", "/shop/", "a b/ü"] {
        let layout = Layout::etcd_naming(root).expect(root);
        assert_eq!((layout.root(), layout.name()), (root, "etcd-naming"));
    }
    let native = [
        ("", "root is \"\"; it takes an absolute path of names, like /portolan"),
        ("portolan", "root is \"portolan\"; it takes an absolute path of names, like /portolan"),
        ("/", "root is \"/\", which has an empty name; it takes a path like /portolan"),
        ("/a/", "root is \"/a/\", which has an empty name; it takes a path like /portolan"),
        ("/a//b", "root is \"/a//b\", which has an empty name; it takes a path like /portolan"),
        (
            "/a/..",
            "root is \"/a/..\", which has a part that is no name: part is \"..\", which \
             stands for a folder in paths",
        ),
        (&long, "root has 257 bytes; the limit is 256"),
    ];
    for (root, expected) in native {
        assert_eq!(Layout::native(root).expect_err(root).to_string(), expected);
    }
    let naming = [
        ("a\nb", "root has '\\n' at byte 1; control characters are not allowed"),
        (&long, "root has 257 bytes; the limit is 256"),
    ];
    for (root, expected) in naming {
        assert_eq!(Layout::etcd_naming(root).expect_err(root).to_string(), expected);
    }
}

#[test]
fn serde_checks_roots() {
    let layout = Layout::default();
    let text = serde_json::to_string(&layout).expect("text");
    assert_eq!(text, r#"{"native":{"root":"/portolan"}}"#);
    assert_eq!(serde_json::from_str::<Layout>(&text).expect("a layout"), layout);
    let text = serde_json::to_string(&fleet()).expect("text");
    assert_eq!(text, r#"{"etcd-naming":{"root":"shop"}}"#);
    let text = r#"{"native":{"root":"portolan"}}"#;
    let error = serde_json::from_str::<Layout>(text).expect_err("not absolute");
    assert!(error.to_string().starts_with("root is \"portolan\"; it takes"), "{error}");
}

#[test]
fn ranges_hold_what_the_scope_says() {
    let web = group("web");
    let scopes = [
        Scope::Instances(web.clone()),
        Scope::AllInstances,
        Scope::Config(web.clone()),
        Scope::AllConfigs,
    ];
    let native = Layout::native("/root").expect("a root");
    let naming = |root: &str| Layout::etcd_naming(root).expect("a root");
    let cases: [(Layout, [&str; 4]); 5] = [
        (
            native,
            [
                "[/root/instances/web/, /root/instances/web0)",
                "[/root/instances/, /root/instances0)",
                "/root/groups/web",
                "[/root/groups/, /root/groups0)",
            ],
        ),
        (naming("shop"), ["[shop/web/, shop/web0)", "[shop/, shop0)", "", ""]),
        (naming("/shop/"), ["[/shop/web/, /shop/web0)", "[/shop/, /shop0)", "", ""]),
        (naming("/"), ["[/web/, /web0)", "[/, 0)", "", ""]),
        (naming(""), ["[web/, web0)", "[\\x00, ..)", "", ""]),
    ];
    for (layout, expected) in cases {
        for (scope, expected) in scopes.iter().zip(expected) {
            let ranges: Vec<String> =
                layout.ranges(scope).iter().map(KeyRange::to_string).collect();
            assert_eq!(ranges.concat(), expected, "{layout:?} {scope:?}");
        }
    }
}

#[test]
fn names_that_begin_alike_are_kept_apart() {
    for layout in [Layout::default(), fleet()] {
        let range = layout.ranges(&Scope::Instances(group("web"))).remove(0);
        let key = |name: &str| {
            layout.instance_keys(&group(name), &InstanceId::checked("1")).expect("a key").remove(0)
        };
        assert!(range.contains(&key("web")), "{range}");
        for other in ["web-admin", "web0", "web.", "we", "w"] {
            assert!(!range.contains(&key(other)), "{range} {other}");
        }
    }
}

#[test]
fn layouts_say_what_they_hold() {
    let (native, naming) = (Layout::default(), fleet());
    assert_eq!((native.says_state(), naming.says_state()), (true, false));
    assert_eq!((native.keeps_stamp(), naming.keeps_stamp()), (true, false));
    assert_eq!((native.keeps_operation(), naming.keeps_operation()), (true, false));
    assert_eq!((native.says_evicted(), naming.says_evicted()), (true, false));
    let key = Key::from("/portolan/groups/web");
    assert_eq!(
        (native.config_key(&group("web")), naming.config_key(&group("web"))),
        (Some(key), None)
    );
    assert!(native.parse_id("10.0.0.7:8080").is_err());
    assert!(naming.parse_id("10.0.0.7:8080").is_ok());
}

#[test]
fn stamp_and_operation_are_found() {
    let layout = Layout::default();
    let stamp = Stamp { run: 7, registration: 2, sequence: 5 };
    let written = builder("web", "w1").state(State::Starting).build().expect("an instance");
    let written = layout.encode_instance(&written, stamp).expect("fits").remove(0);
    assert_eq!(layout.stamp_of(&written.key, &written.value), Some(stamp));
    assert_eq!(layout.stamp_of(&written.key, &"{}".into()), None);
    assert_eq!(layout.operation_of(&written.value), None);

    let config = GroupConfig::new(group("web"), "[1]".parse().expect("JSON"));
    let written = layout.encode_config(&config, 0xabc).expect("fits");
    assert_eq!(layout.operation_of(&written.value), Some(0xabc));
    assert_eq!(fleet().operation_of(&written.value), None);
    let cases = [
        (r#"{"operation":"F"}"#, Some(15)),
        (r#"{"v":2,"operation":"0000000000000010","data":9}"#, Some(16)),
        (r#"{"operation":"00000000000000010"}"#, None),
        (r#"{"operation":"+1"}"#, None),
        (r#"{"operation":""}"#, None),
        (r#"{"operation":1}"#, None),
        (r#"{"data":{"operation":"1"}}"#, None),
        ("[]", None),
        ("{", None),
    ];
    for (value, expected) in cases {
        assert_eq!(layout.operation_of(&value.into()), expected, "{value}");
    }
    assert_eq!(layout.operation_of(&Value::from(vec![0xff])), None);
}

/// A record of just the limit is written and read, and not one byte more.
#[test]
fn the_limit_of_a_record_is_within() {
    let (native, naming) = (Layout::default(), fleet());
    let fill = |layout: &Layout, key: &str, before: &str, after: &str, by: usize| {
        let room = INSTANCE_LIMIT - before.len() - after.len() + by;
        let value = format!("{before}{}{after}", "x".repeat(room));
        layout.decode(&key.into(), &value.into())
    };
    for (layout, key, before, after) in [
        (&native, "/portolan/instances/web/w1", r#"{"v":1,"x":""#, r#""}"#),
        (&naming, "shop/web/w1", r#"{"Op":0,"Addr":"a:1","Metadata":{"x":[""#, r#""]}}"#),
    ] {
        let Decoded::Instance(full) = fill(layout, key, before, after, 0) else {
            panic!("{key} is of the limit");
        };
        assert!(matches!(
            fill(layout, key, before, after, 1),
            Decoded::Bad(BadRecord::TooLarge { .. })
        ));
        let written = layout.encode_instance(&full, Stamp::default());
        // Ours carries a stamp besides, so it has no room any more.
        let taken = written.map(|written| written[0].value.len());
        assert_eq!(taken.is_ok(), !layout.keeps_stamp(), "{taken:?}");
        assert!(taken.is_err() || taken == Ok(INSTANCE_LIMIT), "{taken:?}");
    }
}

/// Other writers sort nothing.
#[test]
fn the_order_within_a_record_does_not_show() {
    let record = |endpoints: &str, labels: &str| {
        let value = format!(r#"{{"v":1,"endpoints":{{{endpoints}}},"labels":{{{labels}}}}}"#);
        instance(&Layout::default(), "/portolan/instances/web/w1", &value)
    };
    let (a, b, c) = (r#""a":"x:1""#, r#""b":"x:2""#, r#""c":"x:3""#);
    let sorted = record(&[a, b, c].join(","), &[a, b, c].join(","));
    let names: Vec<_> = sorted.labels().map(|(key, _)| key).collect();
    assert_eq!(names, ["a", "b", "c"]);
    for order in [[c, b, a], [b, a, c], [a, c, b]] {
        assert_eq!(record(&order.join(","), &order.join(",")), sorted, "{order:?}");
    }
}
