//! The mapping: which table and which columns are which field.
//!
//! Strict: unknown keys are refused. Knows what a mapping can say; does not know rows.

use concord_plugin::json::{At, Object};
use concord_plugin::zone::Zone;
use concord_plugin::{Rejection, Status};

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The hotel of tables that have no column for it.
    pub property: Option<String>,
    /// Where the hotels are, for columns that hold instants.
    pub zone: Option<Zone>,
    /// The servers whose GTIDs come, in the order in which they led.
    pub servers: Vec<String>,
    /// The mapping. Several entries may speak about one table.
    pub tables: Vec<Table>,
}

/// What the rows of one table say.
#[derive(Clone, Debug)]
pub struct Table {
    /// `table`, `schema.table`, `database.table` or `database.schema.table`.
    pub name: String,
    pub property: Given,
    /// Whether a row may come to speak about other nights, another room type or another booking. Where it never does, updates
    /// need not tell what was before.
    pub moves: bool,
    pub row: Row,
}

#[derive(Clone, Debug)]
pub enum Row {
    Inventory(Inventory),
    Booking(Box<Booking>),
}

/// A row about room nights.
#[derive(Clone, Debug)]
pub struct Inventory {
    pub room_type: Given,
    pub first: Date,
    pub end: End,
    pub fields: Vec<Field>,
}

/// Where the nights of a row end.
#[derive(Clone, Debug)]
pub enum End {
    /// The row is one night.
    OneNight,
    /// The last night.
    Last(Date),
    /// The day after it.
    Exclusive(Date),
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub value: Value,
}

/// How a column becomes a field's value.
#[derive(Clone, Debug)]
pub enum Value {
    Integer(Number),
    Decimal(Number),
    Money(Number, Given),
    Text(String),
    Boolean(Words<bool>),
}

/// A row about one room of a booking.
#[derive(Clone, Debug)]
pub struct Booking {
    pub reservation: Given,
    pub line: Given,
    pub status: Option<Words<Status>>,
    /// A column that holds something once the booking is cancelled, such as the time of the cancellation.
    pub cancelled: Option<String>,
    pub arrival: Date,
    pub departure: Date,
    pub room_type: Given,
    pub room: Option<String>,
    pub money: Option<(Number, Given)>,
    /// Columns whose sum are the persons.
    pub guests: Vec<String>,
    pub references: Vec<Reference>,
}

#[derive(Clone, Debug)]
pub struct Reference {
    pub kind: String,
    pub issuer: Given,
    pub column: String,
}

/// A column, or one value for the whole table.
#[derive(Clone, Debug)]
pub enum Given {
    Column(String),
    Value(String),
}

/// A column with a date or an instant.
#[derive(Clone, Debug)]
pub struct Date {
    pub column: String,
    /// Of this column alone: it holds instants.
    pub zone: Option<Zone>,
}

/// A column with a number.
#[derive(Clone, Debug)]
pub struct Number {
    pub column: String,
    /// Decimals that the column leaves to its reader: 2 for cents.
    pub scale: u8,
    /// The column comes as base64 without a schema that says so: this is its scale.
    pub bytes_scale: Option<u8>,
}

/// A column whose words mean something.
#[derive(Clone, Debug)]
pub struct Words<T> {
    pub column: String,
    pub words: Vec<(String, T)>,
}

/// Reads the table.
pub fn read(table: At<'_>) -> Result<Settings, Rejection> {
    let [property, zone, servers, tables] =
        table.object()?.only(&["property", "time_zone", "gtid_servers", "tables"])?;
    let property = property.map(At::code).transpose()?.map(str::to_owned);
    let tables = tables.ok_or_else(|| table.reject("\"tables\" is missing: it says which columns are which field"))?;
    let tables: Vec<Table> = tables.list()?.map(|at| mapping(at, property.as_ref())).collect::<Result<_, _>>()?;
    let servers = servers.map(|at| at.list()?.map(|server| server.code().map(str::to_owned)).collect());
    Ok(Settings {
        property,
        zone: zone.map(Zone::read).transpose()?,
        servers: servers.transpose()?.unwrap_or_default(),
        tables,
    })
}

const BOOKING: [&str; 11] = [
    "reservation",
    "line",
    "status",
    "cancelled",
    "arrival",
    "departure",
    "room",
    "money",
    "guests",
    "references",
    "room_type",
];

fn mapping(at: At<'_>, default: Option<&String>) -> Result<Table, Rejection> {
    let keys = at.object()?;
    let kind = keys.required("row")?;
    let common = ["table", "row", "property", "moves"];
    let row = match kind.text()? {
        "period" => inventory(keys, &[&common[..], &["room_type", "first", "last", "end", "fields"]].concat())?,
        "night" => inventory(keys, &[&common[..], &["room_type", "date", "fields"]].concat())?,
        "booking" => booking(keys, &[&common[..], &BOOKING].concat())?,
        _ => return Err(kind.is_not("\"period\", \"night\" or \"booking\"")),
    };
    let property = match (keys.get("property"), default) {
        (Some(at), _) => given(at)?,
        (None, Some(default)) => Given::Value(default.clone()),
        (None, None) => return Err(at.reject("\"property\" is missing: a column, or { value = \"H1\" }")),
    };
    let moves = keys.optional("moves", At::boolean)?.unwrap_or(true);
    Ok(Table { name: keys.required("table")?.code()?.to_owned(), property, moves, row })
}

