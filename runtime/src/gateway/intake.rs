//! One request from its head to its answer.
//!
//! The order is the protection: first what the head shows, then the body within its bounds, then its signature, then how often
//! and how much, and only then does anything look into the body. The answer says success when the log has acknowledged, not
//! before; the future may be dropped anywhere (the sender hung up), which only means that he will repeat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::auth::{self, Untrusted};
use super::counts::Counts;
use super::rate::Rate;
use super::reply::{self, Asked, Outcome};
use crate::config::{Auth, Gateway as Settings, GatewayLimits, ReplyStyle, SourceDoor};
use crate::connect::body::{self, BodyError, Budget, Share};
use crate::connect::{Desk, DeskError, Gathered, Pulse, Secret, SecretError, Secrets};
use crate::deliver::Delivered;
use crate::log::{Log, LogError};
use crate::plugin::{Delivery, Host};
use crate::worker::{InForce, now_millis};

/// Whoever is refused by the head may go on sending this much, so that he hears the answer.
const PASSED_OVER: usize = 256 << 10;
/// And for this long.
const PASSING: Duration = Duration::from_secs(2);
/// When to come again if there is no better guess.
const LATER: Duration = Duration::from_secs(2);
/// Of a delivery's id, in bytes.
const ID_BYTES: usize = 256;

/// Everything that a request meets.
pub struct Intake<L> {
    log: Arc<L>,
    doors: Vec<Door>,
    limits: GatewayLimits,
    budget: Budget,
    /// Deliveries between body and answer.
    deliveries: Arc<Semaphore>,
    /// Plugins at work at a time.
    hands: Arc<Semaphore>,
}

/// One source's door.
struct Door {
    name: Arc<str>,
    settings: SourceDoor,
    secrets: Secrets,
    desk: Arc<Desk>,
    rate: Rate,
    counts: Counts,
    pulse: Arc<Pulse>,
}

/// Why nothing of a delivery was taken.
struct Refusal {
    status: StatusCode,
    reason: String,
    retry: Option<Duration>,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Refusal {
        Refusal { status, reason: reason.into(), retry: None }
    }

    fn busy(reason: impl Into<String>) -> Refusal {
        Refusal { status: StatusCode::SERVICE_UNAVAILABLE, reason: reason.into(), retry: Some(LATER) }
    }
}

impl From<Untrusted> for Refusal {
    fn from(why: Untrusted) -> Refusal {
        Refusal::new(StatusCode::UNAUTHORIZED, why.to_string())
    }
}

impl From<BodyError> for Refusal {
    fn from(why: BodyError) -> Refusal {
        let status = match why {
            BodyError::TooLarge(_) | BodyError::Inflated(_) => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Slow(_) => StatusCode::REQUEST_TIMEOUT,
            BodyError::Busy => return Refusal::busy(why.to_string()),
            BodyError::Broken | BodyError::NoGzip => StatusCode::BAD_REQUEST,
        };
        Refusal::new(status, why.to_string())
    }
}

impl From<DeskError> for Refusal {
    fn from(why: DeskError) -> Refusal {
        if !matches!(why, DeskError::NotYet) {
            tracing::error!("a delivery cannot be taken: {why}");
        }
        // The rest is the operator's business.
        Refusal::busy("deliveries of this source cannot be taken at the moment")
    }
}

impl From<LogError> for Refusal {
    fn from(why: LogError) -> Refusal {
        if let LogError::TooLarge { .. } = why {
            return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, why.to_string());
        }
        tracing::warn!("a delivery could not be appended: {why}");
        Refusal::busy("the log does not take anything at the moment")
    }
}

