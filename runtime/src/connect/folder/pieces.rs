//! What is in a file: one delivery, or one per line; unpacked where the name ends in `.gz`.
//!
//! Blocks. Nothing is believed about sizes: each delivery is bounded as it is read.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use bytes::Bytes;
use flate2::bufread::MultiGzDecoder;

use super::files::Taken;
use crate::config::Folder;

const BUFFER: usize = 256 << 10;

/// Why a file cannot be read on.
#[derive(Debug)]
pub(super) enum ReadError {
    /// It is the file's fault: it will not be better later.
    Unfit(String),
    /// It is the disk's, or the system's.
    Io(std::io::Error),
}

/// A file while it is read.
pub(super) struct Pieces {
    reader: Box<dyn BufRead + Send>,
    packed: bool,
    content_type: String,
    lines: bool,
    limit: usize,
    /// The last line read; 0 before the first, and where the file is one delivery.
    line: u64,
    ended: bool,
}

impl Pieces {
    pub fn open(taken: &Taken, folder: &Folder) -> std::io::Result<Pieces> {
        let file = BufReader::with_capacity(BUFFER, File::open(&taken.path)?);
        let name = taken.name.to_string_lossy().to_lowercase();
        let inner = name.strip_suffix(".gz");
        let reader: Box<dyn BufRead + Send> = match inner {
            Some(_) => Box::new(BufReader::with_capacity(BUFFER, MultiGzDecoder::new(file))),
            None => Box::new(file),
        };
        let by_name = || content_type_of(inner.unwrap_or(&name)).to_owned();
        Ok(Pieces {
            reader,
            packed: inner.is_some(),
            content_type: folder.content_type.clone().unwrap_or_else(by_name),
            lines: folder.lines,
            limit: folder.body_bytes,
            line: 0,
            ended: false,
        })
    }

    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// The next delivery and its line (0: the whole file). Empty lines are passed over.
    pub fn next(&mut self) -> Result<Option<(u64, Bytes)>, ReadError> {
        if self.ended {
            return Ok(None);
        }
        if !self.lines {
            self.ended = true;
            let mut body = Vec::new();
            let whole = (&mut self.reader).take(self.limit as u64 + 1).read_to_end(&mut body);
            self.bounded(whole, body.len(), "the file")?;
            return Ok(Some((0, body.into())));
        }
        loop {
            let mut line = Vec::new();
            let whole = (&mut self.reader).take(self.limit as u64 + 2).read_until(b'\n', &mut line);
            let place = format!("line {}", self.line + 1);
            if self.bounded(whole, line.strip_suffix(b"\n").unwrap_or(&line).len(), &place)? == 0 {
                self.ended = true;
                return Ok(None);
            }
            self.line += 1;
            while line.last().is_some_and(|b| matches!(b, b'\n' | b'\r')) {
                line.pop();
            }
            if !line.is_empty() {
                return Ok(Some((self.line, line.into())));
            }
        }
    }

    fn bounded(&self, read: std::io::Result<usize>, length: usize, what: &str) -> Result<usize, ReadError> {
        match read {
            Ok(_) if length > self.limit => {
                Err(ReadError::Unfit(format!("{what} has more than {} bytes (body_limit)", self.limit)))
            }
            Ok(read) => Ok(read),
            Err(why) if self.packed && is_content(why.kind()) => {
                Err(ReadError::Unfit(format!("{what} cannot be unpacked, it is no whole gzip: {why}")))
            }
            Err(why) => Err(ReadError::Io(why)),
        }
    }
}

/// What the unpacker says of bytes that are no gzip, or not all of it.
fn is_content(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::UnexpectedEof)
}

/// A media type by the file's ending; JSON where it says nothing.
pub fn content_type_of(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("xml") => "application/xml",
        Some("csv") => "text/csv",
        Some("txt") => "text/plain",
        _ => "application/json",
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::connect::folder::files;

    fn read(name: &str, bytes: &[u8], lines: bool, limit: usize) -> (Vec<(u64, String)>, Option<String>) {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("in");
        let folder = Folder {
            done: path.join("done"),
            failed: path.join("failed"),
            path,
            every: Duration::ZERO,
            settle: Duration::ZERO,
            keep: None,
            lines,
            content_type: None,
            attributes: Vec::new(),
            body_bytes: limit,
        };
        files::prepare(&folder).expect("prepared");
        std::fs::write(folder.path.join(name), bytes).expect("written");
        let taken = files::take(&folder, name.as_ref()).expect("taken").expect("there");
        let mut pieces = Pieces::open(&taken, &folder).expect("open");
        let mut found = Vec::new();
        loop {
            match pieces.next() {
                Ok(Some((line, body))) => found.push((line, String::from_utf8(body.to_vec()).expect("text"))),
                Ok(None) => return (found, None),
                Err(ReadError::Unfit(why)) => return (found, Some(why)),
                Err(ReadError::Io(why)) => panic!("{why}"),
            }
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("packed");
        encoder.finish().expect("packed")
    }

    #[test]
    fn whole_files_and_lines_packed_and_plain() {
        let whole = |text: &str| (vec![(0, text.to_owned())], None);
        assert_eq!(read("a.json", b"{}\n", false, 3), whole("{}\n"));
        assert_eq!(read("a.json.gz", &gzip(b"{}"), false, 3), whole("{}"));
        let two = (vec![(1, "one".to_owned()), (4, "two".to_owned())], None);
        assert_eq!(read("a.jsonl", b"one\r\n\n\r\ntwo", true, 3 + 1), two);
        assert_eq!(read("a.jsonl.gz", &[gzip(b"one\n\n"), gzip(b"\ntwo\n")].concat(), true, 4), two);
    }

    #[test]
    fn bounds_are_kept_and_what_came_before_is_there() {
        let (found, why) = read("a.jsonl", b"one\nfour\n", true, 3);
        assert_eq!(found, [(1, "one".to_owned())]);
        assert_eq!(why.as_deref(), Some("line 2 has more than 3 bytes (body_limit)"));
        let bomb = gzip(&vec![b'0'; 32 << 20]);
        for lines in [false, true] {
            let (found, why) = read("a.gz", &bomb, lines, 1 << 20);
            assert!(found.is_empty() && why.is_some_and(|why| why.contains("more than 1048576 bytes")));
        }
    }

    #[test]
    fn what_is_no_gzip_or_not_all_of_it_is_the_file_s_fault() {
        let packed = gzip(b"one\ntwo\n");
        for broken in [&packed[..packed.len() - 3], b"one", b""] {
            for lines in [false, true] {
                let (_, why) = read("a.gz", broken, lines, 100);
                assert!(why.as_deref().is_some_and(|why| why.contains("no whole gzip")), "{why:?}");
            }
        }
    }
}
