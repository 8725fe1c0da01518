//! 119,390 real bookings through the whole pipeline (`examples/hotel-booking-demand`), against the CSV file itself.
//!
//! The file lies in `../shared/data/hotel-booking-demand` beside the project, or where `CONCORD_HOTEL_BOOKINGS` says; without it the tests
//! say "skipped: no sample data". What is expected is counted here straight from the file's text, by code that shares nothing
//! with the deliveries.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use concord::log::Log;
use concord::types::Day;
use concord_tests::hotel_bookings::{Bookings, Desk, Replayed, replay, text};
use concord_tests::pipeline::{dump, with_clickhouse};

/// Property, room type, date: how many rooms are occupied.
type Occupied = BTreeMap<(String, String, String), u64>;

fn file() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("CONCORD_HOTEL_BOOKINGS") {
        return Some(path.into());
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let beside = here.ancestors().map(|up| up.join("shared/data/hotel-booking-demand/hotel_bookings.csv.zip"));
    let found = beside.into_iter().find(|path| path.is_file());
    if found.is_none() {
        println!("skipped: no sample data (hotel-booking-demand)");
    }
    found
}

/// What the CSV says: the nights of guests who came, by the type that they were assigned; and the rows that stay no night.
fn counted(text: &str) -> (Occupied, BTreeSet<usize>) {
    let mut lines = text.lines();
    let names: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let column = |name: &str| names.iter().position(|known| *known == name).unwrap_or_else(|| panic!("no {name}"));
    let [hotel, year, month, day, weekend, week, assigned, status] = [
        "hotel",
        "arrival_date_year",
        "arrival_date_month",
        "arrival_date_day_of_month",
        "stays_in_weekend_nights",
        "stays_in_week_nights",
        "assigned_room_type",
        "reservation_status",
    ]
    .map(column);
    let months = "January,February,March,April,May,June,July,August,September,October,November,December";
    let (mut occupied, mut nightless) = (Occupied::new(), BTreeSet::new());
    for (number, line) in (1..).zip(lines) {
        let cells: Vec<&str> = line.split(',').collect();
        let nights: i32 = cells[weekend].parse::<i32>().expect("nights") + cells[week].parse::<i32>().expect("nights");
        if nights == 0 {
            nightless.insert(number);
        }
        if cells[status] != "Check-Out" {
            continue;
        }
        let month = months.split(',').position(|name| name == cells[month]).expect("a month") + 1;
        let first = Day::parse(&format!("{}-{month:02}-{:0>2}", cells[year], cells[day])).expect("a date");
        let property = if cells[hotel].starts_with("Resort") { "H1" } else { "H2" };
        for night in 0..nights {
            let date = Day(first.0 + night).to_string();
            *occupied.entry((property.to_owned(), cells[assigned].trim().to_owned(), date)).or_default() += 1;
        }
    }
    (occupied, nightless)
}

/// Every record has one outcome (invariant 6).
async fn check_counts(replayed: &Replayed) {
    let mut ends = 0;
    for partition in 0..replayed.own.log.identity().partitions {
        ends += replayed.own.log.bounds(partition).await.expect("bounds").1;
    }
    assert_eq!(replayed.counts.total(), ends, "every record has one outcome: {:?}", replayed.counts);
    assert!(replayed.records > 0);
}

