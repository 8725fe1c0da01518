//! Purchases of Google Analytics 4 and orders of Segment: an order whose items are rooms.
//!
//! Neither knows hotels: dates, hotel and guests come as parameters of the website's own making, at the item or at the order. The
//! setting `keys` says how they are called; each key is looked for at the item first.
//!
//! | field | GA4 | Segment | `keys` |
//! |---|---|---|---|
//! | number | `transaction_id` | `order_id` | |
//! | hotel | `hotel_id`, `location_id` | the same | `property` |
//! | arrival, departure | `start_date`, `end_date` | the same, or `checkin_date`, `checkout_date` | `arrival`, `departure` |
//! | room type | `item_id` | `sku`, else `product_id` | `room_type` |
//! | guests | `number_of_passengers` | the same | `guests` |
//! | rooms, or nights | `quantity` (setting `quantity`) | the same | |
//! | money | `price` in `currency`; else the order's `value` (`total`), where it is one room | the same | |
//!
//! Shapes of a GA4 event: `name` and `params` (Measurement Protocol), `event` and `ecommerce` (data layer), `event_name`, `event_params`,
//! `ecommerce` and `items` with `item_params` (BigQuery export). Every line is its item's place; what is left out is cancelled.

use concord_plugin::json::messages::{self, Attributes};
use concord_plugin::json::{At, Value, same_word};
use concord_plugin::{Action, Change, Day, Days, Line, Money, Rejection, ReservationReplacement, Status, number, stay};

use crate::{Settings, when};

/// How the website's own parameters are called.
#[derive(Clone, Debug)]
pub struct Keys {
    property: Vec<String>,
    arrival: Vec<String>,
    departure: Vec<String>,
    room_type: Vec<String>,
    guests: Vec<String>,
}

impl Keys {
    /// Reads the table `keys` of the settings.
    pub fn read(table: Option<At<'_>>) -> Result<Keys, Rejection> {
        let own = |at: Option<At<'_>>, usual: &[&str]| -> Result<Vec<String>, Rejection> {
            let own = messages::code(at)?.map(|key| vec![key]);
            Ok(own.unwrap_or_else(|| usual.iter().map(|key| (*key).to_owned()).collect()))
        };
        let found = table.map(|at| at.object()?.only(&["property", "arrival", "departure", "room_type", "guests"]));
        let [property, arrival, departure, room_type, guests] = found.transpose()?.unwrap_or([None; 5]);
        Ok(Keys {
            property: own(property, &["hotel_id", "location_id"])?,
            arrival: own(arrival, &["start_date", "checkin_date"])?,
            departure: own(departure, &["end_date", "checkout_date"])?,
            room_type: own(room_type, &["item_id", "sku", "product_id"])?,
            guests: own(guests, &["number_of_passengers"])?,
        })
    }
}

/// What an item's quantity counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Equal rooms; the price is that of one.
    Rooms,
    /// Nights of one room; the price is that of a night.
    Nights,
}

/// Words of the setting `quantity`.
pub const QUANTITIES: [(&str, Quantity); 2] = [("rooms", Quantity::Rooms), ("nights", Quantity::Nights)];
/// Most equal rooms of an item.
const MOST_ROOMS: u32 = 500;

/// What an order is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Booked,
    Cancelled,
}

/// Names of events, and what they mean.
const EVENTS: [(&str, Kind); 6] = [
    ("purchase", Kind::Booked),
    ("refund", Kind::Cancelled),
    ("Order Completed", Kind::Booked),
    ("Order Updated", Kind::Booked),
    ("Order Cancelled", Kind::Cancelled),
    ("Order Refunded", Kind::Cancelled),
];

/// Whether it is a purchase or an order.
pub fn is(at: At<'_>) -> bool {
    kind(at).is_some()
}

fn kind(at: At<'_>) -> Option<Kind> {
    const SHAPES: [(&str, &str); 4] =
        [("name", "params"), ("event", "properties"), ("event", "ecommerce"), ("event_name", "event_params")];
    let name = SHAPES.iter().find_map(|(name, with)| at.find(name).filter(|_| at.find(with).is_some()))?;
    let name = name.text().ok()?;
    EVENTS.iter().find(|(known, _)| same_word(known, name)).map(|(_, kind)| *kind)
}

