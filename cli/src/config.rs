//! A group's configuration: shown, replaced, edited.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use portolan::{
    Configuration, Data, ErrorKind, Group, GroupName, Registry, Revision, UpdateError, Updated,
};
use rustix::process::Signal;
use serde::Serialize;
use tempfile::NamedTempFile;
use tokio::process::Command;

use crate::args;
use crate::fail::Failure;
use crate::out::Out;
use crate::pretty::pretty;
use crate::show::Document;
use crate::signals::Signals;
use crate::store::Store;

pub async fn run(store: &Store, out: Out, command: args::Config) -> Result<(), Failure> {
    match command {
        args::Config::Get { group } => get(store, out, &group).await,
        args::Config::Set { group, document } => set(store, out, &group, &document).await,
        args::Config::Edit { group } => edit(store, out, &group).await,
    }
}

/// What a change came to.
#[derive(Serialize)]
struct Changed<'a> {
    group: &'a str,
    /// At which the configuration now stands; 0: there is none.
    revision: i64,
    /// Whether it was written; else it was so already.
    written: bool,
}

async fn get(store: &Store, out: Out, group: &GroupName) -> Result<(), Failure> {
    let (registry, group) = open(store, group)?;
    let config = current(store, &registry, &group).await.map_err(Failure::Failed)?;
    let Some(config) = config else {
        return Err(Failure::NotFound(format!("group {} has no configuration", group.name())));
    };
    let object = Document::new(group.name().as_str(), config.revision.0, &config.data);
    out.one(pretty(&config.data), &object)
}

async fn set(store: &Store, out: Out, group: &GroupName, document: &str) -> Result<(), Failure> {
    let data = Data::parse(&text_of(document)?)
        .map_err(|error| Failure::Usage(format!("{error}{}", hint(document))))?;
    let (registry, group) = open(store, group)?;
    let change = move |base: Option<&Data>| Some(data.clone()).filter(|data| base != Some(data));
    match group.update(change).await {
        Ok(updated) => tell(out, &group, updated),
        Err(error) => Err(Failure::Failed(not_written(store, &registry, &group, &error).await)),
    }
}

async fn edit(store: &Store, out: Out, group: &GroupName) -> Result<(), Failure> {
    let (registry, group) = open(store, group)?;
    let base = current(store, &registry, &group).await.map_err(Failure::Failed)?;
    let revision = base.as_ref().map_or(Revision::ZERO, |base| base.revision);
    let base = base.map(|base| base.data);
    let text = base.as_ref().map_or_else(|| "{}".to_owned(), laid_out);
    let draft = Draft::new(&group, &text)?;
    let edited = match draft.edit(Signals::listen()?).await {
        Ok(edited) => edited,
        Err(why) => return Err(draft.keep(&why)),
    };
    if edited.trim_end() == text {
        return tell(out, &group, Updated { revision, written: false });
    }
    let data = match Data::parse(&edited) {
        Ok(data) => data,
        Err(error) => return Err(draft.keep(&error.to_string())),
    };
    match swap(&group, base, data).await {
        Ok(Some(updated)) => tell(out, &group, updated),
        Ok(None) => {
            let name = group.name();
            let why = format!("somebody else changed the configuration of {name} meanwhile");
            Err(draft.keep(&format!("{why}, so nothing was written")))
        }
        Err(error) => Err(draft.keep(&not_written(store, &registry, &group, &error).await)),
    }
}

/// A document as people edit it; as it is, if laid out it could not be read again.
fn laid_out(data: &Data) -> String {
    let text = pretty(data);
    if text.len() > TEXT_LIMIT { data.as_str().to_owned() } else { text }
}

/// Writes `data` over `base` and nothing else; `None`: something else stands there.
async fn swap(
    group: &Group,
    base: Option<Data>,
    data: Data,
) -> Result<Option<Updated>, UpdateError> {
    let other = Arc::new(AtomicBool::new(false));
    let change = {
        let other = other.clone();
        move |now: Option<&Data>| {
            // Asked again when somebody was faster: the last answer counts.
            other.store(now != base.as_ref(), Ordering::Relaxed);
            Some(data.clone()).filter(|data| now == base.as_ref() && now != Some(data))
        }
    };
    let updated = group.update(change).await?;
    Ok((!other.load(Ordering::Relaxed)).then_some(updated))
}

fn open(store: &Store, group: &GroupName) -> Result<(Registry, Group), Failure> {
    if store.layout().config_key(group).is_none() {
        let layout = store.layout().name();
        return Err(Failure::usage(format!("--layout {layout} has no group configuration")));
    }
    let registry = store.connect()?;
    let group = registry.group(group.as_str()).map_err(Failure::usage)?;
    Ok((registry, group))
}

/// What stands there, or why that is not known.
async fn current(
    store: &Store,
    registry: &Registry,
    group: &Group,
) -> Result<Option<Configuration>, String> {
    group.config().await.map_err(|error| {
        let kind = error.kind();
        // A read that may have been done is a read that brought nothing.
        if matches!(kind, ErrorKind::Unavailable | ErrorKind::Unknown) {
            return store.silent(registry);
        }
        if kind == ErrorKind::Denied {
            return store.refused(&error);
        }
        // What stands there cannot be read. It is left alone: somebody may need it.
        let way_out =
            if kind == ErrorKind::Invalid { way_out(store, group) } else { String::new() };
        format!("{store}: {error}{way_out}")
    })
}

/// The lines that show an unreadable configuration, and take it away.
fn way_out(store: &Store, group: &Group) -> String {
    let Some(key) = store.layout().config_key(group.name()) else { return String::new() };
    let (get, del) = (store.etcdctl(&format!("get {key}")), store.etcdctl(&format!("del {key}")));
    format!("; {get} shows it, {del} removes it")
}

