//! Lines become stays (rule 10), and what their sources say of a stay becomes one answer (rules 11, 12, 20).
//!
//! Knows no history: the same lines give the same stays. Does not know rooms that are taken.

use std::collections::{BTreeMap, BTreeSet};

use concord::policy::{Claim, Claimed, Contest, Policy, Subject};
use concord::rows::{AuditClaim, ConflictKind};
use concord::types::{Day, Money, Status, Value};

use super::Name;
use super::claims::{Claim as Told, Line, LineKey, Parts};
use super::publish::stay_key;
use super::rooms::{Memory, Said};

/// The lines of one stay, by index, earliest first.
pub(crate) type Members = Vec<usize>;

/// The stays of a property, and the sets of lines that are in doubt.
pub(crate) struct Linked {
    pub stays: Vec<Members>,
    pub doubts: Vec<Members>,
}

fn share(a: &Line, b: &Line) -> bool {
    a.source() != b.source() && a.links().iter().any(|reference| b.links().contains(reference))
}

/// Which lines are the same room of the same booking.
pub(crate) fn link(lines: &[Line]) -> Linked {
    let mut linked = Linked { stays: Vec::new(), doubts: Vec::new() };
    for set in components(lines, (0..lines.len()).collect()) {
        match pair(lines, &set) {
            Some(stays) => linked.stays.extend(stays),
            None => {
                linked.stays.extend(set.iter().map(|at| vec![*at]));
                linked.doubts.push(set);
            }
        }
    }
    for stay in linked.stays.iter_mut().chain(&mut linked.doubts) {
        stay.sort_by_key(|at| lines[*at].first);
    }
    linked.stays.sort_by_key(|stay| lines[stay[0]].first);
    linked
}

/// Splits lines into sets connected by shared references.
fn components(lines: &[Line], mut rest: Vec<usize>) -> Vec<Vec<usize>> {
    let mut sets = Vec::new();
    while let Some(start) = rest.pop() {
        let mut set = vec![start];
        while let Some(next) = rest.iter().position(|at| set.iter().any(|of| share(&lines[*of], &lines[*at]))) {
            set.push(rest.remove(next));
        }
        sets.push(set);
    }
    sets
}

/// The stays of one connected set; `None` when it is in doubt.
fn pair(lines: &[Line], set: &[usize]) -> Option<Vec<Members>> {
    let sources: BTreeSet<&Name> = set.iter().map(|at| lines[*at].source()).collect();
    if sources.len() == set.len() {
        return Some(vec![set.to_vec()]);
    }
    let mut stays = Vec::new();
    for cancelled in [false, true] {
        let part: Vec<usize> = set.iter().copied().filter(|at| lines[*at].cancelled() == cancelled).collect();
        let tuples = tuples(lines, &part);
        let apart = |tuple: &Members| components(lines, tuple.clone()).len() > 1;
        let single: Vec<usize> = tuples.iter().filter(|tuple| tuple.len() == 1).map(|tuple| tuple[0]).collect();
        let left_over = single.iter().any(|a| single.iter().any(|b| share(&lines[*a], &lines[*b])));
        if tuples.iter().any(apart) || left_over {
            return None;
        }
        stays.extend(tuples);
    }
    Some(stays)
}

/// Lines of equal arrival and booked type, the k-th of every source together. A line that lacks one of the two
/// equals no other.
fn tuples(lines: &[Line], part: &[usize]) -> Vec<Members> {
    let mut ordered = part.to_vec();
    ordered.sort_by_key(|at| lines[*at].first_order);
    let mut tuples: BTreeMap<(Day, Name, usize), Members> = BTreeMap::new();
    let mut count: BTreeMap<(Name, Day, Name), usize> = BTreeMap::new();
    let mut alone = Vec::new();
    for at in ordered {
        let parts = lines[at].placement.value.clone().unwrap_or_default();
        let (Some(arrival), Some(room_type)) = (parts.arrival, parts.room_type) else {
            alone.push(vec![at]);
            continue;
        };
        let k = count.entry((lines[at].source().clone(), arrival, room_type.clone())).or_default();
        tuples.entry((arrival, room_type, *k)).or_default().push(at);
        *k += 1;
    }
    tuples.into_values().chain(alone).collect()
}

