//! How one source's codes are translated into Concord's own.
//!
//! Knows the tables and what an unknown code means. Does not know where codes occur in a record.
//!
//! ```toml
//! [properties]                      # the source's code = Concord's id
//! "HOTEL-7" = "H1"
//!
//! [room_types]                      # holds for every property
//! DZ = "DBL"
//!
//! [property."H1".room_types]        # goes before the table above, in this property (named by Concord's id)
//! DZM = "DBL"
//!
//! [rooms]                           # optional; [property."H1".rooms] likewise
//! "0101" = "101"
//! ```
//!
//! A code that its table does not know is *unmapped*: the record becomes a dead letter that can be retried. Each of
//! `properties`, `room_types` and `rooms` may be the word `"identity"` instead: codes are taken as they are. Rooms
//! alone may be left out, which also means identity: most systems share the numbers on the doors. Once there is a table of
//! rooms that covers a property, general or its own, a room code it does not know is unmapped, never a guess.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use toml::Spanned;
use toml::de::DeValue;

use super::diagnostic::{ConfigErrors, Findings, TextFile};
use super::master::MasterData;
use super::names;

/// Source code to Concord's code.
pub type Table = BTreeMap<Arc<str>, Arc<str>>;

/// A source's codes of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codes {
    /// Each code stands for itself.
    Identity,
    Table(Table),
}

/// What holds in one property only.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Own {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_types: Option<Table>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Table>,
}

/// One source's codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mapping {
    pub properties: Codes,
    pub room_types: Codes,
    pub rooms: Codes,
    /// By Concord's property id.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub property: BTreeMap<Arc<str>, Own>,
}

impl Mapping {
    /// The mapping of a source that speaks Concord's own codes.
    pub fn identity() -> Mapping {
        let same = Codes::Identity;
        Mapping { properties: same.clone(), room_types: same.clone(), rooms: same, property: BTreeMap::new() }
    }

    /// Reads and checks a file; with `master`, every code it translates to has to be known there.
    pub fn read(path: &Path, master: &MasterData) -> Result<Mapping, ConfigErrors> {
        let mut found = Findings::default();
        let expected = "a mapping of the source's codes: tables [properties] and [room_types] \
                        (or `identity = true` instead of `mapping` in the pipeline file)";
        let mapping = TextFile::read(path, expected, &mut found).map(|file| parse(&file, master, &mut found));
        found.finish_with(mapping)
    }

    /// Concord's id of a property; `None` is unmapped.
    pub fn property(&self, code: &str) -> Option<Arc<str>> {
        match &self.properties {
            Codes::Identity => names::is_property(code).then(|| code.into()),
            Codes::Table(table) => table.get(code).cloned(),
        }
    }

    /// Concord's room type; `property` is Concord's id. `None` is unmapped.
    pub fn room_type(&self, property: &str, code: &str) -> Option<Arc<str>> {
        let own = self.property.get(property).and_then(|own| own.room_types.as_ref());
        look_up(own, &self.room_types, code)
    }

    /// Concord's room; `property` is Concord's id. `None` is unmapped. The empty code (no room assigned) stands for
    /// itself.
    pub fn room(&self, property: &str, code: &str) -> Option<Arc<str>> {
        if code.is_empty() {
            return Some("".into());
        }
        let own = self.property.get(property).and_then(|own| own.rooms.as_ref());
        look_up(own, &self.rooms, code)
    }

    /// Where several codes of the source mean one thing of Concord's, so that their inventory claims could
    /// contradict each other. Harmless for bookings.
    pub fn inventory_collisions(&self) -> Vec<Collision> {
        let mut all = Vec::new();
        if let Codes::Table(table) = &self.properties {
            collide(table.iter(), None, Kind::Property, &mut all);
        }
        let general = if let Codes::Table(table) = &self.room_types { Some(table) } else { None };
        if let Some(table) = general {
            collide(table.iter(), None, Kind::RoomType, &mut all);
        }
        let everywhere = all.clone();
        for (property, own) in &self.property {
            let Some(own) = &own.room_types else { continue };
            let rest = general.into_iter().flatten().filter(|(code, _)| !own.contains_key(*code));
            let mut here = Vec::new();
            collide(own.iter().chain(rest), Some(property), Kind::RoomType, &mut here);
            all.extend(
                here.into_iter().filter(|c| !everywhere.iter().any(|e| e.target == c.target && e.codes == c.codes)),
            );
        }
        all
    }
}

