//! How much is kept loaded: which models leave memory when another came in. Those that were not asked for the longest
//! go first.

use std::sync::{Arc, PoisonError};

use super::{Deployment, Repository};
use crate::config::CacheLimits;

/// A model in memory, as the choice needs it.
#[derive(Debug, Clone, Copy)]
struct Held {
    memory: u64,
    /// When it was asked for last.
    used: u64,
    /// True for what could not be loaded again, and for what just came.
    stays: bool,
}

/// Which of the models leave, by their place.
fn leaving(held: &[Held], limits: CacheLimits) -> Vec<usize> {
    let mut count = held.len();
    let mut memory: u64 = held.iter().map(|held| held.memory).sum();
    let mut order: Vec<_> = (0..held.len()).filter(|i| !held[*i].stays).collect();
    order.sort_by_key(|i| held[*i].used);
    let mut leaving = Vec::new();
    for i in order {
        let too_many = limits.models.is_some_and(|most| count > most);
        if count == 1 || !(too_many || memory > limits.bytes) {
            break;
        }
        (count, memory) = (count - 1, memory - held[i].memory);
        leaving.push(i);
    }
    leaving
}

impl Repository {
    /// Makes room after `newest` was loaded. A model whose package on the disk is broken by now stays: it could not
    /// come back.
    pub(super) fn make_room(&self, newest: &Deployment) {
        let _one_at_a_time = self.room.lock().unwrap_or_else(PoisonError::into_inner);
        let view = self.view.load();
        let loaded: Vec<_> = view
            .values()
            .filter_map(|deployment| Some((deployment, deployment.current.load_full()?)))
            .collect();
        let held: Vec<_> = loaded
            .iter()
            .map(|(deployment, loaded)| Held {
                memory: loaded.facts.memory as u64,
                used: deployment.used(),
                stays: std::ptr::eq(Arc::as_ptr(deployment), newest)
                    || deployment.state().failure().is_some(),
            })
            .collect();
        for i in leaving(&held, self.settings.cache) {
            let (deployment, loaded) = &loaded[i];
            deployment.unload();
            deployment.statistics.evictions.add();
            let rest = held.iter().map(|held| held.memory).sum::<u64>();
            self.log(&format!(
                "model '{}' left memory: {} of {} loaded, not asked for the longest",
                deployment.id,
                super::amount(loaded.facts.memory as u64),
                super::amount(rest)
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Models as `memory@used`, with `!` for one that stays.
    fn check(models: &[&str], most: Option<usize>, bytes: u64, expected: &[usize]) {
        let held: Vec<_> = models
            .iter()
            .map(|text| {
                let (memory, used) = text.trim_end_matches('!').split_once('@').unwrap();
                let (memory, used) = (memory.parse().unwrap(), used.parse().unwrap());
                Held { memory, used, stays: text.ends_with('!') }
            })
            .collect();
        assert_eq!(leaving(&held, CacheLimits { models: most, bytes }), expected, "{models:?}");
    }

    #[test]
    fn what_was_not_asked_for_the_longest_leaves_first() {
        check(&["5@3", "5@1", "5@2"], None, 15, &[]);
        check(&["5@3", "5@1", "5@2"], None, 14, &[1]);
        check(&["5@3", "5@1", "5@2"], None, 5, &[1, 2]);
        check(&["5@3", "5@1", "5@2"], Some(2), 99, &[1]);
        check(&["5@3", "5@1", "5@2"], Some(1), 99, &[1, 2]);
    }

    #[test]
    fn one_is_always_kept_and_some_stay() {
        check(&["50@1"], None, 9, &[]);
        check(&["50@1!", "5@2"], None, 9, &[1]);
        check(&["5@1!", "5@2!", "5@3"], Some(1), 9, &[2]);
        check(&["5@1", "5@2"], Some(0), 0, &[0]);
    }
}