/// One question about a stay or a room night, answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub kind: ConflictKind,
    pub field: Name,
    /// In the order of the sources' names.
    pub claims: Vec<AuditClaim>,
    /// Index into the claims; `None` when the policy failed and nothing published is claimed any more.
    pub winner: Option<usize>,
    pub rule: Name,
    /// Whether the claims differ by more than the rule lets pass.
    pub contested: bool,
}

impl Answer {
    pub fn winner_source(&self) -> Name {
        self.winner.map_or_else(|| "".into(), |at| self.claims[at].source.clone())
    }
}

/// A claim as the question and the audit need it.
pub(crate) struct Spoken {
    pub source: Name,
    pub claimed: Claimed,
    pub audit: AuditClaim,
}

pub(crate) fn spoken<T>(source: &Name, told: &Told<T>, claimed: Claimed, text: String) -> Spoken {
    let revision = told.revision.as_ref().map(ToString::to_string).unwrap_or_default();
    let audit = AuditClaim { source: source.clone(), value: text, revision, offset: told.offset };
    Spoken { source: source.clone(), claimed, audit }
}

/// Asks the policy. `before` is the published (source, value) for the case that it fails: that stays as long as
/// someone claims it.
pub(crate) fn ask(
    policy: &mut dyn Policy,
    (property, room_type): (&Name, &Name),
    subject: Subject,
    (kind, field): (ConflictKind, &str),
    mut spoken: Vec<Spoken>,
    before: Option<&Said>,
) -> Option<Answer> {
    if spoken.is_empty() {
        return None;
    }
    spoken.sort_by(|a, b| a.source.cmp(&b.source));
    let claims = spoken.iter().map(|s| Claim { source: s.source.clone(), value: s.claimed.clone() }).collect();
    let tolerant = match &subject {
        Subject::Field(_) => true,
        Subject::Status => false,
        Subject::StayField(name) => *name == "money",
    };
    let contest = Contest { property: property.clone(), room_type: room_type.clone(), subject, claims };
    let differ = spoken.iter().any(|s| s.claimed != spoken[0].claimed);
    // One claim alone needs no rule; only of a status the rule is published all the same.
    if spoken.len() == 1 && contest.subject != Subject::Status {
        let claims = spoken.into_iter().map(|s| s.audit).collect();
        return Some(Answer { kind, field: field.into(), claims, winner: Some(0), rule: "".into(), contested: false });
    }
    let verdict = policy.resolve(std::slice::from_ref(&contest)).remove(0);
    let fallback = fallback(&contest);
    let claims: Vec<AuditClaim> = spoken.into_iter().map(|s| s.audit).collect();
    let (winner, rule, contested) = match verdict {
        Ok(verdict) => (Some(verdict.winner), verdict.rule, differ && !(tolerant && verdict.agree)),
        Err(_) => {
            let agreed = if differ { fallback } else { Some(0) };
            (still_claimed(&claims, before).or(agreed), concord::policy::FAULT_RULE.into(), differ)
        }
    };
    Some(Answer { kind, field: field.into(), claims, winner, rule, contested })
}

/// What to take when the policy failed and nothing published is claimed any more. A booking does not vanish: rather
/// a status that occupies nights, rather a wrong placement than none.
fn fallback(contest: &Contest) -> Option<usize> {
    let idle = |claim: &Claim| matches!(claim.value, Claimed::Status(Status::Cancelled | Status::NoShow));
    match contest.subject {
        Subject::Status => Some(contest.claims.iter().position(|claim| !idle(claim)).unwrap_or(0)),
        Subject::StayField("placement") => Some(0),
        _ => None,
    }
}

