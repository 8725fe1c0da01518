//! The group's own master data: properties, their room types with default capacity, their rooms.
//!
//! Knows only Concord's own codes. Does not know the sources'.
//!
//! ```toml
//! [[property]]
//! id = "H1"
//! name = "Harbour House"
//! region = "north"
//! time_zone = "Europe/Berlin"
//! room_types = { DBL = 10, SGL = 4, DORM = "unlimited" }   # rooms to sell per night unless a source says otherwise
//! rooms = { DBL = ["101", "102"] }                         # optional: which room is of which type
//! ```

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::diagnostic::{ConfigErrors, Findings, TextFile};
use super::names;

/// Every property of the group; empty when the pipeline names no file.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MasterData {
    pub properties: BTreeMap<Arc<str>, Property>,
}

/// One property.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    pub name: String,
    pub region: String,
    /// An IANA name such as `Europe/Berlin`; empty when not given.
    pub time_zone: String,
    /// Rooms per night, 0 to `i32::MAX`; `None` is unlimited.
    pub room_types: BTreeMap<Arc<str>, Option<u32>>,
    /// Room to room type.
    pub rooms: BTreeMap<Arc<str>, Arc<str>>,
}

impl MasterData {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<MasterData, ConfigErrors> {
        let mut found = Findings::default();
        let expected = "the master data: one [[property]] per hotel (properties.file in the pipeline file)";
        let master = TextFile::read(path, expected, &mut found).map(|file| parse(&file, &mut found));
        found.finish_with(master)
    }

    pub fn property(&self, property: &str) -> Option<&Property> {
        self.properties.get(property)
    }

    /// Rooms of a type per night where no source claims a capacity; `None` is unlimited (also for what is not known here).
    pub fn default_capacity(&self, property: &str, room_type: &str) -> Option<u32> {
        self.property(property)?.room_types.get(room_type).copied().flatten()
    }

