//! Output formats: which can be sent block by block, and under which content type.
//!
//! The engine renders every block as a document of its own, so a streamed answer repeats the header;
//! this finds its length. Does not know HTTP.

/// How a format begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// Every block continues the one before.
    None,
    /// So many lines come first.
    Lines(usize),
    /// A count of columns, then their names, then (if `true`) their types, each with its length.
    Binary(bool),
}

fn header(format: &str) -> Option<Header> {
    Some(match format.to_ascii_lowercase().as_str() {
        "rowbinary"
        | "native"
        | "tabseparated"
        | "tsv"
        | "tabseparatedraw"
        | "tsvraw"
        | "csv"
        | "jsoneachrow"
        | "jsonlines"
        | "ndjson"
        | "jsoncompacteachrow"
        | "jsonstringseachrow"
        | "jsoncompactstringseachrow"
        | "lineasstring"
        | "rawblob" => Header::None,
        "tabseparatedwithnames"
        | "tsvwithnames"
        | "tabseparatedrawwithnames"
        | "tsvrawwithnames"
        | "jsoncompacteachrowwithnames" => Header::Lines(1),
        "tabseparatedwithnamesandtypes"
        | "tsvwithnamesandtypes"
        | "tabseparatedrawwithnamesandtypes"
        | "tsvrawwithnamesandtypes"
        | "jsoncompacteachrowwithnamesandtypes" => Header::Lines(2),
        "rowbinarywithnames" => Header::Binary(false),
        "rowbinarywithnamesandtypes" => Header::Binary(true),
        _ => return None,
    })
}

/// Whether blocks in this format can be sent one after the other.
pub(super) fn streams(format: &str) -> bool {
    header(format).is_some()
}

/// The bytes at the beginning of every block that only the first one may keep.
pub(super) fn header_length(format: &str, block: &[u8]) -> usize {
    match header(format) {
        Some(Header::Lines(lines)) => block.split_inclusive(|byte| *byte == b'\n').take(lines).map(<[u8]>::len).sum(),
        Some(Header::Binary(types)) => binary_header(block, types).unwrap_or(0),
        _ => 0,
    }
}

fn binary_header(block: &[u8], types: bool) -> Option<usize> {
    let (columns, mut at) = varint(block, 0)?;
    let strings = if types { columns.checked_mul(2)? } else { columns };
    for _ in 0..strings {
        let (length, after) = varint(block, at)?;
        at = after.checked_add(length)?;
    }
    (at <= block.len()).then_some(at)
}

/// A LEB128 number at `at`, and where it ends.
fn varint(bytes: &[u8], mut at: usize) -> Option<(usize, usize)> {
    let mut value = 0_usize;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(at)?;
        at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, at));
        }
    }
    None
}

pub(super) fn content_type(format: &str) -> &'static str {
    let lower = format.to_ascii_lowercase();
    if lower.contains("eachrow") || lower == "jsonlines" || lower == "ndjson" {
        "application/x-ndjson; charset=UTF-8"
    } else if lower.starts_with("json") {
        "application/json; charset=UTF-8"
    } else if lower.starts_with("csv") {
        "text/csv; charset=UTF-8; header=absent"
    } else if lower.starts_with("tabseparated") || lower.starts_with("tsv") {
        "text/tab-separated-values; charset=UTF-8"
    } else if ["rowbinary", "native", "parquet", "arrow", "orc", "avro", "rawblob"].iter().any(|b| lower.starts_with(b))
    {
        "application/octet-stream"
    } else {
        "text/plain; charset=UTF-8"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_measured() {
        assert_eq!(header_length("RowBinaryWithNamesAndTypes", b"\x01\x011\x05UInt8\x01"), 9);
        assert_eq!(header_length("RowBinaryWithNames", b"\x02\x01a\x01b\x00"), 5);
        assert_eq!(header_length("TSVWithNamesAndTypes", b"a\tb\nInt\tInt\n1\t2\n"), 12);
        assert_eq!(header_length("RowBinary", b"\x01"), 0);
        assert!(!streams("JSON") && !streams("Pretty") && streams("Native"));
    }
}
