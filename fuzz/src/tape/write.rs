//! Values onto a tape.

use std::fmt;

use serde::ser::{
    self, Impossible, Serialize, SerializeMap, SerializeSeq, SerializeStruct,
    SerializeStructVariant, SerializeTuple, SerializeTupleVariant, Serializer,
};

use super::{EDGES, FIRST_EDGE, LONG, RAW_NUMBER, RAW_TEXT, SHORT, WORDS};

/// Writes what [`Tape`](super::Tape) reads.
pub(super) struct Writer<'a>(pub &'a mut Vec<u8>);

/// A value is of a kind that no type of ours has.
#[derive(Debug)]
pub struct Unwritable(String);

impl fmt::Display for Unwritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unwritable {}

impl ser::Error for Unwritable {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

type Done = Result<(), Unwritable>;

impl Writer<'_> {
    fn number(&mut self, number: u64) -> Done {
        match EDGES.iter().position(|&edge| edge == number) {
            Some(at) => self.0.push(FIRST_EDGE + at as u8),
            None if number < u64::from(FIRST_EDGE) => self.0.push(number as u8),
            None => {
                self.0.push(RAW_NUMBER);
                self.0.extend(number.to_le_bytes());
            }
        }
        Ok(())
    }

    fn long(&mut self, length: usize) -> usize {
        let length = u16::try_from(length).unwrap_or(u16::MAX);
        self.0.extend(length.to_le_bytes());
        usize::from(length)
    }

    fn length(&mut self, length: usize) {
        if length < usize::from(SHORT) {
            self.0.push(length as u8);
        } else {
            self.0.push(LONG);
            self.long(length);
        }
    }

    fn variant(&mut self, variant: u32) -> Done {
        self.0.push(variant as u8);
        Ok(())
    }
}

macro_rules! numbers {
    ($($serialize:ident $type:ty;)*) => {
        $(fn $serialize(self, number: $type) -> Done {
            self.number(number as u64)
        })*
    };
}

/// No type of ours has these.
macro_rules! unwritable {
    ($($serialize:ident ($($argument:ty),*);)*) => {
        $(fn $serialize(self, $(_: $argument),*) -> Done {
            Err(ser::Error::custom(stringify!($serialize)))
        })*
    };
}

impl Serializer for &mut Writer<'_> {
    type Ok = ();
    type Error = Unwritable;
    type SerializeSeq = Self;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Impossible<(), Unwritable>;
    type SerializeTupleVariant = Self;
    type SerializeMap = Self;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    numbers! {
        serialize_u8 u8;
        serialize_u16 u16;
        serialize_u32 u32;
        serialize_u64 u64;
        serialize_i8 i8;
        serialize_i16 i16;
        serialize_i32 i32;
        serialize_i64 i64;
    }

    unwritable! {
        serialize_f32(f32);
        serialize_f64(f64);
        serialize_char(char);
        serialize_bytes(&[u8]);
        serialize_unit();
        serialize_unit_struct(&'static str);
    }

    fn serialize_bool(self, value: bool) -> Done {
        self.number(value.into())
    }

    fn serialize_str(self, text: &str) -> Done {
        if let Some(at) = WORDS.iter().position(|&word| word == text) {
            self.0.push(at as u8);
        } else {
            self.0.push(RAW_TEXT);
            let length = self.long(text.len());
            self.0.extend(&text.as_bytes()[..length]);
        }
        Ok(())
    }

    fn serialize_none(self) -> Done {
        self.serialize_bool(false)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Done {
        self.serialize_bool(true)?;
        value.serialize(self)
    }

    fn serialize_unit_variant(self, _: &'static str, variant: u32, _: &'static str) -> Done {
        Writer::variant(self, variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Done {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        value: &T,
    ) -> Done {
        Writer::variant(self, variant)?;
        value.serialize(self)
    }

    fn serialize_seq(self, length: Option<usize>) -> Result<Self, Unwritable> {
        self.length(length.ok_or_else(|| ser::Error::custom("a list without a length"))?);
        Ok(self)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Self, Unwritable> {
        self.serialize_seq(length)
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, Unwritable> {
        Ok(self)
    }

    fn serialize_tuple_struct(
        self,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleStruct, Unwritable> {
        Err(ser::Error::custom("a tuple with a name"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        Writer::variant(self, variant)?;
        Ok(self)
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, Unwritable> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        variant: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, Unwritable> {
        Writer::variant(self, variant)?;
        Ok(self)
    }
}

macro_rules! parts {
    ($($part:ident: $($serialize:ident),*;)*) => {
        $(impl $part for &mut Writer<'_> {
            type Ok = ();
            type Error = Unwritable;

            $(fn $serialize<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
                value.serialize(&mut **self)
            })*

            fn end(self) -> Done {
                Ok(())
            }
        })*
    };
}

parts! {
    SerializeSeq: serialize_element;
    SerializeTuple: serialize_element;
    SerializeTupleVariant: serialize_field;
    SerializeMap: serialize_key, serialize_value;
}

macro_rules! fields {
    ($($part:ident)*) => {
        $(impl $part for &mut Writer<'_> {
            type Ok = ();
            type Error = Unwritable;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                _: &'static str,
                value: &T,
            ) -> Done {
                value.serialize(&mut **self)
            }

            /// What is left out is nothing, empty or zero: one byte each.
            fn skip_field(&mut self, _: &'static str) -> Done {
                self.number(0)
            }

            fn end(self) -> Done {
                Ok(())
            }
        })*
    };
}

fields! { SerializeStruct SerializeStructVariant }
