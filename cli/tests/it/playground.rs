//! The folder of the playground, asked for over real sockets: by browsers, and by whoever means ill.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::kit::{LONG, Running, portolan, run};

/// A folder as `make playground` builds it, and something beside it that is nobody's business.
fn folder() -> TempDir {
    let root = tempfile::tempdir().expect("a folder");
    fill(root.path());
    fs::write(root.path().join("secret.txt"), "secret").expect("it is written");
    root
}

fn fill(root: &Path) {
    let pages = root.join("pages");
    fs::create_dir_all(pages.join("more")).expect("it is made");
    let files =
        ["style.css", "page.mjs", "m.wasm", "a.json", "a.svg", "a.png", "more/b", ".hidden"];
    for file in files {
        fs::write(pages.join(file), file).expect("it is written");
    }
    fs::write(pages.join("index.html"), "<h1>it</h1>").expect("it is written");
}

/// The server of that folder, and its address.
fn serve(root: &Path) -> (Running, String) {
    let mut command = portolan(["playground", "--listen", "127.0.0.1:0", "--dir", "pages"]);
    let running = Running::start(command.current_dir(root));
    let line = running.out();
    let url = line.strip_prefix("serving pages on ").expect("it tells its address");
    let address = url.strip_prefix("http://").and_then(|rest| rest.strip_suffix('/'));
    (running, address.expect("it is a URL").to_owned())
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(LONG)).expect("it is set");
    stream
}

/// What comes until the server has nothing more to say.
fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // The server may be done with us before it has read all.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).expect("it is UTF-8")
}

fn say(address: &str, request: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(request.as_bytes()).expect("it is taken");
    rest(stream)
}

/// The whole answer to a request of one line, as a browser makes it.
fn ask(address: &str, line: &str) -> String {
    say(address, &format!("{line} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n"))
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or("no answer")
}

fn body(answer: &str) -> &str {
    answer.split_once("\r\n\r\n").expect("it has a head").1
}

#[test]
fn the_folder_is_served() {
    let root = folder();
    let (mut server, address) = serve(root.path());
    let cases = [
        ("/", "<h1>it</h1>", "text/html; charset=utf-8"),
        ("/index.html?a=/../b", "<h1>it</h1>", "text/html; charset=utf-8"),
        ("/style.css", "style.css", "text/css; charset=utf-8"),
        ("/page.mjs", "page.mjs", "text/javascript; charset=utf-8"),
        ("/m.wasm", "m.wasm", "application/wasm"),
        ("/a.json", "a.json", "application/json"),
        ("/a.svg", "a.svg", "image/svg+xml"),
        ("/a.png", "a.png", "image/png"),
        ("/more/b", "more/b", "application/octet-stream"),
    ];
    let headers = [
        "content-security-policy: default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; \
         style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'",
        "x-content-type-options: nosniff",
        "referrer-policy: no-referrer",
        "cache-control: no-cache",
    ];
    for (path, expected, kind) in cases {
        let answer = ask(&address, &format!("GET {path}"));
        assert_eq!((status(&answer), body(&answer)), ("200", expected), "{path}: {answer}");
        let kind = format!("content-type: {kind}");
        for header in headers.iter().copied().chain([kind.as_str()]) {
            assert!(answer.lines().any(|line| line == header), "{path}: {header}: {answer}");
        }
        let head = ask(&address, &format!("HEAD {path}"));
        assert_eq!((status(&head), body(&head)), ("200", ""), "{path}: {head}");
        assert!(head.contains(&format!("content-length: {}\r\n", expected.len())), "{head}");
    }
    // It is built anew while it is served.
    fs::remove_dir_all(root.path().join("pages")).expect("it is removed");
    assert_eq!(status(&ask(&address, "GET /")), "404");
    fill(root.path());
    fs::write(root.path().join("pages/index.html"), "new").expect("it is written");
    assert_eq!(body(&ask(&address, "GET /")), "new");
    server.signal(Signal::TERM);
    assert_eq!(server.status(), 0);
}

