//! The source's settings: what OpenTravel leaves to those who use it.
//!
//! Strict: unknown keys are refused. Does not know the messages.

use std::collections::BTreeMap;

use concord_plugin::json::At;
use concord_plugin::{Rejection, time};

/// Inventory fields that messages may set: what a message calls it, and whether the pipeline has it without a
/// declaration. A declared one is only set where the setting `fields` names it (`price` under that very name by default).
pub const FIELDS: [(&str, bool); 8] = [
    ("availability", true),
    ("capacity", true),
    ("closed", true),
    ("price", false),
    ("min_stay", false),
    ("max_stay", false),
    ("closed_to_arrival", false),
    ("closed_to_departure", false),
];

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hotel of messages that name none.
    pub property: Option<String>,
    /// Seconds east of UTC of instants that give no offset.
    pub offset: i32,
    /// The currency of amounts that name none.
    pub currency: Option<String>,
    /// Who issues the source's reservation numbers.
    pub issuer: Option<String>,
    /// Other spellings of issuers, and the issuers of identifier types.
    pub issuers: BTreeMap<String, String>,
    /// Whether prices are those before tax.
    pub before_tax: bool,
    /// The rate plan whose prices and restrictions count; `*` takes every one.
    pub rate_plan: Option<String>,
    /// The number of guests whose price is the price.
    pub guests: u32,
    /// The source's room types, for messages that close the house without naming them.
    pub room_types: Vec<String>,
    /// Whether the code of a single room (InvCode beside InvTypeCode) is taken for a room type of its own.
    pub room_is_type: bool,
    /// The names under which the pipeline declares fields, in the order of the crate's table of fields.
    pub fields: [Option<String>; FIELDS.len()],
}

/// Reads the table.
pub fn read(table: At<'_>) -> Result<Settings, Rejection> {
    let [property, offset, currency, issuer, issuers, tax, plan, guests, types, rooms, fields] =
        table.object()?.only(&[
            "property",
            "utc_offset",
            "currency",
            "issuer",
            "issuers",
            "tax",
            "rate_plan",
            "guests",
            "room_types",
            "rooms",
            "fields",
        ])?;
    let code = |at: Option<At<'_>>| at.map(At::code).transpose().map(|code| code.map(str::to_owned));
    Ok(Settings {
        property: code(property)?,
        offset: offset.map(utc_offset).transpose()?.unwrap_or(0),
        currency: code(currency)?,
        issuer: code(issuer)?,
        issuers: issuers.map(names).transpose()?.unwrap_or_default(),
        before_tax: tax.map(|at| either(at, "after", "before")).transpose()?.unwrap_or(false),
        rate_plan: code(plan)?,
        guests: guests.map(At::count).transpose()?.unwrap_or(2),
        room_types: types.map(codes).transpose()?.unwrap_or_default(),
        room_is_type: rooms.map(|at| either(at, "sum", "own-type")).transpose()?.unwrap_or(false),
        fields: declared(fields)?,
    })
}

fn utc_offset(at: At<'_>) -> Result<i32, Rejection> {
    time::offset(at.text()?).ok_or_else(|| at.is_not("an offset such as +01:00"))
}

/// Whether it is the second word.
fn either(at: At<'_>, first: &str, second: &str) -> Result<bool, Rejection> {
    match at.text()? {
        text if text == first => Ok(false),
        text if text == second => Ok(true),
        _ => Err(at.is_not(format_args!("{first:?} or {second:?}"))),
    }
}

fn codes(at: At<'_>) -> Result<Vec<String>, Rejection> {
    at.list()?.map(|element| element.code().map(str::to_owned)).collect()
}

fn names(at: At<'_>) -> Result<BTreeMap<String, String>, Rejection> {
    at.object()?.entries().map(|(name, at)| Ok((name.to_owned(), at.code()?.to_owned()))).collect()
}

fn declared(table: Option<At<'_>>) -> Result<[Option<String>; FIELDS.len()], Rejection> {
    let mut fields = FIELDS.map(|(name, always)| (always || name == "price").then(|| name.to_owned()));
    let Some(table) = table else { return Ok(fields) };
    for (name, at) in table.object()?.entries() {
        let Some(place) = FIELDS.iter().position(|(known, always)| *known == name && !always) else {
            let known: Vec<&str> = FIELDS.iter().filter(|(_, always)| !always).map(|(name, _)| *name).collect();
            return Err(at.reject(format_args!("unknown field {name:?} (known here: {})", known.join(", "))));
        };
        // TOML has no null: an empty name is none.
        fields[place] = if at.text()?.is_empty() { None } else { Some(at.code()?.to_owned()) };
    }
    Ok(fields)
}
