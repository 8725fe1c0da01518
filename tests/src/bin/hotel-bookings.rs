//! `hotel_bookings.csv` as deliveries of three systems (`examples/hotel-booking-demand`): replayed through the whole pipeline, or
//! written into files for `concord append`.
//!
//! The files have one delivery per line. Within a month, the portal's come first, then the website's, then the PMS's: `concord append`
//! takes one source at a time. Each file's name says its place and its source, such as `2016-03-3-pms.lines`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use concord::types::Day;
use concord_tests::hotel_bookings::{Bookings, Desk, Source, replay};
use concord_tests::pipeline::with_clickhouse;

const USAGE: &str = "Usage:
  hotel-bookings hotel_bookings.csv                  replays the bookings; the hotels have as many rooms as they need
  hotel-bookings hotel_bookings.csv --limited        with the rooms of properties-limited.toml
  hotel-bookings hotel_bookings.csv --write FOLDER   writes the deliveries into files
The file may be zipped. `cargo xtask setup` brings what a replay needs.";

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let words: Vec<&str> = arguments.iter().map(|word| word.to_str().unwrap_or_default()).collect();
    match words[..] {
        [_] => replayed(&arguments[0], "properties.toml", Desk::ChecksIn),
        [_, "--limited"] => replayed(&arguments[0], "properties-limited.toml", Desk::Assigns),
        [_, "--write", _] => write(&arguments[0], &arguments[2]),
        _ => bail!("{USAGE}"),
    }
}

fn replayed(csv: &Path, properties: &str, desk: Desk) -> Result<()> {
    let bookings = Bookings::open(csv)?;
    println!("{} bookings", bookings.rows.len());
    with_clickhouse(async |lease| {
        let replayed = replay(lease, &bookings, properties, desk).await;
        print!("{}", replayed.report().await);
    });
    Ok(())
}

fn write(csv: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let bookings = Bookings::open(csv)?;
    let mut files: BTreeMap<String, BufWriter<File>> = BTreeMap::new();
    let mut written = 0_u64;
    for delivery in bookings.deliveries(Desk::ChecksIn) {
        let month = Day(i32::try_from(delivery.at.div_euclid(24 * 60))?).to_string();
        let place = Source::ALL.iter().position(|source| *source == delivery.source).unwrap_or(0) + 1;
        let name = format!("{}-{place}-{}.lines", &month[..7], delivery.source.name());
        if !files.contains_key(&name) {
            files.insert(name.clone(), BufWriter::new(File::create(folder.join(&name))?));
        }
        let file = files.get_mut(&name).context("a file")?;
        writeln!(file, "{}", bookings.body(&delivery, Desk::ChecksIn))?;
        written += 1;
    }
    let count = files.len();
    for (name, mut file) in files {
        file.flush().with_context(|| name.clone())?;
    }
    println!("{} bookings, {written} deliveries in {count} files", bookings.rows.len());
    Ok(())
}
