//! Asks a guest many questions and finds out which of them it cannot answer.
//!
//! The verdict on a question is what a fresh instance says to it alone, with the whole budget.
//! Everything else is a short cut that must come to the same: a call with several questions, or on an
//! instance that was used before, gets half the budget. So whoever succeeds on a short cut succeeds
//! alone as well (unless the first call of an instance costs half a budget more than the others), and
//! whoever fails on one is asked again the long way. Knows instances and budgets; does not know
//! what is asked.

use std::sync::Arc;

use wasmtime::{Engine, Store};

use super::error::{Failure, HostError};
use super::limits::Limits;
use super::sandbox::{self, Budget, Cell};

/// The most questions of one call.
const BATCH: usize = 256;

/// How instances of one plugin are made.
pub(super) trait Kind {
    /// The guest's functions.
    type Guest;
    /// Instantiates and prepares; the same every time.
    fn start(&self, store: &mut Store<Cell>) -> Result<Self::Guest, Wrong>;
}

/// How a call went wrong.
pub(super) enum Wrong {
    /// The call failed.
    Failed(wasmtime::Error),
    /// It came back with an answer that makes no sense.
    Nonsense(String),
}

impl From<wasmtime::Error> for Wrong {
    fn from(error: wasmtime::Error) -> Self {
        Wrong::Failed(error)
    }
}

struct Instance<G> {
    store: Store<Cell>,
    guest: G,
}

/// The instances of one plugin: one that is kept for the next call, and fresh ones at need.
pub(super) struct Pool<K: Kind> {
    engine: Engine,
    plugin: Arc<str>,
    limits: Limits,
    kind: K,
    kept: Option<Instance<K::Guest>>,
    pace: Pace,
}

impl<K: Kind> Pool<K> {
    pub(super) fn new(engine: &Engine, plugin: Arc<str>, limits: Limits, kind: K) -> Self {
        Pool { engine: engine.clone(), plugin, limits, kind, kept: None, pace: Pace::default() }
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Fuel that a question took lately, at the most; 0 before the first.
    pub(super) fn cost(&self) -> u64 {
        self.pace.fuel
    }

    pub(super) fn rename(&mut self, plugin: Arc<str>) {
        self.plugin = plugin;
        self.kept = None;
    }

    /// The budget of a record's call.
    pub(super) fn per_record(&self, purpose: &'static str) -> Budget {
        let Limits { fuel_per_record, output_bytes, .. } = self.limits;
        Budget { fuel: fuel_per_record, output_bytes, purpose, limit: "fuel_per_record" }
    }

    /// Starts an instance and makes one call on it: how a plugin is tried when it is loaded.
    pub(super) fn first<A>(
        &mut self,
        budget: Budget,
        call: impl FnOnce(&mut Store<Cell>, &K::Guest) -> Result<A, Wrong>,
    ) -> Result<A, Failure> {
        let Instance { mut store, guest } = self.start()?;
        let answer = attempt(&mut store, budget, |store| call(store, &guest))?;
        self.kept = Some(Instance { store, guest });
        Ok(answer)
    }

    /// Asks all questions; one answer each, in order. `size` is a question's weight in bytes.
    pub(super) fn ask<Q, A>(
        &mut self,
        budget: Budget,
        questions: &[Q],
        size: impl Fn(&Q) -> usize,
        mut call: impl FnMut(&mut Store<Cell>, &K::Guest, &[Q]) -> Result<Vec<A>, Wrong>,
    ) -> Result<Vec<Result<A, Failure>>, HostError> {
        let mut answers = Vec::with_capacity(questions.len());
        let mut rest = questions;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.chunk(budget, rest, &size));
            match self.together(budget, now, &mut call)? {
                Some(all) => answers.extend(all.into_iter().map(Ok)),
                None => {
                    for question in now {
                        answers.push(self.alone(budget, question, &mut call)?);
                    }
                }
            }
            rest = later;
        }
        Ok(answers)
    }

    /// Several questions in one call; `None` when it fails or there is only one.
    fn together<Q, A>(
        &mut self,
        budget: Budget,
        questions: &[Q],
        call: &mut impl FnMut(&mut Store<Cell>, &K::Guest, &[Q]) -> Result<Vec<A>, Wrong>,
    ) -> Result<Option<Vec<A>>, HostError> {
        if questions.len() < 2 {
            return Ok(None);
        }
        let instance = match self.take_kept() {
            Some(instance) => instance,
            None => self.fresh()?,
        };
        Ok(self.try_on(instance, half(budget), questions, call).ok())
    }

    /// One question by itself: on the kept instance if that will do, else on a fresh one.
    fn alone<Q, A>(
        &mut self,
        budget: Budget,
        question: &Q,
        call: &mut impl FnMut(&mut Store<Cell>, &K::Guest, &[Q]) -> Result<Vec<A>, Wrong>,
    ) -> Result<Result<A, Failure>, HostError> {
        let questions = std::slice::from_ref(question);
        let only = |answers: Vec<A>| answers.into_iter().next();
        if let Some(instance) = self.take_kept()
            && let Ok(answers) = self.try_on(instance, half(budget), questions, call)
            && let Some(answer) = only(answers)
        {
            return Ok(Ok(answer));
        }
        let instance = self.fresh()?;
        let answers = match self.try_on(instance, budget, questions, call) {
            Ok(answers) => answers,
            Err(failure) => return Ok(Err(failure)),
        };
        let none = || Failure { message: format!("the plugin did not answer {}", budget.purpose) };
        Ok(only(answers).ok_or_else(none))
    }

    /// Makes the call and keeps the instance if it survives.
    fn try_on<Q, A>(
        &mut self,
        Instance { mut store, guest }: Instance<K::Guest>,
        budget: Budget,
        questions: &[Q],
        call: &mut impl FnMut(&mut Store<Cell>, &K::Guest, &[Q]) -> Result<Vec<A>, Wrong>,
    ) -> Result<Vec<A>, Failure> {
        let answers = attempt(&mut store, budget, |store| {
            let answers = call(store, &guest, questions)?;
            if answers.len() != questions.len() {
                return Err(Wrong::Nonsense(wrong_count(answers.len(), questions.len())));
            }
            Ok(answers)
        })?;
        self.pace.observe(budget.fuel.saturating_sub(sandbox::fuel_left(&store)), questions.len());
        self.kept = Some(Instance { store, guest });
        Ok(answers)
    }

    /// How many of the questions go into the next call: what is expected to stay well within half a
    /// budget and an eighth of the memory.
    fn chunk<Q>(&self, budget: Budget, questions: &[Q], size: impl Fn(&Q) -> usize) -> usize {
        let most = self.pace.fits(half(budget).fuel).min(questions.len());
        let room = self.limits.memory_bytes / 8;
        let mut bytes = 0_usize;
        let fitting = questions[..most].iter().take_while(|q| {
            bytes = bytes.saturating_add(size(q));
            bytes <= room
        });
        fitting.count().max(1)
    }

    /// The kept instance, unless its memory is nearly used up.
    fn take_kept(&mut self) -> Option<Instance<K::Guest>> {
        let limit = self.limits.memory_bytes / 4 * 3;
        self.kept.take().filter(|i| i.store.data().memory() <= limit)
    }

    /// Another instance. The guest's part in it is always the same and went well when the plugin was
    /// loaded, so a failure now is the machine's.
    fn fresh(&mut self) -> Result<Instance<K::Guest>, HostError> {
        self.start().map_err(|f| HostError::Instance { plugin: self.plugin.to_string(), reason: f.message })
    }

    fn start(&self) -> Result<Instance<K::Guest>, Failure> {
        let mut store = sandbox::store(&self.engine, &self.plugin, &self.limits);
        let Limits { fuel_to_start: fuel, output_bytes, .. } = self.limits;
        let budget = Budget { fuel, output_bytes, purpose: "its start", limit: "fuel_to_start" };
        let guest = attempt(&mut store, budget, |store| self.kind.start(store))?;
        Ok(Instance { store, guest })
    }
}

