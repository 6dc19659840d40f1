//! What can be said on the command line.

use std::convert::Infallible;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use portolan::{Conflict, GroupName, Selector};
use secrecy::SecretString;
use semver::Version;

use crate::out::{Format, Out};
use crate::parse;
use crate::probe::Probe;

/// A service registry over etcd: register instances, find them, share their configuration.
#[derive(Debug, Parser)]
#[command(name = "portolan", version, after_help = STATUS)]
#[command(term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub globals: Globals,
    #[command(subcommand)]
    pub command: Command,
}

const STATUS: &str = "Exit status: 0 done, 1 failed, 2 wrong usage, 3 not found.";

/// What every command takes.
#[derive(Args, Debug)]
#[command(next_help_heading = "Store")]
pub struct Globals {
    /// etcd's members, comma-separated
    /// [env: ETCD_ENDPOINTS, then ETCDCTL_ENDPOINTS] [default: 127.0.0.1:2379]
    #[arg(long, global = true, value_name = "HOST:PORT,..", value_delimiter = ',')]
    pub endpoints: Option<Vec<String>>,

    /// The user name for etcd. A password here shows in the list of processes; better is a file, or a
    /// variable [env: ETCDCTL_USER, ETCDCTL_PASSWORD]
    // Whatever follows is it: a refusal would quote the password of a name that looks like a flag.
    #[arg(long, global = true, value_name = "NAME[:PASSWORD]", value_parser = secret)]
    #[arg(allow_hyphen_values = true)]
    pub user: Option<SecretString>,

    /// A file whose first line is the password
    #[arg(long, global = true, value_name = "FILE")]
    pub password_file: Option<PathBuf>,

    /// A file with the certificates of the authorities that sign etcd's, as PEM; without it https
    /// addresses take those that the system trusts [env: ETCDCTL_CACERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub cacert: Option<PathBuf>,

    /// A file with the certificate to show to etcd, as PEM [env: ETCDCTL_CERT]
    #[arg(long, global = true, value_name = "FILE")]
    pub cert: Option<PathBuf>,

    /// A file with the key of that certificate, as PEM [env: ETCDCTL_KEY]
    #[arg(long, global = true, value_name = "FILE")]
    pub key: Option<PathBuf>,

    /// What all keys begin with [default: /portolan; etcd-naming: nothing before the group]
    #[arg(long, global = true, value_name = "BASE")]
    pub root: Option<String>,

    /// Which keys and values stand for what
    #[arg(long, global = true, value_enum, default_value = "native", hide_possible_values = true)]
    #[arg(value_name = "native|etcd-naming")]
    pub layout: LayoutName,

    /// How results are shown; json is one object per line
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    #[arg(value_name = "table|json", hide_possible_values = true)]
    pub output: Format,

    /// How long the store may take: 1ms to 24h
    #[arg(long, global = true, value_name = "TIME", value_parser = parse::time)]
    #[arg(default_value = "10s", allow_hyphen_values = true)]
    pub timeout: Duration,
}

