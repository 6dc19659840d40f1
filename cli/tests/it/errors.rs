use std::fmt::Write as _;

use insta::assert_snapshot;
use portolan_kit::Port;

use crate::kit::{portolan, run};

/// What each command line comes to. Nothing is ever written to standard output, and exactly one
/// line to standard error.
fn table<'a>(command_lines: impl IntoIterator<Item = &'a str>) -> String {
    let mut table = String::new();
    for line in command_lines {
        // A word in quotes stays whole.
        let words = line.split('\'').enumerate().flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect::<Vec<_>>(),
            _ => vec![part],
        });
        let ran = run(&mut portolan(words));
        assert_eq!(ran.out, "", "{line}");
        assert_eq!(ran.err.matches('\n').count(), 1, "{line}: {}", ran.err);
        write!(table, "{line}\n  {}: {}", ran.status, ran.err).expect("a string takes all");
    }
    table
}

#[test]
fn wrong_usage() {
    assert_snapshot!(table([
        "frobnicate",
        "groups --frobnicate",
        "instances",
        "instances a b",
        "instances a/b",
        "instances ..",
        "instances ''",
        "instances a --selector",
        "instances a --selector zone>1",
        "instances a --selector 'zone eu'",
        "instances a -l app/name=web",
        "instances a -l 'zone in (eu, )'",
        "instances a --selector -ojson",
        "instances a --selector=-zone=\"eu",
        "instances a --selector @rack=1",
        "instances a --selector @state=up",
        "instances a --selector @version>=one",
        "watch 'a b'",
        "config get a/b",
        "config set web",
        "config set a/b 1",
        "config set web '{\"a\":1,}'",
        "config set web '{\"a\":1,\"a\":2}'",
        "config set web 01",
        "config set web -",
        "config set web @/nonexistent",
        "config edit a/b",
        "--layout etcd-naming config get web",
        "--layout etcd-naming demo",
        "--layout go groups",
        "--root portolan groups",
        "--root /a//b groups",
        "--root /a/.. groups",
        "--endpoints localhost groups",
        "--endpoints ftp://localhost:2379 groups",
        "--endpoints 127.0.0.1:2379,,127.0.0.1:2380 groups",
        "--endpoints root:hush@localhost:2379 groups",
        "--timeout 0s groups",
        "--timeout -1s groups",
        "--timeout 10 groups",
        "--timeout 25h groups",
        "-o xml groups",
    ]));
}

#[test]
fn wrong_users() {
    assert_snapshot!(table([
        "--user root groups",
        "--user :hush groups",
        "--password-file /etc/hostname groups",
        "--user root --password-file /nonexistent/password groups",
        "--user root --password-file /dev/null groups",
        "--user root:hush --password-file /dev/null groups",
    ]));
}

#[test]
fn wrong_instances() {
    let long = "x".repeat(64);
    let (long_id, long_label) = (format!("--id {long}"), format!("z={}", "x".repeat(257)));
    let good = "--id web-1 --endpoint http=10.0.0.7:8080";
    let lines = [
        "register web".to_owned(),
        "register web --id web-1".to_owned(),
        format!("register web/1 {good}"),
        "register web --id a/b --endpoint http=10.0.0.7:8080".to_owned(),
        format!("register web {long_id} --endpoint http=10.0.0.7:8080"),
        "register web --id web-1 --endpoint 10.0.0.7:8080".to_owned(),
        "register web --id web-1 --endpoint http=10.0.0.7".to_owned(),
        "register web --id web-1 --endpoint http=10.0.0.7:0".to_owned(),
        "register web --id web-1 --endpoint http=10.0.0.777:80".to_owned(),
        "register web --id web-1 --endpoint http=http://10.0.0.7:80".to_owned(),
        "register web --id web-1 --endpoint 'h p=10.0.0.7:80'".to_owned(),
        "register web --id web-1 --endpoint http=0.0.0.0:8080".to_owned(),
        "register web --id web-1 --endpoint http=localhost:8080".to_owned(),
        format!("register web {good} --endpoint http=10.0.0.8:8080"),
        format!("register web {good} --label zone"),
        format!("register web {good} --label 'zo ne=a'"),
        format!("register web {good} --label {long_label}"),
        format!("register web {good} --label 'zone=a\tb'"),
        format!("register web {good} --label zone=a --label zone=b"),
        format!("register web {good} --version 1.2"),
        format!("register web {good} --weight 65536"),
        format!("register web {good} --weight -1"),
        format!("register web {good} --weight 1.5"),
        format!("register web {good} --ttl 15"),
        format!("register web {good} --ttl 1500ms"),
        format!("register web {good} --ttl 500ms"),
        format!("register web {good} --ttl -1s"),
        format!("register web {good} --ttl 25h"),
        format!("register web {good} --conflict fight"),
        format!("register web {good} --ready 127.0.0.1:80"),
        format!("register web {good} --ready tcp:127.0.0.1"),
        format!("register web {good} --ready https://127.0.0.1/"),
        format!("register web {good} --drain-for 1s"),
        format!("register web {good} --drain-for -1s -- true"),
        format!("register web {good} --"),
        format!("--layout etcd-naming register web {good} -- true"),
        format!("--layout etcd-naming register web {good} --endpoint b=10.0.0.7:81 -- true"),
    ];
    let naming = "--layout etcd-naming register web --id web-1 --endpoint grpc=10.0.0.7:8080";
    let left_out = ["--version 1.2.3", "--weight 0", "--drain-for 1s"];
    let left_out = left_out.map(|flag| format!("{naming} {flag} -- true"));
    let table = table(lines.iter().chain(&left_out).map(String::as_str));
    assert_snapshot!(table.replace(&"x".repeat(257), "x*257").replace(&long, "x*64"));
}

#[test]
fn nobody_listens() {
    let port = Port::reserve().expect("a port");
    let nobody = format!("127.0.0.1:{}", port.number());
    let lines = ["groups", "instances web", "watch", "config get web", "config set web 1", "demo"];
    let lines = lines.map(|line| format!("--endpoints {nobody} --timeout 1s {line}"));
    let table = table(lines.iter().map(String::as_str));
    assert_snapshot!(table.replace(&nobody, "127.0.0.1:PORT"));
}

/// The order in which addresses are looked for.
#[test]
fn endpoints_come_from_flag_then_variables() {
    let tried = |flag: &[&str], variables: &[(&str, &str)]| {
        let mut command = portolan(["groups", "--timeout", "200ms"].iter().chain(flag));
        command.envs(variables.iter().copied());
        let err = run(&mut command).err;
        let rest = err.split("etcd at ").nth(1).unwrap_or_else(|| panic!("{err}")).to_owned();
        rest.split(' ').next().expect("a word").to_owned()
    };
    let (ours, theirs) = (("ETCD_ENDPOINTS", "127.0.0.1:2"), ("ETCDCTL_ENDPOINTS", "127.0.0.1:3"));
    assert_eq!(tried(&["--endpoints", "127.0.0.1:1"], &[ours, theirs]), "127.0.0.1:1");
    assert_eq!(tried(&[], &[ours, theirs]), "127.0.0.1:2");
    assert_eq!(tried(&[], &[("ETCD_ENDPOINTS", ""), theirs]), "127.0.0.1:3");
    assert_eq!(
        tried(&[], &[("ETCD_ENDPOINTS", "127.0.0.1:4,127.0.0.1:5")]),
        "127.0.0.1:4,127.0.0.1:5"
    );
}
