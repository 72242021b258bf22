//! The texts of all routes of a generation, for searches, and what was found in them lately.
//!
//! An index takes some hundred bytes for a route and is made with the first search. A search over it costs a pass over
//! one text for each part; one that is repeated, as a page that is open does, gets the rows that were found before.
//! Figures are looked at once a second.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use waypost_proxy::generation::Generation;

use super::{Part, Text};
use crate::timeline::{Recent, Timeline};

/// Searches whose rows are kept.
const FOUND_MAX: usize = 8;
/// The time after which an index without searches is dropped.
const UNUSED: Duration = Duration::from_secs(5 * 60);

/// The index of the generation that was searched last.
#[derive(Debug, Default)]
pub(crate) struct Indexed(Mutex<Option<(Instant, Arc<Index>)>>);

/// The texts of all routes of a generation. A row is the position of a route in the plan.
#[derive(Debug)]
pub(crate) struct Index {
    /// Not kept alive: a generation ends with its last request.
    generation: Weak<Generation>,
    names: Column,
    hosts: Column,
    paths: Column,
    services: Column,
    /// Rows with a host that begins with a wildcard, and what follows it.
    wildcards: Vec<(u32, Box<str>)>,
    rows: HashMap<Arc<str>, u32>,
    /// All rows in order of their names.
    by_name: Vec<u32>,
    found: Mutex<VecDeque<(Vec<Part>, Arc<Found>)>>,
    figures: Mutex<Option<Figures>>,
}

/// A text for each row: lines in lower case, one after the other.
#[derive(Debug, Default)]
struct Column {
    text: String,
    /// The end of each row.
    ends: Vec<usize>,
}

/// Rows that are found.
#[derive(Debug)]
pub(crate) struct Found {
    /// In order.
    pub(crate) rows: Vec<u32>,
    is_in: Vec<bool>,
}

/// The figures of the rows with any.
#[derive(Debug, Clone)]
struct Figures {
    upto: Option<u64>,
    window: u64,
    of_rows: Arc<[(u32, Recent)]>,
}

/// The order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// As in the config.
    Config,
    Name,
    By(Figure),
}

/// A figure that rows can be in the order of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Figure {
    Rate,
    Failures,
    FailureShare,
    P99,
}

impl Indexed {
    /// The index of this generation.
    pub(crate) fn of(&self, generation: &Arc<Generation>) -> Arc<Index> {
        // Others who search wait for the index rather than make a second one.
        let mut kept = lock(&self.0);
        let known = kept
            .take()
            .filter(|(_, index)| index.generation.as_ptr() == Arc::as_ptr(generation));
        let index = known.map_or_else(|| Arc::new(Index::new(generation)), |(_, index)| index);
        *kept = Some((Instant::now(), Arc::clone(&index)));
        index
    }

