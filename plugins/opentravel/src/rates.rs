//! Prices: OTA_HotelRateAmountNotifRQ and OTA_HotelRatePlanNotifRQ (AlpineBits).
//!
//! The price of a night is that of the chosen rate plan for the chosen number of guests; where there is none for just so
//! many, the one for the most guests below, else for the fewest. Derived prices, supplements, discounts for children and
//! offers are no field of a room night: they are passed over.

use concord_plugin::xml::{At, Text};
use concord_plugin::{Action, Change, Days, Money, Rejection, Scope, Value, number, time};

use crate::applies;
use crate::grid::{Grid, What, names};
use crate::inventory::{is_complete, lengths};
use crate::settings::Settings;

/// OpenTravel code list AQC: the age of adults.
const ADULTS: &str = "10";
/// OpenTravel code list CHG: the price is per person.
const PER_PERSON: &str = "7";
/// What a rate plan speaks about as a whole; the lengths of stay only where it has rules for them.
const PLAN: [What; 3] = [What::Price, What::MinStay, What::MaxStay];

/// `RateAmountMessages` of an OTA_HotelRateAmountNotifRQ.
pub fn amounts(messages: At<'_>, notification: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let removes = notification.attribute("NotifType").is_some_and(|kind| kind.as_str() == "Remove");
    let mut grid = Grid::default();
    for message in messages.all("RateAmountMessage") {
        let control = message.required("StatusApplicationControl")?;
        if !applies::counts(control.attribute("RatePlanCode"), settings)? {
            continue;
        }
        let about = applies::rooms(control, settings)?;
        if removes {
            let nights = applies::nights(control, control)?;
            grid.set(control, about.room_type, &nights, What::Price, None)?;
            continue;
        }
        for rate in message.all("Rates/Rate") {
            let Some(price) = price(rate, false, &[rate], settings)? else { continue };
            let nights = applies::nights(rate, control)?;
            grid.set(rate, about.room_type, &nights, What::Price, Some(&Value::Money(price)))?;
        }
    }
    Ok(grid.overlay(settings))
}

/// `RatePlans` of an OTA_HotelRatePlanNotifRQ.
pub fn plans(plans: At<'_>, message: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
    let mut changes = Vec::new();
    for plan in plans.all("RatePlan") {
        if !applies::counts(plan.attribute("RatePlanCode"), settings)? {
            continue;
        }
        let kind = plan.attribute("RatePlanNotifType").map_or("Overlay", Text::as_str);
        let mut grid = Grid::default();
        match kind {
            "Remove" => changes.extend(withdrawn(settings)),
            _ => {
                plan_into(&mut grid, plan, settings)?;
                let whole = kind == "New" || is_complete(message);
                let scope = if plan.first("BookingRules").is_some() { &PLAN[..] } else { &PLAN[..1] };
                changes.extend(if whole { grid.whole(settings, scope) } else { grid.overlay(settings) });
            }
        }
    }
    Ok(changes)
}

/// All that a rate plan says is taken back.
fn withdrawn(settings: &Settings) -> Option<Change> {
    let nights = Days { first: time::FIRST_DAY, end: time::LAST_DAY };
    let fields = names(settings, &PLAN);
    let scope = Scope { room_types: vec![], nights, fields };
    (!scope.fields.is_empty()).then_some(Change { revision: None, action: Action::Withdraw(scope) })
}

fn plan_into(grid: &mut Grid, plan: At<'_>, settings: &Settings) -> Result<(), Rejection> {
    let rates = plan.all("Rates/Rate");
    // The first rate may be one without room type and dates, whose values hold for all others.
    let common = rates.iter().copied().find(|rate| rate.attribute("InvTypeCode").is_none());
    let base = common.and_then(|rate| rate.first("BaseByGuestAmts/BaseByGuestAmt"));
    let per_person = base.and_then(|base| base.attribute("Type")).is_some_and(|kind| kind.as_str() == PER_PERSON);
    for rate in rates.into_iter().filter(|rate| Some(*rate) != common) {
        let room_type = rate.needs("InvTypeCode")?.code()?;
        let outside: Vec<At<'_>> = [rate].into_iter().chain(common).chain([plan]).collect();
        let Some(price) = price(rate, per_person, &outside, settings)? else { continue };
        let nights = applies::nights(rate, rate)?;
        grid.set(rate, room_type, &nights, What::Price, Some(&Value::Money(price)))?;
    }
    for rule in plan.all("BookingRules/BookingRule") {
        rule_into(grid, rule, settings)?;
    }
    Ok(())
}