#[test]
fn several_requests_come_on_one_connection() {
    let root = folder();
    let (mut server, address) = serve(root.path());
    let again = format!("GET /style.css HTTP/1.1\r\nhost: {address}\r\n\r\n");
    let mut stream = connect(&address);
    stream.write_all(again.repeat(3).as_bytes()).expect("it is taken");
    let mut seen = Vec::new();
    while seen.windows(13).filter(|window| window == b"\r\n\r\nstyle.css").count() < 3 {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).expect("it goes on");
        assert_ne!(count, 0, "it goes on");
        seen.extend_from_slice(&some[..count]);
    }
    // One that says nothing more does not hold up the end.
    server.signal(Signal::INT);
    assert_eq!(server.status(), 0);
    assert_eq!(rest(stream), "");
}

#[test]
fn nothing_else_is_served() {
    let root = folder();
    let link = |to: &str, name: &str| {
        let name = root.path().join("pages").join(name);
        std::os::unix::fs::symlink(root.path().join(to), name).expect("it is linked");
    };
    link("secret.txt", "out.txt");
    link("", "up");
    link("pages/style.css", "in.css");
    link("pages/loop", "loop");
    let (_server, address) = serve(root.path());
    let paths = [
        "/../secret.txt",
        "/more/../../secret.txt",
        "/%2e%2e/secret.txt",
        "/..%2fsecret.txt",
        "/%252e%252e/secret.txt",
        "/..\\secret.txt",
        "//etc/passwd",
        "/etc/passwd",
        "/out.txt",
        "/up/secret.txt",
        "/up/pages/index.html/",
        "/.hidden",
        "/more",
        "/more/",
        "/missing",
        "/style.css/a",
        "/style.css%00.html",
    ];
    for path in paths {
        let answer = ask(&address, &format!("GET {path}"));
        assert_eq!((status(&answer), body(&answer)), ("404", "there is no such file\n"), "{path}");
        assert!(answer.contains("content-security-policy: "), "{path}: {answer}");
    }
    assert_eq!(status(&ask(&address, "GET /loop")), "500");
    assert_eq!(body(&ask(&address, "GET /in.css")), "style.css", "a link that stays within");
    for line in ["GET ../secret.txt", "GET file:///etc/passwd", "GET", "\u{16}\u{3}\u{1}"] {
        let answer = ask(&address, line);
        assert!(!answer.contains("root:") && !answer.contains("secret"), "{line}: {answer}");
        assert_ne!(status(&answer), "200", "{line}");
    }
}

