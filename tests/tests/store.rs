//! The store against a real engine: what is written stands once, whatever crashed, raced or was cut differently.
//!
//! Each test has a database of its own. Without libchdb the tests say so and pass.

mod store_support;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use concord::audit::{self, Problem};
use concord::rows::{AuditHead, ConflictRow, DeadLetterRow, Decided, Outcome, StateRow};
use concord::store::{Backoff, Loaded, Store, StoreError, with_retry};
use concord::types::{Day, FieldType};
use store_support::{Cutter, Place, Random, conflict, dead_letter, night, stay, with_engine, with_engine_at};

/// Batch `from..to` of a partition in which every record leaves one conflict and every third a dead letter. The same
/// record gives the same rows in whatever batch it stands.
fn batch(partition: u32, from: u64, to: u64) -> Decided {
    let conflicts: Vec<_> = (0..to).map(|offset| conflict(partition, offset)).collect();
    let (audit_before, _) = audit::chain(AuditHead::default(), &conflicts[..from as usize]);
    Decided {
        partition,
        first: from,
        next: to,
        audit_before,
        conflicts: conflicts[from as usize..].to_vec(),
        dead_letters: (from..to)
            .filter(|offset| offset % 3 == 0)
            .map(|offset| dead_letter(partition, offset))
            .collect(),
        state: vec![StateRow { property: "".into(), key: b"checkpoint".to_vec(), value: to.to_be_bytes().to_vec() }],
        state_version: to,
        ..Decided::default()
    }
}

/// The chain's end after the first `rows` records.
fn head(partition: u32, rows: u64) -> AuditHead {
    batch(partition, rows, rows).audit_before
}

/// Every conflict and dead letter of records `0..rows` stands exactly once, and the chain is sound.
async fn assert_once(place: &Place, store: &Store, partition: u32, rows: u64) {
    let count = |table: &str| format!("SELECT count() FROM {table} WHERE partition = {partition}");
    assert_eq!(place.number(&count("conflicts")).await, rows, "conflicts of partition {partition}");
    assert_eq!(place.number(&count("dead_letters")).await, rows.div_ceil(3), "dead letters of partition {partition}");
    let (chained, findings) = store.verify_audit(partition, Some(head(partition, rows))).await.expect("verify");
    assert_eq!((chained, findings), (rows, vec![]));
}

#[test]
fn migrations_run_twice_and_fields_become_columns() {
    with_engine(async |place| {
        let store = place.connect().await;
        store.migrate(&[("price", FieldType::Money)]).await.expect("first");
        store.migrate(&[("price", FieldType::Money)]).await.expect("second");
        assert_eq!(place.number("SELECT count() FROM schema_migrations").await, 2);
        assert_eq!(place.number("SELECT count() FROM system.tables WHERE database = currentDatabase()").await, 11);

        store.declare_fields(&[("price", FieldType::Money), ("min_stay", FieldType::Integer)]).await.expect("one more");
        let columns = "SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'room_nights_now' \
                       AND name IN ('price', 'price_currency', 'min_stay', 'freshness', 'sellable')";
        assert_eq!(place.number(columns).await, 5);

        let clash = store.declare_fields(&[("note", FieldType::Text), ("min_stay", FieldType::Money)]).await;
        assert!(matches!(&clash, Err(StoreError::Field { field, .. }) if field == "min_stay"), "{clash:?}");
        let note = "SELECT count() FROM system.columns WHERE database = currentDatabase() AND name = 'note'";
        assert_eq!(place.number(note).await, 0, "a refused configuration changes nothing");

        let synced = "SELECT countIf(engine_full LIKE '%fsync_after_insert = 1%') FROM system.tables \
                      WHERE database = currentDatabase() AND engine LIKE '%MergeTree'";
        for (by_engine, tables) in [(true, 9), (false, 0), (true, 9)] {
            place.synced_by_engine(by_engine).migrated().await;
            assert_eq!(place.number(synced).await, tables);
        }
        let sparing = "SELECT countIf(engine_full LIKE '%auto_statistics_types = \'\'%') FROM system.tables \
                       WHERE database = currentDatabase() AND engine LIKE '%MergeTree'";
        assert_eq!(place.number(sparing).await, 9);
        let altered = "SELECT max(metadata_modification_time) FROM system.tables \
                       WHERE database = currentDatabase() AND engine LIKE '%MergeTree'";
        let before = place.text(altered).await;
        place.synced_by_engine(true).migrated().await;
        assert_eq!(place.text(altered).await, before, "settings that stand are not written again");

        place.execute("INSERT INTO schema_migrations (version, name) SELECT 999, 'from the future'").await;
        let newer = store.migrate(&[]).await;
        assert!(matches!(newer, Err(StoreError::NewerSchema { found: 999, .. })), "{newer:?}");
    });
}

