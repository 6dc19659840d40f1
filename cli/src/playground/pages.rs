//! What is answered to one request: a file of one folder, or why not.
//!
//! Any page that a browser shows may ask a server on its own machine. So the name by which it was
//! asked must be this machine's: a name of somebody else's that was made to lead here is refused.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};

/// The page at `/`.
pub const INDEX: &str = "index.html";

/// A folder whose files are served.
#[derive(Debug)]
pub struct Pages {
    folder: PathBuf,
}

/// What is answered instead of a file.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Refusal {
    /// Something other than reading is asked.
    Method,
    /// It was asked by no name, or by more than one.
    NoHost,
    /// It was asked by a name that is not this machine's.
    OtherHost,
    /// There is no such file in the folder.
    NotFound,
    /// There is, and it cannot be read, or is too large to be one of ours.
    Unreadable,
}

impl Pages {
    /// `folder` is absolute.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    pub fn answer<B>(&self, request: &Request<B>) -> Response<Full<Bytes>> {
        let found = check(request).and_then(|()| self.find(request.uri().path()));
        let (status, kind, body) = match found {
            Ok((kind, file)) => (StatusCode::OK, kind, Bytes::from(file)),
            Err(refusal) => {
                (refusal.status(), TEXT, Bytes::from_static(refusal.words().as_bytes()))
            }
        };
        // To HEAD, hyper sends the length of the body and nothing of it.
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.extend(ALWAYS.map(|(name, value)| (name, HeaderValue::from_static(value))));
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        if status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }

    /// The file at a path, and its type.
    fn find(&self, path: &str) -> Result<(&'static str, Vec<u8>), Refusal> {
        let name = name(path).ok_or(Refusal::NotFound)?;
        // Where links lead is looked up: not out of the folder.
        let folder = self.folder.canonicalize().map_err(refused)?;
        let file = folder.join(name).canonicalize().map_err(refused)?;
        let found = fs::metadata(&file).map_err(refused)?;
        if !found.is_file() || !file.starts_with(&folder) {
            return Err(Refusal::NotFound);
        }
        if found.len() > LARGEST {
            return Err(Refusal::Unreadable);
        }
        Ok((kind(name), fs::read(&file).map_err(refused)?))
    }
}

impl Refusal {
    fn status(self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::NoHost => StatusCode::BAD_REQUEST,
            Self::OtherHost => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Unreadable => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Method => "only GET and HEAD are answered\n",
            Self::NoHost => "one host must be named\n",
            Self::OtherHost => "this is only for localhost, 127.0.0.1 and [::1]\n",
            Self::NotFound => "there is no such file\n",
            Self::Unreadable => "the file cannot be read\n",
        }
    }
}

/// Whether it is a request that is answered at all.
fn check<B>(request: &Request<B>) -> Result<(), Refusal> {
    if ![Method::GET, Method::HEAD].contains(request.method()) {
        return Err(Refusal::Method);
    }
    let host = host(request.headers()).ok_or(Refusal::NoHost)?;
    // `GET http://somewhere/ HTTP/1.1`, as proxies are asked.
    let authority = request.uri().authority().map(|authority| authority.as_str());
    if !is_ours(host) || authority.is_some_and(|authority| !is_ours(authority)) {
        return Err(Refusal::OtherHost);
    }
    Ok(())
}

/// The one that is named.
fn host(headers: &HeaderMap) -> Option<&str> {
    let mut all = headers.get_all(header::HOST).iter();
    let (host, None) = (all.next()?, all.next()) else { return None };
    host.to_str().ok()
}

/// Whether a host, with or without a port, is this machine, by a name that nobody else can lead here.
fn is_ours(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !host.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let is_port =
        |text: &str| text.bytes().all(|c| c.is_ascii_digit()) && text.parse::<u16>().is_ok();
    let is_here = match name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        Some(address) => address.parse::<Ipv6Addr>().is_ok_and(|address| address.is_loopback()),
        None => match name.parse::<Ipv4Addr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => name.eq_ignore_ascii_case("localhost"),
        },
    };
    is_here && port.is_none_or(is_port)
}

/// The file's name below the folder: of letters that need no escape, none of its parts hidden, so
/// that it leads nowhere else. `None`: no file of ours has such a name.
fn name(path: &str) -> Option<&str> {
    if path == "/" {
        return Some(INDEX);
    }
    let is_plain = |c: u8| c.is_ascii_alphanumeric() || b"._-".contains(&c);
    let is_part =
        |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(is_plain);
    path.strip_prefix('/').filter(|name| name.split('/').all(is_part))
}

/// By the name's ending.
fn kind(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("json") => "application/json",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("wasm") => "application/wasm",
        Some("txt") => TEXT,
        _ => "application/octet-stream",
    }
}

fn refused(error: io::Error) -> Refusal {
    if [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&error.kind()) {
        return Refusal::NotFound;
    }
    Refusal::Unreadable
}

const TEXT: &str = "text/plain; charset=utf-8";

/// What stands in every answer. The page runs its own scripts and its own WebAssembly, and nothing
/// reaches it or leaves it; a page that was built anew is seen at once.
const ALWAYS: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; \
         img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-cache"),
];

/// The largest file that is read, in bytes: an answer is in memory until it is sent.
const LARGEST: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        let cases = [
            ("/", Some("index.html")),
            ("/portolan_bg.wasm", Some("portolan_bg.wasm")),
            ("/a/b-2.mjs", Some("a/b-2.mjs")),
            ("", None),
            ("*", None),
            ("index.html", None),
            ("//etc/passwd", None),
            ("/a/", None),
            ("/a//b", None),
            ("/..", None),
            ("/a/../b", None),
            ("/./a", None),
            ("/.git", None),
            ("/%2e%2e/a", None),
            ("/a%2fb", None),
            ("/a\\b", None),
            ("/a b", None),
            ("/c:", None),
            ("/é", None),
        ];
        for (path, expected) in cases {
            assert_eq!(name(path), expected, "{path:?}");
        }
    }

    #[test]
    fn only_this_machine_is_ours() {
        let cases = [
            ("localhost", true),
            ("LocalHost:7411", true),
            ("127.0.0.1", true),
            ("127.0.0.1:65535", true),
            ("[::1]:80", true),
            ("", false),
            (":80", false),
            ("localhost:", false),
            ("localhost:+80", false),
            ("localhost:65536", false),
            ("localhost.", false),
            ("localhost.example", false),
            ("127.0.0.1.example:7411", false),
            ("1270.0.1", false),
            ("127.0.0.2:80", true),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("::1", false),
            ("[::]", false),
            ("[::1", false),
            ("[::1]x", false),
            ("user@localhost", false),
            ("localhost:80@example", false),
            ("portolan.example", false),
        ];
        for (host, expected) in cases {
            assert_eq!(is_ours(host), expected, "{host:?}");
        }
    }
}
