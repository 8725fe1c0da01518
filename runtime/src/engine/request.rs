//! What an HTTP request asks for, in ClickHouse's own conventions.
//!
//! Knows the parameters of the URL, the ways to log in, and multipart forms (how clients send
//! `{name:Type}` parameters). Does not judge and does not run anything.

use base64::Engine as _;
use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderMap};
use sha2::{Digest, Sha256};

use super::gate::{Refusal, Role};
use super::library::Parameter;

/// What the URL and the headers say; the body comes later.
#[derive(Debug, Default)]
pub(super) struct Request {
    pub query: Option<String>,
    pub database: Option<String>,
    pub default_format: Option<String>,
    pub query_id: Option<String>,
    /// The answer goes as native blocks.
    pub compress: bool,
    /// The body comes as native blocks.
    pub decompress: bool,
    pub parameters: Vec<Parameter>,
    /// Everything else: settings, in the URL's order.
    pub settings: Vec<(String, String)>,
    user: Option<String>,
    password: Option<String>,
}

/// Parameters that mean something to ClickHouse's HTTP interface and nothing here: there are no
/// sessions, roles or quotas, and an answer is never cut into progress headers.
const WITHOUT_EFFECT: &[&str] = &[
    "session_id",
    "session_timeout",
    "session_check",
    "close_session",
    "quota_key",
    "role",
    "stacktrace",
    "buffer_size",
    "client_protocol_version",
    "http_method",
];

impl Request {
    /// Reads the URL's query string and the headers.
    pub fn read(query_string: &str, headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut request = Request::default();
        for pair in query_string.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (name, value) = (percent_decode(name)?, percent_decode(value)?);
            request.parameter(name, value);
        }
        let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        if let Some((user, password)) = basic(headers) {
            (request.user, request.password) = (Some(user), Some(password));
        }
        request.user = header("x-clickhouse-user").or(request.user);
        request.password = header("x-clickhouse-key").or(request.password);
        request.database = header("x-clickhouse-database").or(request.database);
        request.default_format = header("x-clickhouse-format").or(request.default_format);
        Ok(request)
    }

    fn parameter(&mut self, name: String, value: String) {
        match name.as_str() {
            "query" => self.query = Some(value),
            "database" => self.database = Some(value),
            "default_format" => self.default_format = Some(value),
            "query_id" => self.query_id = Some(value),
            "compress" => self.compress = value == "1",
            "decompress" => self.decompress = value == "1",
            "user" => self.user = Some(value),
            "password" => self.password = Some(value),
            name if WITHOUT_EFFECT.contains(&name) => {}
            _ => match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None => self.settings.push((name, value)),
            },
        }
    }

    /// Takes the parts of a form: `query` and parameters.
    pub fn take_form(&mut self, body: &[u8], boundary: &str) -> Result<(), Refusal> {
        for (name, value) in form_parts(body, boundary)? {
            match name.strip_prefix("param_") {
                Some(parameter) => self.parameters.push((parameter.to_owned(), value)),
                None if name == "query" => self.query = Some(value),
                None => return Err(Refusal::syntax(format!("A form has query and param_* parts, not {name:?}."))),
            }
        }
        Ok(())
    }
}

/// The two passwords, as digests: comparing them tells nothing about how much of one was right.
pub(super) struct Users {
    writer: [u8; 32],
    reader: [u8; 32],
}

impl Users {
    pub fn new(writer: &str, reader: &str) -> Self {
        Self { writer: Sha256::digest(writer).into(), reader: Sha256::digest(reader).into() }
    }

    /// Who sent the request. The name may be missing or ClickHouse's `default`; then the password decides.
    pub fn role(&self, request: &Request) -> Result<Role, Refusal> {
        let failed = || Refusal {
            code: 516,
            name: "AUTHENTICATION_FAILED",
            message: format!(
                "Authentication failed: the users are {} and {}, their passwords stand in the pipeline's data directory.",
                super::WRITER,
                super::READER
            ),
        };
        let given: [u8; 32] = Sha256::digest(request.password.as_deref().ok_or_else(failed)?).into();
        match request.user.as_deref() {
            Some(super::WRITER) if given == self.writer => Ok(Role::Writer),
            Some(super::READER) if given == self.reader => Ok(Role::Reader),
            _ => Err(failed()),
        }
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD.decode(encoded.trim()).ok()?;
    let decoded = String::from_utf8(decoded).ok()?;
    let (user, password) = decoded.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn percent_decode(text: &str) -> Result<String, Refusal> {
    let bad = || Refusal::syntax("The URL has a percent sign that is no escape, or is not UTF-8.");
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || bytes.next().and_then(|b| char::from(b).to_digit(16)).ok_or_else(bad);
                // Two hexadecimal digits are at most 255.
                (digit()? * 16 + digit()?) as u8
            }
            other => other,
        });
    }
    String::from_utf8(out).map_err(|_| bad())
}

