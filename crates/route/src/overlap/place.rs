//! Representative hosts and paths of a pattern.
//!
//! Wildcards and parameters are filled with *fresh* text, which occurs in no pattern. The patterns that cover a
//! fresh label or segment cover any other text there too. So fresh text is enough, except for regexes.

use hashbrown::HashSet;

use crate::alternative::Alternative;
use crate::host::HostPattern;
use crate::overlap::example;
use crate::path::{PathPattern, Segment};

/// Number of different fresh segments, to avoid regexes.
pub(super) const VARIANTS: usize = 4;

/// Text that occurs in no pattern of the table.
#[derive(Debug)]
pub(super) struct Fresh {
    label: String,
    segments: [String; VARIANTS],
    /// Maximum number of segments of a pattern.
    segments_max: usize,
}

/// A set of paths that are covered by the same patterns, regexes aside.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cell {
    /// Number of segments after those of an open pattern.
    tail: usize,
    /// True if an empty segment follows.
    trailing_slash: bool,
}

impl Fresh {
    pub(super) fn of<'a>(alternatives: impl Iterator<Item = &'a Alternative>) -> Self {
        let mut literals: HashSet<&str> = HashSet::new();
        let mut labels: HashSet<&str> = HashSet::new();
        let mut segments_max = 0;
        for alternative in alternatives {
            match &alternative.path {
                PathPattern::Exact(path) => {
                    literals.extend(path.split('/'));
                    segments_max = segments_max.max(path.matches('/').count());
                }
                PathPattern::Template(segments) | PathPattern::Open(segments) => {
                    literals.extend(segments.iter().filter_map(|segment| match segment {
                        Segment::Literal(text) => Some(&**text),
                        Segment::Parameter(_) => None,
                    }));
                    segments_max = segments_max.max(segments.len());
                }
                PathPattern::Regex(_) => {}
            }
            if let HostPattern::Exact(name) | HostPattern::Wildcard(name) = &alternative.host {
                labels.extend(name.split('.'));
            }
        }
        Self {
            label: not_in(&labels, "x"),
            segments: ["x", "7", "Zz", "-"].map(|base| not_in(&literals, base)),
            segments_max,
        }
    }

    /// Returns a host of `pattern` that other patterns cover only if they cover all hosts of `pattern`.
    pub(super) fn host(&self, pattern: &HostPattern) -> Option<String> {
        match pattern {
            HostPattern::Any => None,
            HostPattern::Exact(name) => Some(name.to_string()),
            HostPattern::Wildcard(suffix) => Some(format!("{}{suffix}", self.label)),
        }
    }

    /// Returns the cells of `pattern`, likely ones first. A regex has none.
    pub(super) fn cells(&self, pattern: &PathPattern) -> impl Iterator<Item = Cell> + use<> {
        let (tail_max, cells) = match pattern {
            PathPattern::Exact(_) | PathPattern::Template(_) => (0, 1),
            // All paths longer than the longest pattern are covered alike.
            PathPattern::Open(segments) => (self.segments_max + 1 - segments.len(), 2),
            PathPattern::Regex(_) => (0, 0),
        };
        // One segment after the prefix first: it nearly always decides.
        let first = usize::from(cells == 2);
        let tails = std::iter::once(first).chain((0..=tail_max).filter(move |&tail| tail != first));
        tails.flat_map(move |tail| {
            (0..cells).map(move |slash| Cell {
                tail,
                trailing_slash: slash == 1,
            })
        })
    }

    /// Returns a pattern for the paths of `cell`, one of the cells of `pattern`.
    pub(super) fn pattern(&self, pattern: &PathPattern, cell: Cell) -> PathPattern {
        let PathPattern::Open(segments) = pattern else {
            return pattern.clone();
        };
        let any = || Segment::Parameter("any".into());
        let tail = std::iter::repeat_with(any).take(cell.tail);
        let mut segments: Vec<Segment> = segments.iter().cloned().chain(tail).collect();
        if segments.len() > self.segments_max {
            // It stands for all longer paths.
            return PathPattern::Open(segments.into());
        }
        if cell.trailing_slash || segments.is_empty() {
            segments.push(Segment::Literal("".into()));
        }
        PathPattern::Template(segments.into())
    }

    /// Returns a path of `cell`, one of the cells of `pattern`.
    pub(super) fn path(&self, pattern: &PathPattern, cell: Cell, variant: usize) -> String {
        let fresh = &self.segments[variant];
        let mut path = String::new();
        match pattern {
            PathPattern::Exact(text) => path.push_str(text),
            PathPattern::Template(segments) | PathPattern::Open(segments) => {
                for segment in segments {
                    path.push('/');
                    path.push_str(match segment {
                        Segment::Literal(text) => text,
                        Segment::Parameter(_) => fresh,
                    });
                }
            }
            PathPattern::Regex(_) => {}
        }
        for _ in 0..cell.tail {
            path.push('/');
            path.push_str(fresh);
        }
        if cell.trailing_slash || path.is_empty() {
            path.push('/');
        }
        path
    }

    /// Returns some normalised paths that both regexes match.
    pub(super) fn common_paths(&self, a: &PathPattern, b: &PathPattern) -> Vec<String> {
        let examples = |pattern: &PathPattern| -> Vec<String> {
            let PathPattern::Regex(regex) = pattern else {
                return Vec::new();
            };
            let examples = example::of(regex).into_iter();
            examples
                .filter_map(|example| String::from_utf8(example).ok())
                .collect()
        };
        let (of_a, of_b) = (examples(a), examples(b));
        let mut paths: Vec<String> = Vec::new();
        for (own, other) in [(&of_a, &of_b), (&of_b, &of_a)] {
            let ends = ["", "/", &self.segments[0], &self.segments[1], "/x"];
            let ends = ends.into_iter().chain(other.iter().map(String::as_str).take(3));
            for end in ends {
                for example in own {
                    for front in ["", "/", "/x"] {
                        let path = format!("{front}{example}{end}");
                        let fits = is_normal(&path) && a.covers(path.as_bytes()) && b.covers(path.as_bytes());
                        if fits && !paths.contains(&path) {
                            paths.push(path);
                        }
                    }
                }
            }
        }
        paths
    }
}

/// Returns true if `path` is in normal form for every listener.
fn is_normal(path: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@[]".contains(&byte);
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    path.bytes().all(plain)
        && !path.contains("//")
        && !rest.split('/').any(|part| part == "." || part == "..")
}

fn not_in(known: &HashSet<&str>, base: &str) -> String {
    let mut text = base.to_owned();
    let mut number = 0_usize;
    while known.contains(text.as_str()) {
        number += 1;
        text = format!("{base}{number}");
    }
    text
}
