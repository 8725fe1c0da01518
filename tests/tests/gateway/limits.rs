//! Too slow, too large, too many, and what happens when the log does not take anything.

use std::io::Write;
use std::sync::atomic::Ordering;

use tokio::io::AsyncWriteExt;

use crate::support::{Answer, DOOR, OPEN, Request, Up, message, rest};

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_end_ends_the_connection() {
    let up = Up::usual("head_timeout = \"100ms\"").await;
    for begin in ["", "POST /pms/H1 HTTP/1.1\r\nhost: x\r\nx-slow: "] {
        let mut stream = up.connect().await;
        stream.write_all(begin.as_bytes()).await.expect("sent");
        // Returns because the gateway hangs up.
        assert!(!rest(&mut stream).await.contains("200"));
    }
    assert!(up.records().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_end_is_answered() {
    let up = Up::usual("body_timeout = \"100ms\"").await;
    let request = Request::signed("m", message(1));
    let mut stream = up.connect().await;
    stream.write_all(request.head(request.body.len()).as_bytes()).await.expect("sent");
    stream.write_all(&request.body[..10]).await.expect("sent");
    assert_eq!(Answer::read(&mut stream).await.status, 408);
    assert!(up.records().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_as_soon_as_it_is_known() {
    let up = Up::usual("body_limit = \"64 KiB\"").await;
    // By its own word: nothing of it is waited for.
    let mut stream = up.connect().await;
    let request = Request::signed("m", "");
    stream.write_all(request.head(1 << 40).as_bytes()).await.expect("sent");
    assert_eq!(Answer::read(&mut stream).await.status, 413);
    // In chunks, without a word.
    let mut stream = up.connect().await;
    let head = request.head(0).replace("content-length: 0", "transfer-encoding: chunked");
    let chunk = format!("{:x}\r\n{}\r\n", 65_537, "x".repeat(65_537));
    stream.write_all(format!("{head}{chunk}").as_bytes()).await.expect("sent");
    assert_eq!(Answer::read(&mut stream).await.status, 413);
    // Just small enough: its signature is looked at.
    let whole = Request::signed("m", "x".repeat(65_536));
    assert_eq!(up.send(&whole).await.status, 422);
    assert_eq!(up.count("unfit"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_have_bounds() {
    let up = Up::usual("").await;
    let flood = (0..150).fold(Request::signed("m", message(1)), |request, n| request.header(&format!("x-{n}"), "y"));
    let large = Request::signed("m", message(1)).header("x-large", &"y".repeat(64 << 10));
    for request in [flood, large] {
        let mut stream = up.connect().await;
        // It may hang up before everything is sent.
        let _ = stream.write_all(&request.bytes()).await;
        let said = rest(&mut stream).await;
        assert!(!said.contains(" 200 "), "{said}");
    }
    assert!(up.records().await.is_empty());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

#[tokio::test(flavor = "multi_thread")]
async fn packed_bodies_are_unpacked_within_bounds() {
    let up = Up::usual("inflated_limit = \"1 MiB\"").await;
    for (what, body, expected) in [
        ("a message", gzip(message(5).as_bytes()), 200),
        ("a bomb", gzip(&vec![b' '; 32 << 20]), 413),
        ("no gzip", message(5).into_bytes(), 400),
    ] {
        let answer = up.send(&Request::signed(what, body).header("content-encoding", "gzip")).await;
        assert_eq!(answer.status, expected, "{what}: {}", answer.body);
    }
    let records = up.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].data, message(5));
    // The signature is over the packed bytes: an unsigned bomb is not even unpacked.
    let unsigned = Request::unsigned(gzip(&vec![b' '; 32 << 20])).header("content-encoding", "gzip");
    assert_eq!(up.send(&unsigned).await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_house_says_when_to_come_again_and_answers_nothing_that_is_not_durable() {
    let up = Up::usual("deliveries = 1").await;
    up.log.gate.forget_permits(OPEN);
    let mut first = up.connect().await;
    first.write_all(&Request::signed("first", message(1)).bytes()).await.expect("sent");
    // It is at the log, and waits there.
    up.log.came.acquire().await.expect("the gate").forget();
    let second = up.send(&Request::signed("second", message(2))).await;
    assert_eq!((second.status, second.headers["retry-after"].as_str()), (503, "2"));
    // No byte of an answer yet.
    let mut byte = [0];
    let early = first.try_read(&mut byte).expect_err("an answer before its record is durable");
    assert_eq!(early.kind(), std::io::ErrorKind::WouldBlock);
    assert!(up.records().await.is_empty());
    up.log.gate.add_permits(OPEN);
    assert_eq!(Answer::read(&mut first).await.status, 200);
    assert_eq!(up.records().await.len(), 1);
    assert_eq!(up.send(&Request::signed("second", message(2))).await.status, 200);
    assert_eq!((up.count("unavailable"), up.count("accepted")), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_for_bodies_is_bounded_over_all_connections() {
    let up = Up::usual("body_limit = \"64 KiB\"\ninflated_limit = \"64 KiB\"\nheld = \"64 KiB\"").await;
    up.log.gate.forget_permits(OPEN);
    let large = message(1).replacen('{', &format!("{{{}", " ".repeat(40 << 10)), 1);
    let mut first = up.connect().await;
    first.write_all(&Request::signed("first", &large).bytes()).await.expect("sent");
    up.log.came.acquire().await.expect("the gate").forget();
    // The first one's body is a record now and no longer counted as a body; a slow one is.
    let slow = Request::signed("slow", &large);
    let mut stream = up.connect().await;
    stream.write_all(slow.head(slow.body.len()).as_bytes()).await.expect("sent");
    stream.write_all(&slow.body[..slow.body.len() - 1]).await.expect("sent");
    up.log.gate.add_permits(OPEN);
    assert_eq!(Answer::read(&mut first).await.status, 200);
    // Together they would be more than there is, as soon as the slow one has arrived.
    let mut refused = false;
    while !refused {
        let answer = up.send(&Request::signed("other", &large)).await;
        refused = answer.status == 503;
        assert!(matches!(answer.status, 200 | 503), "{}", answer.body);
    }
    stream.write_all(&slow.body[slow.body.len() - 1..]).await.expect("sent");
    assert_eq!(Answer::read(&mut stream).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_away_or_takes_too_long_is_no_success() {
    let up = Up::usual("append_timeout = \"50ms\"").await;
    up.log.away.store(true, Ordering::SeqCst);
    let answer = up.send(&Request::signed("m", message(1))).await;
    assert_eq!(answer.status, 503);
    assert!(!answer.body.contains("away"), "the log's troubles are not the sender's: {}", answer.body);
    up.log.away.store(false, Ordering::SeqCst);
    up.log.gate.forget_permits(OPEN);
    let answer = up.send(&Request::signed("m", message(1))).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(up.records().await.is_empty());
    up.log.gate.add_permits(OPEN);
    assert_eq!(up.send(&Request::signed("m", message(1))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_has_its_rate() {
    let up = Up::with("", &format!("{DOOR}\nrate = 1"), "native").await;
    // Two within a second, sooner or later.
    let limited = loop {
        let answer = up.send(&Request::signed("m", message(1))).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!((limited.status, limited.headers["retry-after"].as_str()), (429, "1"));
    // Whoever is not believed takes nothing of it away.
    let before = up.count("limited");
    assert_eq!(up.send(&Request::unsigned(message(1))).await.status, 401);
    assert_eq!(up.count("limited"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn at_the_end_what_was_begun_is_answered() {
    let up = Up::usual("").await;
    up.log.gate.forget_permits(OPEN);
    let mut begun = up.connect().await;
    begun.write_all(&Request::signed("begun", message(1)).bytes()).await.expect("sent");
    up.log.came.acquire().await.expect("the gate").forget();
    let mut idle = up.connect().await;
    let (log, gateway) = (up.log.clone(), up.gateway);
    let closing = tokio::spawn(gateway.close());
    // The idle one ends although the other is still at work.
    assert_eq!(rest(&mut idle).await, "");
    log.gate.add_permits(OPEN);
    assert_eq!(Answer::read(&mut begun).await.status, 200);
    closing.await.expect("closed");
}
