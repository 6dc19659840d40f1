use std::path::Path;
use std::process::Command;

use insta::assert_snapshot;
use portolan_kit::{Authority, Certified, Etcd, Port, Release, ServerTls, replace_file};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::kit::{Running, on, portolan, run};

/// An etcd that wants to see certificates, an authority for it, and a folder with files of a client.
struct Set {
    etcd: Etcd,
    authority: Authority,
    folder: TempDir,
}

impl Set {
    fn new(mutual: bool) -> Self {
        let authority = Authority::new("test authority");
        let own = authority.server(&["127.0.0.1"]);
        let tls = ServerTls::new(authority.pem(), &own, mutual).expect("files");
        let etcd = Etcd::builder(Release::V3_5).tls(&tls).start().expect("etcd starts");
        let set = Self { etcd, authority, folder: TempDir::new().expect("a folder") };
        set.write("ca.pem", set.authority.pem());
        set.show(&set.authority.client("somebody"));
        set
    }

    fn show(&self, own: &Certified) {
        self.write("own.pem", &own.cert);
        self.write("own.key", &own.key);
    }

    fn write(&self, name: &str, text: &str) {
        replace_file(&self.folder.path().join(name), text).expect("it is written");
    }

    fn flags(&self, command: &mut Command) {
        for (flag, file) in [("--cacert", "ca.pem"), ("--cert", "own.pem"), ("--key", "own.key")] {
            command.arg(flag).arg(self.folder.path().join(file));
        }
    }
}

#[test]
fn a_set_up_with_certificates_on_both_sides() {
    let set = Set::new(true);
    let mut command = on(&set.etcd, ["config", "set", "web", "{\"a\":1}"]);
    set.flags(&mut command);
    run(&mut command).done();

    let mut command = on(&set.etcd, ["config", "get", "web", "-o", "json"]);
    let files = [("ETCDCTL_CACERT", "ca.pem"), ("ETCDCTL_CERT", "own.pem")];
    for (name, file) in files.into_iter().chain([("ETCDCTL_KEY", "own.key")]) {
        command.env(name, set.folder.path().join(file));
    }
    let ran = run(&mut command);
    assert!(ran.status == 0 && ran.out.contains("{\"a\":1}"), "{ran:?}");

    // A registration, through addresses without a scheme.
    let address = format!("127.0.0.1:{}", set.etcd.client_port());
    let args = ["register", "web", "--id", "a", "--endpoint", "http=10.0.0.7:8080"];
    let mut command = portolan(args.into_iter().chain(["--endpoints", address.as_str()]));
    set.flags(&mut command);
    let mut running = Running::start(&mut command);
    running.hears("registered");
    let keys = set.etcd.etcdctl(["get", "--prefix", "--keys-only", "/portolan/"]).expect("get");
    assert!(keys.contains("/portolan/instances/web/a"), "{keys}");
    running.signal(Signal::TERM);
    running.status();
}

/// What the system trusts is what counts without `--cacert`, as for etcdctl.
#[test]
fn the_system_knows_authorities_too() {
    let set = Set::new(false);
    let listed = |ca: &Path| {
        let mut command = on(&set.etcd, ["groups", "--timeout", "3s"]);
        run(command.env("SSL_CERT_FILE", ca).env_remove("SSL_CERT_DIR"))
    };
    listed(&set.folder.path().join("ca.pem")).done();
    set.write("other.pem", Authority::new("another").pem());
    let ran = listed(&set.folder.path().join("other.pem"));
    assert!(ran.status == 1 && ran.err.contains("not signed by an authority that we"), "{ran:?}");
    let ran = listed(&set.folder.path().join("own.key"));
    assert!(ran.status == 2 && ran.err.contains("CA certificates: the system has none"), "{ran:?}");
}

#[test]
fn what_is_wrong_with_the_files_is_told_by_their_flags() {
    let folder = TempDir::new().expect("a folder");
    let write = |name: &str, text: &str| {
        replace_file(&folder.path().join(name), text).expect("it is written");
    };
    let authority = Authority::new("test authority");
    let own = authority.client("a");
    write("ca.pem", authority.pem());
    write("own.pem", &own.cert);
    write("own.key", &own.key);
    write("other.key", &authority.client("b").key);
    write("hush", "hush");
    let port = Port::reserve().expect("a port is free");
    let told = |line: &str, variable: Option<(&str, &str)>| {
        let mut command = portolan(line.split(' '));
        command.arg("groups").current_dir(folder.path());
        command.env("ETCD_ENDPOINTS", port.addr().to_string()).envs(variable);
        let ran = run(&mut command);
        let shown = variable.map(|(name, value)| format!("{name}={value} ")).unwrap_or_default();
        format!("{shown}{line}\n  {}: {}", ran.status, ran.err)
    };
    let mut table = String::new();
    for line in [
        "--cacert missing",
        "--cacert hush",
        "--cert own.pem",
        "--key own.key",
        "--cert hush --key own.key",
        "--cert own.pem --key hush",
        "--cert own.pem --key missing",
        "--cert own.pem --key other.key",
        "--cacert ca.pem --endpoints http://127.0.0.1:2379",
    ] {
        table.push_str(&told(line, None));
    }
    table.push_str(&told("-o json", Some(("ETCDCTL_CACERT", "missing"))));
    table.push_str(&told("-o json", Some(("ETCDCTL_CERT", "own.pem"))));
    assert_snapshot!(table, @r#"
    --cacert missing
      2: portolan: --cacert missing: No such file or directory (os error 2)
    --cacert hush
      2: portolan: --cacert hush: holds no certificate as PEM
    --cert own.pem
      2: portolan: --cert needs --key
    --key own.key
      2: portolan: --key needs --cert
    --cert hush --key own.key
      2: portolan: --cert hush: holds no certificate as PEM
    --cert own.pem --key hush
      2: portolan: --key hush: holds no private key as PEM
    --cert own.pem --key missing
      2: portolan: --key missing: No such file or directory (os error 2)
    --cert own.pem --key other.key
      2: portolan: --key other.key: is not that of the client certificate
    --cacert ca.pem --endpoints http://127.0.0.1:2379
      2: portolan: etcd address "http://127.0.0.1:2379" is http, but TLS is set up; write https, or leave TLS out
    ETCDCTL_CACERT=missing -o json
      2: portolan: ETCDCTL_CACERT missing: No such file or directory (os error 2)
    ETCDCTL_CERT=own.pem -o json
      2: portolan: ETCDCTL_CERT needs --key
    "#);
}
