//! The engine as its clients see it.

use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clickhouse::{Client, Row};
use http_body_util::{BodyExt as _, Full};
use hyper::StatusCode;
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};

use super::testing::{self, READER_PASSWORD, TestEngine, WRITER_PASSWORD};
use super::*;

#[derive(Debug, Clone, PartialEq, Row, Serialize, Deserialize)]
struct Night {
    property: String,
    day: i32,
    price: Option<i64>,
    sources: Vec<(String, String)>,
}

fn night(day: i32) -> Night {
    let sources = vec![("price".to_owned(), "pms".to_owned())];
    Night { property: format!("H{}", day % 100), day, price: (day % 3 != 0).then_some(i64::from(day) * 100), sources }
}

async fn make_table(client: &Client) {
    let ddl = "CREATE TABLE nights (property String, day Int32, price Nullable(Int64), sources Map(String, String)) \
               ENGINE = MergeTree ORDER BY (property, day) \
               SETTINGS non_replicated_deduplication_window = 100, fsync_after_insert = 1, fsync_part_directory = 1";
    client.query(ddl).execute().await.unwrap();
}

async fn insert(client: &Client, days: std::ops::Range<i32>) -> clickhouse::error::Result<()> {
    let mut insert = client.insert::<Night>("nights").await?;
    for day in days {
        insert.write(&night(day)).await?;
    }
    insert.end().await
}

async fn count(client: &Client) -> u64 {
    client.query("SELECT count() FROM nights").fetch_one::<u64>().await.unwrap()
}

struct Got {
    status: StatusCode,
    code: Option<String>,
    headers: hyper::HeaderMap,
    body: String,
}

/// A request as curl sends it: the head of the answer, its bytes, and whether they came to their end.
async fn raw_bytes(
    engine: &TestEngine,
    user: Option<(&str, &str)>,
    url: &str,
    body: Option<&[u8]>,
) -> (hyper::http::response::Parts, Vec<u8>, bool) {
    let http = Http::builder(TokioExecutor::new()).build_http();
    let mut request = hyper::Request::builder().uri(format!("http://{}{url}", engine.address));
    if let Some((name, password)) = user {
        request = request.header("X-ClickHouse-User", name).header("X-ClickHouse-Key", password);
    }
    let method = if body.is_some() { "POST" } else { "GET" };
    let body = Full::new(Bytes::copy_from_slice(body.unwrap_or_default()));
    let response = http.request(request.method(method).body(body).unwrap()).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(data) => bytes.extend(data.unwrap()),
            Err(_) => return (parts, bytes, false),
        }
    }
    (parts, bytes, true)
}

