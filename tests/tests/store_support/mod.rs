//! What the store's tests need: an engine with a database per test, and rows to write.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Instant, SystemTime};

use clickhouse::Client;
use concord::engine::{self, Engine};
use concord::rows::{
    AuditClaim, AuditHead, Cause, ConflictKind, ConflictRow, DeadLetterKind, DeadLetterRow, Decided, Decision,
    FreshnessRow, Outcome, PropertyRow, ReservationRow, RoomNightRow, RuleChangeRow, StateRow,
};
use concord::store::{Options, Store, StoreError};
use concord::types::{Amount, Currency, Day, FieldType, Money, Status, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The declared fields of the tests' databases.
pub const FIELDS: [(&str, FieldType); 4] = [
    ("breakfast", FieldType::Boolean),
    ("min_stay", FieldType::Integer),
    ("note", FieldType::Text),
    ("price", FieldType::Money),
];

/// A database of its own in a running engine.
pub struct Place {
    options: Options,
    admin: Client,
}

/// The library holds one data directory at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs a test on a fresh engine, or says why not.
pub fn with_engine(test: impl AsyncFnOnce(Place)) {
    with_engine_at(async |mut place, start| {
        let running = start(&place).await;
        place = place.at(&running);
        test(place).await;
        running.stop().await;
    });
}

/// The same for a test that starts and stops the engine itself, with the function it is given.
pub fn with_engine_at(test: impl AsyncFnOnce(Place, &dyn Fn(&Place) -> BoxFuture<'static, Engine>)) {
    let library = match engine::find_library(None) {
        Ok(library) => library,
        Err(absent) => return println!("not run: {absent}"),
    };
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let directory = tempfile::tempdir().expect("temporary directory");
    let start = |place: &Place| -> BoxFuture<'static, Engine> {
        let options = engine::Options {
            library: library.clone(),
            path: directory.path().to_owned(),
            listen: place.options.url.trim_start_matches("http://").parse().expect("address"),
            database: "concord".to_owned(),
            writer_password: "writer".to_owned(),
            reader_password: "reader".to_owned(),
        };
        Box::pin(async { Engine::start(options).await.expect("engine") })
    };
    let place = Place::new(Options {
        url: "http://127.0.0.1:0".to_owned(),
        user: engine::WRITER.to_owned(),
        password: "writer".to_owned(),
        database: "concord".to_owned(),
        embedded: true,
        data_dir: Some(directory.path().to_owned()),
        ..Options::default()
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("runtime");
    runtime.block_on(test(place, &start));
}

/// Stands between a store and ClickHouse and breaks the connection after a number of answers.
pub struct Cutter {
    address: SocketAddr,
    /// Pieces of answers still let through.
    pub answers: Arc<AtomicU64>,
}

impl Cutter {
    pub async fn before(place: &Place) -> Cutter {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listen");
        let cutter = Cutter { address: listener.local_addr().expect("address"), answers: Arc::new(u64::MAX.into()) };
        let (target, answers) =
            (place.options.url.trim_start_matches("http://").to_owned(), Arc::clone(&cutter.answers));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&target).await.expect("engine");
                tokio::spawn(Cutter::pass(client, server, Arc::clone(&answers)));
            }
        });
        cutter
    }

    async fn pass(client: TcpStream, server: TcpStream, answers: Arc<AtomicU64>) -> Option<()> {
        let (mut from_client, mut to_client) = client.into_split();
        let (mut from_server, mut to_server) = server.into_split();
        let asking = tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
        let mut buffer = vec![0; 65_536];
        loop {
            let read = from_server.read(&mut buffer).await.ok().filter(|read| *read > 0)?;
            // The server has done what was asked; the client never hears of it.
            let left = answers.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
            if left.is_err() {
                asking.abort();
                return None;
            }
            to_client.write_all(&buffer[..read]).await.ok()?;
        }
    }
}

impl Place {
    fn new(options: Options) -> Place {
        let admin = Client::default()
            .with_url(&options.url)
            .with_user(&options.user)
            .with_password(&options.password)
            .with_database(&options.database)
            .with_compression(clickhouse::Compression::None)
            .with_validation(false);
        Place { options, admin }
    }

