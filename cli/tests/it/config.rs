use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use portolan_kit::Etcd;

use crate::kit::{PORTOLAN, etcd, on, run, script};

fn config(etcd: &Etcd, args: &[&str]) -> Command {
    on(etcd, ["config"].iter().chain(args))
}

fn stands(etcd: &Etcd, expected: &str) {
    let line = run(&mut config(etcd, &["get", "web", "-o", "json"])).done();
    let data = line.split("\"data\":").nth(1).expect("data").trim_end();
    assert_eq!(data.strip_suffix('}'), Some(expected), "{line}");
}

#[test]
fn what_was_set_is_shown() {
    let etcd = etcd();
    let none = run(&mut config(&etcd, &["get", "web"]));
    assert_eq!((none.status, none.out.as_str()), (3, ""));
    assert_eq!(none.err, "portolan: group web has no configuration\n");

    let document = "{\"b\": 1.50, \"a\": [123456789012345678901234567890, {}]}";
    let set = run(&mut config(&etcd, &["set", "web", document])).done();
    assert_eq!(set, "configuration of web written at revision 2\n");
    let shown = run(&mut config(&etcd, &["get", "web"])).done();
    let expected =
        "{\n  \"a\": [\n    123456789012345678901234567890,\n    {}\n  ],\n  \"b\": 1.50\n}\n";
    assert_eq!(shown, expected);
    let shown = run(&mut config(&etcd, &["get", "web", "-o", "json"])).done();
    assert_eq!(
        shown,
        "{\"group\":\"web\",\"revision\":2,\
         \"data\":{\"a\":[123456789012345678901234567890,{}],\"b\":1.50}}\n"
    );

    // The same again changes nothing.
    let again = run(&mut config(&etcd, &["set", "web", &shown_data(&shown)])).done();
    assert_eq!(again, "configuration of web is so already, since revision 2\n");
    let again = run(&mut config(&etcd, &["set", "web", document, "-o", "json"])).done();
    assert_eq!(again, "{\"group\":\"web\",\"revision\":2,\"written\":false}\n");
    let other = run(&mut config(&etcd, &["set", "web", "-1", "-o", "json"])).done();
    assert_eq!(other, "{\"group\":\"web\",\"revision\":3,\"written\":true}\n");
}

fn shown_data(line: &str) -> String {
    let object: serde_json::Value = serde_json::from_str(line).expect("an object");
    // Without loss: serde_json has no such numbers, so it is cut out.
    assert!(object["data"].is_object());
    let data = line.split("\"data\":").nth(1).expect("data").trim_end();
    data.strip_suffix('}').expect("the end").to_owned()
}

#[test]
fn documents_come_from_files_and_standard_input() {
    let etcd = etcd();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("document.json");
    std::fs::write(&file, "{\"from\":\n\"a file\"}\n").expect("it is written");
    run(&mut config(&etcd, &["set", "web", &format!("@{}", file.display())])).done();
    stands(&etcd, "{\"from\":\"a file\"}");

    let mut piped = config(&etcd, &["set", "web", "-"]);
    let mut piped = piped.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut stdin = piped.stdin.take().expect("it is piped");
    stdin.write_all(b"[\"a pipe\"]").expect("it reads");
    drop(stdin);
    assert!(piped.wait().expect("it ends").success());
    stands(&etcd, "[\"a pipe\"]");

    let large = format!("\"{}\"", "x".repeat(1 << 20));
    std::fs::write(&file, large).expect("it is written");
    let ran = run(&mut config(&etcd, &["set", "web", &format!("@{}", file.display())]));
    assert_eq!(ran.status, 2);
    assert_eq!(ran.err, "portolan: configuration has 1048578 bytes; the limit is 1048576\n");
    for (bytes, why) in [
        (vec![b' '; 5_000_003], "more than 4194304 bytes"),
        (b"\"\xff\"".to_vec(), "not UTF-8: invalid utf-8 sequence of 1 bytes from index 1"),
    ] {
        std::fs::write(&file, bytes).expect("it is written");
        let ran = run(&mut config(&etcd, &["set", "web", &format!("@{}", file.display())]));
        let line = format!("portolan: document from {}: {why}\n", file.display());
        assert_eq!((ran.status, ran.err), (2, line));
    }
    stands(&etcd, "[\"a pipe\"]");
}

