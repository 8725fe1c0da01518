//! The room nights of one property, packed while nobody works on them.
//!
//! There are many more room nights than anything else, and few of them are worked on at a time. A packed one is the
//! very bytes of its row in the `state` table, a fraction of what it takes open. It is opened when it is changed, and
//! packed again with the commit. Does not know what a room night says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::codec;
use super::state::{Night, RoomNight};
use crate::types::{Day, Days};

/// Room nights by room type and date. Which of them are packed nobody can see, except by the memory taken.
#[derive(Debug, Default)]
pub struct Nights {
    /// A type stands in here while it has a night.
    types: BTreeMap<Arc<str>, BTreeMap<Day, Slot>>,
    /// How many nights there are.
    len: usize,
    /// Those opened since all were packed; some may be packed again, gone, or here twice.
    opened: Vec<Night>,
    /// Length of all packed bytes.
    bytes: usize,
}

/// One room night, 16 bytes.
#[derive(Debug)]
enum Slot {
    Packed(Packed),
    Open(Box<Open>),
}

#[derive(Debug)]
struct Open {
    state: RoomNight,
    /// What it was opened from, until it is changed.
    packed: Option<Packed>,
}

/// A room night as it was before a change, to be put back or thrown away.
#[derive(Debug)]
pub struct Earlier(Slot);

/// A room night as bytes that can be read: each was made of a room night, or read once before it was taken.
#[derive(Debug, Default)]
struct Packed(Box<[u8]>);

impl Packed {
    fn of(state: &RoomNight, scratch: &mut Vec<u8>) -> Result<Packed, postcard::Error> {
        codec::write(state, scratch)?;
        Ok(Packed(scratch.as_slice().into()))
    }

    fn checked(bytes: &[u8]) -> Result<Packed, String> {
        codec::read::<RoomNight>(bytes)?;
        Ok(Packed(bytes.into()))
    }

    fn state(&self) -> RoomNight {
        codec::read(&self.0).unwrap_or_else(|why| unreachable!("a room night in memory is {why}"))
    }
}

impl Slot {
    fn state(&self) -> Cow<'_, RoomNight> {
        match self {
            Slot::Packed(packed) => Cow::Owned(packed.state()),
            Slot::Open(open) => Cow::Borrowed(&open.state),
        }
    }

    /// Length of the bytes kept in here.
    fn bytes(&self) -> usize {
        match self {
            Slot::Packed(packed) => packed.0.len(),
            Slot::Open(open) => open.packed.as_ref().map_or(0, |packed| packed.0.len()),
        }
    }
}

impl Nights {
    /// How many room nights there are.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// About how many of them are open: no fewer than there are.
    pub fn opened(&self) -> usize {
        self.opened.len()
    }

    /// About how much memory they take, in bytes: per night a place in the tables (measured with `cargo xtask bench`)
    /// and its packed form; for an open one what it takes with a few claims.
    pub fn weight(&self) -> usize {
        self.len * 64 + self.bytes + self.opened.len() * 760
    }

    /// Every room type that has a night, in byte order.
    pub fn room_types(&self) -> impl Iterator<Item = &Arc<str>> {
        self.types.keys()
    }

    /// Room type and date of every night, in their order.
    pub fn keys(&self) -> impl Iterator<Item = (&Arc<str>, Day)> {
        self.types.iter().flat_map(|(room_type, days)| days.keys().map(move |day| (room_type, *day)))
    }

    /// Every night, in the order of room type and date.
    pub fn iter(&self) -> impl Iterator<Item = (&Arc<str>, Day, Cow<'_, RoomNight>)> {
        let slots = self.types.iter().flat_map(|(room_type, days)| days.iter().map(move |at| (room_type, at)));
        slots.map(|(room_type, (day, slot))| (room_type, *day, slot.state()))
    }

    /// The nights of one room type on these days, in their order.
    pub fn range(&self, room_type: &str, days: Days) -> impl Iterator<Item = (Day, Cow<'_, RoomNight>)> {
        let of = self.types.get(room_type).filter(|_| !days.is_empty());
        of.into_iter().flat_map(move |of| of.range(days.first..days.end)).map(|(day, slot)| (*day, slot.state()))
    }

