//! gRPC's codes, as real etcd sends them: read off the wire, and held against ours.
//!
//! The carrier tells errors by their words alone, so an answer says nothing of the code that came
//! with it. Here both are seen.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use portolan_core::waist::{Code, StoreError};
use portolan_etcd::RawChannel;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::{BoxError, ServiceExt};

/// What was heard so far, on all channels: the code that came with which words.
#[derive(Clone, Default)]
pub struct Codes(Arc<Mutex<BTreeMap<String, i32>>>);

impl Codes {
    /// A channel to `url` that is listened to.
    pub fn channel(&self, url: &str) -> RawChannel {
        let codes = self.clone();
        let endpoint = Endpoint::from_shared(url.to_owned()).expect("the address is right");
        let channel = endpoint.tcp_nodelay(true).connect_lazy();
        RawChannel::new(channel.map_err(BoxError::from).map_response(move |response| {
            // A call that fails at once has its status among its headers, a stream at its end.
            codes.note(response.headers());
            let (head, body) = response.into_parts();
            let codes = codes.clone();
            let body = body.inspect_frame(move |frame| {
                if let Some(trailers) = frame.trailers_ref() {
                    codes.note(trailers);
                }
            });
            Response::from_parts(head, Body::new(body))
        }))
    }

    fn note(&self, headers: &HeaderMap) {
        if let Some(status) = tonic::Status::from_header_map(headers) {
            let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            heard.insert(status.message().to_owned(), status.code() as i32);
        }
    }

    /// What is wrong with the code that we give an error of `release`, if anything is.
    pub fn amiss(&self, release: &str, error: &StoreError) -> Option<String> {
        let text = error.to_string();
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&text).copied();
        let Some(heard) = heard else {
            // Not etcd's words: it arose on this side.
            return text
                .starts_with("etcdserver:")
                .then(|| format!("{error:?}: no status with its words was heard"));
        };
        let excused = OTHER.iter().any(|(line, other, code)| {
            release.starts_with(line) && other == error && *code as i32 == heard
        });
        (error.code() as i32 != heard && !excused)
            .then(|| format!("{error:?}: etcd's code is {heard}, ours {:?}", error.code()))
    }
}

/// Codes that only some releases use; ours are those of the others.
const OTHER: &[(&str, StoreError, Code)] = &[("3.4.", StoreError::ServerDeadline, Code::Unknown)];