    /// The same place, now that its engine runs.
    pub fn at(&self, engine: &Engine) -> Place {
        Place::new(Options { url: format!("http://{}", engine.address()), ..self.options.clone() })
    }

    /// The same place, synced insert by insert by the engine, or once per commit by the store.
    pub fn synced_by_engine(&self, by_engine: bool) -> Place {
        let data_dir = self.options.data_dir.clone().filter(|_| !by_engine);
        Place::new(Options { data_dir, ..self.options.clone() })
    }

    /// The same place by way of a cutter.
    pub fn through(&self, cutter: &Cutter) -> Place {
        Place::new(Options { url: format!("http://{}", cutter.address), ..self.options.clone() })
    }

    /// Another database in the same engine.
    pub fn sibling(&self, name: &str) -> Place {
        Place::new(Options { database: format!("{}_{name}", self.options.database), ..self.options.clone() })
    }

    pub fn with_password(&self, password: &str) -> Place {
        Place::new(Options { password: password.to_owned(), ..self.options.clone() })
    }

    /// A port on which nobody listens.
    pub fn nowhere(&self) -> Place {
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("port");
        Place::new(Options { url: format!("http://{port}"), ..self.options.clone() })
    }

    pub async fn try_connect(&self) -> Result<Store, StoreError> {
        Store::connect(self.options.clone()).await
    }

    pub async fn connect(&self) -> Store {
        self.try_connect().await.expect("connect")
    }

    /// The same place as everyone else may see it.
    pub fn for_readers(&self) -> Place {
        let options = self.options.clone();
        Place::new(Options { user: engine::READER.to_owned(), password: "reader".to_owned(), ..options })
    }

    /// A store on the tables of this place, made if they are not there.
    pub async fn migrated(&self) -> Store {
        let store = self.connect().await;
        store.migrate(&FIELDS).await.expect("migrate");
        store
    }

    /// What a restarted or another worker would have: it knows nothing of what was written.
    pub async fn connect_again(&self) -> Store {
        self.migrated().await
    }

    pub async fn execute(&self, sql: &str) {
        self.admin.query_raw(sql).execute().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    }

    pub async fn text(&self, sql: &str) -> String {
        let mut answer =
            self.admin.query_raw(sql).fetch_bytes("TSVRaw").unwrap_or_else(|error| panic!("{sql}: {error}"));
        let bytes = answer.collect().await.unwrap_or_else(|error| panic!("{sql}: {error}"));
        String::from_utf8(bytes.to_vec()).expect("text")
    }

    pub async fn numbers(&self, sql: &str) -> Vec<u64> {
        self.text(sql).await.lines().map(|line| line.parse().expect(sql)).collect()
    }

    /// The only number of an answer.
    pub async fn number(&self, sql: &str) -> u64 {
        match self.numbers(sql).await.as_slice() {
            [number] => *number,
            other => panic!("{sql}: {other:?}"),
        }
    }

