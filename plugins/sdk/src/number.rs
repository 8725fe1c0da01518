//! Exact numbers. No float comes near money.
//!
//! Knows decimal notation and the bounds of what Concord keeps. Does not know currencies beyond their
//! shape.

use crate::{Decimal, Money};

/// Decimals that Concord keeps.
const SCALE: i32 = 4;
/// The largest magnitude in ten-thousandths: 18 digits.
const LARGEST: i128 = 999_999_999_999_999_999;

/// Why a text is not a number that Concord keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumberError {
    /// Not `-12.50`, `300` or `3e2`.
    Malformed,
    /// More than four decimals that are not zero.
    TooPrecise,
    /// Beyond 99,999,999,999,999.9999.
    TooLarge,
}

impl NumberError {
    /// What the text is not: to stand after "is not".
    pub fn expected(self) -> &'static str {
        match self {
            NumberError::Malformed => "a decimal number such as 120.50",
            NumberError::TooPrecise => "a number of at most four decimals",
            NumberError::TooLarge => "a number of at most 99999999999999.9999",
        }
    }
}

impl std::fmt::Display for NumberError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not {}", self.expected())
    }
}

impl std::error::Error for NumberError {}

/// Reads `120.50`, `-3`, `1.2e3`: digits, one point, an exponent; no sign `+`, no thousands, no comma.
///
/// # Errors
/// What keeps it from being a number of at most 18 digits, four of them behind the point.
pub fn decimal(text: &str) -> Result<Decimal, NumberError> {
    let (mut digits, mut scale, negative) = scan(text).ok_or(NumberError::Malformed)??;
    while scale > SCALE && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
    }
    if scale > SCALE {
        return Err(NumberError::TooPrecise);
    }
    while scale < 0 {
        digits = digits.checked_mul(10).filter(|digits| *digits <= LARGEST).ok_or(NumberError::TooLarge)?;
        scale += 1;
    }
    let places = u32::try_from(SCALE - scale).unwrap_or(0);
    if digits.checked_mul(10_i128.pow(places)).is_none_or(|value| value > LARGEST) {
        return Err(NumberError::TooLarge);
    }
    let units = i64::try_from(digits).map_err(|_| NumberError::TooLarge)?;
    let scale = u8::try_from(scale).map_err(|_| NumberError::TooLarge)?;
    Ok(Decimal { units: if negative { -units } else { units }, scale })
}

/// The digits as a number, how many of them stand behind the point, and the sign. `None` if the text is malformed.
fn scan(text: &str) -> Option<Result<(i128, i32, bool), NumberError>> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (text.get(..at)?, exponent(text.get(at + 1..)?)?),
        None => (text, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) if !fraction.is_empty() => (whole, fraction),
        Some(_) => return None,
        None => (mantissa, ""),
    };
    if whole.is_empty() || !whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // Zeros at the end of a long fraction say nothing and must not make the number too large.
    let kept = fraction.trim_end_matches('0').len().max(fraction.len().min(2));
    let fraction = &fraction[..kept];
    let mut digits = 0_i128;
    for byte in whole.bytes().chain(fraction.bytes()) {
        match digits.checked_mul(10).and_then(|digits| digits.checked_add(i128::from(byte - b'0'))) {
            Some(more) => digits = more,
            None if fraction.len() > 4 => return Some(Err(NumberError::TooPrecise)),
            None => return Some(Err(NumberError::TooLarge)),
        }
    }
    if digits == 0 {
        return Some(Ok((0, i32::try_from(fraction.len().min(4)).unwrap_or(0), false)));
    }
    let Some(scale) = i32::try_from(fraction.len()).ok().and_then(|length| length.checked_sub(exponent)) else {
        return Some(Err(NumberError::TooLarge));
    };
    Some(Ok((digits, scale, negative)))
}

/// The number after `e`, cut at a million: beyond that nothing fits either way.
fn exponent(text: &str) -> Option<i32> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.bytes().fold(0, |size: i32, byte| (size * 10 + i32::from(byte - b'0')).min(1_000_000));
    Some(if negative { -size } else { size })
}

/// Reads an amount that comes with its number of decimals apart (OpenTravel's `DecimalPlaces`, minor units): `12000` and
/// 2 are 120.00. A text that has a point of its own is taken as it stands.
///
/// # Errors
/// As [`decimal`].
pub fn placed(text: &str, places: u8) -> Result<Decimal, NumberError> {
    if places == 0 || text.contains(['.', 'e', 'E']) {
        return decimal(text);
    }
    // Read with its exponent, so that only the value itself has to fit.
    decimal(&format!("{text}e-{places}"))
}

