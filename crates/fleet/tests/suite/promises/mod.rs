//! The promises of proposals and views, one file each.

mod atomic;
mod canary;
mod certificates;
mod hostile;
mod sweep;
mod together;

use std::sync::Arc;

use waypost_fleet::config::Texts;
use waypost_fleet::key::{ConfigName, Prefix};
use waypost_fleet::proposal::{Apply, Intent, PlanError, Proposal, State};
use waypost_fleet::record::WriteId;
use waypost_fleet::record::dial::{DialRecord, TurnRecord};
use waypost_fleet::record::revision::Draft;
use waypost_fleet::replica::Replica;
use waypost_fleet::store::StoreRevision;
use waypost_fleet::view::View;

use crate::store::Store;

pub(crate) const PREFIX: &str = "/waypost/test";

/// A store with a replica that follows it, and a number for ids.
pub(crate) struct World {
    pub(crate) store: Store,
    pub(crate) replica: Replica,
    ids: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            store: Store::default(),
            replica: Replica::new(prefix()),
            ids: 0,
        }
    }

    /// The view of all that the store says.
    pub(crate) fn view(&mut self) -> Arc<View> {
        while self.replica.at() < self.store.at() {
            let next = StoreRevision(self.replica.at().0 + 1);
            self.replica.apply(self.store.changes(next).iter().cloned(), next);
        }
        self.replica.view()
    }

    /// Plans against a view.
    pub(crate) fn plan(&mut self, view: &View, intent: Intent) -> Result<Proposal, PlanError> {
        self.ids += 1;
        intent.plan(view, &WriteId::new(&format!("w{}", self.ids)).unwrap())
    }

    /// Carries a proposal out. Returns true if it happened.
    pub(crate) fn commit(&mut self, proposal: &Proposal) -> bool {
        for parts in &proposal.parts {
            assert!(self.store.commit(parts));
        }
        self.store.commit(&proposal.main)
    }

    /// Carries out what is wanted of the present view.
    pub(crate) fn carry_out(&mut self, intent: Intent) -> Proposal {
        let view = self.view();
        let proposal = self.plan(&view, intent).unwrap();
        assert!(self.commit(&proposal));
        proposal
    }
}

pub(crate) fn prefix() -> Prefix {
    PREFIX.parse().unwrap()
}

/// A key under the prefix.
pub(crate) fn key(rest: &str) -> String {
    format!("{PREFIX}/{rest}")
}

pub(crate) fn draft() -> Draft {
    Draft {
        time: "2026-01-01T00:00:00Z".parse().unwrap(),
        origin: "api".to_owned(),
        hash: "h".to_owned(),
        summary: String::new(),
        by: Some("ada".to_owned()),
    }
}

pub(crate) fn texts(texts: &[(&str, &str)]) -> Texts {
    let texts = texts.iter();
    texts
        .map(|(name, text)| (ConfigName::new(name).unwrap(), text.as_bytes().into()))
        .collect()
}

pub(crate) fn apply(texts: Texts) -> Intent {
    Intent::Apply(Apply {
        texts,
        draft: draft(),
        state: State::default(),
    })
}

pub(crate) fn dial(route: &str, weight: u64) -> Intent {
    let weights = |weight| vec![("v1".to_owned(), 100 - weight), ("v2".to_owned(), weight)];
    let time = draft().time;
    let record = DialRecord {
        declared: weights(0),
        live: Some(weights(weight)),
        by: "ada".to_owned(),
        time,
        write: None,
        turns: vec![TurnRecord {
            time,
            before: weights(0),
            after: weights(weight),
            by: "ada".to_owned(),
            write: None,
        }],
    };
    Intent::State(State {
        dials: [(route.to_owned(), Some(record))].into(),
        ..State::default()
    })
}