impl<L: Log> Intake<L> {
    /// With the secrets of all sources.
    pub fn new(
        settings: &Settings,
        log: Arc<L>,
        host: &Host,
        in_force: &watch::Receiver<Option<Arc<InForce>>>,
    ) -> Result<Intake<L>, (Arc<str>, SecretError)> {
        let partitions = log.identity().partitions;
        let door = |(name, door): (&Arc<str>, &SourceDoor)| {
            Ok(Door {
                name: name.clone(),
                secrets: Secrets::read(&door.auth).map_err(|why| (name.clone(), why))?,
                desk: Arc::new(Desk::new(name.clone(), host.clone(), partitions, in_force.clone())),
                rate: Rate::new(door.rate),
                counts: Counts::default(),
                pulse: Pulse::new(name.clone(), "webhooks"),
                settings: door.clone(),
            })
        };
        let hands = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
        Ok(Intake {
            log,
            doors: settings.sources.iter().map(door).collect::<Result<_, _>>()?,
            limits: settings.limits,
            budget: Budget::new(settings.limits.held_bytes),
            deliveries: Arc::new(Semaphore::new(settings.limits.deliveries)),
            hands: Arc::new(Semaphore::new(hands)),
        })
    }

    /// Reads all secrets again.
    pub fn secrets_again(&self) {
        for door in &self.doors {
            match door.secrets.again() {
                Ok(true) => tracing::info!(source = %door.name, "other secrets hold now"),
                Ok(false) => {}
                Err(why) => tracing::warn!(source = %door.name, "the known secrets go on: {why}"),
            }
        }
    }

    /// What became of deliveries, by source.
    pub fn counts(&self) -> impl Iterator<Item = (&str, &Counts)> {
        self.doors.iter().map(|door| (&*door.name, &door.counts))
    }

    /// Of each source's door.
    pub fn pulses(&self) -> Vec<Arc<Pulse>> {
        self.doors.iter().map(|door| door.pulse.clone()).collect()
    }

    /// Answers one request.
    pub async fn answer<B>(&self, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (head, body) = request.into_parts();
        let mut asked = Asked::default();
        let Some((door, attributes)) = self.door(head.uri.path()) else {
            body::pass_over(body, PASSED_OVER, PASSING).await;
            let refusal = Refusal::new(StatusCode::NOT_FOUND, "no source has this path");
            return response(ReplyStyle::Json, None, Err(refusal), &asked);
        };
        let taken = self.take(door, attributes, &head, body, &mut asked).await;
        let status = taken.as_ref().map_or_else(|refusal| refusal.status, |_| StatusCode::OK);
        match &taken {
            Ok(outcome) => {
                door.counts.count(outcome);
                if let Outcome::Rejected { reason } = outcome {
                    tracing::debug!(source = %door.name, "a dead letter: {reason}");
                }
            }
            Err(refusal) => {
                door.counts.refused(status);
                tracing::debug!(source = %door.name, status = status.as_u16(), "refused: {}", refusal.reason);
            }
        }
        let taken = match taken {
            Ok(Outcome::Rejected { .. }) if !door.settings.tell_rejections => Ok(Outcome::Accepted { records: 1 }),
            other => other,
        };
        response(door.settings.reply, Some(&door.settings.auth), taken, &asked)
    }

    fn door(&self, path: &str) -> Option<(&Door, Vec<(String, String)>)> {
        self.doors.iter().find_map(|door| Some((door, door.settings.path.attributes(path)?)))
    }

