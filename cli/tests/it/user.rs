use std::time::Instant;

use portolan_kit::Etcd;
use rustix::process::Signal;

use crate::kit::{LONG, Running, etcd, on, run};

fn locked() -> Etcd {
    let etcd = etcd();
    for args in [
        &["user", "add", "root:hush:hush"][..],
        &["user", "grant-role", "root", "root"],
        &["user", "add", "nobody:nothing"],
        &["auth", "enable"],
    ] {
        // A role that is there already is no failure of ours.
        let done = etcd.etcdctl(args.iter().copied());
        done.unwrap_or_else(|error| panic!("{args:?}: {error}"));
    }
    etcd
}

#[test]
fn a_password_from_each_place() {
    let etcd = locked();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "hush:hush\nnot this\n").expect("it is written");
    let set = ["config", "set", "web", "1"];
    run(on(&etcd, set).args(["--user", "root:hush:hush"])).done();
    run(on(&etcd, set).args(["--user", "root", "--password-file"]).arg(&file)).done();
    run(on(&etcd, set).env("ETCDCTL_USER", "root:hush:hush")).done();
    run(on(&etcd, set).args(["--user", "root"]).env("ETCDCTL_PASSWORD", "hush:hush")).done();
}

/// At once: no waiting changes it.
#[test]
fn who_may_not_is_told_why() {
    let etcd = locked();
    for (user, why) in
        [("root:wrong", "authentication failed"), ("nobody:nothing", "permission denied")]
    {
        for args in [
            &["groups"][..],
            &["instances", "web"],
            &["watch"],
            &["config", "get", "web"],
            &["config", "set", "web", "1"],
            &["config", "edit", "web"],
        ] {
            let begun = Instant::now();
            let ran = run(on(&etcd, args).args(["--timeout", "60s", "--user", user]));
            assert!(begun.elapsed() < LONG, "{args:?} as {user}: {:?}", begun.elapsed());
            assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{args:?} as {user}");
            let refused = format!("refused by etcd at {}: etcdserver: {why}", etcd.client_url());
            assert!(ran.err.contains(&refused), "{args:?} as {user}: {}", ran.err);
            let password = user.split(':').nth(1).expect("a password");
            assert!(!ran.err.contains(password), "{args:?} as {user}: {}", ran.err);
        }
    }
    let ran = run(&mut on(&etcd, ["groups", "--timeout", "60s"]));
    assert!(ran.err.contains("refused by") && ran.err.contains("user name is empty"), "{ran:?}");
}

/// Of what never stood nothing is said to be removed.
#[test]
fn what_never_stood_is_not_removed() {
    let etcd = locked();
    for user in ["root:wrong", "nobody:nothing"] {
        let args = ["register", "web", "--id", "a", "--endpoint", "http=10.0.0.7:8080"];
        let mut running = Running::start(on(&etcd, args).args(["--user", user]));
        let line = running.hears("is not registered");
        assert!(line.ends_with("; still trying"), "{line}");
        running.signal(Signal::TERM);
        running.status();
        while let Some(line) = running.last_err() {
            assert!(!line.contains("removed"), "{user}: {line}");
        }
    }
}

/// The file is read again whenever somebody is to log in.
#[test]
fn a_corrected_password_is_used() {
    let etcd = locked();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "wrong\n").expect("it is written");
    let args = ["register", "web", "--id", "a", "--endpoint", "http=10.0.0.7:8080"];
    let mut command = on(&etcd, args);
    let mut running =
        Running::start(command.args(["--user", "root", "--password-file"]).arg(&file));
    let line = running.hears("is not registered");
    assert!(line.contains("authentication failed"), "{line}");
    std::fs::write(&file, "hush:hush\n").expect("it is written");
    running.hears("is registered");
    running.signal(Signal::TERM);
    running.status();
}
