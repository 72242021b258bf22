//! Lists of candidates, each in rank order, behind one another in one buffer.

use crate::table::TableError;

/// A list; [`EMPTY`] is the one without candidates. In a table, most lists have one, and are named by it: see [`single`].
pub(super) type ListId = u32;

/// The list without candidates.
pub(super) const EMPTY: ListId = 0;

/// Set in the name of a list that is its only candidate.
const SINGLE: ListId = 1 << 31;
/// Set beside it when the candidate is unconditional.
const UNCONDITIONAL: ListId = 1 << 30;

/// The only candidate of a list that is named by it, which spares a look at the list.
pub(super) fn single(list: ListId) -> Option<Candidate> {
    (list & SINGLE != 0).then_some(Candidate {
        order: list & !(SINGLE | UNCONDITIONAL),
        unconditional: list & UNCONDITIONAL != 0,
    })
}

/// An alternative that covers host and path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate {
    /// Its place among all alternatives of the table in rank order.
    pub(super) order: u32,
    /// Whether it asks for nothing else, so that it need not be looked at.
    pub(super) unconditional: bool,
}

#[derive(Debug)]
pub(super) struct Lists {
    candidates: Vec<Candidate>,
    /// List k is `candidates[starts[k]..starts[k + 1]]`.
    starts: Vec<u32>,
}

/// Lists while they are filled.
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

    /// Appends to `list`, or to a new list when that is [`EMPTY`]; candidates come in rank order.
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
            // As many members as orders, which are u32.
            starts.push(at as u32);
        }
        Lists {
            candidates: self.members.into_iter().map(|(_, candidate)| candidate).collect(),
            starts,
        }
    }
}

impl Lists {
    /// How many there are, [`EMPTY`] included.
    pub(super) fn len(&self) -> ListId {
        // One start for each list, and the last one's end.
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

    /// Where a list begins and ends among all candidates.
    pub(super) fn range(&self, id: ListId) -> (usize, usize) {
        let (from, to) = (self.starts[id as usize], self.starts[id as usize + 1]);
        (from as usize, to as usize)
    }

    /// A shorter name of a list: its only candidate, if it has but one.
    pub(super) fn compact(&self, id: ListId) -> ListId {
        match *self.list(id) {
            [Candidate { order, unconditional }] if order < UNCONDITIONAL => {
                SINGLE | order | if unconditional { UNCONDITIONAL } else { 0 }
            }
            _ => id,
        }
    }

    /// The candidate at a place among all.
    pub(super) fn candidate(&self, at: usize) -> Candidate {
        self.candidates[at]
    }

    /// Gives back memory that was kept for further lists.
    pub(super) fn shrink(&mut self) {
        self.candidates.shrink_to_fit();
        self.starts.shrink_to_fit();
    }

    pub(super) fn list(&self, id: ListId) -> &[Candidate] {
        let (from, to) = self.range(id);
        &self.candidates[from..to]
    }
}
