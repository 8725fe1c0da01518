//! The doors for webhooks as the pipeline file describes them: `[gateway]`, and `[source.gateway]` per source.
//!
//! Of this machine alone: nothing here travels in the log, for no decision depends on it. Secrets are named, never
//! written: an environment variable or a file. Does not read them, and does not listen (`read` turns text into these).

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

mod read;

pub(super) use read::{RawDoor, RawGateway};

/// Where webhooks come in, and how much of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gateway {
    pub listen: SocketAddr,
    /// Without it the gateway speaks plain HTTP.
    pub tls: Option<TlsFiles>,
    pub limits: GatewayLimits,
    /// A loopback address for `/metrics`.
    pub metrics: Option<SocketAddr>,
    /// By the source's name; at least one, and no two whose paths could be the same.
    pub sources: BTreeMap<Arc<str>, SourceDoor>,
}

/// PEM files; read again while the gateway is up, so that certificates can be renewed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, then those that lead to a known authority.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// What the gateway takes at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GatewayLimits {
    /// Of a body as it is sent.
    pub body_bytes: usize,
    /// Of a body that is packed, once it is unpacked.
    pub inflated_bytes: usize,
    /// Deliveries between their verified body and their answer.
    pub deliveries: usize,
    /// Bytes of all bodies held at a time.
    pub held_bytes: usize,
    pub connections: usize,
    /// For the request's head, and for TLS before it.
    pub head_time: Duration,
    /// For the whole body.
    pub body_time: Duration,
    /// For the log to acknowledge.
    pub append_time: Duration,
}

impl Default for GatewayLimits {
    fn default() -> Self {
        GatewayLimits {
            body_bytes: 1 << 20,
            inflated_bytes: 8 << 20,
            deliveries: 256,
            held_bytes: 64 << 20,
            connections: 1_024,
            head_time: Duration::from_secs(10),
            body_time: Duration::from_secs(30),
            append_time: Duration::from_secs(10),
        }
    }
}

/// One source's door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDoor {
    pub path: PathPattern,
    pub auth: Auth,
    /// Attributes of a delivery, such as `property`, and the header that each is taken from (lower case).
    pub headers: BTreeMap<String, String>,
    /// The header with the delivery's id. `None`: the content's hash is the id.
    pub id: Option<String>,
    pub reply: ReplyStyle,
    /// Whether the sender hears of a delivery that can only be a dead letter. With `false` it is a success, for it is durable:
    /// for senders that send nothing else before this one succeeds.
    pub tell_rejections: bool,
    /// Deliveries per second; as many may come at once.
    pub rate: u32,
    /// Media types that are taken, lower case; empty takes JSON, XML and CSV.
    pub content_types: Vec<String>,
}

/// How a sender shows who it is. Several secrets are valid at the same time, so that one can follow another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// Standard Webhooks 1.0: HMAC-SHA256 over id, timestamp and body. `prefix` begins the headers' names: `webhook`, or
    /// `svix` for senders from before the standard.
    StandardWebhooks { prefix: String, secrets: Vec<SecretPlace> },
    /// A header with an HMAC over the body. Says nothing about other headers nor about the time.
    Hmac { header: String, before: String, encoding: Encoding, algorithm: Algorithm, secrets: Vec<SecretPlace> },
    /// RFC 7617.
    Basic { user: String, secrets: Vec<SecretPlace> },
    /// RFC 6750, in the header.
    Bearer { secrets: Vec<SecretPlace> },
}

impl Auth {
    /// Where its secrets are; at least one.
    pub fn secrets(&self) -> &[SecretPlace] {
        match self {
            Auth::StandardWebhooks { secrets, .. }
            | Auth::Hmac { secrets, .. }
            | Auth::Basic { secrets, .. }
            | Auth::Bearer { secrets } => secrets,
        }
    }
}

/// How a signature is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    #[default]
    Hex,
    Base64,
}

/// The hash of an HMAC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    #[default]
    Sha256,
    Sha512,
}

/// Where a secret is; prints as a name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// The environment variable of this name.
    Env(String),
    /// The whole file, without the line break at its end.
    File(PathBuf),
}

impl fmt::Display for SecretPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SecretPlace::Env(name) => write!(f, "the environment variable {name}"),
            SecretPlace::File(path) => write!(f, "{}", path.display()),
        }
    }
}

/// The kind of document that answers a delivery.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReplyStyle {
    /// `{"status":"accepted"}`; RFC 9457 where something is wrong.
    #[default]
    Json,
    /// No body at all.
    Empty,
    /// OpenTravel's answer to the request, with Success or Errors; in an envelope if the request had one.
    Opentravel,
    /// The same with AlpineBits' error codes.
    Alpinebits,
    /// OpenTravel's, or `<ok>` and `<fault>` for requests that are not OpenTravel's.
    BookingCom,
    /// OpenTravel's, without elements that close themselves.
    Expedia,
}

/// A path such as `/pms/{property}`: fixed segments, and segments that become attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern(Vec<Segment>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Segment {
    Fixed(String),
    Named(String),
}

impl PathPattern {
    /// Reads `/pms/{property}`; says what to write instead of what is no pattern.
    pub fn parse(text: &str) -> Result<PathPattern, &'static str> {
        let Some(rest) = text.strip_prefix('/').filter(|rest| !rest.is_empty()) else {
            return Err("begin with `/`, such as \"/pms/{property}\"");
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
        let segment = |segment: &str| match segment.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')) {
            Some(name) if is_attribute(name) => Ok(Segment::Named(name.to_owned())),
            Some(_) => Err("a name in braces has lower-case letters and digits only"),
            None if !segment.is_empty() && segment.bytes().all(plain) => Ok(Segment::Fixed(segment.to_owned())),
            None => Err("segments have letters, digits, `-`, `_`, `.`, `~`, or are a name in braces"),
        };
        Ok(PathPattern(rest.split('/').map(segment).collect::<Result<_, _>>()?))
    }

    /// The attributes that a request's path gives, if it is of this pattern. Percent-escapes are resolved; a path with
    /// broken ones, or with control characters in them, is none.
    pub fn attributes(&self, path: &str) -> Option<Vec<(String, String)>> {
        let mut given = path.strip_prefix('/')?.split('/');
        let mut attributes = Vec::new();
        for segment in &self.0 {
            let value = unescaped(given.next()?)?;
            match segment {
                Segment::Fixed(fixed) if *fixed != value => return None,
                Segment::Fixed(_) => {}
                Segment::Named(_) if value.is_empty() || value.chars().any(char::is_control) => return None,
                Segment::Named(name) => attributes.push((name.clone(), value)),
            }
        }
        given.next().is_none().then_some(attributes)
    }

    /// The attributes that it names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|segment| match segment {
            Segment::Named(name) => Some(name.as_str()),
            Segment::Fixed(_) => None,
        })
    }

    /// Whether some path is of both.
    fn meets(&self, other: &PathPattern) -> bool {
        let differ = |pair: (&Segment, &Segment)| matches!(pair, (Segment::Fixed(a), Segment::Fixed(b)) if a != b);
        self.0.len() == other.0.len() && !self.0.iter().zip(&other.0).any(differ)
    }
}

/// Whether a delivery's attribute can have this name.
pub(super) fn is_attribute(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Resolves percent-escapes; `None` for broken ones and for what is no UTF-8.
fn unescaped(segment: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let mut digit = || char::from(rest.next()?).to_digit(16).and_then(|d| u8::try_from(d).ok());
                digit()? * 16 + digit()?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests;
