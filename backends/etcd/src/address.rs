use std::fmt;

use http::Uri;

/// Where a member serves clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Address {
    /// A name, or an address without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) tls: bool,
    /// The same without a scheme: what it is called.
    uri: Uri,
}

impl Address {
    /// Reads `HOST:PORT` with or without a scheme. Without one it is TLS if `tls` says that TLS was
    /// set up. The error goes on after the address.
    pub(crate) fn parse(text: &str, tls: bool) -> Result<Self, &'static str> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let tls = match scheme {
            None => tls,
            Some("https") => true,
            Some("http") if tls => {
                return Err("is http, but TLS is set up; write https, or leave TLS out");
            }
            Some("http") => false,
            Some(_) => return Err("has an unknown scheme; allowed are http and https"),
        };
        if rest.contains('@') {
            return Err("holds a user name; give credentials apart from the address");
        }
        // Without TLS, also where there is some: that is the connector's, none of tonic's business.
        let uri: Uri = format!("http://{rest}").parse().map_err(|_| "is not HOST:PORT")?;
        let authority = uri.authority().ok_or("has no host")?;
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() {
            return Err("has no host");
        }
        let Some(port) = authority.port_u16().filter(|port| *port > 0) else {
            return Err("has no port from 1 to 65535");
        };
        if uri.path_and_query().is_some_and(|path| path.as_str() != "/") {
            return Err("has a path; allowed is HOST:PORT only");
        }
        Ok(Self { host, port, tls, uri })
    }

    /// What tonic connects to.
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// What calls say they are for.
    pub(crate) fn origin(&self) -> Uri {
        let scheme = if self.tls { "https" } else { "http" };
        let uri = format!("{scheme}://{self}").parse();
        uri.unwrap_or_else(|_| self.uri.clone())
    }
}

impl fmt::Display for Address {
    /// `HOST:PORT`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.uri.authority().map_or("", |authority| authority.as_str()))
    }
}

/// Passwords are known to turn up before the `@` of an address.
pub(crate) fn without_userinfo(address: &str) -> &str {
    address.rsplit_once('@').map_or(address, |(_, host)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let cases = [
            ("127.0.0.1:2379", Ok("http://127.0.0.1:2379/")),
            ("http://etcd-0.etcd:2379", Ok("http://etcd-0.etcd:2379/")),
            ("http://[::1]:2379/", Ok("http://[::1]:2379/")),
            ("https://a:1", Ok("https://a:1/")),
            ("https://[::1]:2379", Ok("https://[::1]:2379/")),
            ("localhost", Err("has no port from 1 to 65535")),
            ("localhost:0", Err("has no port from 1 to 65535")),
            ("localhost:70000", Err("has no port from 1 to 65535")),
            ("", Err("is not HOST:PORT")),
            (":2379", Err("has no host")),
            ("a b:2379", Err("is not HOST:PORT")),
            ("a:1/b", Err("has a path; allowed is HOST:PORT only")),
            ("ftp://a:1", Err("has an unknown scheme; allowed are http and https")),
            ("u:p@a:1", Err("holds a user name; give credentials apart from the address")),
        ];
        for (address, expected) in cases {
            let found = Address::parse(address, false).map(|found| found.origin().to_string());
            assert_eq!(found, expected.map(str::to_owned), "{address:?}");
        }
    }

    #[test]
    fn tls_and_the_scheme_agree() {
        let is_tls = |address| Address::parse(address, true).map(|address| address.tls);
        assert_eq!(is_tls("a:1"), Ok(true));
        assert_eq!(is_tls("https://a:1"), Ok(true));
        let both = Err("is http, but TLS is set up; write https, or leave TLS out");
        assert_eq!(is_tls("http://a:1"), both);
    }

    #[test]
    fn a_host_has_no_brackets() {
        let address = Address::parse("[::1]:2379", false).expect("an address");
        assert_eq!((address.host.as_str(), address.port), ("::1", 2379));
        assert_eq!(address.to_string(), "[::1]:2379");
    }
}
