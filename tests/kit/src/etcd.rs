//! One server: started, killed, stopped, paused, resumed, wiped, started again.

use std::{
    ffi::OsString,
    fs::{self, File},
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{
    Builder, KitError, Port, Programs, Release, ServerTls,
    builder::Peers,
    etcdctl, folder,
    guardian::Guardian,
    health,
    process::{POLL, Process},
};

/// A private etcd server, alone or a member of a [`Cluster`](crate::Cluster).
///
/// Its ports and its data stay the same from one start to the next, until it is wiped or dropped.
#[derive(Debug)]
pub struct Etcd {
    name: String,
    // In a box: tests keep servers beside smaller things.
    plan: Box<Plan>,
    client: Port,
    peer: Port,
    /// Where the others find that one.
    advertised: u16,
    /// Where a server that speaks TLS to its clients tells its health in the clear.
    plain: Option<Port>,
    /// `None`: down.
    process: Option<Process>,
    guardian: Guardian,
    folder: TempDir,
}

/// What every start of a server has in common.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) programs: Programs,
    pub(crate) flags: Vec<String>,
    pub(crate) tls: Option<ServerTls>,
    pub(crate) peers: Option<Peers>,
}

impl Etcd {
    /// Starts a server with etcd's default flags and waits until it is healthy.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub fn start(release: Release) -> Result<Self, KitError> {
        Self::builder(release).start()
    }

    /// A server with flags of its own.
    pub fn builder(release: Release) -> Builder {
        Builder::new(release)
    }

    /// Starts the members of a new cluster together. Should a port be taken by something that is
    /// not of this kit, all are given new ones.
    pub(crate) fn start_members(plan: &Plan, size: usize) -> Result<Vec<Self>, KitError> {
        let mut tries_left = START_TRIES;
        loop {
            tries_left -= 1;
            match Self::try_start_members(plan, size) {
                Err(KitError::Start { log_tail, .. })
                    if tries_left > 0 && log_tail.contains(ADDRESS_IN_USE) => {}
                result => return result,
            }
        }
    }

    fn try_start_members(plan: &Plan, size: usize) -> Result<Vec<Self>, KitError> {
        let mut members = (0..size)
            .map(|index| Self::prepare(index, plan.clone()))
            .collect::<Result<Vec<_>, _>>()?;
        let peers: Vec<String> =
            members.iter().map(|member| format!("{}={}", member.name, member.peer_url())).collect();
        let number = CLUSTERS.fetch_add(1, Ordering::Relaxed);
        let token = format!("portolan-{}-{number}", process::id());
        for member in &mut members {
            // Both are read at the first start only; afterwards the data says who belongs.
            member.plan.flags.push(format!("--initial-cluster={}", peers.join(",")));
            member.plan.flags.push(format!("--initial-cluster-token={token}"));
            member.launch()?;
        }
        for member in &mut members {
            member.wait_healthy(START_WITHIN)?;
        }
        Ok(members)
    }

    fn prepare(index: usize, plan: Plan) -> Result<Self, KitError> {
        let folder = folder::make()?;
        let guardian = Guardian::over(folder.path())?;
        let (client, peer) = (Port::reserve()?, Port::reserve()?);
        let plain = plan.tls.is_some().then(Port::reserve).transpose()?;
        let way = plan.peers.as_ref();
        let advertised = way.map_or(peer.number(), |Peers(way)| way(index, peer.number()));
        Ok(Self {
            name: format!("m{index}"),
            plan: Box::new(plan),
            client,
            peer,
            advertised,
            plain,
            process: None,
            guardian,
            folder,
        })
    }
}

impl Etcd {
    /// Starts it if it is down, and does not wait: a member without its majority is not healthy.
    ///
    /// # Errors
    /// [`KitError::Os`].
    pub fn launch(&mut self) -> Result<(), KitError> {
        if self.is_running() {
            return Ok(());
        }
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .map_err(KitError::os("opening the log"))?;
        let errors = log.try_clone().map_err(KitError::os("opening the log"))?;
        let (client, peer) = (self.client_url(), self.peer_url());
        let listen_peer = format!("http://{}", self.peer.addr());
        let mut command = Command::new(&self.plan.programs.etcd);
        etcdctl::without_etcd_variables(&mut command);
        command
            .args(["--name", &self.name, "--logger=zap", "--log-outputs=stderr"])
            .arg("--data-dir")
            .arg(self.data_dir())
            .args(["--listen-client-urls", &client, "--advertise-client-urls", &client])
            .args(["--listen-peer-urls", &listen_peer, "--initial-advertise-peer-urls", &peer])
            .args(self.tls_flags())
            .args(&self.plan.flags)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let process = Process::spawn(&mut command).map_err(KitError::os("starting etcd"))?;
        self.guardian.watch(Some(process.pid()))?;
        self.process = Some(process);
        Ok(())
    }

