use super::*;

#[test]
fn names_are_checked() {
    let what = NameKind::Group;
    let long = "x".repeat(64);
    let cases = [
        ("checkout-2", Ok(())),
        ("A.b_c-9", Ok(())),
        ("...", Ok(())),
        (&long[..63], Ok(())),
        ("", Err(NameError::Empty { what, limit: 63 })),
        (&long, Err(NameError::TooLong { what, length: 64, limit: 63 })),
        ("a/b", Err(NameError::BadChar { what, found: '/', at: 1 })),
        ("naïve", Err(NameError::BadChar { what, found: 'ï', at: 2 })),
        ("a b", Err(NameError::BadChar { what, found: ' ', at: 1 })),
        ("a\0", Err(NameError::BadChar { what, found: '\0', at: 1 })),
        (".", Err(NameError::Dots { what, found: ".".to_owned() })),
        ("..", Err(NameError::Dots { what, found: "..".to_owned() })),
    ];
    for (name, expected) in cases {
        assert_eq!(GroupName::parse(name).map(drop), expected, "{name:?}");
        assert_eq!(GroupName::check(name), expected, "{name:?}");
    }
}

#[test]
fn errors_name_the_field_the_value_and_the_limit() {
    let long = "x".repeat(64);
    let texts = [
        (GroupName::check(""), "group name is empty; it takes 1 to 63 bytes"),
        (InstanceId::check(&long), "instance id has 64 bytes; the limit is 63"),
        (
            EndpointName::check("a/b"),
            "endpoint name has '/' at byte 1; allowed are letters, digits, '.', '_' and '-'",
        ),
        (LabelKey::check(".."), "label key is \"..\", which stands for a folder in paths"),
        (
            InstanceId::check_foreign("a\nb"),
            "instance id has '\\n' at byte 1; control characters are not allowed",
        ),
    ];
    for (result, expected) in texts {
        assert_eq!(result.expect_err(expected).to_string(), expected);
    }
}

#[test]
fn foreign_ids_are_what_other_programs_choose() {
    let long = "ä".repeat(513);
    for id in ["10.0.0.7:8080", "a/b", " ", "..", "ключ", &long[..1_024]] {
        assert_eq!(InstanceId::foreign(id).map(String::from), Ok(id.to_owned()));
    }
    let what = NameKind::InstanceId;
    let cases = [
        ("", NameError::Empty { what, limit: 1_024 }),
        ("a\u{7f}", NameError::Control { what, found: '\u{7f}', at: 1 }),
        (&*long, NameError::TooLong { what, length: 1_026, limit: 1_024 }),
    ];
    for (id, expected) in cases {
        assert_eq!(InstanceId::foreign(id), Err(expected), "{id:?}");
    }
}

#[test]
fn serde_checks() {
    let name: GroupName = serde_json::from_str(r#""web""#).expect("a name");
    assert_eq!(name.as_str(), "web");
    assert_eq!(serde_json::to_string(&name).expect("text"), r#""web""#);
    let error = serde_json::from_str::<GroupName>(r#""a/b""#).expect_err("not a name");
    assert!(error.to_string().starts_with("group name has '/' at byte 1"), "{error}");
    serde_json::from_str::<InstanceId>(r#""10.0.0.7:80""#).expect_err("a foreign id");
}
