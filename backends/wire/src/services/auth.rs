//! Users. Served by path: one message of this service has no public type in etcd-client, so its
//! trait cannot be implemented.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use etcd_client::proto as pb;
use portolan_core::waist;
use portolan_memory::{Credentials, Pass, Password};
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{Member, unexpected, unimplemented};
use crate::replies;

/// The service `etcdserverpb.Auth` of one member.
#[derive(Clone)]
pub(super) struct Users(pub Member);

impl NamedService for Users {
    const NAME: &'static str = "etcdserverpb.Auth";
}

impl Service<http::Request<Body>> for Users {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let member = self.0.clone();
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default();
            Ok(match method {
                "Authenticate" => {
                    let mut grpc = Grpc::new(ProstCodec::default());
                    let answer = tower::service_fn(move |request| {
                        let member = member.clone();
                        async move { member.authenticate(request).await }
                    });
                    grpc.unary(answer, request).await
                }
                method => unimplemented::<()>(&format!("Auth/{method}"))
                    .err()
                    .map_or_else(http::Response::default, Status::into_http),
            })
        })
    }
}

impl Member {
    async fn authenticate(
        &self,
        request: Request<pb::PbAuthenticateRequest>,
    ) -> Result<Response<pb::PbAuthenticateResponse>, Status> {
        let pb::PbAuthenticateRequest { name, password } = request.into_inner();
        let credentials = Credentials::new(name, Password::from(password.as_str()));
        let ask = waist::Request::Authenticate;
        let said = self.call(ask, Pass::Login(credentials)).answer().await;
        let token = said.token.clone();
        let reply = said.done()?;
        let Some(token) = token else { return Err(unexpected(&reply)) };
        Ok(Response::new(pb::PbAuthenticateResponse {
            header: Some(replies::header(self.header())),
            token: token.reveal().to_owned(),
        }))
    }
}