#[test]
fn every_table_gives_back_what_was_written() {
    with_engine(async |place| {
        let store = place.migrated().await;
        let decided = store_support::one_of_each();
        store.write(std::slice::from_ref(&decided)).await.expect("write");
        store.write(std::slice::from_ref(&decided)).await.expect("write again");
        for (query, expected) in store_support::ONE_OF_EACH {
            let found = store.query_json(query, &[]).await.expect(query);
            let expected: serde_json::Value = serde_json::from_str(expected).expect(query);
            assert_eq!(found, [expected], "{query}");
        }
        let loaded = store.load_property(3, "H1").await.expect("load");
        let entries = vec![(b"r/pms/\xff\x00".to_vec(), b"\x01\x00binary".to_vec())];
        assert_eq!(loaded, Loaded { entries, version: 8 }, "gone entities are not loaded");
        assert_eq!(store.load_partition(3).await.expect("load").entries, [(b"checkpoint".to_vec(), b"\x01".to_vec())]);
        let several = store.load_properties(3, &["nowhere", "it's", "H1", ""]).await.expect("load");
        assert_eq!(several.iter().map(|loaded| loaded.entries.len()).collect::<Vec<_>>(), [0, 0, 1, 1]);
        assert_eq!(store.load_partition(4).await.expect("load"), Loaded::default());
        assert_eq!(store.audited_partitions().await.expect("partitions"), [3]);
    });
}

#[test]
fn a_value_without_a_column_is_refused_before_anything_is_sent() {
    with_engine(async |place| {
        let store = place.connect().await;
        store.migrate(&[]).await.expect("migrate");
        let refused = store.write(&[store_support::one_of_each()]).await;
        assert!(matches!(refused, Err(StoreError::Batch { partition: 3, .. })), "{refused:?}");
        assert_eq!(place.number("SELECT count() FROM state").await, 0);
    });
}

#[test]
fn rows_beyond_the_checkpoint_are_not_written_again_however_the_batch_is_cut() {
    with_engine(async |place| {
        let store = place.migrated().await;
        // Each time: outputs written, state not, another worker decides the same records again.
        for (partition, cuts) in
            [[7, 12, 13].as_slice(), &[13, 20], &[10], &[1, 2, 10, 11, 30], &[9, 10, 11]].iter().enumerate()
        {
            let partition = partition as u32;
            let crashed = Decided { state: vec![], ..batch(partition, 0, 10) };
            store.write(&[crashed]).await.expect("before the crash");
            let restarted = place.connect_again().await;
            let mut from = 0;
            for &to in *cuts {
                restarted.write(&[batch(partition, from, to)]).await.expect("after the crash");
                from = to;
            }
            assert_once(&place, &restarted, partition, from.max(10)).await;
        }
    });
}

#[test]
fn a_batch_written_twice_and_batches_of_many_partitions_stand_once() {
    with_engine(async |place| {
        let store = place.migrated().await;
        let batches: Vec<_> =
            (0..5).flat_map(|p| [batch(p, 0, 4 + u64::from(p)), batch(p, 4 + u64::from(p), 20)]).collect();
        store.write(&batches).await.expect("write");
        store.write(&batches).await.expect("a retry of the whole batch");
        let more: Vec<_> = (0..5).map(|p| batch(p, 20, 23)).collect();
        store.write(&more).await.expect("write");
        for partition in 0..5 {
            assert_once(&place, &store, partition, 23).await;
            let checkpoint = store.load_partition(partition).await.expect("load").entries;
            assert_eq!(checkpoint, [(b"checkpoint".to_vec(), 23_u64.to_be_bytes().to_vec())]);
        }
    });
}

