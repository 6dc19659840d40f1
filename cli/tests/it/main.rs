//! The command, run as its users run it: on private etcd 3.5 servers, and on the embedded store.

mod config;
mod demo;
mod deregister;
mod errors;
mod help;
mod kit;
mod limits;
mod list;
mod ownership;
mod playground;
mod register;
mod serve;
mod sim;
mod tls;
mod user;
mod watch;