/// However much room it takes when it is laid out.
#[test]
fn what_was_written_can_be_edited_and_set_again() {
    let etcd = etcd();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("document.json");
    let as_file = format!("@{}", file.display());
    let wide = format!("[{}1]", "1,".repeat((1 << 19) - 2));
    // Too deep to be laid out within any limit.
    let deep = format!("{}{}1{}", "[".repeat(60), "1,".repeat(40_000), "]".repeat(60));
    for document in [wide, deep] {
        std::fs::write(&file, &document).expect("it is written");
        run(&mut config(&etcd, &["set", "web", &as_file])).done();
        let shown = run(&mut config(&etcd, &["get", "web"])).done();
        if shown.len() <= 4 << 20 {
            std::fs::write(&file, shown).expect("it is written");
            let set = run(&mut config(&etcd, &["set", "web", &as_file])).done();
            assert!(set.contains("is so already"), "{set}");
        }
        let editor = Editor::new("sed -i '$ s/1]/2]/' $1; sed -i 's/^ *1$/2/' $1");
        let edited = run(&mut editor.edit(&etcd)).done();
        assert!(edited.contains("written at revision"), "{edited}");
    }
}

/// What JSON takes for a number or for nothing, people take for text.
#[test]
fn a_text_without_quotes_is_told() {
    let etcd = etcd();
    let ran = run(&mut config(&etcd, &["set", "web", "eu-west 1"]));
    assert_eq!(ran.status, 2);
    let tip = "; a text takes quotes of its own: '\"eu-west 1\"'\n";
    assert!(ran.err.ends_with(tip), "{ran:?}");
    run(&mut config(&etcd, &["set", "web", "\"eu-west 1\""])).done();
}

/// A document of others is shown, and turns nothing around.
#[test]
fn what_does_not_show_is_escaped() {
    let etcd = etcd();
    let document = "{\"a\":\"\u{202e}b\u{9b}\"}";
    run(&mut config(&etcd, &["set", "web", document])).done();
    let shown = run(&mut config(&etcd, &["get", "web"])).done();
    assert_eq!(shown, "{\n  \"a\": \"\\u202eb\\u009b\"\n}\n");
    let again = run(&mut config(&etcd, &["set", "web", &shown])).done();
    assert_eq!(again, "configuration of web is so already, since revision 2\n");
    stands(&etcd, "{\"a\":\"\\u202eb\\u009b\"}");
}

/// Many at once: none is lost without a word.
#[test]
fn sets_at_the_same_moment_all_win_in_some_order() {
    let etcd = etcd();
    let spawn = |number: usize| {
        let mut command = config(&etcd, &["set", "web", &number.to_string(), "-o", "json"]);
        command.stdout(Stdio::piped()).spawn().expect("it starts")
    };
    let running: Vec<_> = (0..8).map(spawn).collect();
    let mut revisions: Vec<u64> = running
        .into_iter()
        .map(|child| {
            let output = child.wait_with_output().expect("it ends");
            assert!(output.status.success());
            let object: serde_json::Value =
                serde_json::from_slice(&output.stdout).expect("an object");
            assert_eq!(object["written"], true);
            object["revision"].as_u64().expect("a revision")
        })
        .collect();
    revisions.sort_unstable();
    assert_eq!(revisions, (2..10).collect::<Vec<_>>());
}

/// An editor for `config edit`, and where it leaves its files.
struct Editor {
    folder: tempfile::TempDir,
}

impl Editor {
    /// Does `text`, a shell script, to the file `$1`.
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        script(&folder.path().join("editor"), text);
        std::fs::create_dir(folder.path().join("tmp")).expect("a folder");
        Self { folder }
    }

    fn edit(&self, etcd: &Etcd) -> Command {
        let mut command = config(etcd, &["edit", "web"]);
        command.env("EDITOR", self.path("editor")).env("TMPDIR", self.path("tmp"));
        command.env("PORTOLAN", PORTOLAN).env("SEEN", self.path("seen"));
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What the editor was shown.
    fn seen(&self) -> String {
        std::fs::read_to_string(self.path("seen")).expect("the editor ran")
    }

    /// The files left behind.
    fn kept(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.path("tmp")).expect("a folder");
        entries.map(|entry| entry.expect("an entry").path()).collect()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("a file").permissions().mode() & 0o777
}

#[test]
fn an_edit_is_written() {
    let etcd = etcd();
    let editor = Editor::new("cp $1 $SEEN; stat -c %a $1 >> $SEEN; echo '{\"a\":\n1}' > $1");
    // Where there is nothing, there is an empty document to begin with.
    let edited = run(&mut editor.edit(&etcd)).done();
    assert_eq!(edited, "configuration of web written at revision 2\n");
    assert_eq!(editor.seen(), "{}\n600\n");
    stands(&etcd, "{\"a\":1}");
    // Another editor puts another file in the place of what it was given.
    let editor = Editor::new("cp $1 $SEEN; echo '{\"a\":2}' > $1.new; mv $1.new $1");
    run(&mut editor.edit(&etcd)).done();
    assert_eq!(editor.seen(), "{\n  \"a\": 1\n}\n");
    stands(&etcd, "{\"a\":2}");
    assert_eq!(editor.kept(), Vec::<PathBuf>::new());
}

