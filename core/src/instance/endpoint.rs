//! Where an instance is reached: `host:port`.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::json::shortened;

/// Bytes in a host name at most, as in DNS.
pub const HOST_LIMIT: usize = 253;

/// `host:port`, without a scheme; what the protocol is, the endpoint's name says.
///
/// The host is an IPv4 address, an IPv6 address in brackets (written in its one canonical form,
/// without a zone), or a DNS name of labels of letters, digits, `-` and `_`. The port is 1 to
/// 65535.
#[derive(Clone, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Endpoint(Box<str>);

/// An endpoint that cannot be, or that must not be advertised.
#[derive(Clone, Debug, Eq, PartialEq, Hash, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// Something like `http://` before the host.
    #[error("endpoint {found:?} has a scheme; it takes host:port, the name says the protocol")]
    Scheme {
        /// The text, shortened.
        found: String,
    },
    /// No `:` before a port.
    #[error("endpoint {found:?} has no port; it takes host:port")]
    NoPort {
        /// The text, shortened.
        found: String,
    },
    /// A port that is none.
    #[error("endpoint {found:?} has port {port:?}; a port is 1 to 65535")]
    Port {
        /// The text, shortened.
        found: String,
        /// The port, shortened.
        port: String,
    },
    /// No host before the port.
    #[error("endpoint {found:?} has no host; it takes host:port")]
    NoHost {
        /// The text, shortened.
        found: String,
    },
    /// Something in brackets, or with several colons, that is no IPv6 address in brackets.
    #[error("endpoint {found:?} is no IPv6 address in brackets and a port, like [2001:db8::1]:80")]
    V6 {
        /// The text, shortened.
        found: String,
    },
    /// Digits and dots that are no IPv4 address.
    #[error("endpoint {found:?} has a host of numbers that is no IPv4 address")]
    V4 {
        /// The text, shortened.
        found: String,
    },
    /// A host name that DNS could not hold.
    #[error(
        "endpoint {found:?} has a host that is no DNS name: labels of 1 to 63 letters, digits, \
         '-' and '_', no '-' at their ends, in all at most {limit} bytes"
    )]
    Host {
        /// The text, shortened.
        found: String,
        /// Bytes allowed.
        limit: usize,
    },
    /// An address that means another host to everyone who reads it.
    #[error(
        "endpoint {found:?} would be advertised, but {kind} is reached from this machine only; \
         advertise an address that others reach, or allow local ones"
    )]
    Local {
        /// The text.
        found: String,
        /// What its host is.
        kind: LocalKind,
    },
}

/// Why a host means something only on its own machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash, Serialize, Deserialize)]
pub enum LocalKind {
    /// `0.0.0.0` or `::`: a place to listen at, no address.
    Unspecified,
    /// `127.0.0.0/8`, `::1`, `localhost` and names below it.
    Loopback,
}

impl Endpoint {
    /// Checks and takes `host:port`.
    ///
    /// # Errors
    /// [`EndpointError`] quotes the text and says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, EndpointError> {
        match check(text)? {
            Host::Canonical => Ok(Self(text.into())),
            Host::V6(address, port) => Ok(Self(format!("[{address}]:{port}").into())),
        }
    }

    /// The whole as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host; an IPv6 address without its brackets.
    pub fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or("", |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port; 1 to 65535.
    pub fn port(&self) -> u16 {
        let port = self.0.rsplit_once(':').map_or("", |(_, port)| port);
        port.parse().expect("the port was checked when the endpoint was built")
    }

    /// Whether it may be published, for others to call.
    ///
    /// # Errors
    /// [`EndpointError::Local`] for `0.0.0.0`, `::`, loopback addresses and `localhost`, unless
    /// `allow_local`.
    pub fn check_advertised(&self, allow_local: bool) -> Result<(), EndpointError> {
        match local(self.host()) {
            Some(kind) if !allow_local => {
                Err(EndpointError::Local { found: self.as_str().to_owned(), kind })
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// What was checked: text that is canonical already, or what it takes to write it so.
pub(super) enum Host {
    Canonical,
    V6(Ipv6Addr, u16),
}

pub(super) fn check(text: &str) -> Result<Host, EndpointError> {
    check_parts(text).map_err(|error| {
        // Nothing with a scheme is ever good, so it is looked for last and told first.
        if text.contains("://") {
            return EndpointError::Scheme { found: shortened(text, 80) };
        }
        error
    })
}

fn check_parts(text: &str) -> Result<Host, EndpointError> {
    let found = || shortened(text, 80);
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(EndpointError::NoPort { found: found() });
    };
    if host.starts_with('[') || host.contains([':', ']']) {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let Some(address) = inner.and_then(|inner| inner.parse::<Ipv6Addr>().ok()) else {
            return Err(EndpointError::V6 { found: found() });
        };
        return Ok(Host::V6(address, check_port(text, port)?));
    }
    if host.is_empty() {
        return Err(EndpointError::NoHost { found: found() });
    }
    check_port(text, port)?;
    let numbers = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    // A last label of digits alone is what makes a host an IPv4 address rather than a name.
    if host.rsplit('.').next().is_some_and(numbers) {
        return match host.parse::<Ipv4Addr>() {
            Ok(_) => Ok(Host::Canonical),
            Err(_) if host.split('.').all(numbers) => Err(EndpointError::V4 { found: found() }),
            Err(_) => Err(EndpointError::Host { found: found(), limit: HOST_LIMIT }),
        };
    }
    let fine = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(fine)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if host.len() > HOST_LIMIT || !host.split('.').all(label) {
        return Err(EndpointError::Host { found: found(), limit: HOST_LIMIT });
    }
    Ok(Host::Canonical)
}

fn check_port(text: &str, port: &str) -> Result<u16, EndpointError> {
    let plain = port.bytes().all(|byte| byte.is_ascii_digit()) && !port.starts_with('0');
    port.parse().ok().filter(|_| plain).ok_or_else(|| {
        if port.is_empty() {
            return EndpointError::NoPort { found: shortened(text, 80) };
        }
        EndpointError::Port { found: shortened(text, 80), port: shortened(port, 20) }
    })
}

fn local(host: &str) -> Option<LocalKind> {
    let address = match host.parse::<IpAddr>() {
        // ::ffff:127.0.0.1 is 127.0.0.1 to the socket.
        Ok(IpAddr::V6(v6)) => v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4),
        Ok(v4 @ IpAddr::V4(_)) => v4,
        Err(_) => {
            let last = host.rsplit('.').next().unwrap_or(host);
            return last.eq_ignore_ascii_case("localhost").then_some(LocalKind::Loopback);
        }
    };
    if address.is_unspecified() {
        return Some(LocalKind::Unspecified);
    }
    address.is_loopback().then_some(LocalKind::Loopback)
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Endpoint {
    type Error = EndpointError;

    fn try_from(text: String) -> Result<Self, EndpointError> {
        Self::parse(&text)
    }
}

impl From<Endpoint> for String {
    fn from(endpoint: Endpoint) -> Self {
        endpoint.0.into()
    }
}

impl AsRef<str> for Endpoint {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl fmt::Display for LocalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unspecified => "an unspecified address",
            Self::Loopback => "loopback",
        })
    }
}
