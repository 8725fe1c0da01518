//! Events to and from JSON.
//!
//! Knows the envelope's grammar and bounds. The data is taken as it stands: its JSON is checked for
//! validity and depth, never rebuilt.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Event, Invalid, MAX_ATTRIBUTES, MAX_DEPTH, MAX_EVENT_BYTES, MAX_NAME_BYTES, MAX_VALUE_BYTES, excerpt};

/// 0000-01-01 and the end of 9999 in microseconds: what RFC 3339 can write.
const TIMES: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

/// Names that are no extension attributes.
const RESERVED: [&str; 9] =
    ["specversion", "id", "source", "type", "time", "subject", "datacontenttype", "data", "data_base64"];

/// A value that is no event.
pub(super) struct Unread {
    pub why: Invalid,
    /// It calls itself a control record all the same.
    pub control: bool,
}

/// The members of the outermost object, in their order.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = Vec::with_capacity(12);
        while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
            if members.len() == MAX_ATTRIBUTES {
                return Err(A::Error::custom(format_args!("more than {MAX_ATTRIBUTES} attributes")));
            }
            members.push((name, value));
        }
        Ok(Members(members))
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

/// A string, borrowed where it has no escapes.
struct Text<'a>(Cow<'a, str>);

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

pub(super) fn read(value: &Bytes) -> Result<Event, Unread> {
    let members = members(value).map_err(|why| Unread { why, control: false })?;
    let types = members.iter().filter(|(name, _)| name == "type");
    let control = types.filter_map(|(_, raw)| string(raw)).any(|text| super::is_control(&text));
    event(value, &members).map_err(|why| Unread { why, control })
}

fn members(value: &Bytes) -> Result<Vec<(Cow<'_, str>, &RawValue)>, Invalid> {
    if value.len() > MAX_EVENT_BYTES {
        return Err(Invalid::TooLarge { size: value.len(), limit: MAX_EVENT_BYTES });
    }
    let text = std::str::from_utf8(value).map_err(|e| Invalid::Encoding(e.valid_up_to()))?;
    let members: Members<'_> = serde_json::from_str(text).map_err(|e| Invalid::Json(e.to_string()))?;
    Ok(members.0)
}

fn string<'a>(raw: &'a RawValue) -> Option<Cow<'a, str>> {
    serde_json::from_str::<Text<'a>>(raw.get()).ok().map(|text| text.0)
}

/// A context attribute as text: strings, booleans and integers.
fn scalar<'a>(name: &str, raw: &'a RawValue) -> Result<Cow<'a, str>, Invalid> {
    let text = raw.get();
    let value = match text.as_bytes().first() {
        Some(b'"') => {
            string(raw).ok_or_else(|| Invalid::of(name, "it holds half a surrogate pair, which is no character"))?
        }
        Some(b't' | b'f') => Cow::Borrowed(text),
        // A canonical form: 007 and -0 are none in JSON or become a plain number here.
        Some(b'-' | b'0'..=b'9') => match text.parse::<i64>() {
            Ok(number) => Cow::Owned(number.to_string()),
            Err(_) => return Err(Invalid::of(name, format!("`{}` is no integer of 64 bits", excerpt(text)))),
        },
        _ => return Err(Invalid::of(name, "it has to be a string, a boolean or an integer")),
    };
    check_value(name, &value)?;
    Ok(value)
}

fn check_value(name: &str, value: &str) -> Result<(), Invalid> {
    if value.len() > MAX_VALUE_BYTES {
        return Err(Invalid::of(name, format!("it has {} bytes; the limit is {MAX_VALUE_BYTES}", value.len())));
    }
    match value.chars().find(|c| c.is_control()) {
        Some(c) => Err(Invalid::of(name, format!("it holds the control character U+{:04X}", u32::from(c)))),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), Invalid> {
    if name.is_empty() || name.len() > MAX_NAME_BYTES {
        return Err(Invalid::of(name, format!("a name has 1 to {MAX_NAME_BYTES} characters")));
    }
    if !name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit()) {
        return Err(Invalid::of(name, "a name has lower-case letters a to z and digits only"));
    }
    Ok(())
}

/// The attributes while they are gathered.
#[derive(Default)]
struct Gathered<'a> {
    specversion: Option<Cow<'a, str>>,
    id: Option<Cow<'a, str>>,
    source: Option<Cow<'a, str>>,
    r#type: Option<Cow<'a, str>>,
    time: Option<Cow<'a, str>>,
    subject: Option<Cow<'a, str>>,
    datacontenttype: Option<Cow<'a, str>>,
    data: Option<&'a RawValue>,
    data_base64: Option<Cow<'a, str>>,
    extensions: Vec<(String, String)>,
}

