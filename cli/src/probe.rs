//! Whether a program is ready to be called.

use std::fmt;
use std::time::Duration;

use portolan::Endpoint;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time;

/// What has to answer before an instance is registered.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Probe {
    /// A port takes connections.
    Tcp(Endpoint),
    /// A page is there: status 200 to 299.
    Http { address: Endpoint, path: String },
}

impl Probe {
    /// `tcp:HOST:PORT`, or `http://HOST[:PORT][/PATH]`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let address = |text: &str| Endpoint::parse(text).map_err(|error| error.to_string());
        if let Some(rest) = text.strip_prefix("tcp:") {
            return Ok(Self::Tcp(address(rest.trim_start_matches("//"))?));
        }
        let Some(rest) = text.strip_prefix("http://") else {
            return Err("it takes tcp:HOST:PORT or http://HOST:PORT/PATH".to_owned());
        };
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if host.contains('@') {
            return Err("it takes no user name".to_owned());
        }
        let plain = |c: char| c.is_ascii_graphic() && c != '#';
        if let Some(found) = path.chars().find(|&c| !plain(c)) {
            return Err(format!("its path has {found:?}; write that as %-escape"));
        }
        // As in any address of the web.
        let has_port = host.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
        let address = if has_port { address(host)? } else { address(&format!("{host}:80"))? };
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self::Http { address, path })
    }

    /// Waits until it succeeds. `late` is told once why it does not, if that takes long.
    pub async fn succeed(&self, late: impl Fn(&str)) {
        for tries in 1_u32.. {
            match time::timeout(TRY_LIMIT, self.try_once()).await {
                Ok(Ok(())) => return,
                Ok(Err(why)) if tries == LATE => late(&why),
                Err(_) if tries == LATE => late("no answer in time"),
                Ok(Err(_)) | Err(_) => {}
            }
            time::sleep(PAUSE).await;
        }
    }

    async fn try_once(&self) -> Result<(), String> {
        let (Self::Tcp(address) | Self::Http { address, .. }) = self;
        let stream = TcpStream::connect((address.host(), address.port())).await;
        let mut stream = stream.map_err(|error| error.to_string())?;
        match self {
            Self::Tcp(_) => Ok(()),
            Self::Http { address, path } => {
                let status = ask(&mut stream, address, path).await;
                match status.map_err(|error| error.to_string())? {
                    Some(200..=299) => Ok(()),
                    Some(status) => Err(format!("status {status}")),
                    None => Err("the answer is not HTTP".to_owned()),
                }
            }
        }
    }
}

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(100);

/// How long a try may take.
const TRY_LIMIT: Duration = Duration::from_secs(2);

/// After how many tries it is said that there is no success yet: some 5 s, if they fail at once.
const LATE: u32 = 50;

/// The status of a page; `None` if what comes is something else.
async fn ask(
    stream: &mut TcpStream,
    address: &Endpoint,
    path: &str,
) -> std::io::Result<Option<u16>> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut head = [0; STATUS_LINE];
    let mut length = 0;
    while length < head.len() {
        match stream.read(&mut head[length..]).await? {
            0 => break,
            count => length += count,
        }
    }
    Ok(status_of(&head[..length]))
}

/// The bytes of `HTTP/1.1 200`.
const STATUS_LINE: usize = 12;

fn status_of(head: &[u8]) -> Option<u16> {
    let head = std::str::from_utf8(head).ok()?;
    head.strip_prefix("HTTP/1.")?.get(2..5)?.parse().ok()
}

impl fmt::Display for Probe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "tcp:{address}"),
            Self::Http { address, path } => write!(f, "http://{address}{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probes_are_read() {
        let takes = "it takes tcp:HOST:PORT or http://HOST:PORT/PATH";
        let cases = [
            ("tcp:localhost:80", Ok("tcp:localhost:80")),
            ("tcp://[::1]:80", Ok("tcp:[::1]:80")),
            ("http://a:8080", Ok("http://a:8080/")),
            ("http://a", Ok("http://a:80/")),
            ("http://[::1]/x", Ok("http://[::1]:80/x")),
            ("http://a:8080/x/y?z=1", Ok("http://a:8080/x/y?z=1")),
            ("http://a?z", Ok("http://a:80/?z")),
            ("https://a", Err(takes)),
            ("a:80", Err(takes)),
            ("", Err(takes)),
            ("tcp:a", Err("endpoint \"a\" has no port; it takes host:port")),
            ("http://a:0/", Err("endpoint \"a:0\" has port \"0\"; a port is 1 to 65535")),
            ("http://u:p@a/", Err("it takes no user name")),
            ("http://a/\r\nX: y", Err("its path has '\\r'; write that as %-escape")),
        ];
        for (text, expected) in cases {
            let found = Probe::parse(text).map(|probe| probe.to_string());
            assert_eq!(found, expected.map(str::to_owned).map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn statuses_are_read() {
        let cases = [
            (&b"HTTP/1.1 200"[..], Some(200)),
            (b"HTTP/1.0 503", Some(503)),
            (b"HTTP/1.1 2", None),
            (b"SSH-2.0-Open", None),
            (b"\xff\xff", None),
            (b"", None),
        ];
        for (head, expected) in cases {
            assert_eq!(status_of(head), expected, "{head:?}");
        }
    }
}
