//! The plugin that holds the rules, as the merge's [`Policy`].
//!
//! Knows the plugin's functions, checks its answers and remembers them: equal questions have equal
//! answers. Does not know the rules, and does not judge whether an answer is safe.

use std::collections::HashSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use wasmtime::Store;

use super::bindings::normalizer::concord::plugin::types as words;
use super::bindings::precedence::exports::concord::plugin::rules as wire;
use super::bindings::precedence::{Precedence as Guest, PrecedencePre};
use super::error::{Failure, HostError, LoadError};
use super::limits::Limits;
use super::memo::Memo;
use super::pool::{self, Kind, Pool, Wrong};
use super::sandbox::{self, Cell};
use crate::policy::{Claim, Claimed, Contest, Fault, Policy, Ranking, RoomClaim, Subject, Terms, Verdict};
use crate::types::{Status, Value};

/// Answers remembered of each kind, at least.
const REMEMBERED: usize = 16_384;
/// Rules of one set, and diagnostics shown of one that does not hold.
const RULES: usize = 10_000;
const DIAGNOSTICS: usize = 100;

/// What rules may speak about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vocabulary {
    /// The names of the pipeline's sources.
    pub sources: Vec<String>,
    /// `capacity`, `availability`, `closed` and the declared inventory fields.
    pub fields: Vec<String>,
}

/// A rule set that holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub name: String,
    pub version: String,
    /// Every rule id, in the order of the file.
    pub rules: Vec<Arc<str>>,
}

/// What is wrong with a rule set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnostic {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    pub message: String,
    /// What to write instead.
    pub proposal: Option<String>,
}

/// A precedence plugin that holds a rule set.
pub struct Precedence {
    pool: Pool<Starter>,
    id: Arc<str>,
    summary: Summary,
    rules: HashSet<Arc<str>>,
    contests: Memo<Contest, Result<Verdict, Fault>>,
    claims: Memo<RoomClaim, Result<Ranking, Fault>>,
    terms: Memo<Arc<str>, Result<Terms, Fault>>,
    broken: Option<HostError>,
}

/// Starts instances that hold the rule set.
struct Starter {
    pre: PrecedencePre<Cell>,
    rule_set: String,
    vocabulary: wire::Vocabulary,
}

/// What the plugin says to several questions, each for itself.
type Asked<A> = Result<Vec<Result<A, Failure>>, HostError>;

/// What the plugin says to a rule set.
type Configured = Result<wire::Summary, Vec<wire::Diagnostic>>;

impl Starter {
    fn configure(&self, store: &mut Store<Cell>, guest: &Guest) -> Result<Configured, Wrong> {
        Ok(guest.concord_plugin_rules().call_configure(store, &self.rule_set, &self.vocabulary)?)
    }
}

impl Kind for Starter {
    /// The functions, and what `configure` said.
    type Guest = (Guest, Configured);

    fn start(&self, store: &mut Store<Cell>) -> Result<Self::Guest, Wrong> {
        let guest = self.pre.instantiate(&mut *store)?;
        let configured = self.configure(store, &guest)?;
        Ok((guest, configured))
    }
}

impl Precedence {
    /// Starts the plugin with a rule set; the inner error is what is wrong with the rules.
    pub(super) fn load(
        engine: &wasmtime::Engine,
        pre: PrecedencePre<Cell>,
        id: Arc<str>,
        limits: Limits,
        rule_set: &str,
        vocabulary: &Vocabulary,
    ) -> Result<Result<Self, Vec<Diagnostic>>, LoadError> {
        let Vocabulary { sources, fields } = vocabulary.clone();
        let starter = Starter { pre, rule_set: rule_set.to_owned(), vocabulary: wire::Vocabulary { sources, fields } };
        let text_bytes = limits.text_bytes;
        let code_bytes = limits.code_bytes;
        let mut pool = Pool::new(engine, id.clone(), limits, starter);
        let budget = pool.per_record("its configuration");
        let configured = pool
            .first(budget, |_, (_, configured)| match configured.clone() {
                Ok(summary) => Ok(Ok(summarized(summary, code_bytes).map_err(Wrong::Nonsense)?)),
                Err(list) if list.is_empty() => {
                    Err(Wrong::Nonsense("the plugin refuses the rule set without a diagnostic".into()))
                }
                Err(list) => Ok(Err(list)),
            })
            .map_err(|failure| LoadError::Fault(failure.message))?;
        Ok(match configured {
            Err(list) => Err(list.into_iter().take(DIAGNOSTICS).map(|d| diagnostic(d, text_bytes)).collect()),
            Ok(summary) => Ok(Precedence {
                pool,
                id,
                rules: summary.rules.iter().cloned().collect(),
                summary,
                contests: Memo::new(REMEMBERED),
                claims: Memo::new(REMEMBERED),
                terms: Memo::new(REMEMBERED),
                broken: None,
            }),
        })
    }

    /// Name, version and rules of the rule set.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// `precedence@` and the first 12 hexadecimal digits of the component's SHA-256: the interface
    /// knows no name of the plugin itself.
    pub fn id(&self) -> Arc<str> {
        self.id.clone()
    }