/// The layouts by name.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum LayoutName {
    Native,
    EtcdNaming,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// The main job as a story, each step told when it was observed
    ///
    /// On a store within this process, unless --endpoints or its variables name an etcd. There it
    /// takes a root of its own, which begins with that of --root and has nothing left in the end.
    /// The status is 0 only if every step was observed and told.
    Demo,
    /// Keep an instance registered while CMD runs, or until a signal
    ///
    /// The instance is registered once CMD is ready, and removed when CMD has ended; the exit status
    /// is that of CMD, or 128 and the signal's number. SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1 and
    /// SIGUSR2 are passed on to CMD. SIGTERM and SIGINT first mark the instance as draining, so that
    /// others stop calling it. What happens to the registration is told on standard error. If CMD
    /// cannot be started, the status is 127 if there is no such program, else 126.
    ///
    /// A record that is lost is restored. If somebody else's stands in its place (see --conflict),
    /// the registration ends and CMD goes on without; where there is no CMD, the status is 1.
    /// kill -9 leaves CMD running, and the record until its lease ends.
    Register(Register),
    /// Take an instance out: its owner is asked to remove it
    ///
    /// Its record is marked as evicted and draining, so that nobody calls it any more. The owner
    /// removes it and ends; if it is dead, the record goes with its lease. An owner that watches its
    /// record obeys at once; one with more than 200 of them at its next audit, within 15 minutes. A
    /// record without a lease has no owner and is deleted. Status 3 if there is no such instance.
    Deregister(Deregister),
    /// All groups, with how many instances they have
    Groups,
    /// A group's instances; status 3 if there are none, or none that fits
    Instances {
        /// The group: 1 to 63 letters, digits, '.', '_', '-'
        #[arg(value_parser = GroupName::parse)]
        group: GroupName,
        /// Only those that fit: requirements between commas, such as 'zone in (eu, us), rack!=r7,
        /// !canary, @state=ready, @version>=1.2'
        ///
        /// Labels are compared as by kubectl: KEY, !KEY, KEY=VALUE, KEY!=VALUE, KEY in (VALUE, ..),
        /// KEY notin (VALUE, ..); without the label, != and notin hold. Values with white space or
        /// any of ,()=!<>"'\ stand in double quotes, as in 'zone="eu 1"'. @state is starting, ready,
        /// draining or out-of-service, and is compared alike.
        ///
        /// @version is there, as !@version is not, or is compared by =, >, >=, <, <=, ~ or ^, as by
        /// Cargo, each comparison with its own @version. A pre-release fits only beside one with a
        /// pre-release of the same three numbers; what follows a + is not compared.
        #[arg(short = 'l', long, value_name = "EXPR", value_parser = Selector::parse)]
        #[arg(default_value_t, hide_default_value = true)]
        selector: Selector,
    },
    /// Instances and configuration now, and each change from then on, until a signal
    ///
    /// First what is there, as added; then a line that it is listed; then a line per change. The
    /// first column is the revision reached. With json each line is an object: event (added,
    /// updated, removed, listed, stale, live, new-epoch), at (that revision), and the instance or
    /// the config.
    Watch {
        /// Only this group
        #[arg(value_parser = GroupName::parse)]
        group: Option<GroupName>,
    },
    /// A group's configuration
    #[command(subcommand)]
    Config(Config),
    /// The simulator: engines, a model of etcd and what may go wrong, in virtual time
    ///
    /// No store is needed. The same plan gives the same trace, to the byte, on every machine.
    #[command(subcommand)]
    Sim(Sim),
    /// An etcd in memory, for tests and development, until a signal
    ///
    /// It speaks etcd's own gRPC, so etcdctl and the clients of any language work against it: keys,
    /// leases, watches, the list of members and their status; the rest is answered as unimplemented.
    /// It has one member and no users, and keeps nothing: all that it holds ends with it. Whoever
    /// reaches the address may do everything. Each connection that is over is told on standard error.
    Serve(Serve),
    /// The simulator in a browser, on this machine, until a signal
    ///
    /// Serves the folder that `make playground` builds, as any server of static files could. No store
    /// is needed, and nothing is sent anywhere: the page runs the simulator itself.
    Playground(Playground),
}

#[derive(Args, Debug)]
pub struct Playground {
    /// Where to listen, on this machine alone; port 0: on a free one
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:7411")]
    pub listen: SocketAddr,
    /// The folder
    #[arg(long, value_name = "FOLDER", default_value = "target/playground")]
    pub dir: PathBuf,
}