#[test]
fn an_edit_of_nothing_writes_nothing() {
    let etcd = etcd();
    run(&mut config(&etcd, &["set", "web", "{\"a\":1}"])).done();
    for text in ["true", "echo '{ \"a\" : 1 }' > $1"] {
        let editor = Editor::new(text);
        let edited = run(&mut editor.edit(&etcd)).done();
        assert_eq!(edited, "configuration of web is so already, since revision 2\n", "{text}");
        assert_eq!(editor.kept(), Vec::<PathBuf>::new());
    }
    // Where there is nothing, nothing is there since any revision.
    let none = run(config(&etcd, &["edit", "shop"]).env("EDITOR", "true")).done();
    assert_eq!(none, "nothing written: shop has no configuration\n");
}

#[test]
fn an_edit_that_somebody_overtook_is_kept() {
    let etcd = etcd();
    run(&mut config(&etcd, &["set", "web", "{\"a\":1}"])).done();
    let editor = Editor::new("$PORTOLAN config set web '{\"a\":2}' > $SEEN; echo '{\"a\":3}' > $1");
    let edited = run(&mut editor.edit(&etcd));
    assert_eq!((edited.status, edited.out.as_str()), (1, ""));
    assert_eq!(editor.seen(), "configuration of web written at revision 3\n");
    let kept = editor.kept();
    let [kept] = kept.as_slice() else { panic!("one file is kept: {kept:?}") };
    assert_eq!(
        edited.err,
        format!(
            "portolan: somebody else changed the configuration of web meanwhile, so nothing was \
             written; your text is kept in {}\n",
            kept.display()
        )
    );
    assert_eq!(std::fs::read_to_string(kept).expect("it is kept"), "{\"a\":3}\n");
    assert_eq!(mode(kept), 0o600);
    stands(&etcd, "{\"a\":2}");
}

#[test]
fn what_cannot_be_written_is_kept() {
    let etcd = etcd();
    run(&mut config(&etcd, &["set", "web", "1"])).done();
    for (text, why) in [
        ("echo '{' > $1", "configuration is not JSON: byte 2: expected a key"),
        ("echo 2 > $1; exit 3", "editor EDITOR ended with exit status: 3"),
    ] {
        let editor = Editor::new(text);
        let edited = run(&mut editor.edit(&etcd));
        let kept = editor.kept();
        let [kept] = kept.as_slice() else { panic!("one file is kept: {kept:?}") };
        let name = format!("{:?}", editor.path("editor"));
        let line = format!("portolan: {why}; your text is kept in {}\n", kept.display());
        assert_eq!(edited.err.replace(&name, "EDITOR"), line);
        assert_eq!(edited.status, 1);
        stands(&etcd, "1");
    }
    // The file is gone, and is not said to be kept.
    let editor = Editor::new("");
    let edited = run(editor.edit(&etcd).env("EDITOR", "rm -f"));
    assert_eq!(edited.status, 1);
    let line = "portolan: the edited text: No such file or directory (os error 2)\n";
    assert_eq!(edited.err, line);
    assert_eq!(editor.kept(), Vec::<PathBuf>::new());
    // There is nothing of the user's to keep.
    let editor = Editor::new("exit 3");
    let edited = run(&mut editor.edit(&etcd));
    assert!(edited.err.ends_with("ended with exit status: 3\n"), "{edited:?}");
    assert_eq!(editor.kept(), Vec::<PathBuf>::new());
}

#[test]
fn the_first_of_the_two_variables_names_the_editor() {
    let etcd = etcd();
    let editor = Editor::new("false");
    let mut command = editor.edit(&etcd);
    // With arguments, as people have it.
    command.env("VISUAL", "printf 4 | tee --");
    run(&mut command).done();
    stands(&etcd, "4");
}

/// What this version cannot read it does not overwrite; how to mend it is told, word for word.
#[test]
fn an_unreadable_configuration_is_left_alone() {
    let etcd = etcd();
    etcd.etcdctl(["put", "/portolan/groups/web", "{\"v\":2}"]).expect("etcdctl puts");
    for args in [&["get", "web"][..], &["set", "web", "1"], &["edit", "web"]] {
        let ran = run(&mut config(&etcd, args));
        assert_eq!((ran.status, ran.out.as_str()), (1, ""), "{args:?}");
        assert!(ran.err.contains("v is 2; this version reads 1"), "{args:?}: {}", ran.err);
        let etcdctl = format!("etcdctl --endpoints={}", etcd.client_url());
        let key = "/portolan/groups/web";
        let tip = format!("; `{etcdctl} get {key}` shows it, `{etcdctl} del {key}` removes it\n");
        assert!(ran.err.ends_with(&tip), "{args:?}: {}", ran.err);
    }
    assert_eq!(crate::kit::value(&etcd, "/portolan/groups/web"), "{\"v\":2}\n");
}
