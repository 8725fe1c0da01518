//! Mews: reservations of the Connector API, and groups that a channel manager pushes (`processGroup`).
//!
//! | message | becomes |
//! |---|---|
//! | `Reservations[]` (`reservations/getAll`) | one room each |
//! | `channelManagerId` with `reservations[]` | all rooms of the group: a room that is left out is cancelled, none cancels all |
//!
//! | field | Connector reservation | group |
//! |---|---|---|
//! | hotel | an attribute or the setting `property`, else `EnterpriseId`, else `ServiceId` | an attribute or the setting |
//! | identity | `Id`; one room | `channelManagerId`; a room is its `code` |
//! | status | `State`; Canceled for NoShow is a no-show | `state` 3 is cancelled |
//! | nights | `ScheduledStartUtc`, `ScheduledEndUtc` (else `StartUtc`, `EndUtc`), at the hotel (setting `time_zone`) | `from`, `to`: exclusive |
//! | room type, room | `RequestedResourceCategoryId`, `AssignedResourceId` (and their older names) | `spaceTypeCode` |
//! | money | `TotalAmount`, where it comes | `totalAmount`: gross (setting `tax = "before"`: net), `currencyCode` |
//! | guests | `PersonCounts`, else `AdultCount` and `ChildCount` | `adultCount`, `childCount` |
//! | references | `Number` by `mews`; `ChannelNumber` by the channel (setting `channels`, by `TravelAgencyId`; setting `channel`); `ChannelManagerGroupNumber/ChannelManagerNumber` | `channelId` by `channel.name` or the first source; `channelManagerId/code` |
//! | group | `GroupId` | |
//!
//! **Order.** Reservations: `UpdatedUtc`. Groups: the order of arrival; they tell no time, and their stays have dates only.
//!
//! **Refused**, each with its place: webhooks, which carry ids only (fetch the reservations, and send those), instants without the
//! setting `time_zone`, enquiries, services that are no stay (setting `services`), availability blocks, stays without a night or of more
//! than a year.
//!
//! Cards and access tokens never reach the log.
//!
//! Source: docs.mews.com, Connector API (reservations) and Channel Manager API (process group).

mod connector;
mod group;

use std::collections::BTreeMap;

use concord_plugin::json::messages::{self, Attributes, Messages};
use concord_plugin::json::{At, Cleaner};
use concord_plugin::zone::Zone;
use concord_plugin::{Change, Day, Delivery, Description, Event, Normalizer, Rejection, Routed, Said};

/// The normalizer of Mews' messages.
pub struct Mews;

/// The source's `settings` table.
#[derive(Clone, Debug)]
pub struct Settings {
    property: Option<String>,
    zone: Option<Zone>,
    /// Services that are stays; empty: all are.
    services: Vec<String>,
    channels: BTreeMap<String, String>,
    channel: Option<String>,
    net: bool,
}

concord_plugin::normalizer!(Mews);

impl Normalizer for Mews {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "mews".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: ["application/json", "reservations/getAll", "processGroup"].map(str::to_owned).to_vec(),
            fields: vec![],
        }
    }

    fn settings(table: At<'_>) -> Result<Settings, Rejection> {
        let [property, zone, services, channels, channel, tax] =
            table.object()?.only(&["property", "time_zone", "services", "channels", "channel", "tax"])?;
        let services = services.map(|at| at.list()?.map(|id| id.code().map(str::to_owned)).collect());
        Ok(Settings {
            property: messages::code(property)?,
            zone: zone.map(Zone::read).transpose()?,
            services: services.transpose()?.unwrap_or_default(),
            channels: messages::names(channels)?,
            channel: messages::code(channel)?,
            net: tax.map(|at| at.one_of(&[("after", false), ("before", true)])).transpose()?.unwrap_or(false),
        })
    }

    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        messages::split::<Mews>(settings, delivery)
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        messages::said::<Mews>(settings, event)
    }
}

impl Messages for Mews {
    type Settings = Settings;

    const CLEANER: Cleaner<'static> = Cleaner {
        without: &["clientToken", "connectionToken", "AccessToken", "responseUrl", "Customers"],
        identities: &["Id", "Number", "ChannelNumber", "channelId", "channelManagerId", "code", "messageId"],
    };

    fn parts<'j>(root: At<'j>, _: &Settings) -> Result<Vec<At<'j>>, Rejection> {
        root.object()?;
        if group::is(root) {
            return Ok(vec![root]);
        }
        if root.find("Events").is_some() {
            return Err(root.reject("a webhook carries ids only: fetch the reservations and send those"));
        }
        if root.find("availabilityBlock").is_some() {
            return Err(
                root.reject("an availability block is no reservation: its rooms come as such when they are booked")
            );
        }
        let parts = root.all("Reservations");
        match parts.is_empty() {
            false => Ok(parts),
            true if root.find("Id").is_some() => Ok(vec![root]),
            true => Err(root.reject("holds no reservation of Mews: there is nothing to read")),
        }
    }

    fn property(
        root: At<'_>,
        part: At<'_>,
        attributes: Attributes<'_>,
        settings: &Settings,
    ) -> Result<String, Rejection> {
        let outside = messages::hotel(part, "hotelId", attributes, settings.property.as_ref());
        if group::is(root) || outside.is_ok() {
            return outside;
        }
        match ["EnterpriseId", "ServiceId"].iter().find_map(|key| part.find(key)) {
            Some(id) => id.id().map(str::to_owned),
            None => outside,
        }
    }

    fn date(root: At<'_>, part: At<'_>, settings: &Settings) -> Option<Day> {
        if group::is(root) { group::date(root) } else { connector::date(part, settings) }
    }

    fn changes(root: At<'_>, part: At<'_>, settings: &Settings) -> Result<Vec<Change>, Rejection> {
        if group::is(root) { group::changes(root, settings) } else { connector::changes(part, settings) }
    }
}

#[cfg(test)]
mod tests;