/// A page of somebody else's can have its own name lead to this machine, and then read what is here.
#[test]
fn other_names_and_methods_are_refused() {
    let root = folder();
    let (_server, address) = serve(root.path());
    let port = address.split(':').nth(1).expect("a port");
    let cases = [
        (format!("GET / HTTP/1.1\r\nhost: localhost:{port}"), "200"),
        (format!("GET http://localhost:{port}/ HTTP/1.1\r\nhost: localhost:{port}"), "200"),
        ("GET / HTTP/1.1\r\nhost: [::1]".to_owned(), "200"),
        (format!("GET / HTTP/1.1\r\nhost: portolan.example:{port}"), "403"),
        (format!("GET / HTTP/1.1\r\nhost: localhost.portolan.example:{port}"), "403"),
        ("GET / HTTP/1.1\r\nhost: 192.0.2.1".to_owned(), "403"),
        ("GET http://portolan.example/ HTTP/1.1\r\nhost: localhost".to_owned(), "403"),
        ("GET / HTTP/1.1\r\nhost:".to_owned(), "403"),
        ("GET / HTTP/1.1\r\nhost: localhost\r\nhost: portolan.example".to_owned(), "400"),
        ("GET / HTTP/1.1\r\naccept: */*".to_owned(), "400"),
        ("GET / HTTP/1.0\r\naccept: */*".to_owned(), "400"),
    ];
    for (request, expected) in cases {
        let answer = say(&address, &format!("{request}\r\nconnection: close\r\n\r\n"));
        assert_eq!(status(&answer), expected, "{request}: {answer}");
        assert_eq!(answer.contains("<h1>"), expected == "200", "{request}: {answer}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "BREW"] {
        let answer = ask(&address, &format!("{method} /"));
        assert_eq!(status(&answer), "405", "{method}: {answer}");
        assert!(answer.contains("allow: GET, HEAD\r\n"), "{method}: {answer}");
    }
}

#[test]
fn a_head_has_an_end() {
    let root = folder();
    let (_server, address) = serve(root.path());
    let long = "a".repeat(64 << 10);
    let many = "a: b\r\n".repeat(1000);
    let heads = [
        (format!("GET /{long} HTTP/1.1\r\nhost: localhost\r\n\r\n"), ["414", "431"]),
        (format!("GET / HTTP/1.1\r\nhost: localhost\r\na: {long}\r\n\r\n"), ["431", "431"]),
        (format!("GET / HTTP/1.1\r\nhost: localhost\r\n{many}\r\n"), ["431", "431"]),
    ];
    for (head, expected) in heads {
        let mut stream = connect(&address);
        // It may be refused before all of it was taken, and what it is told may be lost with the rest.
        let _ = stream.write_all(head.as_bytes());
        let answer = rest(stream);
        let told = answer.is_empty() || expected.contains(&status(&answer));
        assert!(told, "{:.40}: {answer}", head);
    }
    assert_eq!(status(&ask(&address, "GET /")), "200");
}

/// Whoever connects and says nothing, or says it slowly, is let go; others wait no longer than that.
#[test]
fn who_is_slow_holds_up_nobody_for_long() {
    let root = folder();
    let (_server, address) = serve(root.path());
    let mut slow: Vec<_> = (0..64).map(|_| connect(&address)).collect();
    for stream in slow.iter_mut().step_by(2) {
        stream.write_all(b"GET / HTTP/1.1\r\nhost:").expect("it is taken");
    }
    let asked = Instant::now();
    assert_eq!(status(&ask(&address, "GET /")), "200");
    let took = asked.elapsed();
    assert!(took.as_secs() >= 5, "64 are as many as are let in: {took:?}");
    for stream in slow {
        assert_eq!(rest(stream), "");
    }
}

#[test]
fn json_tells_where_it_is() {
    let root = folder();
    let mut command =
        portolan(["playground", "--listen", "[::1]:0", "--dir", "pages", "-o", "json"]);
    let server = Running::start(command.current_dir(root.path()));
    let line = server.out();
    let url = line.strip_prefix("{\"url\":\"http://").and_then(|rest| rest.split_once("/\""));
    let (address, rest) = url.expect("it has a URL");
    assert_eq!(rest, ",\"folder\":\"pages\"}");
    assert_eq!(body(&ask(address, "GET /")), "<h1>it</h1>");
}

#[test]
fn what_cannot_be_shown_is_told() {
    let root = folder();
    let failed = |args: &[&str]| {
        let mut command = portolan([&["playground"], args].concat());
        let ran = run(command.current_dir(root.path()));
        assert_eq!(ran.out, "", "{args:?}");
        (ran.status, ran.err)
    };
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:80", "[::ffff:127.0.0.1]:0"] {
        let (status, said) = failed(&["--dir", "pages", "--listen", address]);
        assert_eq!(status, 2, "{address}: {said}");
        assert!(said.contains(&format!("--listen {address} is for other machines too")), "{said}");
    }
    let build = "`make playground` builds target/playground, --dir names another folder";
    assert_eq!(
        failed(&[]),
        (3, format!("portolan: there is no index.html in target/playground: {build}\n"))
    );
    let (status, said) = failed(&["--dir", "pages/more"]);
    assert_eq!((status, said.contains("index.html in pages/more: ")), (3, true), "{said}");
    let (_server, address) = serve(root.path());
    let (status, said) = failed(&["--dir", "pages", "--listen", &address]);
    assert_eq!(status, 1, "{said}");
    assert!(said.starts_with(&format!("portolan: cannot listen on {address}: ")), "{said}");
}
