//! What card numbers, their security codes and the names of both look like.
//!
//! Numbers by ISO/IEC 7812-1 (issuer's prefix, that issuer's length, check digit by Luhn's formula): all three, since the check digit
//! alone is right for every tenth number, timestamps and reservation numbers among them. Does not change anything.

use std::ops::Range;

/// How far a security code may be from its name, over markup and attributes.
const REACH: usize = 256;
/// Digits of a security code.
const CODE: std::ops::RangeInclusive<usize> = 3..=4;
/// Digits of a card number.
const CARD: std::ops::RangeInclusive<usize> = 13..=19;

/// Names of security codes, without case, `_` and `-`. A longer name that ends so is one, too.
const CODE_NAMES: [&str; 21] = [
    "cvv",
    "cvv2",
    "cvc",
    "cvc2",
    "cvn",
    "cvd",
    "cv2",
    "cvnumber",
    "cvvnumber",
    "cvcnumber",
    "csc",
    "cav2",
    "securitycode",
    "seriescode",
    "cardcode",
    "cvvcode",
    "cvccode",
    "verificationvalue",
    "verificationnumber",
    "verificationcode",
    "cardverificationcode",
];

/// Names of card numbers, likewise.
const NUMBER_NAMES: [&str; 8] =
    ["cardnumber", "cardno", "cardnum", "ccnumber", "ccnum", "pan", "creditcard", "plaintext"];

/// Whether a byte can stand in a name.
pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

/// Where the name ends that begins here.
pub(super) fn name_end(body: &[u8], start: usize) -> usize {
    body[start..].iter().position(|b| !is_name(*b)).map_or(body.len(), |length| start + length)
}

/// A name without case, `_` and `-`.
pub(super) fn plain(name: &[u8]) -> Option<String> {
    // Nothing that long is a name that matters.
    let short = name.len() <= 64;
    let letters = name.iter().filter(|b| !matches!(b, b'_' | b'-')).map(|b| char::from(b.to_ascii_lowercase()));
    short.then(|| letters.collect())
}

/// Whether this is the name of a security code.
pub(super) fn names_code(name: &[u8]) -> bool {
    plain(name).is_some_and(|name| CODE_NAMES.iter().any(|known| name.ends_with(known)))
}

/// How many bytes separate two groups of one number here: a blank or a hyphen, also their typographic relatives.
fn separator(body: &[u8], at: usize) -> Option<usize> {
    match body.get(at..)? {
        [b' ' | b'-', ..] => Some(1),
        // No-break space.
        [0xc2, 0xa0, ..] => Some(2),
        // Thin and narrow spaces; hyphens and dashes.
        [0xe2, 0x80, 0x87 | 0x89 | 0xaf | 0x90..=0x93, ..] => Some(3),
        _ => None,
    }
}

