use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use ::bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::rng::hash;

/// A key: any bytes. Shown as text, bytes that are not printable ASCII as `\xNN`.
///
/// In an allocation of its own: directories keep keys for long, which must not hold on to the
/// message that brought them, and a pointer with a count is the least that one can cost.
#[derive(Clone, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Key(Arc<[u8]>);

/// A value: any bytes. `Debug` and `Display` show its length and hash, never its content, since
/// values may hold secrets.
#[derive(Clone, Default, Eq, PartialEq, Ord, PartialOrd, Hash)]
pub struct Value(Bytes);

macro_rules! bytes_like {
    ($name:ident, $copied:path) => {
        impl Deref for $name {
            type Target = [u8];

            fn deref(&self) -> &[u8] {
                &self.0
            }
        }

        impl Borrow<[u8]> for $name {
            fn borrow(&self) -> &[u8] {
                &self.0
            }
        }

        impl From<Vec<u8>> for $name {
            fn from(bytes: Vec<u8>) -> Self {
                Self(bytes.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into_bytes().into())
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self::from(text.as_bytes())
            }
        }

        impl From<&[u8]> for $name {
            fn from(bytes: &[u8]) -> Self {
                Self($copied(bytes))
            }
        }

        /// Text: printable ASCII as it is, `\` as `\\`, every other byte as `\xNN`; reads back to
        /// the same bytes.
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(&Escaped(&self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                unescape(&text).map(Self::from).ok_or_else(|| {
                    de::Error::custom("bytes have a '\\' that begins neither '\\\\' nor '\\xNN'")
                })
            }
        }
    };
}

bytes_like!(Key, Arc::from);
bytes_like!(Value, Bytes::copy_from_slice);

impl Value {
    /// Gives up the wrapper, copying nothing.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}B:{:08x}", self.0.len(), hash(&self.0) >> 32)
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        for &byte in self.0 {
            match byte {
                b'\\' => f.write_str("\\\\")?,
                b' '..=b'~' => f.write_char(char::from(byte))?,
                _ => write!(f, "\\x{byte:02x}")?,
            }
        }
        Ok(())
    }
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        if first != b'\\' {
            out.push(first);
            continue;
        }
        match rest {
            [b'\\', after @ ..] => {
                out.push(b'\\');
                rest = after;
            }
            [b'x', high, low, after @ ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                out.push(u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()?);
                rest = after;
            }
            _ => return None,
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::{prop_assert_eq, proptest};

    use super::*;

    /// Values may hold secrets.
    #[test]
    fn a_value_shows_its_length_and_hash_only() {
        let value = Value::from("s3cret");
        let shown = format!("{value:?}");
        assert_eq!(shown, format!("{value}"));
        assert!(shown.starts_with("6B:") && !shown.contains("s3cret"), "{shown}");
        assert_ne!(shown, Value::from("s3crets").to_string());
    }

    #[test]
    fn a_value_is_the_bytes_that_came() {
        let bytes = Bytes::from(vec![7; 100]);
        let value = Value::from(bytes.clone());
        assert_eq!(*value, *bytes);
        assert_eq!(value.into_bytes().as_ptr(), bytes.as_ptr(), "nothing is copied");
    }

    #[test]
    fn bytes_are_text_where_they_print() {
        let cases: [(&[u8], &str); 4] = [
            (b"/a b~", "/a b~"),
            (b"\\", "\\\\"),
            (b"\\x41", "\\\\x41"),
            (b"\0\x1f\x7f\xff\n", "\\x00\\x1f\\x7f\\xff\\x0a"),
        ];
        for (bytes, text) in cases {
            let key = Key::from(bytes);
            assert_eq!(key.to_string(), text);
            assert_eq!(serde_json::to_value(&key).expect("text"), text);
        }
        for text in ["\\", "\\x", "\\x0", "\\xg0", "\\x0g", "\\n", "a\\"] {
            serde_json::from_value::<Key>(text.into()).expect_err(text);
        }
    }

    proptest! {
        /// What is serialised reads back to the same bytes.
        #[test]
        fn bytes_read_back(bytes: Vec<u8>) {
            let text = serde_json::to_string(&Key::from(&*bytes)).expect("text");
            let value: Value = serde_json::from_str(&text).expect("bytes");
            prop_assert_eq!(&*value, &*bytes, "{}", text);
        }
    }
}
