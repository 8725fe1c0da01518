//! Polled endpoints.

use std::io::Write;

use concord::event::is_content_id;

use crate::support::{DISTRUST, Endpoint, Question, Source, message};

const OK: &str = "200 OK";

fn section(endpoint: &Endpoint, more: &str) -> String {
    format!(
        "[source.poll]\nurl = \"{}/reservations?limit=2\"\nevery = \"10ms\"\n\
         auth = {{ kind = \"bearer\", secret = \"file:token\" }}\n{more}",
        endpoint.address
    )
}

/// With a token in its place.
fn source(section: &str) -> Source {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("token"), "t0ken\n").expect("a file");
    Source::within(folder, section)
}

fn since(question: &Question) -> Option<&str> {
    question.target.split_once("&since=").map(|(_, since)| since)
}

const CURSOR: &str = "cursor = { header = \"x-next\", parameter = \"since\", first = \"0\" }";

#[tokio::test(flavor = "multi_thread")]
async fn the_cursor_moves_with_what_is_durable_and_outlives_a_restart() {
    let mut endpoint = Endpoint::new(None).await;
    let source = source(&section(&endpoint, CURSOR));
    let connectors = source.start();
    let first = endpoint.asked().await;
    assert_eq!((first.target.as_str(), since(&first)), ("/reservations?limit=2&since=0", Some("0")));
    assert_eq!(first.headers["authorization"], "Bearer t0ken");
    endpoint.answer(OK, &[("x-next", "17"), ("etag", "\"first\"")], message(1));
    // Asked again, further on: what came before is in the log by now. Another question has no validators.
    let second = endpoint.asked().await;
    assert_eq!((since(&second), second.headers.get("if-none-match")), (Some("17"), None));
    assert_eq!(source.end().await, 1);
    assert!(is_content_id(&source.record(0).await.id));
    endpoint.answer(OK, &[("x-next", "17"), ("etag", "\"second\""), ("last-modified", "yesterday")], message(2));
    let third = endpoint.asked().await;
    assert_eq!((since(&third), third.headers["if-none-match"].as_str()), (Some("17"), "\"second\""));
    assert_eq!(third.headers["if-modified-since"], "yesterday");
    endpoint.answer("304 Not Modified", &[], "");
    // Told to stop with a question on its way: it is asked again, with all that was known.
    endpoint.asked().await;
    connectors.close().await;
    let connectors = source.start();
    let again = endpoint.asked().await;
    assert_eq!((since(&again), again.headers["if-none-match"].as_str()), (Some("17"), "\"second\""));
    // The same content once more is no news, with validators or without.
    endpoint.answer(OK, &[], message(2));
    endpoint.asked().await;
    connectors.close().await;
    assert_eq!(source.end().await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_remembered_is_asked_again_and_has_the_same_id() {
    let mut endpoint = Endpoint::new(None).await;
    let source = source(&section(&endpoint, CURSOR));
    let mut ids = Vec::new();
    for round in 0..2 {
        let connectors = source.start();
        assert_eq!(since(&endpoint.asked().await), Some("0"));
        endpoint.answer(OK, &[("x-next", "17")], message(1));
        ids.push(source.record(round).await.id);
        endpoint.asked().await;
        connectors.close().await;
        // As after a crash between the log and the memory.
        std::fs::remove_file(source.path("data/poll/pms.json")).expect("a memory");
    }
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_asked_again_and_nothing_comes_of_them() {
    let mut endpoint = Endpoint::new(None).await;
    let source = source(&section(&endpoint, &format!("{CURSOR}\nbody_limit = \"1 KiB\"")));
    let connectors = source.start();
    let large = "x".repeat(2_000);
    for (status, headers, body) in [
        ("500 Internal Server Error", &[][..], "no"),
        ("503 Service Unavailable", &[("retry-after", "0")], "later"),
        ("401 Unauthorized", &[], "who?"),
        ("302 Found", &[("location", "/elsewhere")], ""),
        (OK, &[("x-next", "9")], large.as_str()),
        (OK, &[("x-next", "9"), ("content-encoding", "gzip")], "no gzip"),
    ] {
        let question = endpoint.asked().await;
        assert_eq!(question.target, "/reservations?limit=2&since=0", "before {status}");
        endpoint.answer(status, headers, body);
    }
    // A secret that has changed is used without a restart.
    let question = endpoint.asked().await;
    std::fs::write(source.path("token"), "other").expect("a file");
    assert_eq!(question.headers["authorization"], "Bearer t0ken");
    endpoint.answer("403 Forbidden", &[], "");
    assert_eq!(endpoint.asked().await.headers["authorization"], "Bearer other");
    endpoint.answer(OK, &[("x-next", "9")], message(1));
    assert_eq!(source.record(0).await.data, message(1));
    connectors.close().await;
    assert_eq!(source.end().await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_can_read_is_a_dead_letter_and_does_not_hold_up_the_rest() {
    let mut endpoint = Endpoint::new(None).await;
    let source = source(&section(&endpoint, CURSOR));
    let connectors = source.start();
    endpoint.asked().await;
    endpoint.answer(OK, &[("x-next", "1")], "{\"card\":4111111111111111,\"what\":");
    assert_eq!(since(&endpoint.asked().await), Some("1"));
    assert_eq!(source.record(0).await.data, "{\"card\":\"************1111\",\"what\":");
    connectors.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_one_property_vouches_for_it_even_with_nothing_new() {
    let mut endpoint = Endpoint::new(None).await;
    let source = source(&section(&endpoint, "attributes = { property = \"H7\" }"));
    let connectors = source.start();
    endpoint.asked().await;
    endpoint.answer("304 Not Modified", &[], "");
    endpoint.asked().await;
    let found = source.heartbeats(&connectors, 2).await;
    connectors.close().await;
    assert_eq!(found, [None, Some("H7".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn https_with_the_authority_that_the_file_names_and_packed_answers() {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let identity = |made: &rcgen::CertifiedKey<rcgen::KeyPair>| {
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("an identity")
    };
    let mut endpoint = Endpoint::new(Some(identity(&made))).await;
    let source = source(&section(&endpoint, "ca_file = \"ca.pem\""));
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(source.path("ca.pem"), other.cert.pem()).expect("a file");
    let distrusting = source.start();
    assert_eq!(endpoint.asked().await.target, DISTRUST);
    distrusting.close().await;
    std::fs::write(source.path("ca.pem"), made.cert.pem()).expect("a file");
    let connectors = source.start();
    let mut question = endpoint.asked().await;
    while question.target == DISTRUST {
        question = endpoint.asked().await;
    }
    assert_eq!(question.headers["accept-encoding"], "gzip");
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(message(1).as_bytes()).expect("packed");
    let packed = packed.finish().expect("packed");
    endpoint.answer(OK, &[("content-encoding", "gzip")], &packed);
    assert_eq!(source.record(0).await.data, message(1));
    connectors.close().await;
}
