use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use portolan_kit::{Etcd, Port};
use rustix::process::Signal;

use crate::kit::{PORTOLAN, Running, etcd, on, portolan, run, until, value};

const KEY: &str = "/portolan/instances/web/web-1";

fn register(etcd: &Etcd, more: &[&str]) -> Command {
    let args = ["register", "web", "--id", "web-1", "--endpoint", "http=10.0.0.7:8080"];
    on(etcd, args.iter().chain(more))
}

/// Neither a record nor a lease is left.
fn assert_gone(etcd: &Etcd) {
    assert_eq!(value(etcd, KEY), "");
    assert_eq!(etcd.etcdctl(["lease", "list"]).expect("etcdctl lists").trim(), "found 0 leases");
}

fn is_there(etcd: &Etcd, state: &str) -> bool {
    value(etcd, KEY).contains(&format!("\"state\":\"{state}\""))
}

#[test]
fn there_while_the_program_runs_and_gone_after() {
    let etcd = etcd();
    let mut command = register(&etcd, &["--", "sh", "-c", "echo up; read line; exit $line"]);
    let mut running = Running::start(command.stdin(Stdio::piped()));
    assert_eq!(running.out(), "up");
    running.hears("web/web-1 is registered");
    assert!(is_there(&etcd, "ready"));
    running.write("7\n");
    running.hears("web/web-1 is removed");
    assert_eq!(running.status(), 7);
    assert_gone(&etcd);
}

#[test]
fn every_signal_is_passed_on() {
    let etcd = etcd();
    let traps = "for s in INT HUP QUIT USR1 USR2 TERM; do trap \"echo $s\" $s; done; \
        trap 'exit 5' ALRM; trap 'echo TERM; exit 5' TERM; echo up; while :; do sleep 0.02; done";
    let mut running = Running::start(&mut register(&etcd, &["--", "sh", "-c", traps]));
    assert_eq!(running.out(), "up");
    running.hears("is registered");
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::QUIT, "QUIT"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
    ] {
        running.signal(signal);
        assert_eq!(running.out(), name);
        assert!(is_there(&etcd, "ready"), "{name}");
    }
    running.signal(Signal::INT);
    assert_eq!(running.out(), "INT");
    running.hears("is draining");
    running.signal(Signal::TERM);
    assert_eq!(running.out(), "TERM");
    assert_eq!(running.status(), 5);
    assert_gone(&etcd);
}

/// At a terminal, ctrl-c reaches the program without us; passed on too, it would count as the
/// second, which many programs take for "at once".
#[test]
fn a_key_at_the_terminal_is_one_signal() {
    let etcd = etcd();
    let program = "n=0; trap 'n=$((n+1)); echo INT$n; [ $n = 1 ] || exit 5' INT; \
        echo up; while :; do sleep 0.02; done";
    let ours = format!(
        "exec {PORTOLAN} register web --id web-1 --endpoint http=10.0.0.7:8080 -- \
         sh -c \"$PROGRAM\""
    );
    // Gives what it runs a terminal of its own, and types what it reads.
    let mut terminal = Command::new("script");
    terminal.args(["-qec", &ours, "/dev/null"]).env("PROGRAM", program);
    terminal.env("ETCD_ENDPOINTS", etcd.client_url()).env("SHELL", "/bin/sh");
    let mut running = Running::start(terminal.stdin(Stdio::piped()));
    // In any order: two programs write to one terminal.
    let shows = |running: &Running, texts: &[&str]| {
        let mut missing = texts.to_vec();
        while !missing.is_empty() {
            let line = running.out();
            missing.retain(|text| !line.contains(text));
        }
    };
    shows(&running, &["up", "is registered"]);
    running.write("\x03");
    shows(&running, &["INT1", "is draining"]);
    thread::sleep(Duration::from_millis(300));
    assert!(running.is_running(), "it was interrupted twice");
    running.write("\x03");
    shows(&running, &["INT2"]);
    assert_eq!(running.status(), 5);
}

/// Others see that it drains before the program hears that it is to end.
#[test]
fn it_drains_before_the_program_is_told() {
    let etcd = etcd();
    let program = "trap 'echo told; exit 0' TERM; echo up; while :; do sleep 0.02; done";
    let more = ["--drain-for", "1s", "--", "sh", "-c", program];
    let mut running = Running::start(&mut register(&etcd, &more));
    assert_eq!(running.out(), "up");
    running.hears("is registered");
    running.signal(Signal::TERM);
    running.hears("is draining");
    assert!(is_there(&etcd, "draining"));
    assert!(running.is_silent_for(Duration::from_millis(300)) && running.is_running());
    assert_eq!(running.out(), "told");
    assert_eq!(running.status(), 0);
    assert_gone(&etcd);
}

