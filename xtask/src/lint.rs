//! `cargo xtask lint`: what the compiler does not check.
//!
//! Only the module that owns an engine imports it, every source file says what it is, and nothing tracked tells on
//! the machine it was written on. Knows text, not Rust: comments are cut off at `//`.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::steps::{Finding, Steps, output};

/// A crate and the only folder of `runtime/src` that may import it.
const OWNERS: [(&str, &str); 11] = [
    ("clickhouse", "runtime/src/store/"),
    ("wasmtime", "runtime/src/plugin/"),
    ("wasmtime_wasi", "runtime/src/plugin/"),
    ("fluvio", "runtime/src/log/fluvio/"),
    ("fluvio_future", "runtime/src/log/fluvio/"),
    ("fluvio_sc_schema", "runtime/src/log/fluvio/"),
    ("fluvio_socket", "runtime/src/log/fluvio/"),
    ("fluvio_spu_schema", "runtime/src/log/fluvio/"),
    ("fallible_iterator", "runtime/src/capture/postgres/"),
    ("mysql_async", "runtime/src/capture/mysql/"),
    ("postgres_protocol", "runtime/src/capture/postgres/"),
];

/// Hosts of package registries: which one a machine uses is its own affair. In pieces, or this file would find itself.
const REGISTRIES: [&str; 4] = [
    concat!("registry.", "npmjs.org"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("proxy.", "golang.org"),
];

/// The one source of crates that a lock file may name.
const CRATES: &str = concat!("registry+https://github.com/rust-lang/", "crates.io-index");

/// Folders of people's machines.
const HOMES: [&str; 4] = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Use", "rs/"), concat!("/wo", "rk/")];

/// Checks all files that are tracked or would be.
pub fn run(root: &Path, steps: &mut Steps) -> Result<()> {
    let found = steps.step("Lint", || {
        let mut git = Command::new("git");
        git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
        let listed = output(&mut git)?;
        let here = root.display().to_string();
        let mut found = Vec::new();
        for name in listed.split('\0').filter(|name| !name.is_empty()) {
            // Deleted but still tracked, a link to a folder, or no text: nothing to read.
            let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
            check(name, &text, &here, &mut found);
        }
        Ok(found)
    })?;
    for finding in &found {
        println!("{finding}");
    }
    if found.is_empty() { Ok(()) } else { Err(Finding(format!("lint: {} to repair", found.len())).into()) }
}

fn check(name: &str, text: &str, here: &str, found: &mut Vec<String>) {
    if name.ends_with(".rs") {
        if !text.trim_start().starts_with("//!") {
            found.push(format!(
                "{name}:1: the file does not open with `//!`; say what it does and what it does not know"
            ));
        }
        // Tests try a module with the clients that its users have.
        let test = name.ends_with("/tests.rs") || name.ends_with("/testing.rs");
        if name.starts_with("runtime/src/") && !test {
            imports(name, text, found);
        }
    }
    places(name, text, here, found);
    if name.ends_with("Cargo.lock") {
        sources(name, text, found);
    }
}

fn imports(name: &str, text: &str, found: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or("");
        for (krate, owner) in OWNERS.into_iter().filter(|(_, owner)| !name.starts_with(owner)) {
            if is_import(code, krate) {
                found.push(format!(
                    "{name}:{}: only {owner} imports {krate}; ask that module for what you need",
                    number + 1
                ));
            }
        }
    }
}

/// Whether a line names the crate at the beginning of a path, or in a `use` or `extern crate`.
fn is_import(code: &str, krate: &str) -> bool {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(krate).any(|(at, _)| {
        let (before, after) = (&code[..at], &code[at + krate.len()..]);
        let begins = !before.ends_with(|c| word(c) || c == '.' || c == '"') && !is_inside_path(before);
        let brought = before.trim_end().ends_with("use") || before.trim_end().ends_with("extern crate");
        begins && (after.starts_with("::") || brought && after.starts_with([';', ' ']))
    })
}

/// `crate::x::` before the name: a module of our own. A leading `::` alone names the crate.
fn is_inside_path(before: &str) -> bool {
    before.strip_suffix("::").is_some_and(|rest| rest.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '>'))
}

fn places(name: &str, text: &str, here: &str, found: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        let home = HOMES.into_iter().find(|home| begins_a_path(line, home));
        if let Some(path) = home.or_else(|| Some(here).filter(|here| line.contains(here))) {
            found.push(format!(
                "{name}:{}: a path of one machine ({path}); write it relative or from $HOME",
                number + 1
            ));
        }
        if let Some(host) = REGISTRIES.into_iter().find(|host| line.contains(host)) {
            found.push(format!(
                "{name}:{}: a package registry ({host}); leave it to each machine's settings",
                number + 1
            ));
        }
    }
}

/// Whether `folder` stands in the line as the beginning of a path, not in the middle of one or of an address.
fn begins_a_path(line: &str, folder: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "._-~}/*>)".contains(c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(inside))
}

fn sources(name: &str, text: &str, found: &mut Vec<String>) {
    for (number, line) in text.lines().enumerate() {
        if line.starts_with("source = ") && line != format!("source = \"{CRATES}\"") {
            found.push(format!(
                "{name}:{}: a crate from elsewhere; only the public registry builds on every machine",
                number + 1
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(name: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        check(name, text, "/srv/checkout", &mut found);
        found
    }

    #[test]
    fn engines_are_imported_by_their_owners_only() {
        for line in [
            "use clickhouse::Client;",
            "    let c = clickhouse::Client::default();",
            "use wasmtime;",
            "fn f(e: ::wasmtime::Engine) {}",
        ] {
            assert_eq!(findings("runtime/src/worker.rs", &format!("//! x\n{line}\n")).len(), 1, "{line}");
        }
        for line in [
            "use crate::store::clickhouse::Rows;",
            "let clickhouse = file.clickhouse;",
            "// as clickhouse::Client does",
            "\"clickhouse::x\"",
            "use my_wasmtime::X;",
        ] {
            assert_eq!(findings("runtime/src/worker.rs", &format!("//! x\n{line}\n")), Vec::<String>::new(), "{line}");
        }
        assert!(findings("runtime/src/store/mod.rs", "//! x\nuse clickhouse::Client;\n").is_empty());
        assert!(findings("tests/src/lib.rs", "//! x\nuse clickhouse::Client;\n").is_empty());
    }

    #[test]
    fn files_say_what_they_are() {
        assert_eq!(findings("plugins/sdk/src/lib.rs", "use std::fmt;\n").len(), 1);
        assert!(findings("README.md", "text\n").is_empty());
    }

    #[test]
    fn paths_and_registries_of_machines() {
        for line in [
            concat!("cd /ho", "me/anna/concord"),
            concat!("(/ro", "ot/.cargo)"),
            "see /srv/checkout/target",
            concat!("https://registry.", "npmjs.org/chdb"),
        ] {
            assert_eq!(findings("README.md", line).len(), 1, "{line}");
        }
        for line in ["$HOME/.cache/concord", concat!("https://example.org/wo", "rk/x"), "at /healthz"] {
            assert!(findings("README.md", line).is_empty(), "{line}");
        }
        let lock = format!("source = \"{CRATES}\"\nsource = \"registry+https://mirror.example/index\"\n");
        assert_eq!(findings("Cargo.lock", &lock).len(), 1);
    }
}
