//! Purchases of Google Analytics 4 and orders of Segment: an order whose items are rooms.
//!
//! Neither knows hotels: dates, hotel and guests come as properties of the website's own making, at the item or at the order. The
//! setting `keys` says how they are called; each key is looked for at the item first.
//!
//! | field | GA4 | Segment | `keys` |
//! |---|---|---|---|
//! | number | `transaction_id` | `order_id` | |
//! | hotel | `hotel_id` | `hotel_id` | `property` |
//! | arrival, departure | `start_date`, `end_date` | the same | `arrival`, `departure` |
//! | room type | `item_id` | `sku`, else `product_id` | `room_type` |
//! | guests | `number_of_passengers` | the same | `guests` |
//! | rooms | `quantity` of the item | `quantity` of the product | |
//! | money | `price` of the item in `currency`; the order's `value` (`total`) where it is one room | the same | |

use concord_plugin::json::messages::{self, Attributes};
use concord_plugin::json::{At, same_word};
use concord_plugin::{Action, Change, Day, Line, Money, Rejection, ReservationReplacement, Status, stay};

use crate::Settings;

/// How the website's own properties are called.
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
            property: own(property, &["hotel_id"])?,
            arrival: own(arrival, &["start_date"])?,
            departure: own(departure, &["end_date"])?,
            room_type: own(room_type, &["item_id", "sku", "product_id"])?,
            guests: own(guests, &["number_of_passengers"])?,
        })
    }
}

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
    let name = at.find("name").filter(|_| at.find("params").is_some());
    let name = name.or_else(|| at.find("event").filter(|_| at.find("properties").is_some()))?.text().ok()?;
    EVENTS.iter().find(|(known, _)| same_word(known, name)).map(|(_, kind)| *kind)
}

/// What is said of the order.
fn of(part: At<'_>) -> At<'_> {
    part.find("params").or_else(|| part.find("properties")).unwrap_or(part)
}

fn items<'j>(order: At<'j>, settings: &Settings) -> Vec<At<'j>> {
    let mut items = order.all("items");
    items.extend(order.all("products"));
    if let Some(rooms) = &settings.room_category {
        let category = |item: &At<'j>| item.needs_one(&["item_category", "category"]).and_then(|at| at.text()).ok();
        items.retain(|item| category(item).is_some_and(|category| same_word(category, rooms)));
    }
    items
}

/// A property of the item, else of the order.
fn own<'j>(item: At<'j>, order: At<'j>, keys: &[String]) -> Result<At<'j>, Rejection> {
    let found = [item, order].into_iter().find_map(|at| keys.iter().find_map(|key| at.find(key)));
    found.ok_or_else(|| item.reject(format_args!("{} is missing (setting \"keys\")", keys.join(" or "))))
}

/// The hotel.
pub fn property(part: At<'_>, attributes: Attributes<'_>, settings: &Settings) -> Result<String, Rejection> {
    let order = of(part);
    let item = items(order, settings).first().copied().unwrap_or(order);
    match own(item, order, &settings.keys.property) {
        Ok(property) => property.id().map(str::to_owned),
        Err(_) => messages::hotel(order, &settings.keys.property[0], attributes, settings.property.as_ref()),
    }
}

/// The earliest arrival.
pub fn date(part: At<'_>, settings: &Settings) -> Option<Day> {
    let order = of(part);
    let arrivals = items(order, settings).into_iter().chain([order]);
    arrivals.filter_map(|item| own(item, order, &settings.keys.arrival).and_then(At::local_day).ok()).min()
}

/// What an order says.
pub fn changes(root: At<'_>, part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let order = of(part);
    let reservation = order.needs_one(&["transaction_id", "order_id", "orderId"])?.id()?;
    let items = items(order, settings);
    let lines = match kind(part) {
        Some(Kind::Cancelled) if part.find("params").is_some() && !items.is_empty() => {
            return Err(
                part.reject("a refund of single items does not say which rooms are left: send the booking anew")
            );
        }
        Some(Kind::Cancelled) => {
            return Ok(messages::all_cancelled(revision(root, part)?, reservation.to_owned(), "1"));
        }
        _ => lines(order, &items, reservation, settings)?,
    };
    let all = ReservationReplacement { reservation: reservation.to_owned(), lines };
    Ok(messages::change(revision(root, part)?, Action::ReservationReplace(all)))
}

fn lines(order: At<'_>, items: &[At<'_>], reservation: &str, settings: &Settings) -> Result<Vec<Line>, Rejection> {
    let mut references = stay::References::new();
    references.booking(&settings.issuer, reservation);
    let references = references.found();
    let mut lines = Vec::new();
    for (place, item) in (1_u32..).zip(items) {
        let nights =
            messages::nights(own(*item, order, &settings.keys.arrival)?, own(*item, order, &settings.keys.departure)?)?;
        let room_type = match (own(*item, order, &settings.keys.room_type), &settings.room_type) {
            (Ok(at), _) => at.id()?.to_owned(),
            (Err(_), Some(usual)) => usual.clone(),
            (Err(missing), None) => return Err(missing),
        };
        let guests = own(*item, order, &settings.keys.guests).ok();
        let line = Line {
            status: Some(Status::Confirmed),
            arrival: Some(nights.first),
            departure: Some(nights.end),
            room_type: Some(room_type),
            guests: messages::persons(guests)?,
            references: references.clone(),
            ..stay::line(place.to_string())
        };
        let quantity = item.find("quantity").map(At::tally).transpose()?.unwrap_or(1);
        if !(1..=500).contains(&quantity) {
            return Err(item.needs("quantity")?.is_not("a number of rooms from 1 to 500"));
        }
        let money = item.find("price").map(|price| amount(price, *item, order, settings)).transpose()?;
        // A price is that of one room; guests are those of all.
        lines.extend(stay::rooms(line, quantity).into_iter().map(|line| Line { money: money.clone(), ..line }));
    }
    if lines.is_empty() {
        return Err(order.reject("a booking has rooms, and this one has none"));
    }
    if let ([line], Some(total)) = (&mut lines[..], order.find("value").or_else(|| order.find("total"))) {
        line.money = Some(amount(total, order, order, settings)?);
    }
    Ok(lines)
}

fn amount(price: At<'_>, item: At<'_>, order: At<'_>, settings: &Settings) -> Result<Money, Rejection> {
    let currency = item.find("currency").or_else(|| order.find("currency"));
    messages::money(price, currency, settings.currency.as_ref())
}

fn revision(root: At<'_>, part: At<'_>) -> Result<Option<i64>, Rejection> {
    let micros = [part, root].into_iter().find_map(|at| at.find("timestamp_micros"));
    if let Some(micros) = micros {
        return micros.whole().map(Some);
    }
    part.needs_one(&["originalTimestamp", "timestamp"]).ok().map(At::instant).transpose()
}
