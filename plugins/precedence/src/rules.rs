//! A rule set that was read: groups, classes, rules and what each covers.
//!
//! Knows which rule applies to what, and where a claim stands in its order. Does not know the file's
//! shape, and it does not decide.

use std::time::Duration;

/// The rule id of an answer that no rule covers. A checked set leaves no such question.
pub const NO_RULE: &str = "!none";

/// The words that rules may use.
#[derive(Clone, Debug, Default)]
pub struct Vocabulary {
    /// The names of the pipeline's sources.
    pub sources: Vec<String>,
    /// `capacity`, `availability`, `closed` and the declared inventory fields.
    pub fields: Vec<String>,
}

/// What a rule set calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    pub name: String,
    pub version: String,
    /// Every rule id, in the order of the file.
    pub rules: Vec<String>,
}

/// Where a stay stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    Tentative,
    Confirmed,
    /// Its source confirmed it again after cancelling it.
    Reinstated,
    CheckedIn,
    CheckedOut,
    Cancelled,
    NoShow,
}

impl Status {
    /// All of them.
    pub const ALL: [Status; 7] = [
        Status::Tentative,
        Status::Confirmed,
        Status::Reinstated,
        Status::CheckedIn,
        Status::CheckedOut,
        Status::Cancelled,
        Status::NoShow,
    ];

    /// As rules spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Status::Tentative => "tentative",
            Status::Confirmed => "confirmed",
            Status::Reinstated => "reinstated",
            Status::CheckedIn => "checked-in",
            Status::CheckedOut => "checked-out",
            Status::Cancelled => "cancelled",
            Status::NoShow => "no-show",
        }
    }

    pub fn parse(text: &str) -> Option<Status> {
        Status::ALL.into_iter().find(|status| status.as_str() == text)
    }
}

/// Sources by role.
#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    /// The order inside the group.
    pub sources: Vec<String>,
}

/// A class of properties.
#[derive(Clone, Debug)]
pub struct Class {
    pub name: String,
    /// Globs: `*` is any text, `?` any one character. Each with its place in the text.
    pub patterns: Vec<(String, usize)>,
}

/// What a rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An inventory field.
    Field,
    /// The status of a stay.
    StayStatus,
    /// Placement, money or guests of a stay.
    StayField,
    /// Who keeps the room.
    Capacity,
}

impl Kind {
    pub const ALL: [Kind; 4] = [Kind::Field, Kind::StayStatus, Kind::StayField, Kind::Capacity];

    /// The table that holds rules of this kind.
    pub fn table(self) -> &'static str {
        match self {
            Kind::Field => "field",
            Kind::StayStatus => "stay.status",
            Kind::StayField => "stay.field",
            Kind::Capacity => "capacity",
        }
    }

    /// Whether entries of its order are `status@who`.
    pub fn by_status(self) -> bool {
        matches!(self, Kind::StayStatus | Kind::Capacity)
    }
}

/// The claims that an entry of an order speaks about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    Source(String),
    /// Index into the rule set's groups.
    Group(usize),
    Any,
}

/// One entry of an order.
#[derive(Clone, Debug)]
pub struct Entry {
    /// As written.
    pub text: String,
    /// `None` is any status.
    pub status: Option<Status>,
    pub who: Who,
    /// Where it stands in the text.
    pub at: usize,
}

/// A rule.
#[derive(Clone, Debug)]
pub struct Rule {
    pub kind: Kind,
    pub id: String,
    /// The fields it covers, `*` for all; empty where the kind has no fields. Each with its place.
    pub fields: Vec<(String, usize)>,
    /// Index into the rule set's classes; `None` covers all.
    pub class: Option<usize>,
    pub order: Vec<Entry>,
    /// Ten-thousandths.
    pub equal_within: Option<i64>,
    /// Rooms beyond the capacity, for capacity rules.
    pub overbook: u32,
    /// Where the rule and its order stand in the text.
    pub at: usize,
    pub order_at: usize,
}

/// What a no-show still occupies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NoShow {
    #[default]
    Release,
    FirstNight,
}

/// Whether others may sell the last rooms while a source is silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Sources.
    pub when_stale: Vec<String>,
    /// Rooms per room type and night.
    pub keep_free: u32,
    /// How long a stay is held at most, in partition time.
    pub release: Duration,
}

/// When a source counts as silent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Freshness {
    pub source: String,
    pub stale_after: Duration,
    pub page_after: Option<Duration>,
}

/// A rule set.
#[derive(Clone, Debug, Default)]
pub struct RuleSet {
    pub name: String,
    pub version: String,
    pub groups: Vec<Group>,
    pub classes: Vec<Class>,
    /// In the order of the file.
    pub rules: Vec<Rule>,
    pub no_show: NoShow,
    pub hold: Option<Hold>,
    pub freshness: Vec<Freshness>,
}

impl RuleSet {
    /// Name, version and rule ids.
    pub fn summary(&self) -> Summary {
        let rules = self.rules.iter().map(|rule| rule.id.clone()).collect();
        Summary { name: self.name.clone(), version: self.version.clone(), rules }
    }

    /// The class of a property: the first in the file with a pattern that matches.
    pub fn class_of(&self, property: &str) -> Option<usize> {
        self.classes.iter().position(|class| class.patterns.iter().any(|(pattern, _)| matches(pattern, property)))
    }

    /// The rule that decides about `field` (empty where the kind has no fields) at properties of `class`.
    pub fn rule_for(&self, kind: Kind, field: &str, class: Option<usize>) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.kind == kind && rule.covers(field, class))
    }

    /// The index of the first entry of `rule` that covers the claim, and the claim's place inside of it.
    pub fn place(&self, rule: &Rule, source: &str, status: Option<Status>) -> Option<(usize, usize)> {
        rule.order.iter().enumerate().find_map(|(index, entry)| Some((index, self.place_in(entry, source, status)?)))
    }

    /// The claim's place inside an entry: by the list inside a group, else 0.
    pub fn place_in(&self, entry: &Entry, source: &str, status: Option<Status>) -> Option<usize> {
        if entry.status.is_some() && entry.status != status {
            return None;
        }
        match &entry.who {
            Who::Any => Some(0),
            Who::Source(name) => (name == source).then_some(0),
            Who::Group(index) => self.groups.get(*index)?.sources.iter().position(|name| name == source),
        }
    }
}

impl Rule {
    /// Whether it speaks about the field at properties of the class.
    pub fn covers(&self, field: &str, class: Option<usize>) -> bool {
        (self.class.is_none() || self.class == class)
            && (self.fields.is_empty() || self.fields.iter().any(|(name, _)| name == "*" || name == field))
    }
}

/// Whether a glob matches a text, or covers another glob (`*` and `?` in the text are then symbols that only
/// wildcards match).
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: the last star, and the text that it has taken so far.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some('?') if text[t] != '*' => (p, t) = (p + 1, t + 1),
            Some(letter) if *letter == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("H1*", "H1", true),
            ("H1*", "H17", true),
            ("H1*", "AH1", false),
            ("*1*2", "a1b2c2", true),
            ("*1*2", "a1b2c", false),
            ("H?", "H1", true),
            ("H?", "H", false),
            ("MAD001", "MAD001", true),
            ("MAD001", "mad001", false),
            ("é?", "éa", true),
            ("H*", "H1*", true),
            ("H1?", "H1*", false),
            ("", "", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
