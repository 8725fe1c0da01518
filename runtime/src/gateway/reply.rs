//! The document that answers a delivery, in the words of its format.
//!
//! Knows the formats' success and error documents and how little of a request is needed for them: its root element, echo token
//! and version. OpenTravel: codes of the lists EWT (error warning type) and ERR (error codes) of the OTA code list; AlpineBits
//! 2020-10, section 2.3 (application errors have type 13); Booking.com's B.XML (`ok`, `fault`). A confirmation number, which
//! Expedia would like in a success document, is not Concord's to give.

use hyper::StatusCode;

use crate::config::ReplyStyle;

/// How a delivery ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything is durable: this many records.
    Accepted { records: usize },
    /// Durable, and nothing can be made of it: a dead letter.
    Rejected { reason: String },
    /// Nothing of it is durable.
    Refused { status: StatusCode, reason: String },
}

/// An answer without its headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    pub status: StatusCode,
    /// Empty where there is no body.
    pub content_type: &'static str,
    pub body: String,
}

/// One format's documents. In braces: what is filled in.
struct Template {
    success: &'static str,
    failure: &'static str,
    /// What HTTP says of a delivery that the format's own document rejects.
    rejected: StatusCode,
}

const OPENTRAVEL: Template = Template {
    success: "<{message} xmlns=\"http://www.opentravel.org/OTA/2003/05\" Version=\"{version}\" TimeStamp=\"{time}\"{echo}>\
              <Success/></{message}>",
    failure: "<{message} xmlns=\"http://www.opentravel.org/OTA/2003/05\" Version=\"{version}\" TimeStamp=\"{time}\"{echo}>\
              <Errors><Error Type=\"{type}\" Code=\"{code}\">{reason}</Error></Errors></{message}>",
    rejected: StatusCode::OK,
};

const EXPEDIA: Template = Template {
    success: "<{message} xmlns=\"http://www.opentravel.org/OTA/2003/05\" Version=\"{version}\" TimeStamp=\"{time}\"{echo}>\
              <Success></Success></{message}>",
    failure: OPENTRAVEL.failure,
    rejected: StatusCode::OK,
};

const B_XML: Template = Template {
    success: "<ok></ok>",
    failure: "<fault code=\"{code}\" string=\"{reason}\"/>",
    rejected: StatusCode::OK,
};

const JSON: Template = Template {
    success: "{\"status\":\"accepted\",\"records\":{records}}",
    failure: "{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"detail\":\"{reason}\"}",
    rejected: StatusCode::UNPROCESSABLE_ENTITY,
};

/// Envelopes by the namespace that a request names: SOAP 1.1 and 1.2, with the media type of each.
const ENVELOPES: [(&str, &str); 2] = [
    ("http://schemas.xmlsoap.org/soap/envelope/", "text/xml; charset=utf-8"),
    ("http://www.w3.org/2003/05/soap-envelope", "application/soap+xml; charset=utf-8"),
];

/// How far into a request its root element is looked for, in bytes.
const HEAD: usize = 16 << 10;

/// What the answer needs to know of the request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Such as `OTA_HotelResNotif`, of `OTA_HotelResNotifRQ`.
    message: Option<String>,
    echo: Option<String>,
    version: Option<String>,
    /// An index into the envelopes.
    envelope: Option<usize>,
}

impl Asked {
    /// Looks at the beginning of a body. Whatever is not found or cannot stand in an answer as it is is left out.
    pub fn of(body: &[u8]) -> Asked {
        let mut asked = Asked::default();
        let head = String::from_utf8_lossy(&body[..body.len().min(HEAD)]);
        for tag in head.split('<').skip(1).filter(|tag| !tag.starts_with(['?', '!', '/'])).take(64) {
            let inner = tag.split('>').next().unwrap_or(tag);
            let name = inner.split(|c: char| c.is_whitespace() || c == '/').next().unwrap_or(inner);
            let name = name.rsplit(':').next().unwrap_or(name);
            if name == "Envelope" {
                asked.envelope = ENVELOPES.iter().position(|(space, _)| inner.contains(space));
            } else if let Some(message) = name.strip_suffix("RQ").and_then(plain) {
                asked.message = Some(message);
                asked.echo = attribute(inner, "EchoToken");
                asked.version = attribute(inner, "Version");
                break;
            }
        }
        asked
    }
}

/// Text that needs no escaping anywhere.
fn plain(text: &str) -> Option<String> {
    let harmless = |b: u8| b.is_ascii_alphanumeric() || b"._:-+/=".contains(&b);
    ((1..=128).contains(&text.len()) && text.bytes().all(harmless)).then(|| text.to_owned())
}

fn attribute(tag: &str, name: &str) -> Option<String> {
    let at = tag.match_indices(name).find(|(at, _)| tag[..*at].ends_with(char::is_whitespace))?.0;
    let rest = tag[at + name.len()..].trim_start().strip_prefix('=')?.trim_start();
    let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    plain(rest[1..].split(quote).next()?)
}

