//! As whom, and by which certificates.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use portolan::{Tls, TlsError, TlsPart};
use secrecy::{ExposeSecret, SecretString};

use super::variable;
use crate::args::Globals;
use crate::fail::Failure;

/// Where a password comes from.
pub enum Password {
    Given(SecretString),
    File(PathBuf),
}

/// The files for TLS, each with the flag or variable that named it.
pub struct TlsFiles {
    ca: Option<Named>,
    cert: Option<Named>,
    key: Option<Named>,
}

struct Named {
    by: &'static str,
    file: PathBuf,
}

impl TlsFiles {
    pub fn new(globals: &Globals) -> Result<Self, Failure> {
        let named = |flag, given: &Option<PathBuf>, name| -> Result<Option<Named>, Failure> {
            if let Some(file) = given {
                return Ok(Some(Named { by: flag, file: file.clone() }));
            }
            Ok(variable(name)?.map(|file| Named { by: name, file: file.into() }))
        };
        let files = Self {
            ca: named("--cacert", &globals.cacert, "ETCDCTL_CACERT")?,
            cert: named("--cert", &globals.cert, "ETCDCTL_CERT")?,
            key: named("--key", &globals.key, "ETCDCTL_KEY")?,
        };
        match (&files.cert, &files.key) {
            (Some(cert), None) => Err(Failure::Usage(format!("{} needs --key", cert.by))),
            (None, Some(key)) => Err(Failure::Usage(format!("{} needs --cert", key.by))),
            (Some(_), Some(_)) | (None, None) => Ok(files),
        }
    }

    /// `None` where nothing was said of TLS.
    pub fn settings(&self) -> Option<Tls> {
        if self.ca.is_none() && self.cert.is_none() {
            return None;
        }
        let mut tls = Tls::new();
        if let Some(ca) = &self.ca {
            tls = tls.ca_file(&ca.file);
        }
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            tls = tls.identity_files(&cert.file, &key.file);
        }
        Some(tls)
    }

    /// What to say when a file cannot be used.
    pub fn unusable(&self, error: &TlsError) -> Failure {
        let named = match error.part() {
            TlsPart::Ca => &self.ca,
            TlsPart::Certificate => &self.cert,
            TlsPart::Key => &self.key,
            TlsPart::ServerName => &None,
            _ => &None,
        };
        match named {
            Some(Named { by, file }) => {
                Failure::Usage(format!("{by} {}: {}", file.display(), error.problem()))
            }
            None => Failure::usage(error),
        }
    }
}

impl fmt::Display for TlsFiles {
    /// As flags of `etcdctl`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (flag, named) in [("cacert", &self.ca), ("cert", &self.cert), ("key", &self.key)] {
            if let Some(Named { file, .. }) = named {
                write!(f, " --{flag}={}", file.display())?;
            }
        }
        Ok(())
    }
}

/// The user, from the flags or the environment.
pub fn user(globals: &Globals) -> Result<Option<(String, Password)>, Failure> {
    let given = globals.user.clone();
    let given = match given {
        Some(user) => Some(user),
        None => variable("ETCDCTL_USER")?.map(SecretString::from),
    };
    let file = globals.password_file.as_deref();
    let Some(given) = given else {
        return match file {
            Some(_) => Err(Failure::usage("--password-file needs --user")),
            None => Ok(None),
        };
    };
    let (name, password) = match given.expose_secret().split_once(':') {
        Some((name, password)) => (name, Some(SecretString::from(password))),
        None => (given.expose_secret(), None),
    };
    if name.is_empty() {
        return Err(Failure::usage("--user has no name; it takes NAME or NAME:PASSWORD"));
    }
    let password = match (password, file) {
        (Some(_), Some(_)) => {
            return Err(Failure::usage("--user has a password, and so has --password-file"));
        }
        (Some(password), None) => Password::Given(password),
        (None, Some(file)) => {
            holds_a_line(file)?;
            Password::File(file.to_owned())
        }
        (None, None) => match variable("ETCDCTL_PASSWORD")? {
            Some(password) => Password::Given(password.into()),
            None => {
                return Err(Failure::usage(
                    "--user has no password; it takes --password-file or ETCDCTL_PASSWORD",
                ));
            }
        },
    };
    Ok(Some((name.to_owned(), password)))
}

/// It is read again whenever it is needed; what is wrong now is told at once.
fn holds_a_line(file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::Usage(format!("--password-file {shown}: {error}")))?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(()),
        Some(_) | None => Err(Failure::usage(format!("--password-file {shown} begins empty"))),
    }
}
