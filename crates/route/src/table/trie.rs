//! The trie of closed templates and open patterns, by segments.

use crate::path::{Segment, Segments};
use crate::table::TableError;
use crate::table::keys::Keys;
use crate::table::lists::{EMPTY, ListId};

/// The id of a node; 0 is none.
pub(super) type NodeId = u32;

/// A forest with one root for each host.
#[derive(Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    /// Literal children, by parent and segment.
    literals: Keys,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Node {
    /// Child for any non-empty segment; 0 without one.
    parameter: NodeId,
    /// False saves the lookup at leaves, where most walks end.
    has_literals: bool,
    /// Closed templates that end here.
    pub(super) closed: ListId,
    /// Open patterns whose segments end here.
    pub(super) open: ListId,
}

/// The nodes on the paths through the trie, level by level.
///
/// The nodes of a level are in the order of their ranks: at the leftmost segment where two differ, the one
/// with the literal comes first.
#[derive(Debug, Default)]
pub(super) struct Walk {
    nodes: Vec<NodeId>,
    /// Start of each level in `nodes`. Level k has the nodes after k segments.
    levels: Vec<usize>,
    /// True if the last level covers the whole path.
    complete: bool,
}

const EMPTY_NODE: Node = Node {
    parameter: 0,
    has_literals: false,
    closed: EMPTY,
    open: EMPTY,
};

impl Default for Trie {
    fn default() -> Self {
        Self {
            nodes: vec![EMPTY_NODE],
            literals: Keys::default(),
        }
    }
}

impl Trie {
    pub(super) fn add_root(&mut self) -> Result<NodeId, TableError> {
        let id = u32::try_from(self.nodes.len()).map_err(|_| TableError::TooLarge)?;
        self.nodes.push(EMPTY_NODE);
        Ok(id)
    }

    /// Returns the node for `segments` below `root`, inserting it if needed.
    pub(super) fn insert(&mut self, root: NodeId, segments: &[Segment]) -> Result<NodeId, TableError> {
        let mut at = root;
        for segment in segments {
            let known = match segment {
                Segment::Literal(text) => self.literals.find(at, text.as_bytes()),
                Segment::Parameter(_) => Some(self.nodes[at as usize].parameter).filter(|&child| child != 0),
            };
            at = match known {
                Some(child) => child,
                None => {
                    let child = self.add_root()?;
                    match segment {
                        Segment::Literal(text) => {
                            self.literals.insert(at, text.as_bytes(), child)?;
                            self.nodes[at as usize].has_literals = true;
                        }
                        Segment::Parameter(_) => self.nodes[at as usize].parameter = child,
                    }
                    child
                }
            };
        }
        Ok(at)
    }

    pub(super) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    pub(super) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        &mut self.nodes[id as usize]
    }

    /// Replaces the lists of every node.
    pub(super) fn map_lists(&mut self, map: impl Fn(ListId) -> ListId) {
        for node in &mut self.nodes {
            node.closed = map(node.closed);
            node.open = map(node.open);
        }
    }

    /// Walks `path` from `root`.
    ///
    /// The cost is bounded by the length of the path and, where literals and parameters branch, by the number
    /// of nodes that the patterns of this host have at each level; a request cannot increase it.
    pub(super) fn walk(&self, root: NodeId, path: &[u8], walk: &mut Walk) {
        walk.nodes.clear();
        walk.levels.clear();
        walk.nodes.push(root);
        walk.levels.push(0);
        walk.complete = false;
        let mut from = 0;
        let mut segments = Segments::of(path);
        loop {
            let Some(range) = segments.next() else {
                walk.complete = true;
                return;
            };
            let segment = &path[range];
            let to = walk.nodes.len();
            for at in from..to {
                let id = walk.nodes[at];
                let node = self.node(id);
                if node.has_literals
                    && let Some(child) = self.literals.find(id, segment)
                {
                    walk.nodes.push(child);
                }
                if node.parameter != 0 && !segment.is_empty() {
                    walk.nodes.push(node.parameter);
                }
            }
            if walk.nodes.len() == to {
                return;
            }
            walk.levels.push(to);
            from = to;
        }
    }
}

impl Walk {
    /// Returns the nodes whose closed templates cover the path, best first.
    pub(super) fn closed(&self) -> &[NodeId] {
        match self.levels.last() {
            Some(&from) if self.complete => &self.nodes[from..],
            _ => &[],
        }
    }

    /// Returns the levels of nodes whose open patterns cover the path, deepest first, each best first.
    pub(super) fn open(&self) -> impl Iterator<Item = &[NodeId]> {
        let mut to = self.nodes.len();
        self.levels.iter().rev().map(move |&from| {
            let level = &self.nodes[from..to];
            to = from;
            level
        })
    }
}
