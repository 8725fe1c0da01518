//! Turns `hotel_bookings.csv` into deliveries for `examples/hotel-booking-demand`: files with one delivery per line.
//!
//! Within a month, the portal's come first, then the website's, then the PMS's: `concord append` takes one source at a time. Each
//! file's name says its place and its source, such as `2016-03-3-pms.jsonl`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use concord::types::Day;
use concord_tests::hotel_bookings::{Bookings, Source};

fn main() -> Result<()> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    ensure!(arguments.len() == 2, "usage: hotel-bookings hotel_bookings.csv FOLDER (the file may be zipped)");
    let (csv, folder) = (&arguments[0], &arguments[1]);
    std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    let bookings = Bookings::open(csv)?;
    let mut files: BTreeMap<String, BufWriter<File>> = BTreeMap::new();
    let mut written = 0_u64;
    for delivery in bookings.deliveries(true) {
        let month = Day(i32::try_from(delivery.at.div_euclid(24 * 60))?).to_string();
        let place = Source::ALL.iter().position(|source| *source == delivery.source).unwrap_or(0) + 1;
        let ending = if delivery.source == Source::Ota { "xml" } else { "jsonl" };
        let name = format!("{}-{place}-{}.{ending}", &month[..7], delivery.source.name());
        if !files.contains_key(&name) {
            files.insert(name.clone(), BufWriter::new(File::create(folder.join(&name))?));
        }
        let file = files.get_mut(&name).context("a file")?;
        writeln!(file, "{}", bookings.body(&delivery))?;
        written += 1;
    }
    let count = files.len();
    for (name, mut file) in files {
        file.flush().with_context(|| name.clone())?;
    }
    println!("{} bookings, {written} deliveries in {count} files", bookings.rows.len());
    Ok(())
}