impl<'a> Gathered<'a> {
    fn put(&mut self, name: &str, raw: &'a RawValue) -> Result<(), Invalid> {
        if name == "data" {
            return once(name, &mut self.data, raw);
        }
        if raw.get() == "null" {
            // CloudEvents' JSON format: an attribute that is null is an attribute that is absent.
            return Ok(());
        }
        let slot = match name {
            "specversion" => &mut self.specversion,
            "id" => &mut self.id,
            "source" => &mut self.source,
            "type" => &mut self.r#type,
            "time" => &mut self.time,
            "subject" => &mut self.subject,
            "datacontenttype" => &mut self.datacontenttype,
            "data_base64" => {
                let text = string(raw).ok_or_else(|| Invalid::of(name, "it has to be a string"))?;
                return once(name, &mut self.data_base64, text);
            }
            _ => {
                check_name(name)?;
                self.extensions.push((name.to_owned(), scalar(name, raw)?.into_owned()));
                return Ok(());
            }
        };
        if !raw.get().starts_with('"') {
            return Err(Invalid::of(name, "it has to be a string"));
        }
        once(name, slot, scalar(name, raw)?)
    }
}

fn once<T>(name: &str, slot: &mut Option<T>, value: T) -> Result<(), Invalid> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(Invalid::of(name, "it occurs twice")),
    }
}

fn event(value: &Bytes, members: &[(Cow<'_, str>, &RawValue)]) -> Result<Event, Invalid> {
    let mut gathered = Gathered::default();
    for (name, raw) in members {
        gathered.put(name, raw)?;
    }
    let version = gathered.specversion.take().ok_or(Invalid::Missing("specversion"))?;
    if version != "1.0" {
        return Err(Invalid::of("specversion", format!("`{}` is not supported, write \"1.0\"", excerpt(&version))));
    }
    let mut attributes = std::mem::take(&mut gathered.extensions);
    sort_attributes(&mut attributes)?;
    let datacontenttype = gathered.datacontenttype.take().map(Cow::into_owned);
    if datacontenttype.as_deref() == Some("") {
        return Err(Invalid::of("datacontenttype", "it is empty: write a media type, or leave it out"));
    }
    Ok(Event {
        source: required("source", gathered.source.take())?,
        id: required("id", gathered.id.take())?,
        r#type: required("type", gathered.r#type.take())?,
        time: gathered.time.take().map(|text| instant(&text)).transpose()?,
        subject: gathered.subject.take().map(Cow::into_owned),
        data: data(value, gathered.data, gathered.data_base64.as_deref(), datacontenttype.as_deref())?,
        datacontenttype,
        attributes,
    })
}

fn required(name: &'static str, value: Option<Cow<'_, str>>) -> Result<String, Invalid> {
    let value = value.ok_or(Invalid::Missing(name))?;
    if value.is_empty() {
        return Err(Invalid::of(name, "it is empty"));
    }
    Ok(value.into_owned())
}

/// By name in byte order, each once.
fn sort_attributes(attributes: &mut [(String, String)]) -> Result<(), Invalid> {
    attributes.sort();
    match attributes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Invalid::of(&pair[0].0, "it occurs twice")),
        None => Ok(()),
    }
}

/// RFC 3339 in microseconds; finer digits are cut.
fn instant(text: &str) -> Result<i64, Invalid> {
    let parsed = time::OffsetDateTime::parse(text, &time::format_description::well_known::Rfc3339);
    let micros = parsed.ok().and_then(|t| i64::try_from(t.unix_timestamp_nanos().div_euclid(1000)).ok());
    micros.filter(|micros| TIMES.contains(micros)).ok_or_else(|| {
        let example = "2026-03-01T09:30:00Z";
        Invalid::of("time", format!("`{}` is no RFC 3339 timestamp such as {example}", excerpt(text)))
    })
}

fn data(
    value: &Bytes,
    data: Option<&RawValue>,
    base64: Option<&str>,
    content_type: Option<&str>,
) -> Result<Bytes, Invalid> {
    match (data, base64) {
        (None, None) => Ok(Bytes::new()),
        (Some(_), Some(_)) => Err(Invalid::of("data", "an event has either `data` or `data_base64`")),
        (None, Some(text)) => {
            let bytes = STANDARD.decode(text);
            bytes.map(Bytes::from).map_err(|e| Invalid::of("data_base64", format!("it is no Base64: {e}")))
        }
        (Some(raw), None) if raw.get().starts_with('"') && !is_json_type(content_type) => {
            let text = string(raw).ok_or_else(|| Invalid::of("data", "it holds half a surrogate pair"))?;
            Ok(match text {
                Cow::Borrowed(text) => value.slice_ref(text.as_bytes()),
                Cow::Owned(text) => Bytes::from(text),
            })
        }
        (Some(raw), None) => {
            let depth = depth(raw.get());
            if depth > MAX_DEPTH {
                return Err(Invalid::of("data", format!("it is nested {depth} deep; the limit is {MAX_DEPTH}")));
            }
            Ok(value.slice_ref(raw.get().as_bytes()))
        }
    }
}