fn look_up(own: Option<&Table>, general: &Codes, code: &str) -> Option<Arc<str>> {
    match (own.and_then(|table| table.get(code)), general) {
        (Some(name), _) => Some(name.clone()),
        (None, Codes::Table(table)) => table.get(code).cloned(),
        // A table of the property's own closes it: what it does not know is not guessed.
        (None, Codes::Identity) => (own.is_none() && names::is_code(code)).then(|| code.into()),
    }
}

/// What several codes are mapped to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Property,
    RoomType,
}

/// Several codes of one source that mean one thing of Concord's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collision {
    pub kind: Kind,
    /// The property it is limited to; `None` is every one.
    pub property: Option<Arc<str>>,
    pub target: Arc<str>,
    /// In byte order, at least two.
    pub codes: Vec<Arc<str>>,
}

impl fmt::Display for Collision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes: Vec<_> = self.codes.iter().map(|code| format!("`{code}`")).collect();
        let kind = if self.kind == Kind::Property { "property" } else { "room type" };
        write!(f, "{} all mean {kind} {}", codes.join(", "), self.target)?;
        if let Some(property) = &self.property {
            write!(f, " in {property}")?;
        }
        Ok(())
    }
}

fn collide<'a>(
    table: impl Iterator<Item = (&'a Arc<str>, &'a Arc<str>)>,
    property: Option<&Arc<str>>,
    kind: Kind,
    into: &mut Vec<Collision>,
) {
    let mut by_target: BTreeMap<&Arc<str>, Vec<Arc<str>>> = BTreeMap::new();
    for (code, target) in table {
        by_target.entry(target).or_default().push(code.clone());
    }
    for (target, mut codes) in by_target.into_iter().filter(|(_, codes)| codes.len() > 1) {
        codes.sort();
        into.push(Collision { kind, property: property.cloned(), target: target.clone(), codes });
    }
}

type RawTable = BTreeMap<Spanned<String>, Spanned<String>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawOwn {
    room_types: Option<RawTable>,
    rooms: Option<RawTable>,
}

/// Reads a mapping file against the master data it has to fit.
struct Reader<'a> {
    file: &'a TextFile,
    master: &'a MasterData,
    found: &'a mut Findings,
}

fn parse(file: &TextFile, master: &MasterData, found: &mut Findings) -> Mapping {
    let entries = file.entries(found);
    Reader { file, master, found }.mapping(entries)
}