/// Restrictions of a booking rule: of the room type that it names, else of all.
fn rule_into(grid: &mut Grid, rule: At<'_>, settings: &Settings) -> Result<(), Rejection> {
    let lengths = lengths(rule)?;
    if lengths.is_empty() {
        return Ok(());
    }
    let nights = applies::nights(rule, rule)?;
    let of_type = rule.attribute("CodeContext").is_some_and(|context| context.as_str() == "ROOMTYPE");
    let types = match rule.attribute("Code").filter(|_| of_type) {
        Some(code) => vec![code.code()?.to_owned()],
        None if settings.room_types.is_empty() => grid.room_types(),
        None => settings.room_types.clone(),
    };
    for room_type in &types {
        for (what, value) in &lengths {
            grid.set(rule, room_type, &nights, *what, Some(value))?;
        }
    }
    Ok(())
}

/// The price of one night, if the rate has any. `outside` are the elements that may name the currency, innermost first.
fn price(rate: At<'_>, per_person: bool, outside: &[At<'_>], settings: &Settings) -> Result<Option<Money>, Rejection> {
    for (name, expected) in [("RateTimeUnit", "Day"), ("UnitMultiplier", "1")] {
        if let Some(text) = rate.attribute(name).filter(|text| text.as_str() != expected) {
            return Err(text.is_not(format_args!("{expected}: only prices of one night are read")));
        }
    }
    let adults = |at: &At<'_>| at.attribute("AgeQualifyingCode").is_none_or(|code| code.as_str() == ADULTS);
    let mut chosen: Option<(u32, At<'_>)> = None;
    for base in rate.all("BaseByGuestAmts/BaseByGuestAmt").into_iter().filter(adults) {
        let guests = base.attribute("NumberOfGuests").map(Text::count).transpose()?.unwrap_or(settings.guests);
        // Not above the number asked for, and then as many as there are; else as few as there are.
        let rank = |guests: u32| {
            (guests <= settings.guests, if guests <= settings.guests { guests } else { u32::MAX - guests })
        };
        if chosen.is_none_or(|(best, _)| rank(guests) > rank(best)) {
            chosen = Some((guests, base));
        }
    }
    let Some((guests, base)) = chosen else { return Ok(None) };
    let Some(money) = amount(base, outside, settings)? else { return Ok(None) };
    let factor = if per_person { guests } else { 1 };
    let total = number::times(money.amount, factor).ok_or_else(|| base.reject("the price does not fit"))?;
    Ok(Some(Money { amount: total, ..money }))
}

/// An amount after or before tax, as the settings choose; the other one where the message has but one. The currency stands
/// next to it or further outside.
pub fn amount(at: At<'_>, outside: &[At<'_>], settings: &Settings) -> Result<Option<Money>, Rejection> {
    const AFTER: [&str; 2] = ["AmountAfterTax", "AmountBeforeTax"];
    let [after, before] = AFTER.map(|name| at.attribute(name));
    let chosen = if settings.before_tax { before.or(after) } else { after.or(before) };
    let Some(text) = chosen else { return Ok(None) };
    let places = at.attribute("DecimalPlaces").map(|text| {
        text.count()
            .ok()
            .and_then(|places| u8::try_from(places).ok())
            .filter(|places| *places <= 4)
            .ok_or_else(|| text.is_not("a number of decimals"))
    });
    let amount = text.placed(places.transpose()?.unwrap_or(0))?;
    let currency =
        [at].iter().chain(outside).find_map(|at| at.attribute("CurrencyCode").or_else(|| at.attribute("ISOCurrency")));
    if let Some(currency) = currency {
        return currency.currency_of(amount).map(Some);
    }
    let assumed = settings.currency.as_deref().and_then(|currency| number::money(amount, currency));
    assumed.map(Some).ok_or_else(|| {
        text.reject(
            "the amount has no CurrencyCode, and the setting \"currency\" names none (ISO 4217, three capitals)",
        )
    })
}
