//! The compressed forms of request and response bodies.
//!
//! Knows ClickHouse's native blocks (LZ4 or plain behind a CityHash 1.0.2 checksum), which come with
//! `decompress=1` and go with `compress=1`, and LZ4 frames (`Content-Encoding: lz4`). Does not know
//! what the bytes mean. Sizes in the input are claims: nothing is allocated on their word alone.

use bytes::Bytes;
use lz4_flex::block;

/// Why a body could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum WireError {
    #[error("the compressed body ends in the middle of a block")]
    Short,
    #[error("the checksum of a compressed block is wrong")]
    Checksum,
    #[error("a compressed block is damaged")]
    Damaged,
    #[error("compression method 0x{0:02x} is not supported: use LZ4 or none")]
    Method(u8),
    #[error("the body is larger than {0} bytes when unpacked")]
    TooLarge(usize),
    #[error("Content-Encoding {0:?} is not supported: send the body plain or as lz4")]
    Encoding(String),
}

const LZ4: u8 = 0x82;
const PLAIN: u8 = 0x02;
/// Method, packed size (of which this header is a part) and unpacked size.
const HEADER: usize = 9;
const CHECKSUM: usize = 16;

/// The checksum as it stands in front of a block: the two halves, upper first, each little endian.
fn checksum(block: &[u8]) -> [u8; CHECKSUM] {
    cityhash_rs::cityhash_102_128(block).rotate_left(64).to_le_bytes()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_le_bytes([four[0], four[1], four[2], four[3]]) as usize)
}

/// Unpacks native blocks up to `limit` bytes in all.
pub(super) fn unpack_blocks(mut input: &[u8], limit: usize) -> Result<Vec<u8>, WireError> {
    let mut output = Vec::new();
    while !input.is_empty() {
        let (sum, rest) = input.split_at_checked(CHECKSUM).ok_or(WireError::Short)?;
        let packed = u32_at(rest, 1).ok_or(WireError::Short)?;
        let unpacked = u32_at(rest, 5).ok_or(WireError::Short)?;
        let (block, after) = rest.split_at_checked(packed).ok_or(WireError::Short)?;
        let data = block.get(HEADER..).ok_or(WireError::Damaged)?;
        if checksum(block) != sum {
            return Err(WireError::Checksum);
        }
        match block[0] {
            LZ4 => unpack_block(&mut output, data, unpacked, limit)?,
            PLAIN if output.len() + data.len() > limit => return Err(WireError::TooLarge(limit)),
            PLAIN => output.extend_from_slice(data),
            method => return Err(WireError::Method(method)),
        }
        input = after;
    }
    Ok(output)
}

/// Appends an LZ4 block that unpacks to exactly `size` bytes.
fn unpack_block(output: &mut Vec<u8>, data: &[u8], size: usize, limit: usize) -> Result<(), WireError> {
    if output.len() + size > limit {
        return Err(WireError::TooLarge(limit));
    }
    // LZ4 packs at most 255 to 1: a larger claim is a lie, and would cost memory.
    if size / 255 > data.len() {
        return Err(WireError::Damaged);
    }
    let start = output.len();
    output.resize(start + size, 0);
    match block::decompress_into(data, &mut output[start..]) {
        Ok(written) if written == size => Ok(()),
        _ => Err(WireError::Damaged),
    }
}

/// What one native block holds at most when packing.
const BLOCK_BYTES: usize = 1 << 20;

/// Packs a body into native blocks.
pub(super) fn pack_blocks(input: &[u8]) -> Bytes {
    let mut output = Vec::with_capacity(input.len() / 2 + CHECKSUM + HEADER);
    for piece in input.chunks(BLOCK_BYTES) {
        let packed = block::compress(piece);
        let start = output.len();
        output.extend_from_slice(&[0; CHECKSUM]);
        output.push(LZ4);
        // A piece is at most 1 MiB, so both sizes fit.
        output.extend_from_slice(&((packed.len() + HEADER) as u32).to_le_bytes());
        output.extend_from_slice(&(piece.len() as u32).to_le_bytes());
        output.extend_from_slice(&packed);
        let sum = checksum(&output[start + CHECKSUM..]);
        output[start..start + CHECKSUM].copy_from_slice(&sum);
    }
    output.into()
}

const FRAME_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// How far back an LZ4 block may refer.
const WINDOW: usize = 64 << 10;

