//! One HTTP request and its whole answer, within bounds of time and size.
//!
//! HTTP/1.1, TLS with the system's authorities or the ones of a file; follows no redirect, so that a secret goes only where the
//! file says. Does not know what an answer means.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_ENCODING, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, USER_AGENT,
};
use hyper::{Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client as HttpClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::PollError;
use super::memory::Remembered;
use crate::config::{Poll, PollAuth};
use crate::connect::body::{self, BodyError, Budget};
use crate::connect::secret::{SecretError, read_secret};

const CONNECTING: Duration = Duration::from_secs(10);
/// Idle connections are not kept for long: servers end them whenever they like.
const IDLE: Duration = Duration::from_secs(5);

/// A whole answer, unpacked.
#[derive(Debug)]
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// Asks one endpoint.
pub(super) struct Client {
    http: HttpClient<HttpsConnector<HttpConnector>, Empty<Bytes>>,
    timeout: Duration,
    limit: usize,
}

impl Client {
    pub fn new(settings: &Poll) -> Result<Client, PollError> {
        let mut tcp = HttpConnector::new();
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(settings.timeout.min(CONNECTING)));
        tcp.enforce_http(false);
        let tls = |why: String| PollError::Tls(why);
        let builder = match &settings.ca_file {
            Some(path) => HttpsConnectorBuilder::new().with_tls_config(believing(path)?),
            None => {
                let provider = rustls::crypto::ring::default_provider();
                let builder = HttpsConnectorBuilder::new().with_provider_and_native_roots(provider);
                builder.map_err(|error| tls(error.to_string()))?
            }
        };
        // The file's reader has seen to it that nothing secret goes over plain HTTP.
        let connector = builder.https_or_http().enable_http1().wrap_connector(tcp);
        let http = HttpClient::builder(TokioExecutor::new())
            .pool_idle_timeout(IDLE)
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Client { http, timeout: settings.timeout, limit: settings.body_bytes })
    }

    /// A question's headers. The secret is read each time: it can follow another one without a restart.
    pub fn headers(&self, settings: &Poll, known: &Remembered) -> Result<HeaderMap, PollError> {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("concord/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip"));
        for (name, value) in &settings.headers {
            if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        let validators = [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)];
        for (name, value) in validators {
            if let Some(Ok(value)) = value.as_ref().map(|value| HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        }
        if let Some(auth) = &settings.auth {
            let (name, value) = credentials(auth)?;
            headers.insert(name, value);
        }
        Ok(headers)
    }

    /// Asks, and reads the whole answer.
    pub async fn get(&self, uri: Uri, headers: HeaderMap) -> Result<Answer, PollError> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        match tokio::time::timeout(self.timeout, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_) => Err(PollError::Slow(self.timeout)),
        }
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<Answer, PollError> {
        let response = self.http.request(request).await.map_err(|error| PollError::Unanswered(causes(&error)))?;
        let (head, mut incoming) = response.into_parts();
        // One answer at a time: the bound of each is the bound of all.
        let budget = Budget::new(self.limit.saturating_mul(2).saturating_add(64 << 10));
        let mut share = budget.share();
        let failed = |why: BodyError| match why {
            BodyError::TooLarge(limit) | BodyError::Inflated(limit) => PollError::TooLarge(limit),
            BodyError::Busy => PollError::TooLarge(self.limit),
            BodyError::NoGzip => PollError::NoGzip,
            BodyError::Slow(time) => PollError::Slow(time),
            BodyError::Broken => PollError::Unanswered("the connection broke within the answer".to_owned()),
        };
        let body = body::read(&mut incoming, self.limit, self.timeout, &mut share).await.map_err(failed)?;
        let coding = head.headers.get(CONTENT_ENCODING).map(|value| value.as_bytes().to_ascii_lowercase());
        let packed = matches!(coding.as_deref(), Some(b"gzip" | b"x-gzip"));
        let body = if packed && !body.is_empty() {
            body::inflate(&body, self.limit, &mut share).map_err(failed)?
        } else {
            body
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// TLS that believes the authorities of a PEM file and nobody else.
fn believing(path: &Path) -> Result<rustls::ClientConfig, PollError> {
    let wrong = |why: String| PollError::Tls(format!("{} (ca_file): {why}", path.display()));
    let mut roots = rustls::RootCertStore::empty();
    let certificates = CertificateDer::pem_file_iter(path).map_err(|error| wrong(error.to_string()))?;
    for certificate in certificates {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() {
        return Err(wrong("it holds no certificate in PEM".to_owned()));
    }
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(|error| wrong(error.to_string()))?.with_root_certificates(roots).with_no_client_auth())
}

/// The header that shows who Concord is; marked, so that nobody prints it.
fn credentials(auth: &PollAuth) -> Result<(HeaderName, HeaderValue), PollError> {
    let (place, name, text) = match auth {
        PollAuth::Bearer(place) => (place, AUTHORIZATION, [&b"Bearer "[..], read_secret(place)?.bytes()].concat()),
        PollAuth::Basic { user, password } => {
            let pair = [user.as_bytes(), b":", read_secret(password)?.bytes()].concat();
            (password, AUTHORIZATION, format!("Basic {}", STANDARD.encode(pair)).into_bytes())
        }
        PollAuth::Header { name, secret } => {
            let name = name.parse::<HeaderName>().map_err(|_| PollError::Address(name.clone()))?;
            (secret, name, read_secret(secret)?.bytes().to_vec())
        }
    };
    let mut value = HeaderValue::from_bytes(&text).map_err(|_| SecretError::NoHeader(place.to_string()))?;
    value.set_sensitive(true);
    Ok((name, value))
}

/// An error with its causes: the outermost says only that it failed.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