fn known(keys: Object<'_>, known: &[&str]) -> Result<(), Rejection> {
    match keys.entries().find(|(key, _)| !known.contains(key)) {
        Some((key, at)) => Err(at.reject(format_args!("unknown key {key:?} (known here: {})", known.join(", ")))),
        None => Ok(()),
    }
}

fn inventory(keys: Object<'_>, names: &[&str]) -> Result<Row, Rejection> {
    known(keys, names)?;
    let (first, end) = match (keys.get("date"), keys.get("last"), keys.get("end")) {
        (Some(night), _, _) => (date(night)?, End::OneNight),
        (None, Some(last), None) => (date(keys.required("first")?)?, End::Last(date(last)?)),
        (None, None, Some(end)) => (date(keys.required("first")?)?, End::Exclusive(date(end)?)),
        _ if names.contains(&"date") => return Err(keys.at().reject("\"date\" is missing")),
        _ => return Err(keys.at().reject("either \"last\" (the last night) or \"end\" (the day after it) is needed")),
    };
    let fields = keys.required("fields")?.object()?;
    let field = |(name, at): (&str, At<'_>)| Ok(Field { name: name.to_owned(), value: value(name, at)? });
    let fields: Vec<Field> = fields.entries().map(field).collect::<Result<_, Rejection>>()?;
    Ok(Row::Inventory(Inventory { room_type: given(keys.required("room_type")?)?, first, end, fields }))
}

fn value(name: &str, at: At<'_>) -> Result<Value, Rejection> {
    let Ok(keys) = at.object() else {
        let column = at.code()?.to_owned();
        return Ok(match name {
            "closed" => Value::Boolean(Words { column, words: vec![] }),
            _ => Value::Integer(Number { column, scale: 0, bytes_scale: None }),
        });
    };
    let all = ["column", "type", "scale", "bytes_scale", "currency", "words"];
    known(keys, &all)?;
    let number = || number_of(keys);
    let kind = match (keys.get("type"), keys.get("currency"), keys.get("words"), name) {
        (Some(kind), ..) => kind.text()?,
        (None, Some(_), ..) => "money",
        (None, None, Some(_), _) | (.., "closed") => "boolean",
        _ => "integer",
    };
    Ok(match kind {
        "integer" => Value::Integer(number()?),
        "decimal" => Value::Decimal(number()?),
        "money" => Value::Money(number()?, currency(keys)?),
        "text" => Value::Text(keys.required("column")?.code()?.to_owned()),
        "boolean" => Value::Boolean(words(at, |at| at.boolean())?),
        _ => return Err(at.reject(format_args!("{kind:?} is not integer, decimal, money, text or boolean"))),
    })
}

fn booking(keys: Object<'_>, names: &[&str]) -> Result<Row, Rejection> {
    known(keys, names)?;
    let column = |name: &str| keys.optional(name, |at| at.code().map(str::to_owned));
    let guests = keys.optional("guests", |at| match at.text() {
        Ok(_) => Ok(vec![at.code()?.to_owned()]),
        Err(_) => at.list()?.map(|at| at.code().map(str::to_owned)).collect(),
    })?;
    let money = keys.optional("money", |at| {
        let keys = at.object()?;
        known(keys, &["column", "scale", "bytes_scale", "currency"])?;
        Ok((number_of(keys)?, currency(keys)?))
    })?;
    let references = keys.optional("references", |at| at.list()?.map(reference).collect())?;
    Ok(Row::Booking(Box::new(Booking {
        reservation: given(keys.required("reservation")?)?,
        line: keys.optional("line", given)?.unwrap_or(Given::Value("1".to_owned())),
        status: keys.optional("status", |at| words(at, status))?,
        cancelled: column("cancelled")?,
        arrival: date(keys.required("arrival")?)?,
        departure: date(keys.required("departure")?)?,
        room_type: given(keys.required("room_type")?)?,
        room: column("room")?,
        money,
        guests: guests.unwrap_or_default(),
        references: references.unwrap_or_default(),
    })))
}

fn reference(at: At<'_>) -> Result<Reference, Rejection> {
    let keys = at.object()?;
    let [kind, issuer, column] = keys.only(&["kind", "issuer", "column"])?;
    let kind = kind.map(At::code).transpose()?.unwrap_or(concord_plugin::stay::BOOKING).to_owned();
    let issuer = keys.needs("issuer", issuer)?;
    // A plain text is the issuer itself here: rarely is there a column for it.
    let issuer = match issuer.text() {
        Ok(_) => Given::Value(issuer.code()?.to_owned()),
        Err(_) => given(issuer)?,
    };
    Ok(Reference { kind, issuer, column: keys.needs("column", column)?.code()?.to_owned() })
}

/// A text names a column; `{ value = "..." }` is the same for every row.
fn given(at: At<'_>) -> Result<Given, Rejection> {
    if at.text().is_ok() {
        return Ok(Given::Column(at.code()?.to_owned()));
    }
    match at.object()?.only(&["column", "value"])? {
        [Some(column), None] => Ok(Given::Column(column.code()?.to_owned())),
        [None, Some(value)] => Ok(Given::Value(value.code()?.to_owned())),
        _ => Err(at.reject("either \"column\" or \"value\" is needed")),
    }
}

/// Here a plain text is the code itself.
fn currency(keys: Object<'_>) -> Result<Given, Rejection> {
    let at = keys.required("currency")?;
    match at.text() {
        Ok(_) => {
            let one = concord_plugin::Decimal { units: 1, scale: 0 };
            at.currency_of(one).map(|money| Given::Value(money.currency))
        }
        Err(_) => given(at),
    }
}

fn date(at: At<'_>) -> Result<Date, Rejection> {
    if at.text().is_ok() {
        return Ok(Date { column: at.code()?.to_owned(), zone: None });
    }
    let keys = at.object()?;
    let [column, zone] = keys.only(&["column", "time_zone"])?;
    Ok(Date { column: keys.needs("column", column)?.code()?.to_owned(), zone: zone.map(Zone::read).transpose()? })
}

fn number_of(keys: Object<'_>) -> Result<Number, Rejection> {
    let scale = |at: At<'_>| match at.count()? {
        scale @ 0..=18 => Ok(u8::try_from(scale).unwrap_or(0)),
        _ => Err(at.is_not("a scale from 0 to 18")),
    };
    Ok(Number {
        column: keys.required("column")?.code()?.to_owned(),
        scale: keys.optional("scale", scale)?.unwrap_or(0),
        bytes_scale: keys.optional("bytes_scale", scale)?,
    })
}