/// The groups of digits from here on with one separator between each two.
pub(super) fn groups(body: &[u8], start: usize) -> Vec<Range<usize>> {
    let digits_end = |from: usize| from + body[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let digit_at = |at: &usize| body.get(*at).is_some_and(u8::is_ascii_digit);
    let (mut groups, mut next) = (Vec::new(), Some(start));
    while let Some(at) = next {
        let end = digits_end(at);
        groups.push(at..end);
        next = separator(body, end).map(|length| end + length).filter(digit_at);
    }
    groups
}

/// How many of these groups, from the first on, are a card's number; the most of several possibilities.
pub(super) fn card(body: &[u8], groups: &[Range<usize>], escaped: usize) -> Option<usize> {
    let (mut digits, mut sizes, mut best) = (Vec::with_capacity(20), Vec::new(), None);
    for (count, group) in (1..).zip(groups) {
        if digits.len() + group.len() > *CARD.end() {
            break;
        }
        digits.extend(body[group.clone()].iter().map(|b| b - b'0'));
        sizes.push(group.len());
        if CARD.contains(&digits.len()) && is_grouped(&sizes) && stands_alone(body, &groups[0], group, escaped) {
            let sure = count > 1 || names_number(body, groups[0].start);
            if issued(&digits, sure) && luhn(&digits) {
                best = Some(count);
            }
        }
    }
    best
}

/// As people and forms write numbers of cards: in one, in fours, or as American Express and Diners print them.
fn is_grouped(sizes: &[usize]) -> bool {
    match sizes {
        [_] | [4, 6, 4 | 5] | [8, 8] | [6, 13] => true,
        [fours @ .., last] => fours.iter().all(|size| *size == 4) && *last <= 4,
        [] => false,
    }
}

/// Not a telephone number, not the fraction of a number, not a piece of a hash.
fn stands_alone(body: &[u8], first: &Range<usize>, last: &Range<usize>, escaped: usize) -> bool {
    let before = if first.start == escaped { None } else { first.start.checked_sub(1).map(|at| body[at]) };
    match before {
        Some(b'+') => return false,
        Some(b'.') if first.start >= 2 && body[first.start - 2].is_ascii_digit() => return false,
        _ => {}
    }
    let after = body.get(last.end).copied();
    let letter = |byte: Option<u8>| byte.is_some_and(|b| b.is_ascii_alphabetic());
    if !letter(before) && !letter(after) {
        return true;
    }
    let letters = |b: &&u8| b.is_ascii_alphanumeric();
    let mut head = body[escaped.min(first.start)..first.start].iter().rev().take(REACH).take_while(letters);
    let mut tail = body[last.end..].iter().take(REACH).take_while(letters);
    !(head.all(u8::is_ascii_hexdigit) && tail.all(u8::is_ascii_hexdigit))
}

/// Whether an issuer has numbers of this prefix and length. `sure` where more than the digits speaks for a card.
fn issued(digits: &[u8], sure: bool) -> bool {
    let prefix = |length: usize| digits[..length].iter().fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let (two, three, four, length) = (prefix(2), prefix(3), prefix(4), digits.len());
    let visa = digits[0] == 4 && matches!(length, 13 | 16 | 19);
    let mastercard = (matches!(two, 51..=55) || matches!(four, 2221..=2720)) && length == 16;
    let amex = matches!(two, 34 | 37) && length == 15;
    let diners = (matches!(three, 300..=305) || matches!(two, 36 | 38 | 39)) && length >= 14;
    let discover = (four == 6011 || matches!(three, 644..=649) || two == 65) && length >= 16;
    let jcb = matches!(four, 3528..=3589) && length >= 16;
    let union_pay = two == 62 && length >= 16;
    let maestro = sure && (two == 50 || matches!(two, 56..=58) || digits[0] == 6);
    visa || mastercard || amex || diners || discover || jcb || union_pay || maestro
}

fn luhn(digits: &[u8]) -> bool {
    let weighed = |(place, digit): (usize, &u8)| match (place % 2, *digit) {
        (0, digit) => u32::from(digit),
        (_, digit @ 0..=4) => 2 * u32::from(digit),
        (_, digit) => 2 * u32::from(digit) - 9,
    };
    let sum: u32 = digits.iter().rev().enumerate().map(weighed).sum();
    sum.is_multiple_of(10)
}

/// Whether what stands before a number names it as a card's.
fn names_number(body: &[u8], start: usize) -> bool {
    let near = &body[start.saturating_sub(REACH / 8)..start];
    let between = |b: &u8| matches!(b, b'"' | b'\'' | b'\\' | b':' | b'=' | b'>' | b' ' | b'\t' | b'\r' | b'\n');
    let Some(end) = near.iter().rposition(|b| !between(b)).map(|last| last + 1) else { return false };
    let begin = near[..end].iter().rposition(|b| !is_name(*b)).map_or(0, |before| before + 1);
    plain(&near[begin..end]).is_some_and(|name| NUMBER_NAMES.iter().any(|known| name.ends_with(known)))
}

/// The whole JSON number that these digits stand in, as far as numbers go.
pub(super) fn number(body: &[u8], digits: Range<usize>) -> Range<usize> {
    let part = |b: &&u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let before = body[..digits.start].iter().rev().take(REACH).take_while(part).count();
    let after = body[digits.end..].iter().take(REACH).take_while(part).count();
    digits.start - before..digits.end + after
}

fn back_over_blanks(body: &[u8], at: usize) -> usize {
    body[..at].iter().rposition(|b| !b.is_ascii_whitespace()).map_or(0, |last| last + 1)
}

/// Where a bare value begins after a quoted key and a colon: the key's closing quote, with the backslashes
/// that it has within another string.
pub(super) fn quote_of_key(body: &[u8], value: usize) -> Option<&[u8]> {
    let colon = back_over_blanks(body, value).checked_sub(1).filter(|at| body[*at] == b':')?;
    let quote = back_over_blanks(body, colon).checked_sub(1).filter(|at| body[*at] == b'"')?;
    let slashes = body[..quote].iter().rev().take_while(|b| **b == b'\\').count();
    Some(&body[quote - slashes..=quote])
}

/// The quote that ends a key here, with its backslashes; empty where there is none.
pub(super) fn quote_at(body: &[u8], at: usize) -> &[u8] {
    let slashes = body[at..].iter().take_while(|b| **b == b'\\').count();
    if body.get(at + slashes) == Some(&b'"') { &body[at..=at + slashes] } else { b"" }
}

/// The JSON number that these digits stand in, if it is no string.
pub(super) fn bare(body: &[u8], digits: Range<usize>) -> Option<Range<usize>> {
    let number = number(body, digits);
    let before = back_over_blanks(body, number.start).checked_sub(1).map(|at| body[at]);
    matches!(before, Some(b':' | b'[' | b',')).then_some(number)
}

/// Whether a JSON value may end here.
pub(super) fn ends_value(body: &[u8], at: usize) -> bool {
    let next = body[at..].iter().find(|b| !b.is_ascii_whitespace());
    // A backslash: the escape of a line's end, within a string that holds JSON.
    next.is_none_or(|b| matches!(b, b',' | b'}' | b']' | b'\\'))
}

/// The security codes that a name (`start` to `end`) speaks of.
pub(super) fn codes(body: &[u8], start: usize, end: usize) -> Vec<Range<usize>> {
    let window = &body[..body.len().min(end + REACH)];
    if is_tag(body, start) {
        return in_element(window, end);
    }
    let at = skip(window, end, |b| matches!(b, b'"' | b'\'' | b'\\' | b' ' | b'\t'));
    let sign = skip(window, at, |b| matches!(b, b':' | b'=' | b'#' | b'>'));
    // Over a line's end only where something says that the value follows: a table's next line is none.
    let at = if sign > at { skip(window, sign, |b| b.is_ascii_whitespace()) } else { at };
    if let Some(b'{' | b'[') = window.get(at) {
        let close = window[at..].iter().position(|b| matches!(b, b'}' | b']')).map_or(window.len(), |n| at + n);
        return runs(&window[..close], at);
    }
    let at = skip(window, at, |b| matches!(b, b'"' | b'\'' | b'\\'));
    // A value that begins with digits, or nothing.
    if window.get(at).is_some_and(u8::is_ascii_digit) { runs(&body[..digits_end(body, at)], at) } else { Vec::new() }
}

fn skip(body: &[u8], from: usize, what: impl Fn(u8) -> bool) -> usize {
    body[from..].iter().position(|b| !what(*b)).map_or(body.len(), |length| from + length)
}

fn digits_end(body: &[u8], from: usize) -> usize {
    skip(body, from, |b| b.is_ascii_alphanumeric())
}

/// Whether the name opens an XML element, with a prefix or without.
fn is_tag(body: &[u8], start: usize) -> bool {
    let before = match start.checked_sub(1).map(|at| (at, body[at])) {
        Some((at, b':')) => body[..at].iter().rposition(|b| !is_name(*b)).map(|at| body[at]),
        other => other.map(|(_, byte)| byte),
    };
    before == Some(b'<')
}

/// In an element's attributes and text, and in those of the elements that begin it.
fn in_element(window: &[u8], end: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = end;
    while let Some(close) = window[at..].iter().position(|b| *b == b'>').map(|length| at + length) {
        found.extend(runs(&window[..close], at));
        if window[close - 1] == b'/' {
            break;
        }
        let text = window[close..].iter().position(|b| *b == b'<').map_or(window.len(), |length| close + length);
        let said = runs(&window[..text], close);
        let says = !said.is_empty();
        found.extend(said);
        if says || window.get(text + 1) == Some(&b'/') || text == window.len() {
            break;
        }
        at = text;
    }
    found
}

/// Runs of as many digits as a security code has, and nothing else that is a letter or digit beside them.
fn runs(window: &[u8], from: usize) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut at = from;
    while at < window.len() {
        let end = digits_end(window, at);
        let digits = end > at && window[at..end].iter().all(u8::is_ascii_digit);
        if digits && CODE.contains(&(end - at)) && !is_rest(window, at) {
            found.push(at..end);
        }
        at = end.max(at + 1);
    }
    found
}

/// Whether what begins here is what remains of a masked number: its last digits, perhaps in two groups.
fn is_rest(body: &[u8], at: usize) -> bool {
    let passed = |b: &&u8| b.is_ascii_digit() || matches!(b, b' ' | b'-' | 0xc2 | 0xa0);
    body[..at].iter().rev().take(6).find(|b| !passed(b)) == Some(&b'*')
}
