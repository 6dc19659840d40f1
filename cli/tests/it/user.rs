use portolan_kit::Etcd;

use crate::kit::{etcd, on, run};

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

#[test]
fn who_may_not_is_told_why() {
    let etcd = locked();
    for (user, why) in
        [("root:wrong", "authentication failed"), ("nobody:nothing", "permission denied")]
    {
        for args in [&["groups"][..], &["config", "get", "web"], &["config", "set", "web", "1"]] {
            let ran = run(on(&etcd, args).args(["--timeout", "2s", "--user", user]));
            assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{args:?} as {user}");
            assert!(ran.err.contains(why), "{args:?} as {user}: {}", ran.err);
            let password = user.split(':').nth(1).expect("a password");
            assert!(!ran.err.contains(password), "{args:?} as {user}: {}", ran.err);
        }
    }
}