async fn raw(engine: &TestEngine, user: Option<(&str, &str)>, url: &str, body: Option<&[u8]>) -> Got {
    let (parts, bytes, ended) = raw_bytes(engine, user, url, body).await;
    assert!(ended, "{url}: the answer broke off");
    Got {
        status: parts.status,
        code: parts.headers.get("x-clickhouse-exception-code").map(|v| v.to_str().unwrap().to_owned()),
        headers: parts.headers,
        body: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

const AS_WRITER: Option<(&str, &str)> = Some((WRITER, WRITER_PASSWORD));
const AS_READER: Option<(&str, &str)> = Some((READER, READER_PASSWORD));

fn encode(sql: &str) -> String {
    sql.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_go_in_and_come_out() {
    let Some(mut engine) = testing::start().await else { return };
    let client = engine.writer();
    make_table(&client).await;
    insert(&client, 0..1).await.unwrap();
    insert(&client, 1..100_001).await.unwrap();
    assert_eq!(count(&client).await, 100_001);
    let parts =
        "SELECT count() FROM system.parts WHERE table = 'nights' AND database = 'concord' AND level = 0 AND rows > 1";
    assert_eq!(client.query(parts).fetch_one::<u64>().await.unwrap(), 1, "100,000 rows are one block");

    let rows: Vec<Night> = client.query("SELECT ?fields FROM nights ORDER BY day").fetch_all().await.unwrap();
    assert_eq!(rows.len(), 100_001);
    assert!(rows.iter().enumerate().all(|(day, row)| *row == night(day as i32)), "in many blocks, headers stripped");
    let none = engine.reader().query("SELECT ?fields FROM nights WHERE day < 0").fetch_all::<Night>().await.unwrap();
    assert!(none.is_empty());

    let one = client.query("SELECT ?fields FROM nights WHERE property = ? AND day = ?").bind("H42").bind(142);
    assert_eq!(one.fetch_one::<Night>().await.unwrap(), night(142));
    let text = "tab\tquote'back\\slash\nnewline \u{e9}";
    let sent = client.query("SELECT {text:String} AS text, {n:Int32} + 1 AS n").param("text", text).param("n", 41);
    assert_eq!(sent.fetch_one::<(String, i64)>().await.unwrap(), (text.to_owned(), 42));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_have_code_and_status() {
    let Some(mut engine) = testing::start().await else { return };
    let client = engine.writer();
    make_table(&client).await;
    for (sql, status, code) in [
        ("SELECT * FROM nowhere", 404, "60"),
        ("SELEC 1", 403, "497"),
        ("SELECT 1 FROM", 400, "62"),
        ("SELECT nofunction(1)", 404, "46"),
        ("SELECT throwIf(1)", 500, "395"),
        ("SELECT 1; SELECT 2", 400, "62"),
        ("SELECT 'open", 400, "62"),
        ("", 400, "62"),
        ("INSERT INTO nights (day) FORMAT TSV\nx", 400, "27"),
        ("INSERT INTO nowhere VALUES (1)", 404, "60"),
        ("DROP TABLE nowhere", 404, "60"),
    ] {
        let got = raw(&engine, AS_WRITER, "/", Some(sql.as_bytes())).await;
        assert_eq!((got.status.as_u16(), got.code.as_deref()), (status, Some(code)), "{sql}: {}", got.body);
        assert!(got.body.starts_with(&format!("Code: {code}. DB::Exception: ")), "{sql}: {}", got.body);
    }
    let error = client.query("SELECT * FROM nowhere").execute().await.unwrap_err();
    assert!(error.to_string().contains("UNKNOWN_TABLE"), "{error}");

    let late =
        client.query("SELECT throwIf(number = 900000) AS x FROM numbers(1000000) SETTINGS max_block_size = 10000");
    let error = late.fetch_all::<u8>().await.unwrap_err();
    assert!(error.to_string().contains("FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"), "after rows: {error}");

    let short =
        raw(&engine, AS_WRITER, &format!("/?query={}", encode("INSERT INTO nights FORMAT RowBinary")), Some(b"\x05ab"))
            .await;
    assert_eq!(short.status, 400, "{}", short.body);
    let damaged = raw(&engine, AS_WRITER, "/?decompress=1&query=INSERT+INTO+nights+FORMAT+TSV", Some(&[7; 40])).await;
    assert_eq!(damaged.status, 500, "{}", damaged.body);
    assert_eq!(count(&client).await, 0);
    let unknown = raw(&engine, AS_WRITER, "/?query=SELECT+1&no_such_setting=1", None).await;
    assert_eq!((unknown.status.as_u16(), unknown.code.as_deref()), (404, Some("115")));
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_log_in_gets_nothing() {
    let Some(mut engine) = testing::start().await else { return };
    for user in [None, Some((WRITER, "")), Some((WRITER, READER_PASSWORD)), Some(("default", "")), Some(("", ""))] {
        let got = raw(&engine, user, "/?query=SELECT+1", None).await;
        assert_eq!((got.status.as_u16(), got.code.as_deref()), (401, Some("516")), "{user:?}: {}", got.body);
        assert!(got.headers.contains_key("www-authenticate"));
    }
    let url = format!("/?query=SELECT+1&user={READER}&password={}", encode(READER_PASSWORD));
    let got = raw(&engine, None, &url, None).await;
    assert_eq!((got.status.as_u16(), got.body.as_str()), (200, "1\n"));
    assert_eq!(raw(&engine, None, "/ping", None).await.body, "Ok.\n");
    assert_eq!(raw(&engine, None, "/elsewhere", None).await.status, 404);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_have_the_headers_that_clients_read() {
    let Some(mut engine) = testing::start().await else { return };
    let got = raw(&engine, AS_READER, "/?query=SELECT+1+AS+x&default_format=JSON&query_id=mine", None).await;
    assert_eq!(got.headers["x-clickhouse-format"], "JSON");
    assert_eq!(got.headers["x-clickhouse-query-id"], "mine");
    assert!(got.headers["content-type"].to_str().unwrap().starts_with("application/json"));
    assert!(!got.headers["x-clickhouse-timezone"].is_empty());
    let summary: serde_json::Value = serde_json::from_slice(got.headers["x-clickhouse-summary"].as_bytes()).unwrap();
    assert!(summary["read_rows"].is_string());
    assert_eq!(serde_json::from_str::<serde_json::Value>(&got.body).unwrap()["data"][0]["x"], 1);
    let got = raw(&engine, AS_READER, "/?default_format=JSON", Some(b"SELECT 1 AS x FORMAT TSVWithNames")).await;
    assert_eq!((got.body.as_str(), &got.headers["x-clickhouse-format"]), ("x\n1\n", &"TSVWithNames".parse().unwrap()));
    let many = raw(&engine, AS_READER, "/", Some(b"SELECT number FROM numbers(200000) FORMAT TSVWithNames")).await;
    assert_eq!(many.body.lines().count(), 200_001, "one header for all blocks");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_makes_an_insert_repeatable() {
    let Some(mut engine) = testing::start().await else { return };
    let client = engine.writer();
    make_table(&client).await;
    let with = |token: &str| client.clone().with_setting("insert_deduplication_token", token);
    insert(&with("a"), 0..10).await.unwrap();
    insert(&with("a"), 0..10).await.unwrap();
    assert_eq!(count(&client).await, 10, "the same token");
    insert(&with("b"), 0..10).await.unwrap();
    assert_eq!(count(&client).await, 20, "another token");
    engine.restart().await;
    let client = engine.writer();
    insert(&client.clone().with_setting("insert_deduplication_token", "a"), 0..10).await.unwrap();
    assert_eq!(count(&client).await, 20, "the same token after a restart");
    insert(&client.clone().with_setting("max_insert_block_size", "1000000").with_setting("max_threads", "1"), 10..20)
        .await
        .unwrap();
    assert_eq!(count(&client).await, 30);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reader_only_reads() {
    let Some(mut engine) = testing::start().await else { return };
    let client = engine.writer();
    make_table(&client).await;
    insert(&client, 0..3).await.unwrap();
    let secret = engine.directory.path().join("secret.txt");
    std::fs::write(&secret, "top secret").unwrap();
    let secret = secret.display().to_string();
    for statement in gate_cases::HOSTILE {
        let sql = statement.replace("SECRET", &secret);
        let got = raw(&engine, AS_READER, "/", Some(sql.as_bytes())).await;
        assert!(got.status.is_client_error(), "{sql}: {} {}", got.status, got.body);
        assert!(!got.body.contains("top secret"), "{sql}");
    }
    for statement in gate_cases::HARMLESS {
        let got = raw(&engine, AS_READER, "/", Some(statement.as_bytes())).await;
        assert_eq!(got.status, 200, "{statement}: {}", got.body);
    }
    for (url, body) in [
        ("/?query=SELECT+1&allow_ddl=1", ""),
        ("/?query=SELECT+1&format_schema=x", ""),
        ("/?query=SELECT+1&output_format_schema=x", ""),
        ("/?query=SELECT+1&database=system", ""),
        ("/?query=SELECT+1&max_memory_usage=0", ""),
        ("/?param_t=stack_trace&param_d=system", "SELECT * FROM {d:Identifier}.{t:Identifier}"),
        ("/?param_f=file", "SELECT arrayMap({f:Identifier}, ['/etc/hostname'])"),
        ("/?param_t=system.stack_trace", "SELECT * FROM {t:Identifier}"),
        ("/?query=INSERT+INTO+nights+FORMAT+TSV", "H1\t1\t1\t{}"),
    ] {
        let got = raw(&engine, AS_READER, url, Some(body.as_bytes())).await;
        assert_eq!(got.status, 403, "{url} {body}: {}", got.body);
    }
    let get = raw(&engine, AS_WRITER, "/?query=DROP+TABLE+nights", None).await;
    assert_eq!(get.status, 403, "GET changes nothing: {}", get.body);
    let named = raw(&engine, AS_READER, "/?param_t=nights", Some(b"SELECT count() FROM {t:Identifier}")).await;
    assert_eq!(named.body, "3\n");
    assert_eq!(count(&client).await, 3);
    assert!(!std::path::Path::new("/tmp/concord-outfile").exists());
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writer_stays_within_the_tables() {
    let Some(mut engine) = testing::start().await else { return };
    let client = engine.writer();
    make_table(&client).await;
    for statement in gate_cases::HOSTILE_FOR_ALL {
        let got = raw(&engine, AS_WRITER, "/", Some(statement.as_bytes())).await;
        assert_eq!((got.status.as_u16(), got.code.as_deref()), (403, Some("497")), "{statement}: {}", got.body);
    }
    for statement in [
        "CREATE VIEW v AS SELECT * FROM nights",
        "CREATE TABLE r (k String, v UInt64, engine_x UInt8) ENGINE = ReplacingMergeTree(v) ORDER BY k PARTITION BY substring(k, 1, 1)",
        "ALTER TABLE r ADD COLUMN x Nullable(Int32)",
        "INSERT INTO r (k, v, engine_x) VALUES ('a', 1, 0), ('b', 2, 0)",
        "INSERT INTO r (k, v, engine_x) VALUES (concat('c', 'd'), 1 + 2, toUInt8('0'))",
        "INSERT INTO r (k, v, engine_x) SELECT k, v + 1, 0 FROM r",
        "OPTIMIZE TABLE r FINAL",
        "ALTER TABLE r DELETE WHERE k = 'a' SETTINGS mutations_sync = 2",
        "DELETE FROM r WHERE k = 'b'",
        "SYSTEM STOP MERGES r",
        "SYSTEM START MERGES r",
        "RENAME TABLE r TO s",
        "TRUNCATE TABLE s",
        "DROP TABLE s",
        "DROP VIEW v",
        "EXPLAIN indexes = 1 SELECT * FROM nights WHERE property = 'H1'",
        "CREATE DATABASE IF NOT EXISTS other ENGINE = Atomic",
        "DROP DATABASE other",
    ] {
        let got = raw(&engine, AS_WRITER, "/", Some(statement.as_bytes())).await;
        assert_eq!(got.status, 200, "{statement}: {}", got.body);
    }
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_at_once_and_clients_that_leave() {
    let Some(mut engine) = testing::start().await else { return };
    let client = engine.writer();
    make_table(&client).await;
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..24 {
        let (writer, reader) = (engine.writer(), engine.reader());
        tasks.spawn(async move {
            for step in 0..8 {
                let day = task * 8 + step;
                insert(&writer, day..day + 1).await.unwrap();
                let rows =
                    reader.query("SELECT ?fields FROM nights WHERE day = ?").bind(day).fetch_all::<Night>().await;
                assert_eq!(rows.unwrap(), [night(day)]);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(count(&client).await, 192);
    // More endless answers than a reader has places: each place comes back when its client leaves.
    for _ in 0..20 {
        let mut cursor = engine.reader().query("SELECT number FROM system.numbers").fetch::<u64>().unwrap();
        assert_eq!(cursor.next().await.unwrap(), Some(0));
    }
    assert_eq!(engine.reader().query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);
    // An insert that breaks off leaves nothing.
    let mut broken = client.insert::<Night>("nights").await.unwrap();
    for day in 1000..20_000 {
        broken.write(&night(day)).await.unwrap();
    }
    drop(broken);
    assert_eq!(count(&client).await, 192);
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_the_data() {
    let Some(mut engine) = testing::start().await else { return };
    make_table(&engine.writer()).await;
    insert(&engine.writer(), 0..1000).await.unwrap();
    for _ in 0..3 {
        engine.restart().await;
        assert_eq!(count(&engine.writer()).await, 1000);
    }
    engine.stop().await;
}

/// Set for a copy of this test program that holds a data directory.
const HOLD: &str = "CONCORD_TEST_HOLD_DIRECTORY";

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_has_one_process_and_survives_its_death() {
    if let Some(directory) = std::env::var_os(HOLD) {
        let engine = Engine::start(testing::options(Path::new(&directory))).await.unwrap();
        println!("holding {}", engine.address());
        // Until the other end of standard input is closed.
        std::io::copy(&mut std::io::stdin(), &mut std::io::sink()).unwrap();
        engine.stop().await;
        return;
    }
    let Some(mut engine) = testing::start().await else { return };
    let directory = engine.directory.path().to_owned();
    let options = || testing::options(&directory);
    let other = Options { path: directory.join("other"), ..options() };
    let error = Engine::start_within(other, Duration::ZERO).await.err().unwrap();
    assert!(matches!(error, EngineError::InUse { .. }), "{error}");
    engine.stop().await;

    let mut other = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "engine::tests::a_directory_has_one_process_and_survives_its_death", "--nocapture"])
        .env(HOLD, engine.directory.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = std::io::BufRead::lines(std::io::BufReader::new(other.stdout.take().unwrap()));
    let holding = output.find_map(|line| line.unwrap().split_once("holding ").map(|(_, address)| address.to_owned()));
    let theirs = testing::writer(holding.unwrap().trim().parse().unwrap());
    make_table(&theirs).await;
    insert(&theirs.clone().with_setting("insert_deduplication_token", "a"), 0..10).await.unwrap();
    let error = Engine::start_within(options(), Duration::ZERO).await.err().unwrap();
    assert!(matches!(&error, EngineError::InUse { holder, .. } if holder.contains(&other.id().to_string())), "{error}");
    println!("{error}");
    // Killed, not stopped: the lock is free soon after, and a start waits for it.
    other.kill().unwrap();
    let waiting = Engine::start(options());
    other.wait().unwrap();
    let engine = waiting.await.unwrap();
    let ours = testing::writer(engine.address());
    assert_eq!(count(&ours).await, 10, "what was acknowledged is there");
    insert(&ours.clone().with_setting("insert_deduplication_token", "a"), 0..10).await.unwrap();
    assert_eq!(count(&ours).await, 10, "repeating it adds nothing");
    engine.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wasm_traps_and_signals_work_beside_the_engine() {
    let Some(mut engine) = testing::start().await else { return };
    // (module (memory 1) (func (export "f") (drop (i32.load (i32.const 0x7fffffff)))))
    let module = [
        &b"\0asm\x01\0\0\0"[..],
        &[1, 4, 1, 0x60, 0, 0],
        &[3, 2, 1, 0],
        &[5, 3, 1, 0, 1],
        &[7, 5, 1, 1, b'f', 0, 0],
        &[10, 14, 1, 12, 0, 0x41, 0xff, 0xff, 0xff, 0xff, 7, 0x28, 2, 0, 0x1a, 0x0b],
    ]
    .concat();
    let wasm = wasmtime::Engine::default();
    let module = wasmtime::Module::new(&wasm, &module).unwrap();
    for _ in 0..3 {
        let mut store = wasmtime::Store::new(&wasm, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let error = instance.get_typed_func::<(), ()>(&mut store, "f").unwrap().call(&mut store, ()).unwrap_err();
        assert_eq!(error.downcast_ref::<wasmtime::Trap>(), Some(&wasmtime::Trap::MemoryOutOfBounds));
        assert_eq!(engine.reader().query("SELECT 1").fetch_one::<u8>().await.unwrap(), 1);
    }
    let blocked =
        tokio::task::spawn_blocking(|| std::fs::read_to_string("/proc/thread-self/status").unwrap()).await.unwrap();
    let mask = blocked.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
    assert_eq!(u64::from_str_radix(mask, 16).unwrap(), 0, "no signal stays blocked in our threads");
    engine.stop().await;
}

/// Not a test: `cargo test -p concord-runtime --lib engine::tests::measure -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints times"]
async fn measure() {
    let Some(mut engine) = testing::start().await else { return };
    let client = engine.writer();
    make_table(&client).await;
    let mut times = Vec::new();
    for day in 0..300 {
        let start = Instant::now();
        insert(&client, day..day + 1).await.unwrap();
        times.push(start.elapsed());
    }
    report("insert of 1 row", times);
    let mut times = Vec::new();
    for token in 0..300 {
        let client = client.clone().with_setting("insert_deduplication_token", token.to_string());
        let start = Instant::now();
        insert(&client, 0..1).await.unwrap();
        times.push(start.elapsed());
    }
    report("insert of 1 row with a token", times);
    let mut times = Vec::new();
    for round in 0..20 {
        let start = Instant::now();
        insert(&client, round * 100_000..(round + 1) * 100_000).await.unwrap();
        times.push(start.elapsed());
    }
    report("insert of 100,000 rows", times);
    for (what, client) in [("writer", engine.writer()), ("reader", engine.reader())] {
        let mut times = Vec::new();
        for day in 0..300 {
            let query = client.query("SELECT ?fields FROM nights WHERE property = ? AND day = ? LIMIT 1");
            let start = Instant::now();
            query.bind(format!("H{}", day % 100)).bind(day).fetch_one::<Night>().await.unwrap();
            times.push(start.elapsed());
        }
        report(&format!("point select, {what}"), times);
    }
    engine.stop().await;
}

fn report(what: &str, mut times: Vec<Duration>) {
    times.sort();
    println!("{what}: p50 {:?}, p90 {:?}", times[times.len() / 2], times[times.len() * 9 / 10]);
}
