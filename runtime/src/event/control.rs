//! Control records: what Concord tells itself through the log.
//!
//! Knows how they are written, signed and read. Does not know when they apply: the worker does. The
//! signature covers everything that a reader gets to see, but no place in the log, so a record that
//! is repeated elsewhere is still signed; who applies it checks what must not be repeated.

use bytes::Bytes;

use super::json::{self, is_embeddable};
use super::{ControlKey, Event, Invalid, MAC_ATTRIBUTE, Parsed, excerpt, hex, unhex};
use crate::log::{Offset, Partition};

/// What a control record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// From here on this configuration holds.
    Configuration {
        /// Its offset on partition 0. `None` on partition 0 itself, where the record's own offset is
        /// meant; the copies on the others name it, and are worth nothing without it.
        sequence: Option<u64>,
        /// The sequence number of the configuration that its author saw in force. Partition 0 takes it only
        /// while that one is in force: an old record repeated, or one of two at the same time, is refused.
        follows: Option<u64>,
        /// Why, in the author's words.
        reason: Option<String>,
        /// JSON, byte for byte.
        document: Bytes,
    },
    /// A piece of a plugin, before the configuration that names its digest.
    Plugin {
        /// SHA-256 of the whole, hexadecimal.
        digest: String,
        /// From 0.
        part: u32,
        parts: u32,
        bytes: Bytes,
    },
    /// From here on this worker writes the partition; the record's offset is its epoch.
    Owner { instance: String },
    /// Partition time, in milliseconds since 1970-01-01T00:00:00Z.
    Tick { millis: i64 },
    /// The source's revisions, ids and positions begin anew.
    Reset {
        source: String,
        /// As with a configuration.
        sequence: Option<u64>,
    },
    /// A dead letter of this partition again.
    Retry {
        /// The dead letter's own offset.
        origin: Offset,
        key: Option<Bytes>,
        value: Bytes,
    },
    /// A record that stood on another partition.
    Copy { origin_partition: Partition, origin_offset: Offset, key: Option<Bytes>, value: Bytes },
    /// The source's connector is alive and, where a property is named, has heard from that property.
    Heartbeat {
        source: String,
        property: Option<String>,
        /// The source's own time, in microseconds since 1970-01-01T00:00:00Z.
        time: i64,
    },
}

/// A control record of this pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    pub control: Control,
    pub id: String,
    /// Who wrote it: a person, or a worker's instance.
    pub author: String,
    /// Microseconds since 1970-01-01T00:00:00Z, by the writer's clock.
    pub time: Option<i64>,
}

const CONFIGURATION: &str = "concord.configuration";
const PLUGIN: &str = "concord.plugin";
const OWNER: &str = "concord.owner";
const TICK: &str = "concord.tick";
const RESET: &str = "concord.reset";
const RETRY: &str = "concord.retry";
const COPY: &str = "concord.copy";
const HEARTBEAT: &str = "concord.heartbeat";

impl Control {
    /// The CloudEvents type.
    pub fn r#type(&self) -> &'static str {
        match self {
            Control::Configuration { .. } => CONFIGURATION,
            Control::Plugin { .. } => PLUGIN,
            Control::Owner { .. } => OWNER,
            Control::Tick { .. } => TICK,
            Control::Reset { .. } => RESET,
            Control::Retry { .. } => RETRY,
            Control::Copy { .. } => COPY,
            Control::Heartbeat { .. } => HEARTBEAT,
        }
    }

    /// Extension attributes, content type and data.
    fn content(&self) -> (Vec<(String, String)>, Option<&'static str>, Bytes) {
        let json = Some("application/json");
        let mut fields = Fields::default();
        match self {
            Control::Configuration { sequence, follows, reason, document } => {
                fields.put_option("sequence", sequence.map(|n| n.to_string()));
                fields.put_option("follows", follows.map(|n| n.to_string()));
                fields.put_option("reason", reason.clone());
                (fields.0, json, document.clone())
            }
            Control::Plugin { digest, part, parts, bytes } => {
                fields.put("digest", digest);
                fields.put("part", part);
                fields.put("parts", parts);
                (fields.0, Some("application/wasm"), bytes.clone())
            }
            Control::Owner { instance } => {
                fields.put("instance", instance);
                (fields.0, None, Bytes::new())
            }
            Control::Tick { millis } => {
                fields.put("millis", millis);
                (fields.0, None, Bytes::new())
            }
            Control::Reset { source, sequence } => {
                fields.put("resetsource", source);
                fields.put_option("sequence", sequence.map(|n| n.to_string()));
                (fields.0, None, Bytes::new())
            }
            Control::Retry { origin, key, value } => {
                fields.put("originoffset", origin);
                fields.put_key(key.as_deref());
                (fields.0, json, value.clone())
            }
            Control::Copy { origin_partition, origin_offset, key, value } => {
                fields.put("originpartition", origin_partition);
                fields.put("originoffset", origin_offset);
                fields.put_key(key.as_deref());
                (fields.0, json, value.clone())
            }
            Control::Heartbeat { source, property, time } => {
                fields.put("heartbeatsource", source);
                fields.put_option("heartbeatproperty", property.clone());
                fields.put("heartbeattime", time);
                (fields.0, None, Bytes::new())
            }
        }
    }

    fn from_event(event: &Event) -> Result<Control, Invalid> {
        let data = || event.data.clone();
        let sequence = || event.attribute("sequence").map(|_| number(event, "sequence")).transpose();
        Ok(match event.r#type.as_str() {
            CONFIGURATION => Control::Configuration {
                sequence: sequence()?,
                follows: event.attribute("follows").map(|_| number(event, "follows")).transpose()?,
                reason: event.attribute("reason").map(str::to_owned),
                document: document(data())?,
            },
            PLUGIN => Control::Plugin {
                digest: text(event, "digest")?,
                part: number(event, "part")?,
                parts: number(event, "parts")?,
                bytes: data(),
            },
            OWNER => Control::Owner { instance: text(event, "instance")? },
            TICK => Control::Tick { millis: number(event, "millis")? },
            RESET => Control::Reset { source: text(event, "resetsource")?, sequence: sequence()? },
            RETRY => Control::Retry { origin: number(event, "originoffset")?, key: key(event)?, value: data() },
            COPY => Control::Copy {
                origin_partition: number(event, "originpartition")?,
                origin_offset: number(event, "originoffset")?,
                key: key(event)?,
                value: data(),
            },
            HEARTBEAT => Control::Heartbeat {
                source: text(event, "heartbeatsource")?,
                property: event.attribute("heartbeatproperty").map(str::to_owned),
                time: number(event, "heartbeattime")?,
            },
            other => {
                let problem = "this version of Concord knows no such control record; a newer one wrote it";
                return Err(Invalid::of("type", format!("`{}`: {problem}", excerpt(other))));
            }
        })
    }
}