    async fn take<B>(
        &self,
        door: &Door,
        mut attributes: Vec<(String, String)>,
        head: &Parts,
        body: B,
        asked: &mut Asked,
    ) -> Result<Outcome, Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (body, share) = self.trusted(door, head, body).await?;
        door.rate.take(Instant::now()).map_err(|wait| Refusal {
            status: StatusCode::TOO_MANY_REQUESTS,
            reason: format!("more than {} deliveries a second", door.settings.rate),
            retry: Some(wait),
        })?;
        let content_type = content_type(&door.settings, &head.headers)?;
        let packed = is_packed(&head.headers)?;
        let id = id(&door.settings, &head.headers)?;
        attributes.extend(of_headers(&door.settings, &head.headers)?);
        let permit = self.deliveries.clone().try_acquire_owned();
        let _permit = permit.map_err(|_| Refusal::busy("too many deliveries are on their way"))?;
        let delivery = Delivery { content_type, attributes, body };
        let (said, delivered) = self.split(door, delivery, packed, id, share).await?;
        *asked = said;
        let delivered = delivered?;
        door.counts.masked(delivered.masked);
        self.append(door, delivered).await
    }

    /// The body, once it is known who sends it.
    async fn trusted<B>(&self, door: &Door, head: &Parts, body: B) -> Result<(Bytes, Share), Refusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let secrets = door.secrets.now();
        let claim = match self.head(door, head, &secrets) {
            Ok(claim) => claim,
            Err(refusal) => {
                body::pass_over(body, PASSED_OVER, PASSING).await;
                return Err(refusal);
            }
        };
        let mut share = self.budget.share();
        let mut rest = body;
        let read = body::read(&mut rest, self.limits.body_bytes, self.limits.body_time, &mut share).await;
        let body = match read {
            Ok(body) => body,
            Err(why) => {
                drop(share);
                if matches!(why, BodyError::TooLarge(_) | BodyError::Busy) {
                    body::pass_over(rest, PASSED_OVER, PASSING).await;
                }
                return Err(why.into());
            }
        };
        auth::body(&claim, &secrets, &body)?;
        Ok((body, share))
    }

    fn head(&self, door: &Door, head: &Parts, secrets: &[Secret]) -> Result<auth::Claim, Refusal> {
        if head.method != Method::POST {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "deliveries come with POST"));
        }
        let now = u64::try_from(now_millis() / 1_000).unwrap_or(0);
        Ok(auth::head(&door.settings.auth, secrets, &head.headers, now)?)
    }

    /// Unpacks and splits a delivery, off the threads that serve connections.
    async fn split(
        &self,
        door: &Door,
        mut delivery: Delivery,
        packed: bool,
        id: Option<String>,
        mut share: Share,
    ) -> Result<(Asked, Result<Delivered, Refusal>), Refusal> {
        // Waiting is bounded by the number of deliveries; the gate is never closed.
        let hand = self.hands.clone().acquire_owned().await;
        let desk = door.desk.clone();
        let limit = self.limits.inflated_bytes;
        let wants = !matches!(door.settings.reply, ReplyStyle::Json | ReplyStyle::Empty);
        let work = move || {
            let _hand = hand;
            if packed {
                match body::inflate(&delivery.body, limit, &mut share) {
                    Ok(whole) => delivery.body = whole,
                    Err(why) => return (Asked::default(), Err(why.into())),
                }
            }
            let asked = if wants { Asked::of(&delivery.body) } else { Asked::default() };
            (asked, desk.deliver(delivery, id.as_deref(), now_millis()).map_err(Refusal::from))
        };
        tokio::task::spawn_blocking(work).await.map_err(|error| {
            tracing::error!("a delivery could not be looked at: {error}");
            Refusal::busy("the delivery could not be looked at")
        })
    }

    /// Appends what a delivery became; durable when it returns success.
    async fn append(&self, door: &Door, delivered: Delivered) -> Result<Outcome, Refusal> {
        let records = delivered.records.len();
        let mut gathered = Gathered::default();
        delivered.records.into_iter().for_each(|(partition, record)| gathered.add(partition, record));
        match timeout(self.limits.append_time, gathered.append(&*self.log)).await {
            Ok(appended) => appended?,
            Err(_) => return Err(Refusal::busy("the log takes too long")),
        }
        door.pulse.hear(delivered.heard);
        if let Some(reason) = delivered.rejected {
            return Ok(Outcome::Rejected { reason });
        }
        if delivered.refused.is_empty() {
            return Ok(Outcome::Accepted { records });
        }
        let reasons = delivered.refused.join("; ");
        let reason = if records == 0 { reasons } else { format!("{records} parts are taken; not taken: {reasons}") };
        Err(Refusal::new(StatusCode::UNPROCESSABLE_ENTITY, reason))
    }
}

