//! A row through the mapping: columns that are there, not told, or nothing.
//!
//! Does not know what the columns are for.

use concord_plugin::{Day, Money, Rejection, number};

use crate::row::{Cell, Row};
use crate::settings::{Date, Given, Number, Settings, Table};

/// A row, and the one behind it: what the first one does not tell, because it did not change, the other one may know.
#[derive(Clone, Copy)]
pub struct View<'r, 'j> {
    pub row: &'r Row<'j>,
    pub behind: Option<&'r Row<'j>>,
    pub settings: &'r Settings,
}

impl<'j> View<'_, 'j> {
    /// The value of a column; `None` where it is not told.
    pub fn cell(&self, column: &str) -> Result<Option<Cell<'j>>, Rejection> {
        let cell = self.row.needs(column)?;
        if !cell.is_unavailable() {
            return Ok(Some(cell));
        }
        let behind = self.behind.and_then(|row| row.get(column));
        Ok(behind.filter(|cell| !cell.is_unavailable() && !cell.at.is_null()))
    }

    /// A column that says where the row belongs.
    fn placing(&self, column: &str) -> Result<Cell<'j>, Rejection> {
        let cell = self.cell(column)?;
        cell.ok_or_else(|| {
            self.row.at.reject(format_args!("the column {column} says where the row belongs, and is not told"))
        })
    }

    /// A code that says where the row belongs.
    pub fn code(&self, given: &Given) -> Result<String, Rejection> {
        match given {
            Given::Value(value) => Ok(value.clone()),
            Given::Column(column) => {
                let cell = self.placing(column)?;
                cell.text()?.ok_or_else(|| cell.at.is_not("a code"))
            }
        }
    }

    /// A date that says where the row belongs.
    pub fn day(&self, date: &Date) -> Result<Day, Rejection> {
        let cell = self.placing(&date.column)?;
        let day = cell.day(date, self.settings.zone.as_ref())?;
        day.ok_or_else(|| cell.at.is_not("a date (a zero date names no night)"))
    }

    /// An amount: `None` where it is not told, `Some(None)` where it is NULL.
    pub fn money(&self, spec: &Number, currency: &Given) -> Result<Option<Option<Money>>, Rejection> {
        let Some(cell) = self.cell(&spec.column)? else { return Ok(None) };
        let Some(amount) = cell.decimal(spec)? else { return Ok(Some(None)) };
        let currency = self.code(currency)?;
        let money = number::money(amount, &currency);
        money.map(|money| Some(Some(money))).ok_or_else(|| {
            cell.at.reject(format_args!("the currency {currency:?} beside it is none (ISO 4217, three capitals)"))
        })
    }

    /// The hotel.
    pub fn property(&self, table: &Table) -> Result<String, Rejection> {
        self.code(&table.property)
    }
}
