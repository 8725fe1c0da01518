//! Who sends: what a request's head must show, and what its body must be signed with.
//!
//! Two steps, so that what can be refused by the head alone is refused before a byte of the body is read, and nothing of a
//! body is looked into before its signature is right. Every comparison with a secret, or with what a secret makes, takes
//! as long for a wrong value as for the right one. Reads no clock and no file.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Sha256, Sha512};

use crate::config::{Algorithm, Auth, Encoding};
use crate::connect::Secret;

/// How far a signed timestamp may be from this machine's clock, in seconds: Standard Webhooks' recommendation.
const TOLERANCE: u64 = 300;
/// Signatures that are looked at in one header.
const SIGNATURES: usize = 16;
/// Of an id in a header, in bytes.
const ID_BYTES: usize = 256;

/// Why a sender is not believed; for the sender. Says nothing about the secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Untrusted {
    #[error("the header with {0} is missing, or there are several")]
    Missing(&'static str),
    #[error("the header with {0} cannot be read")]
    Malformed(&'static str),
    #[error(
        "the timestamp is more than five minutes from now: repeat the delivery with a new one, and check the clock"
    )]
    Stale,
    #[error("no signature is right: check the secret, and that the body is signed as it is sent")]
    Signature,
    #[error("user, password or token are not right")]
    Credentials,
}

/// What remains to be shown once the head is good.
#[derive(Debug)]
pub enum Claim {
    /// Nothing: the head says it all.
    Shown,
    /// One of these is the HMAC of `before` and the body.
    Signed { algorithm: Algorithm, before: Vec<u8>, given: Vec<Vec<u8>> },
}

/// Looks at a request's head. `now` is in seconds since 1970.
pub fn head(auth: &Auth, secrets: &[Secret], headers: &HeaderMap, now: u64) -> Result<Claim, Untrusted> {
    match auth {
        Auth::StandardWebhooks { prefix, .. } => standard(prefix, headers, now),
        Auth::Hmac { header, before, encoding, algorithm, .. } => {
            let text = one(headers, header, "the signature")?;
            let text = text.strip_prefix(before.as_str()).ok_or(Untrusted::Malformed("the signature"))?;
            let given = decode(text.trim(), *encoding).ok_or(Untrusted::Malformed("the signature"))?;
            Ok(Claim::Signed { algorithm: *algorithm, before: Vec::new(), given: vec![given] })
        }
        Auth::Basic { user, .. } => {
            let given = STANDARD.decode(authorization(headers, "basic")?);
            let given = given.map_err(|_| Untrusted::Malformed("the credentials"))?;
            let wanted = |secret: &Secret| [user.as_bytes(), b":", secret.bytes()].concat();
            shown(secrets.iter().map(wanted), &given)
        }
        Auth::Bearer { .. } => {
            let given = authorization(headers, "bearer")?;
            shown(secrets.iter().map(|secret| secret.bytes().to_vec()), given.as_bytes())
        }
    }
}

/// Looks at the body, as it was sent.
pub fn body(claim: &Claim, secrets: &[Secret], body: &[u8]) -> Result<(), Untrusted> {
    let Claim::Signed { algorithm, before, given } = claim else { return Ok(()) };
    let right = secrets.iter().fold(false, |right, secret| {
        let one = match algorithm {
            Algorithm::Sha256 => signed::<Hmac<Sha256>>(secret, before, body, given),
            Algorithm::Sha512 => signed::<Hmac<Sha512>>(secret, before, body, given),
        };
        right | one
    });
    if right { Ok(()) } else { Err(Untrusted::Signature) }
}