    /// Starts it again, after killing it if it runs, on the same ports with the data it has; waits
    /// until it is healthy.
    ///
    /// # Errors
    /// [`KitError::Start`], [`KitError::Os`].
    pub fn restart(&mut self) -> Result<(), KitError> {
        self.kill()?;
        self.launch()?;
        self.wait_healthy(START_WITHIN)
    }

    /// Waits until it is healthy: it has a leader and serves.
    ///
    /// # Errors
    /// [`KitError::Start`] when the process ended or the time is over (it then goes on running),
    /// [`KitError::Down`] when it is down.
    pub fn wait_healthy(&mut self, within: Duration) -> Result<(), KitError> {
        let give_up_at = Instant::now() + within;
        loop {
            let ended = self.running()?.ended().map_err(KitError::os("waiting for etcd"))?;
            if let Some(status) = ended {
                self.reaped()?;
                return Err(self.start_error(format!("ended with {status}")));
            }
            if self.is_healthy() {
                return Ok(());
            }
            if Instant::now() >= give_up_at {
                return Err(self.start_error(format!("is not healthy after {within:?}")));
            }
            thread::sleep(POLL);
        }
    }

    /// SIGKILL, as when the machine dies. Nothing happens if it is down.
    ///
    /// # Errors
    /// [`KitError::Os`].
    pub fn kill(&mut self) -> Result<(), KitError> {
        if let Some(process) = &mut self.process {
            process.kill().map_err(KitError::os("killing etcd"))?;
            self.reaped()?;
        }
        Ok(())
    }

    /// SIGTERM, and waits for the end: etcd closes its connections and, in a cluster, hands
    /// leadership over. Nothing happens if it is down.
    ///
    /// # Errors
    /// [`KitError::Stubborn`] when it had to be killed, [`KitError::Os`].
    pub fn stop(&mut self) -> Result<(), KitError> {
        if let Some(process) = &mut self.process {
            let obeyed = process.stop(STOP_WITHIN).map_err(KitError::os("stopping etcd"))?;
            self.reaped()?;
            if !obeyed {
                return Err(KitError::Stubborn { name: self.name.clone(), within: STOP_WITHIN });
            }
        }
        Ok(())
    }

    /// SIGSTOP: connections stay open and silent. Returns once the process has stopped.
    ///
    /// # Errors
    /// [`KitError::Down`], [`KitError::Os`].
    pub fn pause(&mut self) -> Result<(), KitError> {
        self.running()?.pause().map_err(KitError::os("pausing etcd"))
    }

    /// SIGCONT.
    ///
    /// # Errors
    /// [`KitError::Down`], [`KitError::Os`].
    pub fn resume(&mut self) -> Result<(), KitError> {
        self.running()?.resume().map_err(KitError::os("resuming etcd"))
    }

    /// Kills it and removes its data: the next start is that of a store that has forgotten
    /// everything, under the same name, ports, and member and cluster ids.
    ///
    /// For a server alone; a wiped member of a cluster cannot join again.
    ///
    /// # Errors
    /// [`KitError::Os`].
    pub fn wipe(&mut self) -> Result<(), KitError> {
        self.kill()?;
        let data = self.data_dir();
        if data.exists() {
            fs::remove_dir_all(&data).map_err(KitError::os("removing the data"))?;
        }
        Ok(())
    }

    /// Kills it and puts a snapshot (`etcdctl snapshot save`) in the place of its data: the next start
    /// is that of a store that was taken back to then. Under its own `token` (`None`) the member and
    /// cluster ids stay as they are, under another one they become others.
    ///
    /// In a cluster every member is restored before any is launched.
    ///
    /// # Errors
    /// [`KitError::Etcdctl`] when the snapshot cannot be used; it then has no data. [`KitError::Os`].
    pub fn restore(&mut self, snapshot: &Path, token: Option<&str>) -> Result<(), KitError> {
        self.wipe()?;
        let own = |start: &str| {
            let flags = self.plan.flags.iter();
            flags.rev().find(|flag| flag.starts_with(start)).cloned().unwrap_or_default()
        };
        let token_flag = "--initial-cluster-token=";
        let token = token.map_or_else(|| own(token_flag), |token| format!("{token_flag}{token}"));
        let mut args: Vec<OsString> = vec!["snapshot".into(), "restore".into(), snapshot.into()];
        args.extend(["--name".into(), self.name.clone().into()]);
        args.extend(["--data-dir".into(), self.data_dir().into()]);
        args.extend(["--initial-advertise-peer-urls".into(), self.peer_url().into()]);
        args.extend([own("--initial-cluster=").into(), token.into()]);
        etcdctl::run(&self.plan.programs, &self.client_url(), args).map(drop)
    }