    /// How many granules of a table a plan reads: its `Granules` under the table's reading step, before the indexes'.
    pub async fn granules(&self, explain: &str, table: &str) -> u64 {
        let plan = self.text(explain).await;
        let step = plan
            .split("ReadFromMergeTree (")
            .find(|step| step.split(')').next().is_some_and(|name| name.ends_with(&format!(".{table}"))));
        let read =
            step.and_then(|step| step.split("Granules: ").nth(1)).and_then(|rest| rest.split_whitespace().next());
        read.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no granules in {plan}"))
    }
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn fresh_seed() -> u64 {
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("clock").as_nanos() as u64
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// The conflict row of one record.
pub fn conflict(partition: u32, offset: u64) -> ConflictRow {
    let claim = |source: &str, value: &str| AuditClaim {
        source: source.into(),
        value: value.into(),
        revision: offset.to_string(),
        offset,
    };
    ConflictRow {
        property: format!("H{}", offset % 7).into(),
        date: Day(20_000 + (offset % 30) as i32),
        room_type: "DBL".into(),
        stay: "".into(),
        kind: ConflictKind::Field,
        decision: Decision::Contest,
        field: "price".into(),
        claims: vec![claim("cloud", "120.00 EUR"), claim("legacy", "99.90 EUR")],
        winner_source: "legacy".into(),
        winner_value: "99.90 EUR".into(),
        rule_id: "price-legacy".into(),
        rule_set: "hotels@2026-11-23#0123456789ab".into(),
        reason: "legacy stands before cloud".into(),
        cause: Cause::Event,
        plugin: "precedence@1.0.0".into(),
        partition,
        offset,
        seq: 0,
        log_time: 1_700_000_000_000,
    }
}

pub fn dead_letter(partition: u32, offset: u64) -> DeadLetterRow {
    DeadLetterRow {
        source: "pms".into(),
        id: format!("delivery-{offset}"),
        kind: DeadLetterKind::Rejected,
        reason: "no arrival".into(),
        payload: "{\"room\": \"\u{fffd}\"}".into(),
        plugin: "opera@1.0.0".into(),
        partition,
        offset,
        seq: 0,
        log_time: 1_700_000_000_000,
    }
}

pub fn night(property: &str, date: Day, room_type: &str, version: u64) -> RoomNightRow {
    let price = Money { amount: Amount(1_234_500), currency: Currency::parse("EUR").expect("currency") };
    RoomNightRow {
        property: property.into(),
        date,
        room_type: room_type.into(),
        capacity: Some(10),
        booked: 4,
        held: 1,
        available: Some(5),
        fields: vec![("min_stay".into(), Value::Integer(2)), ("price".into(), Value::Money(price))],
        sources: vec![("min_stay".into(), "cloud".into()), ("price".into(), "legacy".into())],
        rule_set: "hotels@2026-11-23#0123456789ab".into(),
        version,
        log_time: 1_700_000_000_000,
    }
}

/// The rows of a stay, one per night.
pub fn stay(name: &str, arrival: &str, nights: i32, outcome: Outcome, version: u64) -> Vec<ReservationRow> {
    let arrival = Day::parse(arrival).expect("date");
    let departure = Day(arrival.0 + nights);
    (arrival.0..departure.0)
        .map(|date| ReservationRow {
            property: "H1".into(),
            date: Day(date),
            room_type: "DBL".into(),
            stay: name.into(),
            outcome,
            status: Status::Confirmed,
            arrival,
            departure,
            room: "101".into(),
            lines: vec!["pms:4711/1".into(), "ota:99/1".into()],
            references: vec!["confirmation:ota:99".into()],
            amount: Some(Amount(-12_345)),
            currency: Currency::parse("EUR"),
            guests: Some(2),
            source: "pms".into(),
            rule_id: "rooms".into(),
            version,
            is_deleted: false,
            log_time: 1_700_000_000_000,
        })
        .collect()
}

/// One row for every table, all of partition 3.
pub fn one_of_each() -> Decided {
    let entry = |property: &str, key: &[u8], value: &[u8]| StateRow {
        property: property.into(),
        key: key.to_vec(),
        value: value.to_vec(),
    };
    Decided {
        partition: 3,
        first: 7,
        next: 8,
        audit_before: AuditHead::default(),
        conflicts: vec![ConflictRow { log_time: i64::MAX, ..conflict(3, 7) }],
        dead_letters: vec![dead_letter(3, 7)],
        reservations: stay("pms:4711/1", "1999-12-31", 1, Outcome::NoShow, 8),
        room_nights: vec![night("H1", Day::MIN, "DBL", 8)],
        rule_changes: vec![RuleChangeRow {
            sequence: 5,
            name: "hotels".into(),
            version: "2026-11-23".into(),
            hash: "ab".into(),
            text: "[ruleset]\n".into(),
            diff: "+[ruleset]\n".into(),
            author: "revenue".into(),
            reason: "start".into(),
            log_time: 1_700_000_000_123,
        }],
        properties: vec![PropertyRow {
            property: "H1".into(),
            name: "Hôtel".into(),
            region: "R".into(),
            class: "legacy-managed".into(),
            time_zone: "Europe/Madrid".into(),
            version: 8,
        }],
        freshness: vec![FreshnessRow {
            source: "pms".into(),
            property: "H1".into(),
            last_heartbeat: 1_700_000_000_123,
            version: 8,
        }],
        state: vec![
            entry("", b"checkpoint", b"\x01"),
            entry("H1", b"r/pms/\xff\x00", b"\x01\x00binary"),
            entry("H1", b"gone", b""),
        ],
        state_version: 8,
        ..Decided::default()
    }
}

/// What a client of ClickHouse reads of [`one_of_each`].
pub const ONE_OF_EACH: &[(&str, &str)] = &[
    (
        "SELECT * FROM room_nights FINAL",
        r#"{"property": "H1", "date": "1900-01-01", "room_type": "DBL", "capacity": 10, "booked": 4, "held": 1,
            "available": 5, "sources": {"min_stay": "cloud", "price": "legacy"},
            "rule_set": "hotels@2026-11-23#0123456789ab", "version": 8, "log_time": "2023-11-14 22:13:20.000",
            "breakfast": null, "min_stay": 2, "note": null, "price": 123.45, "price_currency": "EUR"}"#,
    ),
    (
        "SELECT * FROM reservations FINAL",
        r#"{"property": "H1", "date": "1999-12-31", "room_type": "DBL", "stay": "pms:4711/1", "outcome": "no-show",
            "status": "confirmed", "arrival": "1999-12-31", "departure": "2000-01-01", "room": "101",
            "lines": ["pms:4711/1", "ota:99/1"], "references": ["confirmation:ota:99"], "amount": -1.2345,
            "currency": "EUR", "guests": 2, "source": "pms", "rule_id": "rooms", "version": 8, "is_deleted": 0,
            "log_time": "2023-11-14 22:13:20.000"}"#,
    ),
    (
        "SELECT * EXCEPT (recorded_at, prev_hash, hash) FROM conflicts",
        r#"{"property": "H0", "date": "2024-10-11", "room_type": "DBL", "stay": "", "kind": "field",
            "decision": "contest", "field": "price",
            "claims": [{"source": "cloud", "value": "120.00 EUR", "revision": "7", "offset": 7},
                       {"source": "legacy", "value": "99.90 EUR", "revision": "7", "offset": 7}],
            "winner_source": "legacy", "winner_value": "99.90 EUR", "rule_id": "price-legacy",
            "rule_set": "hotels@2026-11-23#0123456789ab", "reason": "legacy stands before cloud", "cause": "event",
            "plugin": "precedence@1.0.0", "partition": 3, "offset": 7, "seq": 0,
            "log_time": "2299-12-31 23:59:59.999"}"#,
    ),
    (
        "SELECT * EXCEPT (recorded_at) FROM dead_letters",
        r#"{"source": "pms", "id": "delivery-7", "kind": "rejected", "reason": "no arrival",
            "payload": "{\"room\": \"\ufffd\"}", "plugin": "opera@1.0.0", "partition": 3, "offset": 7, "seq": 0,
            "log_time": "2023-11-14 22:13:20.000"}"#,
    ),
    (
        "SELECT * FROM rule_changes",
        r#"{"sequence": 5, "name": "hotels", "version": "2026-11-23", "hash": "ab", "text": "[ruleset]\n",
            "diff": "+[ruleset]\n", "author": "revenue", "reason": "start", "log_time": "2023-11-14 22:13:20.123"}"#,
    ),
    (
        "SELECT * FROM properties FINAL",
        r#"{"property": "H1", "name": "Hôtel", "region": "R", "class": "legacy-managed",
            "time_zone": "Europe/Madrid", "version": 8}"#,
    ),
    (
        "SELECT * FROM source_freshness FINAL",
        r#"{"source": "pms", "property": "H1", "last_record": null, "last_source_time": null,
            "last_heartbeat": "2023-11-14 22:13:20.123", "state": "unknown", "stale_at": null, "when_all_stale": "",
            "version": 8}"#,
    ),
];