    /// The type of a room, if it is known.
    pub fn room_type_of(&self, property: &str, room: &str) -> Option<Arc<str>> {
        self.property(property)?.rooms.get(room).cloned()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProperty {
    id: Spanned<String>,
    #[serde(default)]
    name: String,
    #[serde(default)]
    region: String,
    #[serde(default = "nothing")]
    time_zone: Spanned<String>,
    room_types: BTreeMap<Spanned<String>, Spanned<RawCapacity>>,
    #[serde(default)]
    rooms: BTreeMap<Spanned<String>, Vec<Spanned<String>>>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a number of rooms from 0 on, or \"unlimited\"")]
enum RawCapacity {
    Rooms(i64),
    Word(String),
}

fn nothing() -> Spanned<String> {
    Spanned::new(0..0, String::new())
}

fn parse(file: &TextFile, found: &mut Findings) -> MasterData {
    let mut master = MasterData::default();
    for (key, value) in file.entries(found) {
        if key.get_ref() != "property" {
            let message = format!("unknown table `{}`", key.get_ref());
            file.report(found, key.span(), message, "master data is a list of [[property]] tables");
            continue;
        }
        let toml::de::DeValue::Array(list) = value.into_inner() else {
            file.report(found, key.span(), "`property` is no list", "write [[property]] with two brackets");
            continue;
        };
        for item in list {
            let Some(raw) = file.section::<RawProperty>(item, found) else { continue };
            property(file, raw, &mut master, found);
        }
    }
    master
}

fn property(file: &TextFile, raw: RawProperty, master: &mut MasterData, found: &mut Findings) {
    let span = raw.id.span();
    let id = raw.id.into_inner();
    if !names::is_property(&id) {
        file.report(
            found,
            span.clone(),
            format!("`{id}` is no property id"),
            "1 to 256 bytes, no `/`, no blanks around it",
        );
    }
    let zone = raw.time_zone.get_ref();
    if !zone.bytes().all(|b| b.is_ascii_alphanumeric() || b"/_+-".contains(&b)) {
        let message = format!("`{zone}` is no time zone");
        file.report(found, raw.time_zone.span(), message, "an IANA name such as \"Europe/Berlin\"");
    }
    let mut made = Property { name: raw.name, region: raw.region, time_zone: zone.clone(), ..Property::default() };
    for (room_type, capacity) in raw.room_types {
        check_code(file, &room_type, "room type", found);
        made.room_types.insert(room_type.into_inner().into(), rooms_per_night(file, capacity, found));
    }
    for (room_type, rooms) in raw.rooms {
        let Some((known, _)) = made.room_types.get_key_value(room_type.get_ref().as_str()) else {
            let message = format!("rooms of the unknown room type `{}`", room_type.get_ref());
            file.report(found, room_type.span(), message, "add it to `room_types` of this property");
            continue;
        };
        for room in rooms {
            check_code(file, &room, "room", found);
            let (span, room) = (room.span(), room.into_inner());
            if let Some(other) = made.rooms.insert(room.as_str().into(), known.clone()) {
                let message = format!("room `{room}` stands here twice, as {other} and as {known}");
                file.report(found, span, message, "a room is of one type: remove one of them");
            }
        }
    }
    if master.properties.insert(id.as_str().into(), made).is_some() {
        file.report(found, span, format!("property `{id}` stands here twice"), "remove one of them");
    }
}

fn rooms_per_night(file: &TextFile, capacity: Spanned<RawCapacity>, found: &mut Findings) -> Option<u32> {
    let span: Range<usize> = capacity.span();
    match capacity.into_inner() {
        RawCapacity::Word(word) if word == "unlimited" => None,
        RawCapacity::Rooms(rooms) if (0..=i64::from(i32::MAX)).contains(&rooms) => u32::try_from(rooms).ok(),
        RawCapacity::Rooms(rooms) => {
            file.report(found, span, format!("{rooms} is no number of rooms"), "0 to 2147483647, or \"unlimited\"");
            None
        }
        RawCapacity::Word(word) => {
            file.report(found, span, format!("`{word}` is no number of rooms"), "a number, or \"unlimited\"");
            None
        }
    }
}

fn check_code(file: &TextFile, code: &Spanned<String>, what: &str, found: &mut Findings) {
    if !names::is_code(code.get_ref()) {
        let message = format!("`{}` is no code of a {what}", code.get_ref());
        file.report(found, code.span(), message, "1 to 256 bytes, no control characters, no blanks around it");
    }
}

#[cfg(test)]
pub(super) fn parse_text(text: &str) -> Result<MasterData, ConfigErrors> {
    let file = TextFile { path: "properties.toml".into(), text: text.into() };
    let mut found = Findings::default();
    let master = parse(&file, &mut found);
    found.finish_with(Some(master))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_property_with_capacities_and_rooms() {
        let master = parse_text(
            r#"
            [[property]]
            id = "H1"
            name = "Harbour House"
            region = "north"
            time_zone = "Europe/Berlin"
            room_types = { DBL = 10, SGL = 0, DORM = "unlimited" }
            rooms = { DBL = ["101", "102"], SGL = ["201"] }
            "#,
        )
        .unwrap();
        assert_eq!(master.default_capacity("H1", "DBL"), Some(10));
        assert_eq!(master.default_capacity("H1", "SGL"), Some(0));
        assert_eq!(master.default_capacity("H1", "DORM"), None);
        assert_eq!(master.default_capacity("H2", "DBL"), None);
        assert_eq!(master.room_type_of("H1", "201").as_deref(), Some("SGL"));
        assert_eq!(master.room_type_of("H1", "999"), None);
        assert_eq!(master.property("H1").unwrap().region, "north");
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let text = "[[property]]\nid = \"H1\"\nroom_types = { DBL = -1 }\nrooms = { SGL = [\"1\"] }\n\
                    [[property]]\nid = \"H1\"\nroom_types = { DBL = 1 }\nrooms = { DBL = [\"1\", \"1\"] }\n\
                    [[property]]\nid = \"a/b\"\nroom_types = {}\n[[property]]\nid = 3\n[hotel]\n";
        let errors = parse_text(text).unwrap_err();
        let shown = errors.to_string();
        for part in [
            "properties.toml:3:22: -1 is no number of rooms",
            "properties.toml:4:11: rooms of the unknown room type `SGL`",
            "properties.toml:6:6: property `H1` stands here twice",
            "room `1` stands here twice, as DBL and as DBL",
            "`a/b` is no property id",
            "invalid type: integer `3`; expected a string",
            "unknown table `hotel`",
        ] {
            assert!(shown.contains(part), "{part}\n--\n{shown}");
        }
    }
}
