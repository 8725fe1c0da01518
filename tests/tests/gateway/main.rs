//! The gateway over TCP: who is let in, what is too much, and what an answer promises.
//!
//! Times that have to pass are set short, and the test waits for what follows from them, not for the clock.

mod formats;
mod limits;
mod support;

use std::time::Duration;

use concord::connect::beat;
use concord::event::{self, Control, Parsed, is_content_id};
use concord::log::Log;
use concord::log::partitioner::partition;
use concord_tests::pipeline::key;
use support::{Request, SECRET, Up, mac, message, now};

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_delivery_is_durable_when_it_is_answered() {
    let up = Up::usual("").await;
    let answer = up.send(&Request::signed("msg_1", message(3))).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"accepted","records":1}"#));
    let records = up.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!((records[0].id.as_str(), records[0].source.as_str()), ("msg_1", "pms"));
    assert_eq!(records[0].attribute("property"), Some("H1"));
    assert_eq!(records[0].data, message(3));
    up.gateway.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_rotate_and_a_redelivery_keeps_its_id() {
    let up = Up::usual("").await;
    for (id, secret) in [("a", "the old secret"), ("b", SECRET), ("b", SECRET)] {
        let answer = up.send(&Request::unsigned(message(1)).sign(id, now(), secret)).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.body);
    }
    let mut ids: Vec<String> = up.records().await.into_iter().map(|record| record.id).collect();
    ids.sort();
    assert_eq!(ids, ["a", "b", "b"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_shows_nothing_right_is_refused_before_the_body_is_looked_into() {
    let up = Up::usual("").await;
    // Would be rejected with another status if a plugin saw it.
    let body = "{no JSON";
    let good = Request::signed("msg_1", body);
    let changed = Request { body: b"{no  JSON".to_vec(), ..good.clone() };
    for (what, request) in [
        ("no signature", Request::unsigned(body)),
        ("another secret", Request::unsigned(body).sign("msg_1", now(), "another secret")),
        ("an old timestamp", Request::unsigned(body).sign("msg_1", now() - 360, SECRET)),
        ("a timestamp to come", Request::unsigned(body).sign("msg_1", now() + 360, SECRET)),
        ("an old message with a new timestamp", {
            Request::unsigned(body).sign("msg_1", now() - 360, SECRET).header("webhook-timestamp", &now().to_string())
        }),
        ("another id", good.clone().header("webhook-id", "msg_2")),
        ("another body", changed),
        ("another scheme", good.clone().header("webhook-signature", "v1a,AAAA")),
    ] {
        let answer = up.send(&request).await;
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        assert!(!answer.body.contains(SECRET), "{}", answer.body);
    }
    assert!(up.records().await.is_empty());
    assert_eq!(up.count("untrusted"), 8);
    // The same body from somebody known: a dead letter, and the sender hears why.
    let answer = up.send(&good).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    assert_eq!(up.records().await.len(), 1);
    assert_eq!((up.count("rejected"), up.count("accepted")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_stands_still_until_success_need_not_hear_of_dead_letters() {
    let up = Up::with("", &format!("{}\ntell_rejections = false", support::DOOR), "native").await;
    assert_eq!(up.send(&Request::signed("m", "{no JSON")).await.status, 200);
    assert_eq!((up.records().await.len(), up.count("rejected"), up.count("accepted")), (1, 1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn users_tokens_and_vendors_signatures() {
    let body = message(1);
    let right = mac(SECRET, &[body.as_bytes()]);
    let basic = "Basic aG90ZWw6YSBzZWNyZXQgb2Ygc2l4dGVlbiBvciBtb3Jl";
    for (auth, name, good, bad) in [
        ("kind = \"basic\", user = \"hotel\"", "authorization", basic.to_owned(), "Basic aG90ZWw6".to_owned()),
        ("kind = \"bearer\"", "authorization", format!("Bearer {SECRET}"), "Bearer a secret".to_owned()),
        (
            "kind = \"hmac\", header = \"X-Signature\", encoding = \"base64\", prefix = \"s=\"",
            "x-signature",
            format!("s={right}"),
            right.clone(),
        ),
    ] {
        let door = format!("path = \"/pms/{{property}}\"\nauth = {{ {auth}, secrets = [\"file:plain\"] }}");
        let up = Up::with("", &door, "native").await;
        let request = Request::unsigned(&body);
        assert_eq!(up.send(&request.clone().header(name, &good)).await.status, 200, "{auth}");
        for refused in [request.clone().header(name, &bad), request.clone()] {
            let answer = up.send(&refused).await;
            assert_eq!(answer.status, 401, "{auth}: {}", answer.body);
            assert!(answer.headers.contains_key("www-authenticate"));
        }
        let records = up.records().await;
        assert_eq!(records.len(), 1, "{auth}");
        assert!(is_content_id(&records[0].id));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_and_attributes_come_from_the_headers_that_are_named() {
    let door = "path = \"/in\"\nid_header = \"X-Delivery\"\nheaders = { property = \"X-Hotel\", kind = \"X-Kind\" }\n\
                auth = { kind = \"bearer\", secrets = [\"file:plain\"] }";
    let up = Up::with("", door, "native").await;
    let token = format!("Bearer {SECRET}");
    let request = Request::unsigned(message(1)).to("/in").header("authorization", &token).header("x-hotel", "H7");
    assert_eq!(up.send(&request.clone().header("x-delivery", "d-1")).await.status, 200);
    assert_eq!(up.send(&request.clone().header("x-delivery", &"d".repeat(257))).await.status, 400);
    let records = up.records().await;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].id, "d-1");
    assert_eq!((records[0].attribute("property"), records[0].attribute("kind")), (Some("H7"), None));
    for (target, expected) in [("/in/", 404), ("/", 404), ("/in?x=1", 200)] {
        assert_eq!(up.send(&request.clone().to(target)).await.status, expected, "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_post_and_only_known_media_types() {
    let up = Up::usual("").await;
    let good = Request::signed("m", message(1));
    let get = String::from_utf8(good.bytes()).expect("text").replacen("POST", "PUT", 1);
    let mut stream = up.connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, get.as_bytes()).await.expect("sent");
    let answer = support::Answer::read(&mut stream).await;
    assert_eq!((answer.status, answer.headers["allow"].as_str()), (405, "POST"));
    for (name, value, expected) in [
        ("content-type", "application/x-www-form-urlencoded", 415),
        ("content-type", "application/cloudevents+json; charset=utf-8", 200),
        ("content-encoding", "br", 415),
        ("content-encoding", "identity", 200),
    ] {
        let answer = up.send(&good.clone().header(name, value)).await;
        assert_eq!(answer.status, expected, "{value}: {}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_configuration_no_delivery_until_there_is_one() {
    let up = Up::usual("").await;
    up.configured(false);
    let answer = up.send(&Request::signed("m", message(1))).await;
    assert_eq!(answer.status, 503, "{}", answer.body);
    assert!(answer.headers.contains_key("retry-after"));
    up.configured(true);
    assert_eq!(up.send(&Request::signed("m", message(1))).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_an_address_of_their_own() {
    let up = Up::usual("metrics = \"127.0.0.1:0\"").await;
    assert_eq!(up.send(&Request::signed("m", message(1))).await.status, 200);
    assert_eq!(up.send(&Request::unsigned(message(1))).await.status, 401);
    let mut stream =
        tokio::net::TcpStream::connect(up.gateway.metrics().expect("an address")).await.expect("connected");
    let ask = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut stream, ask).await.expect("sent");
    let answer = support::Answer::read(&mut stream).await;
    for line in ["{source=\"pms\",what=\"accepted\"} 1\n", "{source=\"pms\",what=\"untrusted\"} 1\n"] {
        assert!(answer.body.contains(line), "{}", answer.body);
    }
    // Senders do not see them.
    assert_eq!(up.send(&Request::unsigned("").to("/metrics")).await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn card_data_does_not_reach_the_log() {
    let up = Up::usual("").await;
    let card = "4111111111111111";
    let good = message(1).replacen('{', &format!("{{\"guest\":{{\"pan\":{card},\"cvv\":\"987\"}},"), 1);
    let broken = format!("{{ card 4111 1111 1111 1111, CVV: 987 and {card}");
    for (id, body) in [("good", &good), ("broken", &broken)] {
        assert!(matches!(up.send(&Request::signed(id, body)).await.status, 200 | 422));
    }
    let target = format!("/pms/{card}");
    up.send(&Request::signed("path", message(1)).to(&target)).await;
    assert_eq!((up.count("masked_cards"), up.count("masked_codes")), (4, 2));
    let records = up.records().await;
    assert_eq!(records.len(), 3);
    for record in records {
        let text = format!("{} {:?}", String::from_utf8_lossy(&record.data), record.attributes);
        assert!(!text.contains(card) && !text.contains("987") && text.contains("1111"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_door_vouches_for_what_it_has_taken_and_for_nothing_else() {
    let up = Up::usual("").await;
    assert_eq!(up.send(&Request::signed("good", message(1))).await.status, 200);
    // A dead letter, and a stranger's: neither is word from a property.
    assert_eq!(up.send(&Request::signed("bad", "{\"property\":\"H2\"")).await.status, 422);
    assert_eq!(up.send(&Request::unsigned(message(2).replace("H1", "H3"))).await.status, 401);
    let home = partition(b"H1", 2);
    let ends = [up.log.bounds(0).await.expect("bounds").1, up.log.bounds(1).await.expect("bounds").1];
    let every = Duration::from_millis(1);
    let beating = beat(up.log.clone(), key(), "w1".to_owned(), up.gateway.pulses(), every);
    let heard = async |partition: u32, offset: u64| {
        let records = up.log.read(partition, offset, 1, 1).await.expect("a heartbeat");
        let Parsed::Control(signed) = event::parse(&records[0].value, &key()) else { panic!("{records:?}") };
        let Control::Heartbeat { source, property, .. } = signed.control else { panic!("{signed:?}") };
        assert_eq!((source.as_str(), signed.author.as_str()), ("pms", "webhooks@w1"));
        property
    };
    let reading = async {
        // The connector's own comes first; behind the property's there is nothing but the connector's next ones.
        let alone = heard(0, ends[0]).await;
        let place = if home == 0 { ends[0] + 1 } else { ends[1] };
        (alone, heard(home, place).await, heard(0, ends[0] + if home == 0 { 2 } else { 1 }).await)
    };
    let found = tokio::select! {
        () = beating => unreachable!("it never returns"),
        found = reading => found,
    };
    assert_eq!(found, (None, Some("H1".to_owned()), None));
}
