use std::iter::repeat_n;

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::instance::{Builder, LABEL_LIMIT};
use crate::name::{GroupName, InstanceId};

fn builder() -> Builder {
    let group = GroupName::parse("web").expect("a name");
    Instance::builder(group, InstanceId::parse("web-1").expect("a name"))
}

fn labelled(labels: &[(&str, &str)]) -> Instance {
    let builder = labels.iter().fold(builder(), |it, (key, value)| it.label(key, value));
    builder.build().expect("an instance")
}

fn selector(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn labels_are_told_apart() {
    let instance = labelled(&[("zone", "eu"), ("tier", ""), ("note", r#"a "b", \c"#)]);
    let cases = [
        ("", true),
        ("zone", true),
        ("rack", false),
        ("!zone", false),
        ("!rack", true),
        ("zone=eu", true),
        ("zone==eu", true),
        ("zone=us", false),
        ("zone=EU", false),
        ("rack=eu", false),
        ("zone!=eu", false),
        ("zone!=us", true),
        ("rack!=eu", true),
        ("zone in (us, eu)", true),
        ("zone in (us)", false),
        ("rack in (us, eu)", false),
        ("zone notin (us, eu)", false),
        ("zone notin (us)", true),
        ("rack notin (us, eu)", true),
        ("tier", true),
        (r#"tier="""#, true),
        (r#"rack="""#, false),
        (r#"zone="""#, false),
        (r#"note="a \"b\", \\c""#, true),
        (r#"note="a \"b\", c""#, false),
        ("zone=eu,!rack,tier", true),
        ("zone=eu,rack", false),
        ("rack,zone=eu", false),
        ("zone=eu,zone=us", false),
        ("tier=", true),
        ("tier==,zone", true),
        ("tier!=,zone", false),
        ("zone!=", true),
        ("rack=", false),
    ];
    for (text, expected) in cases {
        assert_eq!(selector(text).matches(&instance), expected, "{text}");
    }
}

#[test]
fn states_are_told_apart() {
    let cases: [(&str, &[State]); 6] = [
        ("@state=ready", &[State::Ready]),
        ("@state==out-of-service", &[State::OutOfService]),
        ("@state!=draining", &[State::Starting, State::Ready, State::OutOfService]),
        ("@state in (starting, ready)", &[State::Starting, State::Ready]),
        ("@state notin (starting, ready)", &[State::Draining, State::OutOfService]),
        ("@state=ready, @state!=ready", &[]),
    ];
    for (text, expected) in cases {
        let selector = selector(text);
        let fits = State::ALL.into_iter().filter(|&state| {
            selector.matches(&builder().state(state).build().expect("an instance"))
        });
        assert_eq!(fits.collect::<Vec<_>>(), expected, "{text}");
    }
    let named = labelled(&[("state", "ready"), ("version", "1.2.3")]).with_state(State::Draining);
    assert!(selector("state=ready, version=1.2.3").matches(&named), "labels of those names");
}

#[test]
fn versions_are_compared_as_cargo_does() {
    let cases = [
        ("@version=1.2.3", "1.2.3", true),
        ("@version==1.2.3", "1.2.4", false),
        ("@version=1.2", "1.2.9", true),
        ("@version=1.*", "1.9.0", true),
        ("@version=1.*", "2.0.0", false),
        ("@version>1.2", "1.2.9", false),
        ("@version>1.2", "1.3.0", true),
        ("@version >= 1.2", "1.2.0", true),
        ("@version>=1.2", "1.1.9", false),
        ("@version<2", "1.9.9", true),
        ("@version<2", "2.0.0", false),
        ("@version<=2", "2.9.9", true),
        ("@version<=2", "3.0.0", false),
        ("@version~1.2.3", "1.2.9", true),
        ("@version~1.2.3", "1.3.0", false),
        ("@version^1.2.3", "1.9.0", true),
        ("@version^1.2.3", "2.0.0", false),
        ("@version>=1.2, @version<2", "1.5.0", true),
        ("@version>=1.2, @version<2", "2.5.0", false),
        ("@version>=1.2", "1.3.0-rc.1", false),
        ("@version>=1.3.0-rc.1", "1.3.0-rc.2", true),
        ("@version>=1.3.0-rc.1, @version<2", "1.3.0-rc.2", true),
        ("@version<2, @version>=1.3.0-rc.3", "1.3.0-rc.2", false),
        ("@version=1.2.3", "1.2.3+build", true),
    ];
    for (text, version, expected) in cases {
        let version = version.parse().expect("a version");
        let instance = builder().version(version).build().expect("an instance");
        assert_eq!(selector(text).matches(&instance), expected, "{text} {instance:?}");
    }
    let without = builder().build().expect("an instance");
    assert!(!selector("@version>=0").matches(&without), "there is none to compare");
    let with = builder().version("0.1.0-rc.1".parse().expect("a version"));
    for (text, instance, expected) in [
        ("@version", with.build().expect("an instance"), [true, false]),
        ("@version", without, [false, true]),
    ] {
        let not = format!("!{text}");
        assert_eq!([text, &not].map(|text| selector(text).matches(&instance)), expected);
    }
}

#[test]
fn equal_selectors_have_equal_texts() {
    let cases = [
        ("", ""),
        (" \t\n", ""),
        (" zone\t,\n! rack ", "zone, !rack"),
        ("zone==eu,rack != r7", "zone=eu, rack!=r7"),
        ("zone in(us,eu,us)", "zone in (eu, us)"),
        ("zone in (eu)", "zone=eu"),
        ("zone notin (eu)", "zone!=eu"),
        (r#"in in ("in", notin), notin"#, "in in (in, notin), notin"),
        (r#"a="", b=" ", c="\"\\", d=é/:@~^;"#, r#"a="", b=" ", c="\"\\", d=é/:@~^;"#),
        ("@state in (ready, starting)", "@state in (starting, ready)"),
        ("@version ^1.2, zone", "zone, @version^1.2"),
        ("! @version,@version", "!@version, @version"),
        (r#"zone=,rack!="""#, r#"zone="", rack!="""#),
        ("@version==1.2.x,@version<3.0.0+b", "@version=1.2, @version<3.0.0"),
    ];
    for (text, canonical) in cases {
        let read = selector(text);
        assert_eq!(read.to_string(), canonical, "{text:?}");
        assert_eq!(selector(canonical), read, "{text:?}");
        assert_eq!(read.is_all(), canonical.is_empty());
    }
}

#[test]
fn what_is_no_selector_is_refused() {
    let requirement = "expected a label's key, @state or @version, found";
    let comparison = "expected '=', '!=', in, notin, or ',' before another requirement, found";
    let value = "expected a value (in double quotes if it is empty or has signs), found";
    let quotes = "(values with white space or signs stand in double quotes)";
    let version =
        "expected '=', '>', '>=', '<', '<=', '~', '^', or ',' before another requirement, found";
    let like = "it takes one like 1.2.3, or its beginning like 1.2";
    let cases = [
        (",", format!("byte 0: {requirement} ','")),
        ("zone,", format!("byte 5: {requirement} the end")),
        ("zone,,rack", format!("byte 5: {requirement} ','")),
        ("=eu", format!("byte 0: {requirement} '='")),
        ("\u{a0}zone", format!("byte 0: {requirement} '\\u{{a0}}'")),
        ("!", "byte 1: expected a label's key or @version after the '!', found the end".into()),
        ("!!zone", "byte 1: expected a label's key or @version after the '!', found '!'".into()),
        ("!@state", "byte 1: expected a label's key or @version after the '!', found '@'".into()),
        (
            "!@versions",
            "byte 1: expected a label's key or @version after the '!', found '@'".into(),
        ),
        (
            "!zone=eu",
            format!("byte 5: expected ',' before another requirement {quotes}, found '='"),
        ),
        (
            "!@version=1",
            format!("byte 9: expected ',' before another requirement {quotes}, found '='"),
        ),
        ("zone eu", format!("byte 5: {comparison} 'e'")),
        ("zone IN (eu)", format!("byte 5: {comparison} 'I'")),
        ("zone>1", format!("byte 4: {comparison} '>'")),
        ("zone!eu", format!("byte 4: {comparison} '!'")),
        ("zone===eu", format!("byte 6: {value} '='")),
        ("zone='eu'", format!("byte 5: {value} '\\''")),
        (
            "zone=eu 1",
            format!("byte 8: expected ',' before another requirement {quotes}, found '1'"),
        ),
        (
            "zone=a=b",
            format!("byte 6: expected ',' before another requirement {quotes}, found '='"),
        ),
        ("zone=\"eu", "byte 8: expected '\"' after the value, found the end".into()),
        (r#"zone="a\n""#, r#"byte 8: expected '"' or '\' after the '\', found 'n'"#.into()),
        (r#"zone="a\"#, r#"byte 8: expected '"' or '\' after the '\', found the end"#.into()),
        ("zone in eu", "byte 8: expected '(' before the values, found 'e'".into()),
        ("zone in ()", format!("byte 9: {value} ')'")),
        ("zone in (eu, )", format!("byte 13: {value} ')'")),
        ("zone in (eu", format!("byte 11: expected ',' or ')' {quotes}, found the end")),
        ("zone in (eu us)", format!("byte 12: expected ',' or ')' {quotes}, found 'u'")),
        ("zone=eu, zo/ne=eu", no_key("zo/ne")),
        ("!@", "byte 1: expected a label's key or @version after the '!', found '@'".into()),
        ("@", "there is no @; beside labels a selector knows @state and @version".into()),
        ("@id=a", "there is no @id; beside labels a selector knows @state and @version".into()),
        ("@state", "byte 6: expected '=', '!=', in or notin, found the end".into()),
        ("@state>ready", "byte 6: expected '=', '!=', in or notin, found '>'".into()),
        (
            "@state=Ready",
            "there is no state \"Ready\"; it takes starting, ready, draining or out-of-service"
                .into(),
        ),
        ("@version 1", format!("byte 9: {version} '1'")),
        ("@version!=1", format!("byte 8: {version} '!'")),
        ("@version in (1)", format!("byte 9: {version} 'i'")),
        ("@version=", format!("byte 9: {value} the end")),
        ("@version=\"1\"", format!("byte 9: {value} '\"'")),
        (
            "@version>=v1",
            format!(
                "there is no version \"v1\": unexpected character 'v' while parsing major version \
                number; {like}"
            ),
        ),
        (
            "@version=01.2",
            format!(
                "there is no version \"01.2\": invalid leading zero in major version number; {like}"
            ),
        ),
        (
            "@version~^1",
            format!(
                "there is no version \"^1\": unexpected character '^' while parsing major version \
                number; {like}"
            ),
        ),
    ];
    for (text, refusal) in cases {
        let error = Selector::parse(text).expect_err(text);
        assert_eq!(error.to_string(), refusal, "{text:?}");
    }
}

/// What is said of a key that is none.
fn no_key(key: &str) -> String {
    format!("{key:?}: {}", LabelKey::check(key).expect_err("no key"))
}

#[test]
fn limits_are_named() {
    let said = |made: Result<Selector, SelectorError>| made.map_err(|error| error.to_string());
    let joined = |count: usize| repeat_n("a", count).collect::<Vec<_>>().join(",");
    assert!(said(Selector::parse(&joined(64))).is_ok());
    let refusal = Err("there are more than 64 requirements".to_owned());
    assert_eq!(said(Selector::parse(&joined(65))), refusal);
    assert_eq!(said(Selector::parse(&(joined(64) + ",@version>1"))), refusal);

    let values = |count: usize| (0..count).map(|value| value.to_string()).collect::<Vec<_>>();
    assert!(said(Selector::all().label_in("a", values(64))).is_ok());
    let refusal = Err("there are more than 64 values in one requirement".to_owned());
    assert_eq!(said(Selector::all().label_in("a", values(65))), refusal);
    assert_eq!(said(Selector::parse(&format!("a notin ({})", values(65).join(",")))), refusal);
    let twice = [values(64), values(64)].concat().join(",");
    assert!(said(Selector::parse(&format!("a in ({twice})"))).is_ok(), "64 different ones");
    let refusal = Err("there is no value; it takes 1 to 64".to_owned());
    assert_eq!(said(Selector::all().label_not_in("a", [""; 0])), refusal);
    assert_eq!(said(Selector::all().state_in([])), refusal);

    let long = "x".repeat(LABEL_LIMIT);
    assert!(said(Selector::parse(&format!("a={long}"))).is_ok());
    let refusal = Err("label \"a\": value has 257 bytes; the limit is 256".to_owned());
    assert_eq!(said(Selector::parse(&format!("a={long}x"))), refusal);

    let version = |length: usize| "1.2.3-".to_owned() + &"x".repeat(length - 6);
    for operator in [">=", "="] {
        let compared = |length: usize| format!("@version{operator}{}", version(length));
        assert!(said(Selector::parse(&compared(128))).is_ok());
        let refusal = Err("a version has 129 bytes; the limit is 128".to_owned());
        assert_eq!(said(Selector::parse(&compared(129))), refusal);
        let wanted = VersionReq::parse(&format!("{operator}{}", version(129)));
        assert_eq!(said(Selector::all().version(&wanted.expect("a requirement"))), refusal);
    }
    let state = said(Selector::parse(&format!("@state={long}"))).expect_err("no state");
    assert!(state.len() < 150, "{state}");
}

#[test]
fn what_is_put_together_is_what_is_read() {
    let wanted = VersionReq::parse(">=1.2, 1.*").expect("a requirement");
    let built = Selector::all()
        .with_label("zone")
        .and_then(|it| it.without_label("canary"))
        .and_then(|it| it.label_in("rack", ["r8", "r7"]))
        .and_then(|it| it.label_not_in("owner", ["a, b"]))
        .and_then(|it| it.state_not_in([State::Draining]))
        .and_then(|it| it.version(&wanted));
    let text = "zone, !canary, rack in (r7, r8), owner!=\"a, b\", @state!=draining, \
        @version>=1.2, @version=1";
    assert_eq!(built, Selector::parse(text));
    assert_eq!(built.expect("a selector").to_string(), text);
    assert_eq!(Selector::all().version(&VersionReq::STAR), Ok(Selector::all()));
    assert_eq!(Selector::all().label_is("zone", "eu"), Selector::parse("zone=eu"));
    assert_eq!(Selector::all().with_version(), Selector::parse("@version"));
    assert_eq!(Selector::all().without_version(), Selector::parse("!@version"));
    let key = Selector::all().with_label("a b").expect_err("no key");
    assert_eq!(key.to_string(), no_key("a b"));

    assert_eq!("zone=eu".parse(), Ok(selector("zone=eu")));
    let json = serde_json::to_string(&selector("zone = eu")).expect("it serialises");
    assert_eq!(json, "\"zone=eu\"");
    assert_eq!(serde_json::from_str(&json).ok(), Some(selector("zone=eu")));
    let refusal = serde_json::from_str::<Selector>("\"zone in\"").expect_err("no selector");
    assert!(refusal.to_string().contains("expected '('"), "{refusal}");
}

/// Its fields can be filled by hand so that no text says it: it would come back as something else.
#[test]
fn comparisons_without_a_text_are_refused() {
    let part = |text| Comparator::parse(text).expect("a comparator");
    let cases = [
        Comparator { op: Op::Wildcard, ..part("1.2.3") },
        Comparator { minor: None, ..part("=1.2.3") },
        Comparator { patch: None, ..part("=1.2.3-rc.1") },
    ];
    for comparator in cases {
        let wanted = VersionReq { comparators: vec![part(">=1"), comparator.clone()] };
        let refusal = Selector::all().version(&wanted).expect_err("no text").to_string();
        assert!(refusal.contains("it has no text of its own"), "{comparator:?}: {refusal}");
    }
}

/// Any requirement, as what puts it there.
fn any_selector() -> impl Strategy<Value = Selector> {
    let key = "[ab]";
    let value = prop_oneof!["[ab]", "[ -~é]{0,6}"];
    let states = btree_set((0..4usize).prop_map(|at| State::ALL[at]), 1..4);
    let version = prop_oneof![Just(">=1.2"), Just("=1"), Just("~1.0.1-a"), Just("<2.0.0")];
    let one = (0..9, key, btree_set(value, 1..4), states, version);
    let add = |it: Selector, (kind, key, values, states, version): (i32, String, _, _, &str)| {
        match kind {
            0 => it.with_label(&key),
            1 => it.without_label(&key),
            2 => it.label_in(&key, values),
            3 => it.label_not_in(&key, values),
            4 => it.state_in(states),
            5 => it.state_not_in(states),
            6 => it.with_version(),
            7 => it.without_version(),
            _ => it.version(&VersionReq::parse(version).expect("a requirement")),
        }
        .expect("a selector")
    };
    vec(one, 0..5).prop_map(move |all| all.into_iter().fold(Selector::all(), add))
}

proptest! {
    #[test]
    fn what_is_written_is_read_the_same(selector in any_selector()) {
        prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
    }

    /// But for pre-releases, which a comparison of one may let in for the other.
    #[test]
    fn all_requirements_count(
        one in any_selector(),
        other in any_selector(),
        labels in vec(("[ab]", "[abc]"), 0..3),
        state in 0..4usize,
    ) {
        let labels = labels.iter().fold(builder(), |it, (key, value)| it.label(key, value));
        let version = "1.4.0".parse().expect("a version");
        let instance = labels.state(State::ALL[state]).version(version).build().expect("fine");
        let both = one.clone().and(other.clone()).expect("a selector");
        prop_assert_eq!(both.matches(&instance), one.matches(&instance) && other.matches(&instance));
    }

    #[test]
    fn any_text_is_read_or_refused(text in "[ab@!=<>~^,()\"\\\\ instaevro1.-]{0,24}") {
        if let Ok(selector) = Selector::parse(&text) {
            prop_assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
        }
    }
}