    /// A night as it is. Of a packed one this is a copy made for this look alone: whoever looks again opens it.
    pub fn get(&self, (room_type, day): &Night) -> Option<Cow<'_, RoomNight>> {
        Some(self.types.get(room_type)?.get(day)?.state())
    }

    /// Opens a night, if there is one: looking at it costs nothing until all are packed again.
    pub fn open(&mut self, night: &Night) {
        let slot = slot(&mut self.types, night);
        if slot.is_some_and(open_slot) {
            self.opened.push(night.clone());
        }
    }

    /// A night that is there, to be changed.
    pub fn get_mut(&mut self, night: &Night) -> Option<&mut RoomNight> {
        self.open(night);
        let Slot::Open(open) = slot(&mut self.types, night)? else { return None };
        if let Some(packed) = open.packed.take() {
            self.bytes -= packed.0.len();
        }
        Some(&mut open.state)
    }

    /// A night, to be changed; empty if it is new.
    pub fn entry(&mut self, night: &Night) -> &mut RoomNight {
        if !self.contains(night) {
            self.set(night, Some(Slot::Open(Box::new(Open { state: RoomNight::default(), packed: None }))));
        }
        self.get_mut(night).unwrap_or_else(|| unreachable!("{} {} was just made", night.0, night.1))
    }

    /// A night as it is before it is changed for the first time. What it was opened from goes with it.
    pub fn earlier(&mut self, night: &Night) -> Option<Earlier> {
        self.open(night);
        let Slot::Open(open) = slot(&mut self.types, night)? else { return None };
        Some(Earlier(match open.packed.take() {
            Some(packed) => {
                self.bytes -= packed.0.len();
                Slot::Packed(packed)
            }
            None => Slot::Open(Box::new(Open { state: open.state.clone(), packed: None })),
        }))
    }

    /// Puts back what was there earlier; `None`: there was no such night.
    pub fn restore(&mut self, night: &Night, earlier: Option<Earlier>) {
        self.set(night, earlier.map(|earlier| earlier.0));
    }

    /// Takes a night as it stands in the `state` table.
    ///
    /// # Errors
    /// Why the bytes cannot be read.
    pub fn load(&mut self, night: &Night, bytes: &[u8]) -> Result<(), String> {
        let packed = Packed::checked(bytes)?;
        self.set(night, Some(Slot::Packed(packed)));
        Ok(())
    }

    /// Packs a night, and gives what its row in the `state` table holds.
    pub fn pack(&mut self, night: &Night, scratch: &mut Vec<u8>) -> Result<Option<&[u8]>, postcard::Error> {
        let Some(slot) = slot(&mut self.types, night) else { return Ok(None) };
        self.bytes -= slot.bytes();
        pack_slot(slot, scratch)?;
        self.bytes += slot.bytes();
        match slot {
            Slot::Packed(packed) => Ok(Some(&packed.0)),
            Slot::Open(_) => Ok(None),
        }
    }

    /// Packs every night that is open.
    pub fn pack_all(&mut self, scratch: &mut Vec<u8>) -> Result<(), postcard::Error> {
        for night in std::mem::take(&mut self.opened) {
            self.pack(&night, scratch)?;
        }
        Ok(())
    }

    fn contains(&self, (room_type, day): &Night) -> bool {
        self.types.get(room_type).is_some_and(|days| days.contains_key(day))
    }

    fn set(&mut self, night: &Night, slot: Option<Slot>) {
        let (room_type, day) = night;
        let Some(slot) = slot else { return self.remove(night) };
        if matches!(slot, Slot::Open(_)) {
            self.opened.push(night.clone());
        }
        self.bytes += slot.bytes();
        let days = match self.types.get_mut(room_type) {
            Some(days) => days,
            None => self.types.entry(room_type.clone()).or_default(),
        };
        match days.insert(*day, slot) {
            Some(old) => self.bytes -= old.bytes(),
            None => self.len += 1,
        }
    }

    fn remove(&mut self, (room_type, day): &Night) {
        let Some(days) = self.types.get_mut(room_type) else { return };
        if let Some(old) = days.remove(day) {
            self.bytes -= old.bytes();
            self.len -= 1;
        }
        if days.is_empty() {
            self.types.remove(room_type);
        }
    }
}

fn slot<'n>(types: &'n mut BTreeMap<Arc<str>, BTreeMap<Day, Slot>>, (room_type, day): &Night) -> Option<&'n mut Slot> {
    types.get_mut(room_type)?.get_mut(day)
}

/// Opens it; `false` if it was open.
fn open_slot(slot: &mut Slot) -> bool {
    let Slot::Packed(packed) = slot else { return false };
    let packed = std::mem::take(packed);
    *slot = Slot::Open(Box::new(Open { state: packed.state(), packed: Some(packed) }));
    true
}

