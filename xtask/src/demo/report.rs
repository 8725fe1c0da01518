//! What the demo shows at its end: the numbers that matter, checks, one booking explained, queries to try.
//!
//! Everything is read from the running pipeline by the commands that anyone has. Does not know how it came about.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use super::pipeline::Pipeline;
use super::show::Sent;

/// A number of an answer: ClickHouse writes 64-bit ones as texts.
pub fn number(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(0)
}

/// `12,345`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Prints all of it. `false` if a check failed.
pub fn print(pipeline: &Pipeline, run_file: &Value, status: &Value, sent: &Sent, took: Duration) -> Result<bool> {
    let outcomes = outcomes(status);
    heading("What came in");
    let sources: Vec<String> =
        sent.by_source.iter().map(|(source, count)| format!("{source} {}", grouped(*count))).collect();
    println!("  {} deliveries in {:.1} s: {}", grouped(sent.deliveries), took.as_secs_f64(), sources.join(", "));
    println!(
        "  {} merged, {} older than what was known, {} told before, {} dead letters",
        grouped(outcomes.merged),
        grouped(outcomes.stale),
        grouped(outcomes.duplicate),
        grouped(outcomes.dead_letters)
    );
    println!(
        "  and {} control records of Concord's own: configuration, plugins, owners, time",
        grouped(outcomes.control)
    );
    tables(pipeline)?;
    let fine = checks(pipeline, &outcomes, sent)?;
    explain(pipeline)?;
    queries(pipeline)?;
    how_to_ask(pipeline, run_file);
    Ok(fine)
}

fn heading(text: &str) {
    println!("\n{text}\n{}", "-".repeat(text.chars().count()));
}

#[derive(Default)]
struct Outcomes {
    merged: u64,
    stale: u64,
    duplicate: u64,
    rerouted: u64,
    control: u64,
    dead_letters: u64,
}

fn outcomes(status: &Value) -> Outcomes {
    let sum = |name: &str| {
        let partitions = status["partitions"].as_array().into_iter().flatten();
        partitions.map(|partition| number(&partition["counts"][name])).sum()
    };
    Outcomes {
        merged: sum("merged"),
        stale: sum("stale"),
        duplicate: sum("duplicate"),
        rerouted: sum("rerouted"),
        control: sum("control"),
        dead_letters: sum("dead_letters"),
    }
}

fn tables(pipeline: &Pipeline) -> Result<()> {
    heading("What came out");
    println!("Room nights per hotel:");
    print!(
        "{}",
        pipeline.table(
            "SELECT p.name AS hotel, p.region, count() AS room_nights, sum(r.capacity) AS rooms, sum(r.booked) AS booked, \
             concat(toString(round(100 * booked / rooms)), ' %') AS occupancy \
             FROM room_nights AS r FINAL JOIN properties AS p FINAL ON p.property = r.property \
             GROUP BY p.name, p.region ORDER BY hotel"
        )?
    );
    println!("Stays:");
    print!(
        "{}",
        pipeline.table(
            "SELECT outcome, count() AS stays, countIf(length(lines) > 1) AS told_by_two_systems FROM \
             (SELECT property, stay, any(outcome) AS outcome, any(lines) AS lines FROM reservations FINAL \
             GROUP BY property, stay) GROUP BY outcome ORDER BY stays DESC"
        )?
    );
    println!("Conflicts, and how they were decided:");
    print!(
        "{}",
        pipeline.table(
            "SELECT kind, if(kind = 'field', field, '') AS about, decision, count() AS rows, any(rule_id) AS for_instance_by_rule \
             FROM conflicts GROUP BY kind, about, decision ORDER BY kind, about, decision"
        )?
    );
    println!("Dead letters, kept with reason and payload:");
    print!(
        "{}",
        pipeline.table(
            "SELECT kind, source, substring(reason, 1, 90) AS reason FROM dead_letters ORDER BY kind, log_time, offset"
        )?
    );
    Ok(())
}

