//! What an orchestrator is told.

use std::net::SocketAddr;

use concord::health;
use concord_tests::pipeline::stage::price;
use concord_tests::pipeline::{Stage, until_idle, with_clickhouse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::DAY;

/// Status and body.
async fn get(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: concord\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("asked");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, body.to_owned())
}

#[test]
fn a_process_is_ready_when_all_its_partitions_work() {
    with_clickhouse(async |lease| {
        let stage = Stage::new(lease, 3).await;
        stage.send("pms", [&*price("H1", DAY, "100.00")]).await;
        let shared = stage.process("worker").await;
        let anywhere = "127.0.0.1:0".parse().expect("an address");
        let served = health::serve(shared.clone(), vec![0, 2], anywhere).await;
        let (address, serve) = served.expect("a free port");
        tokio::spawn(serve);
        assert_eq!(get(address, "/healthz").await, (200, "ok\n".to_owned()));
        let waits = "partitions that have not started yet: 0, 2\n".to_owned();
        assert_eq!(get(address, "/readyz").await, (503, waits));
        until_idle(&shared).await.expect("a run to the end");
        assert_eq!(get(address, "/readyz").await, (200, "ready\n".to_owned()));
        assert_eq!(get(address, "/v1/log").await.0, 404, "nothing else is served here");
    });
}