#[test]
fn a_connection_that_breaks_after_any_answer_leaves_nothing_twice() {
    with_engine(async |place| {
        let store = place.migrated().await;
        let cutter = Cutter::before(&place).await;
        for answers in 0_u32.. {
            // Another partition each time: the tables are the same, the sequences their own.
            let partition = answers;
            store.write(&[batch(partition, 0, 10)]).await.expect("write");
            let cut = place.through(&cutter).migrated().await;
            cutter.answers.store(answers.into(), SeqCst);
            let broken = cut.write(&[batch(partition, 10, 25)]).await;
            cutter.answers.store(u64::MAX, SeqCst);
            match &broken {
                // Nothing was cut: every place has been tried.
                Ok(()) => return assert!(answers > 5, "only {answers} answers"),
                Err(error) => assert!(error.retryable(), "{error}"),
            }
            if answers % 2 == 0 {
                cut.write(&[batch(partition, 10, 25)]).await.expect("the same worker tries again");
            } else {
                let another = place.connect_again().await;
                another.write(&[batch(partition, 10, 13)]).await.expect("another worker, another cut");
                another.write(&[batch(partition, 13, 25)]).await.expect("and on");
            }
            assert_once(&place, &store, partition, 25).await;
        }
    });
}

#[test]
fn an_outage_is_waited_for() {
    with_engine_at(async |place, start| {
        let running = start(&place).await;
        let place = place.at(&running);
        let store = place.migrated().await;
        store.write(&[batch(0, 0, 10)]).await.expect("write");
        running.stop().await;
        let waiting = batch(0, 10, 20);
        let at_once = Backoff { first: Duration::from_millis(1), ..Backoff::default() };
        let tried = tokio::sync::Notify::new();
        let write = with_retry("write", at_once, async || {
            let result = store.write(std::slice::from_ref(&waiting)).await;
            tried.notify_one();
            result
        });
        let restart = async {
            tried.notified().await;
            start(&place).await
        };
        let (written, running) = tokio::join!(write, restart);
        written.expect("write");
        assert_once(&place, &store, 0, 20).await;
        running.stop().await;
    });
}

#[test]
fn one_long_decision_is_written_in_steps() {
    with_engine(async |place| {
        let store = place.migrated().await;
        // One record with 40 conflict rows and 40 dead letters, cut into steps; a crash after each odd one.
        let row = |seq: u32| ConflictRow { seq, ..conflict(0, 5) };
        let letter = |seq: u32| DeadLetterRow { seq, ..dead_letter(0, 5) };
        let step = |from: u32, to: u32| {
            let (audit_before, _) = audit::chain(AuditHead::default(), &(0..from).map(row).collect::<Vec<_>>());
            let (conflicts, dead_letters) = ((from..to).map(row).collect(), (from..to).map(letter).collect());
            Decided { audit_before, conflicts, dead_letters, ..Decided::default() }
        };
        store.write(&[step(0, 10)]).await.expect("write");
        place.connect_again().await.write(&[step(10, 25)]).await.expect("write");
        let restarted = place.connect_again().await;
        restarted.write(&[step(10, 20)]).await.expect("write");
        restarted.write(&[step(20, 40)]).await.expect("write");
        let (_, expected) = audit::chain(AuditHead::default(), &(0..40).map(row).collect::<Vec<_>>());
        let end = AuditHead { hash: expected[39], rows: 40, offset: 5, seq: 39 };
        assert_eq!(restarted.verify_audit(0, Some(end)).await.expect("verify"), (40, vec![]));
        assert_eq!(place.numbers("SELECT seq FROM dead_letters ORDER BY seq").await, (0..40).collect::<Vec<_>>());
    });
}

