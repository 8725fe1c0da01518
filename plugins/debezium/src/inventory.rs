//! Rows about room nights: a period or a single night.
//!
//! A claim belongs to the source, not to a row: two rows that speak about one night of one room type overwrite each other.

use concord_plugin::{Action, Days, Field, Rejection, RoomNights, Scope, Value, stay, time};

use crate::settings::{End, Inventory, Table, Value as Spec};
use crate::view::View;

/// What a row speaks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub property: String,
    room_type: String,
    first: i32,
    end: i32,
}

impl Place {
    pub fn of(view: View<'_, '_>, table: &Table, row: &Inventory) -> Result<Place, Rejection> {
        let first = view.day(&row.first)?;
        let days = match &row.end {
            End::OneNight => stay::through(first, first),
            End::Last(last) => stay::through(first, view.day(last)?),
            End::Exclusive(end) => stay::until(first, view.day(end)?),
        };
        let days = days.map_err(|why| view.row.at.reject(why))?;
        let room_type = view.code(&row.room_type)?;
        Ok(Place { property: view.property(table)?, room_type, first: days.first, end: days.end })
    }

    /// First night.
    pub fn first(&self) -> i32 {
        self.first
    }

    /// What it spoke about and `now` does not any more.
    fn without(&self, now: Option<&Place>) -> Vec<Days> {
        let Some(now) = now.filter(|now| now.room_type == self.room_type) else {
            return vec![Days { first: self.first, end: self.end }];
        };
        let before = Days { first: self.first, end: self.end.min(now.first) };
        let after = Days { first: self.first.max(now.end), end: self.end };
        [before, after].into_iter().filter(|days| days.first < days.end).collect()
    }
}

/// The nights that a row left: their claims are taken back.
pub fn leave(old: &Place, now: Option<&Place>, row: &Inventory) -> Vec<Action> {
    let scope = |nights| Scope { room_types: vec![old.room_type.clone()], nights, fields: names(row) };
    old.without(now).into_iter().map(|nights| Action::Withdraw(scope(nights))).collect()
}

/// What the row says now.
pub fn set(place: &Place, view: View<'_, '_>, row: &Inventory) -> Result<Action, Rejection> {
    let mut fields = Vec::new();
    for field in &row.fields {
        if let Some(value) = value(view, &field.value)? {
            fields.push(Field { name: field.name.clone(), value });
        }
    }
    let nights = Days { first: place.first, end: place.end };
    Ok(Action::InventorySet(RoomNights { room_type: place.room_type.clone(), nights, fields }))
}

/// All that the table ever said about a hotel.
pub fn nothing(row: &Inventory) -> Action {
    let nights = Days { first: time::FIRST_DAY, end: time::LAST_DAY };
    Action::Withdraw(Scope { room_types: vec![], nights, fields: names(row) })
}

fn names(row: &Inventory) -> Vec<String> {
    row.fields.iter().map(|field| field.name.clone()).collect()
}

/// `None` where the column is not told, `Some(None)` where it is NULL.
fn value(view: View<'_, '_>, spec: &Spec) -> Result<Option<Option<Value>>, Rejection> {
    let column = match spec {
        Spec::Integer(number) | Spec::Decimal(number) => &number.column,
        Spec::Text(column) => column,
        Spec::Boolean(words) => &words.column,
        Spec::Money(number, currency) => {
            return Ok(view.money(number, currency)?.map(|money| money.map(Value::Money)));
        }
    };
    let Some(cell) = view.cell(column)? else { return Ok(None) };
    Ok(Some(match spec {
        Spec::Integer(number) => cell.integer(number)?.map(Value::Integer),
        Spec::Decimal(number) => cell.decimal(number)?.map(Value::Decimal),
        Spec::Text(_) => cell.text()?.map(Value::Text),
        Spec::Boolean(words) => cell.word(words, flag)?.map(Value::Boolean),
        Spec::Money(..) => None,
    }))
}

/// TINYINT(1), BIT(1) and BOOLEAN; PostgreSQL's text of it is a letter.
fn flag(at: concord_plugin::json::At<'_>) -> Result<bool, Rejection> {
    match at.text() {
        Ok("t") => Ok(true),
        Ok("f") => Ok(false),
        _ => at.flag(),
    }
}
