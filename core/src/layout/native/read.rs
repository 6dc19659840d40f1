//! Reads the native layout's values.

use std::borrow::Cow;
use std::str;

use crate::instance::{
    Data, GroupConfig, Instance, NUMBER_LIMIT, Pairs, Parts, Stamp, State, Unknown,
};
use crate::json::{Json, JsonError, JsonFault, Kind, Reader, Style, duplicate, shortened};
use crate::layout::BadRecord;
use crate::name::GroupName;

pub(super) fn instance(group: &str, id: &str, value: &[u8]) -> Result<Instance, BadRecord> {
    read(value, super::INSTANCE_FIELDS, |fields| {
        let mut parts = Parts { group, id, ..Parts::default() };
        while let Some(name) = fields.name()? {
            match name {
                "group" => fields.same(name, group)?,
                "id" => fields.same(name, id)?,
                "state" => parts.state = fields.state()?,
                "endpoints" => parts.endpoints = fields.texts(name)?,
                "labels" => parts.labels = fields.texts(name)?,
                "version" => parts.version = Some(fields.text(name)?),
                "weight" => parts.weight = Some(fields.weight()?),
                "created" => parts.created_millis = fields.number(name, NUMBER_LIMIT)?,
                "stamp" => parts.stamp = Some(fields.stamp()?),
                "evicted" => parts.evicted_by = Some(fields.evicted()?),
                _ => unreachable!("all known fields are listed here"),
            }
        }
        parts.unknown = fields.end()?;
        Ok(parts.pack()?)
    })
}

pub(super) fn config(group: GroupName, value: &[u8]) -> Result<GroupConfig, BadRecord> {
    read(value, super::CONFIG_FIELDS, |fields| {
        let (mut data, mut operation) = (None, None);
        while let Some(name) = fields.name()? {
            match name {
                "group" => fields.same(name, group.as_str())?,
                "data" => data = Some(Data::from_json(&fields.reader.value()?)?),
                "operation" => operation = Some(fields.hex(name)?),
                _ => unreachable!("all known fields are listed here"),
            }
        }
        let unknown = fields.end()?;
        let data = data.ok_or_else(|| BadRecord::Missing {
            field: "data".to_owned(),
            takes: "any JSON".to_owned(),
        })?;
        Ok(GroupConfig::read(group.clone(), data, operation, unknown))
    })
}

/// The operation in a configuration's record, however it is otherwise.
pub(in crate::layout) fn operation_of(value: &[u8]) -> Option<u64> {
    let Ok(Json::Object(fields)) = Json::parse(str::from_utf8(value).ok()?, Style::Plain) else {
        return None;
    };
    let (_, operation) = fields.into_iter().find(|(name, _)| name == "operation")?;
    match operation {
        Json::Text(text) => from_hex(&text),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => None,
    }
}

/// Reads a record. Its version is told before anything else that is wrong with it: a newer form
/// may hold anything.
fn read<'a, T>(
    value: &'a [u8],
    known: &'static [&'static str],
    what: impl FnOnce(&mut Fields<'a>) -> Result<T, BadRecord>,
) -> Result<T, BadRecord> {
    let text = str::from_utf8(value)
        .map_err(|error| JsonError { at: error.valid_up_to(), fault: JsonFault::Utf8 })?;
    let record = Fields::begin(text, known).and_then(|mut fields| what(&mut fields));
    record.map_err(|bad| newer(text).map_or(bad, |found| BadRecord::Newer { found }))
}

fn newer(text: &str) -> Option<u64> {
    let Ok(Json::Object(fields)) = Json::parse(text, Style::Plain) else {
        return None;
    };
    match fields.into_iter().find(|(name, _)| name == "v")? {
        (_, Json::Number(v)) => v.parse().ok().filter(|&v| v > 1),
        (_, Json::Null | Json::Bool(_) | Json::Text(_) | Json::Array(_) | Json::Object(_)) => None,
    }
}

