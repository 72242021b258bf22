//! One watch: what it has reported, and what it goes on with.

use crate::error::{Error, TooLarge};
use crate::kv::KeyValue;
use crate::messages::watch as message;
use crate::revision::Revision;
use crate::watch::{Event, EventKind, Notice, Watch, WatchId};

/// A watch that has not ended.
#[derive(Debug)]
pub(super) struct Active {
    id: i64,
    pub(super) watch: Watch,
    /// Every change before it was reported, or is not asked for. `None` until a watch from now on has begun.
    pub(super) next: Option<Revision>,
    /// Changes of a response that comes in fragments, so far.
    fragments: Vec<Event>,
    /// Their size.
    fragment_bytes: usize,
    /// A member has denied it since it was begun last.
    pub(super) is_denied: bool,
}

impl Active {
    pub(super) fn new(id: i64, watch: Watch) -> Self {
        Self {
            id,
            next: watch.start,
            watch,
            fragments: Vec::new(),
            fragment_bytes: 0,
            is_denied: false,
        }
    }

    /// The request that begins it, from where it is.
    pub(super) fn request(&self) -> message::WatchCreateRequest {
        message::WatchCreateRequest {
            key: self.watch.keys.start().to_vec(),
            range_end: self.watch.keys.end().to_vec(),
            start_revision: self.next.map_or(0, |revision| revision.0),
            progress_notify: self.watch.progress,
            prev_kv: self.watch.previous,
            watch_id: self.id,
            fragment: true,
        }
    }

    /// A member that is at `revision` has begun it. Returns true if that member does not know yet, or no longer, what was
    /// reported.
    pub(super) fn started(&mut self, revision: Revision) -> bool {
        self.is_denied = false;
        *self.next.get_or_insert(revision.next()) > revision.next()
    }

    /// The stream broke; the rest of what was begun comes again.
    pub(super) fn interrupted(&mut self) {
        self.fragments = Vec::new();
        self.fragment_bytes = 0;
    }

    /// Reads a response of a member that is at `revision`.
    pub(super) fn take(
        &mut self,
        response: message::WatchResponse,
        revision: Revision,
        bytes_max: usize,
    ) -> Result<Option<Notice>, Error> {
        let is_progress = response.events.is_empty() && !response.fragment && self.fragments.is_empty();
        self.fragment_bytes = self
            .fragment_bytes
            .saturating_add(prost::Message::encoded_len(&response));
        if self.fragment_bytes > bytes_max {
            return Err(Error::TooLarge(TooLarge::Response { max: bytes_max }));
        }
        for event in response.events {
            let event = read(event)?;
            let is_in_order = self
                .fragments
                .last()
                .is_none_or(|last| last.kv.mod_revision <= event.kv.mod_revision);
            if !is_in_order {
                return Err(Error::malformed("changes are not in order"));
            }
            self.fragments.push(event);
        }
        if response.fragment {
            return Ok(None);
        }
        let mut events = std::mem::take(&mut self.fragments);
        self.interrupted();
        let watch = WatchId(self.id);
        if is_progress {
            // A member says so of a watch that has reported everything.
            self.advance(revision);
            return Ok(Some(Notice::Progress { watch, revision }));
        }
        let next = self.next.unwrap_or_default();
        events.retain(|event| Revision::from(event.kv.mod_revision) >= next);
        let Some(last) = events.last() else {
            return Ok(None);
        };
        let revision = last.kv.mod_revision.into();
        self.advance(revision);
        Ok(Some(Notice::Changes {
            watch,
            revision,
            events,
        }))
    }

    /// All changes up to `revision` were reported.
    fn advance(&mut self, revision: Revision) {
        self.next = self.next.max(Some(revision.next()));
    }
}

