//! A pipeline's files in a folder of their own, made of defaults and a case's own pieces.
//!
//! Knows where plugins and defaults lie. Does not know what they say.

use std::path::{Path, PathBuf};

use concord::config::PipelineFile;
use tempfile::TempDir;

use super::{plugins_dir, read_pipeline};

/// A folder with `pipeline.toml`, what it names, and the plugins.
pub struct Files {
    directory: TempDir,
}

/// Cases and defaults lie here.
pub fn golden_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

impl Files {
    /// The defaults of `tests/golden`: three sources with clean codes, one partition, two hotels.
    pub fn new() -> Files {
        let directory = tempfile::tempdir().expect("temporary directory");
        let files = Files { directory };
        files.overlay(&golden_dir());
        for plugin in ["native.wasm", "precedence.wasm"] {
            files.plugin(plugin);
        }
        files
    }

    /// The defaults with the files of a folder over them.
    pub fn with(folder: &Path) -> Files {
        let files = Files::new();
        files.overlay(folder);
        files.plugins_named();
        files
    }

    fn plugin(&self, file: &str) {
        let from = plugins_dir().join(file);
        std::fs::copy(&from, self.path(file))
            .unwrap_or_else(|error| panic!("{}: {error}; `cargo xtask guests` makes it", from.display()));
    }

    /// The plugins that the case's files name beside the defaults': `plugin = "opentravel.wasm"`.
    fn plugins_named(&self) {
        let entries = std::fs::read_dir(self.directory.path()).expect("directory");
        for entry in entries.map(|entry| entry.expect("entry").path()) {
            if entry.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            let text = std::fs::read_to_string(&entry).expect("text");
            let named = text.lines().filter_map(|line| line.strip_prefix("plugin = \"")?.strip_suffix('"'));
            named.filter(|plugin| !self.path(plugin).exists()).for_each(|plugin| self.plugin(plugin));
        }
    }

    fn overlay(&self, folder: &Path) {
        let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("entry").path();
            if path.extension().is_some_and(|ending| ending == "toml") {
                std::fs::copy(&path, self.path(&path.file_name().expect("name").to_string_lossy())).expect("copy");
            }
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), content).expect("write");
    }

    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// Changes a file; what is replaced must be there.
    pub fn edit(&self, name: &str, old: &str, new: &str) {
        let text = self.read(name);
        assert!(text.contains(old), "{name} holds no `{old}`");
        self.write(name, text.replace(old, new));
    }

    pub fn pipeline(&self) -> PipelineFile {
        read_pipeline(&self.path("pipeline.toml"))
    }
}

impl Default for Files {
    fn default() -> Self {
        Files::new()
    }
}
