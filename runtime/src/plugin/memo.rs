//! A bounded memory of answers. Knows nothing about questions but that equal ones have equal answers.

use std::borrow::Borrow;
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
    pub(super) fn get<B: Hash + Eq + ?Sized>(&mut self, question: &B) -> Option<A>
    where
        Q: Borrow<B>,
    {
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

#[cfg(test)]
mod tests {
    use super::Memo;

    #[test]
    fn it_forgets_what_nobody_asks_for() {
        let mut memo = Memo::new(2);
        for question in 0..4 {
            memo.insert(question, question * 10);
            assert_eq!(memo.get(&0), Some(0), "asked for at {question}");
        }
        assert_eq!(memo.get(&3), Some(30));
        assert_eq!(memo.get(&1), None);
    }
}