    /// The host's own failure since the last call of this function, if there was one. Answers given
    /// since then are worthless: what was decided with them must not be written.
    pub fn take_failure(&mut self) -> Option<HostError> {
        self.broken.take()
    }

    /// Answers from memory what it can and asks the plugin for the rest, each question once.
    fn answers<Q, A>(
        &mut self,
        questions: &[Q],
        memo: fn(&mut Self) -> &mut Memo<Q, Result<A, Fault>>,
        ask: fn(&mut Self, &[Q]) -> Asked<A>,
    ) -> Vec<Result<A, Fault>>
    where
        Q: std::hash::Hash + Eq + Clone,
        A: Clone,
    {
        let mut answers: Vec<Option<Result<A, Fault>>> = questions.iter().map(|q| memo(self).get::<Q>(q)).collect();
        let mut unknown: Vec<Q> = Vec::new();
        let mut places: hashbrown::HashMap<&Q, usize> = hashbrown::HashMap::new();
        for (question, _) in questions.iter().zip(&answers).filter(|(_, answer)| answer.is_none()) {
            places.entry(question).or_insert_with(|| {
                unknown.push(question.clone());
                unknown.len() - 1
            });
        }
        if unknown.is_empty() {
            return answers.into_iter().flatten().collect();
        }
        let asked: Vec<Result<A, Fault>> = match ask(self, &unknown) {
            Ok(asked) => asked.into_iter().map(|answer| answer.map_err(|f| Fault(f.message))).collect(),
            Err(error) => {
                let fault = Fault(error.to_string());
                self.broken = Some(error);
                return answers.into_iter().map(|known| known.unwrap_or_else(|| Err(fault.clone()))).collect();
            }
        };
        for (question, answer) in questions.iter().zip(&mut answers).filter(|(_, answer)| answer.is_none()) {
            *answer = places.get(question).and_then(|place| asked.get(*place)).cloned();
        }
        for (question, answer) in unknown.into_iter().zip(asked) {
            memo(self).insert(question, answer);
        }
        let missing = || Err(Fault("the plugin did not answer".into()));
        answers.into_iter().map(|answer| answer.unwrap_or_else(missing)).collect()
    }
}

impl Policy for Precedence {
    fn resolve(&mut self, contests: &[Contest]) -> Vec<Result<Verdict, Fault>> {
        self.answers(
            contests,
            |this| &mut this.contests,
            |this, asked| {
                let budget = this.pool.per_record("one contest");
                let text_bytes = this.pool.limits().text_bytes;
                let rules = &this.rules;
                this.pool.ask(
                    budget,
                    asked,
                    |_| 2_048,
                    |store, (guest, _), asked| {
                        let questions: Vec<_> = asked.iter().map(contest).collect();
                        let verdicts = guest.concord_plugin_rules().call_resolve(store, &questions)?;
                        matched(asked, verdicts, |asked, said| verdict(asked, said, rules, text_bytes))
                    },
                )
            },
        )
    }

    fn rank(&mut self, claims: &[RoomClaim]) -> Vec<Result<Ranking, Fault>> {
        self.answers(
            claims,
            |this| &mut this.claims,
            |this, asked| {
                let budget = this.pool.per_record("one claim to rooms");
                let rules = &this.rules;
                this.pool.ask(
                    budget,
                    asked,
                    |_| 512,
                    |store, (guest, _), asked| {
                        let questions: Vec<_> = asked.iter().map(room_claim).collect();
                        let rankings = guest.concord_plugin_rules().call_rank(store, &questions)?;
                        matched(asked, rankings, |_, said| {
                            Ok(Ranking { priority: said.priority, rule: known(&said.rule, rules)? })
                        })
                    },
                )
            },
        )
    }

    fn terms(&mut self, property: &str) -> Result<Terms, Fault> {
        if let Some(known) = self.terms.get(property) {
            return known;
        }
        let asked = [Arc::<str>::from(property)];
        let mut answers = self.answers(
            &asked,
            |this| &mut this.terms,
            |this, asked| {
                let budget = this.pool.per_record("one property's terms");
                let code_bytes = this.pool.limits().code_bytes;
                let rules = &this.rules;
                this.pool.ask(
                    budget,
                    asked,
                    |_| 512,
                    |store, (guest, _), asked| {
                        let questions: Vec<String> = asked.iter().map(|p| p.to_string()).collect();
                        let all = guest.concord_plugin_rules().call_terms(store, &questions)?;
                        matched(asked, all, |_, said| terms(said, rules, code_bytes))
                    },
                )
            },
        );
        answers.pop().unwrap_or_else(|| Err(Fault("the plugin did not answer".into())))
    }
}

/// One checked answer per question, or the whole call is nonsense.
fn matched<Q, W, A>(asked: &[Q], said: Vec<W>, check: impl Fn(&Q, W) -> Result<A, String>) -> Result<Vec<A>, Wrong> {
    if said.len() != asked.len() {
        return Err(Wrong::Nonsense(pool::wrong_count(said.len(), asked.len())));
    }
    asked.iter().zip(said).map(|(asked, said)| check(asked, said).map_err(Wrong::Nonsense)).collect()
}

