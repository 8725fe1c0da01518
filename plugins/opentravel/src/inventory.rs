//! Rooms that may be sold: OTA_HotelInvCountNotifRQ and OTA_HotelAvailNotifRQ.
//!
//! A message whose UniqueID says `Instance="CompleteSet"` is all there is; any other is an update. The revision is the
//! log's order: these messages carry none.

use concord_plugin::xml::{At, Text};
use concord_plugin::{Change, Days, Rejection, Value};

use crate::applies::{self, Rooms};
use crate::grid::{Grid, What};
use crate::settings::Settings;

/// OpenTravel code list INV, as far as it counts rooms for us. What is out of order (6) or not sold here (9) is not free.
const PHYSICAL: &str = "1";
const FREE: &str = "2";

/// Restrictions of a status message: element, the attribute's value, the field.
const LENGTHS: [(&str, What); 4] =
    [("SetMinLOS", What::MinStay), ("MinLOS", What::MinStay), ("SetMaxLOS", What::MaxStay), ("MaxLOS", What::MaxStay)];
const RESTRICTIONS: [(&str, What); 4] = [
    ("Master", What::Closed),
    ("Arrival", What::ClosedToArrival),
    ("Departure", What::ClosedToDeparture),
    ("None", What::Closed),
];
const STATES: [(&str, bool); 3] = [("Open", false), ("Close", true), ("Closed", true)];

/// Which fields a CompleteSet speaks about. Restrictions are not among them: they may come from rate plans.
const SCOPE: [What; 3] = [What::Availability, What::Capacity, What::Closed];

/// Whether the message is all there is.
pub fn is_complete(message: At<'_>) -> bool {
    let instance = |at: At<'_>| at.attribute("Instance").is_some_and(|text| text.as_str() == "CompleteSet");
    message.all("UniqueID").into_iter().any(instance)
}

/// `Inventories` of an OTA_HotelInvCountNotifRQ.
pub fn counts(inventories: At<'_>, message: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let complete = is_complete(message);
    let elements = inventories.all("Inventory");
    let mut grid = Grid::default();
    let mut rooms = RoomsOrTypes::default();
    let mut closed: Vec<(At<'_>, Days)> = Vec::new();
    if is_reset(&elements) {
        return reset(inventories, complete, grid, settings);
    }
    for inventory in elements {
        let control = inventory.required("StatusApplicationControl")?;
        if !control.attribute("AllInvCode").map(Text::boolean).transpose()?.unwrap_or(false) {
            counted(&mut grid, &mut rooms, inventory, control, (complete, settings))?;
        } else if rooms.any() {
            return Err(inventory.reject("a closed season stands behind room counts: closed seasons come first"));
        } else if let Some(counts) = inventory.first("InvCounts") {
            return Err(counts.reject("a closed season has no counts: the whole house is closed"));
        } else {
            closed.push((control, season(control, &closed)?));
        }
    }
    close(&mut grid, &closed, settings)?;
    Ok(if complete { grid.whole(settings, &SCOPE) } else { grid.overlay(settings) })
}

/// The counts of a room type, or of a single room, which adds to its type's.
fn counted(
    grid: &mut Grid,
    rooms: &mut RoomsOrTypes,
    inventory: At<'_>,
    control: At<'_>,
    (complete, settings): (bool, &Settings),
) -> Result<(), Rejection> {
    if !applies::counts(control.attribute("RatePlanCode"), settings)? {
        return Ok(());
    }
    let about = rooms.check(control, applies::rooms(control, settings)?, complete)?;
    let nights = applies::nights(control, inventory)?;
    let free = count(inventory, FREE)?;
    let physical = count(inventory, PHYSICAL)?.map(|physical| Value::Integer(physical.into()));
    match about.room {
        Some(_) => grid.add(inventory, about.room_type, &nights, What::Availability, free.unwrap_or(0))?,
        // Whoever counts the rooms that the house has, and no others, does not say how many of them are free.
        None if free.is_none() && physical.is_some() => {}
        None => {
            let free = Value::Integer(free.unwrap_or(0).into());
            grid.set(inventory, about.room_type, &nights, What::Availability, Some(&free))?;
        }
    }
    if physical.is_some() {
        grid.set(inventory, about.room_type, &nights, What::Capacity, physical.as_ref())?;
    }
    Ok(())
}

/// The count of a type; several of one type add up.
fn count(inventory: At<'_>, kind: &str) -> Result<Option<u32>, Rejection> {
    let mut sum = None;
    for count in inventory.all("InvCounts/InvCount") {
        if count.needs("CountType")?.as_str() != kind {
            continue;
        }
        let number = count.needs("Count")?;
        let rooms: u32 = sum.unwrap_or(0);
        let more = rooms.checked_add(number.count()?).filter(|rooms| i32::try_from(*rooms).is_ok());
        sum = Some(more.ok_or_else(|| number.is_not("a number of rooms"))?);
    }
    Ok(sum)
}

/// A single empty element says that nothing is known any more.
fn is_reset(elements: &[At<'_>]) -> bool {
    matches!(elements, [only] if only.children().next().is_none() && only.attributes().next().is_none())
}

fn reset(list: At<'_>, complete: bool, grid: Grid, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    if !complete {
        let words = "an empty element takes everything back, and only a message whose UniqueID says Instance=\"CompleteSet\" may";
        return Err(list.reject(words));
    }
    Ok(grid.whole(settings, &SCOPE))
}

/// The nights of a closed season, which overlaps no other.
fn season(control: At<'_>, others: &[(At<'_>, Days)]) -> Result<Days, Rejection> {
    let days = applies::range(control)?;
    match others.iter().find(|(_, other)| other.first < days.end && days.first < other.end) {
        Some((other, _)) => Err(control.reject(format_args!("overlaps the closed season at {}", other.path()))),
        None => Ok(days),
    }
}

