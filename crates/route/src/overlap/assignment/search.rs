//! The search for one choice of each variable, so that all avoided alternatives fail.

/// Maximum number of steps of one search.
pub(super) const STEPS_MAX: usize = 20_000;

/// A value with the avoided alternatives that fail because of it.
#[derive(Debug)]
pub(super) struct Choice<V> {
    pub(super) value: V,
    pub(super) fails: Bits,
}

/// A set of avoided alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits(Vec<u64>);

/// Picks one choice for each variable so that all `avoided` alternatives fail; returns them as indices.
///
/// `steps` is counted down; at 0 the search ends.
pub(super) fn pick<V>(variables: &[Vec<Choice<V>>], avoided: usize, steps: &mut usize) -> Option<Vec<usize>> {
    // `reach[k]` is the set that can fail by the variables from k on.
    let mut reach = vec![Bits::empty(avoided); variables.len() + 1];
    for (index, choices) in variables.iter().enumerate().rev() {
        reach[index] = reach[index + 1].clone();
        for choice in choices {
            reach[index].insert_all(&choice.fails);
        }
    }
    let all = Bits::full(avoided);
    // Depth-first: `picked[k]` is the choice of variable k, `failed[k]` the set that fails by those before it.
    let mut picked: Vec<usize> = Vec::new();
    let mut failed = vec![Bits::empty(avoided)];
    let mut next = 0;
    loop {
        let depth = picked.len();
        if *steps == 0 {
            return None;
        }
        *steps -= 1;
        let hopeless = {
            let mut best = failed[depth].clone();
            best.insert_all(&reach[depth]);
            best != all
        };
        let choice = variables.get(depth).filter(|_| !hopeless);
        match choice.map(|choices| choices.get(next)) {
            None if !hopeless => return Some(picked),
            Some(Some(choice)) => {
                let mut after = failed[depth].clone();
                after.insert_all(&choice.fails);
                failed.push(after);
                picked.push(next);
                next = 0;
            }
            // Out of choices: backtrack to the next one of the previous variable.
            None | Some(None) => {
                next = picked.pop()? + 1;
                failed.pop();
            }
        }
    }
}

impl Bits {
    pub(super) fn empty(len: usize) -> Self {
        Self(vec![0; len.div_ceil(64)])
    }

    fn full(len: usize) -> Self {
        let mut bits = Self::empty(len);
        for index in 0..len {
            bits.insert(index);
        }
        bits
    }

    pub(super) fn insert(&mut self, index: usize) {
        self.0[index / 64] |= 1 << (index % 64);
    }

    fn insert_all(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    pub(super) fn contains(&self, other: &Self) -> bool {
        self.0
            .iter()
            .zip(&other.0)
            .all(|(mine, theirs)| mine & theirs == *theirs)
    }
}