    /// Drops an index that was not used for a while.
    pub(crate) fn tidy(&self) {
        lock(&self.0).take_if(|(used, _)| used.elapsed() > UNUSED);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Index {
    fn new(generation: &Arc<Generation>) -> Self {
        let plan = generation.plan();
        let mut index = Self {
            generation: Arc::downgrade(generation),
            names: Column::default(),
            hosts: Column::default(),
            paths: Column::default(),
            services: Column::default(),
            wildcards: Vec::new(),
            rows: HashMap::with_capacity(plan.routes().len()),
            by_name: Vec::new(),
            found: Mutex::default(),
            figures: Mutex::default(),
        };
        for (row, route) in (0..).zip(plan.routes()) {
            let name = &route.matching.name;
            index.names.add(name);
            for alternative in route.matching.alternatives.iter() {
                let host = alternative.host.to_string();
                index.hosts.add(&host);
                index.paths.add(&alternative.path);
                if let Some(suffix) = host.strip_prefix('*').filter(|suffix| !suffix.is_empty()) {
                    index.wildcards.push((row, suffix.into()));
                }
            }
            if let Some(forward) = route.forward() {
                forward
                    .services()
                    .for_each(|service| index.services.add(&plan.service(service).name));
            }
            for column in index.columns() {
                column.end_row();
            }
            index.rows.insert(Arc::clone(name), row);
            index.by_name.push(row);
        }
        let name = |row: &u32| &plan.routes()[*row as usize].matching.name;
        index
            .by_name
            .sort_unstable_by(|one, other| name(one).cmp(name(other)));
        index
    }

    fn columns(&mut self) -> [&mut Column; 4] {
        [
            &mut self.names,
            &mut self.hosts,
            &mut self.paths,
            &mut self.services,
        ]
    }

    /// The row of a route.
    pub(crate) fn row(&self, route: &str) -> Option<u32> {
        self.rows.get(route).copied()
    }

    /// The rows whose texts have all of `parts`.
    pub(crate) fn find(&self, parts: &[Part]) -> Arc<Found> {
        let mut kept = lock(&self.found);
        let at = kept.iter().position(|(known, _)| known == parts);
        let found = at.and_then(|at| kept.remove(at));
        let found = found.unwrap_or_else(|| (parts.to_vec(), Arc::new(self.search(parts))));
        let rows = Arc::clone(&found.1);
        kept.push_front(found);
        kept.truncate(FOUND_MAX);
        rows
    }

    fn search(&self, parts: &[Part]) -> Found {
        let count = self.by_name.len();
        let mut found = vec![true; count];
        for part in parts {
            let mut has_it = vec![false; count];
            let mut look = |column: &Column| column.mark(&part.text, &mut has_it);
            match part.of {
                Text::Host => look(&self.hosts),
                Text::Path => look(&self.paths),
                Text::Service => look(&self.services),
                Text::Any => [&self.names, &self.hosts, &self.paths].into_iter().for_each(look),
            }
            if matches!(part.of, Text::Host | Text::Any) {
                let covering = self.wildcards.iter();
                let covering = covering.filter(|(_, suffix)| part.text.ends_with(&**suffix));
                covering.for_each(|(row, _)| has_it[*row as usize] = true);
            }
            found
                .iter_mut()
                .zip(has_it)
                .for_each(|(found, has_it)| *found &= has_it);
        }
        Found::new(found)
    }

    /// The figures of the rows with requests in the window, as far as they are known.
    pub(crate) fn figures(&self, window: u64, timeline: &Timeline) -> Arc<[(u32, Recent)]> {
        let mut kept = lock(&self.figures);
        let upto = timeline.upto();
        if let Some(known) = kept
            .as_ref()
            .filter(|known| known.upto == upto && known.window == window)
        {
            return Arc::clone(&known.of_rows);
        }
        let known = timeline.recent(window);
        let of_rows: Arc<[(u32, Recent)]> = known
            .filter_map(|(route, recent)| Some((self.row(route)?, recent)))
            .collect();
        *kept = Some(Figures {
            upto,
            window,
            of_rows: Arc::clone(&of_rows),
        });
        of_rows
    }

    /// At most `limit` of the rows, in an order, without the first `offset`. Those without figures come last.
    pub(crate) fn in_order(
        &self,
        found: &Found,
        (order, is_reversed): (Order, bool),
        figures: &[(u32, Recent)],
        (offset, limit): (usize, usize),
    ) -> Vec<u32> {
        let figure = match order {
            Order::Config => return page(found.rows.iter().copied(), is_reversed, offset, limit),
            Order::Name => {
                let rows = self.by_name.iter().copied().filter(|row| found.has(*row));
                return page(rows, is_reversed, offset, limit);
            }
            Order::By(figure) => figure,
        };
        let known = figures.iter().filter(|(row, _)| found.has(*row));
        let mut known: Vec<(f64, u32)> = known
            .filter_map(|(row, recent)| Some((figure.of(recent)?, *row)))
            .collect();
        known.sort_unstable_by(|one, other| {
            let by_figure = match is_reversed {
                true => one.0.total_cmp(&other.0),
                false => other.0.total_cmp(&one.0),
            };
            by_figure.then(one.1.cmp(&other.1))
        });
        let mut is_known = vec![false; self.by_name.len()];
        known.iter().for_each(|(_, row)| is_known[*row as usize] = true);
        let rest = found.rows.iter().copied().filter(|row| !is_known[*row as usize]);
        let all = known.iter().map(|(_, row)| *row).chain(rest);
        all.skip(offset).take(limit).collect()
    }
}

fn page(
    rows: impl DoubleEndedIterator<Item = u32>,
    is_reversed: bool,
    offset: usize,
    limit: usize,
) -> Vec<u32> {
    match is_reversed {
        true => rows.rev().skip(offset).take(limit).collect(),
        false => rows.skip(offset).take(limit).collect(),
    }
}

impl Found {
    fn new(is_in: Vec<bool>) -> Self {
        let rows = (0..).zip(&is_in).filter(|(_, is_in)| **is_in);
        Self {
            rows: rows.map(|(row, _)| row).collect(),
            is_in,
        }
    }

    fn has(&self, row: u32) -> bool {
        self.is_in[row as usize]
    }

    /// The found ones that are among `rows`, too.
    pub(crate) fn among(&self, rows: impl IntoIterator<Item = u32>) -> Self {
        let mut is_in = vec![false; self.is_in.len()];
        for row in rows {
            is_in[row as usize] = self.has(row);
        }
        Self::new(is_in)
    }
}

impl Column {
    /// Adds a line to the row that is not ended yet.
    fn add(&mut self, line: &(impl std::fmt::Display + ?Sized)) {
        let begin = self.text.len();
        // Writing into a text cannot fail.
        let _ = writeln!(self.text, "{line}");
        if self.text[begin..].bytes().any(|byte| byte.is_ascii_uppercase()) {
            self.text[begin..].make_ascii_lowercase();
        }
    }

    fn end_row(&mut self) {
        self.ends.push(self.text.len());
    }

    /// Marks the rows with a line that `part`, which has no line break, is in.
    fn mark(&self, part: &str, rows: &mut [bool]) {
        let mut row = 0;
        for (at, _) in self.text.match_indices(part) {
            while self.ends[row] <= at {
                row += 1;
            }
            rows[row] = true;
        }
    }
}

impl Figure {
    /// The value of it; `None` if it is not known.
    pub(crate) fn of(self, recent: &Recent) -> Option<f64> {
        match self {
            Self::Rate => Some(recent.rate()),
            Self::Failures => Some(recent.counts.failures.into()),
            Self::FailureShare => Some(recent.failure_share()),
            Self::P99 => recent.p99_ms,
        }
    }
}
