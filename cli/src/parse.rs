//! One value of the command line each.

use std::ops::RangeInclusive;
use std::time::Duration;

use semver::Version;

/// What is taken at most as a time: longer ones are mistakes.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// `15s`, `500ms`, `2m`, `1h`; above zero.
pub fn time(text: &str) -> Result<Duration, String> {
    time_from(text, Duration::from_millis(1))
}

/// As [`time`], or zero.
pub fn time_or_none(text: &str) -> Result<Duration, String> {
    time_from(text, Duration::ZERO)
}

/// A lease's time to live, which etcd counts in seconds.
pub fn ttl(text: &str) -> Result<Duration, String> {
    let second = Duration::from_secs(1);
    let ttl = time_from(text, second)?;
    if ttl.subsec_nanos() != 0 {
        return Err(format!("{}, in whole seconds", range(second)));
    }
    Ok(ttl)
}

fn time_from(text: &str, least: Duration) -> Result<Duration, String> {
    let wrong =
        || format!("a time is a whole number and ms, s, m or h, like 15s; {}", range(least));
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(wrong());
    }
    let millis: u64 = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    // Digits alone can only be too many.
    let time = number.parse().ok().and_then(|number: u64| number.checked_mul(millis));
    let time = time.map(Duration::from_millis);
    time.filter(|time| (least..=LONGEST).contains(time)).ok_or_else(|| range(least))
}

fn range(least: Duration) -> String {
    let least = if least.is_zero() { "0s".to_owned() } else { format!("{least:?}") };
    format!("it takes {least} to 24h")
}

/// What is taken as a number of bytes: less is no room to work in, and more is a mistake.
const SIZES: RangeInclusive<u64> = 1 << 20..=1 << 40;

/// A number of bytes: `64MiB`, `512KiB`, `1GiB`, or without a unit.
pub fn size(text: &str) -> Result<u64, String> {
    let range = "it takes 1MiB to 1024GiB";
    let wrong =
        || format!("a size is a whole number of bytes, or of KiB, MiB, GiB, like 64MiB; {range}");
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    if number.is_empty() {
        return Err(wrong());
    }
    let bytes: u64 = match unit {
        "" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(wrong()),
    };
    // Digits alone can only be too many.
    let size = number.parse().ok().and_then(|number: u64| number.checked_mul(bytes));
    size.filter(|size| SIZES.contains(size)).ok_or_else(|| range.to_owned())
}

/// A weight.
pub fn weight(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("it takes a whole number, 0 to {}", u16::MAX))
}

/// `NAME=VALUE`; the name ends at the first `=`.
pub fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
        None => Err("it has no '='".to_owned()),
    }
}

/// A semantic version.
pub fn version(text: &str) -> Result<Version, String> {
    Version::parse(text).map_err(|error| format!("{error}; it takes a version like 1.2.3"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        let wrong = "a time is a whole number and ms, s, m or h, like 15s; it takes 1ms to 24h";
        let range = "it takes 1ms to 24h";
        let cases = [
            ("15s", Ok(15_000)),
            ("500ms", Ok(500)),
            ("2m", Ok(120_000)),
            ("24h", Ok(86_400_000)),
            ("25h", Err(range)),
            ("99999999999999999999s", Err(range)),
            ("0s", Err(range)),
            ("15", Err(wrong)),
            ("s", Err(wrong)),
            ("", Err(wrong)),
            ("1.5s", Err(wrong)),
            ("-1s", Err(wrong)),
            ("1 s", Err(wrong)),
            ("1S", Err(wrong)),
            ("1é", Err(wrong)),
        ];
        for (text, expected) in cases {
            let expected = expected.map(Duration::from_millis).map_err(str::to_owned);
            assert_eq!(time(text), expected, "{text:?}");
        }
        assert_eq!(time_or_none("0s"), Ok(Duration::ZERO));
        assert_eq!(time_or_none("25h"), Err("it takes 0s to 24h".to_owned()));
    }

    #[test]
    fn times_to_live() {
        let whole = "it takes 1s to 24h, in whole seconds";
        let cases = [
            ("1s", Ok(1)),
            ("1000ms", Ok(1)),
            ("24h", Ok(86_400)),
            ("999ms", Err("it takes 1s to 24h")),
            ("0s", Err("it takes 1s to 24h")),
            ("1500ms", Err(whole)),
        ];
        for (text, expected) in cases {
            let expected = expected.map(Duration::from_secs).map_err(str::to_owned);
            assert_eq!(ttl(text), expected, "{text:?}");
        }
    }

    #[test]
    fn sizes() {
        let range = "it takes 1MiB to 1024GiB";
        let wrong = &*format!(
            "a size is a whole number of bytes, or of KiB, MiB, GiB, like 64MiB; {range}"
        );
        let cases = [
            ("1048576", Ok(1 << 20)),
            ("1024KiB", Ok(1 << 20)),
            ("64MiB", Ok(64 << 20)),
            ("1024GiB", Ok(1 << 40)),
            ("1048575", Err(range)),
            ("1025GiB", Err(range)),
            ("0", Err(range)),
            ("99999999999999999999GiB", Err(range)),
            ("18446744073709551615GiB", Err(range)),
            ("64MB", Err(wrong)),
            ("64mib", Err(wrong)),
            ("64 MiB", Err(wrong)),
            ("1.5GiB", Err(wrong)),
            ("-1", Err(wrong)),
            ("MiB", Err(wrong)),
            ("", Err(wrong)),
        ];
        for (text, expected) in cases {
            assert_eq!(size(text), expected.map_err(str::to_owned), "{text:?}");
        }
    }

    #[test]
    fn weights() {
        let range = || Err("it takes a whole number, 0 to 65535".to_owned());
        let cases = [
            ("0", Ok(0)),
            ("65535", Ok(65_535)),
            ("65536", range()),
            ("-1", range()),
            ("1.5", range()),
            ("", range()),
        ];
        for (text, expected) in cases {
            assert_eq!(weight(text), expected, "{text:?}");
        }
    }

    #[test]
    fn pairs() {
        let cases = [
            ("a=b", Some(("a", "b"))),
            ("a=b=c", Some(("a", "b=c"))),
            ("=b", Some(("", "b"))),
            ("a=", Some(("a", ""))),
            ("a", None),
        ];
        for (text, expected) in cases {
            let found = pair(text).ok();
            let found = found.as_ref().map(|(name, value)| (name.as_str(), value.as_str()));
            assert_eq!(found, expected, "{text:?}");
        }
    }
}
