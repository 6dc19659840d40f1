//! Writes the native layout's values: known fields in a fixed order, then the unknown ones sorted,
//! no white space, so that equal records have equal bytes.

use std::fmt::Write as _;

use super::{CONFIG_FIELDS, INSTANCE_FIELDS};
use crate::instance::{GroupConfig, Instance, NUMBER_LIMIT, Stamp};
use crate::json::{Json, Style, shortened, write_text};
use crate::layout::EncodeError;
use crate::waist::Value;

pub(super) fn instance(instance: &Instance, stamp: Option<Stamp>) -> Result<Value, EncodeError> {
    let mut out = Record::begin();
    out.text("group", instance.group());
    out.text("id", instance.id());
    out.text("state", instance.state().as_str());
    out.texts("endpoints", instance.endpoints());
    out.texts("labels", instance.labels());
    if let Some(version) = instance.version_text() {
        out.text("version", version);
    }
    if let Some(weight) = instance.weight() {
        out.number("weight", weight.into())?;
    }
    if let Some(created) = instance.created_millis() {
        out.number("created", created)?;
    }
    if let Some(stamp) = stamp {
        out.stamp(stamp)?;
    }
    if let Some(by) = instance.evicted_by() {
        out.texts("evicted", [("by", by)].into_iter());
    }
    out.unknown(instance.unknown(), INSTANCE_FIELDS)?;
    Ok(out.end())
}

pub(super) fn config(config: &GroupConfig, operation: u64) -> Result<Value, EncodeError> {
    let mut out = Record::begin();
    out.text("group", config.group().as_str());
    out.name("data");
    out.0.push_str(config.data().as_str());
    out.name("operation");
    write!(out.0, r#""{operation:016x}""#).expect(FITS);
    out.unknown(config.unknown(), CONFIG_FIELDS)?;
    Ok(out.end())
}

struct Record(String);

impl Record {
    fn begin() -> Self {
        Self(r#"{"v":1"#.to_owned())
    }

    fn name(&mut self, name: &str) {
        self.0.push_str(",\"");
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        write_text(text, Style::Plain, &mut self.0);
    }

    /// Nothing at all for none.
    fn texts<'a>(&mut self, name: &str, texts: impl Iterator<Item = (&'a str, &'a str)>) {
        let mut before = '{';
        for (key, value) in texts {
            if before == '{' {
                self.name(name);
            }
            self.0.push(before);
            before = ',';
            write_text(key, Style::Plain, &mut self.0);
            self.0.push(':');
            write_text(value, Style::Plain, &mut self.0);
        }
        if before == ',' {
            self.0.push('}');
        }
    }

    fn number(&mut self, name: &str, number: u64) -> Result<(), EncodeError> {
        check_number(name, number)?;
        self.name(name);
        write!(self.0, "{number}").expect(FITS);
        Ok(())
    }

    fn stamp(&mut self, stamp: Stamp) -> Result<(), EncodeError> {
        let Stamp { run, registration, sequence } = stamp;
        for (field, found) in [("stamp.registration", registration), ("stamp.sequence", sequence)] {
            check_number(field, found)?;
        }
        self.name("stamp");
        write!(
            self.0,
            r#"{{"run":"{run:016x}","registration":{registration},"sequence":{sequence}}}"#
        )
        .expect(FITS);
        Ok(())
    }

    /// Fields that came from a newer version, an object as text. One that is known would be there
    /// twice, and the record unreadable.
    fn unknown(&mut self, fields: Option<&str>, known: &[&str]) -> Result<(), EncodeError> {
        let Some(fields) = fields else {
            return Ok(());
        };
        if let Ok(Json::Object(fields)) = Json::parse(fields, Style::Plain)
            && let Some((field, _)) = fields.iter().find(|(name, _)| known.contains(&&**name))
        {
            return Err(EncodeError::Known { field: shortened(field, 80) });
        }
        self.0.push(',');
        self.0.push_str(&fields[1..fields.len() - 1]);
        Ok(())
    }

    fn end(mut self) -> Value {
        self.0.push('}');
        self.0.into()
    }
}

fn check_number(field: &str, found: u64) -> Result<(), EncodeError> {
    if found > NUMBER_LIMIT {
        let field = field.to_owned();
        return Err(EncodeError::Number { field, found, limit: NUMBER_LIMIT });
    }
    Ok(())
}

const FITS: &str = "a string takes all";