#[derive(Args, Debug)]
pub struct Serve {
    /// Where to listen; port 0: on a free one. Given up to five times: a cluster, with a member at each
    #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:2379")]
    pub listen: Vec<SocketAddr>,
    /// The release of etcd to behave as, such as 3.4.23; without it, the newest known
    #[arg(long = "as", value_name = "VERSION")]
    pub release: Option<String>,
    /// What is stored at most, history included; beyond it, writes are refused until the alarm is
    /// disarmed
    ///
    /// Each version of a key counts with its key, its value and 256 bytes, each lease with 256.
    #[arg(long, value_name = "BYTES", default_value = "256MiB", value_parser = parse::size)]
    pub quota: u64,
    /// How much of that may be history; beyond it, the older half is compacted
    #[arg(long, value_name = "BYTES", default_value = "64MiB", value_parser = parse::size)]
    pub history: u64,
    /// A file with the certificate to show to clients, as PEM; then only TLS is spoken
    #[arg(long, value_name = "FILE", requires = "key_file")]
    pub cert_file: Option<PathBuf>,
    /// A file with the key of that certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub key_file: Option<PathBuf>,
    /// A file with the authorities of which clients must show a certificate, as PEM
    #[arg(long, value_name = "FILE", requires = "cert_file")]
    pub trusted_ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Sim {
    /// The plans that have a name, with what there is to see in each
    List,
    /// Draw plans from seeds, and hold each run to every property
    ///
    /// A plan that does not hold is made as small as it can be and kept as PROPERTY-SEED.json, for
    /// `sim replay`; the status is 1 then. A line on standard error tells now and then how far it is.
    Run(Draw),
    /// Run one plan, and tell what happens
    ///
    /// The last line has the trace's hash. What did not hold is told on standard error, and the
    /// status is 1 then. Status 3 if there is neither a plan of that name nor such a file.
    Replay {
        /// A plan's name, the seed of a drawn one, or a file with a plan, up to 16 MiB
        #[arg(value_name = "NAME|SEED|FILE")]
        plan: String,
        /// What the plan of a seed is drawn from, as in `sim run`
        #[arg(long, value_name = "NAME", default_value = "full")]
        mix: String,
        /// Every message too
        #[arg(long)]
        trace: bool,
    },
    /// Break things on purpose, and see that the checks notice
    ///
    /// Each thing that can be broken is, in drawn plans, until the property that cannot hold then is
    /// among the first that do not. The status is 1 if one of them is not within 200 plans. Properties
    /// that nothing broken can bring down are listed last, with the reason.
    Canary {
        /// Only this one; status 3 if there is none of that name
        name: Option<String>,
    },
}

/// Which plans are drawn.
#[derive(Args, Debug)]
pub struct Draw {
    /// How many: 1 to 10000000
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub seeds: u64,
    /// The first seed; the others follow it
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    pub from: u64,
    /// What they are drawn from: full, calm, crash, wire, store or strangers
    #[arg(long, value_name = "NAME", default_value = "full")]
    pub mix: String,
    /// How many run beside each other, 1 to 1024 [default: as many as there are cores]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Where plans that do not hold are kept
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    pub keep: PathBuf,
    /// Keeps how far it is, and goes on from there if the file is there already
    #[arg(long, value_name = "FILE")]
    pub state: Option<PathBuf>,
}

impl Draw {
    pub fn threads(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, usize::from);
        self.jobs.map_or_else(cores, usize::from)
    }
}

/// What is registered, and how long.
#[derive(Args, Debug)]
pub struct Register {
    /// The group: 1 to 63 letters, digits, '.', '_', '-'
    #[arg(value_parser = GroupName::parse)]
    pub group: GroupName,

    /// What tells the instance from the others of its group: 1 to 63 letters, digits, '.', '_', '-'
    /// (etcd-naming: up to 1024 bytes that print)
    #[arg(long)]
    pub id: String,

    /// An address that others call; may be repeated, up to 32 times (etcd-naming: one, named grpc)
    #[arg(long, value_name = "NAME=HOST:PORT", required = true, value_parser = parse::pair)]
    pub endpoint: Vec<(String, String)>,

    /// A label, with a value of up to 256 bytes that print; may be repeated, up to 64 times
    #[arg(long, value_name = "KEY=VALUE", value_parser = parse::pair)]
    pub label: Vec<(String, String)>,

    /// The version of the service, up to 128 bytes (not with etcd-naming)
    #[arg(long, value_name = "SEMVER", value_parser = parse::version)]
    pub version: Option<Version>,

    /// Its relative weight, 0 to 65535 (not with etcd-naming)
    #[arg(long, allow_hyphen_values = true, value_parser = parse::weight)]
    pub weight: Option<u16>,