/// What must hold, asked of the tables themselves.
fn checks(pipeline: &Pipeline, outcomes: &Outcomes, sent: &Sent) -> Result<bool> {
    heading("Checks");
    let told = outcomes.merged + outcomes.stale + outcomes.duplicate + outcomes.dead_letters;
    let mut fine = check(
        told == sent.records && outcomes.rerouted == 0,
        &format!("{} records were appended, {} have exactly one outcome each", grouped(sent.records), grouped(told)),
    );
    let over = pipeline.rows(
        "SELECT count() AS nights, countIf(taken > rooms) AS over FROM \
         (SELECT r.property, r.date, r.room_type, any(ifNull(r.capacity, 0)) + any(if(p.class = 'city', 1, 0)) AS rooms, \
         countIf(s.outcome = 'accepted' AND s.status NOT IN ('checked-in', 'checked-out')) \
         + least(countIf(s.outcome = 'accepted' AND s.status IN ('checked-in', 'checked-out')), rooms) AS taken \
         FROM room_nights AS r FINAL JOIN properties AS p FINAL ON p.property = r.property \
         LEFT JOIN reservations AS s FINAL ON s.property = r.property AND s.date = r.date AND s.room_type = r.room_type \
         GROUP BY r.property, r.date, r.room_type)",
    )?;
    let (nights, over) = over.first().map(|row| (number(&row["nights"]), number(&row["over"]))).unwrap_or_default();
    fine &= check(
        over == 0 && nights > 0,
        &format!("{} room nights, {over} with more accepted stays than rooms and allowed overbooking", grouped(nights)),
    );
    let split = pipeline.rows(
        "SELECT count() AS stays, countIf(nights != expected) AS parts FROM (SELECT property, stay, count() AS nights, \
         any(dateDiff('day', arrival, departure)) AS expected FROM reservations FINAL \
         WHERE outcome = 'accepted' GROUP BY property, stay)",
    )?;
    let (stays, parts) = split.first().map(|row| (number(&row["stays"]), number(&row["parts"]))).unwrap_or_default();
    fine &= check(
        parts == 0 && stays > 0,
        &format!("{} accepted stays, {parts} with only a part of their nights", grouped(stays)),
    );
    Ok(fine & audit(pipeline)?)
}

fn check(holds: bool, what: &str) -> bool {
    println!("  {}  {what}", if holds { "ok    " } else { "FAILED" });
    holds
}

/// `concord audit verify`: no conflict row changed, missing or moved.
fn audit(pipeline: &Pipeline) -> Result<bool> {
    let output = pipeline.command(&["audit", "verify"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let last = said.trim().lines().last().unwrap_or_default().to_owned();
    let failed = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let holds = output.status.success();
    Ok(check(holds, &format!("concord audit verify: {}", if holds { last } else { failed })))
}

/// The website's booking of the story: there was no room, then there was one.
fn explain(pipeline: &Pipeline) -> Result<()> {
    heading("One booking, explained");
    println!("  concord why -c {} --reservation website:W-9001\n", pipeline.file().display());
    let told =
        crate::steps::output(pipeline.command(&["why", "--reservation", "website:W-9001"]).stderr(Stdio::piped()))?;
    println!("{}", told.trim_end());
    println!(
        "\n  The website sold a suite that Booking.com's guests had already filled, and the rules put the website last: \
         the\n  booking was displaced, whole. When one of the others was cancelled it got the room by itself."
    );
    Ok(())
}

const QUERIES: [(&str, &str); 3] = [
    (
        "What can be sold in the Strandhotel on a busy week-end?",
        "SELECT date, room_type, capacity, booked, available, price, sources['price'] AS price_from FROM room_nights_now \
         WHERE property = 'SYL1' AND date BETWEEN '2027-05-14' AND '2027-05-16' ORDER BY date, room_type",
    ),
    (
        "A region over a quarter: who sold how many nights, and for how much?",
        "SELECT p.region, splitByChar(':', b.stay)[1] AS sold_by, count() AS stays, sum(b.nights) AS nights, sum(b.amount) AS revenue \
         FROM bookings AS b JOIN properties AS p FINAL ON p.property = b.property \
         WHERE b.arrival BETWEEN '2027-04-01' AND '2027-06-30' GROUP BY ALL ORDER BY region, stays DESC",
    ),
    (
        "Where do the PMS and the portals disagree about money?",
        "SELECT date, stay, arrayZip(claims.source, claims.value) AS claimed, winner_source AS winner, rule_id \
         FROM conflicts WHERE kind = 'field' AND field = 'money' AND decision = 'contest' ORDER BY date LIMIT 5",
    ),
];

fn queries(pipeline: &Pipeline) -> Result<()> {
    heading("Three queries to try");
    for (question, query) in QUERIES {
        println!("\n{question}\n  concord sql -c {} \"{query}\"", pipeline.file().display());
        print!("{}", pipeline.table(query)?);
    }
    Ok(())
}

fn how_to_ask(pipeline: &Pipeline, run_file: &Value) {
    let text = |name: &str| run_file[name].as_str().unwrap_or_default();
    let file = pipeline.folder.join("data/run.json");
    let file = file.display();
    heading("Ask it yourself");
    println!(
        "  ClickHouse's HTTP interface: {}, database {}, user {} (may only read)",
        text("address"),
        text("database"),
        text("user")
    );
    println!("  its password, new at every start, stands in {file}\n");
    println!("  password=$(sed -n 's/^  \"password\": \"\\(.*\\)\",$/\\1/p' {file})");
    println!(
        "  curl --user \"{}:$password\" {}/ --data-binary 'SELECT count() FROM conflicts'",
        text("user"),
        text("address")
    );
    println!("\n  Any client that speaks this interface works as well: clickhouse-connect, @clickhouse/client, JDBC.");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let texts = [0, 999, 1_000, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn a_number_may_be_a_text() {
        assert_eq!((number(&serde_json::json!("12")), number(&serde_json::json!(12))), (12, 12));
    }
}
