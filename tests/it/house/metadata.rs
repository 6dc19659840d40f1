//! What `cargo metadata` says, as far as the house rules ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::LazyLock,
};

use serde_json::Value;

use super::root;

/// Everything that is built, by package name. Where two versions of a package are built, this has
/// the dependencies of both.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    pub(super) packages: BTreeMap<String, Package>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Package {
    /// Of the workspace.
    pub(super) is_member: bool,
    pub(super) is_published: bool,
    /// Built by a plain `cargo build`.
    pub(super) is_default: bool,
    pub(super) manifest: PathBuf,
    /// The licence expression; empty if it names none.
    pub(super) licence: String,
    /// Where it comes from; empty for the workspace's own.
    pub(super) source: String,
    /// Names of the packages that it is built with, normal and build dependencies.
    pub(super) uses: BTreeSet<String>,
    /// Names of the packages that only its tests are built with.
    pub(super) tests_use: BTreeSet<String>,
    /// The binaries that have a page in the documentation.
    pub(super) documented_bins: BTreeSet<String>,
}

/// The workspace with all its features.
pub(super) fn graph() -> &'static Graph {
    static GRAPH: LazyLock<Graph> = LazyLock::new(|| parse(&metadata(root(), &["--all-features"])));
    &GRAPH
}

/// The packages of the fuzz workspace and what they name, if there is one.
pub(super) fn fuzz() -> Option<Value> {
    let manifest = root().join("fuzz/Cargo.toml");
    manifest.exists().then(|| metadata(&root().join("fuzz"), &["--no-deps"]))
}

impl Graph {
    pub(super) fn members(&self) -> impl Iterator<Item = (&String, &Package)> {
        self.packages.iter().filter(|(_, package)| package.is_member)
    }

    /// All that `name` is built with, however far away.
    pub(super) fn reach(&self, name: &str) -> BTreeSet<&str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            for used in self.packages.get(next).into_iter().flat_map(|package| &package.uses) {
                if reached.insert(used.as_str()) {
                    open.push(used);
                }
            }
        }
        reached
    }
}

fn metadata(folder: &Path, args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--offline"])
        .args(args)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("cargo runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "cargo metadata in {}: {errors}", folder.display());
    serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON")
}

fn parse(metadata: &Value) -> Graph {
    let members = ids(&metadata["workspace_members"]);
    let defaults = ids(&metadata["workspace_default_members"]);
    let mut graph = Graph::default();
    let mut names = BTreeMap::new();
    for package in list(&metadata["packages"]) {
        let (id, name) = (text(&package["id"]), text(&package["name"]));
        names.insert(id, name);
        let known = graph.packages.entry(name.to_owned()).or_default();
        known.is_member |= members.contains(id);
        known.is_default |= defaults.contains(id);
        // `null`: to any registry; an empty list: to none.
        known.is_published = package["publish"].is_null();
        known.manifest = PathBuf::from(text(&package["manifest_path"]));
        known.licence = text(&package["license"]).to_owned();
        known.source = text(&package["source"]).to_owned();
        for target in list(&package["targets"]) {
            let is_bin = list(&target["kind"]).iter().any(|kind| text(kind) == "bin");
            if is_bin && target["doc"] == Value::Bool(true) {
                known.documented_bins.insert(text(&target["name"]).to_owned());
            }
        }
    }
    for node in list(&metadata["resolve"]["nodes"]) {
        let package =
            graph.packages.get_mut(names[text(&node["id"])]).expect("every node is a package");
        for dependency in list(&node["deps"]) {
            let name = names[text(&dependency["pkg"])].to_owned();
            let kinds = list(&dependency["dep_kinds"]);
            if kinds.iter().any(|kind| text(&kind["kind"]) != "dev") {
                package.uses.insert(name);
            } else {
                package.tests_use.insert(name);
            }
        }
    }
    graph
}

fn ids(value: &Value) -> BTreeSet<&str> {
    list(value).iter().map(text).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}