impl Reader<'_> {
    fn mapping(mut self, entries: Vec<(Spanned<String>, Spanned<DeValue<'_>>)>) -> Mapping {
        let (mut properties, mut room_types, mut rooms) = (None, None, None);
        let mut property = BTreeMap::new();
        for (key, value) in entries {
            match key.get_ref().as_str() {
                "properties" => properties = self.codes(value, Self::check_property),
                "room_types" => room_types = self.codes(value, |s, target| s.check_room_type(None, target)),
                "rooms" => rooms = self.codes(value, |s, target| s.check_room(None, target)),
                "property" => property = self.own(value),
                other => self.file.report(
                    self.found,
                    key.span(),
                    format!("unknown table `{other}`"),
                    "a mapping has [properties], [room_types], [rooms] and [property.\"ID\".room_types]",
                ),
            }
        }
        let own_types = property.values().any(|own: &Own| own.room_types.is_some());
        if self.found.is_empty() {
            self.require(properties.is_some(), "[properties]", "\"HOTEL-7\" = \"H1\"");
            self.require(room_types.is_some() || own_types, "[room_types]", "\"DZ\" = \"DBL\"");
        }
        Mapping {
            properties: properties.unwrap_or(Codes::Table(Table::new())),
            // Only properties with a table of their own: elsewhere every room type is unmapped.
            room_types: room_types.unwrap_or(Codes::Table(Table::new())),
            rooms: rooms.unwrap_or(Codes::Identity),
            property,
        }
    }

    fn require(&mut self, there: bool, table: &str, example: &str) {
        if !there {
            let name = table.trim_matches(['[', ']']);
            let remedy = format!("add it with lines such as {example}, or write {name} = \"identity\"");
            self.found.about(&self.file.path, format!("the table {table} is missing"), remedy);
        }
    }

    fn codes(&mut self, value: Spanned<DeValue<'_>>, check: fn(&mut Self, &Spanned<String>)) -> Option<Codes> {
        if let Some(word) = value.get_ref().as_str() {
            if word != "identity" {
                let message = format!("`{word}` is no mapping");
                self.file.report(self.found, value.span(), message, "a table of codes, or \"identity\"");
            }
            return Some(Codes::Identity);
        }
        let raw = self.file.section::<RawTable>(value, self.found)?;
        Some(Codes::Table(self.table(raw, check)))
    }

    fn own(&mut self, value: Spanned<DeValue<'_>>) -> BTreeMap<Arc<str>, Own> {
        let raw = self.file.section::<BTreeMap<Spanned<String>, RawOwn>>(value, self.found).unwrap_or_default();
        let mut all = BTreeMap::new();
        for (id, raw) in raw {
            self.check_property(&id);
            let id: Arc<str> = id.into_inner().into();
            let room_types = raw.room_types.map(|raw| self.table(raw, |s, t| s.check_room_type(Some(&id), t)));
            let rooms = raw.rooms.map(|raw| self.table(raw, |s, t| s.check_room(Some(&id), t)));
            all.insert(id, Own { room_types, rooms });
        }
        all
    }

    fn table(&mut self, raw: RawTable, check: impl Fn(&mut Self, &Spanned<String>)) -> Table {
        let mut table = Table::new();
        for (code, target) in raw {
            if code.get_ref().is_empty() {
                self.file.report(self.found, code.span(), "an empty code", "write the source's code");
            }
            check(self, &target);
            table.insert(code.into_inner().into(), target.into_inner().into());
        }
        table
    }

    fn check_property(&mut self, id: &Spanned<String>) {
        if !names::is_property(id.get_ref()) {
            let message = format!("`{}` is no property id", id.get_ref());
            self.file.report(self.found, id.span(), message, "1 to 256 bytes, no `/`, no blanks around it");
        } else if !self.master.properties.is_empty() && self.master.property(id.get_ref()).is_none() {
            let message = format!("the master data knows no property `{}`", id.get_ref());
            self.file.report(self.found, id.span(), message, "correct the id, or add the property to the master data");
        }
    }

    fn check_room_type(&mut self, property: Option<&str>, room_type: &Spanned<String>) {
        self.check_code(room_type, "room type");
        let name = room_type.get_ref().as_str();
        let mut scope =
            self.master.properties.iter().filter(|(id, _)| property.is_none_or(|p| p == id.as_ref())).peekable();
        if scope.peek().is_some() && !scope.any(|(_, p)| p.room_types.contains_key(name)) {
            let message = format!("the master data knows no room type `{name}`{}", within(property));
            let remedy = "correct the name, or add it to `room_types` of the property in the master data";
            self.file.report(self.found, room_type.span(), message, remedy);
        }
    }

    /// Only where the master data lists rooms at all.
    fn check_room(&mut self, property: Option<&str>, room: &Spanned<String>) {
        self.check_code(room, "room");
        let name = room.get_ref().as_str();
        let listed = |(id, p): &(&Arc<str>, &super::master::Property)| {
            property.is_none_or(|property| property == id.as_ref()) && !p.rooms.is_empty()
        };
        let mut scope = self.master.properties.iter().filter(listed).peekable();
        if scope.peek().is_some() && !scope.any(|(_, p)| p.rooms.contains_key(name)) {
            let message = format!("the master data knows no room `{name}`{}", within(property));
            self.file.report(self.found, room.span(), message, "correct it, or add it to `rooms` in the master data");
        }
    }

    fn check_code(&mut self, code: &Spanned<String>, what: &str) {
        if !names::is_code(code.get_ref()) {
            let message = format!("`{}` is no code of a {what}", code.get_ref());
            self.file.report(self.found, code.span(), message, "1 to 256 bytes, no blanks around it");
        }
    }
}

