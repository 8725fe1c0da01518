//! Answers in ClickHouse's HTTP conventions: headers, bodies, errors.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::{CONTENT_TYPE, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

/// A body: whole, or block by block as the engine computes it.
pub(super) enum Reply {
    Whole(Option<Bytes>),
    /// An error cuts the connection, so that no client takes a part for the whole.
    Blocks {
        blocks: mpsc::Receiver<Result<Bytes, io::Error>>,
        error: Option<io::Error>,
    },
}

impl Reply {
    pub fn blocks(blocks: mpsc::Receiver<Result<Bytes, io::Error>>) -> Self {
        Reply::Blocks { blocks, error: None }
    }
}

impl From<Bytes> for Reply {
    fn from(bytes: Bytes) -> Self {
        Reply::Whole((!bytes.is_empty()).then_some(bytes))
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut *self {
            Reply::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Reply::Blocks { error, .. } if error.is_some() => Poll::Ready(error.take().map(Err)),
            Reply::Blocks { blocks, error } => match std::task::ready!(blocks.poll_recv(context)) {
                Some(Err(cause)) => {
                    // The server writes out what it has only while it waits for more; without this pause
                    // it would drop the error's own text with the connection.
                    *error = Some(cause);
                    context.waker().wake_by_ref();
                    Poll::Pending
                }
                block => Poll::Ready(block.map(|block| block.map(Frame::data))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Reply::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Reply::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Reply::Blocks { .. } => SizeHint::default(),
        }
    }
}

/// The headers that every answer about a statement has.
pub(super) struct Meta<'a> {
    pub query_id: &'a str,
    pub timezone: &'a str,
    pub format: &'a str,
    /// Rows and bytes read, rows and bytes written; `None` while the statement still runs.
    pub counts: Option<[u64; 4]>,
    /// Marks an error that comes after rows (ClickHouse's way since 25.11).
    pub exception_tag: Option<&'a str>,
}

pub(super) fn answer(meta: &Meta<'_>, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    let [read_rows, read_bytes, written_rows, written_bytes] = meta.counts.unwrap_or_default();
    let summary = format!(
        "{{\"read_rows\":\"{read_rows}\",\"read_bytes\":\"{read_bytes}\",\"written_rows\":\"{written_rows}\",\
         \"written_bytes\":\"{written_bytes}\",\"total_rows_to_read\":\"0\",\"result_rows\":\"0\",\
         \"result_bytes\":\"0\",\"elapsed_ns\":\"0\"}}"
    );
    header(&mut response, CONTENT_TYPE, super::format::content_type(meta.format));
    header(&mut response, HeaderName::from_static("x-clickhouse-format"), meta.format);
    header(&mut response, HeaderName::from_static("x-clickhouse-summary"), &summary);
    if let Some(tag) = meta.exception_tag {
        header(&mut response, HeaderName::from_static("x-clickhouse-exception-tag"), tag);
    }
    common(&mut response, meta.query_id, meta.timezone);
    response
}

fn common(response: &mut Response<Reply>, query_id: &str, timezone: &str) {
    header(response, HeaderName::from_static("x-clickhouse-query-id"), query_id);
    header(response, HeaderName::from_static("x-clickhouse-timezone"), timezone);
    header(response, HeaderName::from_static("x-clickhouse-server-display-name"), "concord");
}

fn header(response: &mut Response<Reply>, name: HeaderName, value: &str) {
    // What no header can hold (a format named with a line break) is left out.
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// An answer that no engine was asked for.
pub(super) fn plain(status: StatusCode, text: &'static str) -> Response<Reply> {
    let mut response = Response::new(Reply::from(Bytes::from_static(text.as_bytes())));
    *response.status_mut() = status;
    header(&mut response, CONTENT_TYPE, "text/plain; charset=UTF-8");
    response
}

/// An error as ClickHouse sends it: its code in a header, its text in the body.
pub(super) fn failure(query_id: &str, timezone: &str, text: &str) -> Response<Reply> {
    let code = error_code(text);
    let mut response = Response::new(Reply::from(Bytes::from(format!("{}\n", text.trim_end()))));
    *response.status_mut() = status(code);
    header(&mut response, CONTENT_TYPE, "text/plain; charset=UTF-8");
    header(&mut response, HeaderName::from_static("x-clickhouse-exception-code"), &code.to_string());
    if response.status() == StatusCode::UNAUTHORIZED {
        header(&mut response, WWW_AUTHENTICATE, "Basic realm=\"Concord\"");
    }
    common(&mut response, query_id, timezone);
    response
}

/// An error after rows: the frame in which ClickHouse puts it at the end of a body.
pub(super) fn late_failure(tag: &str, text: &str) -> Bytes {
    let text = text.trim_end();
    format!("\r\n__exception__\r\n{tag}\r\n{text}\n{} {tag}\r\n__exception__\r\n", text.len() + 1).into()
}

/// The number in `Code: N. DB::Exception: ...`; 1002 (unknown exception) when there is none.
pub(super) fn error_code(text: &str) -> u16 {
    let digits = text.strip_prefix("Code: ").and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(1002)
}

/// The status under which ClickHouse's own HTTP interface sends an error, in broad strokes.
fn status(code: u16) -> StatusCode {
    match code {
        // Texts and values that cannot be read, types that do not fit.
        6 | 25 | 26 | 27 | 33 | 36 | 38 | 41 | 42 | 43 | 44 | 53 | 62 | 69 | 70 | 72 | 117 | 130 | 131 | 168 | 184
        | 215 | 321 | 376 | 441 | 456 | 457 | 675 | 676 => StatusCode::BAD_REQUEST,
        192 | 193 | 194 | 516 => StatusCode::UNAUTHORIZED,
        164 | 291 | 497 => StatusCode::FORBIDDEN,
        // Unknown names.
        16 | 46 | 47 | 50 | 56 | 60 | 63 | 73 | 78 | 81 | 115 | 336 => StatusCode::NOT_FOUND,
        159 => StatusCode::REQUEST_TIMEOUT,
        229 | 314 => StatusCode::PAYLOAD_TOO_LARGE,
        48 => StatusCode::NOT_IMPLEMENTED,
        202 | 210 | 439 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_statuses() {
        assert_eq!(error_code("Code: 60. DB::Exception: no"), 60);
        assert_eq!(error_code("terminate"), 1002);
        assert_eq!(status(60), StatusCode::NOT_FOUND);
        assert_eq!(status(62), StatusCode::BAD_REQUEST);
        assert_eq!(status(241), StatusCode::INTERNAL_SERVER_ERROR);
    }
}