#[test]
fn the_status_tells_how_the_program_was_killed() {
    let etcd = etcd();
    let mut running = Running::start(&mut register(&etcd, &["--", "sh", "-c", "kill -9 $$"]));
    assert_eq!(running.status(), 128 + 9);
    assert_gone(&etcd);
}

#[test]
fn a_program_that_cannot_be_started_is_not_registered() {
    let etcd = etcd();
    let file = tempfile::NamedTempFile::new().expect("a file");
    let file = file.path().to_str().expect("a path of UTF-8");
    for (program, status, why) in [
        ("/nonexistent/program", 127, "No such file or directory (os error 2)"),
        ("no-such-program-anywhere", 127, "No such file or directory (os error 2)"),
        (file, 126, "Permission denied (os error 13)"),
    ] {
        let ran = run(&mut register(&etcd, &["--", program]));
        assert_eq!(ran.status, status, "{ran:?}");
        let line = format!("portolan: cannot start {program:?}: {why}; nothing was registered\n");
        assert_eq!(ran.err, line);
    }
    let revision = etcd.etcdctl(["get", "none", "-w", "fields"]).expect("etcdctl gets");
    assert!(revision.contains("\"Revision\" : 1\n"), "{revision}");
}

#[test]
fn it_waits_until_a_port_takes_connections() {
    let etcd = etcd();
    let port = Port::reserve().expect("a port");
    let address = format!("127.0.0.1:{}", port.number());
    let probe = format!("tcp:{address}");
    let program = "trap 'exit 0' TERM; echo up; while :; do sleep 0.02; done";
    let more = ["--ready", &probe, "--", "sh", "-c", program];
    let mut running = Running::start(&mut register(&etcd, &more));
    assert_eq!(running.out(), "up");
    assert!(running.is_silent_for(Duration::from_millis(500)), "it is registered too early");
    assert_eq!(value(&etcd, KEY), "");
    let _listener = TcpListener::bind(&address).expect("the port is ours");
    running.hears("is registered");
    assert!(is_there(&etcd, "ready"));
    running.signal(Signal::TERM);
    assert_eq!(running.status(), 0);
    assert_gone(&etcd);
}