fn still_claimed(claims: &[AuditClaim], before: Option<&Said>) -> Option<usize> {
    let (source, value) = before?;
    let same = |claim: &AuditClaim| claim.value == *value;
    let own = claims.iter().position(|claim| claim.source == *source && same(claim));
    own.or_else(|| claims.iter().position(same))
}

/// Dates, type and room of a stay; a line's are a claim only when all but the room are known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Placement {
    pub arrival: Day,
    pub departure: Day,
    pub room_type: Name,
    /// Empty: none is assigned.
    pub room: Name,
}

impl Placement {
    fn of(parts: &Parts) -> Option<Placement> {
        Some(Placement {
            arrival: parts.arrival?,
            departure: parts.departure?,
            room_type: parts.room_type.clone()?,
            room: parts.room.clone().unwrap_or_else(|| "".into()),
        })
    }

    pub fn days(&self) -> impl Iterator<Item = Day> + use<> {
        (self.arrival.0..self.departure.0).map(Day)
    }

    fn same_nights_and_type(&self, other: &Placement) -> bool {
        (self.arrival, self.departure, &self.room_type) == (other.arrival, other.departure, &other.room_type)
    }

    fn text(&self) -> String {
        let room = if self.room.is_empty() { String::new() } else { format!(" {}", self.room) };
        format!("{}/{} {}{room}", self.arrival, self.departure, self.room_type)
    }
}

/// A stay and what holds of it.
#[derive(Clone, Debug)]
pub(crate) struct Stay {
    pub id: Name,
    /// First mention of its earliest line.
    pub first: (u64, u32),
    pub keys: Vec<LineKey>,
    /// Of its lines, in the order of their first mention.
    pub lines: Vec<Name>,
    /// `kind:issuer:value`, in byte order.
    pub references: Vec<Name>,
    pub status: Option<Status>,
    /// Whose status it is.
    pub status_source: Name,
    pub status_rule: Name,
    pub placement: Option<Placement>,
    pub money: Option<Money>,
    pub guests: Option<u32>,
    pub answers: Vec<Answer>,
}

/// Questions about one stay.
struct Inquiry<'a> {
    policy: &'a mut dyn Policy,
    property: &'a Name,
    lines: Vec<&'a Line>,
    memory: &'a Memory,
}

impl<'a> Inquiry<'a> {
    fn ask(&mut self, subject: Subject, kind: ConflictKind, field: &str, claims: Vec<Spoken>) -> Option<Answer> {
        let before = self.memory.winners.get(&stay_key(&self.lines[0].id(), field));
        ask(self.policy, (self.property, &"".into()), subject, (kind, field), claims, before)
    }

    fn status(&mut self) -> Option<Answer> {
        let say = |line: &&Line| {
            let status = line.status.value?;
            Some(spoken(line.source(), &line.status, Claimed::Status(status), status.to_string()))
        };
        let claims = self.lines.iter().filter_map(say).collect();
        self.ask(Subject::Status, ConflictKind::Status, "status", claims)
    }

    fn money(&mut self) -> Option<Answer> {
        let say = |line: &&Line| {
            let money = line.money.value?;
            Some(spoken(line.source(), &line.money, Claimed::Value(Value::Money(money)), money.to_string()))
        };
        let claims = self.lines.iter().filter_map(say).collect();
        self.ask(Subject::StayField("money"), ConflictKind::Field, "money", claims)
    }

    fn guests(&mut self) -> Option<Answer> {
        let say = |line: &&Line| {
            let guests = line.guests.value?;
            let value = Claimed::Value(Value::Integer(guests.into()));
            Some(spoken(line.source(), &line.guests, value, guests.to_string()))
        };
        let claims = self.lines.iter().filter_map(say).collect();
        self.ask(Subject::StayField("guests"), ConflictKind::Field, "guests", claims)
    }

