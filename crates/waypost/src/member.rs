//! The start of an instance of a fleet.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "etcd")]
use anyhow::Context as _;
use waypost_config::Kind;
use waypost_plan::Plan;
use waypost_proxy::generation::Generation;

use crate::certificates::Certificates;
use crate::certificates::watch::Watch;
use crate::fleet::{Arrival, Fleet, Known};
use crate::load::{self, Checked};
use crate::log;
use crate::origin::EtcdOrigin;
use crate::source::Source;
use crate::source::shared::Shared;
use crate::state::pointer::Pointer;
use crate::texts::Texts;

/// The wait for etcd before what the state has kept is served.
const PATIENCE: Duration = Duration::from_secs(3);
/// The default name of the state directory.
const STATE: &str = ".waypost";
/// The revisions that are tried, from the newest on, while the config in etcd is not good.
const TRIED_MAX: usize = 10;

/// A config that may be served in place of one with errors.
pub(crate) struct Served {
    pub(crate) texts: Texts,
    pub(crate) checked: Checked,
}

/// Reads what the fleet says, or what the state has kept of it.
///
/// # Errors
/// If etcd cannot be spoken with at all, such as without a certificate.
pub(crate) async fn join(origin: &EtcdOrigin, arrival: Arrival) -> anyhow::Result<Shared> {
    let shared = match &origin.settings.state.path {
        Some(path) => look(origin, Path::new(&**path), arrival).await?,
        None => look_where_told(origin, arrival).await?,
    };
    shared.fleet().enter();
    Ok(shared)
}

/// As [`look`], with the state directory that the config of the fleet names.
async fn look_where_told(origin: &EtcdOrigin, arrival: Arrival) -> anyhow::Result<Shared> {
    let home = origin.directory.join(STATE);
    let pointer = Pointer::new(&home, origin.source.prefix.as_str(), arrival);
    let state = pointer.read().unwrap_or_else(|| home.clone());
    let shared = look(origin, &state, arrival).await?;
    // A process that takes over stays where the one before is.
    let is_there = arrival != Arrival::Own && pointer.is_ours();
    let is_asked = !is_there && shared.fleet().known() == Known::Read;
    let named = is_asked.then(|| named_state(&shared, &home)).flatten();
    if let Some(named) = &named {
        pointer.write(Some(&**named).filter(|named| *named != home));
    }
    let claim = pointer.into_claim();
    let Some(named) = named.filter(|named| *named != state) else {
        return Ok(shared.holding(claim));
    };
    log::info(format_args!(
        "the state is in `{}`, as the config in etcd says",
        named.display()
    ));
    // Its id and what was kept there are others.
    let damaged = shared.fleet().take_damaged();
    drop(shared);
    let shared = look(origin, &named, arrival).await?;
    shared.fleet().add_damaged(damaged);
    Ok(shared.holding(claim))
}

/// Reads what the fleet says, or what this state directory has kept of it.
async fn look(origin: &EtcdOrigin, state: &Path, arrival: Arrival) -> anyhow::Result<Shared> {
    let fleet = Arc::new(connect(origin, state, arrival)?);
    match fleet.ready(PATIENCE).await {
        Known::Read => {}
        Known::Cached => log::warn(format_args!(
            "etcd is away: what `{}` has kept of {} is served",
            state.display(),
            fleet.prefix()
        )),
        Known::Nothing => log::warn(format_args!(
            "etcd is away, and `{}` has kept nothing of {}",
            state.display(),
            fleet.prefix()
        )),
    }
    Ok(Shared::new(fleet, origin.local.clone(), origin.directory.clone()))
}

/// The state directory that the config of the fleet names, or `home` if it names none; `None` while no config is good.
fn named_state(shared: &Shared, home: &Path) -> Option<PathBuf> {
    let present = shared.read();
    if present.sources.is_empty() {
        return None;
    }
    let revisions = shared.revisions().map(|(_, texts)| texts).take(TRIED_MAX);
    let named = std::iter::once(present).chain(revisions).find_map(|texts| {
        // Reading a large config takes long, and most say nothing of it.
        if !texts.sources.iter().any(|source| has_key(&source.text)) {
            return Some(None);
        }
        let loaded = load::load(&texts).ok()?;
        Some(loaded.plan.settings().state.path.clone())
    })?;
    Some(named.map_or_else(|| home.to_owned(), |path| PathBuf::from(&*path)))
}

/// Returns true if a text may have the key `state`.
fn has_key(text: &[u8]) -> bool {
    const KEY: &[u8] = b"state";
    text.windows(KEY.len()).any(|window| window == KEY)
}

/// The config that this instance served last, or the newest revision without errors, in place of the config of the fleet. If
/// there is none, nothing is served.
///
/// # Errors
/// If not even nothing can be served.
pub(crate) fn last_good(
    source: &Source,
    origin: &EtcdOrigin,
    certificates: &mut Certificates,
) -> anyhow::Result<Served> {
    let shared = source.shared();
    let is_wiped = shared.is_some_and(|shared| shared.read().sources.is_empty());
    let served = shared.into_iter().filter_map(Shared::last_served);
    let revisions = shared.into_iter().flat_map(Shared::revisions);
    for (number, texts) in served.chain(revisions.take(TRIED_MAX)) {
        if let Ok(checked) = load::check(&texts, certificates, source) {
            log::warn(match is_wiped {
                true => format!(
                    "no config comes from etcd: revision {number}, which the state has kept, is served"
                ),
                false => format!("the config in etcd is not good: revision {number} is served in its place"),
            });
            return Ok(Served { texts, checked });
        }
    }
    Ok(Served {
        texts: Texts {
            sources: Vec::new(),
            kind: Kind::Directory,
            local: origin.local.clone(),
        },
        checked: Checked {
            generation: Generation::compile(Plan::idle(origin.settings.clone()))?,
            warnings: Vec::new(),
            watch: Watch::default(),
        },
    })
}

#[cfg(feature = "etcd")]
fn connect(origin: &EtcdOrigin, state: &Path, arrival: Arrival) -> anyhow::Result<Fleet> {
    let prefix = origin.source.prefix.as_str();
    let prefix = prefix
        .parse()
        .with_context(|| format!("`{prefix}` is not a prefix"))?;
    Ok(Fleet::connect(
        prefix,
        origin.options()?,
        origin.seal()?,
        state,
        arrival,
    ))
}

#[cfg(not(feature = "etcd"))]
fn connect(_: &EtcdOrigin, _: &Path, _: Arrival) -> anyhow::Result<Fleet> {
    anyhow::bail!("this binary knows no etcd, since it was built without the feature `etcd`")
}
