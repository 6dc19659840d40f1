//! An etcd in memory, asked by clients that are not ours.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use portolan_kit::{Authority, Programs, Release};
use rustix::process::Signal;

use crate::kit::{Running, portolan, run};

/// A server, and the address that it tells.
pub fn serve(args: &[&str]) -> (Running, String) {
    let args = ["serve", "--listen", "127.0.0.1:0"].into_iter().chain(args.iter().copied());
    let running = Running::start(&mut portolan(args));
    let line = running.out();
    let address = line.split(' ').nth(2).expect("it tells its address").to_owned();
    (running, address)
}

fn etcdctl(release: Release, address: &str, args: &str) -> String {
    let programs = Programs::find(release).expect("there is one");
    let said = programs.etcdctl(address, args.split_whitespace());
    said.unwrap_or_else(|error| panic!("{release:?}: {error}"))
}

#[test]
fn etcdctl_reads_writes_and_leases() {
    for release in [Release::V3_4, Release::V3_5] {
        let (mut server, address) = serve(&[]);
        let ctl = |args: &str| etcdctl(release, &address, args);
        assert_eq!(ctl("put a 1"), "OK\n");
        assert_eq!(ctl("put b 2"), "OK\n");
        assert_eq!(ctl("get a --prefix"), "a\n1\n");
        assert_eq!(ctl("get --from-key a --print-value-only"), "1\n2\n");
        assert_eq!(ctl("del b"), "1\n");
        assert_eq!(ctl("compaction 3"), "compacted revision 3\n");
        let granted = ctl("lease grant 60");
        let lease = granted.split(' ').nth(1).expect("an id").to_owned();
        assert_eq!(ctl(&format!("put c 3 --lease={lease}")), "OK\n");
        let left = ctl(&format!("lease timetolive {lease} --keys"));
        assert!(left.contains("granted with TTL(60s)") && left.contains("[c]"), "{left}");
        assert!(ctl(&format!("lease keep-alive --once {lease}")).contains("TTL(60)"));
        assert!(ctl("lease list").contains(&lease));
        ctl(&format!("lease revoke {lease}"));
        assert_eq!(ctl("get c"), "");
        assert!(ctl("member list").contains("8e9e05c52164694d"));
        assert!(ctl("endpoint status").contains("3.7.0"));
        let refused = Programs::find(release).expect("there is one");
        let refused = refused.etcdctl(&address, ["put", "c", "3", &format!("--lease={lease}")]);
        let refused = refused.expect_err("the lease is gone").to_string();
        assert!(refused.contains("etcdserver: requested lease not found"), "{refused}");
        server.signal(Signal::TERM);
        assert_eq!(server.status(), 0);
    }
}

#[test]
fn etcdctl_watches() {
    for release in [Release::V3_4, Release::V3_5] {
        let (_server, address) = serve(&["--as", "3.5.16"]);
        etcdctl(release, &address, "put a 1");
        let programs = Programs::find(release).expect("there is one");
        let mut watch = Command::new(&programs.etcdctl);
        watch.env("ETCDCTL_API", "3").args(["--endpoints", &address, "watch", "a", "--rev=2"]);
        let watch = Running::start(&mut watch);
        let three = || [watch.out(), watch.out(), watch.out()];
        assert_eq!(three(), ["PUT", "a", "1"]);
        etcdctl(release, &address, "put a 2");
        assert_eq!(three(), ["PUT", "a", "2"]);
        etcdctl(release, &address, "del a");
        assert_eq!(three(), ["DELETE", "a", ""]);
    }
}

#[test]
fn etcdctl_operates() {
    for release in [Release::V3_4, Release::V3_5] {
        let (_server, address) = serve(&[]);
        let ctl = |args: &str| etcdctl(release, &address, args);
        ctl("put k 1");
        assert!(ctl("endpoint hashkv").starts_with(&format!("{address}, ")), "{release:?}");
        assert_eq!(ctl("alarm list"), "");
        assert_eq!(ctl("user add root:r"), "User root created\n");
        ctl("user grant-role root root");
        assert_eq!(ctl("user add ann:a"), "User ann created\n");
        assert_eq!(ctl("role add part"), "Role part created\n");
        ctl("role grant-permission part readwrite k");
        ctl("role grant-permission part read p/ --prefix=true");
        assert_eq!(
            ctl("role get part"),
            "Role part\nKV Read:\n\tk\n\t[p/, p0) (prefix p/)\nKV Write:\n\tk\n"
        );
        assert_eq!(ctl("user grant-role ann part"), "Role part is granted to user ann\n");
        assert_eq!(ctl("auth enable"), "Authentication Enabled\n");
        assert_eq!(ctl("put k 2 --user ann:a"), "OK\n");
        let refused = |args: &str| {
            let programs = Programs::find(release).expect("there is one");
            let said = programs.etcdctl(&address, args.split_whitespace());
            said.expect_err("it is refused").to_string()
        };
        let denied = "etcdserver: permission denied";
        assert!(refused("put x 1 --user ann:a").contains(denied));
        assert!(refused("user list --user ann:a").contains(denied));
        assert!(refused("put k 1").contains("etcdserver: user name is empty"));
        assert!(refused("put k 1 --user ann:b").contains("authentication failed"));
        assert_eq!(ctl("user list --user root:r"), "ann\nroot\n");
        if release == Release::V3_5 {
            let status = ctl("auth status --user root:r");
            assert!(status.starts_with("Authentication Status: true\n"), "{status}");
        }
        assert_eq!(ctl("auth disable --user root:r"), "Authentication Disabled\n");
        assert_eq!(ctl("put x 1"), "OK\n");
    }
}