/// The fields of a record, one by one.
struct Fields<'a> {
    reader: Reader<'a>,
    known: &'static [&'static str],
    /// One bit for each known field that was there.
    seen: u32,
    /// The index behind that of the last known field.
    next: usize,
    first: bool,
    unknown: Vec<(Cow<'a, str>, Json<'a>)>,
}

impl<'a> Fields<'a> {
    fn begin(text: &'a str, known: &'static [&'static str]) -> Result<Self, BadRecord> {
        let mut reader = Reader::new(text, Style::Plain);
        let kind = reader.kind()?;
        if kind != Kind::Object {
            Json::parse(text, Style::Plain)?;
            return Err(BadRecord::NotObject { found: kind.into() });
        }
        reader.object()?;
        Ok(Self { reader, known, seen: 0, next: 0, first: true, unknown: Vec::new() })
    }

    /// The name of the next known field, whose value comes next. Takes those that are not known,
    /// and the version.
    fn name(&mut self) -> Result<Option<&'static str>, BadRecord> {
        while let Some(name) = self.reader.key(&mut self.first)? {
            let Some(index) = self.index_of(&name) else {
                self.unknown.push((name, self.reader.value()?));
                continue;
            };
            self.next = index + 1;
            if self.seen & 1 << index != 0 {
                return Err(duplicate(self.reader.at(), &name).into());
            }
            self.seen |= 1 << index;
            if index > 0 {
                return Ok(Some(self.known[index]));
            }
            self.version()?;
        }
        Ok(None)
    }

    /// Which known field it is. Records are mostly written in order, so the search begins behind
    /// the last one.
    fn index_of(&self, name: &str) -> Option<usize> {
        let (before, after) = self.known.split_at(self.next);
        let later = after.iter().position(|known| *known == name).map(|index| self.next + index);
        later.or_else(|| before.iter().position(|known| *known == name))
    }

    /// Takes the end; gives the fields that are not known.
    fn end(&mut self) -> Result<Option<Unknown>, BadRecord> {
        self.reader.end()?;
        if self.seen & 1 == 0 {
            return Err(BadRecord::Missing { field: "v".to_owned(), takes: "1".to_owned() });
        }
        let unknown = self.reader.sorted(std::mem::take(&mut self.unknown), 0)?;
        Ok(Unknown::new(unknown))
    }

    fn version(&mut self) -> Result<(), BadRecord> {
        if self.reader.kind()? != Kind::Number {
            return Err(self.wrong("v", "1"));
        }
        let text = self.reader.number()?;
        match text.parse() {
            Ok(1) => Ok(()),
            Ok(found @ 2..) => Err(BadRecord::Newer { found }),
            Ok(0) | Err(_) => Err(self.wrong_is("v", &shortened(text, SHOWN), "1")),
        }
    }

    fn same(&mut self, field: &str, key: &str) -> Result<(), BadRecord> {
        let found = self.text(field)?;
        if found == key {
            return Ok(());
        }
        let (field, key) = (field.to_owned(), key.to_owned());
        Err(BadRecord::Contradicts { field, found: shortened(&found, SHOWN), key })
    }

