//! Lists of candidates, each in rank order, in one buffer.

use crate::table::TableError;

/// The id of a list. The id of a list with a single candidate, as most are, encodes the candidate: see [`single`].
pub(super) type ListId = u32;

/// The list without candidates.
pub(super) const EMPTY: ListId = 0;

/// Bit of an id that encodes a single candidate.
const SINGLE: ListId = 1 << 31;
/// Bit of such an id for an unconditional candidate.
const UNCONDITIONAL: ListId = 1 << 30;

/// Returns the candidate that the id encodes, if it does, without access to the list.
pub(super) fn single(list: ListId) -> Option<Candidate> {
    (list & SINGLE != 0).then_some(Candidate {
        order: list & !(SINGLE | UNCONDITIONAL),
        unconditional: list & UNCONDITIONAL != 0,
    })
}

/// An alternative of which host and path match.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Index among all alternatives of the table, in rank order.
    pub(super) order: u32,
    /// True if it has no other conditions, so they need not be evaluated.
    pub(super) unconditional: bool,
}

#[derive(Debug)]
pub(super) struct Lists {
    candidates: Vec<Candidate>,
    /// List k is `candidates[starts[k]..starts[k + 1]]`.
    starts: Vec<u32>,
}

/// Lists under construction.
#[derive(Debug)]
pub(super) struct ListsBuilder {
    members: Vec<(ListId, Candidate)>,
    len: ListId,
}

impl ListsBuilder {
    pub(super) fn new() -> Self {
        Self {
            members: Vec::new(),
            len: EMPTY + 1,
        }
    }

    /// Appends to `list`, or to a new list for [`EMPTY`]; candidates come in rank order.
    pub(super) fn push(&mut self, list: ListId, candidate: Candidate) -> Result<ListId, TableError> {
        let list = if list == EMPTY {
            let new = self.len;
            self.len = new.checked_add(1).ok_or(TableError::TooLarge)?;
            new
        } else {
            list
        };
        self.members.push((list, candidate));
        Ok(list)
    }

    pub(super) fn finish(mut self) -> Lists {
        self.members.sort_unstable();
        let mut starts = Vec::with_capacity(self.len as usize + 1);
        let mut at = 0;
        for list in 0..=self.len {
            while self.members.get(at).is_some_and(|(of, _)| *of < list) {
                at += 1;
            }
            // There are as many members as orders, which are u32.
            starts.push(at as u32);
        }
        Lists {
            candidates: self.members.into_iter().map(|(_, candidate)| candidate).collect(),
            starts,
        }
    }
}

impl Lists {
    /// Returns the number of lists, including [`EMPTY`].
    pub(super) fn len(&self) -> ListId {
        // One start for each list, and the end of the last.
        self.starts.len() as ListId - 1
    }

    /// Adds a list; `candidates` come in rank order.
    pub(super) fn add(&mut self, candidates: &[Candidate]) -> Result<ListId, TableError> {
        let id = self.len();
        self.candidates.extend_from_slice(candidates);
        let end = u32::try_from(self.candidates.len()).map_err(|_| TableError::TooLarge)?;
        self.starts.push(end);
        Ok(id)
    }

    /// Returns the range of a list among all candidates.
    pub(super) fn range(&self, id: ListId) -> (usize, usize) {
        let (from, to) = (self.starts[id as usize], self.starts[id as usize + 1]);
        (from as usize, to as usize)
    }

    /// Returns the id that encodes the candidate, if the list has a single one; else `id`.
    pub(super) fn compact(&self, id: ListId) -> ListId {
        match *self.list(id) {
            [Candidate { order, unconditional }] if order < UNCONDITIONAL => {
                SINGLE | order | if unconditional { UNCONDITIONAL } else { 0 }
            }
            _ => id,
        }
    }

    /// Returns the candidate at an index among all.
    pub(super) fn candidate(&self, at: usize) -> Candidate {
        self.candidates[at]
    }

    /// Releases memory reserved for further lists.
    pub(super) fn shrink(&mut self) {
        self.candidates.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    pub(super) fn list(&self, id: ListId) -> &[Candidate] {
        let (from, to) = self.range(id);
        &self.candidates[from..to]
    }
}
