//! Any bytes as values of any type that serde knows, and values as bytes: so a fuzzer that changes
//! bytes changes requests, replies and plans.
//!
//! Every tape can be read. A byte chooses a variant, a length, a small number or one of a list of
//! words; where it ends, there is only the first variant, nothing, and zero. What a type itself
//! refuses (a name with a slash) is refused here too, and the next value begins where that one
//! stopped.

mod read;
mod write;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Texts that say something to the engine, the store or the simulator; a byte names one.
const WORDS: &[&str] = &[
    "",
    "a",
    "b",
    "c",
    "web",
    "api",
    "http",
    "zone",
    "10.0.0.7:8080",
    "http://127.0.0.1:2379",
    "/portolan",
    "/portolan/",
    "/portolan/instances/",
    "/portolan/instances/web/",
    "/portolan/instances/web/a",
    "/portolan/instances/web/b",
    "/portolan/instances/web0",
    "/portolan/groups/",
    "/portolan/groups/web",
    "/portolan/groups/web/x",
    "/portolan0",
    "{}",
    "null",
    "{\"color\":\"red\"}",
    "{\"v\":1,\"group\":\"web\",\"id\":\"a\"}",
    "1.2.3",
    "3.5.16",
    "\\x00",
    "\\xff",
    "root",
    "etcdserver: mvcc: required revision has been compacted",
    "rpc error: code = NotFound desc = etcdserver: requested lease not found",
];

/// Numbers at which something begins or ends.
const EDGES: &[u64] = &[
    255,
    256,
    1_000,
    5_000,
    10_000,
    60_000,
    65_535,
    1_000_000,
    1_000_000_000,
    i32::MAX as u64,
    u32::MAX as u64,
    1 << 32,
    1 << 53,
    9_000_000_000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX - 1,
    u64::MAX,
];

/// From here on a byte that begins a number says how it is written: one of [`EDGES`], or eight bytes.
const FIRST_EDGE: u8 = 200;
const RAW_NUMBER: u8 = FIRST_EDGE + EDGES.len() as u8;
/// From here on a byte that begins a text is followed by its length, in two bytes, and by it.
const RAW_TEXT: u8 = 240;
/// From here on a byte that begins a list is followed by its length, in two bytes.
const LONG: u8 = 250;
/// A shorter list has as many as the first byte leaves over.
const SHORT: u8 = 5;

/// Bytes from which values are read, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Tape<'a>(&'a [u8]);

impl<'a> Tape<'a> {
    /// At its beginning.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether all of it was read.
    pub fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    /// The next value; `None` for one that its type refuses.
    pub fn read<T: DeserializeOwned>(&mut self) -> Option<T> {
        T::deserialize(self).ok()
    }

    /// The rest of it, as it is.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn bytes(&mut self, most: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A tape from which these values are read, for seeds. Of a text there are at most 65,535 bytes.
pub fn write<T: Serialize>(values: &[T]) -> Vec<u8> {
    let mut tape = Vec::new();
    for value in values {
        value.serialize(&mut write::Writer(&mut tape)).expect("what is read can be written");
    }
    tape
}

#[cfg(test)]
mod tests {
    use portolan_core::Rng;
    use portolan_core::engine::Input;
    use portolan_core::waist::Reply;

    use super::*;

    /// What is written is read again, whatever was written.
    #[test]
    fn what_is_written_is_read_again() {
        let mut found = 0;
        for seed in 0..20_000 {
            let mut rng = Rng::new(seed);
            let noise: Vec<u8> = (0..200).map(|_| rng.bits() as u8).collect();
            let Some(input) = Tape::new(&noise).read::<Input>() else { continue };
            found += 1;
            let tape = write(&[&input, &Input::Tick]);
            let mut tape = Tape::new(&tape);
            assert_eq!(tape.read::<Input>().as_ref(), Some(&input));
            assert_eq!(tape.read::<Input>(), Some(Input::Tick));
            assert!(tape.is_over());
        }
        assert!(found > 5_000, "{found}");
    }

    #[test]
    fn a_tape_that_is_over_ends() {
        assert!(Tape::new(&[]).read::<Reply>().is_some());
    }
}
