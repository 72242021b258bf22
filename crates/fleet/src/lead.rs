//! The instances that may lead: those that obey the config of all, as long as there is one.

use crate::record::instance::InstanceRecord;
use crate::view::View;

/// Returns true if an instance that says this of itself may lead.
///
/// One that cannot obey the config of all leaves the lead to those that do. If there is none, it may lead all the same: a
/// fleet whose config is bad at all instances is not to be without a leader.
pub fn may_lead(view: &View, id: &str, own: &InstanceRecord) -> bool {
    let Some(config) = &view.config else { return true };
    // What an instance said before it had the config says nothing of it.
    let knows = |record: &InstanceRecord| record.obeys >= config.modified;
    let obeys = |record: &InstanceRecord| knows(record) && !has_errors(record);
    let mut others = view.instances.iter().filter(|(other, _)| ***other != *id);
    !knows(own) || !has_errors(own) || !others.any(|(_, record)| obeys(&record.value))
}

/// Returns true if an instance cannot obey the config of all. An error of one that it tries for the others is its canary's.
fn has_errors(record: &InstanceRecord) -> bool {
    record.errors.iter().any(|error| error.canary.is_none())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::config::{Config, Texts, digest};
    use crate::record::WriteId;
    use crate::record::instance::InstanceErrorRecord;
    use crate::store::StoreRevision;
    use crate::view::Kept;

    fn record(obeys: i64, errors: Vec<InstanceErrorRecord>) -> InstanceRecord {
        let json = r#"{"version":"1","started":"2026-01-02T03:04:05Z"}"#;
        let record: InstanceRecord = serde_json::from_str(json).unwrap();
        InstanceRecord {
            obeys: StoreRevision(obeys),
            errors,
            ..record
        }
    }

    fn error(canary: Option<&str>) -> Vec<InstanceErrorRecord> {
        vec![InstanceErrorRecord {
            revision: None,
            canary: canary.and_then(WriteId::new),
            why: "the port is taken".to_owned(),
        }]
    }

    #[test]
    fn who_cannot_obey_leaves_the_lead_to_those_that_do() {
        let bad = || error(None);
        for (own, others, expected) in [
            (record(5, Vec::new()), vec![], true),
            (record(5, Vec::new()), vec![record(5, Vec::new())], true),
            (record(5, bad()), vec![], true),
            (record(5, bad()), vec![record(5, bad())], true),
            (record(5, bad()), vec![record(5, Vec::new())], false),
            (
                record(5, bad()),
                vec![record(6, bad()), record(6, Vec::new())],
                false,
            ),
            // It has not seen the config yet, and may not be able to obey it either.
            (record(5, bad()), vec![record(4, Vec::new())], true),
            (record(5, error(Some("w1"))), vec![record(5, Vec::new())], true),
            // Its errors are those of the config before, or of an empty prefix.
            (record(4, bad()), vec![record(5, Vec::new())], true),
        ] {
            let mut view = View::empty("/w".parse().unwrap());
            let texts = Texts::new();
            view.config = Some(Arc::new(Config {
                digest: digest(&texts),
                texts,
                modified: StoreRevision(5),
            }));
            let named = others.iter().zip(["i1", "i2", "i3"]);
            let all = named.chain([(&own, "own")]).map(|(record, id)| {
                let kept = Kept {
                    value: Arc::new(record.clone()),
                    modified: StoreRevision(7),
                };
                (Arc::from(id), kept)
            });
            view.instances = Arc::new(all.collect());
            assert_eq!(may_lead(&view, "own", &own), expected, "{own:?} among {others:?}");
        }
    }
}