    fn text(&mut self, field: &str) -> Result<Cow<'a, str>, BadRecord> {
        if self.reader.kind()? != Kind::Text {
            return Err(self.wrong(field, "text"));
        }
        Ok(self.reader.string()?)
    }

    fn texts(&mut self, field: &str) -> Result<Pairs<'a>, BadRecord> {
        if self.reader.kind()? != Kind::Object {
            return Err(self.wrong(field, "an object of texts"));
        }
        self.reader.object()?;
        let (mut texts, mut first) = (Vec::new(), true);
        while let Some(name) = self.reader.key(&mut first)? {
            if self.reader.kind()? != Kind::Text {
                let field = format!("{field}.{}", shortened(&name, SHOWN));
                return Err(self.wrong(&field, "text"));
            }
            texts.push((name, self.reader.string()?));
        }
        Ok(texts)
    }

    fn state(&mut self) -> Result<State, BadRecord> {
        let text = self.text("state")?;
        State::named(&text).ok_or_else(|| {
            let takes = "starting, ready, draining or out-of-service";
            self.wrong_is("state", &quoted(&text), takes)
        })
    }

    fn number(&mut self, field: &str, limit: u64) -> Result<u64, BadRecord> {
        let takes = || format!("a whole number up to {limit}");
        if self.reader.kind()? != Kind::Number {
            return Err(self.wrong(field, &takes()));
        }
        let text = self.reader.number()?;
        match text.parse() {
            Ok(number) if number <= limit => Ok(number),
            Ok(_) | Err(_) => Err(self.wrong_is(field, &shortened(text, SHOWN), &takes())),
        }
    }

    fn weight(&mut self) -> Result<u16, BadRecord> {
        let weight = self.number("weight", u16::MAX.into())?;
        Ok(u16::try_from(weight).expect("it is below the limit"))
    }

    fn hex(&mut self, field: &str) -> Result<u64, BadRecord> {
        let text = self.text(field)?;
        from_hex(&text)
            .ok_or_else(|| self.wrong_is(field, &quoted(&text), "1 to 16 hexadecimal digits"))
    }

    /// The stamp is its writer's alone: what this version does not know in it is not kept.
    fn stamp(&mut self) -> Result<Stamp, BadRecord> {
        if self.reader.kind()? != Kind::Object {
            return Err(self.wrong("stamp", "an object"));
        }
        self.reader.object()?;
        let (mut run, mut registration, mut sequence) = (None, None, None);
        let mut first = true;
        while let Some(name) = self.reader.key(&mut first)? {
            let twice = match &*name {
                "run" => run.replace(self.hex("stamp.run")?),
                "registration" => {
                    registration.replace(self.number("stamp.registration", NUMBER_LIMIT)?)
                }
                "sequence" => sequence.replace(self.number("stamp.sequence", NUMBER_LIMIT)?),
                _ => self.reader.value().map(|_| None)?,
            };
            if twice.is_some() {
                return Err(duplicate(self.reader.at(), &name).into());
            }
        }
        let missing = |field: &str, takes: &str| BadRecord::Missing {
            field: field.to_owned(),
            takes: takes.to_owned(),
        };
        Ok(Stamp {
            run: run.ok_or_else(|| missing("stamp.run", "hexadecimal digits"))?,
            registration: registration
                .ok_or_else(|| missing("stamp.registration", "a whole number"))?,
            sequence: sequence.ok_or_else(|| missing("stamp.sequence", "a whole number"))?,
        })
    }

    /// Who evicts it. Like the stamp it is its writer's alone.
    fn evicted(&mut self) -> Result<Cow<'a, str>, BadRecord> {
        if self.reader.kind()? != Kind::Object {
            return Err(self.wrong("evicted", "an object"));
        }
        self.reader.object()?;
        let (mut by, mut first) = (None, true);
        while let Some(name) = self.reader.key(&mut first)? {
            if name != "by" {
                self.reader.value()?;
            } else if by.replace(self.text("evicted.by")?).is_some() {
                return Err(duplicate(self.reader.at(), &name).into());
            }
        }
        let (field, takes) = ("evicted.by".to_owned(), "text".to_owned());
        by.ok_or(BadRecord::Missing { field, takes })
    }

    /// The error about the value that comes next.
    fn wrong(&mut self, field: &str, takes: &str) -> BadRecord {
        match self.reader.value() {
            Ok(value) => {
                let mut found = String::new();
                value.write(Style::Plain, &mut found);
                self.wrong_is(field, &shortened(&found, SHOWN), takes)
            }
            Err(error) => error.into(),
        }
    }

    fn wrong_is(&self, field: &str, found: &str, takes: &str) -> BadRecord {
        let (field, found, takes) = (field.to_owned(), found.to_owned(), takes.to_owned());
        BadRecord::Field { field, found, takes }
    }
}

fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text, SHOWN))
}

pub(super) fn from_hex(text: &str) -> Option<u64> {
    if !(1..=16).contains(&text.len()) {
        return None;
    }
    text.bytes()
        .try_fold(0, |sum, digit| Some(sum * 16 + u64::from(char::from(digit).to_digit(16)?)))
}

/// Bytes of a value that an error shows.
const SHOWN: usize = 40;