#[test]
fn a_deposed_worker_that_writes_late_does_no_harm() {
    with_engine(async |place| {
        let owner = place.migrated().await;
        let zombie = place.connect_again().await;
        zombie.write(&[batch(0, 0, 5)]).await.expect("zombie");
        owner.write(&[batch(0, 0, 8)]).await.expect("owner");
        owner.write(&[batch(0, 8, 9)]).await.expect("owner");
        owner.write(&[batch(0, 9, 30)]).await.expect("owner");
        zombie.write(&[batch(0, 5, 8)]).await.expect("zombie");
        zombie.write(&[batch(0, 8, 31)]).await.expect("zombie");
        owner.write(&[batch(0, 30, 35)]).await.expect("owner");
        assert_once(&place, &owner, 0, 35).await;
    });
}

#[test]
fn two_workers_at_the_same_time_write_each_row_once() {
    with_engine(async |place| {
        let store = place.migrated().await;
        let seed = Random::fresh_seed();
        println!("seed {seed}");
        let worker = async |mut random: Random, store: Store| {
            let mut from = 0;
            while from < 60 {
                let to = (from + 1 + random.below(7)).min(60);
                store.write(&[batch(0, from, to)]).await.expect("write");
                from = to;
            }
        };
        let (a, b, c) = (place.connect_again().await, place.connect_again().await, place.connect_again().await);
        tokio::join!(worker(Random(seed), a), worker(Random(seed ^ 1), b), worker(Random(seed ^ 2), c));
        assert_once(&place, &store, 0, 60).await;
    });
}

#[test]
fn another_hash_at_the_same_position_stops_the_writer() {
    with_engine(async |place| {
        let store = place.migrated().await;
        store.write(&[batch(0, 0, 6)]).await.expect("write");
        let other = |from: usize| {
            let mut other = batch(0, 0, 9);
            other.dead_letters.clear();
            other.conflicts[4].reason = "decided otherwise".into();
            (other.audit_before, _) = audit::chain(AuditHead::default(), &other.conflicts[..from]);
            other.conflicts.drain(..from);
            other
        };
        for from in [0, 4] {
            let stopped = place.connect_again().await.write(&[other(from)]).await;
            assert!(matches!(stopped, Err(StoreError::Audit { offset: 4, .. })), "{stopped:?}");
        }
        let stopped = place.connect_again().await.write(&[other(5)]).await;
        assert!(matches!(stopped, Err(StoreError::Audit { offset: 4, .. })), "the checkpoint's end: {stopped:?}");
        assert_once(&place, &store, 0, 6).await;

        place.execute("ALTER TABLE conflicts DELETE WHERE offset = 5 SETTINGS mutations_sync = 2").await;
        let stopped = place.connect_again().await.write(&[batch(0, 6, 7)]).await;
        assert!(matches!(stopped, Err(StoreError::Audit { offset: 5, .. })), "{stopped:?}");
    });
}

#[test]
fn rows_that_free_a_room_become_visible_with_the_rows_that_take_it() {
    with_engine(async |place| {
        let store = place.migrated().await;
        place.execute("SYSTEM STOP MERGES reservations").await;
        let taking = stay("taking", "2026-03-30", 4, Outcome::Accepted, 10);
        let freeing = stay("freeing", "2026-03-30", 4, Outcome::Displaced, 10);
        let reservations = [taking, freeing].concat();
        store.write(&[Decided { reservations, ..Decided::default() }]).await.expect("write");
        // What is one part is seen at one moment.
        let parts = "SELECT uniqExact(_part) FROM reservations";
        let nights = "SELECT toUInt64(uniqExact(toYYYYMM(date))) FROM reservations";
        assert_eq!(place.number(parts).await, place.number(nights).await);
        assert_eq!(place.number("SELECT uniqExact(stay) FROM reservations").await, 2);
    });
}

