//! Reads JSON text.

use std::borrow::Cow;

use super::{DEPTH_LIMIT, Expected, Json, JsonError, JsonFault, RECORD_DEPTH, Style, shortened};

/// Reads JSON text from its start, value by value.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// How many more objects and arrays may be opened within each other.
    levels: usize,
    limit: usize,
    style: Style,
}

/// What a value is, by its first character.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool,
    Number,
    Text,
    Array,
    Object,
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(text: &'a str, style: Style) -> Self {
        Self::within(text, RECORD_DEPTH, style)
    }

    const fn within(text: &'a str, limit: usize, style: Style) -> Self {
        Self { text, at: 0, levels: limit, limit, style }
    }

    /// What comes next; nothing is taken.
    pub(crate) fn kind(&mut self) -> Result<Kind, JsonError> {
        match self.peek() {
            Some(b'n') => Ok(Kind::Null),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b'"') => Ok(Kind::Text),
            Some(b'[') => Ok(Kind::Array),
            Some(b'{') => Ok(Kind::Object),
            Some(_) | None => Err(self.expected(Expected::Value)),
        }
    }

    /// Takes the `{` of an object.
    pub(crate) fn object(&mut self) -> Result<(), JsonError> {
        self.open(b'{', Expected::Object)
    }

    /// Takes the next key and its `:`, or the object's end. `first` starts as true.
    pub(crate) fn key(&mut self, first: &mut bool) -> Result<Option<Cow<'a, str>>, JsonError> {
        if !self.item(first, b'}')? {
            return Ok(None);
        }
        if self.peek() != Some(b'"') {
            return Err(self.expected(Expected::Key));
        }
        let key = self.string()?;
        if self.peek() != Some(b':') {
            return Err(self.expected(Expected::Colon));
        }
        self.at += 1;
        Ok(Some(key))
    }

    /// Takes a string.
    pub(crate) fn string(&mut self) -> Result<Cow<'a, str>, JsonError> {
        if self.peek() != Some(b'"') {
            return Err(self.expected(Expected::String));
        }
        self.at += 1;
        let plain = self.run()?;
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut text = plain.to_owned();
        loop {
            match self.byte() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(text));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(_) | None => text.push_str(self.run()?),
            }
        }
    }

    /// Takes any value.
    pub(crate) fn value(&mut self) -> Result<Json<'a>, JsonError> {
        Ok(match self.kind()? {
            Kind::Null => self.word("null").map(|()| Json::Null)?,
            Kind::Bool if self.byte() == Some(b't') => {
                self.word("true").map(|()| Json::Bool(true))?
            }
            Kind::Bool => self.word("false").map(|()| Json::Bool(false))?,
            Kind::Number => Json::Number(self.number()?),
            Kind::Text => Json::Text(self.string()?),
            Kind::Array => {
                self.open(b'[', Expected::Value)?;
                let (mut items, mut first) = (Vec::new(), true);
                while self.item(&mut first, b']')? {
                    items.push(self.value()?);
                }
                Json::Array(items)
            }
            Kind::Object => {
                let start = self.at;
                self.object()?;
                let (mut entries, mut first) = (Vec::new(), true);
                while let Some(key) = self.key(&mut first)? {
                    entries.push((key, self.value()?));
                }
                Json::Object(self.sorted(entries, start)?)
            }
        })
    }

    /// Takes a number, as written.
    pub(crate) fn number(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let start = self.at;
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.digits()?;
        if whole.len() > 1 && whole.starts_with('0') {
            self.at -= whole.len() - 1;
            return Err(self.expected(Expected::Comma));
        }
        let mut fraction = "";
        if self.byte() == Some(b'.') {
            self.at += 1;
            fraction = self.digits()?;
        }
        let mut exponent = 0_i64;
        if let Some(b'e' | b'E') = self.byte() {
            self.at += 1;
            let below_one = self.byte() == Some(b'-');
            if let Some(b'+' | b'-') = self.byte() {
                self.at += 1;
            }
            let size = self.digits()?.bytes().fold(0_i64, |sum, digit| {
                sum.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
            });
            exponent = if below_one { -size } else { size };
        }
        if magnitude(whole, fraction).is_some_and(|m| m.saturating_add(exponent) >= 308) {
            return Err(JsonError { at: start, fault: JsonFault::Range });
        }
        Ok(&self.text[start..self.at])
    }

    /// Takes the end of the text.
    pub(crate) fn end(&mut self) -> Result<(), JsonError> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.fault(JsonFault::Trailing)),
        }
    }

    /// How far it has read, in bytes.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Puts entries in order, each key once.
    pub(crate) fn sorted(
        &self,
        mut entries: Vec<(Cow<'a, str>, Json<'a>)>,
        at: usize,
    ) -> Result<Vec<(Cow<'a, str>, Json<'a>)>, JsonError> {
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        let twice = entries.windows(2).find(|pair| pair[0].0 == pair[1].0);
        if let Some(twice) = twice {
            if self.style == Style::Plain {
                return Err(duplicate(at, &twice[0].0));
            }
            // The sort is stable: of equal neighbours the later came later.
            entries.dedup_by(|later, kept| {
                let same = later.0 == kept.0;
                if same {
                    std::mem::swap(later, kept);
                }
                same
            });
        }
        Ok(entries)
    }

    fn open(&mut self, bracket: u8, expected: Expected) -> Result<(), JsonError> {
        if self.peek() != Some(bracket) {
            return Err(self.expected(expected));
        }
        if self.levels == 0 {
            return Err(self.fault(JsonFault::Depth { limit: self.limit }));
        }
        self.levels -= 1;
        self.at += 1;
        Ok(())
    }

    /// Takes the comma before an item, or the end bracket: then there is none.
    fn item(&mut self, first: &mut bool, end: u8) -> Result<bool, JsonError> {
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                self.levels += 1;
                Ok(false)
            }
            Some(b',') if !*first => {
                self.at += 1;
                Ok(true)
            }
            Some(_) | None if std::mem::take(first) => Ok(true),
            Some(_) | None => Err(self.expected(Expected::Comma)),
        }
    }

    /// Takes what needs no second look within a string.
    fn run(&mut self) -> Result<&'a str, JsonError> {
        let rest = &self.text[self.at..];
        let run = &rest[..plain_end(rest)];
        self.at += run.len();
        match self.byte() {
            Some(b'"' | b'\\') => Ok(run),
            Some(_) => Err(self.fault(JsonFault::Control)),
            None => Err(self.expected(Expected::String)),
        }
    }

    fn escape(&mut self) -> Result<char, JsonError> {
        let start = self.at;
        let bad = JsonError { at: start, fault: JsonFault::Escape };
        self.at += 2;
        let short = match self.text.as_bytes().get(start + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                let high = self.unit().ok_or_else(|| bad.clone())?;
                return self.character(high).ok_or(bad);
            }
            Some(_) | None => return Err(bad),
        };
        Ok(short)
    }

    /// The character of a UTF-16 unit that was taken, with the second one if it needs that.
    fn character(&mut self, high: u16) -> Option<char> {
        if let Some(Ok(character)) = char::decode_utf16([high]).next() {
            return Some(character);
        }
        let after_high = self.at;
        if self.text[self.at..].starts_with("\\u") {
            self.at += 2;
            let low = self.unit()?;
            if let Some(Ok(character)) = char::decode_utf16([high, low]).next() {
                return Some(character);
            }
        }
        self.at = after_high;
        match self.style {
            Style::Plain => None,
            Style::Go => Some(char::REPLACEMENT_CHARACTER),
        }
    }

    fn unit(&mut self) -> Option<u16> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4)?;
        self.at += 4;
        digits.iter().try_fold(0, |unit, &digit| {
            let digit = char::from(digit).to_digit(16)?;
            Some(unit * 16 + u16::try_from(digit).ok()?)
        })
    }

    fn digits(&mut self) -> Result<&'a str, JsonError> {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if length == 0 {
            return Err(self.expected(Expected::Digit));
        }
        let digits = &self.text[self.at..self.at + length];
        self.at += length;
        Ok(digits)
    }

    fn word(&mut self, word: &str) -> Result<(), JsonError> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.expected(Expected::Value));
        }
        self.at += word.len();
        Ok(())
    }

    fn peek(&mut self) -> Option<u8> {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.byte() {
            self.at += 1;
        }
        self.byte()
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn expected(&self, expected: Expected) -> JsonError {
        self.fault(JsonFault::Expected(expected))
    }

    fn fault(&self, fault: JsonFault) -> JsonError {
        JsonError { at: self.at, fault }
    }
}