/// The places where an order's own parameters stand.
struct Order<'j> {
    part: At<'j>,
    places: Vec<At<'j>>,
}

impl<'j> Order<'j> {
    fn of(part: At<'j>) -> Order<'j> {
        let inner = ["params", "properties", "ecommerce"].iter().filter_map(|key| part.find(key));
        Order { part, places: inner.chain([part]).collect() }
    }

    fn find(&self, key: &str) -> Option<At<'j>> {
        self.places.iter().find_map(|place| parameter(*place, key))
    }

    fn number(&self) -> Result<&'j str, Rejection> {
        let found = ["transaction_id", "order_id"].iter().find_map(|key| self.find(key));
        found.ok_or_else(|| self.places[0].reject("transaction_id or order_id is missing"))?.id()
    }

    /// Its items that are rooms.
    fn items(&self, settings: &Settings) -> Vec<At<'j>> {
        let mut items: Vec<At<'j>> =
            self.places.iter().flat_map(|place| ["items", "products"].map(|key| place.all(key))).flatten().collect();
        if let Some(rooms) = &settings.room_category {
            let category = |item: &At<'j>| item.needs_one(&["item_category", "category"]).and_then(|at| at.text()).ok();
            items.retain(|item| category(item).is_some_and(|category| same_word(category, rooms)));
        }
        items
    }

    /// A parameter of the item, else of the order.
    fn own(&self, item: At<'j>, keys: &[String]) -> Result<At<'j>, Rejection> {
        let of_item = keys.iter().find_map(|key| parameter(item, key));
        let found = of_item.or_else(|| keys.iter().find_map(|key| self.find(key)));
        found.ok_or_else(|| item.reject(format_args!("{} is missing (setting \"keys\")", keys.join(" or "))))
    }
}

/// A parameter: a key, or an entry of a list of keys and values, as BigQuery has them.
fn parameter<'j>(at: At<'j>, key: &str) -> Option<At<'j>> {
    const VALUES: [&str; 4] = ["value.string_value", "value.int_value", "value.double_value", "value.float_value"];
    let listed = || {
        let lists = ["event_params", "item_params"].iter().flat_map(|list| at.all(list));
        let mut entries = lists.filter(|entry| entry.find("key").and_then(|name| name.text().ok()) == Some(key));
        entries.find_map(|entry| VALUES.iter().find_map(|value| entry.find(value)))
    };
    at.find(key).or_else(listed).filter(|at| at.value() != Value::Text("(not set)"))
}

/// The hotel.
pub fn property(part: At<'_>, attributes: Attributes<'_>, settings: &Settings) -> Result<String, Rejection> {
    let order = Order::of(part);
    let items = order.items(settings);
    let first = items.first().copied().unwrap_or(part);
    let keys = &settings.keys.property;
    let Ok(property) = order.own(first, keys) else {
        let key = keys.first().map_or("hotel_id", String::as_str);
        return messages::hotel(order.places[0], key, attributes, settings.property.as_ref());
    };
    let property = property.id()?;
    for item in &items {
        if order.own(*item, keys)?.id()? != property {
            return Err(
                item.reject("an order whose rooms are in several hotels cannot be told apart: send one for each")
            );
        }
    }
    Ok(property.to_owned())
}

/// The earliest arrival that can be read.
pub fn date(part: At<'_>, settings: &Settings) -> Option<Day> {
    let order = Order::of(part);
    let places = order.items(settings).into_iter().chain([part]);
    places.filter_map(|item| when::day(order.own(item, &settings.keys.arrival).ok()?, settings).ok()).min()
}

/// What an order says.
pub fn changes(root: At<'_>, part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let order = Order::of(part);
    let reservation = order.number()?.to_owned();
    let items = order.items(settings);
    let refund = part.find("properties").is_none();
    let lines = match kind(part) {
        Some(Kind::Cancelled) if refund && !items.is_empty() => {
            return Err(
                part.reject("a refund of single items does not say which rooms are left: send the booking anew")
            );
        }
        // All rooms, also those of a booking that arrives after its cancellation.
        Some(Kind::Cancelled) => vec![],
        _ => lines(&order, &items, &reservation, settings)?,
    };
    let revision = if settings.timestamps { revision(root, &order)? } else { None };
    Ok(messages::change(revision, Action::ReservationReplace(ReservationReplacement { reservation, lines })))
}