#[test]
fn stays_over_many_months_fit_in_one_insert() {
    with_engine(async |place| {
        let store = place.migrated().await;
        let reservations = stay("long", "2026-01-15", 130 * 30, Outcome::Accepted, 7);
        let room_nights = (0..130).map(|month| night("H1", Day(20_000 + 30 * month), "DBL", 7)).collect();
        store.write(&[Decided { reservations, room_nights, ..Decided::default() }]).await.expect("write");
        assert_eq!(place.number("SELECT nights FROM bookings").await, 130 * 30);
        assert_eq!(place.number("SELECT count() FROM room_nights_now").await, 130);
    });
}

#[test]
fn a_state_block_is_one_part() {
    with_engine(async |place| {
        let store = place.migrated().await;
        place.execute("SYSTEM STOP MERGES state").await;
        let row = |n: u32| StateRow { property: "H1".into(), key: n.to_be_bytes().to_vec(), value: vec![n as u8; 640] };
        let whole = Decided { state: (0..50_000).map(row).collect(), state_version: 1, ..Decided::default() };
        store.write(&[whole]).await.expect("write");
        let parts =
            "SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'state' AND active";
        assert_eq!(place.number(parts).await, 1);

        // Cut between partitions only.
        let batch = |partition| Decided { partition, state: (0..20_000).map(row).collect(), ..Decided::default() };
        store.write(&[batch(1), batch(2), batch(3), batch(4)]).await.expect("write");
        assert_eq!(place.number(parts).await, 3);
        let split = "SELECT count() FROM (SELECT partition FROM state GROUP BY partition HAVING uniqExact(_part) > 1)";
        assert_eq!(place.number(split).await, 0);
    });
}

#[test]
fn a_booking_shows_only_with_all_its_nights() {
    with_engine(async |place| {
        let store = place.migrated().await;
        let shown = "SELECT count() FROM bookings";
        let nights = stay("s", "2026-01-30", 4, Outcome::Accepted, 1);
        let write = async |reservations: &[concord::rows::ReservationRow]| {
            let reservations = reservations.to_vec();
            store.write(&[Decided { reservations, ..Decided::default() }]).await.expect("write");
        };
        write(&nights[..3]).await;
        assert_eq!(place.number(shown).await, 0);
        write(&nights[3..]).await;
        assert_eq!(place.number(shown).await, 1);
        // One night shorter: first the night that it left, then the others.
        let mut left = nights[3].clone();
        (left.is_deleted, left.version) = (true, 2);
        write(&[left]).await;
        assert_eq!(place.number(shown).await, 0);
        write(&stay("s", "2026-01-30", 3, Outcome::Accepted, 2)).await;
        assert_eq!(place.number("SELECT nights FROM bookings").await, 3);
        write(&stay("s", "2026-01-30", 3, Outcome::Cancelled, 3)).await;
        assert_eq!(place.number(shown).await, 0);
    });
}

#[test]
fn readers_see_the_views_and_write_nothing() {
    with_engine(async |place| {
        let store = place.migrated().await;
        store.write(&[store_support::one_of_each()]).await.expect("write");
        let reader = place.for_readers().connect().await;
        let query = "SELECT price, freshness, sellable FROM room_nights_now WHERE property = {hotel:String}";
        let rows = reader.query_json(query, &[("hotel", "H1")]).await.expect("query");
        assert_eq!(rows, [serde_json::json!({"price": 123.45, "freshness": {"pms": "unknown"}, "sellable": true})]);
        let mut answer = reader.query_raw("SELECT property FROM properties FINAL", "CSVWithNames").expect("query");
        let mut text = Vec::new();
        while let Some(chunk) = answer.next().await.expect("answer") {
            text.extend_from_slice(&chunk);
        }
        assert_eq!(text, b"\"property\"\n\"H1\"\n");
        let refused = reader.query_json("SELECT nonsense", &[]).await;
        assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
        let refused = reader.write(&[batch(0, 0, 1)]).await;
        assert!(refused.as_ref().is_err_and(|error| !error.retryable()), "{refused:?}");
    });
}

