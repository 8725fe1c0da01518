//! A bounded memory of answers. Knows nothing about questions but that equal ones have equal answers.

use std::hash::Hash;

use hashbrown::HashMap;

/// Keeps at least the last `generation` answers and at most twice as many.
pub(super) struct Memo<Q, A> {
    generation: usize,
    young: HashMap<Q, A>,
    old: HashMap<Q, A>,
}

impl<Q: Hash + Eq + Clone, A: Clone> Memo<Q, A> {
    pub(super) fn new(generation: usize) -> Self {
        Memo { generation, young: HashMap::new(), old: HashMap::new() }
    }

    /// The answer, if it is known; one that is asked for stays longer.
    pub(super) fn get(&mut self, question: &Q) -> Option<A> {
        if let Some(answer) = self.young.get(question) {
            return Some(answer.clone());
        }
        let (question, answer) = self.old.remove_entry(question)?;
        self.insert(question, answer.clone());
        Some(answer)
    }

    pub(super) fn insert(&mut self, question: Q, answer: A) {
        if self.young.len() >= self.generation {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(question, answer);
    }
}