    /// Whether the process exists, paused or not.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        let ended = self.process.as_mut().map(|process| process.ended().ok().flatten().is_some());
        if ended == Some(true) {
            // It ended by itself. A guardian that cannot be told is gone, and with it its orders.
            let _ = self.reaped();
        }
        self.process.is_some()
    }

    fn running(&mut self) -> Result<&mut Process, KitError> {
        self.process.as_mut().ok_or_else(|| KitError::Down { name: self.name.clone() })
    }

    fn reaped(&mut self) -> Result<(), KitError> {
        self.process = None;
        self.guardian.watch(None)
    }
}

impl Etcd {
    /// Where clients connect: `http://127.0.0.1:PORT`, or `https` if it speaks TLS.
    #[must_use]
    pub fn client_url(&self) -> String {
        let scheme = if self.plan.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.client.addr())
    }

    /// The client port.
    #[must_use]
    pub fn client_port(&self) -> u16 {
        self.client.number()
    }

    /// Where other members connect.
    #[must_use]
    pub fn peer_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.advertised)
    }

    /// The member's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the server says it is: `3.5.16`.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.plan.programs.version
    }

    /// The programs that it is run with.
    #[must_use]
    pub fn programs(&self) -> &Programs {
        &self.plan.programs
    }

    /// The process id, unless it is down.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::pid)
    }

    /// Whether it was paused and not resumed.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.process.as_ref().is_some_and(Process::is_paused)
    }

    /// Asks it now. `false` after half a second at the latest.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        let port = self.plain.as_ref().unwrap_or(&self.client);
        self.process.is_some() && health::is_healthy(port.addr())
    }

    /// What it has counted since it was started: the sum of the lines of `/metrics` that `fits`
    /// takes, each as `name{labels} value`. 0 where there is none.
    ///
    /// # Errors
    /// [`KitError::Os`] when it is down, or did not answer.
    pub fn counted(&self, fits: impl Fn(&str) -> bool) -> Result<u64, KitError> {
        let port = self.plain.as_ref().unwrap_or(&self.client);
        let page = health::metrics(port.addr()).map_err(KitError::os("reading what it counts"))?;
        let values =
            page.lines().filter(|line| fits(line)).filter_map(|line| line.rsplit(' ').next());
        // From a million on it writes them as 1.234567e+06; counts are exact as floats.
        Ok(values.filter_map(|value| value.parse::<f64>().ok()).sum::<f64>() as u64)
    }

    /// Its own folder, with its data and its log.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The last lines that it wrote, over all its starts.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
    }

    /// Runs `etcdctl` against this server and returns what it printed.
    ///
    /// # Errors
    /// [`KitError::Etcdctl`] when it failed, [`KitError::Os`] when it could not be run.
    pub fn etcdctl<A: Into<OsString>>(
        &self,
        args: impl IntoIterator<Item = A>,
    ) -> Result<String, KitError> {
        let mut all: Vec<OsString> = Vec::new();
        if let Some(tls) = &self.plan.tls {
            let flags = [("--cacert", "ca.pem"), ("--cert", "server.pem"), ("--key", "server.key")];
            all.extend(flags.iter().flat_map(|(flag, file)| [flag.into(), tls.path(file).into()]));
        }
        all.extend(args.into_iter().map(Into::into));
        etcdctl::run(self.programs(), &self.client_url(), all)
    }

    fn tls_flags(&self) -> Vec<OsString> {
        let (Some(tls), Some(plain)) = (&self.plan.tls, &self.plain) else { return Vec::new() };
        let flag = |name: &str, file| [name.into(), tls.path(file).into()];
        let mut flags: Vec<OsString> = Vec::new();
        flags.extend(flag("--cert-file", "server.pem"));
        flags.extend(flag("--key-file", "server.key"));
        if tls.mutual {
            // etcd takes an authority to trust for the wish to see certificates.
            flags.extend(flag("--trusted-ca-file", "ca.pem"));
            flags.push("--client-cert-auth".into());
        }
        flags.push(format!("--listen-metrics-urls=http://{}", plain.addr()).into());
        flags
    }

    fn data_dir(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn start_error(&self, what: String) -> KitError {
        KitError::Start { name: self.name.clone(), what, log_tail: self.log_tail() }
    }
}

impl Drop for Etcd {
    /// Ends the process; the guardian and the folder, dropped next, remove the data.
    fn drop(&mut self) {
        // Should this fail, the guardian still knows the process and kills it.
        let _ = self.kill();
    }
}

static CLUSTERS: AtomicU32 = AtomicU32::new(0);

/// A server alone is healthy after a fraction of a second; this is for machines under load.
const START_WITHIN: Duration = Duration::from_secs(60);
/// etcd gives open streams some seconds to end.
const STOP_WITHIN: Duration = Duration::from_secs(20);
/// Ports are reserved, so a second try is rare.
const START_TRIES: u32 = 3;
/// How Go words `EADDRINUSE`.
const ADDRESS_IN_USE: &str = "address already in use";
/// Room for etcd's usage text with the wrong flag above it.
const TAIL_LINES: usize = 40;