#[test]
fn wrong_passwords_and_absent_servers_are_told_apart() {
    with_engine(async |place| {
        let wrong = place.with_password("wrong").try_connect().await;
        assert!(matches!(wrong, Err(StoreError::Denied(_))), "{:?}", wrong.err());
        let absent = place.nowhere().try_connect().await;
        assert!(matches!(absent, Err(StoreError::Unreachable(_))), "{:?}", absent.err());
    });
}

#[test]
fn what_is_sellable_follows_availability_and_the_stale_data_policy() {
    with_engine(async |place| {
        let store = place.migrated().await;
        let mut full = night("H1", Day(20_001), "DBL", 1);
        full.available = Some(0);
        let mut unknown = night("H1", Day(20_002), "DBL", 1);
        unknown.available = None;
        let room_nights = vec![night("H1", Day(20_000), "DBL", 1), full, unknown, night("H2", Day(20_000), "DBL", 1)];
        store.write(&[Decided { room_nights, ..Decided::default() }]).await.expect("write");
        let sellable =
            async || place.numbers("SELECT toUInt64(sellable) FROM room_nights_now ORDER BY property, date").await;
        assert_eq!(sellable().await, [1, 0, 1, 1]);
        let report = async |source: &str, stale_in: i32, policy: &str| {
            place
                .execute(&format!(
                    "INSERT INTO source_freshness (source, property, state, stale_at, when_all_stale, version) \
                     SELECT '{source}', 'H1', 'fresh', now64(3) + {stale_in}, '{policy}', toUnixTimestamp64Nano(now64(9))"
                ))
                .await;
        };
        report("pms", -10, "stop").await;
        report("ota", 1000, "stop").await;
        assert_eq!(sellable().await, [1, 0, 1, 1]);
        report("ota", -10, "stop").await;
        assert_eq!(sellable().await, [0, 0, 0, 1]);
        assert_eq!(place.number("SELECT countIf(freshness['pms'] = 'stale') FROM room_nights_now").await, 3);
        report("pms", -10, "warn").await;
        report("ota", -10, "warn").await;
        assert_eq!(sellable().await, [1, 0, 1, 1]);
    });
}

#[test]
fn tampering_with_the_audit_trail_is_found_and_named() {
    let update = |what: &str| format!("ALTER TABLE conflicts UPDATE {what} SETTINGS mutations_sync = 2");
    let delete = |what: &str| format!("ALTER TABLE conflicts DELETE WHERE {what} SETTINGS mutations_sync = 2");
    let copy = |except: &str, offset: u64| {
        format!(
            "INSERT INTO conflicts SELECT * REPLACE ({except}) FROM (SELECT * FROM conflicts WHERE offset = {offset} AND partition = 0)"
        )
    };
    type Case = (Vec<String>, Vec<(u64, Problem)>);
    let cases: Vec<Case> = vec![
        (vec![], vec![]),
        (vec![update("winner_value = '1.00 EUR' WHERE offset = 11")], vec![(11, Problem::Changed)]),
        (vec![update("claims = [] WHERE offset = 0")], vec![(0, Problem::Changed)]),
        (vec![update("prev_hash = hash WHERE offset = 11")], vec![(11, Problem::Missing), (11, Problem::Changed)]),
        (vec![delete("offset = 11")], vec![(12, Problem::Missing)]),
        (vec![delete("offset >= 11 AND offset < 20")], vec![(20, Problem::Missing)]),
        (vec![delete("offset < 4")], vec![(4, Problem::Missing)]),
        (vec![delete("offset >= 27")], vec![(29, Problem::Truncated)]),
        (vec![delete("1")], vec![(29, Problem::Truncated)]),
        (vec![copy("offset AS offset", 11)], vec![(11, Problem::Duplicate)]),
        (vec![copy("toUInt32(1) AS seq, 'forged' AS reason", 11)], vec![(11, Problem::Extra)]),
        (
            vec![copy("toUInt32(1) AS seq", 17), delete("offset = 11")],
            vec![(12, Problem::Missing), (17, Problem::Extra)],
        ),
        (
            vec![copy("toUInt64(17) AS offset, toUInt32(1) AS seq", 11), delete("offset = 11")],
            vec![(12, Problem::Missing), (17, Problem::Moved)],
        ),
    ];
    with_engine(async |place| {
        for (at, (statements, expected)) in cases.iter().enumerate() {
            let place = place.sibling(&at.to_string());
            let store = place.migrated().await;
            store.write(&[batch(0, 0, 30), batch(1, 0, 30)]).await.expect("write");
            for statement in statements {
                place.execute(statement).await;
            }
            let (_, findings) = store.verify_audit(0, Some(head(0, 30))).await.expect("verify");
            let found: Vec<_> = findings.iter().map(|finding| (finding.offset, finding.problem)).collect();
            assert_eq!(found, *expected, "after {statements:?}");
            if statements.iter().all(|statement| statement.starts_with("INSERT")) {
                assert_eq!(store.verify_audit(1, Some(head(1, 30))).await.expect("verify").1, []);
            }
        }
    });
}

