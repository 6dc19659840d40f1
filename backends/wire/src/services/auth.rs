//! Users and roles. Served by path: some messages of this service have no public type in etcd-client,
//! so its trait cannot be implemented.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use etcd_client::proto as pb;
use portolan_core::waist::{self, StoreError};
use portolan_memory::{Admin, Credentials, Operation, Outcome, Pass, Password};
use prost::Message;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::codegen::http;
use tonic::server::{Grpc, NamedService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::{Member, unimplemented};
use crate::{replies, requests, status};

/// The service `etcdserverpb.Auth` of one member.
#[derive(Clone)]
pub(super) struct Users(pub Member);

/// `AuthStatusRequest` of etcd's `rpc.proto`.
#[derive(Clone, PartialEq, Eq, Message)]
struct AuthStatusRequest {}

/// `AuthStatusResponse` of etcd's `rpc.proto`.
#[derive(Clone, PartialEq, Eq, Message)]
struct AuthStatusResponse {
    #[prost(message, optional, tag = "1")]
    header: Option<pb::PbResponseHeader>,
    #[prost(bool, tag = "2")]
    enabled: bool,
    #[prost(uint64, tag = "3")]
    auth_revision: u64,
}

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
        Box::pin(async move { Ok(serve(Call { member, request }).await) })
    }
}

/// A call that changes users or roles; the answer to it is a header.
macro_rules! change {
    ($call:ident, $asked:ident => $answer:ident, $admin:expr) => {
        $call.change::<pb::$asked, _>($admin, |header| pb::$answer { header }).await
    };
}

async fn serve(call: Call) -> http::Response<Body> {
    let path = call.request.uri().path().to_owned();
    match path.rsplit('/').next().unwrap_or_default() {
        "Authenticate" => {
            call.unary(|member, asked| async move { member.authenticate(asked).await }).await
        }
        "AuthEnable" => {
            change!(call, PbAuthEnableRequest => PbAuthEnableResponse, |_| Ok(Admin::Enable))
        }
        "AuthDisable" => {
            change!(call, PbAuthDisableRequest => PbAuthDisableResponse, |_| Ok(Admin::Disable))
        }
        "UserAdd" => {
            change!(call, PbAuthUserAddRequest => PbAuthUserAddResponse, requests::add_user)
        }
        "UserDelete" => {
            change!(call, PbAuthUserDeleteRequest => PbAuthUserDeleteResponse, |asked| {
                Ok(Admin::DeleteUser { user: asked.name })
            })
        }
        "UserChangePassword" => change!(
            call,
            PbAuthUserChangePasswordRequest => PbAuthUserChangePasswordResponse,
            requests::change_password
        ),
        "UserGrantRole" => {
            change!(call, PbAuthUserGrantRoleRequest => PbAuthUserGrantRoleResponse, |asked| {
                Ok(Admin::GrantRole { user: asked.user, role: asked.role })
            })
        }
        "UserRevokeRole" => {
            change!(call, PbAuthUserRevokeRoleRequest => PbAuthUserRevokeRoleResponse, |asked| {
                Ok(Admin::RevokeRole { user: asked.name, role: asked.role })
            })
        }
        "RoleAdd" => change!(call, PbAuthRoleAddRequest => PbAuthRoleAddResponse, |asked| {
            Ok(Admin::AddRole { role: asked.name })
        }),
        "RoleDelete" => {
            change!(call, PbAuthRoleDeleteRequest => PbAuthRoleDeleteResponse, |asked| {
                Ok(Admin::DeleteRole { role: asked.role })
            })
        }
        "RoleGrantPermission" => change!(
            call,
            PbAuthRoleGrantPermissionRequest => PbAuthRoleGrantPermissionResponse,
            requests::grant_permission
        ),
        "RoleRevokePermission" => change!(
            call,
            PbAuthRoleRevokePermissionRequest => PbAuthRoleRevokePermissionResponse,
            requests::revoke_permission
        ),
        "AuthStatus" => {
            call.operate(|_: AuthStatusRequest| Ok(Operation::AuthStatus), auth_status).await
        }
        "UserList" => {
            let answer = |header, users| pb::PbAuthUserListResponse { header, users };
            call.names(|_: pb::PbAuthUserListRequest| Operation::Users, answer).await
        }
        "UserGet" => {
            let ask = |asked: pb::PbAuthUserGetRequest| Operation::User { user: asked.name };
            call.names(ask, |header, roles| pb::PbAuthUserGetResponse { header, roles }).await
        }
        "RoleList" => {
            let answer = |header, roles| pb::PbAuthRoleListResponse { header, roles };
            call.names(|_: pb::PbAuthRoleListRequest| Operation::Roles, answer).await
        }
        "RoleGet" => {
            let ask = |asked: pb::PbAuthRoleGetRequest| Ok(Operation::Role { role: asked.role });
            call.operate(ask, replies::role).await
        }
        method => unimplemented(&format!("Auth/{method}")).into_http(),
    }
}