#[test]
fn room_nights_are_those_of_the_file() {
    let Some(path) = file() else { return };
    with_clickhouse(async |lease| {
        let (expected, nightless) = counted(&text(&path).expect("the file's text"));
        let bookings = Bookings::open(&path).expect("bookings");
        println!("{} bookings, {} room nights of guests who came", bookings.rows.len(), expected.values().sum::<u64>());
        let replayed = replay(lease, &bookings, "properties.toml", Desk::ChecksIn).await;
        check_counts(&replayed).await;
        print!("{}", replayed.report().await);
        let stays = "SELECT property, room_type, toString(date), count() FROM reservations FINAL WHERE outcome = 'accepted' GROUP BY ALL";
        let nights = "SELECT property, room_type, toString(date), booked FROM room_nights FINAL WHERE booked > 0";
        for sql in [stays, nights] {
            let mut found = Occupied::new();
            for row in replayed.rows(sql).await {
                let [property, room_type, date, rooms] = &row[..] else { panic!("{row:?}") };
                found.insert((property.clone(), room_type.clone(), date.clone()), rooms.parse().expect("a number"));
            }
            let missing = expected.iter().filter(|(night, rooms)| found.get(*night) != Some(rooms)).take(5);
            let missing: Vec<_> = missing.map(|(night, rooms)| (night, rooms, found.get(night))).collect();
            assert!(missing.is_empty(), "{sql}\nexpected, found: {missing:?}");
            let more = found.iter().filter(|(night, _)| !expected.contains_key(*night)).take(5);
            assert_eq!(more.collect::<Vec<_>>(), vec![], "{sql}");
            println!("{} room nights of {} types and dates: equal", found.values().sum::<u64>(), found.len());
        }
        // Ids are "row-source-step".
        let dead =
            replayed.rows("SELECT DISTINCT splitByChar('-', id)[1] FROM dead_letters WHERE kind = 'rejected'").await;
        let dead: BTreeSet<usize> = dead.iter().map(|row| row[0].parse().expect("a row's number")).collect();
        assert_eq!(dead, nightless, "stays of no nights are dead letters, and nothing else is");
        assert_eq!(replayed.number("SELECT count() FROM dead_letters WHERE kind != 'rejected'").await, 0);
        assert_eq!(
            replayed
                .number("SELECT count() FROM dead_letters WHERE NOT reason LIKE '%is not after the arrival%'")
                .await,
            0
        );
        println!("{} stays of no nights are dead letters, {} in all", dead.len(), replayed.counts.dead_letters);
        // A portal's or website's booking and the PMS's are one stay, whatever became of it.
        let twice = "SELECT count() FROM (SELECT stay FROM reservations FINAL WHERE outcome != 'merged' GROUP BY stay, lines HAVING countIf(length(lines) > 2) > 0)";
        assert_eq!(replayed.number(twice).await, 0);
        let booked = "SELECT uniqExact(line) FROM (SELECT arrayJoin(lines) AS line FROM reservations FINAL WHERE outcome != 'merged') WHERE line LIKE 'pms:%'";
        assert_eq!(
            replayed.number(booked).await as usize,
            bookings.rows.len() - nightless.len(),
            "one line of the PMS per booking"
        );
        assert_eq!(
            replayed.number("SELECT count() FROM conflicts WHERE kind = 'link'").await,
            0,
            "no link is in doubt"
        );
        dump::check(&replayed.store, 2).await;
    });
}

#[test]
fn with_fewer_rooms_no_night_exceeds_them() {
    let Some(path) = file() else { return };
    with_clickhouse(async |lease| {
        let bookings = Bookings::open(&path).expect("bookings");
        let replayed = replay(lease, &bookings, "properties-limited.toml", Desk::Assigns).await;
        check_counts(&replayed).await;
        print!("{}", replayed.report().await);
        let none = [
            ("no night has more stays than rooms", "SELECT count() FROM room_nights FINAL WHERE booked > capacity"),
            (
                "room_nights tells what reservations tell",
                "SELECT count() FROM (SELECT property, date, room_type, count() AS rooms FROM reservations FINAL WHERE outcome = 'accepted' GROUP BY ALL) AS stays \
                 FULL JOIN (SELECT property, date, room_type, booked FROM room_nights FINAL WHERE booked > 0) AS nights USING (property, date, room_type) WHERE rooms != booked",
            ),
            (
                "no stay is split",
                "SELECT count() FROM (SELECT stay FROM reservations FINAL WHERE outcome != 'merged' GROUP BY property, stay \
                 HAVING uniqExact(outcome) > 1 OR count() != dateDiff('day', any(arrival), any(departure)) OR uniqExact(date) != count())",
            ),
            (
                "every displaced stay has its conflict row",
                "SELECT count() FROM (SELECT DISTINCT property, stay FROM reservations FINAL WHERE outcome = 'displaced') \
                 WHERE (property, stay) NOT IN (SELECT property, stay FROM conflicts WHERE kind = 'capacity' AND decision = 'displaced')",
            ),
            (
                "whoever waits does not fit",
                "WITH waiting AS (SELECT property, stay, date, room_type FROM reservations FINAL WHERE outcome = 'displaced') \
                 SELECT count() FROM (SELECT property, stay, min(n.capacity - n.booked) AS free FROM waiting AS w \
                 JOIN (SELECT property, date, room_type, capacity, booked FROM room_nights FINAL) AS n USING (property, date, room_type) GROUP BY property, stay) WHERE free > 0",
            ),
        ];
        for (what, sql) in none {
            assert_eq!(replayed.number(sql).await, 0, "{what}");
        }
        let displaced = replayed
            .number("SELECT uniqExact(property, stay) FROM reservations FINAL WHERE outcome = 'displaced'")
            .await;
        let promoted = replayed.number("SELECT count() FROM conflicts WHERE decision = 'promoted'").await;
        println!("{displaced} stays are displaced in the end, {promoted} were promoted on the way");
        assert!(displaced > 0 && promoted > 0, "{displaced} displaced, {promoted} promoted: the limits bite");
        dump::check(&replayed.store, 2).await;
    });
}
