//! From the sections' text to folders and endpoints, with every mistake at its place.
//!
//! Knows the words of the sections. Does not open anything.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Uri;
use serde::Deserialize;
use toml::Spanned;

use super::super::gateway::{SecretPlace, is_attribute};
use super::super::quantity::{Period, Size};
use super::super::raw::Reader;
use super::{Cursor, CursorPlace, Folder, Poll, PollAuth};

/// Of one delivery.
const BODY_BYTES: u64 = 8 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawFolder {
    path: Spanned<PathBuf>,
    done: Option<PathBuf>,
    failed: Option<PathBuf>,
    every: Option<Spanned<Period>>,
    settle: Option<Spanned<Period>>,
    keep: Option<Spanned<Period>>,
    #[serde(default)]
    lines: bool,
    content_type: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<Spanned<String>, String>,
    body_limit: Option<Spanned<Size>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::config) struct RawPoll {
    url: Spanned<String>,
    auth: Option<Spanned<RawPollAuth>>,
    #[serde(default)]
    headers: BTreeMap<Spanned<String>, Spanned<String>>,
    every: Option<Spanned<Period>>,
    timeout: Option<Spanned<Period>>,
    cursor: Option<Spanned<RawCursor>>,
    ca_file: Option<PathBuf>,
    #[serde(default)]
    plaintext: bool,
    content_type: Option<String>,
    #[serde(default)]
    attributes: BTreeMap<Spanned<String>, String>,
    body_limit: Option<Spanned<Size>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPollAuth {
    kind: Spanned<String>,
    #[serde(deserialize_with = "secret")]
    secret: Spanned<String>,
    user: Option<Spanned<String>>,
    header: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCursor {
    pointer: Option<Spanned<String>>,
    header: Option<Spanned<String>>,
    parameter: Spanned<String>,
    first: Option<String>,
    #[serde(default)]
    drain: bool,
}

/// A misfit is not repeated: it may be the secret itself.
fn secret<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Spanned<String>, D::Error> {
    let misfit = |_| serde::de::Error::custom("`secret` is no text, expected \"env:NAME\" or \"file:PATH\"");
    Spanned::deserialize(deserializer).map_err(misfit)
}

impl Reader<'_> {
    pub(in crate::config) fn folder(&mut self, raw: RawFolder) -> Folder {
        let path = self.path(raw.path.get_ref());
        let beside = |given: Option<PathBuf>, name: &str, reader: &Self| {
            given.map_or_else(|| path.join(name), |given| reader.path(&given))
        };
        let done = beside(raw.done, "done", self);
        let failed = beside(raw.failed, "failed", self);
        if done == path || failed == path || done == failed {
            let remedy = "give `path`, `done` and `failed` a folder each";
            self.report(raw.path.span(), "files would be taken again where they are put away", remedy);
        }
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let keep = raw.keep.as_ref().map(|keep| self.span(Some(keep), day, day / 24, day * 3_660, "1h to 3660d"));
        Folder {
            every: self.span(raw.every.as_ref(), second, second / 100, day, "10ms to 1d"),
            settle: self.span(raw.settle.as_ref(), second * 2, Duration::ZERO, day, "0s to 1d"),
            keep,
            lines: raw.lines,
            content_type: raw.content_type,
            attributes: self.attributes(raw.attributes),
            body_bytes: self.body_limit(raw.body_limit.as_ref()),
            path,
            done,
            failed,
        }
    }

    pub(in crate::config) fn poll(&mut self, raw: RawPoll) -> Poll {
        self.url(&raw);
        let (second, day) = (Duration::from_secs(1), Duration::from_secs(86_400));
        let auth = raw.auth.and_then(|auth| self.poll_auth(auth));
        let cursor = raw.cursor.and_then(|cursor| self.cursor(cursor));
        let mut headers = Vec::new();
        for (name, value) in raw.headers {
            let lower = self.header(&name);
            let of_its_own = ["host", "authorization", "if-none-match", "if-modified-since", "accept-encoding"];
            if of_its_own.contains(&lower.as_str()) {
                let remedy = "remove the line; `auth` says who Concord is";
                self.report(name.span(), format!("`{lower}` is set by Concord"), remedy);
            }
            if hyper::header::HeaderValue::from_str(value.get_ref()).is_err() {
                self.report(value.span(), "this cannot stand in a header", "use visible ASCII characters");
            }
            headers.push((lower, value.into_inner()));
        }
        Poll {
            url: raw.url.into_inner(),
            auth,
            headers,
            every: self.span(raw.every.as_ref(), second * 60, second / 100, day, "10ms to 1d"),
            timeout: self.span(raw.timeout.as_ref(), second * 30, second / 100, second * 600, "10ms to 10m"),
            cursor,
            ca_file: raw.ca_file.map(|path| self.path(&path)),
            content_type: raw.content_type,
            attributes: self.attributes(raw.attributes),
            body_bytes: self.body_limit(raw.body_limit.as_ref()),
        }
    }

    fn url(&mut self, raw: &RawPoll) {
        let (at, text) = (raw.url.span(), raw.url.get_ref());
        let remedy = "write one such as \"https://api.example/reservations\", without user and fragment";
        let Ok(uri) = text.parse::<Uri>() else {
            return self.report(at, "`url` is no address", remedy);
        };
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let own = host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback());
        match uri.scheme_str() {
            // What stands before the `@` is not repeated: it may be a secret.
            _ if uri.authority().is_none_or(|a| a.as_str().contains('@')) || text.contains('#') || host.is_empty() => {
                self.report(at, "`url` is no plain address", remedy);
            }
            Some("https") => {}
            Some("http") if own || raw.plaintext => {}
            Some("http") => {
                let remedy = "write https://, or plaintext = true if the network between is trusted";
                self.report(at, "secrets and guests' data would cross the network unencrypted", remedy);
            }
            _ => self.report(at, "`url` is neither http:// nor https://", remedy),
        }
    }

    fn poll_auth(&mut self, raw: Spanned<RawPollAuth>) -> Option<PollAuth> {
        let (at, raw) = (raw.span(), raw.into_inner());
        let secret = self.secret_place(&raw.secret);
        let kind = raw.kind.get_ref().as_str();
        let belongs = [(raw.user.as_ref(), "user", "basic"), (raw.header.as_ref(), "header", "header")];
        for (given, word, owner) in belongs {
            if let Some(given) = given.filter(|_| kind != owner) {
                let message = format!("`{word}` belongs to kind = \"{owner}\"");
                self.report(given.span(), message, "remove it or change `kind`");
            }
        }
        match (kind, raw.user, raw.header) {
            ("bearer", ..) => Some(PollAuth::Bearer(secret?)),
            ("basic", Some(user), _) if !user.get_ref().contains(':') => {
                Some(PollAuth::Basic { user: user.into_inner(), password: secret? })
            }
            ("basic", ..) => {
                self.report(at, "kind = \"basic\" needs `user`, without a colon", "add user = \"...\"");
                None
            }
            ("header", _, Some(header)) => Some(PollAuth::Header { name: self.header(&header), secret: secret? }),
            ("header", ..) => {
                self.report(at, "kind = \"header\" needs `header`", "add header = \"x-api-key\"");
                None
            }
            (other, ..) => {
                let remedy = "write \"bearer\", \"basic\" or \"header\"";
                self.report(raw.kind.span(), format!("unknown kind `{other}`"), remedy);
                None
            }
        }
    }

    fn cursor(&mut self, raw: Spanned<RawCursor>) -> Option<Cursor> {
        let (at, raw) = (raw.span(), raw.into_inner());
        let from = match (raw.pointer, raw.header) {
            (Some(pointer), None) => {
                if !pointer.get_ref().starts_with('/') {
                    let message = format!("`{}` is no JSON pointer", pointer.get_ref());
                    self.report(pointer.span(), message, "begin with `/`, such as \"/meta/next\"");
                }
                CursorPlace::Pointer(pointer.into_inner())
            }
            (None, Some(header)) => CursorPlace::Header(self.header(&header)),
            _ => {
                let remedy = "write one of pointer = \"/meta/next\" and header = \"x-next\"";
                self.report(at, "a cursor stands in one place of an answer", remedy);
                return None;
            }
        };
        let name = raw.parameter.get_ref();
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~[]$".contains(&b)) {
            let message = format!("`{name}` is no name of a query parameter");
            self.report(raw.parameter.span(), message, "letters, digits and `-_.~[]$`");
        }
        Some(Cursor { from, parameter: raw.parameter.into_inner(), first: raw.first, drain: raw.drain })
    }

    fn attributes(&mut self, raw: BTreeMap<Spanned<String>, String>) -> Vec<(String, String)> {
        let mut attributes = Vec::new();
        for (name, value) in raw {
            if !is_attribute(name.get_ref()) {
                let message = format!("`{}` cannot be an attribute", name.get_ref());
                self.report(name.span(), message, "lower-case letters and digits");
            }
            attributes.push((name.into_inner(), value));
        }
        attributes
    }

    fn body_limit(&mut self, raw: Option<&Spanned<Size>>) -> usize {
        usize::try_from(self.size(raw, BODY_BYTES, 1 << 10, 1 << 30)).unwrap_or(usize::MAX)
    }

    /// A time within bounds, or the default.
    pub(in crate::config) fn span(
        &mut self,
        value: Option<&Spanned<Period>>,
        default: Duration,
        least: Duration,
        most: Duration,
        remedy: &str,
    ) -> Duration {
        let Some(value) = value else { return default };
        let Period(time) = *value.get_ref();
        if (least..=most).contains(&time) {
            return time;
        }
        self.report(value.span(), "the time is out of bounds", remedy);
        default
    }

    /// `env:NAME` or `file:PATH`.
    pub(in crate::config) fn secret_place(&mut self, text: &Spanned<String>) -> Option<SecretPlace> {
        match text.get_ref().split_once(':') {
            Some(("env", name)) if !name.is_empty() && !name.contains(['=', '\0']) => {
                Some(SecretPlace::Env(name.to_owned()))
            }
            Some(("file", path)) if !path.is_empty() => Some(SecretPlace::File(self.path(Path::new(path)))),
            // Not repeated: it may be the secret itself.
            _ => {
                let remedy = "write \"env:NAME\" or \"file:PATH\"; if it was a secret, it is none any more";
                self.report(text.span(), "this names no place of a secret", remedy);
                None
            }
        }
    }
}
