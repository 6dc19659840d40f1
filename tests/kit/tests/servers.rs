//! The kit against real servers: what it starts serves, what it ends is gone.

use std::{
    fs,
    io::Read,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use portolan_kit::{Authority, Cluster, Etcd, KitError, Port, Programs, Release, ServerTls};

#[test]
fn the_required_releases_are_what_they_are_called() {
    let cases = [(Release::V3_4, (3, 4)), (Release::V3_5, (3, 5))];
    for (release, minor) in cases {
        let programs = Programs::find(release).expect("etcd is here");
        assert_eq!(programs.minor(), minor, "{release}: {}", programs.version);
    }
}

#[test]
fn a_server_starts_serves_and_is_its_release() {
    for release in Release::wanted() {
        let etcd = Etcd::start(release).expect("etcd starts");
        assert!(etcd.is_healthy(), "{release}");
        etcd.etcdctl(["put", "color", "blue"]).expect("put");
        let color = etcd.etcdctl(["get", "color", "--print-value-only"]).expect("get");
        assert_eq!(color, "blue\n", "{release}");
        let status = etcd.etcdctl(["endpoint", "status"]).expect("status");
        assert!(status.contains(etcd.version()), "{release}: {status}");
    }
}

#[test]
fn a_server_says_what_it_has_counted() {
    for release in Release::wanted() {
        let mut etcd = Etcd::start(release).expect("etcd starts");
        let puts = |etcd: &Etcd| {
            etcd.counted(|line| {
                line.starts_with("grpc_server_started_total") && line.contains("\"Put\"")
            })
        };
        assert_eq!(puts(&etcd).expect("it counts"), 0, "{release}");
        for color in ["blue", "green"] {
            etcd.etcdctl(["put", "color", color]).expect("put");
        }
        assert_eq!(puts(&etcd).expect("it counts"), 2, "{release}");
        etcd.kill().expect("kill");
        puts(&etcd).expect_err("it is down");
    }
}

#[test]
fn a_server_speaks_tls_to_its_clients() {
    let authority = Authority::new("test authority");
    let own = authority.server(&["127.0.0.1"]);
    for (release, mutual) in [(Release::V3_4, true), (Release::V3_5, true), (Release::V3_5, false)]
    {
        let tls = ServerTls::new(authority.pem(), &own, mutual).expect("files");
        let mut etcd = Etcd::builder(release).tls(&tls).start().expect("etcd starts");
        assert!(etcd.client_url().starts_with("https://"), "{}", etcd.client_url());
        etcd.etcdctl(["put", "color", "blue"]).expect("put");
        etcd.restart().expect("it restarts");
        let color = etcd.etcdctl(["get", "color", "--print-value-only"]).expect("get");
        assert_eq!(color, "blue\n", "{release}");
        // Who does not know the authority gets nowhere.
        tls.replace(&Authority::new("test authority").server(&["127.0.0.1"])).expect("files");
        let briefly = ["--command-timeout=1s", "get", "color"];
        let refused = etcd.etcdctl(briefly).expect_err("another authority");
        assert!(refused.to_string().contains("deadline exceeded"), "{refused}");
    }
}

#[test]
fn killed_or_stopped_it_keeps_its_data_and_its_address() {
    for release in Release::REQUIRED {
        let mut etcd = Etcd::start(release).expect("etcd starts");
        let (url, first) = (etcd.client_url(), etcd.pid());
        etcd.etcdctl(["put", "a", "1"]).expect("put");
        etcd.kill().expect("kill");
        assert!(!etcd.is_running() && !etcd.is_healthy() && etcd.pid().is_none(), "{release}");
        etcd.restart().expect("restart after kill");
        assert_ne!(etcd.pid(), first, "{release}");
        etcd.etcdctl(["put", "b", "2"]).expect("put");
        etcd.stop().expect("stop");
        assert!(!etcd.is_running(), "{release}");
        etcd.restart().expect("restart after stop");
        assert_eq!(etcd.client_url(), url, "{release}");
        let values = etcd.etcdctl(["get", "", "--prefix", "--print-value-only"]).expect("get");
        assert_eq!(values, "1\n2\n", "{release}");
    }
}

#[test]
fn wiped_it_has_forgotten_everything() {
    for release in Release::REQUIRED {
        let mut etcd = Etcd::start(release).expect("etcd starts");
        etcd.etcdctl(["put", "a", "1"]).expect("put");
        etcd.wipe().expect("wipe");
        etcd.restart().expect("restart");
        let values = etcd.etcdctl(["get", "a", "--print-value-only"]).expect("get");
        assert_eq!(values, "", "{release}");
    }
}

#[test]
fn restored_it_is_taken_back_under_its_own_ids_or_others() {
    for release in Release::REQUIRED {
        let mut etcd = Etcd::start(release).expect("etcd starts");
        let ids = |etcd: &Etcd| -> Vec<u64> {
            let text = etcd.etcdctl(["endpoint", "status", "--write-out=json"]).expect("status");
            let answer: serde_json::Value = serde_json::from_str(&text).expect("JSON");
            let header = &answer[0]["Status"]["header"];
            let ids = ["cluster_id", "member_id"].map(|name| header[name].as_u64().expect("an id"));
            ids.into()
        };
        let own = ids(&etcd);
        let snapshot = etcd.folder().join("snapshot");
        etcd.etcdctl(["put", "a", "1"]).expect("put");
        let path = snapshot.to_str().expect("UTF-8");
        etcd.etcdctl(["snapshot", "save", path]).expect("save");
        for (token, is_own) in [(None, true), (Some("another"), false)] {
            etcd.etcdctl(["put", "a", "2"]).expect("put");
            etcd.restore(&snapshot, token).expect("restore");
            etcd.restart().expect("restart");
            let value = etcd.etcdctl(["get", "a", "--print-value-only"]).expect("get");
            assert_eq!(value, "1\n", "{release}");
            assert_eq!(ids(&etcd) == own, is_own, "{release}");
        }
    }
}

#[test]
fn paused_it_is_silent_and_resumed_it_serves() {
    for release in Release::REQUIRED {
        let mut etcd = Etcd::start(release).expect("etcd starts");
        etcd.pause().expect("pause");
        etcd.pause().expect("pausing twice is no error");
        assert!(etcd.is_paused() && etcd.is_running(), "{release}");
        // The kernel still accepts connections for it; nobody answers on them.
        TcpStream::connect(("127.0.0.1", etcd.client_port())).expect("connect");
        assert!(!etcd.is_healthy(), "{release}");
        etcd.resume().expect("resume");
        etcd.wait_healthy(Duration::from_secs(10)).expect("healthy again");
        // Signals in odd states: a paused server can be killed, and stopped.
        etcd.pause().expect("pause");
        etcd.kill().expect("kill");
        assert!(matches!(etcd.pause(), Err(KitError::Down { .. })), "{release}");
        etcd.restart().expect("restart");
        etcd.pause().expect("pause");
        etcd.stop().expect("stop wakes it up first");
    }
}

#[test]
fn dropped_it_leaves_no_process_and_no_folder() {
    for release in Release::REQUIRED {
        let mut etcd = Etcd::start(release).expect("etcd starts");
        let (pid, folder) = (etcd.pid().expect("it runs"), etcd.folder().to_owned());
        assert!(exists(pid) && folder.exists(), "{release}");
        etcd.pause().expect("pause");
        drop(etcd);
        assert!(!exists(pid), "{release}: process {pid}");
        assert!(!folder.exists(), "{release}: {}", folder.display());
    }
}

#[test]
#[ignore = "the child process of killed_tests_leave_nothing"]
fn child_that_waits_to_be_killed() {
    let note = PathBuf::from(std::env::var_os(NOTE).expect("set by the parent"));
    let etcd = Etcd::start(Release::V3_5).expect("etcd starts");
    let words = format!("{} {}", etcd.pid().expect("it runs"), etcd.folder().display());
    fs::write(note.with_extension("part"), words).expect("write");
    fs::rename(note.with_extension("part"), &note).expect("rename");
    thread::sleep(Duration::from_secs(60));
}

#[test]
fn killed_tests_leave_nothing() {
    let folder = tempfile::tempdir().expect("folder");
    let note = folder.path().join("note");
    let mut child = Command::new(std::env::current_exe().expect("own path"))
        .args(["--exact", "child_that_waits_to_be_killed", "--nocapture", "--ignored"])
        .env(NOTE, &note)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    let noted = wait_until(Duration::from_secs(60), || note.exists());
    child.kill().expect("kill");
    child.wait().expect("wait");
    let mut said = String::new();
    let mut stderr = child.stderr.take().expect("piped");
    stderr.read_to_string(&mut said).expect("read");
    assert!(noted, "the child started no etcd:\n{said}");
    let words = fs::read_to_string(&note).expect("note");
    let (pid, data) = words.split_once(' ').expect("two words");
    let pid = pid.parse().expect("a number");
    let gone = wait_until(Duration::from_secs(10), || !exists(pid) && !Path::new(data).exists());
    assert!(gone, "left behind: process {pid} {}, folder {data}", exists(pid));
}

#[test]
fn a_failed_start_says_why() {
    let error =
        Etcd::builder(Release::V3_5).flag("--no-such-flag").start().expect_err("etcd refuses");
    let text = format!("{error:?}");
    assert!(matches!(error, KitError::Start { .. }), "{text}");
    assert!(text.contains("no-such-flag"), "{text}");
}

#[test]
fn a_server_on_a_foreign_port_says_so_in_its_log() {
    // What the retry of a start looks for.
    let taken = TcpListener::bind("127.0.0.1:0").expect("bind");
    let addr = taken.local_addr().expect("bound");
    for release in Release::REQUIRED {
        let error = Etcd::builder(release)
            .flag(format!("--listen-metrics-urls=http://{addr}"))
            .start()
            .expect_err("the port is taken");
        assert!(error.to_string().contains("address already in use"), "{release}: {error}");
    }
}

#[test]
fn flags_for_tests_are_accepted() {
    for release in Release::wanted() {
        let etcd = Etcd::builder(release)
            .fast_timers()
            .auth_token_ttl(Duration::from_secs(2))
            .progress_every(Duration::from_millis(500))
            .flag("--quota-backend-bytes=16777216")
            .start()
            .expect("etcd starts");
        assert!(etcd.is_healthy(), "{release}");
    }
}

#[test]
fn a_cluster_outlives_its_leader() {
    for release in Release::REQUIRED {
        let builder = Etcd::builder(release).fast_timers();
        let mut cluster = builder.start_cluster(3).expect("cluster starts");
        cluster.etcdctl(["put", "a", "1"]).expect("put");
        let first = cluster.leader(PATIENCE).expect("a leader");
        cluster[first].kill().expect("kill");
        let second = cluster.leader(PATIENCE).expect("another leader");
        assert_ne!(second, first, "{release}");
        cluster.etcdctl(["put", "a", "2"]).expect("put with two of three");
        cluster[first].restart().expect("restart");
        // Read on the member that was away.
        let value = cluster[first].etcdctl(["get", "a", "--print-value-only"]).expect("get");
        assert_eq!(value, "2\n", "{release}");
    }
}

#[test]
fn members_find_each_other_where_they_are_told_to() {
    let ways = Arc::new(Mutex::new(Vec::new()));
    let told = ways.clone();
    let builder = Etcd::builder(Release::V3_5).peers_through(move |index, port| {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let way = listener.local_addr().expect("bound").port();
        told.lock().expect("not poisoned").push((index, way));
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let [mut to, mut from] = [&server, &client].map(|s| s.try_clone().expect("clone"));
                let (mut client, mut server) = (client, server);
                thread::spawn(move || std::io::copy(&mut client, &mut to));
                thread::spawn(move || std::io::copy(&mut server, &mut from));
            }
        });
        way
    });
    let cluster = builder.start_cluster(2).expect("cluster starts");
    let urls: Vec<_> = cluster.members().iter().map(Etcd::peer_url).enumerate().collect();
    let ways: Vec<_> = ways.lock().expect("not poisoned").clone();
    assert_eq!(
        urls,
        ways.iter().map(|(i, port)| (*i, format!("http://127.0.0.1:{port}"))).collect::<Vec<_>>()
    );
    let list = cluster.etcdctl(["member", "list"]).expect("list");
    assert!(urls.iter().all(|(_, url)| list.contains(url)), "{list}");
}

