//! One value of the command line each.

use std::time::Duration;

use semver::Version;

/// What is taken at most as a time: longer ones are mistakes.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// `15s`, `500ms`, `2m`, `1h`; above zero.
pub fn time(text: &str) -> Result<Duration, String> {
    let time = time_or_none(text)?;
    if time.is_zero() {
        return Err("a time is above zero".to_owned());
    }
    Ok(time)
}

/// As [`time`], or zero.
pub fn time_or_none(text: &str) -> Result<Duration, String> {
    let wrong = || "a time is a whole number and ms, s, m or h, like 15s".to_owned();
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
    let time = time.map(Duration::from_millis).filter(|&time| time <= LONGEST);
    time.ok_or_else(|| "the limit is 24h".to_owned())
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
        let wrong = || Err("a time is a whole number and ms, s, m or h, like 15s".to_owned());
        let long = || Err("the limit is 24h".to_owned());
        let cases = [
            ("15s", Ok(15_000)),
            ("500ms", Ok(500)),
            ("2m", Ok(120_000)),
            ("24h", Ok(86_400_000)),
            ("25h", long()),
            ("99999999999999999999s", long()),
            ("0s", Err("a time is above zero".to_owned())),
            ("15", wrong()),
            ("s", wrong()),
            ("", wrong()),
            ("1.5s", wrong()),
            ("-1s", wrong()),
            ("1 s", wrong()),
            ("1S", wrong()),
            ("1é", wrong()),
        ];
        for (text, expected) in cases {
            let found = time(text);
            assert_eq!(found, expected.map(Duration::from_millis), "{text:?}");
        }
        assert_eq!(time_or_none("0s"), Ok(Duration::ZERO));
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
