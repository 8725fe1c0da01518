//! Damaged messages: what networks, editors and other people's software make of good ones.
//!
//! Pure: equal seeds give equal inputs on every machine. Does not know any format, but knows which bytes mean
//! something in most of them.

/// A small, fast generator of numbers (SplitMix64; Steele, Lea, Flood: "Fast splittable pseudorandom number
/// generators", OOPSLA 2014).
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `most - 1`; 0 if there is nothing to choose from.
    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most.max(1) as u64).unwrap_or(0)
    }
}

/// Texts that numbers, dates and words are replaced by.
const NASTY: [&str; 24] = [
    "",
    "0",
    "-1",
    "9223372036854775807",
    "9223372036854775808",
    "-9223372036854775808",
    "1e400",
    "NaN",
    "0.00001",
    "0000-00-00",
    "9999-12-31",
    "2026-02-30",
    "2026-03-01T25:61:61Z",
    "null",
    "true",
    "[]",
    "{}",
    "\u{0}",
    "\u{feff}",
    "\u{202e}",
    "日本",
    "<![CDATA[x]]>",
    "&amp;&#0;",
    "'; --",
];

/// The longest input that is made.
const LONGEST: usize = 1 << 20;

/// A damaged copy of one of the bodies, and which.
pub(super) fn mutated(bodies: &[&[u8]], numbers: &mut Numbers) -> (usize, Vec<u8>) {
    let at = numbers.below(bodies.len());
    let mut body = bodies.get(at).map_or(Vec::new(), |body| body.to_vec());
    for _ in 0..=numbers.below(4) {
        damage(&mut body, bodies, numbers);
        body.truncate(LONGEST);
    }
    (at, body)
}

fn damage(body: &mut Vec<u8>, bodies: &[&[u8]], numbers: &mut Numbers) {
    let (from, to) = piece(body, numbers);
    match numbers.below(9) {
        0 => flip(body, numbers),
        1 => body.truncate(numbers.below(body.len() + 1)),
        2 => drop(body.drain(from..to)),
        3 => {
            let copy = body[from..to].to_vec();
            body.splice(to..to, copy);
        }
        4 | 5 => {
            let (from, to) = token(body, numbers);
            body.splice(from..to, NASTY[numbers.below(NASTY.len())].bytes());
        }
        6 => {
            let (from, to) = token(body, numbers);
            let long = vec![b"0129a<{["[numbers.below(8)]; 1 << numbers.below(15)];
            body.splice(from..to, long);
        }
        7 => swap(body, numbers),
        _ => {
            let other = bodies.get(numbers.below(bodies.len())).copied().unwrap_or_default();
            let (start, end) = piece(other, numbers);
            body.splice(from..to, other[start..end].iter().copied());
        }
    }
}

fn flip(body: &mut [u8], numbers: &mut Numbers) {
    let at = numbers.below(body.len());
    if let Some(byte) = body.get_mut(at) {
        *byte ^= 1 << numbers.below(8);
    }
}

/// Two tokens change places.
fn swap(body: &mut Vec<u8>, numbers: &mut Numbers) {
    let (first, second) = (token(body, numbers), token(body, numbers));
    let (first, second) = if first <= second { (first, second) } else { (second, first) };
    if first.1 <= second.0 {
        let swapped = [&body[second.0..second.1], &body[first.1..second.0], &body[first.0..first.1]].concat();
        body.splice(first.0..second.1, swapped);
    }
}

/// Some bytes, mostly few.
fn piece(body: &[u8], numbers: &mut Numbers) -> (usize, usize) {
    let from = numbers.below(body.len() + 1);
    let most = 1 << numbers.below(10);
    (from, (from + numbers.below(most)).min(body.len()))
}

/// A word or number.
fn token(body: &[u8], numbers: &mut Numbers) -> (usize, usize) {
    let inside =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'+' | b'_') || !byte.is_ascii();
    let near = numbers.below(body.len());
    let from = body.iter().skip(near).position(inside).map_or(body.len(), |ahead| near + ahead);
    let to = body.iter().skip(from).position(|byte| !inside(byte)).map_or(body.len(), |ahead| from + ahead);
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_make_equal_inputs_and_others_make_others() {
        let bodies: [&[u8]; 2] = [b"<a b=\"2026-03-01\">12</a>", b""];
        let many = |seed| {
            let mut numbers = Numbers(seed);
            (0..1_000).map(|_| mutated(&bodies, &mut numbers)).collect::<Vec<_>>()
        };
        assert_eq!(many(1), many(1));
        assert_ne!(many(1), many(2));
        let changed = many(1).iter().filter(|(at, body)| body != bodies[*at]).count();
        assert!(changed > 800, "only {changed} of 1,000 inputs are damaged");
    }
}