/// What etcdctl makes of the services by itself: transactions that are typed, locks, elections.
#[test]
fn etcdctl_does_the_rest() {
    for release in [Release::V3_4, Release::V3_5] {
        let (_server, address) = serve(&[]);
        let ctl = |args: &str| etcdctl(release, &address, args);
        let programs = Programs::find(release).expect("there is one");
        let start = |args: &[&str]| {
            let mut command = Command::new(&programs.etcdctl);
            command.env("ETCDCTL_API", "3").args(["--endpoints", &address]).args(args);
            command
        };
        ctl("put a 1");
        let mut typed = start(&["txn"]);
        typed.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut typed = typed.spawn().expect("it starts");
        let words = b"value(\"a\") = \"1\"\n\nput a 2\n\nget a\n\n";
        typed.stdin.take().expect("it listens").write_all(words).expect("it reads");
        let said = typed.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&said.stdout), "SUCCESS\n\nOK\n");
        assert_eq!(ctl("get a --print-value-only"), "2\n");

        assert_eq!(ctl("lock l echo held"), "held\n");
        let leader = Running::start(&mut start(&["elect", "e", "one"]));
        let key = leader.out();
        assert!(key.starts_with("e/"), "{key}");
        assert_eq!(leader.out(), "one");
        let follower = Running::start(&mut start(&["elect", "--listen", "e"]));
        assert_eq!([follower.out(), follower.out()], [key, "one".to_owned()]);

        let id = "8e9e05c52164694d";
        assert!(ctl("endpoint health -w json").contains("\"health\":true"));
        assert_eq!(ctl("alarm disarm"), "");
        assert!(
            ctl("member list -w fields")
                .contains(&u64::from_str_radix(id, 16).expect("it is a number").to_string())
        );
        for words in [
            "user add ann:a",
            "role add part",
            "user grant-role ann part",
            "role grant-permission part read k",
            "role revoke-permission part k",
            "user revoke-role ann part",
        ] {
            ctl(words);
        }
        assert_eq!(ctl("user get ann"), "User: ann\nRoles:\n");
        assert_eq!(ctl("role list"), "part\n");
        assert_eq!(ctl("role delete part"), "Role part deleted\n");
        assert_eq!(ctl("user delete ann"), "User ann deleted\n");
        assert_eq!(ctl("user list"), "");
    }
}

#[test]
fn several_addresses_are_a_cluster() {
    let more = ["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"];
    let (mut server, first) = serve(&more);
    let first = first.trim_end_matches(',');
    for release in [Release::V3_4, Release::V3_5] {
        let list = etcdctl(release, first, "member list");
        let addresses = list.lines().filter_map(|line| line.split(", ").nth(4));
        let addresses: Vec<_> = addresses.map(|url| url.replace("http://", "")).collect();
        assert_eq!(addresses.len(), 3, "{list}");
        assert_eq!(addresses[0], first, "{list}");
        etcdctl(release, &addresses[1], "put k 1");
        assert_eq!(etcdctl(release, &addresses[2], "get k"), "k\n1\n");
        let status = etcdctl(release, &addresses.join(","), "endpoint status");
        let leads: Vec<_> = status.lines().map(|line| line.contains(", true, ")).collect();
        assert_eq!(leads, [true, false, false], "{status}");
    }
    server.signal(Signal::TERM);
    assert_eq!(server.status(), 0);
}