/// Unpacks LZ4 frames up to `limit` bytes. Their checksums are optional and are not verified: TCP
/// and the format of the rows stand around them.
pub(super) fn unpack_frames(mut input: &[u8], limit: usize) -> Result<Vec<u8>, WireError> {
    let mut output = Vec::new();
    while !input.is_empty() {
        input = input.strip_prefix(&FRAME_MAGIC).ok_or(WireError::Damaged)?;
        let [flags, sizes, ..] = *input else { return Err(WireError::Short) };
        if flags >> 6 != 1 || flags & 1 != 0 {
            return Err(WireError::Damaged);
        }
        let linked = flags & 0x20 == 0;
        let block_checksum = if flags & 0x10 != 0 { 4 } else { 0 };
        let content_size = if flags & 0x08 != 0 { 8 } else { 0 };
        let content_checksum = if flags & 0x04 != 0 { 4 } else { 0 };
        let largest = match sizes >> 4 & 7 {
            size @ 4..=7 => 1_usize << (8 + 2 * size),
            _ => return Err(WireError::Damaged),
        };
        // Flags, sizes, content size, checksum of the header.
        input = input.get(2 + content_size + 1..).ok_or(WireError::Short)?;
        let frame_start = output.len();
        loop {
            let word = u32_at(input, 0).ok_or(WireError::Short)?;
            input = &input[4..];
            if word == 0 {
                break;
            }
            let (length, plain) = (word & 0x7fff_ffff, word >> 31 == 1);
            let data = input.get(..length).ok_or(WireError::Short)?;
            if plain {
                if output.len() + length > limit {
                    return Err(WireError::TooLarge(limit));
                }
                output.extend_from_slice(data);
            } else {
                let dictionary = if linked { (output.len() - frame_start).min(WINDOW) } else { 0 };
                unpack_frame_block(&mut output, data, largest, dictionary, limit)?;
            }
            input = input.get(length + block_checksum..).ok_or(WireError::Short)?;
        }
        input = input.get(content_checksum..).ok_or(WireError::Short)?;
    }
    Ok(output)
}

/// A block of a frame does not say its size, only the frame's largest.
fn unpack_frame_block(
    output: &mut Vec<u8>,
    data: &[u8],
    largest: usize,
    dictionary: usize,
    limit: usize,
) -> Result<(), WireError> {
    let start = output.len();
    let size = largest.min(data.len().saturating_mul(255)).min(limit - start.min(limit));
    output.resize(start + size, 0);
    let (before, target) = output.split_at_mut(start);
    let window = &before[start - dictionary..];
    match block::decompress_into_with_dict(data, target, window) {
        Ok(written) => {
            output.truncate(start + written);
            Ok(())
        }
        Err(_) if size < largest && start + size == limit => Err(WireError::TooLarge(limit)),
        Err(_) => Err(WireError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(length: usize) -> Vec<u8> {
        (0..length).map(|i| (i * i / 7 % 251) as u8).collect()
    }

    #[test]
    fn blocks_come_back_as_they_went() {
        for length in [0, 1, 1000, BLOCK_BYTES + 17, 3 * BLOCK_BYTES] {
            let data = sample(length);
            assert_eq!(unpack_blocks(&pack_blocks(&data), length).unwrap(), data);
        }
    }

    #[test]
    fn a_changed_byte_and_a_false_size_are_found() {
        let packed = pack_blocks(&sample(5000)).to_vec();
        for at in 0..packed.len() {
            let mut damaged = packed.clone();
            damaged[at] ^= 0x10;
            assert!(unpack_blocks(&damaged, 10_000).is_err(), "byte {at}");
        }
        assert_eq!(unpack_blocks(&packed, 4999), Err(WireError::TooLarge(4999)));
        assert_eq!(unpack_blocks(&packed[..packed.len() - 1], 5000), Err(WireError::Short));
    }

    #[test]
    fn frames_with_plain_and_packed_blocks() {
        let data = sample(70_000);
        let packed = block::compress(&data);
        // Version 1, independent blocks, no checksums; blocks of up to 256 KiB.
        let mut frame = [&FRAME_MAGIC[..], &[0x60, 0x50, 0]].concat();
        frame.extend((packed.len() as u32).to_le_bytes());
        frame.extend(&packed);
        frame.extend((5_u32 | 1 << 31).to_le_bytes());
        frame.extend(b"plain");
        frame.extend(0_u32.to_le_bytes());
        assert_eq!(unpack_frames(&frame, 100_000).unwrap(), [&data[..], b"plain"].concat());
        assert_eq!(unpack_frames(&frame, 60_000), Err(WireError::TooLarge(60_000)));
        assert_eq!(unpack_frames(&frame[..frame.len() - 2], 100_000), Err(WireError::Short));
    }

    #[test]
    fn arbitrary_bytes_are_errors_and_cost_no_memory() {
        let seed = 7_u64;
        println!("seed {seed}");
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        for length in 0..2000 {
            let mut bytes: Vec<u8> = (0..length % 90).map(|_| random()).collect();
            let _ = unpack_blocks(&bytes, 1 << 20);
            bytes.splice(0..0, [&FRAME_MAGIC[..], &[0x40 | random() & 0x3f, random() & 0x7f]].concat());
            let _ = unpack_frames(&bytes, 1 << 20);
        }
    }
}
