//! Answers that those who ask the same share for a moment.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::OnceCell;

/// Questions of a moment, at most. Further ones are asked without sharing.
pub(crate) const QUESTIONS_MAX: usize = 256;

/// The answer to a question, once it is there.
pub(crate) type Answer<V> = Arc<OnceCell<Arc<V>>>;

/// The questions of a moment, and their answers.
pub(crate) struct Shared<K, V> {
    held: Mutex<(u64, HashMap<K, Answer<V>>)>,
}

impl<K: Clone + Eq + Hash, V> Shared<K, V> {
    /// The answer to what is asked in the moment `now`.
    pub(crate) fn of(&self, asked: &K, now: u64) -> Answer<V> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.0 != now {
            *held = (now, HashMap::new());
        }
        let answers = &mut held.1;
        if answers.len() >= QUESTIONS_MAX && !answers.contains_key(asked) {
            return Answer::default();
        }
        Arc::clone(answers.entry(asked.clone()).or_default())
    }
}

impl<K, V> Default for Shared<K, V> {
    fn default() -> Self {
        Self {
            held: Mutex::default(),
        }
    }
}

impl<K, V> fmt::Debug for Shared<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_of_a_moment_are_bounded() {
        let shared = Shared::<u32, ()>::default();
        for asked in 0..1000 {
            shared.of(&asked, 7);
        }
        assert_eq!(shared.held.lock().unwrap().1.len(), QUESTIONS_MAX);
        assert!(!Arc::ptr_eq(&shared.of(&5000, 7), &shared.of(&5000, 7)));
        assert!(Arc::ptr_eq(&shared.of(&5, 7), &shared.of(&5, 7)));
        assert!(
            !Arc::ptr_eq(&shared.of(&5, 7), &shared.of(&5, 8)),
            "another moment"
        );
    }
}