/// The three headers of Standard Webhooks 1.0: an id, seconds since 1970, and signatures `v1,BASE64` with blanks between
/// them. Other versions of signatures are passed over, as the standard says.
fn standard(prefix: &str, headers: &HeaderMap, now: u64) -> Result<Claim, Untrusted> {
    let id = one(headers, &format!("{prefix}-id"), "the id")?;
    let time = one(headers, &format!("{prefix}-timestamp"), "the timestamp")?;
    let signatures = one(headers, &format!("{prefix}-signature"), "the signature")?;
    if id.is_empty() || id.len() > ID_BYTES {
        return Err(Untrusted::Malformed("the id"));
    }
    let digits = time.bytes().all(|b| b.is_ascii_digit());
    let seconds = time.parse::<u64>().ok().filter(|_| digits).ok_or(Untrusted::Malformed("the timestamp"))?;
    if seconds.abs_diff(now) > TOLERANCE {
        return Err(Untrusted::Stale);
    }
    let v1 = signatures.split(' ').filter_map(|one| one.strip_prefix("v1,")).take(SIGNATURES);
    let given: Vec<Vec<u8>> = v1.filter_map(|text| STANDARD.decode(text).ok()).collect();
    if given.is_empty() {
        return Err(Untrusted::Malformed("the signature"));
    }
    Ok(Claim::Signed { algorithm: Algorithm::Sha256, before: format!("{id}.{time}.").into_bytes(), given })
}

/// A header that stands there once, in visible ASCII.
fn one<'a>(headers: &'a HeaderMap, name: &str, what: &'static str) -> Result<&'a str, Untrusted> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map_err(|_| Untrusted::Malformed(what)),
        _ => Err(Untrusted::Missing(what)),
    }
}

fn authorization<'a>(headers: &'a HeaderMap, scheme: &str) -> Result<&'a str, Untrusted> {
    let text = one(headers, AUTHORIZATION.as_str(), "the credentials")?;
    let (given, rest) = text.split_once(' ').ok_or(Untrusted::Malformed("the credentials"))?;
    if given.eq_ignore_ascii_case(scheme) { Ok(rest.trim()) } else { Err(Untrusted::Malformed("the credentials")) }
}

fn decode(text: &str, encoding: Encoding) -> Option<Vec<u8>> {
    match encoding {
        Encoding::Base64 => STANDARD.decode(text).ok(),
        Encoding::Hex => {
            let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let (pairs, rest) = text.as_bytes().as_chunks::<2>();
            let bytes = pairs.iter().map(|[high, low]| Some(digit(*high)? * 16 + digit(*low)?)).collect();
            if rest.is_empty() { bytes } else { None }
        }
    }
}

fn signed<M: Mac + KeyInit>(secret: &Secret, before: &[u8], body: &[u8], given: &[Vec<u8>]) -> bool {
    given.iter().fold(false, |right, one| {
        // HMAC takes keys of any length.
        let Ok(mut mac) = <M as KeyInit>::new_from_slice(secret.bytes()) else { return right };
        mac.update(before);
        mac.update(body);
        right | mac.verify_slice(one).is_ok()
    })
}

fn shown(wanted: impl Iterator<Item = Vec<u8>>, given: &[u8]) -> Result<Claim, Untrusted> {
    let right = wanted.fold(false, |right, wanted| right | same(&wanted, given));
    if right { Ok(Claim::Shown) } else { Err(Untrusted::Credentials) }
}