    /// How long the record outlives us if we die without a word: 1s to 24h, in whole seconds; etcd
    /// raises it to its least, by default 2s
    #[arg(long, value_name = "TIME", value_parser = parse::ttl, default_value = "15s")]
    #[arg(allow_hyphen_values = true)]
    pub ttl: Duration,

    /// If somebody else's record stands there: take its place, give way, or wait until it is gone
    #[arg(long, value_name = "replace|reject|wait", hide_possible_values = true)]
    #[arg(value_enum, default_value = "replace")]
    pub conflict: OnConflict,

    /// Register only once this answers: a TCP port, or a page with status 200 to 299
    #[arg(long, value_name = "tcp:HOST:PORT|http://HOST:PORT/PATH", value_parser = Probe::parse)]
    pub ready: Option<Probe>,

    /// How long to be marked as draining before CMD is sent SIGTERM or SIGINT: 0s to 24h (not with
    /// etcd-naming)
    #[arg(long, value_name = "TIME", value_parser = parse::time_or_none, default_value = "0s")]
    #[arg(requires = "command", allow_hyphen_values = true)]
    pub drain_for: Duration,

    /// Allow endpoints that only this machine reaches: 127.0.0.1, 0.0.0.0, localhost
    #[arg(long)]
    pub allow_local: bool,

    /// The program to run, with its arguments
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// What is taken out, and by whom.
#[derive(Args, Debug)]
pub struct Deregister {
    /// The group: 1 to 63 letters, digits, '.', '_', '-'
    #[arg(value_parser = GroupName::parse)]
    pub group: GroupName,

    /// The instance's id
    pub id: String,

    /// Delete the record, once, without asking; an owner that is alive restores it
    #[arg(long)]
    pub force: bool,

    /// In whose name: up to 256 bytes that print [default: $USER, else "an operator"]
    #[arg(long, value_name = "NAME", conflicts_with = "force")]
    pub by: Option<String>,
}

/// What to do about somebody else's record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub enum OnConflict {
    Replace,
    Reject,
    Wait,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Show it; status 3 if there is none
    Get {
        /// The group: 1 to 63 letters, digits, '.', '_', '-'
        #[arg(value_parser = GroupName::parse)]
        group: GroupName,
    },
    /// Put a document in its place, whatever stands there
    ///
    /// It overwrites what others wrote a moment ago; `config edit` does not.
    Set {
        /// The group: 1 to 63 letters, digits, '.', '_', '-'
        #[arg(value_parser = GroupName::parse)]
        group: GroupName,
        /// The document, up to 1 MiB without white space; @FILE: what that file holds; -: what comes
        /// from standard input
        #[arg(value_name = "JSON|@FILE|-", allow_hyphen_values = true)]
        document: String,
    },
    /// Change it in $VISUAL or $EDITOR
    ///
    /// The text is written only if the document still reads as it was shown, by compare-and-swap. If
    /// it was changed meanwhile, nothing is written and the text is kept in its file.
    Edit {
        /// The group: 1 to 63 letters, digits, '.', '_', '-'
        #[arg(value_parser = GroupName::parse)]
        group: GroupName,
    },
}

impl Globals {
    pub fn out(&self) -> Out {
        Out { format: self.output }
    }
}

impl From<OnConflict> for Conflict {
    fn from(conflict: OnConflict) -> Self {
        match conflict {
            OnConflict::Replace => Self::Replace,
            OnConflict::Reject => Self::Reject,
            OnConflict::Wait => Self::Wait,
        }
    }
}

/// Takes anything, so that no message of the parser quotes a password.
fn secret(text: &str) -> Result<SecretString, Infallible> {
    Ok(text.into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_makes_sense() {
        Cli::command().debug_assert();
    }

    #[test]
    fn debug_hides_the_password() {
        for user in ["root:hush", "-root:hush", "--ttl:hush", "--ttl=:hush"] {
            let cli = Cli::try_parse_from(["portolan", "--user", user, "groups"]);
            let shown = format!("{:?}", cli.expect("it parses"));
            assert!(!shown.contains("hush"), "{shown}");
        }
    }
}