fn read(event: message::Event) -> Result<Event, Error> {
    let kind = match message::EventType::try_from(event.kind) {
        Ok(message::EventType::Put) => EventKind::Put,
        Ok(message::EventType::Delete) => EventKind::Delete,
        Err(_) => {
            return Err(Error::malformed(format!(
                "an event is of the kind {}",
                event.kind
            )));
        }
    };
    let kv = event.kv.ok_or_else(|| Error::malformed("an event has no key"))?;
    let kv = KeyValue::read(kv)?;
    if kv.mod_revision.0 == 0 {
        return Err(Error::malformed("an event has no revision"));
    }
    Ok(Event {
        kind,
        kv,
        previous: event.prev_kv.map(KeyValue::read).transpose()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::KeyRange;
    use crate::messages::kv as kv_message;

    const BYTES_MAX: usize = 1000;

    fn active(start: i64) -> Active {
        Active::new(1, Watch::new(KeyRange::prefix("/"), Revision(start)))
    }

    fn response(revisions: &[i64], fragment: bool) -> message::WatchResponse {
        let events = revisions.iter().map(|&mod_revision| message::Event {
            kind: message::EventType::Put.into(),
            kv: Some(kv_message::KeyValue {
                key: b"/a".to_vec(),
                mod_revision,
                ..Default::default()
            }),
            prev_kv: None,
        });
        message::WatchResponse {
            watch_id: 1,
            fragment,
            events: events.collect(),
            ..Default::default()
        }
    }

    /// Revisions of what is reported.
    fn reported(active: &mut Active, revisions: &[i64], fragment: bool) -> Vec<i64> {
        match active
            .take(response(revisions, fragment), Revision(100), BYTES_MAX)
            .unwrap()
        {
            Some(Notice::Changes { events, .. }) => {
                events.iter().map(|event| event.kv.mod_revision.0).collect()
            }
            Some(notice) => panic!("{notice:?}"),
            None => Vec::new(),
        }
    }

    #[test]
    fn what_was_reported_is_not_reported_again() {
        let mut active = active(5);
        assert_eq!(reported(&mut active, &[4, 5, 5, 6], false), [5, 5, 6]);
        assert_eq!(active.next, Some(Revision(7)));
        assert_eq!(reported(&mut active, &[6], false), [0_i64; 0]);
        assert_eq!(reported(&mut active, &[7], false), [7]);
    }

    #[test]
    fn fragments_are_reported_as_a_whole_or_not_at_all() {
        let mut active = active(1);
        assert_eq!(reported(&mut active, &[1], true), [0_i64; 0]);
        assert_eq!(active.next, Some(Revision(1)));
        active.interrupted();
        assert_eq!(reported(&mut active, &[1], true), [0_i64; 0]);
        assert_eq!(reported(&mut active, &[1, 2], false), [1, 1, 2]);
        assert_eq!(active.next, Some(Revision(3)));
    }

    #[test]
    fn fragments_that_never_end_are_refused() {
        let mut active = active(1);
        let fragments = (0..BYTES_MAX).map(|_| active.take(response(&[1], true), Revision(1), BYTES_MAX));
        assert_eq!(
            fragments.filter_map(Result::err).next(),
            Some(Error::TooLarge(TooLarge::Response { max: BYTES_MAX }))
        );
    }

    #[test]
    fn progress_moves_a_watch_forward_and_never_back() {
        let mut active = active(5);
        for (revision, next) in [(9, 10), (7, 10)] {
            let notice = active
                .take(response(&[], false), Revision(revision), BYTES_MAX)
                .unwrap();
            assert!(matches!(notice, Some(Notice::Progress { .. })));
            assert_eq!(active.next, Some(Revision(next)));
        }
    }

    #[test]
    fn a_member_that_is_behind_is_noticed() {
        let mut from_now = Active::new(1, Watch::from_now(KeyRange::all()));
        assert!(!from_now.started(Revision(3)));
        assert_eq!(from_now.next, Some(Revision(4)));
        assert!(!from_now.started(Revision(3)));
        assert!(from_now.started(Revision(2)));
        assert_eq!(from_now.next, Some(Revision(4)));
    }

    #[test]
    fn events_that_make_no_sense_are_malformed() {
        let kv = || {
            Some(kv_message::KeyValue {
                mod_revision: 1,
                ..Default::default()
            })
        };
        let event = |kind, kv| message::Event {
            kind,
            kv,
            prev_kv: None,
        };
        for events in [
            vec![event(7, kv())],
            vec![event(0, None)],
            vec![event(0, Some(kv_message::KeyValue::default()))],
            vec![event(
                0,
                Some(kv_message::KeyValue {
                    mod_revision: -1,
                    ..Default::default()
                }),
            )],
            response(&[2, 1], false).events,
        ] {
            let response = message::WatchResponse {
                events,
                ..Default::default()
            };
            let taken = active(0).take(response, Revision(1), BYTES_MAX);
            assert!(matches!(taken, Err(Error::Malformed { .. })), "{taken:?}");
        }
    }
}