/// The media type as it stands there, if the source takes it.
fn content_type(door: &SourceDoor, headers: &HeaderMap) -> Result<String, Refusal> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or("?")).unwrap_or("");
    let essence = given.split(';').next().unwrap_or("").trim().to_ascii_lowercase();
    let subtype = essence.rsplit_once('/').map_or("", |(_, subtype)| subtype);
    let usual = matches!(subtype, "json" | "xml" | "csv") || subtype.ends_with("+json") || subtype.ends_with("+xml");
    let taken = if door.content_types.is_empty() { usual } else { door.content_types.contains(&essence) };
    if taken || essence.is_empty() {
        return Ok(given.to_owned());
    }
    let wanted =
        if door.content_types.is_empty() { "JSON, XML or CSV".to_owned() } else { door.content_types.join(", ") };
    let reason = format!("Content-Type has to be {wanted}, such as application/json");
    Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason))
}

/// Whether the body is packed with gzip, the only coding there is.
fn is_packed(headers: &HeaderMap) -> Result<bool, Refusal> {
    let mut codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let coding = codings.next().map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase());
    match coding.as_deref() {
        None | Some("" | "identity") if codings.next().is_none() => Ok(false),
        Some("gzip" | "x-gzip") if codings.next().is_none() => Ok(true),
        _ => Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "Content-Encoding can be gzip, or nothing")),
    }
}

/// The sender's id for the delivery, if there is one.
fn id(door: &SourceDoor, headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let Some(value) = door.id.as_ref().and_then(|name| headers.get(name.as_str())) else { return Ok(None) };
    let id = value.to_str().ok().filter(|id| (1..=ID_BYTES).contains(&id.len()));
    let unfit = || Refusal::new(StatusCode::BAD_REQUEST, format!("an id has 1 to {ID_BYTES} visible ASCII characters"));
    id.map(|id| Some(id.to_owned())).ok_or_else(unfit)
}

/// The attributes that come in headers.
fn of_headers(door: &SourceDoor, headers: &HeaderMap) -> Result<Vec<(String, String)>, Refusal> {
    let mut attributes = Vec::new();
    for (attribute, name) in &door.headers {
        let Some(value) = headers.get(name.as_str()) else { continue };
        let text = value
            .to_str()
            .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, format!("the header {name} has to be visible ASCII")))?;
        attributes.push((attribute.clone(), text.to_owned()));
    }
    Ok(attributes)
}

fn response(
    style: ReplyStyle,
    auth: Option<&Auth>,
    taken: Result<Outcome, Refusal>,
    asked: &Asked,
) -> Response<Full<Bytes>> {
    let (outcome, retry) = match taken {
        Ok(outcome) => (outcome, None),
        Err(Refusal { status, reason, retry }) => (Outcome::Refused { status, reason }, retry),
    };
    let document = reply::document(style, &outcome, asked, now_millis().saturating_mul(1_000));
    let mut response = Response::new(Full::new(Bytes::from(document.body)));
    *response.status_mut() = document.status;
    let mut put = |name: HeaderName, value: HeaderValue| response.headers_mut().insert(name, value);
    if !document.content_type.is_empty() {
        put(header::CONTENT_TYPE, HeaderValue::from_static(document.content_type));
    }
    if let Some(retry) = retry {
        put(header::RETRY_AFTER, HeaderValue::from(retry.as_secs_f64().ceil().max(1.0) as u64));
    }
    match (document.status, auth) {
        (StatusCode::METHOD_NOT_ALLOWED, _) => _ = put(header::ALLOW, HeaderValue::from_static("POST")),
        (StatusCode::UNAUTHORIZED, Some(Auth::Basic { .. })) => {
            put(header::WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"concord\", charset=\"UTF-8\""));
        }
        (StatusCode::UNAUTHORIZED, Some(_)) => {
            put(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"concord\""));
        }
        _ => {}
    }
    response
}
