//! Numbers of payment cards in what no plugin could read: masked before it reaches the log.
//!
//! A plugin leaves out what its format says about cards. Where it refuses a delivery as a whole, the delivery is kept
//! as it came, to be looked at, and only this stands between a card number and the log. Knows the shape of card numbers
//! (ISO/IEC 7812-1: 12 to 19 digits of which this takes those from 13 on, the last one a check digit by Luhn's
//! formula). Does not know formats, nor security codes, which have no shape.

use bytes::Bytes;

/// The bytes with `*` in place of every digit of a card number except the last four. Between the digits single blanks
/// and hyphens may stand.
pub fn masked(body: &Bytes) -> Bytes {
    let mut copy: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < body.len() {
        if !body[at].is_ascii_digit() {
            at += 1;
            continue;
        }
        let (digits, end) = run(body, at);
        if (13..=19).contains(&digits.len()) && is_card(body, &digits) {
            let copy = copy.get_or_insert_with(|| body.to_vec());
            digits[..digits.len() - 4].iter().for_each(|place| copy[*place] = b'*');
        }
        at = end;
    }
    copy.map_or_else(|| body.clone(), Bytes::from)
}

/// The places of the digits that belong together from `start` on, and where they end.
fn run(bytes: &[u8], start: usize) -> (Vec<usize>, usize) {
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut digits = vec![start];
    let mut at = start + 1;
    loop {
        if is_digit(at) {
            digits.push(at);
            at += 1;
        } else if matches!(bytes.get(at), Some(b' ' | b'-')) && is_digit(at + 1) {
            digits.push(at + 1);
            at += 2;
        } else {
            return (digits, at);
        }
    }
}

fn is_card(bytes: &[u8], digits: &[usize]) -> bool {
    let weighed = |(place, at): (usize, &usize)| {
        let digit = u32::from(bytes[*at] - b'0');
        match (place % 2, digit) {
            (0, _) => digit,
            (_, 0..=4) => 2 * digit,
            _ => 2 * digit - 9,
        }
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weighed).sum();
    // Zeros alone have a right check digit, too, and are no card.
    sum > 0 && sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn card_numbers_are_masked_and_nothing_else() {
        for (body, expected) in [
            ("<n>4444333322221111</n>", "<n>************1111</n>"),
            ("4444 3333-2222 1111 thanks", "**** ****-**** 1111 thanks"),
            (r#"{"card":"378282246310005"}"#, r#"{"card":"***********0005"}"#),
            ("4444333322221112", "4444333322221112"),
            ("0000000000000000", "0000000000000000"),
            ("12345678901234567890", "12345678901234567890"),
            ("2026-03-01 +49 123 456", "2026-03-01 +49 123 456"),
            ("", ""),
        ] {
            assert_eq!(masked(&Bytes::from(body)), expected, "{body}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_stay() {
        let body = Bytes::from_static(b"\xff\x004444333322221111\xfe");
        assert_eq!(masked(&body), &b"\xff\x00************1111\xfe"[..]);
    }
}