#[test]
fn payloads_of_dead_letters_are_kept_as_long_as_wanted_and_the_rows_for_good() {
    let day = Duration::from_secs(86_400);
    with_engine(async |place| {
        let store = place.migrated().await;
        store.write(&[batch(0, 0, 10)]).await.expect("write");
        let letters = place.number("SELECT count() FROM dead_letters").await;
        assert!(letters > 0);
        // Others came two days ago.
        let columns = "source, id, kind, reason, payload, plugin, partition, offset, seq, log_time";
        place
            .execute(&format!(
                "INSERT INTO dead_letters ({columns}, recorded_at) \
                 SELECT {columns}, now64(3) - INTERVAL 2 DAY FROM (SELECT * REPLACE (1 AS partition) FROM dead_letters)"
            ))
            .await;
        let kept = async || {
            place.execute("OPTIMIZE TABLE dead_letters FINAL").await;
            let sql = "SELECT countIf(payload != '' AND reason != '') FROM dead_letters GROUP BY partition ORDER BY partition";
            place.numbers(sql).await
        };
        store.keep_payloads(None).await.expect("for good");
        assert_eq!(kept().await, [letters, letters]);
        store.keep_payloads(Some(day * 3)).await.expect("three days");
        assert_eq!(kept().await, [letters, letters]);
        // The same once more changes nothing; then it is shorter.
        store.keep_payloads(Some(day * 3)).await.expect("three days");
        store.keep_payloads(Some(day)).await.expect("a day");
        assert_eq!(kept().await, [letters, 0]);
        assert_eq!(place.number("SELECT count() FROM dead_letters").await, letters * 2);
        store.keep_payloads(None).await.expect("for good");
        // What was decided before is recognized: nothing is appended twice.
        store.write(&[batch(0, 0, 10)]).await.expect("write");
        assert_eq!(kept().await, [letters, 0]);
    });
}

/// No cluster here: but a server of this version understands every statement that makes its tables.
#[test]
fn the_tables_of_a_cluster_are_understood() {
    with_engine(async |place| {
        let statements = concord::store::cluster_tables("hotels", "replicas");
        assert!(statements.len() >= 10, "{}", statements.len());
        for statement in statements {
            place.execute(&format!("EXPLAIN AST {statement}")).await;
        }
    });
}

