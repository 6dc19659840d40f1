use insta::assert_snapshot;

use crate::kit::{Running, etcd, on, run, until};

#[test]
fn what_is_registered_is_listed() {
    let etcd = etcd();
    let instance = |id: &str, more: &[&str]| {
        let args = ["register", "web", "--id", id];
        let running = Running::start(on(&etcd, args).args(more));
        running.hears("is registered");
        running
    };
    let http = ["--endpoint", "http=10.0.0.7:8080"];
    let more = ["--label", "zone=eu 1", "--label", "rack=r7", "--version", "1.4.0-rc.1"];
    let _one = instance("web-1", &[&http[..], &more, &["--weight", "0"]].concat());
    let _two = instance("web-2", &["--endpoint", "b=[2001:db8::1]:1", "--endpoint", "a=x.y:2"]);
    run(&mut on(&etcd, ["config", "set", "shop", "{}"])).done();
    etcd.etcdctl(["put", "/portolan/instances/web/odd", "nonsense"]).expect("etcdctl puts");

    let groups = run(&mut on(&etcd, ["groups"]));
    assert_eq!(groups.status, 0);
    assert_snapshot!(groups.out, @r"
    GROUP  INSTANCES  READY  CONFIG
    shop   0          0      yes
    web    2          2      no
    ");
    let unreadable = "portolan: unreadable record /portolan/instances/web/odd: \
        record is not JSON: byte 0: expected a value\n";
    assert_eq!(groups.err, unreadable);
    assert_snapshot!(run(&mut on(&etcd, ["groups", "-o", "json"])).out, @r#"
    {"group":"shop","instances":0,"ready":0,"config":true}
    {"group":"web","instances":2,"ready":2,"config":false}
    "#);

    let web = run(&mut on(&etcd, ["instances", "web"]));
    assert_eq!(web.status, 0);
    assert_snapshot!(web.out, @r"
    ID     STATE  ENDPOINTS                  VERSION     WEIGHT  LABELS
    web-1  ready  http=10.0.0.7:8080         1.4.0-rc.1  0       rack=r7,zone=eu 1
    web-2  ready  a=x.y:2,b=[2001:db8::1]:1
    ");
    assert_eq!(web.err, unreadable);
    let objects = run(&mut on(&etcd, ["instances", "web", "-o", "json"])).out;
    let objects = objects.lines().map(|line| {
        let mut object: serde_json::Value = serde_json::from_str(line).expect("an object");
        // These differ from run to run.
        assert!(object["created_millis"].as_u64() > Some(1_700_000_000_000), "{line}");
        assert!(object["lease"].as_str().is_some_and(|lease| lease.len() >= 8), "{line}");
        object["created_millis"] = 0.into();
        object["lease"] = "LEASE".into();
        object.to_string()
    });
    assert_snapshot!(objects.collect::<Vec<_>>().join("\n"), @r#"
    {"created_millis":0,"endpoints":{"http":"10.0.0.7:8080"},"group":"web","id":"web-1","labels":{"rack":"r7","zone":"eu 1"},"lease":"LEASE","revision":2,"state":"ready","version":"1.4.0-rc.1","weight":0}
    {"created_millis":0,"endpoints":{"a":"x.y:2","b":"[2001:db8::1]:1"},"group":"web","id":"web-2","labels":{},"lease":"LEASE","revision":3,"state":"ready","version":null,"weight":null}
    "#);
}

#[test]
fn an_empty_group_is_not_found() {
    let etcd = etcd();
    run(&mut on(&etcd, ["config", "set", "shop", "{}"])).done();
    for group in ["shop", "nothing"] {
        let ran = run(&mut on(&etcd, ["instances", group]));
        assert_eq!((ran.status, ran.out.as_str()), (3, ""));
        assert_eq!(ran.err, format!("portolan: group {group} has no instance\n"));
    }
}

#[test]
fn those_that_fit_are_listed() {
    let etcd = etcd();
    let instance = |id: &str, more: &[&str]| {
        let args = ["register", "web", "--id", id, "--endpoint", "http=10.0.0.7:8080"];
        let running = Running::start(on(&etcd, args).args(more));
        running.hears("is registered");
        running
    };
    let _one = instance("web-1", &["--label", "zone=eu 1", "--version", "1.4.0"]);
    let _two =
        instance("web-2", &["--label", "zone=us", "--label", "canary=", "--version", "2.0.0"]);
    let _three = instance("web-3", &[]);
    let cases: [(&str, &[&str]); 10] = [
        ("", &["web-1", "web-2", "web-3"]),
        ("zone", &["web-1", "web-2"]),
        ("!zone", &["web-3"]),
        ("canary=", &["web-2"]),
        ("zone=\"eu 1\"", &["web-1"]),
        ("zone!=us", &["web-1", "web-3"]),
        ("zone in (us, \"eu 1\"), !canary", &["web-1"]),
        ("@version>=1.4, @version<2", &["web-1"]),
        ("@state=ready,zone notin (us)", &["web-1", "web-3"]),
        ("!zone, @state notin (draining, starting)", &["web-3"]),
    ];
    for (selector, expected) in cases {
        let listed =
            run(&mut on(&etcd, ["-o", "json", "instances", "web", "--selector", selector]));
        let ids = listed
            .done()
            .lines()
            .map(|line| {
                let object: serde_json::Value = serde_json::from_str(line).expect("an object");
                object["id"].as_str().expect("an id").to_owned()
            })
            .collect::<Vec<_>>();
        assert_eq!(ids, expected, "{selector}");
    }
    for (group, refusal) in [
        ("web", "group web has no instance that fits zone=\"eu 2\" (of 3)"),
        ("shop", "group shop has no instance"),
    ] {
        let none = run(&mut on(&etcd, ["instances", group, "--selector", "zone = \"eu 2\""]));
        assert_eq!((none.status, none.out.as_str()), (3, ""));
        assert_eq!(none.err, format!("portolan: {refusal}\n"));
    }
}

/// Others may choose ids that would turn the line around.
#[test]
fn what_does_not_show_is_escaped() {
    let etcd = etcd();
    let record = "{\"Op\":0,\"Addr\":\"10.0.0.7:80\"}";
    etcd.etcdctl(["put", "shop/cart/a\u{202e}\u{200b}b", record]).expect("etcdctl puts");
    let naming = ["--layout", "etcd-naming", "--root", "shop", "instances", "cart"];
    assert_snapshot!(run(&mut on(&etcd, naming)).done(), @r"
    ID              STATE  ENDPOINTS         VERSION  WEIGHT  LABELS
    a\u202e\u200bb  ready  grpc=10.0.0.7:80
    ");
    let object = run(on(&etcd, naming).args(["-o", "json"])).done();
    assert!(object.contains("\"id\":\"a\\u202e\\u200bb\""), "{object}");
    let object: serde_json::Value = serde_json::from_str(&object).expect("an object");
    assert_eq!(object["id"], "a\u{202e}\u{200b}b");
}

/// The neighbours' keys, and nothing else of ours.
#[test]
fn another_layout_and_root() {
    let etcd = etcd();
    let naming = ["--layout", "etcd-naming", "--root", "shop"];
    let register =
        ["register", "cart", "--id", "10.0.0.7:8080", "--endpoint", "grpc=10.0.0.7:8080"];
    let mut running = Running::start(&mut on(&etcd, naming.iter().chain(&register)));
    running.hears("is registered");
    let keys = etcd.etcdctl(["get", "--prefix", ""]).expect("etcdctl gets");
    assert_eq!(
        keys,
        "shop/cart/10.0.0.7:8080\n{\"Op\":0,\"Addr\":\"10.0.0.7:8080\",\"Metadata\":null}\n"
    );
    let groups = run(&mut on(&etcd, naming.iter().chain(&["groups"]))).done();
    assert_eq!(groups, "GROUP  INSTANCES  READY  CONFIG\ncart   1          1      no\n");
    let rooted = ["--root", "/other", "config", "set", "web", "1"];
    run(&mut on(&etcd, rooted)).done();
    until("the key is there", || {
        let keys = etcd.etcdctl(["get", "--prefix", "/", "--keys-only"]).expect("etcdctl gets");
        keys.trim() == "/other/groups/web"
    });
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.status(), 0);
}