/// The exact sum. `None` where it does not fit.
pub fn sum(left: Decimal, right: Decimal) -> Option<Decimal> {
    let scale = left.scale.max(right.scale);
    let widened = |decimal: Decimal| {
        let factor = 10_i64.checked_pow(u32::from(scale - decimal.scale))?;
        decimal.units.checked_mul(factor)
    };
    Some(Decimal { units: widened(left)?.checked_add(widened(right)?)?, scale })
}

/// The exact product with a count, such as nights. `None` where it does not fit.
pub fn times(amount: Decimal, count: u32) -> Option<Decimal> {
    Some(Decimal { units: amount.units.checked_mul(i64::from(count))?, scale: amount.scale })
}

/// An amount with an ISO 4217 code. `None` if the code is not three upper-case letters.
pub fn money(amount: Decimal, currency: &str) -> Option<Money> {
    let fits = currency.len() == 3 && currency.bytes().all(|byte| byte.is_ascii_uppercase());
    fits.then(|| Money { amount, currency: currency.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is(text: &str) -> Result<(i64, u8), NumberError> {
        decimal(text).map(|decimal| (decimal.units, decimal.scale))
    }

    #[test]
    fn numbers_stay_exact() {
        for (text, expected) in [
            ("300.00", (30_000, 2)),
            ("0", (0, 0)),
            ("-0.00", (0, 2)),
            ("0.1", (1, 1)),
            ("-12.3456", (-123_456, 4)),
            ("3e2", (300, 0)),
            ("1.25E+1", (125, 1)),
            ("1e-4", (1, 4)),
            ("0e999999999999", (0, 0)),
            ("1.00000000000000000000000000000000000000000000000", (100, 2)),
            ("99999999999999.9999", (999_999_999_999_999_999, 4)),
            ("-99999999999999.9999", (-999_999_999_999_999_999, 4)),
            ("10000e-4", (10_000, 4)),
            ("100000e-5", (10_000, 4)),
        ] {
            assert_eq!(is(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn numbers_that_do_not_fit() {
        for text in ["100000000000000", "1e14", "1e999999999999999999", "9223372036854775808", &"9".repeat(60)] {
            assert_eq!(is(text), Err(NumberError::TooLarge), "{text}");
        }
        for text in ["0.00001", "1e-5", "0.1234567890123456789012345678901234567890123", "1e-99999999"] {
            assert_eq!(is(text), Err(NumberError::TooPrecise), "{text}");
        }
        for text in
            ["", "-", ".5", "5.", "+5", "1,5", "1 000", "NaN", "Infinity", "0x10", "1e", "1e+", "1.2.3", "--1", "٣"]
        {
            assert_eq!(is(text), Err(NumberError::Malformed), "{text}");
        }
    }

    #[test]
    fn decimals_that_stand_apart() {
        let is = |text, places| placed(text, places).map(|decimal| (decimal.units, decimal.scale));
        assert_eq!(is("12000", 2), Ok((12_000, 2)));
        assert_eq!(is("120.00", 2), Ok((12_000, 2)), "a point of its own counts");
        assert_eq!(is("120", 0), Ok((120, 0)));
        assert_eq!(is("5", 3), Ok((5, 3)));
        assert_eq!(is("-5", 255), Err(NumberError::TooPrecise));
        assert_eq!(is("", 2), Err(NumberError::Malformed));
    }

    #[test]
    fn sums_and_products_fit_or_are_none() {
        let decimal = |units, scale| Decimal { units, scale };
        assert_eq!(sum(decimal(15, 1), decimal(25, 2)), Some(decimal(175, 2)));
        assert_eq!(sum(decimal(i64::MAX, 0), decimal(0, 18)), None);
        assert_eq!(times(decimal(1050, 2), 3), Some(decimal(3150, 2)));
        assert_eq!(times(decimal(i64::MAX, 0), 2), None);
    }

    #[test]
    fn currencies_are_three_capitals() {
        let amount = Decimal { units: 1, scale: 0 };
        assert!(money(amount, "EUR").is_some());
        for code in ["", "eur", "EURO", "€", "E R"] {
            assert!(money(amount, code).is_none(), "{code}");
        }
    }
}
