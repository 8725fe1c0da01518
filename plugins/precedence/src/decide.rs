//! The decisions: which claim holds, who keeps the room.
//!
//! Knows the order of claims and the words for it. Does not know how the rules were read, and never
//! answers with a claim that was not made.

use crate::rules::{Entry, Kind, NO_RULE, NoShow, Rule, RuleSet, Status, Who};

/// `units / 10^scale`, exactly.
#[derive(Clone, Copy, Debug)]
pub struct Decimal {
    pub units: i64,
    /// 0 to 18.
    pub scale: u8,
}

impl Decimal {
    /// In units of 10^-18, which hold every decimal of the interface.
    fn fine(self) -> i128 {
        i128::from(self.units) * 10_i128.pow(u32::from(18 - self.scale.min(18)))
    }
}

/// The value of an inventory field.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    Integer(i64),
    Decimal(Decimal),
    /// Amount and currency.
    Money(Decimal, &'a str),
    Text(&'a str),
    Boolean(bool),
}

/// What a claim says.
#[derive(Clone, Copy, Debug)]
pub enum Claimed<'a> {
    Value(Value<'a>),
    Status(Status),
}

impl Claimed<'_> {
    fn status(self) -> Option<Status> {
        match self {
            Claimed::Status(status) => Some(status),
            Claimed::Value(_) => None,
        }
    }

    fn same(self, other: Claimed<'_>) -> bool {
        match (self, other) {
            (Claimed::Status(a), Claimed::Status(b)) => a == b,
            (Claimed::Value(Value::Text(a)), Claimed::Value(Value::Text(b))) => a == b,
            (Claimed::Value(Value::Boolean(a)), Claimed::Value(Value::Boolean(b))) => a == b,
            (a, b) => a.number().is_some() && a.number() == b.number(),
        }
    }

    /// A number in 10^-18, and what it may be compared with: numbers of one kind and currency.
    fn number(&self) -> Option<((u8, &str), i128)> {
        match self {
            Claimed::Value(Value::Integer(number)) => Some(((0, ""), i128::from(*number) * 10_i128.pow(18))),
            Claimed::Value(Value::Decimal(number)) => Some(((1, ""), number.fine())),
            Claimed::Value(Value::Money(amount, currency)) => Some(((2, currency), amount.fine())),
            _ => None,
        }
    }
}

/// What one source says.
#[derive(Clone, Copy, Debug)]
pub struct Claim<'a> {
    pub source: &'a str,
    pub value: Claimed<'a>,
}

/// What the claims of a contest are about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'a> {
    /// An inventory field.
    Field(&'a str),
    /// The status of a stay.
    Status,
    /// `placement`, `money` or `guests`.
    StayField(&'a str),
}

/// Which of these claims holds?
#[derive(Clone, Copy, Debug)]
pub struct Contest<'a> {
    pub property: &'a str,
    pub subject: Subject<'a>,
    pub claims: &'a [Claim<'a>],
}

/// The answer to a contest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict<'r> {
    /// Index into the claims; 0 where there are none.
    pub winner: usize,
    /// The rule's id, [`NO_RULE`] where none covers the contest.
    pub rule: &'r str,
    /// Why, in a hotel manager's words.
    pub reason: String,
    /// All claims are equal, or within the rule's `equal_within`.
    pub agree: bool,
}

/// A stay's claim to rooms.
#[derive(Clone, Copy, Debug)]
pub struct RoomClaim<'a> {
    pub property: &'a str,
    pub source: &'a str,
    pub status: Status,
}

/// The answer to a room claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranking<'r> {
    /// The higher keeps the room. One level per entry of the order: what stands in the same entry is equal.
    pub priority: i32,
    pub rule: &'r str,
}

/// What holds for a whole property.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'r> {
    /// Empty where no class matches.
    pub class: &'r str,
    pub overbook: u32,
    /// The capacity rule that says so.
    pub rule: &'r str,
    pub no_show_keeps_first_night: bool,
}

/// Where a claim stands: entry, place in the entry's group, source, status. The least wins.
type Place<'a> = (usize, usize, &'a str, Option<Status>);