/// Prints how long 10,000 rows of each table take, their dates spread over `days`. The stores take turns, so that what
/// else the machine does meets them alike.
pub async fn rates(stores: &[(&str, Store)], days: u64) {
    const ROWS: u64 = 10_000;
    const ROUNDS: u64 = 15;
    for table in ["conflicts", "reservations", "room_nights", "state", "all"] {
        let mut times = vec![Vec::new(); stores.len()];
        let mut busy = vec![0.0; stores.len()];
        let mut head = AuditHead::default();
        for round in 0..ROUNDS {
            let decided = [volume(table, round, ROWS, days, &mut head)];
            for (at, (_, store)) in stores.iter().enumerate() {
                let (started, before) = (Instant::now(), processor_seconds());
                store.write(&decided).await.expect("write");
                busy[at] += (processor_seconds() - before) / ROUNDS as f64 * 1e3;
                times[at].push(started.elapsed().as_secs_f64() * 1e3);
            }
        }
        if table == "conflicts" {
            let started = Instant::now();
            let (rows, findings) =
                stores[0].1.verify_audit(partition_of(table, days), Some(head)).await.expect("verify");
            let seconds = started.elapsed().as_secs_f64();
            println!("{rows} rows verified in {seconds:.2} s, {} findings", findings.len());
        }
        for (at, (name, _)) in stores.iter().enumerate() {
            times[at].sort_by(f64::total_cmp);
            let median = times[at][times[at].len() / 2];
            println!(
                "{table:13} {name:7} {ROWS} rows: {median:6.1} ms median, {:6.1} ms worst, {:6.1} ms of processor time with \
                 merges, {:.0} rows/s",
                times[at][times[at].len() - 1],
                busy[at],
                ROWS as f64 / median * 1e3
            );
        }
    }
}