fn words<'j, T>(at: At<'j>, read: impl Fn(At<'j>) -> Result<T, Rejection>) -> Result<Words<T>, Rejection> {
    if at.text().is_ok() {
        return Ok(Words { column: at.code()?.to_owned(), words: vec![] });
    }
    let keys = at.object()?;
    let words = keys.optional("words", |at| {
        at.object()?.entries().map(|(word, at)| Ok((word.to_owned(), read(at)?))).collect::<Result<Vec<_>, Rejection>>()
    })?;
    Ok(Words { column: keys.required("column")?.code()?.to_owned(), words: words.unwrap_or_default() })
}

/// The words of Concord itself.
pub const STATUSES: [(&str, Status); 6] = [
    ("tentative", Status::Tentative),
    ("confirmed", Status::Confirmed),
    ("checked-in", Status::CheckedIn),
    ("checked-out", Status::CheckedOut),
    ("cancelled", Status::Cancelled),
    ("no-show", Status::NoShow),
];

fn status(at: At<'_>) -> Result<Status, Rejection> {
    at.one_of(&STATUSES)
}

impl Table {
    /// Every column that the mapping names.
    pub fn columns(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        column_of(&mut names, &self.property);
        match &self.row {
            Row::Inventory(row) => {
                column_of(&mut names, &row.room_type);
                names.push(&row.first.column);
                match &row.end {
                    End::OneNight => {}
                    End::Last(date) | End::Exclusive(date) => names.push(&date.column),
                }
                for field in &row.fields {
                    match &field.value {
                        Value::Integer(number) | Value::Decimal(number) => names.push(&number.column),
                        Value::Money(number, currency) => {
                            names.push(&number.column);
                            column_of(&mut names, currency);
                        }
                        Value::Text(column) => names.push(column),
                        Value::Boolean(words) => names.push(&words.column),
                    }
                }
            }
            Row::Booking(row) => {
                [&row.reservation, &row.line, &row.room_type].into_iter().for_each(|g| column_of(&mut names, g));
                names.extend([&*row.arrival.column, &*row.departure.column]);
                names.extend(row.status.iter().map(|words| &*words.column));
                names.extend(row.cancelled.iter().chain(&row.room).chain(&row.guests).map(String::as_str));
                if let Some((number, currency)) = &row.money {
                    names.push(&number.column);
                    column_of(&mut names, currency);
                }
                for reference in &row.references {
                    names.push(&reference.column);
                    column_of(&mut names, &reference.issuer);
                }
            }
        }
        names
    }
}

fn column_of<'t>(names: &mut Vec<&'t str>, given: &'t Given) {
    if let Given::Column(column) = given {
        names.push(column);
    }
}