#[test]
fn without_a_majority_no_member_is_healthy() {
    let mut cluster = Cluster::start(Release::V3_5).expect("cluster starts");
    assert_eq!(cluster.client_urls().len(), 3);
    cluster[0].kill().expect("kill");
    cluster[1].kill().expect("kill");
    let lost = wait_until(PATIENCE, || !cluster[2].is_healthy());
    assert!(lost, "a member alone says that it is healthy");
    cluster[0].launch().expect("launch");
    cluster[2].wait_healthy(PATIENCE).expect("two of three are a majority");
}

#[test]
fn servers_side_by_side_have_ports_of_their_own() {
    let threads: Vec<_> =
        (0..4).map(|_| thread::spawn(|| Etcd::start(Release::V3_5).expect("starts"))).collect();
    let servers: Vec<Etcd> = threads.into_iter().map(|t| t.join().expect("no panic")).collect();
    for (index, etcd) in servers.iter().enumerate() {
        etcd.etcdctl(["put", "me", &index.to_string()]).expect("put");
    }
    for (index, etcd) in servers.iter().enumerate() {
        let me = etcd.etcdctl(["get", "me", "--print-value-only"]).expect("get");
        assert_eq!(me, format!("{index}\n"));
    }
}

#[test]
fn a_missing_etcd_is_named_with_the_way_to_get_it() {
    let error = Programs::find(Release::Named);
    if std::env::var_os("PORTOLAN_ETCD").is_none() {
        assert!(matches!(error, Err(KitError::NotNamed)), "{error:?}");
    }
    let error = KitError::NoEtcd { release: Release::V3_4, looked_at: PathBuf::from("x/etcd") };
    assert_eq!(
        error.to_string(),
        "no etcd 3.4 here: x/etcd does not run; `make etcd` brings it, \
         or PORTOLAN_ETCD=/path/to/etcd names one for Release::Named"
    );
}

#[test]
fn a_port_is_not_listened_on_when_reserved() {
    let port = Port::reserve().expect("a port is free");
    TcpStream::connect(port.addr()).expect_err("nobody listens");
}

fn exists(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

fn wait_until(patience: Duration, mut done: impl FnMut() -> bool) -> bool {
    let give_up_at = Instant::now() + patience;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= give_up_at {
            return false;
        }
        thread::sleep(Duration::from_millis(20));
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const NOTE: &str = "PORTOLAN_KIT_TEST_NOTE";
