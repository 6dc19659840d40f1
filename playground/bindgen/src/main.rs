//! `portolan-bindgen MODULE.wasm FOLDER` writes `portolan.mjs` and `portolan_bg.wasm` into the folder:
//! what a page loads, made from what rustc built. It is the tool `wasm-bindgen`, with one way to use
//! it, and of the library's own version, since both are in one lock file.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use wasm_bindgen_cli_support::Bindgen;

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1).map(PathBuf::from);
    let (Some(module), Some(folder), None) = (args.next(), args.next(), args.next()) else {
        return fail("usage: portolan-bindgen MODULE.wasm FOLDER", 2);
    };
    match write(&module, &folder) {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => fail(&line, 1),
    }
}

/// The error is the line to show.
fn write(module: &Path, folder: &Path) -> Result<(), String> {
    let mut bindgen = Bindgen::new();
    let web = bindgen.web(true).map_err(|error| format!("{error:#}"))?;
    web.input_path(module)
        .out_name(NAME)
        .typescript(false)
        // The page need not say where the module is: beside the script.
        .omit_default_module_path(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(folder)
        .map_err(|error| format!("{error:#}"))?;
    // By this name every server and tool knows it as a module.
    let (from, to) =
        (folder.join(NAME).with_extension("js"), folder.join(NAME).with_extension("mjs"));
    fs::rename(&from, &to).map_err(|error| format!("{}: {error}", from.display()))
}

fn fail(line: &str, status: u8) -> ExitCode {
    // There is nowhere else to say it.
    let _ = writeln!(io::stderr().lock(), "portolan-bindgen: {line}");
    ExitCode::from(status)
}

/// What both files are called.
const NAME: &str = "portolan";