/// How deep valid JSON is nested, without recursion.
fn depth(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let (mut quoted, mut escaped) = (false, false);
    for byte in json.bytes() {
        if quoted {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => quoted = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => quoted = true,
            b'{' | b'[' => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Type and subtype in lower case, without parameters.
fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or("").trim().to_ascii_lowercase()
}

/// Whether `data` of this type is JSON itself: CloudEvents' rule, absent included.
pub(super) fn is_json_type(content_type: Option<&str>) -> bool {
    let Some(content_type) = content_type else { return true };
    let essence = essence(content_type);
    essence.rsplit_once('/').is_some_and(|(_, subtype)| subtype == "json" || subtype.ends_with("+json"))
}

/// Whether people can read a body of this type as text.
fn is_text_type(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.starts_with("text/") || essence.ends_with("/xml") || essence.ends_with("+xml")
}

/// How a body stands in the event.
enum Body<'a> {
    None,
    Json(&'a str),
    Text(&'a str),
    Base64,
}

fn body(event: &Event) -> Body<'_> {
    let Ok(text) = std::str::from_utf8(&event.data) else { return Body::Base64 };
    if text.is_empty() {
        Body::None
    } else if is_json_type(event.datacontenttype.as_deref()) {
        if is_embeddable(text) { Body::Json(text) } else { Body::Base64 }
    } else if event.datacontenttype.as_deref().is_some_and(is_text_type) {
        Body::Text(text)
    } else {
        Body::Base64
    }
}

/// Whether a text is one JSON value that reading gives back byte for byte.
pub(super) fn is_embeddable(text: &str) -> bool {
    let whole = serde_json::from_str::<&RawValue>(text).is_ok_and(|raw| raw.get().len() == text.len());
    whole && depth(text) <= MAX_DEPTH
}

pub(super) fn write(event: &Event) -> Result<Bytes, Invalid> {
    let mut attributes: Vec<(&str, &str)> = event.attributes.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
    attributes.sort_unstable();
    check(event, &attributes)?;
    let mut out = Vec::with_capacity(event.data.len() + 256);
    out.extend_from_slice(b"{\"specversion\":\"1.0\"");
    put(&mut out, "id", &event.id);
    put(&mut out, "source", &event.source);
    put(&mut out, "type", &event.r#type);
    if let Some(micros) = event.time {
        put(&mut out, "time", &crate::types::rfc3339_micros(micros));
    }
    let optional = [("subject", &event.subject), ("datacontenttype", &event.datacontenttype)];
    for (name, value) in optional {
        if let Some(value) = value {
            put(&mut out, name, value);
        }
    }
    for (name, value) in attributes {
        put(&mut out, name, value);
    }
    match body(event) {
        Body::None => {}
        Body::Json(json) => {
            out.extend_from_slice(b",\"data\":");
            out.extend_from_slice(json.as_bytes());
        }
        Body::Text(text) => put(&mut out, "data", text),
        Body::Base64 => put(&mut out, "data_base64", &STANDARD.encode(&event.data)),
    }
    out.push(b'}');
    if out.len() > MAX_EVENT_BYTES {
        return Err(Invalid::TooLarge { size: out.len(), limit: MAX_EVENT_BYTES });
    }
    Ok(Bytes::from(out))
}

/// Everything that reading would refuse.
fn check(event: &Event, attributes: &[(&str, &str)]) -> Result<(), Invalid> {
    let required = [("id", &event.id), ("source", &event.source), ("type", &event.r#type)];
    for (name, value) in required {
        if value.is_empty() {
            return Err(Invalid::of(name, "it is empty"));
        }
        check_value(name, value)?;
    }
    if let Some(time) = event.time.filter(|time| !TIMES.contains(time)) {
        return Err(Invalid::of("time", format!("{time} microseconds are outside the years 0 to 9999")));
    }
    if let Some(subject) = &event.subject {
        check_value("subject", subject)?;
    }
    if let Some(content_type) = &event.datacontenttype {
        check_value("datacontenttype", content_type)?;
        if content_type.is_empty() {
            return Err(Invalid::of("datacontenttype", "it is empty: give a media type, or none"));
        }
    }
    if attributes.len() + RESERVED.len() > MAX_ATTRIBUTES {
        return Err(Invalid::Json(format!("more than {MAX_ATTRIBUTES} attributes")));
    }
    for (name, value) in attributes {
        check_name(name)?;
        check_value(name, value)?;
        if RESERVED.contains(name) {
            return Err(Invalid::of(name, "it is no extension attribute"));
        }
    }
    match attributes.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => Err(Invalid::of(pair[0].0, "it occurs twice")),
        None => Ok(()),
    }
}

/// One more member with a string.
fn put(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    quote(out, value);
}

/// A JSON string: RFC 8259's escapes and nothing else.
fn quote(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            0..=0x1f => out.extend_from_slice(format!("\\u{byte:04x}").as_bytes()),
            _ => out.push(byte),
        }
    }
    out.push(b'"');
}
