//! Values from a tape.

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

use super::{EDGES, FIRST_EDGE, LONG, RAW_NUMBER, RAW_TEXT, SHORT, Tape, WORDS};

/// A type has refused what was read.
#[derive(Debug)]
pub struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

impl de::Error for Refused {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Self(why.to_string())
    }
}

impl Tape<'_> {
    fn number(&mut self) -> u64 {
        match self.byte() {
            RAW_NUMBER.. => {
                let mut wide = [0; 8];
                let found = self.bytes(8);
                wide[..found.len()].copy_from_slice(found);
                u64::from_le_bytes(wide)
            }
            edge @ FIRST_EDGE.. => EDGES[usize::from(edge - FIRST_EDGE)],
            small => u64::from(small),
        }
    }

    fn length(&mut self) -> usize {
        match self.byte() {
            LONG.. => self.long(),
            short => usize::from(short % SHORT),
        }
    }

    fn long(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    fn text(&mut self) -> String {
        match self.byte() {
            RAW_TEXT.. => {
                let length = self.long();
                String::from_utf8_lossy(self.bytes(length)).into_owned()
            }
            word => WORDS[usize::from(word) % WORDS.len()].to_owned(),
        }
    }

    fn either(&mut self) -> bool {
        self.byte() % 2 == 1
    }
}

/// What is read of a number is cut to its type, as a byte of chance is.
macro_rules! numbers {
    ($($deserialize:ident $visit:ident $type:ty;)*) => {
        $(fn $deserialize<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
            visitor.$visit(self.number() as $type)
        })*
    };
}

impl<'de> Deserializer<'de> for &mut Tape<'_> {
    type Error = Refused;

    numbers! {
        deserialize_u8 visit_u8 u8;
        deserialize_u16 visit_u16 u16;
        deserialize_u32 visit_u32 u32;
        deserialize_u64 visit_u64 u64;
        deserialize_i8 visit_i8 i8;
        deserialize_i16 visit_i16 i16;
        deserialize_i32 visit_i32 i32;
        deserialize_i64 visit_i64 i64;
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_bool(self.either())
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_string(self.text())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        if self.either() { visitor.visit_some(self) } else { visitor.visit_none() }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let left = self.length();
        visitor.visit_seq(Several { tape: self, left, ends: true })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        let left = self.length();
        visitor.visit_map(Several { tape: self, left, ends: true })
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        visitor.visit_seq(Several { tape: self, left, ends: false })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        left: usize,
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(left, visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.deserialize_tuple(fields.len(), visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        let variant = usize::from(self.byte()) % variants.len().max(1);
        visitor.visit_enum(Variant { tape: self, variant: variant as u64 })
    }

    /// All else is a text: no type of ours asks for it.
    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Refused> {
        visitor.visit_string(self.text())
    }

    serde::forward_to_deserialize_any! {
        f32 f64 char str bytes byte_buf unit unit_struct identifier ignored_any
    }
}

/// Elements, fields or pairs. A list ends with the tape: any length may have stood before it.
struct Several<'a, 'b> {
    tape: &'a mut Tape<'b>,
    left: usize,
    ends: bool,
}

impl Several<'_, '_> {
    fn another(&mut self) -> bool {
        let more = self.left > 0 && !(self.ends && self.tape.is_over());
        self.left = self.left.saturating_sub(1);
        more
    }
}

impl<'de> SeqAccess<'de> for Several<'_, '_> {
    type Error = Refused;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Refused> {
        if self.another() { seed.deserialize(&mut *self.tape).map(Some) } else { Ok(None) }
    }
}

impl<'de> MapAccess<'de> for Several<'_, '_> {
    type Error = Refused;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Refused> {
        self.next_element_seed(seed)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Refused> {
        seed.deserialize(&mut *self.tape)
    }
}

struct Variant<'a, 'b> {
    tape: &'a mut Tape<'b>,
    variant: u64,
}

impl<'de> EnumAccess<'de> for Variant<'_, '_> {
    type Error = Refused;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Refused> {
        let variant: de::value::U64Deserializer<Refused> = self.variant.into_deserializer();
        Ok((seed.deserialize(variant)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'_, '_> {
    type Error = Refused;

    fn unit_variant(self) -> Result<(), Refused> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Refused> {
        seed.deserialize(self.tape)
    }

    fn tuple_variant<V: Visitor<'de>>(self, left: usize, visitor: V) -> Result<V::Value, Refused> {
        self.tape.deserialize_tuple(left, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Refused> {
        self.tape.deserialize_tuple(fields.len(), visitor)
    }
}