async fn not_written(
    store: &Store,
    registry: &Registry,
    group: &Group,
    error: &UpdateError,
) -> String {
    let kind = error.kind();
    if kind == ErrorKind::Unavailable {
        return format!("configuration not changed: {}", store.silent(registry));
    }
    if let (ErrorKind::Denied, UpdateError::NotDone(refusal)) = (kind, error) {
        return format!("configuration not changed: {}", store.refused(refusal));
    }
    // Either what stands there is unreadable, or what was to stand there is not to be written.
    if kind == ErrorKind::Invalid
        && let Err(why) = current(store, registry, group).await
    {
        return format!("configuration not changed: {why}");
    }
    format!("{store}: {error}")
}

fn tell(out: Out, group: &Group, updated: Updated) -> Result<(), Failure> {
    let (group, revision) = (group.name().as_str(), updated.revision.0);
    let text = if updated.written {
        format!("configuration of {group} written at revision {revision}")
    } else if updated.revision == Revision::ZERO {
        format!("nothing written: {group} has no configuration")
    } else {
        format!("configuration of {group} is so already, since revision {revision}")
    };
    out.one(text, &Changed { group, revision, written: updated.written })
}

/// What was given as a document: itself, `@FILE`, or `-` for standard input.
fn text_of(document: &str) -> Result<String, Failure> {
    let failed = |name: &str, error: io::Error| {
        let line = format!("document from {name}: {error}");
        if matches!(error.kind(), io::ErrorKind::FileTooLarge | io::ErrorKind::InvalidData) {
            return Failure::Usage(line);
        }
        Failure::Failed(line)
    };
    match document.strip_prefix('@') {
        Some(path) => {
            let mut file = File::open(path).map_err(|error| failed(path, error))?;
            read(&mut file).map_err(|error| failed(path, error))
        }
        None if document == "-" => {
            read(&mut io::stdin().lock()).map_err(|error| failed("standard input", error))
        }
        None => Ok(document.to_owned()),
    }
}

/// For who forgot that JSON has quotes, and the shell takes one pair.
fn hint(document: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '/' | ':');
    if ["", "-"].contains(&document) || document.len() > 40 || !document.chars().all(plain) {
        return String::new();
    }
    format!("; a text takes quotes of its own: '\"{document}\"'")
}

/// Reads all, but no more than tells that it is too much.
fn read(from: &mut dyn Read) -> io::Result<String> {
    let mut bytes = Vec::new();
    from.take(TEXT_LIMIT as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > TEXT_LIMIT {
        let why = format!("more than {TEXT_LIMIT} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, why));
    }
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8: {error}"));
    String::from_utf8(bytes).map_err(|error| wrong(error.utf8_error()))
}

/// What the library reads as a document at most, white space included.
const TEXT_LIMIT: usize = 4 << 20;

/// A text in a file, for an editor. The file is removed, unless it is kept.
struct Draft {
    file: NamedTempFile,
    text: String,
}

impl Draft {
    /// A new file that nobody else reads: a configuration may hold secrets.
    fn new(group: &Group, text: &str) -> Result<Self, Failure> {
        let written = || {
            let mut file = tempfile::Builder::new()
                .prefix(&format!("portolan-{}-", group.name()))
                .suffix(".json")
                .tempfile()?;
            writeln!(file, "{text}")?;
            Ok(file)
        };
        let file = written()
            .map_err(|error: io::Error| Failure::Failed(format!("a file to edit: {error}")))?;
        Ok(Self { file, text: text.to_owned() })
    }

    /// Has it edited, and reads it again. Interrupts are the editor's; asked to end, we do.
    async fn edit(&self, mut signals: Signals) -> Result<String, String> {
        let editor = ["VISUAL", "EDITOR"]
            .into_iter()
            .find_map(|name| env::var(name).ok().filter(|editor| !editor.trim().is_empty()));
        let editor = editor.unwrap_or_else(|| "vi".to_owned());
        let mut running = Command::new("sh")
            .args(["-c", &format!("{editor} \"$@\""), &editor])
            .arg(self.file.path())
            .spawn()
            .map_err(|error| format!("editor {editor:?}: {error}"))?;
        let status = loop {
            tokio::select! {
                biased;
                status = running.wait() => break status,
                signal = signals.next() => {
                    if matches!(signal, Signal::TERM | Signal::HUP) {
                        return Err("ended by a signal while the editor ran".to_owned());
                    }
                }
            }
        };
        match status {
            Ok(status) if status.success() => {}
            Ok(status) => return Err(format!("editor {editor:?} ended with {status}")),
            Err(error) => return Err(format!("editor {editor:?}: {error}")),
        }
        self.now().map_err(|error| format!("the edited text: {error}"))
    }

    fn now(&self) -> io::Result<String> {
        // By its path: many editors put another file in its place.
        read(&mut File::open(self.file.path())?)
    }

    /// Ends with a failure; keeps the file if there is anything of the user's in it.
    fn keep(self, why: &str) -> Failure {
        let path = self.file.path().to_owned();
        // An editor that took its file away has left nothing to keep.
        if !path.exists() || self.now().is_ok_and(|now| now.trim_end() == self.text) {
            return Failure::Failed(why.to_owned());
        }
        match self.file.keep() {
            Ok(_) => Failure::Failed(format!("{why}; your text is kept in {}", path.display())),
            Err(error) => Failure::Failed(format!("{why}; your text could not be kept: {error}")),
        }
    }
}