impl RuleSet {
    /// Decides a contest.
    pub fn resolve(&self, contest: &Contest<'_>) -> Verdict<'_> {
        let class = self.class_of(contest.property);
        let rule = match contest.subject {
            Subject::Field(field) => self.rule_for(Kind::Field, field, class),
            Subject::Status => self.rule_for(Kind::StayStatus, "", class),
            Subject::StayField(field) => self.rule_for(Kind::StayField, field, class),
        };
        let places: Vec<Place<'_>> = contest.claims.iter().map(|claim| self.stands(rule, claim)).collect();
        let Some(winner) = (0..places.len()).min_by_key(|index| places[*index]) else {
            let reason = "nothing is claimed".to_owned();
            return Verdict { winner: 0, rule: rule.map_or(NO_RULE, |rule| &rule.id), reason, agree: true };
        };
        let Some(rule) = rule else {
            let agree = rivals(contest.claims, winner).next().is_none();
            let reason = "no rule covers this; the first source by name".to_owned();
            return Verdict { winner, rule: NO_RULE, reason, agree };
        };
        let first = contest.claims[winner].source;
        let rival = rivals(contest.claims, winner).min_by_key(|index| places[*index]);
        let close = rule.equal_within.filter(|within| are_close(contest.claims, *within));
        let (agree, reason) = match rival {
            None if contest.claims.len() == 1 => (true, format!("only {first} says so")),
            None => (true, format!("all agree; {first} comes first in rule \"{}\"", rule.id)),
            Some(_) if close.is_some() => {
                (true, format!("close enough to agree; {first} comes first in rule \"{}\"", rule.id))
            }
            Some(rival) => (false, self.comparison(rule, &places[winner], &places[rival])),
        };
        Verdict { winner, rule: &rule.id, reason, agree }
    }

    fn stands<'a>(&self, rule: Option<&Rule>, claim: &Claim<'a>) -> Place<'a> {
        let status = claim.value.status();
        // A source that the pipeline no longer has may still hold claims: they come last.
        let place = rule.and_then(|rule| self.place(rule, claim.source, status));
        let (entry, inside) = place.unwrap_or((usize::MAX, 0));
        (entry, inside, claim.source, status)
    }

    /// Why the one comes before the other.
    fn comparison(&self, rule: &Rule, winner: &Place<'_>, rival: &Place<'_>) -> String {
        let id = &rule.id;
        let Some(entry) = rule.order.get(winner.0) else {
            return format!("none of these is in rule \"{id}\"; {} is the first by name", winner.2);
        };
        let Some(other) = rule.order.get(rival.0) else {
            return format!("{} is not in rule \"{id}\"", rival.2);
        };
        if winner.0 != rival.0 {
            return format!("{} comes before {} in rule \"{id}\"", label(entry, winner), label(other, rival));
        }
        match entry.who {
            Who::Group(group) => {
                let group = self.groups.get(group).map_or("", |group| group.name.as_str());
                format!("{} comes before {} in group {group} of rule \"{id}\"", winner.2, rival.2)
            }
            _ => format!("{} comes before {} by name in rule \"{id}\"", winner.2, rival.2),
        }
    }

    /// Ranks a stay among those that want rooms: one level per entry of the capacity rule's order, the first entry
    /// highest. 0 for what no entry covers.
    pub fn rank(&self, claim: &RoomClaim<'_>) -> Ranking<'_> {
        let Some(rule) = self.rule_for(Kind::Capacity, "", self.class_of(claim.property)) else {
            return Ranking { priority: 0, rule: NO_RULE };
        };
        let entry = self.place(rule, claim.source, Some(claim.status)).map_or(rule.order.len(), |(entry, _)| entry);
        let priority = i32::try_from(rule.order.len() - entry).unwrap_or(i32::MAX);
        Ranking { priority, rule: &rule.id }
    }

    /// Class, overbooking and the no-show policy of a property.
    pub fn terms(&self, property: &str) -> Terms<'_> {
        let class = self.class_of(property);
        let rule = self.rule_for(Kind::Capacity, "", class);
        Terms {
            class: class.and_then(|index| self.classes.get(index)).map_or("", |class| &class.name),
            overbook: rule.map_or(0, |rule| rule.overbook),
            rule: rule.map_or(NO_RULE, |rule| &rule.id),
            no_show_keeps_first_night: self.no_show == NoShow::FirstNight,
        }
    }
}

/// The claims that say something else than the winner.
fn rivals(claims: &[Claim<'_>], winner: usize) -> impl Iterator<Item = usize> {
    (0..claims.len()).filter(move |index| !claims[*index].value.same(claims[winner].value))
}

/// Whether all claims are numbers of one kind and currency, the largest and the smallest at most `within`
/// ten-thousandths apart.
fn are_close(claims: &[Claim<'_>], within: i64) -> bool {
    let mut range: Option<((u8, &str), i128, i128)> = None;
    for claim in claims {
        let Some((kind, number)) = claim.value.number() else { return false };
        range = match range {
            None => Some((kind, number, number)),
            Some((first, low, high)) if first == kind => Some((kind, low.min(number), high.max(number))),
            Some(_) => return false,
        };
    }
    range.is_some_and(|(_, low, high)| high - low <= i128::from(within) * 10_i128.pow(14))
}

/// An entry as its readers know it: as it stands in the file, or with names where the file has a star.
fn label(entry: &Entry, (_, _, source, status): &Place<'_>) -> String {
    if !entry.text.contains('*') {
        return entry.text.clone();
    }
    match status {
        Some(status) => format!("{}@{source}", status.as_str()),
        None => (*source).to_owned(),
    }
}

#[cfg(test)]
mod tests;
