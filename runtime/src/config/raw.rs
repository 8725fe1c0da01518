//! From the pipeline file's text to [`PipelineFile`]: one section at a time, so that one run reports every mistake.
//!
//! Knows the words of the file. Does not open anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;
use toml::de::DeValue;

use crate::types::FieldType;

use super::capture::{self, RawCapture};
use super::connect::{RawFolder, RawPoll};
use super::diagnostic::{Findings, TextFile};
use super::document::{Limits, Policies, StaleData};
use super::gateway::{RawDoor, RawGateway};
use super::pipeline::{
    ClickHouse, DEFAULT_PARTITIONS, FluvioPlace, FluvioSettings, FluvioTls, LogKind, LogSettings, PipelineFile, Place,
    Retention, RuleFiles, SourceSettings, Tuning,
};
use super::quantity::{Period, Size};
use super::{json, names};
use crate::log::MOST_FIRST_POSITION;

const SECTIONS: &str = "the sections are [pipeline], [log], [clickhouse], [properties], [fields], [rules], [[source]], \
                        [limits], [policies], [gateway], [retention]";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPipeline {
    name: Spanned<String>,
    #[serde(default = "data")]
    data_dir: PathBuf,
    key_file: Option<PathBuf>,
    author: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLog {
    kind: Option<Spanned<String>>,
    partitions: Option<Spanned<i64>>,
    max_record_bytes: Option<Spanned<Size>>,
    first_position: Option<Spanned<i64>>,
    endpoint: Option<Spanned<String>>,
    profile: Option<Spanned<String>>,
    topic: Option<Spanned<String>>,
    tls: Option<Spanned<RawTls>>,
}

/// As in a Fluvio profile.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawTls {
    domain: String,
    ca_cert: PathBuf,
    cert: PathBuf,
    key: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawClickHouse {
    kind: Option<Spanned<String>>,
    listen: Option<Spanned<String>>,
    library: Option<Spanned<PathBuf>>,
    database: Option<Spanned<String>>,
    url: Option<Spanned<String>>,
    user: Option<Spanned<String>>,
    password_file: Option<Spanned<PathBuf>>,
    cluster: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProperties {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRules {
    file: PathBuf,
    plugin: PathBuf,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSource {
    name: Spanned<String>,
    plugin: PathBuf,
    mapping: Option<Spanned<PathBuf>>,
    identity: Option<Spanned<bool>>,
    settings: Option<Spanned<toml::Table>>,
    #[serde(default = "yes")]
    inventory: bool,
    gateway: Option<RawDoor>,
    folder: Option<RawFolder>,
    poll: Option<RawPoll>,
    capture: Option<RawCapture>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    fuel_per_record: Option<Spanned<i64>>,
    fuel_per_delivery: Option<Spanned<i64>>,
    fuel_to_start: Option<Spanned<i64>>,
    memory: Option<Spanned<Size>>,
    output_per_record: Option<Spanned<Size>>,
    output_per_delivery: Option<Spanned<Size>>,
    max_stay_nights: Option<Spanned<i64>>,
    changes_per_record: Option<Spanned<i64>>,
    lines_per_record: Option<Spanned<i64>>,
    references_per_line: Option<Spanned<i64>>,
    room_nights_per_record: Option<Spanned<i64>>,
    parts_per_delivery: Option<Spanned<i64>>,
    code_bytes: Option<Spanned<i64>>,
    text_bytes: Option<Spanned<i64>>,
    duplicate_span: Option<Spanned<Period>>,
    batch_records: Option<Spanned<i64>>,
    call_records: Option<Spanned<i64>>,
    cache: Option<Spanned<Size>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicies {
    stale_data: Option<StaleData>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRetention {
    log: Option<Spanned<Period>>,
    dead_letters: Option<Spanned<Period>>,
}

fn data() -> PathBuf {
    "data".into()
}

fn yes() -> bool {
    true
}

/// Reads the whole file. `None` only together with a finding.
pub(super) fn pipeline(file: &TextFile, found: &mut Findings) -> Option<PipelineFile> {
    let entries = file.entries(found);
    let folder = file.path.parent().unwrap_or(Path::new("")).to_owned();
    Reader { file, folder, found, doors: Vec::new() }.pipeline(entries)
}

pub(super) struct Reader<'a> {
    file: &'a TextFile,
    folder: PathBuf,
    found: &'a mut Findings,
    /// Of the sources, until the gateway's own section is known.
    doors: Vec<(Spanned<String>, RawDoor)>,
}

impl Reader<'_> {
    fn pipeline(mut self, entries: Vec<(Spanned<String>, Spanned<DeValue<'_>>)>) -> Option<PipelineFile> {
        let (mut head, mut rules, mut properties) = (None, None, None);
        let (mut log, mut clickhouse) = (self.log(None), self.default_clickhouse());
        let (mut fields, mut sources) = (BTreeMap::new(), Vec::new());
        let (mut limits, mut tuning, mut policies) = (Limits::default(), Tuning::default(), Policies::default());
        let mut gateway: Option<Spanned<RawGateway>> = None;
        let mut retention = Retention::default();
        let mut seen = BTreeSet::new();
        for (key, value) in entries {
            seen.insert(key.get_ref().clone());
            match key.get_ref().as_str() {
                "pipeline" => head = self.section(value).inspect(|head| self.check_name(head)),
                "log" => log = self.section(value).map_or(log, |raw| self.log(Some(raw))),
                "clickhouse" => clickhouse = self.section(value).map_or(clickhouse, |raw| self.clickhouse(raw)),
                "properties" => properties = self.section::<RawProperties>(value).map(|raw| self.path(&raw.file)),
                "fields" => fields = self.section(value).map(|raw| self.fields(raw)).unwrap_or_default(),
                "rules" => rules = self.section::<RawRules>(value).map(|raw| self.rules(&raw)),
                "source" => sources = self.sources(value),
                "limits" => (limits, tuning) = self.section(value).map(|raw| self.limits(&raw)).unwrap_or_default(),
                "policies" => {
                    policies = self.section(value).map(|raw: RawPolicies| Self::policies(&raw)).unwrap_or_default()
                }
                "gateway" => gateway = self.section(value).map(|raw| Spanned::new(key.span(), raw)),
                "retention" => retention = self.section(value).map(|raw| self.retention(&raw)).unwrap_or_default(),
                other => self.report(key.span(), format!("unknown section `{other}`"), SECTIONS),
            }
        }
        self.require(&seen);
        limits.max_record_bytes = log.max_record_bytes as u64;
        let doors = std::mem::take(&mut self.doors);
        let gateway = self.gateway(gateway, doors);
        let (head, rules) = (head?, rules?);
        let data_dir = self.path(&head.data_dir);
        Some(PipelineFile {
            path: self.file.path.clone(),
            name: head.name.into_inner(),
            key_file: head.key_file.map_or_else(|| data_dir.join("control.key"), |key| self.folder.join(key)),
            data_dir,
            author: head.author,
            log,
            clickhouse,
            properties,
            fields,
            rules,
            sources,
            limits,
            policies,
            tuning,
            gateway,
            retention,
        })
    }

    fn retention(&mut self, raw: &RawRetention) -> Retention {
        let hour = Duration::from_secs(3_600);
        let mut kept = |value: Option<&Spanned<Period>>| {
            value.map(|value| self.span(Some(value), hour * 24, hour, hour * 24 * 49_000, "1h to 49000d"))
        };
        Retention { log: kept(raw.log.as_ref()), dead_letters: kept(raw.dead_letters.as_ref()) }
    }

    fn section<T: serde::de::DeserializeOwned>(&mut self, value: Spanned<DeValue<'_>>) -> Option<T> {
        self.file.section(value, self.found)
    }

    pub(super) fn report(&mut self, span: Range<usize>, message: impl Into<String>, remedy: &str) {
        self.file.report(self.found, span, message, remedy);
    }

    pub(super) fn path(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    fn check_name(&mut self, head: &RawPipeline) {
        let name = head.name.get_ref();
        if !names::is_source(name) {
            let message = format!("`{name}` is no name of a pipeline");
            self.report(head.name.span(), message, "lower-case letters, digits and `-`, at most 64");
        }
    }

    fn require(&mut self, seen: &BTreeSet<String>) {
        let wanted = [
            ("pipeline", "the section [pipeline] is missing", "add it with a line name = \"hotels\""),
            (
                "rules",
                "the section [rules] is missing",
                "add it with file = \"rules/....toml\" and plugin = \"....wasm\"",
            ),
            ("source", "there is no [[source]]", "add one with name, plugin and mapping (or identity = true)"),
        ];
        for (_, message, remedy) in wanted.into_iter().filter(|(section, ..)| !seen.contains(*section)) {
            self.found.about(&self.file.path, message, remedy);
        }
    }

    /// An integer within bounds, or the default.
    pub(super) fn number(&mut self, value: Option<&Spanned<i64>>, default: u64, bounds: Range<u64>) -> u64 {
        let Some(value) = value else { return default };
        match u64::try_from(*value.get_ref()).ok().filter(|n| bounds.contains(n)) {
            Some(number) => number,
            None => {
                let remedy = format!("{} to {}", bounds.start, bounds.end - 1);
                self.report(value.span(), format!("{} is out of bounds", value.get_ref()), &remedy);
                default
            }
        }
    }

    /// A size within bounds, or the default. All in bytes; both ends are allowed.
    pub(super) fn size(&mut self, value: Option<&Spanned<Size>>, default: u64, least: u64, most: u64) -> u64 {
        let Some(value) = value else { return default };
        let Size(bytes) = *value.get_ref();
        if (least..=most).contains(&bytes) {
            return bytes;
        }
        let remedy = format!("{} to {}", show_size(least), show_size(most));
        self.report(value.span(), format!("{bytes} bytes are out of bounds"), &remedy);
        default
    }

    fn log(&mut self, raw: Option<RawLog>) -> LogSettings {
        let defaults = Limits::default();
        let mut log = LogSettings {
            kind: LogKind::Embedded,
            partitions: None,
            max_record_bytes: defaults.max_record_bytes as usize,
            first_position: 0,
        };
        let Some(raw) = raw else { return log };
        let partitions = self.number(raw.partitions.as_ref(), u64::from(DEFAULT_PARTITIONS), 1..1025);
        log.partitions = raw.partitions.as_ref().and(u32::try_from(partitions).ok());
        let bytes = self.size(raw.max_record_bytes.as_ref(), defaults.max_record_bytes, 16 << 10, 16 << 20);
        log.max_record_bytes = usize::try_from(bytes).unwrap_or(log.max_record_bytes);
        log.first_position = self.number(raw.first_position.as_ref(), 0, 0..MOST_FIRST_POSITION + 1);
        match raw.kind.as_ref().map_or("embedded", |kind| kind.get_ref().as_str()) {
            "embedded" => {
                self.stray_log(raw.endpoint.as_ref(), "endpoint");
                self.stray_log(raw.profile.as_ref(), "profile");
                self.stray_log(raw.topic.as_ref(), "topic");
                self.stray_log(raw.tls.as_ref(), "tls");
            }
            "fluvio" => log.kind = self.fluvio(raw),
            other => {
                let span = raw.kind.as_ref().map_or(0..0, Spanned::span);
                self.report(span, format!("unknown log `{other}`"), "write kind = \"embedded\" or \"fluvio\"");
            }
        }
        log
    }

    fn stray_log<T>(&mut self, value: Option<&Spanned<T>>, name: &str) {
        if let Some(value) = value {
            self.report(value.span(), format!("`{name}` belongs to kind = \"fluvio\""), "remove the line");
        }
    }

    fn fluvio(&mut self, raw: RawLog) -> LogKind {
        let at = raw.kind.as_ref().map_or(0..0, Spanned::span);
        let topic = match raw.topic {
            None => {
                self.report(at, "kind = \"fluvio\" needs `topic`", "write topic = \"...\", one per pipeline");
                String::new()
            }
            Some(topic) => {
                if !names::is_source(topic.get_ref()) {
                    let message = format!("`{}` is no name of a topic", topic.get_ref());
                    self.report(topic.span(), message, "lower-case letters, digits and `-`, at most 64");
                }
                topic.into_inner()
            }
        };
        if let (Some(_), Some(profile)) = (&raw.endpoint, &raw.profile) {
            self.report(profile.span(), "both `endpoint` and `profile`", "keep one of them");
        }
        if let (None, Some(tls)) = (&raw.endpoint, &raw.tls) {
            self.report(
                tls.span(),
                "`tls` goes with `endpoint`",
                "a profile has TLS settings of its own: remove the lines",
            );
        }
        let place = match raw.endpoint {
            None => FluvioPlace::Profile(raw.profile.map(Spanned::into_inner)),
            Some(endpoint) => {
                let parts = endpoint.get_ref().rsplit_once(':');
                if parts.is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err()) {
                    let message = format!("`{}` is no address with a port", endpoint.get_ref());
                    self.report(endpoint.span(), message, "write the controller's, such as \"127.0.0.1:9003\"");
                }
                let tls = raw.tls.map(|tls| {
                    let RawTls { domain, ca_cert, cert, key } = tls.into_inner();
                    let [ca_cert, cert, key] = [ca_cert, cert, key].map(|path| self.folder.join(path));
                    FluvioTls { domain, ca_cert, cert, key }
                });
                FluvioPlace::Endpoint { address: endpoint.into_inner(), tls }
            }
        };
        LogKind::Fluvio(FluvioSettings { place, topic })
    }

    fn default_clickhouse(&self) -> ClickHouse {
        let listen = SocketAddr::from(([127, 0, 0, 1], 8123));
        ClickHouse { database: "concord".into(), place: Place::Embedded { listen, library: None } }
    }

    fn clickhouse(&mut self, raw: RawClickHouse) -> ClickHouse {
        let mut made = self.default_clickhouse();
        if let Some(database) = raw.database.as_ref() {
            let name = database.get_ref();
            if !names::is_identifier(name) || ["system", "information_schema"].contains(&name.as_str()) {
                let remedy = "a lower-case identifier, and none of ClickHouse's own";
                self.report(database.span(), format!("`{name}` is no name for the database"), remedy);
            }
            made.database = name.clone();
        }
        match raw.kind.as_ref().map_or("embedded", |kind| kind.get_ref().as_str()) {
            "embedded" => {
                self.stray(raw.url.as_ref(), "url", "server");
                self.stray(raw.user.as_ref(), "user", "server");
                self.stray(raw.password_file.as_ref(), "password_file", "server");
                self.stray(raw.cluster.as_ref(), "cluster", "server");
                if let Place::Embedded { listen, library } = &mut made.place {
                    *listen = raw.listen.and_then(|text| self.listen(&text)).unwrap_or(*listen);
                    *library = raw.library.map(|path| self.folder.join(path.into_inner()));
                }
            }
            "server" => {
                self.stray(raw.listen.as_ref(), "listen", "embedded");
                self.stray(raw.library.as_ref(), "library", "embedded");
                made.place = self.server(raw);
            }
            other => {
                let span = raw.kind.as_ref().map_or(0..0, Spanned::span);
                self.report(span, format!("unknown kind `{other}`"), "write kind = \"embedded\" or \"server\"");
            }
        }
        made
    }

    fn stray<T>(&mut self, value: Option<&Spanned<T>>, name: &str, kind: &str) {
        if let Some(value) = value {
            self.report(
                value.span(),
                format!("`{name}` belongs to kind = \"{kind}\""),
                "remove the line or change `kind`",
            );
        }
    }

    fn listen(&mut self, text: &Spanned<String>) -> Option<SocketAddr> {
        let address = text.get_ref().parse::<SocketAddr>().ok();
        if address.is_none_or(|address| !address.ip().is_loopback()) {
            let message = format!("`{}` is no loopback address with a port", text.get_ref());
            self.report(
                text.span(),
                message,
                "write one such as \"127.0.0.1:8123\": other machines need a ClickHouse server",
            );
            return None;
        }
        address
    }

    fn server(&mut self, raw: RawClickHouse) -> Place {
        let remedy = "write the server's address, such as url = \"http://127.0.0.1:8123\"";
        let url = match &raw.url {
            None => {
                let span = raw.kind.as_ref().map_or(0..0, Spanned::span);
                self.report(span, "kind = \"server\" needs `url`", remedy);
                String::new()
            }
            Some(url) => {
                let rest = url.get_ref().strip_prefix("http://").or(url.get_ref().strip_prefix("https://"));
                match rest.map(|rest| rest.trim_end_matches('/')) {
                    Some(rest) if rest.contains('@') => {
                        self.report(url.span(), "the address holds a user", "write `user` and `password_file` instead");
                    }
                    Some(rest) if !rest.is_empty() && !rest.contains(['/', '?', '#', ' ']) => {}
                    _ => self.report(url.span(), format!("`{}` is no address of a server", url.get_ref()), remedy),
                }
                url.get_ref().trim_end_matches('/').to_owned()
            }
        };
        Place::Server {
            url,
            user: raw.user.map_or_else(|| "default".into(), Spanned::into_inner),
            password_file: raw.password_file.map(|path| self.folder.join(path.into_inner())),
            cluster: raw.cluster.map(Spanned::into_inner),
        }
    }

    fn rules(&self, raw: &RawRules) -> RuleFiles {
        RuleFiles { file: self.path(&raw.file), plugin: self.path(&raw.plugin) }
    }

    fn fields(&mut self, raw: BTreeMap<Spanned<String>, FieldType>) -> BTreeMap<Arc<str>, FieldType> {
        let currencies: BTreeSet<String> = raw
            .iter()
            .filter(|(_, kind)| **kind == FieldType::Money)
            .map(|(name, _)| format!("{}_currency", name.get_ref()))
            .collect();
        let mut fields = BTreeMap::new();
        for (name, kind) in raw {
            let (span, name) = (name.span(), name.into_inner());
            if !names::is_identifier(&name) {
                let message = format!("`{name}` is no name of a field");
                self.report(span, message, "a lower-case letter, then letters, digits and `_`, at most 48");
            } else if names::BUILT_IN_FIELDS.contains(&name.as_str()) {
                self.report(span, format!("every pipeline has the field `{name}`"), "remove the line");
            } else if names::is_column(&name) {
                self.report(span, format!("room_nights has a column `{name}`"), "choose another name");
            } else if currencies.contains(&name) {
                let message = format!("`{name}` is the column of a money field's currency");
                self.report(span, message, "choose another name");
            }
            fields.insert(name.into(), kind);
        }
        fields
    }

    fn sources(&mut self, value: Spanned<DeValue<'_>>) -> Vec<SourceSettings> {
        let span = value.span();
        let DeValue::Array(list) = value.into_inner() else {
            self.report(span, "`source` is no list", "write [[source]] with two brackets");
            return Vec::new();
        };
        let mut sources: Vec<SourceSettings> = Vec::new();
        for item in list {
            let Some(raw) = self.section::<RawSource>(item) else { continue };
            let name = raw.name.get_ref();
            if !names::is_source(name) {
                let message = format!("`{name}` is no name of a source");
                self.report(raw.name.span(), message, "lower-case letters, digits and `-`, at most 64");
            }
            if sources.iter().any(|source| source.name.as_ref() == name) {
                self.report(raw.name.span(), format!("there are two sources `{name}`"), "give one another name");
            }
            let source = self.source(raw);
            sources.push(source);
        }
        sources
    }

    fn source(&mut self, raw: RawSource) -> SourceSettings {
        let at = raw.name.span();
        if let Some(door) = raw.gateway {
            self.doors.push((raw.name.clone(), door));
        }
        let identity = raw.identity.as_ref().is_some_and(|identity| *identity.get_ref());
        match (&raw.mapping, identity) {
            (Some(mapping), true) => {
                self.report(mapping.span(), "both `mapping` and `identity = true`", "keep one of them");
            }
            (None, false) => {
                let message = format!("the source `{}` has no mapping", raw.name.get_ref());
                self.report(
                    at,
                    message,
                    "add mapping = \"mappings/....toml\", or identity = true if its codes are yours",
                );
            }
            _ => {}
        }
        let settings = match raw.settings {
            None => "{}".to_owned(),
            Some(table) => {
                let span = table.span();
                json::canonical(&toml::Value::Table(table.into_inner())).unwrap_or_else(|message| {
                    self.report(span, message, "write a finite number");
                    "{}".to_owned()
                })
            }
        };
        let capture = raw.capture.and_then(|section| {
            let (capture, wrong) = capture::read(section, raw.name.get_ref(), &self.folder);
            wrong.into_iter().for_each(|(span, message, remedy)| self.report(span, message, &remedy));
            capture
        });
        SourceSettings {
            name: raw.name.into_inner().into(),
            plugin: self.path(&raw.plugin),
            mapping: raw.mapping.map(|path| self.folder.join(path.into_inner())),
            settings,
            inventory: raw.inventory,
            folder: raw.folder.map(|folder| self.folder(folder)),
            poll: raw.poll.map(|poll| self.poll(poll)),
            capture,
        }
    }

    /// `max_record_bytes` stands in `[log]` and is filled in later.
    fn limits(&mut self, raw: &RawLimits) -> (Limits, Tuning) {
        let (d, tuning) = (Limits::default(), Tuning::default());
        let made = Limits {
            fuel_per_record: self.fuel(raw.fuel_per_record.as_ref(), d.fuel_per_record),
            fuel_per_delivery: self.fuel(raw.fuel_per_delivery.as_ref(), d.fuel_per_delivery),
            fuel_to_start: self.fuel(raw.fuel_to_start.as_ref(), d.fuel_to_start),
            memory: self.size(raw.memory.as_ref(), d.memory, 1 << 20, 4 << 30),
            output_per_record: self.size(raw.output_per_record.as_ref(), d.output_per_record, 16 << 10, 1 << 30),
            output_per_delivery: self.size(raw.output_per_delivery.as_ref(), d.output_per_delivery, 16 << 10, 1 << 30),
            max_record_bytes: d.max_record_bytes,
            max_stay_nights: self.count(raw.max_stay_nights.as_ref(), d.max_stay_nights, 3_650),
            changes_per_record: self.count(raw.changes_per_record.as_ref(), d.changes_per_record, 1_000_000),
            lines_per_record: self.count(raw.lines_per_record.as_ref(), d.lines_per_record, 100_000),
            references_per_line: self.count(raw.references_per_line.as_ref(), d.references_per_line, 1_000),
            room_nights_per_record: self.count(
                raw.room_nights_per_record.as_ref(),
                d.room_nights_per_record,
                1_000_000,
            ),
            parts_per_delivery: self.count(raw.parts_per_delivery.as_ref(), d.parts_per_delivery, 10_000_000),
            code_bytes: self.count(raw.code_bytes.as_ref(), d.code_bytes, 1_024),
            text_bytes: self.count(raw.text_bytes.as_ref(), d.text_bytes, 1_000_000),
            duplicate_span_ms: self.duplicate_span(raw.duplicate_span.as_ref(), d.duplicate_span_ms),
        };
        let small = |n: u64| usize::try_from(n).unwrap_or(1);
        let tuned = Tuning {
            batch_records: small(self.number(raw.batch_records.as_ref(), tuning.batch_records as u64, 1..65_537)),
            call_records: small(self.number(raw.call_records.as_ref(), tuning.call_records as u64, 1..257)),
            cache_bytes: self.size(raw.cache.as_ref(), tuning.cache_bytes, 1 << 20, u64::MAX),
        };
        (made, tuned)
    }

    fn fuel(&mut self, value: Option<&Spanned<i64>>, default: u64) -> u64 {
        self.number(value, default, 1_000_000..1_000_000_000_001)
    }

    /// From 1 to `most`.
    fn count(&mut self, value: Option<&Spanned<i64>>, default: u32, most: u32) -> u32 {
        let number = self.number(value, default.into(), 1..u64::from(most) + 1);
        u32::try_from(number).unwrap_or(default)
    }

    fn duplicate_span(&mut self, value: Option<&Spanned<Period>>, default: u64) -> u64 {
        let Some(value) = value else { return default };
        let millis = u64::try_from(value.get_ref().0.as_millis()).unwrap_or(0);
        let (hour, year) = (3_600_000, 366 * 86_400_000);
        if !(hour..=year).contains(&millis) {
            self.report(value.span(), "the span is out of bounds", "1h to 366d");
            return default;
        }
        millis
    }

    fn policies(raw: &RawPolicies) -> Policies {
        Policies { stale_data: raw.stale_data.unwrap_or_default() }
    }
}

fn show_size(bytes: u64) -> String {
    match bytes {
        u64::MAX => "any".into(),
        b if b >= 1 << 30 && b % (1 << 30) == 0 => format!("{} GiB", b >> 30),
        b if b >= 1 << 20 && b % (1 << 20) == 0 => format!("{} MiB", b >> 20),
        b => format!("{} KiB", b >> 10),
    }
}