/// Closes the house: every room type that the message or the settings name.
fn close(grid: &mut Grid, seasons: &[(At<'_>, Days)], settings: &Settings) -> Result<(), Rejection> {
    let mut types = grid.room_types();
    types.extend(settings.room_types.iter().cloned());
    types.sort();
    types.dedup();
    for (control, days) in seasons {
        if types.is_empty() {
            let words =
                "closes the house, and the message names no room type: list the source's in the setting \"room_types\"";
            return Err(control.reject(words));
        }
        let nights: Vec<_> = concord_plugin::stay::each_night(*days).collect();
        for room_type in &types {
            grid.set(*control, room_type, &nights, What::Closed, Some(&Value::Boolean(true)))?;
        }
    }
    Ok(())
}

/// Whether a message is about room types or about single rooms: it cannot be about both.
#[derive(Default)]
struct RoomsOrTypes {
    single: Option<bool>,
}

impl RoomsOrTypes {
    fn any(&self) -> bool {
        self.single.is_some()
    }

    fn check<'x>(&mut self, control: At<'_>, about: Rooms<'x>, complete: bool) -> Result<Rooms<'x>, Rejection> {
        let single = about.room.is_some();
        if self.single.is_some_and(|before| before != single) {
            return Err(control.reject("room types and single rooms are mixed: a message is about one of both"));
        }
        if single && !complete {
            return Err(control.reject(
                "an update about a single room does not say how many rooms of its type are free: send a CompleteSet or room \
                 types, or set \"rooms\" to \"own-type\"",
            ));
        }
        self.single = Some(single);
        Ok(about)
    }
}

/// `AvailStatusMessages` of an OTA_HotelAvailNotifRQ.
pub fn statuses(messages: At<'_>, message: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let complete = is_complete(message);
    let elements = messages.all("AvailStatusMessage");
    let mut grid = Grid::default();
    let mut rooms = RoomsOrTypes::default();
    if is_reset(&elements) {
        return reset(messages, complete, grid, settings);
    }
    for status in elements {
        let control = status.required("StatusApplicationControl")?;
        if !applies::counts(control.attribute("RatePlanCode"), settings)? {
            continue;
        }
        let about = applies::rooms(control, settings)?;
        let nights = applies::nights(control, status)?;
        let set = |grid: &mut Grid, what, value: Option<Value>| {
            grid.set(status, about.room_type, &nights, what, value.as_ref())
        };
        if let Some(limit) = limit(status)? {
            match (rooms.check(control, Rooms { ..about }, complete)?.room, limit) {
                (Some(_), Some(limit)) => grid.add(status, about.room_type, &nights, What::Availability, limit)?,
                (_, limit) => set(&mut grid, What::Availability, limit.map(|limit| Value::Integer(limit.into())))?,
            }
        }
        for restriction in status.all("RestrictionStatus") {
            let what = restriction.attribute("Restriction").map(|text| text.one_of(&RESTRICTIONS)).transpose()?;
            if let Some(state) = restriction.attribute("Status") {
                let closed = state.one_of(&STATES)?;
                set(&mut grid, what.unwrap_or(What::Closed), Some(Value::Boolean(closed)))?;
            }
        }
        for (what, nights) in lengths(status)? {
            set(&mut grid, what, Some(nights))?;
        }
    }
    Ok(if complete { grid.whole(settings, &SCOPE) } else { grid.overlay(settings) })
}

/// The rooms that may be sold: `Some(None)` takes the limit back.
fn limit(status: At<'_>) -> Result<Option<Option<u32>>, Rejection> {
    let limit = status.attribute("BookingLimit");
    let kind = status.attribute("BookingLimitMessageType");
    match (kind.map(Text::as_str), limit) {
        (Some("RemoveLimit"), _) => Ok(Some(None)),
        (None | Some("SetLimit"), Some(limit)) => {
            let rooms = limit.count().ok().filter(|rooms| i32::try_from(*rooms).is_ok());
            rooms.map(|rooms| Some(Some(rooms))).ok_or_else(|| limit.is_not("a number of rooms"))
        }
        (Some("SetLimit"), None) => Err(status.reject("the attribute BookingLimit is missing")),
        (None, None) => Ok(None),
        // AdjustLimit would need the limit before, which nobody here knows.
        (Some(_), _) => Err(kind.map_or_else(
            || status.reject("BookingLimitMessageType is missing"),
            |kind| kind.is_not("SetLimit or RemoveLimit: a limit is taken as it stands, not relative to another"),
        )),
    }
}

/// Fewest and most nights, as far as the element limits them.
pub fn lengths(holder: At<'_>) -> Result<Vec<(What, Value)>, Rejection> {
    let mut found = Vec::new();
    for length in holder.all("LengthsOfStay/LengthOfStay") {
        let kind = length.attribute("MinMaxMessageType").and_then(|text| text.one_of(&LENGTHS).ok());
        if let (Some(what), Some(nights)) = (kind, length.attribute("Time")) {
            found.push((what, Value::Integer(nights.count()?.into())));
        }
    }
    Ok(found)
}