/// Extension attributes while they are gathered.
#[derive(Default)]
struct Fields(Vec<(String, String)>);

impl Fields {
    fn put(&mut self, name: &str, value: impl ToString) {
        self.0.push((name.to_owned(), value.to_string()));
    }

    fn put_option(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.put(name, value);
        }
    }

    /// A key is text as a rule, so people can read it; one that is not stands in hexadecimal.
    fn put_key(&mut self, key: Option<&[u8]>) {
        let Some(key) = key else { return };
        match std::str::from_utf8(key) {
            Ok(text) if !text.chars().any(char::is_control) => self.put("originkey", text),
            _ => self.put("originkeyhex", hex(key)),
        }
    }
}

fn text(event: &Event, name: &'static str) -> Result<String, Invalid> {
    event.attribute(name).map(str::to_owned).ok_or(Invalid::Missing(name))
}

fn number<T: std::str::FromStr>(event: &Event, name: &'static str) -> Result<T, Invalid> {
    let text = event.attribute(name).ok_or(Invalid::Missing(name))?;
    text.parse().map_err(|_| Invalid::of(name, format!("`{}` is no number in its range", excerpt(text))))
}

fn key(event: &Event) -> Result<Option<Bytes>, Invalid> {
    if let Some(text) = event.attribute("originkey") {
        return Ok(Some(Bytes::copy_from_slice(text.as_bytes())));
    }
    let Some(digits) = event.attribute("originkeyhex") else { return Ok(None) };
    let bytes = unhex(digits).ok_or_else(|| Invalid::of("originkeyhex", "it is no hexadecimal"))?;
    Ok(Some(Bytes::from(bytes)))
}

fn document(data: Bytes) -> Result<Bytes, Invalid> {
    if std::str::from_utf8(&data).is_ok_and(is_embeddable) {
        Ok(data)
    } else {
        Err(Invalid::of("data", "a configuration has to be one JSON value without white space around it"))
    }
}

/// A control record's value, signed. `time` is in microseconds since 1970-01-01T00:00:00Z. Errors
/// are values that do not fit into an event, such as an author with a line break.
pub fn sign_and_write(
    control: &Control,
    key: &ControlKey,
    id: &str,
    author: &str,
    time: i64,
) -> Result<Bytes, Invalid> {
    if let Control::Configuration { document: json, .. } = control {
        document(json.clone())?;
    }
    let (mut attributes, content_type, data) = control.content();
    attributes.sort();
    let mut event = Event {
        source: author.to_owned(),
        id: id.to_owned(),
        r#type: control.r#type().to_owned(),
        time: Some(time),
        subject: None,
        datacontenttype: content_type.map(str::to_owned),
        data,
        attributes,
    };
    let signature = key.sign(&event);
    event.attributes.push((MAC_ATTRIBUTE.to_owned(), signature));
    json::write(&event)
}

/// The largest value of a [`Control::Copy`] or [`Control::Retry`] of a record with key and value of
/// these sizes, where author and id have at most 256 bytes each. A log that takes records of some
/// size has to take their copies, too: open it with this limit.
pub fn wrapped_bytes(key: usize, value: usize) -> usize {
    // Base64 for the value; hexadecimal or escapes for the key; envelope, signature, author and id.
    value.div_ceil(3) * 4 + 2 * key + 2048
}

/// Reads an event whose type is Concord's own.
pub(super) fn open(event: Event, key: &ControlKey) -> Parsed {
    let Some(signature) = event.attribute(MAC_ATTRIBUTE) else {
        return Parsed::Forged(format!("type `{}` without a signature", excerpt(&event.r#type)));
    };
    if !key.verify(&event, signature) {
        return Parsed::Forged(format!("type `{}`, signed by another key or changed since", excerpt(&event.r#type)));
    }
    match Control::from_event(&event) {
        Ok(control) => {
            Parsed::Control(Box::new(Signed { control, id: event.id, author: event.source, time: event.time }))
        }
        Err(why) => Parsed::Invalid(why),
    }
}