/// One from npm and one from PyPI, unchanged (`make setup` brings them).
#[test]
fn clients_of_other_languages_work() {
    let (_server, address) = serve(&[]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let clients = root.join(".cache/clients");
    let held = |command: &mut Command| {
        let ran = run(command);
        assert_eq!((ran.status, ran.out.as_str()), (0, "all held\n"), "{}", ran.err);
    };
    let node = root.join("tests/clients/with_etcd3.mjs");
    held(Command::new("node").arg(node).arg(clients.join("npm")).arg(&address));
    etcdctl(Release::V3_5, &address, "del --prefix kv/");
    let (host, port) = address.split_once(':').expect("an address");
    let python = root.join("tests/clients/with_aetcd.py");
    held(Command::new(clients.join("pypi/bin/python")).arg(python).args([host, port]));
}

/// By a client that is not ours, and by ours.
#[test]
fn it_speaks_tls() {
    let folder = tempfile::tempdir().expect("a folder");
    let authority = Authority::new("clients and server");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("it is written");
        path.to_str().expect("a path").to_owned()
    };
    let ca = write("ca.pem", authority.pem());
    let (own, client) = (authority.server(&["127.0.0.1"]), authority.client("ops"));
    let (cert, key) = (write("cert.pem", &own.cert), write("key.pem", &own.key));
    let (client_cert, client_key) = (write("c.pem", &client.cert), write("ck.pem", &client.key));
    let shows = ["--cert-file", &cert, "--key-file", &key];
    let shown = ["--cacert", &ca, "--cert", &client_cert, "--key", &client_key];

    let (mut server, address) = serve(&shows);
    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    let programs = Programs::find(Release::V3_5).expect("there is one");
    let ask = |address: &str, tls: &[&str]| {
        programs.etcdctl(address, [tls, &["--command-timeout=2s", "put", "a", "1"]].concat())
    };
    assert_eq!(ask(&address, &shown[..2]).expect("it is trusted"), "OK\n");
    assert!(ask(&address, &[]).is_err(), "by an authority that nobody knows");
    assert!(ask(&address.replace("https", "http"), &[]).is_err(), "without TLS");
    server.signal(Signal::TERM);
    assert_eq!(server.status(), 0);

    let (_server, address) = serve(&[&shows[..], &["--trusted-ca-file", &ca]].concat());
    assert!(ask(&address, &shown[..2]).is_err(), "without a certificate of its own");
    assert_eq!(ask(&address, &shown).expect("it shows one"), "OK\n");
    let args = ["groups", "--endpoints", &address].into_iter().chain(shown);
    assert!(run(&mut portolan(args)).done().starts_with("GROUP"));

    let refused = |args: &[&str], words: &str| {
        let ran = run(&mut portolan([&["serve", "--listen", "127.0.0.1:0"], args].concat()));
        assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{}", ran.err);
        assert!(ran.err.contains(words), "{}", ran.err);
    };
    let missing = write("missing", "");
    std::fs::remove_file(&missing).expect("it is removed");
    refused(&["--cert-file", &cert], "--key-file");
    refused(&["--cert-file", &missing, "--key-file", &key], &format!("cannot read {missing}: "));
    let not = |what: &str, file: &str| format!("{what} {file}: ");
    refused(&["--cert-file", &key, "--key-file", &key], &not("--cert-file", &key));
    refused(&["--cert-file", &cert, "--key-file", &cert], &not("--key-file", &cert));
    refused(&["--cert-file", &cert, "--key-file", &client_key], "it is not the certificate's");
    let args = [&shows[..], &["--trusted-ca-file", &key]].concat();
    refused(&args, &not("--trusted-ca-file", &key));
}

#[test]
fn each_connection_is_a_line_on_standard_error() {
    let (mut server, address) = serve(&[]);
    etcdctl(Release::V3_5, &address, "put a 1");
    let line = server.err();
    assert!(line.starts_with("portolan: 127.0.0.1:"), "{line}");
    assert!(line.contains(": 1 call in 0.") && line.contains(" s, "), "{line}");
    server.signal(Signal::TERM);
    assert_eq!(server.status(), 0);
}

/// The rest of the command line works on it as on any etcd.
#[test]
fn it_is_a_store_for_the_others() {
    let (_server, address) = serve(&[]);
    let on = |args: &str| {
        let args: Vec<&str> = args.split(' ').chain(["--endpoints", &address]).collect();
        run(&mut portolan(args)).done()
    };
    on("config set web [1]");
    assert_eq!(on("config get web -o json").matches("\"data\":[1]").count(), 1);
}

#[test]
fn what_cannot_be_served_is_told() {
    let (_server, address) = serve(&[]);
    let ran = run(&mut portolan(["serve", "--listen", &address]));
    assert_eq!((ran.status, ran.out.as_str()), (1, ""));
    assert!(ran.err.starts_with(&format!("portolan: cannot listen on {address}: ")), "{}", ran.err);
    let ran = run(&mut portolan(["serve", "--as", "newest"]));
    assert_eq!(ran.status, 2, "{}", ran.err);
    assert!(ran.err.contains("\"newest\" is no version of etcd"), "{}", ran.err);
    let six = std::iter::once("serve").chain(["--listen", "127.0.0.1:0"].repeat(6));
    let ran = run(&mut portolan(six));
    assert_eq!((ran.status, ran.out.as_str()), (2, ""));
    let words = "--listen is given 6 times; a cluster has at most 5 members";
    assert!(ran.err.contains(words), "{}", ran.err);
    let ran = run(&mut portolan(["serve", "--quota", "1MiB", "--history", "2MiB"]));
    assert_eq!(ran.status, 2, "{}", ran.err);
    let words = "--history 2097152 is more than --quota 1048576, of which it is a part";
    assert!(ran.err.contains(words), "{}", ran.err);
}