#[test]
fn it_waits_until_a_page_is_there() {
    let etcd = etcd();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let asked = thread::spawn(move || {
        let answer = |mut stream: TcpStream, status: &str| {
            let mut request = [0; 512];
            let length = stream.read(&mut request).expect("a request");
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).expect("it is answered");
            String::from_utf8_lossy(&request[..length]).into_owned()
        };
        for status in ["503 Not Yet", "404 Not Found", "302 Found"] {
            answer(listener.accept().expect("a client").0, status);
        }
        answer(listener.accept().expect("a client").0, "204 No Content")
    });
    let probe = format!("http://{address}/health?deep=1");
    let mut running = Running::start(&mut register(&etcd, &["--ready", &probe]));
    running.hears("is registered");
    until("the page has been asked for four times", || asked.is_finished());
    let request = asked.join().expect("the page was asked for");
    assert!(request.starts_with("GET /health?deep=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.contains(&format!("\r\nHost: {address}\r\n")), "{request}");
    running.signal(Signal::TERM);
    assert_eq!(running.status(), 0);
}

/// A program that never gets ready leaves no trace.
#[test]
fn a_program_that_ends_before_it_is_ready_is_not_registered() {
    let etcd = etcd();
    let port = Port::reserve().expect("a port");
    let probe = format!("tcp:127.0.0.1:{}", port.number());
    let ran = run(&mut register(&etcd, &["--ready", &probe, "--", "sh", "-c", "exit 3"]));
    assert_eq!((ran.status, ran.err.as_str()), (3, ""));
    let revision = etcd.etcdctl(["get", "none", "-w", "fields"]).expect("etcdctl gets");
    assert!(revision.contains("\"Revision\" : 1\n"), "{revision}");
}

#[test]
fn without_a_program_a_signal_ends_it() {
    let etcd = etcd();
    for signal in [Signal::TERM, Signal::INT, Signal::HUP, Signal::QUIT] {
        let mut running = Running::start(&mut register(&etcd, &[]));
        running.hears("web/web-1 is registered");
        assert!(is_there(&etcd, "ready"));
        running.signal(signal);
        running.hears("web/web-1 is removed");
        assert_eq!(running.status(), 0, "{signal:?}");
        assert_gone(&etcd);
    }
}

#[test]
fn a_taken_place_is_told() {
    let etcd = etcd();
    let mut first = Running::start(&mut register(&etcd, &[]));
    first.hears("is registered");

    let rejected = run(&mut register(&etcd, &["--conflict", "reject"]));
    assert_eq!(rejected.status, 1);
    let line = "portolan: web/web-1: the registration has ended: kept out by the record on lease ";
    assert!(rejected.err.starts_with(line), "{rejected:?}");

    let mut waiting = Running::start(&mut register(&etcd, &["--conflict", "wait"]));
    waiting.hears("web/web-1 waits until the record that hangs on lease");
    // One that waited and never stood is not removed.
    let mut leaving = Running::start(&mut register(&etcd, &["--conflict", "wait"]));
    leaving.hears("waits until");
    leaving.signal(Signal::TERM);
    assert_eq!(leaving.status(), 0);
    assert_eq!(leaving.last_err(), None);

    // Whose program goes on, though its place was taken.
    let program = "trap 'exit 4' TERM; while :; do sleep 0.02; done";
    let mut second = Running::start(&mut register(&etcd, &["--", "sh", "-c", program]));
    second.hears("is registered");
    let line = loop {
        let line = first.err();
        assert!(!line.contains("again"), "nothing is registered again: {line}");
        if line.contains("ended") {
            break line;
        }
    };
    let superseded = "web/web-1: the registration has ended: superseded by the record on lease ";
    assert!(line.contains(superseded), "{line}");
    assert_eq!(first.status(), 1);
    let mut third = Running::start(&mut register(&etcd, &[]));
    third.hears("is registered");
    second.hears("superseded");
    assert!(second.is_running());
    second.signal(Signal::TERM);
    assert_eq!(second.status(), 4);

    assert!(is_there(&etcd, "ready"));
    third.signal(Signal::TERM);
    assert_eq!(third.status(), 0);
    waiting.hears("is registered");
    waiting.signal(Signal::TERM);
    assert_eq!(waiting.status(), 0);
    assert_gone(&etcd);
}

#[test]
fn local_addresses_are_taken_when_allowed() {
    let etcd = etcd();
    let mut command = on(&etcd, ["register", "web", "--id", "web-1", "--allow-local"]);
    let command = command.args(["--endpoint", "http=127.0.0.1:8080"]);
    let mut running = Running::start(command.args(["--endpoint", "any=0.0.0.0:1"]));
    running.hears("web/web-1 is registered");
    assert!(value(&etcd, KEY).contains("{\"any\":\"0.0.0.0:1\",\"http\":\"127.0.0.1:8080\"}"));
    running.signal(Signal::TERM);
    assert_eq!(running.status(), 0);
}

/// Its lease is revoked by hand, its key deleted: both are healed, and told.
#[test]
fn a_lost_record_is_restored() {
    let etcd = etcd();
    let mut running = Running::start(&mut register(&etcd, &[]));
    let line = running.hears("is registered");
    let lease = line.rsplit(' ').next().expect("a lease").to_owned();
    etcd.etcdctl(["lease", "revoke", &lease]).expect("etcdctl revokes");
    running.hears("is lost");
    running.hears("is registered again");
    etcd.etcdctl(["del", KEY]).expect("etcdctl deletes");
    running.hears("is registered again");
    assert!(is_there(&etcd, "ready"));
    running.signal(Signal::TERM);
    assert_eq!(running.status(), 0);
    assert_gone(&etcd);
}

#[test]
fn it_goes_on_trying_while_nobody_listens() {
    let mut etcd = etcd();
    etcd.kill().expect("etcd is killed");
    let mut running = Running::start(&mut register(&etcd, &["--timeout", "300ms"]));
    let line = running.hears("is not registered yet");
    assert!(line.contains("Connection refused") && line.ends_with("; still trying"), "{line}");
    etcd.restart().expect("etcd starts again");
    running.hears("is registered");
    running.signal(Signal::TERM);
    assert_eq!(running.status(), 0);
    assert_gone(&etcd);
}

/// etcd may have granted more than was asked for, and that is all we know.
#[test]
fn a_removal_that_is_not_confirmed_is_told() {
    let mut etcd = etcd();
    let mut running = Running::start(&mut register(&etcd, &["--ttl", "1s", "--timeout", "300ms"]));
    running.hears("is registered");
    etcd.kill().expect("etcd is killed");
    running.signal(Signal::TERM);
    running.hears(
        "web/web-1: removal not confirmed; its lease ends within 1s, at most a little longer",
    );
    assert_eq!(running.status(), 1);
}

#[test]
fn it_ends_while_nobody_listens() {
    let port = Port::reserve().expect("a port");
    let args = ["register", "web", "--id", "web-1", "--endpoint", "http=10.0.0.7:8080"];
    let mut command = portolan(args);
    command.env("ETCD_ENDPOINTS", format!("127.0.0.1:{}", port.number()));
    let mut running = Running::start(command.args(["--timeout", "300ms"]));
    running.hears("is not registered yet");
    running.signal(Signal::TERM);
    until("it has ended", || !running.is_running());
    running.status();
}
