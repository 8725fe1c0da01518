//! From the sections' text to the gateway's settings, with every mistake at its place.
//!
//! Knows the words of the sections. Does not open anything.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use super::super::quantity::{Period, Size};
use super::super::raw::Reader;
use super::{
    Algorithm, Auth, Encoding, Gateway, GatewayLimits, PathPattern, ReplyStyle, SecretPlace, SourceDoor, TlsFiles,
    is_attribute,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawGateway {
    listen: Option<Spanned<String>>,
    certificate_file: Option<Spanned<PathBuf>>,
    key_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    plaintext: bool,
    metrics: Option<Spanned<String>>,
    body_limit: Option<Spanned<Size>>,
    inflated_limit: Option<Spanned<Size>>,
    deliveries: Option<Spanned<i64>>,
    held: Option<Spanned<Size>>,
    connections: Option<Spanned<i64>>,
    head_timeout: Option<Spanned<Period>>,
    body_timeout: Option<Spanned<Period>>,
    append_timeout: Option<Spanned<Period>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawDoor {
    path: Option<Spanned<String>>,
    auth: Spanned<RawAuth>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, Spanned<String>>,
    id_header: Option<Spanned<String>>,
    #[serde(default)]
    reply: ReplyStyle,
    #[serde(default = "yes")]
    tell_rejections: bool,
    rate: Option<Spanned<i64>>,
    #[serde(default)]
    content_types: Vec<String>,
}

fn yes() -> bool {
    true
}

/// A misfit is not repeated: it may be the secret itself.
fn secrets<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Spanned<String>>, D::Error> {
    let misfit =
        |_| serde::de::Error::custom("`secrets` is no list of texts, expected [\"env:NAME\"] or [\"file:PATH\"]");
    Vec::deserialize(deserializer).map_err(misfit)
}

/// `kind` tells which of the others belong.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAuth {
    kind: Spanned<String>,
    #[serde(default, deserialize_with = "secrets")]
    secrets: Vec<Spanned<String>>,
    header_prefix: Option<Spanned<String>>,
    header: Option<Spanned<String>>,
    prefix: Option<Spanned<String>>,
    encoding: Option<Spanned<Encoding>>,
    algorithm: Option<Spanned<Algorithm>>,
    user: Option<Spanned<String>>,
}

impl Reader<'_> {
    /// The section `[gateway]`, with the doors of the sources.
    pub(in crate::config) fn gateway(
        &mut self,
        raw: Option<Spanned<RawGateway>>,
        doors: Vec<(Spanned<String>, RawDoor)>,
    ) -> Option<Gateway> {
        let Some(raw) = raw else {
            if let Some((name, _)) = doors.first() {
                let message =
                    format!("the source `{}` has a gateway, and there is no section [gateway]", name.get_ref());
                self.report(name.span(), message, "add [gateway] with listen = \"127.0.0.1:8080\"");
            }
            return None;
        };
        let (at, raw) = (raw.span(), raw.into_inner());
        if doors.is_empty() {
            self.report(at.clone(), "[gateway] without a source that uses it", "add [source.gateway] to a source");
        }
        let listen = self.gateway_address(&raw);
        let tls = match (&raw.certificate_file, &raw.key_file) {
            (Some(certificate), Some(key)) => {
                Some(TlsFiles { certificate: self.path(certificate.get_ref()), key: self.path(key.get_ref()) })
            }
            (None, None) => None,
            _ => {
                self.report(at.clone(), "a certificate needs its key", "write both certificate_file and key_file");
                None
            }
        };
        let limits = self.gateway_limits(&raw);
        let metrics = raw.metrics.as_ref().and_then(|text| self.metrics_address(text));
        let mut sources: BTreeMap<Arc<str>, SourceDoor> = BTreeMap::new();
        for (name, raw) in doors {
            let path_at = raw.path.as_ref().map_or_else(|| name.span(), Spanned::span);
            let Some(door) = self.door(&name, raw) else { continue };
            if let Some((other, _)) = sources.iter().find(|(_, other)| other.path.meets(&door.path)) {
                let message = format!("the paths of `{other}` and `{}` can be the same", name.get_ref());
                self.report(path_at, message, "let them differ in a segment without braces");
            }
            sources.insert(name.into_inner().into(), door);
        }
        Some(Gateway { listen, tls, limits, metrics, sources })
    }

    fn gateway_address(&mut self, raw: &RawGateway) -> SocketAddr {
        let default = SocketAddr::from(([127, 0, 0, 1], 8080));
        let Some(text) = &raw.listen else { return default };
        let Ok(address) = text.get_ref().parse::<SocketAddr>() else {
            let message = format!("`{}` is no address with a port", text.get_ref());
            self.report(text.span(), message, "write one such as \"0.0.0.0:8443\"");
            return default;
        };
        if !address.ip().is_loopback() && raw.certificate_file.is_none() && !raw.plaintext {
            let remedy = "add certificate_file and key_file, or plaintext = true if a proxy before it does TLS";
            self.report(text.span(), "secrets and guests' data would cross the network unencrypted", remedy);
        }
        address
    }

    fn metrics_address(&mut self, text: &Spanned<String>) -> Option<SocketAddr> {
        let address = text.get_ref().parse::<SocketAddr>().ok().filter(|address| address.ip().is_loopback());
        if address.is_none() {
            let message = format!("`{}` is no loopback address with a port", text.get_ref());
            self.report(text.span(), message, "write one such as \"127.0.0.1:9464\": it is for this machine alone");
        }
        address
    }

    fn gateway_limits(&mut self, raw: &RawGateway) -> GatewayLimits {
        let default = GatewayLimits::default();
        let size = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        let body = self.size(raw.body_limit.as_ref(), default.body_bytes as u64, 1 << 10, 256 << 20);
        let inflated = self.size(raw.inflated_limit.as_ref(), default.inflated_bytes as u64, 1 << 10, 256 << 20);
        let held = self.size(raw.held.as_ref(), (default.held_bytes as u64).max(body).max(inflated), 1 << 10, 16 << 30);
        if let Some(given) = raw.held.as_ref().filter(|_| held < body.max(inflated)) {
            self.report(given.span(), "less than one body may have", "at least body_limit and inflated_limit");
        }
        GatewayLimits {
            body_bytes: size(body),
            inflated_bytes: size(inflated),
            deliveries: size(self.number(raw.deliveries.as_ref(), default.deliveries as u64, 1..100_001)),
            held_bytes: size(held),
            connections: size(self.number(raw.connections.as_ref(), default.connections as u64, 1..100_001)),
            head_time: self.period(raw.head_timeout.as_ref(), default.head_time),
            body_time: self.period(raw.body_timeout.as_ref(), default.body_time),
            append_time: self.period(raw.append_timeout.as_ref(), default.append_time),
        }
    }

    fn period(&mut self, value: Option<&Spanned<Period>>, default: Duration) -> Duration {
        self.span(value, default, Duration::from_millis(10), Duration::from_secs(600), "10ms to 10m")
    }

    fn door(&mut self, name: &Spanned<String>, raw: RawDoor) -> Option<SourceDoor> {
        let (path_at, path) = match raw.path {
            Some(path) => (path.span(), path.into_inner()),
            None => (name.span(), format!("/{}", name.get_ref())),
        };
        let path = match PathPattern::parse(&path) {
            Ok(path) => Some(path),
            Err(remedy) => {
                self.report(path_at, format!("`{path}` is no path"), remedy);
                None
            }
        };
        let mut headers = BTreeMap::new();
        for (attribute, header) in raw.headers {
            let taken = path.as_ref().is_some_and(|path| path.names().any(|name| name == attribute.get_ref()));
            if !is_attribute(attribute.get_ref()) || taken {
                let message = format!("`{}` cannot be an attribute here", attribute.get_ref());
                self.report(attribute.span(), message, "lower-case letters and digits, and none that the path gives");
            }
            headers.insert(attribute.into_inner(), self.header(&header));
        }
        let id = match &raw.id_header {
            Some(header) if header.get_ref() == "none" => None,
            Some(header) => Some(self.header(header)),
            None => match raw.auth.get_ref().kind.get_ref().as_str() {
                // Not signed: who repeats a message could give it another one.
                "hmac" => None,
                _ => Some(format!("{}-id", prefix(raw.auth.get_ref()))),
            },
        };
        let rate = u32::try_from(self.number(raw.rate.as_ref(), 1_000, 1..1_000_001)).unwrap_or(1_000);
        let auth = self.auth(raw.auth);
        let content_types = raw.content_types.iter().map(|kind| kind.trim().to_ascii_lowercase()).collect();
        Some(SourceDoor {
            path: path?,
            auth: auth?,
            headers,
            id,
            reply: raw.reply,
            tell_rejections: raw.tell_rejections,
            rate,
            content_types,
        })
    }

    /// A header's name, in lower case.
    pub(in crate::config) fn header(&mut self, name: &Spanned<String>) -> String {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        let text = name.get_ref();
        if text.is_empty() || !text.bytes().all(token) {
            self.report(name.span(), format!("`{text}` is no name of a header"), "write one such as \"x-hotel-id\"");
        }
        text.to_ascii_lowercase()
    }

    fn auth(&mut self, raw: Spanned<RawAuth>) -> Option<Auth> {
        let (at, raw) = (raw.span(), raw.into_inner());
        let secrets = self.secrets(&at, &raw.secrets);
        let kind = raw.kind.get_ref().as_str();
        let belongs = [
            (raw.header_prefix.as_ref().map(Spanned::span), "header_prefix", "standard-webhooks"),
            (raw.header.as_ref().map(Spanned::span), "header", "hmac"),
            (raw.prefix.as_ref().map(Spanned::span), "prefix", "hmac"),
            (raw.encoding.as_ref().map(Spanned::span), "encoding", "hmac"),
            (raw.algorithm.as_ref().map(Spanned::span), "algorithm", "hmac"),
            (raw.user.as_ref().map(Spanned::span), "user", "basic"),
        ];
        for (span, word, owner) in belongs {
            if let Some(span) = span.filter(|_| kind != owner) {
                self.report(span, format!("`{word}` belongs to kind = \"{owner}\""), "remove it or change `kind`");
            }
        }
        match kind {
            "standard-webhooks" => Some(Auth::StandardWebhooks { prefix: prefix(&raw).to_owned(), secrets }),
            "bearer" => Some(Auth::Bearer { secrets }),
            "basic" => match raw.user {
                Some(user) if !user.get_ref().contains(':') => Some(Auth::Basic { user: user.into_inner(), secrets }),
                _ => {
                    self.report(at, "kind = \"basic\" needs `user`, without a colon", "add user = \"...\"");
                    None
                }
            },
            "hmac" => match raw.header {
                Some(header) => Some(Auth::Hmac {
                    header: self.header(&header),
                    before: raw.prefix.map(Spanned::into_inner).unwrap_or_default(),
                    encoding: raw.encoding.map(Spanned::into_inner).unwrap_or_default(),
                    algorithm: raw.algorithm.map(Spanned::into_inner).unwrap_or_default(),
                    secrets,
                }),
                None => {
                    self.report(at, "kind = \"hmac\" needs `header`", "add the header with the signature");
                    None
                }
            },
            other => {
                let remedy = "write \"standard-webhooks\", \"hmac\", \"basic\" or \"bearer\"";
                self.report(raw.kind.span(), format!("unknown kind `{other}`"), remedy);
                None
            }
        }
    }

    fn secrets(&mut self, at: &std::ops::Range<usize>, raw: &[Spanned<String>]) -> Vec<SecretPlace> {
        if raw.is_empty() {
            self.report(at.clone(), "there are no secrets", "add secrets = [\"env:NAME\"] or [\"file:PATH\"]");
        }
        raw.iter().filter_map(|text| self.secret_place(text)).collect()
    }
}

fn prefix(raw: &RawAuth) -> &str {
    raw.header_prefix.as_ref().map_or("webhook", |prefix| prefix.get_ref().as_str())
}