impl<'a> Json<'a> {
    /// Reads a whole record.
    pub(crate) fn parse(text: &'a str, style: Style) -> Result<Self, JsonError> {
        Self::read(Reader::new(text, style))
    }

    /// Reads what is to be a record's field.
    pub(crate) fn parse_field(text: &'a str) -> Result<Self, JsonError> {
        Self::read(Reader::within(text, DEPTH_LIMIT, Style::Plain))
    }

    fn read(mut reader: Reader<'a>) -> Result<Self, JsonError> {
        let value = reader.value()?;
        reader.end()?;
        Ok(value)
    }
}

/// Where the first character is that needs a second look within a string, or the end.
pub(crate) fn plain_end(text: &str) -> usize {
    text.bytes().position(|byte| STOP[usize::from(byte)]).unwrap_or(text.len())
}

pub(crate) fn duplicate(at: usize, key: &str) -> JsonError {
    JsonError { at, fault: JsonFault::Duplicate { key: shortened(key, 40) } }
}

/// The power of ten of the first digit that is not zero; `None` for zero.
fn magnitude(whole: &str, fraction: &str) -> Option<i64> {
    let size = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    if !whole.starts_with('0') {
        return Some(size(whole.len()) - 1);
    }
    fraction.bytes().position(|digit| digit != b'0').map(|zeros| -1 - size(zeros))
}

/// The bytes that need a second look within a string.
const STOP: [bool; 256] = {
    let mut stop = [false; 256];
    let mut control = 0;
    while control < 0x20 {
        stop[control] = true;
        control += 1;
    }
    stop[b'"' as usize] = true;
    stop[b'\\' as usize] = true;
    stop
};