/// The answer. `now` is in microseconds since 1970.
pub fn document(style: ReplyStyle, outcome: &Outcome, asked: &Asked, now: i64) -> Document {
    let template = match style {
        ReplyStyle::Empty => return empty(outcome),
        ReplyStyle::Json => &JSON,
        ReplyStyle::BookingCom if asked.message.is_none() => &B_XML,
        ReplyStyle::Expedia => &EXPEDIA,
        ReplyStyle::Opentravel | ReplyStyle::Alpinebits | ReplyStyle::BookingCom => &OPENTRAVEL,
    };
    let status = status(outcome, template.rejected);
    let escape = if style == ReplyStyle::Json { escape_json } else { escape_xml };
    let text = match outcome {
        Outcome::Accepted { .. } => template.success,
        _ => template.failure,
    };
    let (kind, code) = codes(style, outcome);
    let body = fill(text, |word| match word {
        "message" => format!("{}RS", asked.message.as_deref().unwrap_or("OTA_HotelResNotif")),
        "version" => asked.version.clone().unwrap_or_else(|| "1.000".to_owned()),
        "time" => crate::types::rfc3339_micros(now),
        "echo" => asked.echo.as_ref().map(|echo| format!(" EchoToken=\"{echo}\"")).unwrap_or_default(),
        "type" => kind.to_owned(),
        "code" => code.to_owned(),
        "title" => status.canonical_reason().unwrap_or("Error").to_owned(),
        "status" => status.as_u16().to_string(),
        "reason" => escape(reason(outcome)),
        "records" => match outcome {
            Outcome::Accepted { records } => records.to_string(),
            _ => String::new(),
        },
        _ => String::new(),
    });
    match (style, outcome) {
        (ReplyStyle::Json, Outcome::Accepted { .. }) => Document { status, content_type: "application/json", body },
        (ReplyStyle::Json, _) => Document { status, content_type: "application/problem+json", body },
        _ => enveloped(status, body, asked),
    }
}

fn enveloped(status: StatusCode, body: String, asked: &Asked) -> Document {
    let declaration = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";
    match asked.envelope.and_then(|at| ENVELOPES.get(at)) {
        None => {
            Document { status, content_type: "application/xml; charset=utf-8", body: format!("{declaration}{body}") }
        }
        Some((space, content_type)) => {
            let body =
                format!("{declaration}<s:Envelope xmlns:s=\"{space}\"><s:Header/><s:Body>{body}</s:Body></s:Envelope>");
            Document { status, content_type, body }
        }
    }
}

fn status(outcome: &Outcome, rejected: StatusCode) -> StatusCode {
    match outcome {
        Outcome::Accepted { .. } => StatusCode::OK,
        Outcome::Rejected { .. } => rejected,
        Outcome::Refused { status, .. } => *status,
    }
}

fn empty(outcome: &Outcome) -> Document {
    let status = match outcome {
        Outcome::Accepted { .. } => StatusCode::NO_CONTENT,
        other => status(other, StatusCode::UNPROCESSABLE_ENTITY),
    };
    Document { status, content_type: "", body: String::new() }
}

fn reason(outcome: &Outcome) -> &str {
    match outcome {
        Outcome::Accepted { .. } => "",
        Outcome::Rejected { reason } | Outcome::Refused { reason, .. } => reason,
    }
}

/// OpenTravel's error type and code. Types: 3 business rule, 6 authorization, 12 processing exception, 13 application error.
/// Codes: 187 system currently unavailable, 450 unable to process, 497 authorization error.
fn codes(style: ReplyStyle, outcome: &Outcome) -> (&'static str, &'static str) {
    let (kind, code) = match outcome {
        Outcome::Accepted { .. } => ("", ""),
        Outcome::Rejected { .. } => ("3", "450"),
        Outcome::Refused { status, .. } if *status == StatusCode::UNAUTHORIZED => ("6", "497"),
        Outcome::Refused { status, .. } if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS => {
            ("12", "187")
        }
        Outcome::Refused { .. } => ("3", "450"),
    };
    if style == ReplyStyle::Alpinebits && !kind.is_empty() { ("13", code) } else { (kind, code) }
}

/// Puts words in place of `{word}`; braces around anything but lower-case letters stay.
fn fill(template: &str, value: impl Fn(&str) -> String) -> String {
    let mut out = String::with_capacity(template.len() + 64);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let inner = &rest[open + 1..];
        match inner.find('}').filter(|end| *end > 0 && inner[..*end].bytes().all(|b| b.is_ascii_lowercase())) {
            Some(end) => {
                out.push_str(&value(&inner[..end]));
                rest = &inner[end + 1..];
            }
            None => {
                out.push('{');
                rest = inner;
            }
        }
    }
    out.push_str(rest);
    out
}

fn escape_xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            // What XML 1.0 cannot hold at all.
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

fn escape_json(text: &str) -> String {
    // A string alone: there is nothing that could fail.
    let quoted = serde_json::to_string(text).unwrap_or_default();
    quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;