#[test]
fn each_way_of_asking_reads_a_slice_that_does_not_grow_with_the_table() {
    let quarter = "date BETWEEN '2026-01-01' AND '2026-03-31'";
    let queries = [
        "property = 'H77' AND date = '2026-02-03'".to_owned(),
        "property = 'H77' AND date BETWEEN '2026-02-01' AND '2026-03-10'".to_owned(),
        format!("property IN (SELECT property FROM properties FINAL WHERE region = 'R3') AND {quarter}"),
        quarter.to_owned(),
    ];
    with_engine(async |place| {
        place.migrated().await;
        place.execute("INSERT INTO properties SELECT 'H' || toString(number), '', 'R' || toString(number % 10), '', '', 1 FROM numbers(200)").await;
        let fill = async |first_month: u32, months: u32| {
            let rows = 200 * 30 * 4 * months;
            place
                .execute(&format!(
                    "INSERT INTO room_nights (property, date, room_type, available, version) \
                     SELECT 'H' || toString(number % 200), toDate32('2026-01-01') + toIntervalMonth({first_month}) \
                     + toUInt32(intDiv(number, 200) % (30 * {months})), 'T' || toString(intDiv(number, 6000 * {months})), 1, 1 \
                     FROM numbers({rows}) SETTINGS max_partitions_per_insert_block = 0"
                ))
                .await;
        };
        let measure = async || {
            let mut granules = Vec::new();
            for view in ["room_nights_now", "(SELECT * FROM room_nights FINAL)"] {
                for condition in &queries {
                    let sql = format!("EXPLAIN indexes = 1 SELECT sum(available) FROM {view} WHERE {condition}");
                    granules.push(place.granules(&sql, "room_nights").await);
                }
            }
            granules
        };
        fill(0, 4).await;
        place.execute("OPTIMIZE TABLE room_nights FINAL").await;
        let before = measure().await;
        fill(4, 36).await;
        place.execute("OPTIMIZE TABLE room_nights FINAL").await;
        let after = measure().await;
        println!("granules read: {before:?}");
        assert_eq!(before, after);
        assert!(before.iter().all(|read| *read > 0));
        assert_eq!(before.iter().collect::<BTreeSet<_>>().first(), Some(&&1), "a point lookup reads one granule");
    });
}

#[test]
fn the_workers_own_reads_do_not_grow_with_their_tables() {
    with_engine(async |place| {
        place.migrated().await;
        let fill = async |first: u64, rows: u64| {
            let numbers = format!("FROM (SELECT number + {first} AS n FROM numbers({rows}))");
            place
                .execute(&format!(
                    "INSERT INTO state SELECT n % 8, 'H' || toString(intDiv(n, 8) % 1000), toString(n), 'v', 1 {numbers}"
                ))
                .await;
            place
                .execute(&format!(
                    "INSERT INTO conflicts (property, date, partition, offset) \
                     SELECT 'H' || toString(intDiv(n, 8) % 1000), toDate32('2026-01-01') + n % 365, n % 8, n {numbers}"
                ))
                .await;
            place.execute("OPTIMIZE TABLE conflicts FINAL").await;
            place.execute("OPTIMIZE TABLE state FINAL").await;
        };
        let measure = async |last: u64| {
            let state =
                "EXPLAIN indexes = 1 SELECT value FROM state FINAL WHERE partition = 3 AND property IN ('H7', 'H8')";
            let end =
                format!("EXPLAIN indexes = 1 SELECT hash FROM conflicts WHERE (partition = 3 AND offset >= {last})");
            let night = "EXPLAIN indexes = 1 SELECT * FROM conflicts WHERE property = 'H7' AND date = '2026-02-03'";
            (
                place.granules(state, "state").await,
                place.granules(&end, "conflicts").await,
                place.granules(night, "conflicts").await,
            )
        };
        fill(0, 200_000).await;
        let before = measure(199_999).await;
        fill(200_000, 1_800_000).await;
        let after = measure(1_999_999).await;
        println!("granules: {before:?}, then {after:?}");
        // Ten times the rows of each property are in these tables: a slice may grow, but less than the table did.
        assert!(after.0 <= before.0 * 10 && after.1 <= before.1 + 1 && after.2 <= before.2 + 1, "{before:?} {after:?}");
    });
}

/// Not a test: how fast 10,000 rows of each table are written. `cargo test --test store -- --ignored --nocapture`.
#[test]
#[ignore = "measures"]
fn insert_rates() {
    with_engine(async |place| {
        let mut stores = Vec::new();
        for (name, by_engine) in [("insert", true), ("commit", false)] {
            let store = place.synced_by_engine(by_engine).sibling(name).migrated().await;
            println!("synced each {name}");
            store_support::latency(&store).await;
            stores.push((name, store));
        }
        for days in [90, 365] {
            println!("rows over {days} days");
            store_support::rates(&stores, days).await;
        }
    });
}
