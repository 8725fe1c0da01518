//! A name and its value side by side, both as values: `{"name":"cvv","value":"123"}`, also the other way round,
//! `<field name="cvv" value="123"/>`, `<name>cvv</name><value>123</value>`.
//!
//! Here a word such as `CVD` may as well be a room type, so that only names which can mean nothing else count, under a label, beside a
//! value's name. Knows these words; what a code looks like, `shape` knows.

use std::ops::Range;

use super::shape::{is_name, name_end, plain, quote_at};

/// How far the two may be from each other.
const REACH: usize = 256;

/// Names of security codes that are nothing else.
const CODES: [&str; 12] = [
    "cvv",
    "cvv2",
    "cvc",
    "cvc2",
    "cvvcode",
    "cvccode",
    "securitycode",
    "seriescode",
    "verificationvalue",
    "verificationnumber",
    "verificationcode",
    "cardverificationcode",
];
/// Before them there may be one of these.
const OWNERS: [&str; 4] = ["", "card", "creditcard", "payment"];
/// Whose value is a name.
const LABELS: [&str; 14] = [
    "name",
    "type",
    "key",
    "field",
    "label",
    "code",
    "id",
    "kind",
    "param",
    "parameter",
    "attribute",
    "property",
    "fieldname",
    "paramname",
];
/// Whose value is the value; a name that ends with the first one, too.
const VALUES: [&str; 8] = ["value", "val", "content", "text", "data", "code", "number", "answer"];

fn is(name: &[u8], of: impl Fn(&str) -> bool) -> bool {
    plain(name).is_some_and(|name| of(&name))
}

fn names_value(name: &[u8]) -> bool {
    is(name, |name| VALUES.contains(&name) || name.ends_with(VALUES[0]))
}

/// The names of the values that stand beside a name (`start` to `end`) of a security code.
pub(super) fn values(body: &[u8], start: usize, end: usize) -> Vec<Range<usize>> {
    let sure =
        |name: &str| OWNERS.iter().any(|owner| name.strip_prefix(owner).is_some_and(|rest| CODES.contains(&rest)));
    if !is(&body[start..end], sure) {
        return Vec::new();
    }
    if body[end..].trim_ascii_start().starts_with(b"</") {
        return next_element(body, end).into_iter().collect();
    }
    let quote = match body.get(end) {
        Some(b'\'') => b"'",
        _ => quote_at(body, end),
    };
    if quote.is_empty() || !label(body, start).is_some_and(|name| is(name, |name| LABELS.contains(&name))) {
        return Vec::new();
    }
    let json = matches!(body[end + quote.len()..].trim_ascii_start(), [b',' | b'}', ..]);
    let all = if json { within(body, start, end, b'{', b'}') } else { within(body, start, end, b'<', b'>') };
    let beside = |name: &Range<usize>| {
        let closed = if json { quote_at(body, name.end) == quote } else { true };
        let after = if json { name.end + quote.len() } else { name.end };
        let sign = body[after.min(body.len())..].trim_ascii_start().first();
        closed && sign == Some(if json { &b':' } else { &b'=' }) && names_value(&body[name.clone()])
    };
    words(body, all).into_iter().filter(beside).collect()
}

/// The name whose value begins at `start`, perhaps after other parts of a path such as `card.cvv`.
fn label(body: &[u8], start: usize) -> Option<&[u8]> {
    let near = &body[start.saturating_sub(REACH)..start];
    let back = |near: &[u8], over: fn(u8) -> bool| near.iter().rposition(|b| !over(*b)).map_or(0, |last| last + 1);
    let quotes = |b: u8| matches!(b, b'"' | b'\'' | b'\\');
    let near = &near[..back(near, |b| is_name(b) || matches!(b, b'.' | b'/'))];
    let opened = &near[..back(near, quotes)];
    let sign = opened.trim_ascii_end();
    let [before @ .., b':' | b'='] = sign else { return None };
    let before = before.trim_ascii_end();
    let name = &before[..back(before, quotes)];
    (opened.len() < near.len()).then(|| &name[back(name, is_name)..])
}

/// From the bracket that opens what this stands in to the one that closes it, as far as that is near.
fn within(body: &[u8], start: usize, end: usize, open: u8, close: u8) -> Range<usize> {
    let edge = |bytes: &mut dyn Iterator<Item = &u8>, opens: u8, closes: u8| {
        let mut depth = 0_usize;
        bytes.take(REACH).position(|byte| {
            let over = *byte == closes && depth == 0;
            depth = if *byte == opens { depth + 1 } else { depth.saturating_sub(usize::from(*byte == closes)) };
            over
        })
    };
    let before = edge(&mut body[..start].iter().rev(), close, open).unwrap_or(REACH);
    let after = edge(&mut body[end..].iter(), open, close).unwrap_or(REACH);
    start.saturating_sub(before)..(end + after).min(body.len())
}

fn words(body: &[u8], all: Range<usize>) -> Vec<Range<usize>> {
    let (mut words, mut at) = (Vec::new(), all.start);
    while at < all.end {
        let end = name_end(body, at).min(all.end);
        if end > at {
            words.push(at..end);
        }
        at = end.max(at + 1);
    }
    words
}

/// The element after this one, if that was a label and the next is its value.
fn next_element(body: &[u8], end: usize) -> Option<Range<usize>> {
    let near = &body[..body.len().min(end + REACH)];
    let tag = |from: usize| {
        let name = words(near, from..near.len()).into_iter().next()?;
        // Behind its prefix.
        match near.get(name.end) {
            Some(b':') => Some(name.end + 1..name_end(near, name.end + 1)),
            _ => Some(name),
        }
    };
    let label = tag(end).filter(|name| is(&near[name.clone()], |name| LABELS.contains(&name)))?;
    let closed = near[label.end..].trim_ascii_start().strip_prefix(b">")?.trim_ascii_start();
    let value = tag(near.len() - closed.strip_prefix(b"<")?.len())?;
    names_value(&near[value.clone()]).then_some(value)
}
