//! Load balancing over the endpoints of a service.

/// An endpoint as seen by the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// True if the request has tried the endpoint.
    pub is_tried: bool,
    /// True if the endpoint is ejected.
    pub is_ejected: bool,
}

/// Picks round-robin: returns the index of the first available candidate at or after `cursor`, wrapping around.
///
/// Ejected candidates are skipped while another one is available. If all are ejected, they are tried anyway: an
/// endpoint that has recovered is found at once, and the failure of another has a current reason.
pub fn round_robin(count: usize, cursor: usize, candidate: impl Fn(usize) -> Candidate) -> Option<usize> {
    let mut ejected = None;
    for step in 0..count {
        let at = cursor.wrapping_add(step) % count;
        let Candidate { is_tried, is_ejected } = candidate(at);
        if is_tried {
            continue;
        }
        if !is_ejected {
            return Some(at);
        }
        ejected = ejected.or(Some(at));
    }
    ejected
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks the picks for cursors from 0; `.` is available, `x` ejected, `t` tried.
    fn check(candidates: &str, expected: &[Option<usize>]) {
        let candidate = |at: usize| Candidate {
            is_tried: candidates.as_bytes()[at] == b't',
            is_ejected: candidates.as_bytes()[at] == b'x',
        };
        for (cursor, expected) in expected.iter().enumerate() {
            let picked = round_robin(candidates.len(), cursor, candidate);
            assert_eq!(picked, *expected, "{candidates} from {cursor}");
        }
    }

    #[test]
    fn endpoints_are_picked_round_robin() {
        check("...", &[Some(0), Some(1), Some(2), Some(0)]);
        check("", &[None]);
    }

    #[test]
    fn ejected_endpoints_are_skipped_unless_all_are_ejected() {
        check("x.", &[Some(1), Some(1), Some(1)]);
        check("xx", &[Some(0), Some(1), Some(0)]);
        check("tx", &[Some(1), Some(1)]);
        check("tt", &[None]);
    }

    #[test]
    fn cursor_wraps_around() {
        let candidate = |_| Candidate {
            is_tried: false,
            is_ejected: false,
        };
        assert_eq!(round_robin(3, usize::MAX, candidate), Some(usize::MAX % 3));
    }
}
