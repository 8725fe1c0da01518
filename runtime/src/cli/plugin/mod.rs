//! `concord plugin`: whether a component is fit to be a plugin, what it says of itself, and whether it does what
//! every normalizer owes.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::{Found, open, print};
use crate::config::Limits;
use crate::plugin::{Host, LoadError};
use crate::worker::active::plugin_limits;

mod test;

const EXAMPLES: &str = "Examples:
  concord plugin inspect plugins/opera.wasm
  concord plugin inspect --json plugins/*.wasm

Exit status 1 if one of them is no plugin that Concord would load; the line says why.";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Say what a component is, what it imports, and whether Concord would load it
    #[command(after_help = EXAMPLES)]
    Inspect(Arguments),
    /// Try a normalizer on a folder of cases, and on damaged copies of them
    #[command(after_help = test::EXAMPLES)]
    Test(test::Arguments),
}

#[derive(clap::Args)]
pub struct Arguments {
    /// Component files (.wasm)
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Print the result as JSON, one line per file
    #[arg(long)]
    json: bool,
}

pub fn run(command: Command) -> Result<Found> {
    match command {
        Command::Inspect(arguments) => inspect_all(&arguments),
        Command::Test(arguments) => test::run(&arguments),
    }
}

fn inspect_all(arguments: &Arguments) -> Result<Found> {
    let scratch = Scratch::new()?;
    let host = Host::new(scratch.path())?;
    let mut found = Found::Fine;
    for file in &arguments.files {
        let bytes = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let name = file.display().to_string();
        match inspect(&host, &bytes) {
            Ok(told) if arguments.json => print(&format!("{}\n", with_file(&name, told)))?,
            Ok(told) => print(&text(&name, &told))?,
            Err(LoadError::Host(error)) => return Err(error.into()),
            Err(error) => {
                found = Found::Something;
                let told = serde_json::json!({ "error": error.to_string() });
                let line = if arguments.json { with_file(&name, told) } else { format!("{name}: {error}") };
                print(&format!("{line}\n"))?;
            }
        }
    }
    Ok(found)
}

/// What the component is; a normalizer is also started and asked.
fn inspect(host: &Host, bytes: &[u8]) -> Result<serde_json::Value, LoadError> {
    let inspection = host.inspect(bytes)?;
    let mut told = serde_json::json!(inspection);
    if inspection.world == "normalizer" {
        let normalizer = host.normalizer(bytes, plugin_limits(&Limits::default()))?;
        let described = normalizer.describe();
        told["name"] = described.name.as_str().into();
        told["version"] = described.version.as_str().into();
        told["formats"] = described.formats.clone().into();
        told["fields"] = described.fields.clone().into();
    }
    Ok(told)
}

fn with_file(name: &str, mut told: serde_json::Value) -> String {
    told["file"] = name.into();
    told.to_string()
}

fn text(name: &str, told: &serde_json::Value) -> String {
    let list = |value: &serde_json::Value| {
        let items: Vec<&str> = value.as_array().into_iter().flatten().filter_map(|v| v.as_str()).collect();
        if items.is_empty() { "none".to_owned() } else { items.join(", ") }
    };
    let word = |key: &str| told[key].as_str().unwrap_or_default();
    let mut text = format!("{name}: a {} plugin, {} bytes\n", word("world"), told["bytes"]);
    text.push_str(&format!("  sha256   {}\n  imports  {}\n", word("sha256"), list(&told["imports"])));
    if told.get("name").is_some() {
        text.push_str(&format!("  says     {}@{}\n", word("name"), word("version")));
        text.push_str(&format!("  formats  {}\n  fields   {}\n", list(&told["formats"]), list(&told["fields"])));
    }
    text
}

/// A directory for compiled plugins that ends with the command.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Result<Scratch> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("concord-{}-{}", std::process::id(), open::secret()?));
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .with_context(|| format!("{} cannot be made; TMPDIR says where it may lie", path.display()))?;
        Ok(Scratch(path))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left is a cache in a temporary directory.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