/// Prints how long one record takes by itself.
pub async fn latency(store: &Store) {
    const ROUNDS: u64 = 200;
    let mut head = AuditHead::default();
    for table in ["state", "room_nights", "alone"] {
        let mut times = Vec::new();
        for round in 0..ROUNDS {
            let decided = volume(table, round, 1, 1, &mut head);
            let started = Instant::now();
            store.write(&[decided]).await.expect("write");
            times.push(started.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let at = |part: f64| times[(times.len() as f64 * part) as usize];
        println!("{table:13} 1 row: {:5.1} ms median, {:5.1} ms p90, {:5.1} ms p99", at(0.5), at(0.9), at(0.99));
    }
}

/// Of this process, engine included.
fn processor_seconds() -> f64 {
    // SAFETY: the structure is plain numbers, and the call fills it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

/// A chain of its own for each measurement.
fn partition_of(table: &str, days: u64) -> u32 {
    2 * days as u32 + u32::from(table == "all")
}

fn volume(table: &str, round: u64, rows: u64, days: u64, head: &mut AuditHead) -> Decided {
    let is = |name: &str| table == name || table == "all" || table == "alone";
    let mut decided = Decided { partition: partition_of(table, days), state_version: round, ..Decided::default() };
    let at = |n: u64| (round * rows + n, Day(20_500 + (n % days) as i32), format!("H{}", n / 90 % 100));
    if is("conflicts") {
        decided.conflicts = (0..rows)
            .map(|n| ConflictRow { property: at(n).2.into(), date: at(n).1, ..conflict(decided.partition, at(n).0) })
            .collect();
        decided.audit_before = *head;
        (*head, decided.conflict_hashes) = concord::audit::chain(*head, &decided.conflicts);
    }
    if is("reservations") {
        let one = stay("s", "2026-02-01", 1, Outcome::Accepted, round).remove(0);
        decided.reservations = (0..rows)
            .map(|n| ReservationRow {
                property: at(n).2.into(),
                date: at(n).1,
                stay: format!("pms:{}/1", at(n).0).into(),
                ..one.clone()
            })
            .collect();
    }
    if is("room_nights") {
        decided.room_nights = (0..rows).map(|n| night(&at(n).2, at(n).1, &format!("T{}", n / 9000), round)).collect();
    }
    if is("state") {
        decided.state = (0..rows)
            .map(|n| StateRow {
                property: at(n).2.into(),
                key: format!("r/pms/{n}").into_bytes(),
                value: n.to_le_bytes().repeat(40),
            })
            .collect();
    }
    decided
}