fn within(property: Option<&str>) -> String {
    property.map(|property| format!(" in {property}")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASTER: &str = "[[property]]\nid = \"H1\"\nroom_types = { DBL = 1, SGL = 1 }\nrooms = { DBL = [\"101\"] }\n\
                          [[property]]\nid = \"H2\"\nroom_types = { STE = 1 }\n";

    fn parse_text(text: &str, master: &MasterData) -> Result<Mapping, String> {
        let file = TextFile { path: "m.toml".into(), text: text.into() };
        let mut found = Findings::default();
        let mapping = parse(&file, master, &mut found);
        found.finish_with(Some(mapping)).map_err(|errors| errors.to_string())
    }

    fn mapping(text: &str) -> Mapping {
        parse_text(text, &MasterData::default()).unwrap()
    }

    #[test]
    fn own_tables_go_before_the_general_one() {
        let m = mapping(
            "[properties]\nP = \"H1\"\n[room_types]\nDZ = \"DBL\"\nEZ = \"SGL\"\n[property.H1.room_types]\nDZ = \"TWN\"\n",
        );
        assert_eq!(m.property("P").as_deref(), Some("H1"));
        assert_eq!(m.property("H1"), None);
        assert_eq!(m.room_type("H1", "DZ").as_deref(), Some("TWN"));
        assert_eq!(m.room_type("H2", "DZ").as_deref(), Some("DBL"));
        assert_eq!(m.room_type("H1", "EZ").as_deref(), Some("SGL"));
        assert_eq!(m.room_type("H1", "XX"), None);
    }

    #[test]
    fn rooms_are_taken_as_they_are_until_there_is_a_table() {
        let head = "properties = \"identity\"\nroom_types = \"identity\"\n";
        let none = mapping(head);
        assert_eq!(none.room("H1", "101").as_deref(), Some("101"));
        let general = mapping(&format!("{head}[rooms]\n0101 = \"101\"\n"));
        assert_eq!(general.room("H1", "0101").as_deref(), Some("101"));
        assert_eq!(general.room("H1", "102"), None);
        assert_eq!(general.room("H1", "").as_deref(), Some(""));
        let own = mapping(&format!("{head}[property.H1.rooms]\n0101 = \"101\"\n"));
        assert_eq!(own.room("H1", "102"), None);
        assert_eq!(own.room("H2", "102").as_deref(), Some("102"));
    }

    #[test]
    fn identity_takes_codes_that_are_codes() {
        let m = Mapping::identity();
        assert_eq!(m.property("H1").as_deref(), Some("H1"));
        assert_eq!(m.property("H/1"), None);
        assert_eq!(m.room_type("H1", "DBL").as_deref(), Some("DBL"));
        assert_eq!(m.room_type("H1", ""), None);
        assert!(m.inventory_collisions().is_empty());
    }

    #[test]
    fn collisions_are_named_once_and_where_they_hold() {
        let m = mapping(
            "[properties]\nP = \"H1\"\nQ = \"H2\"\nR = \"H2\"\n[room_types]\nA = \"DBL\"\nB = \"DBL\"\nC = \"SGL\"\n\
             [property.H1.room_types]\nB = \"SGL\"\n[property.H2.room_types]\nZ = \"STE\"\n",
        );
        let shown: Vec<_> = m.inventory_collisions().iter().map(Collision::to_string).collect();
        assert_eq!(
            shown,
            [
                "`Q`, `R` all mean property H2",
                "`A`, `B` all mean room type DBL",
                "`B`, `C` all mean room type SGL in H1",
            ]
        );
    }

    #[test]
    fn targets_have_to_be_in_the_master_data() {
        let master = super::super::master::parse_text(MASTER).unwrap();
        let text = "[properties]\nP = \"H1\"\nQ = \"H9\"\n[room_types]\nA = \"DBL\"\nB = \"TWN\"\n[rooms]\n1 = \"101\"\n2 = \"102\"\n\
                    [property.H2.room_types]\nC = \"DBL\"\n[property.H2.rooms]\n3 = \"7\"\n";
        let shown = parse_text(text, &master).unwrap_err();
        for part in [
            "m.toml:3:5: the master data knows no property `H9`",
            "m.toml:6:5: the master data knows no room type `TWN`;",
            "m.toml:9:5: the master data knows no room `102`;",
            "m.toml:11:5: the master data knows no room type `DBL` in H2",
        ] {
            assert!(shown.contains(part), "{part}\n--\n{shown}");
        }
        // H2 lists no rooms: nothing to check against.
        assert_eq!(shown.lines().count(), 4, "{shown}");
    }

    #[test]
    fn a_forgotten_table_is_missed() {
        let none = MasterData::default();
        assert!(parse_text("[properties]\nP = \"H1\"\n", &none).unwrap_err().contains("[room_types] is missing"));
        assert!(parse_text("[room_types]\nA = \"B\"\n", &none).unwrap_err().contains("[properties] is missing"));
        assert!(parse_text("properties = \"same\"\n", &none).unwrap_err().contains("`same` is no mapping"));
        assert!(parse_text("[rooms]\n1 = 1\n", &none).unwrap_err().contains("expected a string"));
        assert!(parse_text("[romms]\n", &none).unwrap_err().contains("unknown table `romms`"));
    }

    #[test]
    fn it_travels_as_json() {
        let m =
            mapping("properties = \"identity\"\n[room_types]\nB = \"b\"\nA = \"a\"\n[property.H1.rooms]\n1 = \"2\"\n");
        let json = serde_json::to_string(&m).unwrap();
        assert_eq!(
            json,
            r#"{"properties":"identity","room_types":{"table":{"A":"a","B":"b"}},"rooms":"identity","property":{"H1":{"rooms":{"1":"2"}}}}"#
        );
        assert_eq!(serde_json::from_str::<Mapping>(&json).unwrap(), m);
    }
}