/// One call on a store, with what goes wrong put into words.
fn attempt<R>(
    store: &mut Store<Cell>,
    budget: Budget,
    make: impl FnOnce(&mut Store<Cell>) -> Result<R, Wrong>,
) -> Result<R, Failure> {
    let made = sandbox::call(store, budget, |store| match make(store) {
        Ok(answer) => Ok(Ok(answer)),
        Err(Wrong::Nonsense(what)) => Ok(Err(what)),
        Err(Wrong::Failed(error)) => Err(error),
    })?;
    made.map_err(|what| sandbox::nonsense(store, what))
}

pub(super) fn wrong_count(answers: usize, questions: usize) -> String {
    format!("the plugin gave {answers} answers to {questions} questions")
}

fn half(budget: Budget) -> Budget {
    Budget { fuel: budget.fuel / 2, output_bytes: budget.output_bytes / 2, ..budget }
}

/// What a question costs, as far as seen, so that calls do not grow beyond their budget.
#[derive(Default)]
struct Pace {
    fuel: u64,
}

impl Pace {
    /// Rises at once and falls slowly.
    fn observe(&mut self, fuel: u64, questions: usize) {
        let each = fuel / questions.max(1) as u64;
        self.fuel = each.max(self.fuel - self.fuel / 8);
    }

    fn fits(&self, fuel: u64) -> usize {
        let three_quarters = fuel / 4 * 3;
        usize::try_from(three_quarters / self.fuel.max(1)).unwrap_or(BATCH).clamp(1, BATCH)
    }
}

#[cfg(test)]
mod tests {
    use super::{BATCH, Pace};

    #[test]
    fn calls_shrink_at_once_and_grow_slowly() {
        let mut pace = Pace::default();
        assert_eq!(pace.fits(1_000_000), BATCH);
        pace.observe(200_000, 2);
        assert_eq!(pace.fits(1_000_000), 7);
        pace.observe(10, 10);
        assert_eq!(pace.fits(1_000_000), 8);
        pace.observe(u64::MAX, 1);
        assert_eq!(pace.fits(1_000_000), 1);
    }
}
