use std::sync::Arc;

use tonic::transport::Endpoint;
use tower::{BoxError, ServiceExt};

use crate::address::{Address, without_userinfo};
use crate::auth::Auth;
use crate::dial::{Dialer, Dialing};
use crate::member::Habits;
use crate::tasks::Tasks;
use crate::{RawChannel, Transport};

/// How one member is reached, as often as new connections are wanted.
pub(crate) struct Wires {
    /// What errors call the member.
    pub(crate) name: String,
    pub(crate) way: Way,
    /// How often other connections were asked for.
    pub(crate) redials: usize,
}

pub(crate) enum Way {
    /// At one of these addresses; or why at none.
    Addresses(Result<Arc<[Address]>, String>),
    /// As somebody else knows.
    Endpoint(Box<Endpoint>),
    /// Over channels that somebody else made, and makes anew.
    Channels { calls: RawChannel, streams: RawChannel },
}

/// What the members and their connections are made with.
pub(crate) struct Workshop {
    pub(crate) dialing: Arc<Dialing>,
    pub(crate) transport: Transport,
    pub(crate) tasks: Tasks,
    pub(crate) auth: Auth,
    pub(crate) habits: Habits,
    /// Whether TLS was set up: then nothing goes without.
    pub(crate) has_tls: bool,
}

impl Wires {
    pub(crate) fn new(name: String, way: Way) -> Self {
        Self { name, way, redials: 0 }
    }

    /// The way to a member that says of itself that it is at `urls`.
    pub(crate) fn introduced(urls: &[String], has_tls: bool) -> Self {
        let shown = |url: &String| without_userinfo(url).to_owned();
        let mut problem = "the member names no address".to_owned();
        let mut ways = Vec::new();
        for url in urls {
            match Address::parse(url, has_tls) {
                Ok(address) => ways.push(address),
                Err(what) => problem = format!("its address {:?} {what}", shown(url)),
            }
        }
        let name = ways.first().map(Address::to_string);
        let name = name.or_else(|| urls.first().map(shown)).unwrap_or_default();
        let ways = if ways.is_empty() { Err(problem) } else { Ok(ways.into()) };
        Self::new(name, Way::Addresses(ways))
    }

    /// Whether there is TLS on the way that is ours to make.
    pub(crate) fn speaks_tls(&self) -> bool {
        match &self.way {
            Way::Addresses(Ok(ways)) => ways.iter().any(|address| address.tls),
            Way::Addresses(Err(_)) | Way::Endpoint(_) | Way::Channels { .. } => false,
        }
    }

    /// Two new channels: for calls, and for watches. They connect when they are first used.
    pub(crate) fn channels(&self, workshop: &Workshop) -> (RawChannel, RawChannel) {
        match &self.way {
            Way::Addresses(ways) => {
                let channel = || workshop.channel(ways, self.redials);
                (channel(), channel())
            }
            Way::Endpoint(endpoint) => {
                let endpoint = endpoint.as_ref().clone().executor(workshop.tasks.clone());
                let channel = || RawChannel::new(endpoint.connect_lazy().map_err(BoxError::from));
                (channel(), channel())
            }
            Way::Channels { calls, streams } => (calls.clone(), streams.clone()),
        }
    }
}

impl Workshop {
    fn channel(&self, ways: &Result<Arc<[Address]>, String>, first: usize) -> RawChannel {
        let address = ways.as_ref().ok().and_then(|ways| ways.first());
        let endpoint = match address {
            Some(address) => Endpoint::from(address.uri().clone()).origin(address.origin()),
            None => Endpoint::from_static("http://nowhere"),
        };
        let endpoint = endpoint
            .http2_keep_alive_interval(self.transport.keepalive_interval)
            .keep_alive_timeout(self.transport.keepalive_timeout)
            .keep_alive_while_idle(false)
            .executor(self.tasks.clone());
        let dialer = Dialer::new(ways.clone(), self.dialing.clone(), first);
        RawChannel::new(endpoint.connect_with_connector_lazy(dialer).map_err(BoxError::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a member says of itself does not lead past TLS.
    #[test]
    fn introductions_keep_to_tls() {
        let urls = ["http://a:1".to_owned(), "https://b:2".to_owned()];
        let ways = |urls: &[String], has_tls| {
            let wires = Wires::introduced(urls, has_tls);
            let Way::Addresses(ways) = wires.way else { panic!("{}", wires.name) };
            ways.map(|ways| ways.iter().map(Address::to_string).collect::<Vec<_>>())
        };
        assert_eq!(ways(&urls, true), Ok(vec!["b:2".to_owned()]));
        assert_eq!(ways(&urls, false).map(|ways| ways.len()), Ok(2));
        let why = "its address \"http://a:1\" is http, but TLS is set up; write https, or leave \
                   TLS out";
        assert_eq!(ways(&urls[..1], true), Err(why.to_owned()));
    }
}
