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
    let Some(config) = current(store, &registry, &group).await? else {
        return Err(Failure::NotFound(format!("group {} has no configuration", group.name())));
    };
    let object = Document::new(group.name().as_str(), config.revision.0, &config.data);
    out.one(pretty(&config.data), &object)
}

async fn set(store: &Store, out: Out, group: &GroupName, document: &str) -> Result<(), Failure> {
    let data = Data::parse(&text_of(document)?).map_err(Failure::usage)?;
    let (registry, group) = open(store, group)?;
    let change = move |base: Option<&Data>| Some(data.clone()).filter(|data| base != Some(data));
    let updated = group.update(change).await;
    tell(
        out,
        &group,
        updated.map_err(|error| Failure::Failed(not_written(store, &registry, &error)))?,
    )
}

async fn edit(store: &Store, out: Out, group: &GroupName) -> Result<(), Failure> {
    let (registry, group) = open(store, group)?;
    let base = current(store, &registry, &group).await?;
    let revision = base.as_ref().map_or(Revision::ZERO, |base| base.revision);
    let base = base.map(|base| base.data);
    let text = base.as_ref().map_or_else(|| "{}".to_owned(), pretty);
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
        Err(error) => Err(draft.keep(&not_written(store, &registry, &error))),
    }
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

async fn current(
    store: &Store,
    registry: &Registry,
    group: &Group,
) -> Result<Option<Configuration>, Failure> {
    group.config().await.map_err(|error| {
        // A read that may have been done is a read that brought nothing.
        if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Unknown) {
            return Failure::Failed(store.silent(registry));
        }
        Failure::Failed(format!("{store}: {error}"))
    })
}

fn not_written(store: &Store, registry: &Registry, error: &UpdateError) -> String {
    if error.kind() == ErrorKind::Unavailable {
        return format!("configuration not changed: {}", store.silent(registry));
    }
    format!("{store}: {error}")
}

fn tell(out: Out, group: &Group, updated: Updated) -> Result<(), Failure> {
    let (group, revision) = (group.name().as_str(), updated.revision.0);
    let text = if updated.written {
        format!("configuration of {group} written at revision {revision}")
    } else {
        format!("configuration of {group} is so already, since revision {revision}")
    };
    out.one(text, &Changed { group, revision, written: updated.written })
}

/// What was given as a document: itself, `@FILE`, or `-` for standard input.
fn text_of(document: &str) -> Result<String, Failure> {
    let read = |name: &str, from: &mut dyn Read| {
        read(from).map_err(|error| Failure::Failed(format!("document from {name}: {error}")))
    };
    match document.strip_prefix('@') {
        Some(path) => {
            let mut file = File::open(path)
                .map_err(|error| Failure::Failed(format!("document from {path}: {error}")))?;
            read(path, &mut file)
        }
        None if document == "-" => read("standard input", &mut io::stdin().lock()),
        None => Ok(document.to_owned()),
    }
}

/// Reads all, but no more than tells that it is too much: the parser then names the limit.
fn read(from: &mut dyn Read) -> io::Result<String> {
    let mut text = String::new();
    from.take(READ_LIMIT).read_to_string(&mut text)?;
    Ok(text)
}

/// Above what a configuration may have, white space included.
const READ_LIMIT: u64 = 4 << 20;

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
        if self.now().is_ok_and(|now| now.trim_end() == self.text) {
            return Failure::Failed(why.to_owned());
        }
        let path = self.file.path().to_owned();
        match self.file.keep() {
            Ok(_) => Failure::Failed(format!("{why}; your text is kept in {}", path.display())),
            Err(error) => Failure::Failed(format!("{why}; your text could not be kept: {error}")),
        }
    }
}
