//! What is there now and then: with an `Option`, half of all that was read from any bytes would have
//! it, and nothing would get far.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeTuple, Serializer};

/// One number in so many says that it is there.
const ONE_IN: u8 = 16;
const IS_THERE: u8 = ONE_IN - 1;

/// Something that seldom is there.
#[derive(Clone, Debug, Default)]
pub struct Seldom<T>(pub Option<T>);

impl<T: Serialize> Serialize for Seldom<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut both = serializer.serialize_tuple(2)?;
        match &self.0 {
            None => both.serialize_element(&0_u8)?,
            Some(it) => {
                both.serialize_element(&IS_THERE)?;
                both.serialize_element(it)?;
            }
        }
        both.end()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Seldom<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_tuple(2, Both(PhantomData))
    }
}

struct Both<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Both<T> {
    type Value = Seldom<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number, and what it says is there")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut both: A) -> Result<Seldom<T>, A::Error> {
        let number: u8 = both.next_element()?.ok_or_else(|| de::Error::invalid_length(0, &self))?;
        if number % ONE_IN == IS_THERE { both.next_element().map(Seldom) } else { Ok(Seldom(None)) }
    }
}