/// Compares by way of a MAC, so that neither the place of a difference nor the length of the secret shows in the time.
fn same(wanted: &[u8], given: &[u8]) -> bool {
    let mac = |bytes: &[u8]| {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"concord comparison").ok()?;
        mac.update(bytes);
        Some(mac)
    };
    match (mac(wanted), mac(given)) {
        (Some(wanted), Some(given)) => wanted.verify_slice(&given.finalize().into_bytes()).is_ok(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_795_518_000;
    const ID: &str = "msg_2KWPBgLlAfxdpx2AI54pPJ85f4W";
    const BODY: &[u8] = br#"{"property":"H1"}"#;

    fn secrets(texts: &[&str]) -> Vec<Secret> {
        texts.iter().map(|text| Secret::new(text.as_bytes().to_vec())).collect()
    }

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            let name: hyper::header::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        headers
    }

    fn mac(secret: &str, parts: &[&[u8]]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("a key");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    }

    fn signature(secret: &str, time: &str, body: &[u8]) -> String {
        let head = format!("{ID}.{time}.");
        format!("v1,{}", STANDARD.encode(mac(secret, &[head.as_bytes(), body])))
    }

    fn webhook(secrets: &[Secret], pairs: &[(&str, &str)], sent: &[u8]) -> Result<(), Untrusted> {
        let auth = Auth::StandardWebhooks { prefix: "webhook".into(), secrets: Vec::new() };
        body(&head(&auth, secrets, &headers(pairs), NOW)?, secrets, sent)
    }

    #[test]
    fn the_published_example_is_right() {
        // The example of the Standard Webhooks reference libraries' tests.
        let key = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("Base64");
        let secrets = [Secret::new(key)];
        let auth = Auth::StandardWebhooks { prefix: "webhook".into(), secrets: Vec::new() };
        let sent = headers(&[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ]);
        let claim = head(&auth, &secrets, &sent, 1_614_265_330).expect("a good head");
        assert_eq!(body(&claim, &secrets, br#"{"test": 2432232314}"#), Ok(()));
        assert_eq!(body(&claim, &secrets, br#"{"test": 2432232315}"#), Err(Untrusted::Signature));
    }

    #[test]
    fn any_secret_and_any_signature_will_do() {
        let (time, both) = (NOW.to_string(), secrets(&["old", "new"]));
        let (old, new) = (signature("old", &time, BODY), signature("new", &time, BODY));
        let other = signature("other", &time, BODY);
        for good in [&old, &new, &format!("v1a,AAAA {other} {new}"), &format!("{new} {other}")] {
            let pairs = [("webhook-id", ID), ("webhook-timestamp", &time), ("webhook-signature", good)];
            assert_eq!(webhook(&both, &pairs, BODY), Ok(()), "{good}");
        }
        let pairs = [("webhook-id", ID), ("webhook-timestamp", &time), ("webhook-signature", other.as_str())];
        assert_eq!(webhook(&both, &pairs, BODY), Err(Untrusted::Signature));
    }

    #[test]
    fn whatever_is_signed_cannot_be_changed() {
        let (time, known) = (NOW.to_string(), secrets(&["secret"]));
        let sound = signature("secret", &time, BODY);
        let pairs = [("webhook-id", ID), ("webhook-timestamp", &time), ("webhook-signature", sound.as_str())];
        assert_eq!(webhook(&known, &pairs, BODY), Ok(()));
        assert_eq!(webhook(&known, &pairs, b"{}"), Err(Untrusted::Signature));
        let later = (NOW + 1).to_string();
        for changed in [
            [("webhook-id", "msg_other"), pairs[1], pairs[2]],
            [pairs[0], ("webhook-timestamp", later.as_str()), pairs[2]],
        ] {
            assert_eq!(webhook(&known, &changed, BODY), Err(Untrusted::Signature));
        }
    }

    #[test]
    fn timestamps_hold_for_five_minutes() {
        let known = secrets(&["secret"]);
        for (seconds, expected) in [
            (NOW - 300, Ok(())),
            (NOW + 300, Ok(())),
            (NOW - 301, Err(Untrusted::Stale)),
            (NOW + 301, Err(Untrusted::Stale)),
            (0, Err(Untrusted::Stale)),
            (u64::MAX, Err(Untrusted::Stale)),
        ] {
            let time = seconds.to_string();
            let sound = signature("secret", &time, BODY);
            let pairs = [("webhook-id", ID), ("webhook-timestamp", &time), ("webhook-signature", sound.as_str())];
            assert_eq!(webhook(&known, &pairs, BODY), expected, "{seconds}");
        }
    }

    #[test]
    fn heads_that_show_nothing_are_refused_before_the_body() {
        let (time, known) = (NOW.to_string(), secrets(&["secret"]));
        let good = signature("secret", &time, BODY);
        let full = [("webhook-id", ID), ("webhook-timestamp", time.as_str()), ("webhook-signature", good.as_str())];
        let auth = Auth::StandardWebhooks { prefix: "webhook".into(), secrets: Vec::new() };
        let at = |pairs: &[(&str, &str)]| head(&auth, &known, &headers(pairs), NOW).map(|_| ()).expect_err("refused");
        for missing in 0..3 {
            let rest: Vec<_> =
                full.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, pair)| *pair).collect();
            assert!(matches!(at(&rest), Untrusted::Missing(_)));
            let twice: Vec<_> = full.iter().copied().chain([full[missing]]).collect();
            assert!(matches!(at(&twice), Untrusted::Missing(_)));
        }
        for time in ["", " ", "-1", "+1", "1e9", "99999999999999999999", "1795518000.0"] {
            assert_eq!(at(&[full[0], ("webhook-timestamp", time), full[2]]), Untrusted::Malformed("the timestamp"));
        }
        for signature in ["", "v1", "v1,", "v2,AAAA", "v1,*", "v1AAAA"] {
            let given = at_or(&auth, &known, &[full[0], full[1], ("webhook-signature", signature)]);
            // An empty signature can be read; it is just never right.
            assert!(given.is_err() || signature == "v1,", "{signature}");
        }
    }

    fn at_or(auth: &Auth, known: &[Secret], pairs: &[(&str, &str)]) -> Result<(), Untrusted> {
        let claim = head(auth, known, &headers(pairs), NOW)?;
        assert_eq!(body(&claim, known, BODY), Err(Untrusted::Signature));
        Ok(())
    }

    #[test]
    fn plain_signatures_of_vendors() {
        let known = secrets(&["secret"]);
        let right = mac("secret", &[BODY]);
        let hex: String = right.iter().map(|b| format!("{b:02x}")).collect();
        for (encoding, before, value, expected) in [
            (Encoding::Hex, "sha256=", format!("sha256={hex}"), Ok(())),
            (Encoding::Hex, "", hex.to_uppercase(), Ok(())),
            (Encoding::Base64, "", STANDARD.encode(&right), Ok(())),
            (Encoding::Hex, "sha256=", hex.clone(), Err(Untrusted::Malformed("the signature"))),
            (Encoding::Hex, "", format!("{hex}0"), Err(Untrusted::Malformed("the signature"))),
            (Encoding::Hex, "", hex[2..].to_owned(), Err(Untrusted::Signature)),
            (Encoding::Hex, "", String::new(), Err(Untrusted::Signature)),
        ] {
            let auth = Auth::Hmac {
                header: "x-signature".into(),
                before: before.into(),
                encoding,
                algorithm: Algorithm::Sha256,
                secrets: Vec::new(),
            };
            let given = head(&auth, &known, &headers(&[("x-signature", &value)]), NOW);
            assert_eq!(given.and_then(|claim| body(&claim, &known, BODY)), expected, "{value}");
        }
    }

    #[test]
    fn users_and_tokens() {
        let known = secrets(&["old", "pa:ss"]);
        let basic = Auth::Basic { user: "hotel".into(), secrets: Vec::new() };
        let bearer = Auth::Bearer { secrets: Vec::new() };
        let encoded = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (auth, value, good) in [
            (&basic, encoded("hotel:pa:ss"), true),
            (&basic, encoded("hotel:old").replace("Basic", "BASIC"), true),
            (&basic, encoded("hotel:"), false),
            (&basic, encoded("other:old"), false),
            (&basic, encoded("hotel:ol"), false),
            (&basic, "Basic ***".to_owned(), false),
            (&basic, "Bearer old".to_owned(), false),
            (&bearer, "Bearer old".to_owned(), true),
            (&bearer, "bearer pa:ss".to_owned(), true),
            (&bearer, "Bearer ".to_owned(), false),
            (&bearer, "Bearer oldest".to_owned(), false),
            (&bearer, "old".to_owned(), false),
        ] {
            let given = head(auth, &known, &headers(&[("authorization", &value)]), NOW);
            assert_eq!(given.is_ok(), good, "{value}");
        }
        assert!(head(&bearer, &[], &headers(&[("authorization", "Bearer x")]), NOW).is_err());
    }
}
