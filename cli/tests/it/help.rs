use insta::assert_snapshot;

use crate::kit::{portolan, run};

fn help(command: &str) -> String {
    run(&mut portolan(command.split_whitespace().chain(["--help"]))).done()
}

#[test]
fn help_of_all() {
    assert_snapshot!(help(""));
}

#[test]
fn help_of_each_command() {
    for command in [
        "demo",
        "register",
        "deregister",
        "groups",
        "instances",
        "watch",
        "config",
        "config get",
        "config set",
        "config edit",
        "sim",
        "sim run",
        "sim replay",
        "sim canary",
        "serve",
        "playground",
    ] {
        assert_snapshot!(command.replace(' ', "_"), own_part(&help(command)));
    }
}

/// As people ask for it.
#[test]
fn help_is_a_command() {
    assert_eq!(run(&mut portolan(["help"])).done(), help(""));
    for command in ["register", "config set"] {
        let words = ["help"].into_iter().chain(command.split(' '));
        assert_eq!(run(&mut portolan(words)).done(), help(command));
    }
    assert_eq!(run(&mut portolan(["help", "frobnicate"])).status, 2);
}

/// Without the flags that every command takes.
fn own_part(help: &str) -> &str {
    help.split("\nStore:").next().expect("a first part")
}

/// Variables may hold a password, and are of this machine.
#[test]
fn help_shows_no_variable() {
    let mut command = portolan(["--help"]);
    command.env("ETCDCTL_USER", "root:hush").env("ETCD_ENDPOINTS", "10.9.8.7:2379");
    assert_eq!(run(&mut command).done(), help(""));
}

#[test]
fn nothing_said_is_wrong_usage() {
    let ran = run(&mut portolan::<&str>([]));
    assert_eq!(ran.status, 2);
    assert!(ran.err.contains("Usage: portolan"), "{}", ran.err);
}
