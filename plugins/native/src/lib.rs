//! Concord's own message format: every change of the plugin interface as strict JSON.
//!
//! For teams whose data is clean already, for inventory, and for tests. `README.md` shows the format.
//! This file knows deliveries, parts and properties; what a change looks like, `read` knows.

mod read;

use concord_plugin::json::{self, At, Object, Value};
use concord_plugin::{Day, Delivery, Description, Event, Normalizer, Rejection, Routed, Said};

/// The normalizer of the native format.
pub struct Native;

/// The source's `settings` table.
#[derive(Debug, Default)]
pub struct Settings {
    /// The property of documents that name none.
    property: Option<String>,
}

concord_plugin::normalizer!(Native);

impl Normalizer for Native {
    type Settings = Settings;

    fn describe() -> Description {
        Description {
            name: "native".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            formats: vec!["application/json".into()],
            fields: vec!["*".into()],
        }
    }

    fn settings(table: At<'_>) -> Result<Settings, Rejection> {
        let [property] = table.object()?.only(&["property"])?;
        Ok(Settings { property: property.map(At::code).transpose()?.map(str::to_owned) })
    }

    /// Reads no more than it needs to find each part's place: what else is wrong becomes a dead letter,
    /// which can be looked at, and does not take the other parts with it.
    fn split(settings: &Settings, delivery: &Delivery) -> Result<Vec<Routed>, Rejection> {
        let document = json::parse(&delivery.body)?;
        let root = document.root();
        let routed = |part: At<'_>, body| {
            let part = part.object()?;
            let property = property(part, &delivery.attributes, settings)?.to_owned();
            Ok(Routed { property, date: date(part), body })
        };
        match root.value() {
            Value::List if root.list()?.next().is_none() => Err(root.reject("the list holds no part")),
            Value::List => root.list()?.map(|part| routed(part, Some(part.to_string().into_bytes()))).collect(),
            _ => Ok(vec![routed(root, None)?]),
        }
    }

    fn normalize_one(settings: &Settings, event: &Event) -> Result<Said, Rejection> {
        let document = json::parse(&event.body)?;
        let part = document.root().object()?;
        let property = property(part, &event.attributes, settings)?.to_owned();
        Ok(Said { property, changes: read::changes(part)? })
    }
}

/// The property that a part names; else the one of the transport; else the one of the settings.
fn property<'p>(
    part: Object<'p>,
    attributes: &'p [(String, String)],
    settings: &'p Settings,
) -> Result<&'p str, Rejection> {
    if let Some(property) = part.get("property") {
        return property.code();
    }
    let attribute = attributes.iter().find(|(name, _)| name == "property").map(|(_, value)| value.as_str());
    attribute
        .or(settings.property.as_deref())
        .filter(|property| !property.is_empty())
        .ok_or_else(|| part.at().reject("\"property\" is missing, and neither an attribute nor the settings name one"))
}

/// The part's `date`, else its first arrival or night, else 1970-01-01.
fn date(part: Object<'_>) -> Day {
    let day = |at: At<'_>| at.day().ok();
    part.get("date").and_then(day).or_else(|| read::first_date(part)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