    /// The answer, and the placement with the room of the highest that agrees and names one (rule 12).
    fn placement(&mut self) -> (Option<Answer>, Option<Placement>) {
        let place = |line: &&'a Line| Some((*line, Placement::of(line.placement.value.as_ref()?)?));
        let mut placed: Vec<(&Line, Placement)> = self.lines.iter().filter_map(place).collect();
        placed.sort_by(|(a, _), (b, _)| a.source().cmp(b.source()));
        let (answer, place) = self.highest(&placed);
        let (Some(mut answer), Some(mut place)) = (answer, place) else { return (None, None) };
        answer.contested = !agree(&placed);
        if place.room.is_empty() {
            let named: Vec<(&Line, Placement)> =
                placed.iter().filter(|(_, p)| !p.room.is_empty() && p.same_nights_and_type(&place)).cloned().collect();
            let (answer, highest) = self.highest(&named);
            let failed = answer.is_some_and(|answer| answer.rule == concord::policy::FAULT_RULE.into());
            // A policy that fails leaves the room that is published, if one of these names it.
            let known = self.memory.stays.get(&self.lines[0].id()).map(|known| &known.room);
            let same = named.iter().map(|(_, p)| p).find(|p| Some(&p.room) == known);
            let room = if failed { same.or(named.first().map(|(_, p)| p)) } else { highest.as_ref() };
            if let Some(named) = room {
                place.room = named.room.clone();
            }
        }
        (Some(answer), Some(place))
    }

    /// Whose placement holds among these.
    fn highest(&mut self, placed: &[(&Line, Placement)]) -> (Option<Answer>, Option<Placement>) {
        let say = |(line, placement): &(&Line, Placement)| {
            let text = placement.text();
            spoken(line.source(), &line.placement, Claimed::Value(Value::Text(text.as_str().into())), text)
        };
        let claims = placed.iter().map(say).collect();
        let answer = self.ask(Subject::StayField("placement"), ConflictKind::Placement, "placement", claims);
        let source = answer.as_ref().map(Answer::winner_source);
        let found = placed.iter().find(|(line, _)| Some(line.source()) == source.as_ref());
        (answer, found.map(|(_, placement)| placement.clone()))
    }

    fn winner(&self, answer: &Option<Answer>) -> Option<&'a Line> {
        let source = answer.as_ref()?.winner_source();
        self.lines.iter().copied().find(|line| *line.source() == source)
    }
}

/// Merges what the lines of a stay say.
pub(crate) fn merge(
    policy: &mut dyn Policy,
    property: &Name,
    lines: &[Line],
    members: &Members,
    memory: &Memory,
) -> Stay {
    let lines: Vec<&Line> = members.iter().map(|at| &lines[*at]).collect();
    let mut inquiry = Inquiry { policy, property, lines: lines.clone(), memory };
    let (status, money, guests) = (inquiry.status(), inquiry.money(), inquiry.guests());
    let (placement, place) = inquiry.placement();
    let references: BTreeSet<Name> = lines
        .iter()
        .flat_map(|line| line.references.value.iter().flatten())
        .map(|r| format!("{}:{}:{}", r.kind, r.issuer, r.value).into())
        .collect();
    Stay {
        id: lines[0].id(),
        first: lines[0].first,
        keys: lines.iter().map(|line| line.key.clone()).collect(),
        lines: lines.iter().map(|line| line.id()).collect(),
        references: references.into_iter().collect(),
        status: inquiry.winner(&status).and_then(|line| line.status.value),
        status_source: status.as_ref().map_or_else(|| "".into(), Answer::winner_source),
        status_rule: status.as_ref().map_or_else(|| "".into(), |answer| answer.rule.clone()),
        placement: place,
        money: inquiry.winner(&money).and_then(|line| line.money.value),
        guests: inquiry.winner(&guests).and_then(|line| line.guests.value),
        answers: [status, placement, money, guests].into_iter().flatten().collect(),
    }
}

/// Rule 12: the same nights and type, and no two rooms named.
fn agree(placed: &[(&Line, Placement)]) -> bool {
    let rooms: BTreeSet<&Name> = placed.iter().map(|(_, p)| &p.room).filter(|room| !room.is_empty()).collect();
    placed.iter().all(|(_, p)| p.same_nights_and_type(&placed[0].1)) && rooms.len() < 2
}
