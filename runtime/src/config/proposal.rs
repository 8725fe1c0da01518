//! From the files of a pipeline to the configuration that they propose.
//!
//! Opens every file that the pipeline file names and checks what can be checked without running a plugin. Does not
//! know what is active, and does not judge the rules: the precedence plugin does.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::diagnostic::{ConfigErrors, Findings, TextFile, read_bytes};
use super::document::{Digest, Document, PluginRef, RuleSet, Source};
use super::mapping::Mapping;
use super::master::MasterData;
use super::pipeline::{PipelineFile, SourceSettings};

/// Room that a control record needs around the document, in bytes.
const ENVELOPE: u64 = 4096;

/// What the files propose; `concord apply` sends it through the log.
#[derive(Clone, Debug)]
pub struct Proposal {
    pub document: Document,
    /// Bytes of every plugin in [`Document::plugins`].
    pub plugin_bytes: BTreeMap<Digest, Bytes>,
}

impl Proposal {
    /// Reads and checks all files; reports everything that is wrong in any of them.
    pub fn read(pipeline: &PipelineFile) -> Result<Proposal, ConfigErrors> {
        let mut reader = Reader { found: Findings::default(), plugin_bytes: BTreeMap::new() };
        let proposal = reader
            .document(pipeline)
            .map(|document| Proposal { document, plugin_bytes: std::mem::take(&mut reader.plugin_bytes) });
        reader.found.finish_with(proposal)
    }
}

struct Reader {
    found: Findings,
    plugin_bytes: BTreeMap<Digest, Bytes>,
}

impl Reader {
    fn document(&mut self, pipeline: &PipelineFile) -> Option<Document> {
        let rules = self.rules(&pipeline.rules.file);
        let precedence = self.plugin(&pipeline.rules.plugin, "precedence");
        let master = match &pipeline.properties {
            None => Some(MasterData::default()),
            Some(path) => self.keep(MasterData::read(path)),
        };
        // A mapping is checked without master data rather than not at all.
        let known = master.clone().unwrap_or_default();
        let mut sources = BTreeMap::new();
        for settings in &pipeline.sources {
            if let Some(source) = self.source(settings, &known) {
                sources.insert(settings.name.clone(), source);
            }
        }
        let document = Document {
            format: Document::FORMAT,
            pipeline: pipeline.name.as_str().into(),
            rules: rules?,
            precedence: precedence?,
            sources,
            fields: pipeline.fields.clone(),
            master: master?,
            limits: pipeline.limits,
            policies: pipeline.policies,
        };
        self.check_size(pipeline, &document);
        Some(document)
    }

    fn keep<T>(&mut self, read: Result<T, ConfigErrors>) -> Option<T> {
        read.map_err(|errors| self.found.merge(errors)).ok()
    }

    fn rules(&mut self, path: &Path) -> Option<RuleSet> {
        let file = TextFile::read(path, "the rule set (rules.file in the pipeline file)", &mut self.found)?;
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        Some(RuleSet { file: name, text: file.text })
    }

    fn source(&mut self, settings: &SourceSettings, master: &MasterData) -> Option<Source> {
        let plugin = self.plugin(&settings.plugin, "normalizer");
        let mapping = match &settings.mapping {
            None => Some(Mapping::identity()),
            Some(path) => self.keep(Mapping::read(path, master)).inspect(|mapping| {
                if settings.inventory {
                    self.check_collisions(path, &settings.name, mapping);
                }
            }),
        };
        Some(Source {
            plugin: plugin?,
            settings: settings.settings.as_str().into(),
            mapping: mapping?,
            inventory: settings.inventory,
        })
    }

    fn check_collisions(&mut self, path: &Path, source: &str, mapping: &Mapping) {
        for collision in mapping.inventory_collisions() {
            let remedy = format!(
                "their inventory could contradict each other: map one of them, or write inventory = false \
                 for the source `{source}` if it sends bookings only"
            );
            self.found.about(path, collision.to_string(), remedy);
        }
    }

    /// Reads a plugin once, whoever uses it.
    fn plugin(&mut self, path: &Path, world: &str) -> Option<PluginRef> {
        let expected =
            format!("a {world} plugin: a WebAssembly component (`concord plugin inspect FILE` says what a file is)");
        let bytes = read_bytes(path, &expected, &mut self.found)?;
        if let Err(what) = check_component(&bytes) {
            self.found.about(path, what, format!("expected is {expected}"));
            return None;
        }
        let plugin = PluginRef::of(&bytes);
        self.plugin_bytes.entry(plugin.digest).or_insert_with(|| bytes.into());
        Some(plugin)
    }

    /// The document is one record of the log.
    fn check_size(&mut self, pipeline: &PipelineFile, document: &Document) {
        let size = document.to_bytes().len() as u64 + ENVELOPE;
        let limit = pipeline.limits.max_record_bytes;
        if size > limit {
            let message = format!("the configuration takes a record of {size} bytes, over the limit of {limit}");
            self.found.about(&pipeline.path, message, "raise log.max_record_bytes (up to \"16 MiB\")");
        }
    }
}

/// Looks at the eight bytes that every WebAssembly binary begins with.
fn check_component(bytes: &[u8]) -> Result<(), &'static str> {
    match bytes.get(..8) {
        Some([0, b'a', b's', b'm', _, _, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', ..]) => Err("this is a WebAssembly module, not a component"),
        _ => Err("this is no WebAssembly"),
    }
}
