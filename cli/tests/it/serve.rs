//! An etcd in memory, asked by clients that are not ours.

use std::process::Command;

use portolan_kit::{Programs, Release};
use rustix::process::Signal;

use crate::kit::{Running, portolan, run};

/// A server, and the address that it tells.
fn serve(args: &[&str]) -> (Running, String) {
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
}
