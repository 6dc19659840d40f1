use proptest::prelude::*;

use super::*;

fn canonical(text: &str, style: Style) -> Result<String, JsonError> {
    let json = Json::parse(text, style)?;
    let mut out = String::new();
    json.write(style, &mut out);
    Ok(out)
}

#[test]
fn plain_text_comes_out_canonical() {
    let of_308 = "9".repeat(308);
    let cases = [
        ("null", "null"),
        (" [ true , false ]\r\n\t", "[true,false]"),
        (r#"{"b":1,"a":{"d":[],"c":{}}}"#, r#"{"a":{"c":{},"d":[]},"b":1}"#),
        // Numbers keep every digit.
        (
            "[0,-0,1.0,1e2,1E+02,0.1e-400,123456789012345678901234567890.5]",
            "[0,-0,1.0,1e2,1E+02,0.1e-400,123456789012345678901234567890.5]",
        ),
        ("9.99e307", "9.99e307"),
        ("0.01e309", "0.01e309"),
        (&of_308, &of_308),
        ("0.000e999999999999999999999", "0.000e999999999999999999999"),
        // Strings have the fewest escapes.
        (r#""\u0041\/\"\\\b\f\n\r\t\u001f\u007f""#, "\"A/\\\"\\\\\\b\\f\\n\\r\\t\\u001f\u{7f}\""),
        (r#""\ud83d\ude00<>&\u2028""#, "\"😀<>&\u{2028}\""),
    ];
    for (text, expected) in cases {
        assert_eq!(canonical(text, Style::Plain).as_deref(), Ok(expected), "{text}");
        assert_eq!(canonical(expected, Style::Plain).as_deref(), Ok(expected), "again: {text}");
    }
}

/// The bytes of Go's `encoding/json`, and what its decoder takes beyond RFC 8259.
#[test]
fn go_text_comes_out_as_go_writes_it() {
    let cases = [
        (r#""<a href='x'>&\/é""#, r#""\u003ca href='x'\u003e\u0026/é""#),
        ("\"\u{2028}\u{2029}\u{7f}\"", "\"\\u2028\\u2029\u{7f}\""),
        (r#""\u0000\u0001\b\f\n\r\t\u001f\"\\""#, r#""\u0000\u0001\b\f\n\r\t\u001f\"\\""#),
        (r#""\ud800x\udc00\ud800\ud83d\ude00""#, "\"\u{fffd}x\u{fffd}\u{fffd}😀\""),
        (r#""\ud800\u0041""#, "\"\u{fffd}A\""),
        (r#"{"b":1,"a":1,"b":2,"a":null}"#, r#"{"a":null,"b":2}"#),
    ];
    for (text, expected) in cases {
        assert_eq!(canonical(text, Style::Go).as_deref(), Ok(expected), "{text}");
    }
}

#[test]
fn errors_say_where_and_what() {
    let deep = "[".repeat(65);
    let of_309 = "1".repeat(309);
    let keys = format!(r#"{{"{0}":1,"{0}":1}}"#, "k".repeat(50));
    let cases = [
        ("", "byte 0: expected a value"),
        ("  ", "byte 2: expected a value"),
        ("nul", "byte 0: expected a value"),
        ("'a'", "byte 0: expected a value"),
        ("NaN", "byte 0: expected a value"),
        ("1 2", "byte 2: the document ends here, but text follows"),
        ("[1,]", "byte 3: expected a value"),
        ("[1 2]", "byte 3: expected ',' or the end of the object or array"),
        ("[,1]", "byte 1: expected a value"),
        ("[1", "byte 2: expected ',' or the end of the object or array"),
        ("{1:2}", "byte 1: expected a key"),
        (r#"{"a" 1}"#, "byte 5: expected ':'"),
        (r#"{"a":1,}"#, "byte 7: expected a key"),
        (r#"{"a":}"#, "byte 5: expected a value"),
        ("\"a", "byte 2: expected the rest of a string"),
        ("\"a\nb\"", "byte 2: a string has a control character that is not escaped"),
        (r#""\x""#, "byte 1: a string has an escape that stands for no character"),
        (r#""\u12g4""#, "byte 1: a string has an escape that stands for no character"),
        (r#""\ud800""#, "byte 1: a string has an escape that stands for no character"),
        ("\"\\", "byte 1: a string has an escape that stands for no character"),
        ("01", "byte 1: expected ',' or the end of the object or array"),
        ("-", "byte 1: expected a digit"),
        ("1.", "byte 2: expected a digit"),
        ("1e", "byte 2: expected a digit"),
        ("[1e308]", "byte 1: a number is out of range; the limit is 10^308"),
        (&of_309, "byte 0: a number is out of range; the limit is 10^308"),
        ("-0.01e310", "byte 0: a number is out of range; the limit is 10^308"),
        ("1e99999999999999999999", "byte 0: a number is out of range; the limit is 10^308"),
        (&deep, "byte 64: nested too deeply; the limit is 64 levels"),
        (r#"[{"a":1,"\u0061":2}]"#, "byte 1: an object has the key \"a\" twice"),
        (
            &keys,
            "byte 0: an object has the key \"kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk..\" twice",
        ),
    ];
    for (text, expected) in cases {
        let error = canonical(text, Style::Plain).expect_err(text);
        assert_eq!(error.to_string(), expected, "{text}");
    }
}

#[test]
fn shortened_text_ends_between_characters() {
    let cases = [("abc", "abc"), ("abcd", "abc.."), ("abé", "ab.."), ("ééé", "é..")];
    for (text, expected) in cases {
        assert_eq!(shortened(text, 3), expected, "{text}");
    }
}

/// Text that is often JSON and often just not.
fn nearly_json() -> impl Strategy<Value = String> {
    let token = prop_oneof![
        "[\\[\\]{}:,\" \\\\]",
        Just("\"a\":".to_owned()),
        Just("\"b\"".to_owned()),
        Just("\"\\ud83d\\ude00\"".to_owned()),
        "-?[0-9]{1,3}(\\.[0-9]{1,2})?([eE][+-]?[0-9]{1,3})?",
        Just("true".to_owned()),
        Just("null".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(token, 0..12).prop_map(|tokens| tokens.concat())
}

pub(crate) fn document() -> impl Strategy<Value = serde_json::Value> {
    use serde_json::Value;
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::btree_map(any::<String>(), inner, 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

proptest! {
    /// What serde_json writes is read, and serde_json reads what is written, with one meaning.
    #[test]
    fn agrees_with_serde_json(value in document()) {
        for (text, style) in [
            (value.to_string(), Style::Plain),
            (serde_json::to_string_pretty(&value).expect("text"), Style::Go),
        ] {
            let ours = canonical(&text, style).expect("JSON");
            let back: serde_json::Value = serde_json::from_str(&ours).expect("JSON");
            prop_assert_eq!(&back, &value);
        }
    }

    /// Our reader takes nothing that serde_json refuses, and refuses only keys that come twice
    /// and numbers out of range.
    #[test]
    fn takes_what_serde_json_takes(text in nearly_json()) {
        let theirs = serde_json::from_str::<serde_json::Value>(&text);
        match canonical(&text, Style::Plain) {
            Ok(ours) => {
                let theirs = theirs.map_err(|error| TestCaseError::fail(error.to_string()))?;
                let back: serde_json::Value = serde_json::from_str(&ours).expect("JSON");
                prop_assert_eq!(back, theirs, "{}", text);
                prop_assert_eq!(canonical(&ours, Style::Plain), Ok(ours.clone()));
            }
            Err(JsonError { fault: JsonFault::Duplicate { .. } | JsonFault::Range, .. }) => {}
            Err(error) => prop_assert!(theirs.is_err(), "{text:?}: {error}"),
        }
    }

    /// Go's style takes all that the plain one takes.
    #[test]
    fn go_takes_more(text in nearly_json()) {
        let plain = Json::parse(&text, Style::Plain);
        let go = Json::parse(&text, Style::Go);
        prop_assert!(plain.is_err() || plain == go, "{text:?}");
    }
}

/// The limit is of levels, not of how many objects and arrays there are.
#[test]
fn many_siblings_are_not_deep() {
    for sibling in ["[]", "{}", r#"{"a":[{}]}"#] {
        let text = format!("[{}]", [sibling; 200].join(","));
        assert_eq!(canonical(&text, Style::Plain), Ok(text));
    }
}
