//! XML senders hear their format's documents; TLS.

use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::AsyncWriteExt;

use crate::support::{Answer, Request, Up, message, rest};

const BOOKING: &str = "<OTA_HotelResNotifRQ xmlns=\"http://www.opentravel.org/OTA/2003/05\" EchoToken=\"e-1\" Version=\"2.0\">\
    <HotelReservations><HotelReservation ResStatus=\"Commit\"><UniqueID Type=\"14\" ID=\"R1\"/><RoomStays><RoomStay>\
    <RoomTypes><RoomType RoomTypeCode=\"DBL\"/></RoomTypes><TimeSpan Start=\"2026-03-01\" End=\"2026-03-03\"/>\
    </RoomStay></RoomStays></HotelReservation></HotelReservations></OTA_HotelResNotifRQ>";

fn door(reply: &str) -> String {
    format!("{}\nreply = \"{reply}\"", crate::support::DOOR)
}

fn xml(id: &str, body: &str) -> Request {
    Request::signed(id, body).header("content-type", "text/xml; charset=utf-8")
}

#[tokio::test(flavor = "multi_thread")]
async fn opentravel_hears_success_and_errors() {
    let up = Up::with("", &door("opentravel"), "opentravel").await;
    let good = up.send(&xml("good", BOOKING)).await;
    assert_eq!(good.status, 200, "{}", good.body);
    assert!(good.body.contains("<OTA_HotelResNotifRS ") && good.body.contains(" EchoToken=\"e-1\"><Success/>"));
    assert_eq!(good.headers["content-type"], "application/xml; charset=utf-8");
    let records = up.records().await;
    assert_eq!(records.len(), 1);
    // The message names no hotel: the path does.
    assert_eq!(records[0].attribute("property"), Some("H1"));
    let bad = up.send(&xml("bad", "<OTA_HotelResNotifRQ EchoToken=\"e-2\"/>")).await;
    assert_eq!(bad.status, 200, "{}", bad.body);
    assert!(bad.body.contains("EchoToken=\"e-2\"><Errors><Error Type=\"3\" Code=\"450\">"), "{}", bad.body);
    assert_eq!((up.count("accepted"), up.count("rejected")), (1, 1));
    // Nothing of a stranger's body is repeated.
    let stranger = up.send(&xml("good", BOOKING).header("webhook-id", "other")).await;
    assert_eq!(stranger.status, 401);
    assert!(stranger.body.contains("Type=\"6\" Code=\"497\"") && !stranger.body.contains("e-1"), "{}", stranger.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn soap_is_answered_in_an_envelope() {
    let up = Up::with("", &door("expedia"), "opentravel").await;
    let space = "http://schemas.xmlsoap.org/soap/envelope/";
    let body = format!("<s:Envelope xmlns:s=\"{space}\"><s:Body>{BOOKING}</s:Body></s:Envelope>");
    let answer = up.send(&xml("soap", &body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(answer.body.contains("<s:Envelope") && answer.body.contains("<Success></Success>"), "{}", answer.body);
    assert_eq!(answer.headers["content-type"], "text/xml; charset=utf-8");
}

/// A gateway with TLS, and its certificate.
async fn with_tls() -> (Up, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let lines = format!(
        "certificate_file = \"{}\"\nkey_file = \"{}\"\nhead_timeout = \"2s\"",
        certificate.display(),
        key.display()
    );
    (Up::usual(&lines).await, made.cert.der().clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_the_certificate_that_the_file_names_and_nothing_else() {
    let (up, certificate) = with_tls().await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add(certificate).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
    let name = ServerName::try_from("localhost").expect("a name");
    let mut stream = connector.connect(name, up.connect().await).await.expect("TLS");
    stream.write_all(&Request::signed("m", message(1)).bytes()).await.expect("sent");
    assert_eq!(Answer::read(&mut stream).await.status, 200);
    // In the clear nobody is heard.
    let mut clear = up.connect().await;
    clear.write_all(&Request::signed("m", message(1)).bytes()).await.expect("sent");
    assert!(!rest(&mut clear).await.contains("200"));
    assert_eq!(up.records().await.len(), 1);
}