fn auth_status(header: Header, outcome: Outcome) -> Option<AuthStatusResponse> {
    let Outcome::AuthStatus { enabled, revision } = outcome else { return None };
    Some(AuthStatusResponse { header, enabled, auth_revision: revision })
}

/// The header of an answer.
type Header = Option<pb::PbResponseHeader>;

/// A call that has arrived.
struct Call {
    member: Member,
    request: http::Request<Body>,
}

impl Call {
    async fn change<A, B>(
        self,
        admin: impl Fn(A) -> Result<Admin, StoreError> + Send + Copy + 'static,
        answer: impl Fn(Header) -> B + Send + Copy + 'static,
    ) -> http::Response<Body>
    where
        A: Message + Default + 'static,
        B: Message + 'static,
    {
        let operation = move |asked| admin(asked).map(Operation::Admin);
        self.operate(operation, move |header, _| Some(answer(header))).await
    }

    async fn names<A, B>(
        self,
        operation: impl Fn(A) -> Operation + Send + Copy + 'static,
        answer: impl Fn(Header, Vec<String>) -> B + Send + Copy + 'static,
    ) -> http::Response<Body>
    where
        A: Message + Default + 'static,
        B: Message + 'static,
    {
        let answer = move |header, outcome| {
            if let Outcome::Names(names) = outcome { Some(answer(header, names)) } else { None }
        };
        self.operate(move |asked| Ok(operation(asked)), answer).await
    }

    async fn operate<A, B>(
        self,
        operation: impl Fn(A) -> Result<Operation, StoreError> + Send + Copy + 'static,
        answer: impl Fn(Header, Outcome) -> Option<B> + Send + Copy + 'static,
    ) -> http::Response<Body>
    where
        A: Message + Default + 'static,
        B: Message + 'static,
    {
        self.unary(move |member, asked: Request<A>| async move {
            let (metadata, _, asked) = asked.into_parts();
            let operation = operation(asked).map_err(|error| status::of(&error))?;
            member.operate(operation, &metadata, answer).await
        })
        .await
    }

    async fn unary<A, B, F>(
        self,
        answer: impl Fn(Member, Request<A>) -> F + Send + Copy + 'static,
    ) -> http::Response<Body>
    where
        A: Message + Default + 'static,
        B: Message + 'static,
        F: Future<Output = Result<Response<B>, Status>> + Send + 'static,
    {
        let Self { member, request } = self;
        let mut grpc =
            Grpc::new(ProstCodec::default()).max_decoding_message_size(member.most_read());
        grpc.unary(tower::service_fn(move |asked| answer(member.clone(), asked)), request).await
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
        let token = self.call(ask, Pass::Login(credentials)).answer().await.token()?;
        Ok(Response::new(pb::PbAuthenticateResponse {
            header: Some(replies::header(self.header())),
            token: token.reveal().to_owned(),
        }))
    }
}