fn pack_slot(slot: &mut Slot, scratch: &mut Vec<u8>) -> Result<(), postcard::Error> {
    if let Slot::Open(open) = slot {
        let packed = open.packed.take().map_or_else(|| Packed::of(&open.state, scratch), Ok)?;
        *slot = Slot::Packed(packed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::state::{NightField, Published};
    use super::*;
    use crate::types::Value;

    /// Numbers below a bound, by splitmix64.
    struct Dice(u64);

    impl Dice {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let mut mixed = self.0;
            mixed = (mixed ^ mixed >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
            (mixed ^ mixed >> 31) % bound
        }

        fn night(&mut self) -> Night {
            (["DBL", "SGL", "TWN"][self.below(3) as usize].into(), Day(self.below(12) as i32 - 6))
        }

        /// Some change.
        fn change(&mut self, state: &mut RoomNight) {
            match self.below(4) {
                0 => state.excess = Some(self.below(1 << 40)).filter(|_| self.below(2) == 0),
                1 => state.claimed = true,
                2 => state.fields = Vec::new(),
                _ => {
                    let (name, source): (Arc<str>, Arc<str>) = ("price".into(), "pms".into());
                    let field: &mut NightField = state.field_mut(&name);
                    let value = match self.below(2) {
                        0 => Value::Integer(self.below(1 << 50) as i64 - (1 << 49)),
                        _ => Value::Text("ü".repeat(self.below(40) as usize).into()),
                    };
                    field.published = Some(Published { source: source.clone(), value: value.clone() });
                    field.claim_mut(&source).value = Some(value);
                }
            }
        }
    }

    type Plain = BTreeMap<Night, RoomNight>;

    /// Everything that can be seen of both is equal, and what is counted is right.
    fn compare(nights: &Nights, plain: &Plain, dice: &mut Dice) {
        let all: Vec<(Night, RoomNight)> =
            nights.iter().map(|(room_type, day, state)| ((room_type.clone(), day), state.into_owned())).collect();
        let expected: Vec<(Night, RoomNight)> =
            plain.iter().map(|(night, state)| (night.clone(), state.clone())).collect();
        assert_eq!(all, expected);
        let keys: Vec<Night> = nights.keys().map(|(room_type, day)| (room_type.clone(), day)).collect();
        assert!(keys.iter().eq(plain.keys()));
        assert_eq!((nights.len(), nights.is_empty()), (plain.len(), plain.is_empty()));
        let mut types: Vec<&Arc<str>> = plain.keys().map(|(room_type, _)| room_type).collect();
        types.dedup();
        assert_eq!(nights.room_types().collect::<Vec<_>>(), types);
        let ((room_type, first), (_, end)) = (dice.night(), dice.night());
        let some = nights.range(&room_type, Days { first, end }).map(|(day, state)| (day, state.into_owned()));
        let expected = plain.iter().filter(|((of, day), _)| *of == room_type && first <= *day && *day < end);
        assert!(some.eq(expected.map(|((_, day), state)| (*day, state.clone()))));
        let slots = || nights.types.values().flat_map(BTreeMap::values);
        assert_eq!(nights.bytes, slots().map(Slot::bytes).sum::<usize>());
        assert!(nights.opened() >= slots().filter(|slot| matches!(slot, Slot::Open(_))).count());
    }

    #[test]
    fn packed_or_open_the_answers_are_those_of_a_plain_table() {
        for seed in 0..300 {
            println!("seed {seed}");
            let (mut dice, mut scratch) = (Dice(seed), Vec::new());
            let (mut nights, mut plain) = (Nights::default(), Plain::new());
            for _ in 0..60 {
                let night = dice.night();
                match dice.below(8) {
                    0 => nights.open(&night),
                    1 => nights.pack_all(&mut scratch).unwrap(),
                    2 => {
                        let bytes = nights.pack(&night, &mut scratch).unwrap().map(<[u8]>::to_vec);
                        assert_eq!(bytes, plain.get(&night).map(|state| codec::versioned(state).unwrap()));
                    }
                    3 => {
                        let mut state = RoomNight::default();
                        dice.change(&mut state);
                        nights.load(&night, &codec::versioned(&state).unwrap()).unwrap();
                        plain.insert(night.clone(), state);
                    }
                    4 => {
                        // A record that is taken back.
                        let earlier = nights.earlier(&night);
                        for _ in 0..dice.below(3) {
                            dice.change(nights.entry(&night));
                        }
                        nights.restore(&night, earlier);
                    }
                    5 => {
                        let seed = dice.0;
                        let changed = nights.get_mut(&night).map(|state| Dice(seed).change(state));
                        assert_eq!(changed, plain.get_mut(&night).map(|state| dice.change(state)));
                    }
                    _ => {
                        drop(nights.earlier(&night));
                        let seed = dice.0;
                        Dice(seed).change(nights.entry(&night));
                        dice.change(plain.entry(night.clone()).or_default());
                    }
                }
                assert_eq!(nights.get(&night).as_deref(), plain.get(&night));
                compare(&nights, &plain, &mut dice);
            }
            nights.pack_all(&mut scratch).unwrap();
            assert_eq!(nights.opened(), 0);
            compare(&nights, &plain, &mut dice);
            let packed = nights.types.values().flat_map(BTreeMap::values).all(|slot| matches!(slot, Slot::Packed(_)));
            assert!(packed, "nothing stays open");
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_taken() {
        let mut nights = Nights::default();
        let night: Night = ("DBL".into(), Day(1));
        let whole = codec::versioned(&RoomNight::default()).unwrap();
        for end in 0..whole.len() {
            assert!(nights.load(&night, &whole[..end]).is_err(), "{end} bytes");
        }
        assert!(nights.load(&night, &[9, 0, 0, 0]).unwrap_err().contains("format 9"));
        assert!(nights.get(&night).is_none());
        nights.load(&night, &whole).unwrap();
        assert_eq!(nights.get(&night).as_deref(), Some(&RoomNight::default()));
    }

    #[test]
    fn a_place_takes_two_words() {
        assert_eq!(size_of::<Slot>(), 2 * size_of::<usize>());
    }
}