fn lines(order: &Order<'_>, items: &[At<'_>], reservation: &str, settings: &Settings) -> Result<Vec<Line>, Rejection> {
    let mut references = stay::References::new();
    references.booking(&settings.issuer, reservation);
    let references = references.found();
    let mut lines = Vec::new();
    for (place, item) in (1_u32..).zip(items) {
        let days = nights(order, *item, settings)?;
        let (rooms, priced) = rooms(*item, days, settings)?;
        let line = Line {
            status: Some(Status::Confirmed),
            arrival: Some(days.first),
            departure: Some(days.end),
            room_type: Some(room_type(order, *item, settings)?),
            guests: messages::persons(order.own(*item, &settings.keys.guests).ok())?,
            references: references.clone(),
            ..stay::line(place.to_string())
        };
        let price = item.find("price").map(|price| amount(price, *item, order, settings)).transpose()?;
        let money = price.and_then(|price| Some(Money { amount: number::times(price.amount, priced)?, ..price }));
        // A price is that of one room; guests are those of all.
        lines.extend(stay::rooms(line, rooms).into_iter().map(|line| Line { money: money.clone(), ..line }));
    }
    if lines.is_empty() {
        return Err(order.places[0].reject("a booking has rooms, and this one has none"));
    }
    if let ([line], Some(total)) = (&mut lines[..], order.find("value").or_else(|| order.find("total")))
        && line.money.is_none()
    {
        line.money = Some(amount(total, order.places[0], order, settings)?);
    }
    Ok(lines)
}

fn nights(order: &Order<'_>, item: At<'_>, settings: &Settings) -> Result<Days, Rejection> {
    let (arrival, departure) = (order.own(item, &settings.keys.arrival)?, order.own(item, &settings.keys.departure)?);
    stay::nights(when::day(arrival, settings)?, when::day(departure, settings)?).map_err(|why| departure.reject(why))
}

/// How many rooms an item is, and how often its price counts for each.
fn rooms(item: At<'_>, nights: Days, settings: &Settings) -> Result<(u32, u32), Rejection> {
    let Some(at) = item.find("quantity") else { return Ok((1, 1)) };
    let quantity = at.tally()?;
    match settings.quantity {
        Some(Quantity::Nights) if i64::from(quantity) == i64::from(nights.end) - i64::from(nights.first) => {
            Ok((1, quantity))
        }
        Some(Quantity::Nights) => {
            Err(at.is_not(format_args!("the number of nights, {}", i64::from(nights.end) - i64::from(nights.first))))
        }
        Some(Quantity::Rooms) if (1..=MOST_ROOMS).contains(&quantity) => Ok((quantity, 1)),
        Some(Quantity::Rooms) => Err(at.is_not(format_args!("a number of rooms from 1 to {MOST_ROOMS}"))),
        None if quantity == 1 => Ok((1, 1)),
        None => {
            Err(at.reject(format_args!("{quantity} what? The setting \"quantity\" says it: \"rooms\" or \"nights\"")))
        }
    }
}

fn room_type(order: &Order<'_>, item: At<'_>, settings: &Settings) -> Result<String, Rejection> {
    match (order.own(item, &settings.keys.room_type), &settings.room_type) {
        (Ok(at), _) => at.id().map(str::to_owned),
        (Err(_), Some(usual)) => Ok(usual.clone()),
        (Err(missing), None) => Err(missing),
    }
}

fn amount(price: At<'_>, item: At<'_>, order: &Order<'_>, settings: &Settings) -> Result<Money, Rejection> {
    let currency = item.find("currency").or_else(|| order.find("currency"));
    messages::money(price, currency, settings.currency.as_ref())
}

/// Microseconds since 1970-01-01T00:00:00Z of the event, or of the batch that it came in.
fn revision(root: At<'_>, order: &Order<'_>) -> Result<Option<i64>, Rejection> {
    let micros = order.find("timestamp_micros").or_else(|| order.find("event_timestamp"));
    if let Some(micros) = micros.or_else(|| root.find("timestamp_micros")) {
        return micros.whole().map(Some);
    }
    order.part.needs_one(&["timestamp", "originalTimestamp"]).ok().map(At::instant).transpose()
}