/// The rule's id, if the rule set has it.
fn known(rule: &str, rules: &HashSet<Arc<str>>) -> Result<Arc<str>, String> {
    match rules.get(rule) {
        Some(rule) => Ok(rule.clone()),
        None => {
            Err(format!("the plugin names the rule `{}`, which the rule set does not have", sandbox::clip(rule, 256)))
        }
    }
}

fn verdict(
    asked: &Contest,
    said: wire::Verdict,
    rules: &HashSet<Arc<str>>,
    text_bytes: usize,
) -> Result<Verdict, String> {
    let winner = said.winner as usize;
    if winner >= asked.claims.len() {
        return Err(format!("the plugin names claim {winner} of {} as the winner", asked.claims.len()));
    }
    let rule = known(&said.rule, rules)?;
    Ok(Verdict { winner, rule, reason: sandbox::clip(&said.reason, text_bytes).into(), agree: said.agree })
}

fn terms(said: wire::PropertyTerms, rules: &HashSet<Arc<str>>, code_bytes: usize) -> Result<Terms, String> {
    if said.overbook > i32::MAX as u32 {
        return Err(format!("the plugin allows {} rooms of overbooking", said.overbook));
    }
    if said.class.len() > code_bytes {
        return Err(format!("the plugin names a class of {} bytes", said.class.len()));
    }
    Ok(Terms {
        class: said.class.into(),
        overbook: said.overbook,
        rule: known(&said.rule, rules)?,
        no_show_keeps_first_night: said.no_show_keeps_first_night,
    })
}

fn summarized(said: wire::Summary, code_bytes: usize) -> Result<Summary, String> {
    let fine = |text: &String| !text.is_empty() && text.len() <= code_bytes && !text.chars().any(char::is_control);
    let wire::Summary { name, version, rules } = said;
    if !fine(&name) || !fine(&version) {
        return Err("the plugin gives the rule set an empty or overlong name or version".into());
    }
    if rules.len() > RULES || !rules.iter().all(fine) {
        return Err(format!("the plugin lists more than {RULES} rules, or one without an id"));
    }
    if let Some(rule) = rules.iter().find(|rule| rule.starts_with('!')) {
        return Err(format!("the rule id `{rule}` begins with `!`, which is Concord's own"));
    }
    Ok(Summary { name, version, rules: rules.into_iter().map(Arc::from).collect() })
}

fn diagnostic(said: wire::Diagnostic, text_bytes: usize) -> Diagnostic {
    Diagnostic {
        line: said.line.max(1),
        column: said.column.max(1),
        message: sandbox::clip(&said.message, text_bytes),
        proposal: said.proposal.map(|text| sandbox::clip(&text, text_bytes)),
    }
}

fn contest(asked: &Contest) -> wire::Contest {
    let claim = |claim: &Claim| wire::Claim {
        source: claim.source.to_string(),
        value: match &claim.value {
            Claimed::Value(v) => wire::Claimed::Value(value(v)),
            Claimed::Status(s) => wire::Claimed::Status(status(*s)),
        },
    };
    wire::Contest {
        property: asked.property.to_string(),
        room_type: asked.room_type.to_string(),
        subject: match &asked.subject {
            Subject::Field(name) => wire::Subject::Field(name.to_string()),
            Subject::Status => wire::Subject::Status,
            Subject::StayField(name) => wire::Subject::StayField((*name).to_owned()),
        },
        claims: asked.claims.iter().map(claim).collect(),
    }
}

fn room_claim(asked: &RoomClaim) -> wire::RoomClaim {
    wire::RoomClaim {
        property: asked.property.to_string(),
        room_type: asked.room_type.to_string(),
        source: asked.source.to_string(),
        status: status(asked.status),
    }
}

fn value(value: &Value) -> words::Value {
    let decimal = |units: i64| words::Decimal { units, scale: crate::types::Amount::SCALE };
    match value {
        Value::Integer(number) => words::Value::Integer(*number),
        Value::Decimal(amount) => words::Value::Decimal(decimal(amount.0)),
        Value::Money(money) => words::Value::Money(words::Money {
            amount: decimal(money.amount.0),
            currency: money.currency.as_str().to_owned(),
        }),
        Value::Text(text) => words::Value::Text(text.to_string()),
        Value::Boolean(flag) => words::Value::Boolean(*flag),
    }
}

fn status(status: Status) -> wire::StayStatus {
    match status {
        Status::Tentative => wire::StayStatus::Tentative,
        Status::Confirmed => wire::StayStatus::Confirmed,
        Status::Reinstated => wire::StayStatus::Reinstated,
        Status::CheckedIn => wire::StayStatus::CheckedIn,
        Status::CheckedOut => wire::StayStatus::CheckedOut,
        Status::Cancelled => wire::StayStatus::Cancelled,
        Status::NoShow => wire::StayStatus::NoShow,
    }
}