/// The boundary of a `multipart/form-data` request.
pub(super) fn form_boundary(headers: &HeaderMap) -> Option<String> {
    let content_type = headers.get(hyper::header::CONTENT_TYPE)?.to_str().ok()?;
    let (kind, rest) = content_type.split_once(';')?;
    if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
        return None;
    }
    let boundary = rest.split(';').find_map(|item| {
        let (name, value) = item.split_once('=')?;
        name.trim().eq_ignore_ascii_case("boundary").then(|| value.trim().trim_matches('"').to_owned())
    })?;
    (!boundary.is_empty()).then_some(boundary)
}

/// Name and content of each part.
fn form_parts(body: &[u8], boundary: &str) -> Result<Vec<(String, String)>, Refusal> {
    let bad = || Refusal::syntax("The form of the request is damaged.");
    let text = std::str::from_utf8(body).map_err(|_| bad())?;
    let opening = format!("--{boundary}");
    let separator = format!("\r\n{opening}");
    let start = text.find(&opening).ok_or_else(bad)?;
    let mut rest = &text[start + opening.len()..];
    let mut parts = Vec::new();
    while !rest.starts_with("--") {
        let part = rest.strip_prefix("\r\n").ok_or_else(bad)?;
        let end = part.find(&separator).ok_or_else(bad)?;
        let (head, content) = part[..end].split_once("\r\n\r\n").ok_or_else(bad)?;
        parts.push((part_name(head).ok_or_else(bad)?, content.to_owned()));
        rest = &part[end + separator.len()..];
    }
    Ok(parts)
}

fn part_name(head: &str) -> Option<String> {
    let disposition = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-disposition:"))?;
    let name = disposition.split(';').find_map(|item| item.trim().strip_prefix("name="))?;
    Some(name.trim_matches('"').to_owned())
}

/// The identifier of a request, ours when the client gave none.
pub(super) fn query_id(given: Option<&str>) -> String {
    let usable = |id: &&str| !id.is_empty() && id.len() <= 200 && id.bytes().all(|b| (0x21..0x7f).contains(&b));
    given.filter(usable).map_or_else(random_hex, str::to_owned)
}

/// 32 hexadecimal digits.
pub(super) fn random_hex() -> String {
    let mut bytes = [0_u8; 16];
    // Only names a request: a failing random source may repeat one.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An empty body.
pub(super) const EMPTY: Bytes = Bytes::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_url_is_sorted_into_its_uses() {
        let url = "query=SELECT+1%2C2&param_a=%C3%A4&max_threads=2&database=d&session_id=x&decompress=1&user=u";
        let request = Request::read(url, &HeaderMap::new()).unwrap();
        assert_eq!(request.query.as_deref(), Some("SELECT 1,2"));
        assert_eq!(request.parameters, [("a".to_owned(), "\u{e4}".to_owned())]);
        assert_eq!(request.settings, [("max_threads".to_owned(), "2".to_owned())]);
        assert!(request.decompress && !request.compress);
        assert!(Request::read("query=%zz", &HeaderMap::new()).is_err());
        assert!(Request::read("query=%ff", &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_form_gives_query_and_parameters() {
        let body = "--b\r\nContent-Disposition: form-data; name=\"query\"\r\n\r\nSELECT {x:String}\r\n--b\r\n\
                    Content-Disposition: form-data; name=\"param_x\"\r\nContent-Type: text/plain\r\n\r\na\r\nb\r\n--b--\r\n";
        let mut request = Request::default();
        request.take_form(body.as_bytes(), "b").unwrap();
        assert_eq!(request.query.as_deref(), Some("SELECT {x:String}"));
        assert_eq!(request.parameters, [("x".to_owned(), "a\r\nb".to_owned())]);
        assert!(Request::default().take_form(b"--b\r\nnothing", "b").is_err());
    }

    #[test]
    fn a_user_needs_its_own_password() {
        let users = Users::new("w", "r");
        let with = |user: &str, password: &str| Request {
            user: Some(user.to_owned()),
            password: Some(password.to_owned()),
            ..Request::default()
        };
        assert_eq!(users.role(&with("concord", "w")), Ok(Role::Writer));
        assert_eq!(users.role(&with("reader", "r")), Ok(Role::Reader));
        for (user, password) in [("concord", "r"), ("reader", "w"), ("default", "w"), ("concord", "")] {
            assert_eq!(users.role(&with(user, password)).unwrap_err().code, 516);
        }
        assert_eq!(users.role(&Request::default()).unwrap_err().code, 516);
    }
}
