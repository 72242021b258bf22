//! The task of one certificate: it orders it, and orders it again before it ends.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use jiff::Timestamp;
use tokio::sync::SemaphorePermit;
use tokio::time::{sleep, timeout};
use waypost_acme::account::{Account, Authority, Binding, Opened, Window};
use waypost_acme::certificate::{self, CertificateId, Validity};
use waypost_acme::failure::{Failure, Why};
use waypost_acme::order::Order;
use waypost_acme::schedule;
use waypost_acme::way::Way;
use waypost_admin::events::EventKind;
use waypost_admin::report::{OrderReport, OrderState};
use waypost_plan::acme::Acme;
use waypost_proxy::challenges::Challenge;
use waypost_tls::identity::Identity;
use waypost_tls::request::certificate_request;

use super::accounts::{Gate, OTHERS_MAX};
use super::common::{Busy, Common};
use super::entry::Entry;
use super::name::{AccountName, CertificateName};
use super::pace::Wait;
use super::record::{Failed, OrdersRecord, PairRecord, StoreError, Unread};
use super::unbegun::Unbegun;
use crate::certificates::acme_files::AcmeFiles;
use crate::log;

/// The timeout of an order, from the account to the certificate.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(10 * 60);
/// The time between two looks at what another instance has ordered.
const REPORT: Duration = Duration::from_secs(5);
/// The longest time between two looks at the clock, in seconds.
const LOOK: i64 = 60 * 60;
/// The wait after a failure of the store, in seconds.
const AGAIN: i64 = 60;

/// The task of one certificate.
pub(super) struct Task {
    name: CertificateName,
    account: AccountName,
    gate: Arc<Gate>,
    entry: Entry,
    acme: Arc<Acme>,
    files: AcmeFiles,
    common: Arc<Common>,
    orders: OrdersRecord,
    current: Option<Current>,
    /// A certificate that could not be kept, and the time of the next try.
    unkept: Option<(PairRecord, i64)>,
    /// Chance, which stays the same for a certificate.
    roll: f64,
}

/// The certificate in force.
struct Current {
    validity: Validity,
    id: Option<CertificateId>,
    /// The time in which the authority suggests to renew it.
    window: Option<Window>,
    /// The time to ask for that, in seconds since 1970.
    ask_at: i64,
}

/// A certificate that was issued, as it came.
struct New {
    pair: PairRecord,
    identity: Identity,
}

impl Task {
    /// The task of a certificate that writes this entry.
    pub(super) fn new(
        name: CertificateName,
        acme: Arc<Acme>,
        files: AcmeFiles,
        entry: Entry,
        common: Arc<Common>,
    ) -> Self {
        let account = AccountName::of(&acme);
        Self {
            name,
            gate: common.accounts.gate(&account),
            account,
            entry,
            acme,
            files,
            common,
            orders: OrdersRecord::default(),
            current: None,
            unkept: None,
            roll: roll(),
        }
    }

    /// Reports the certificate, unless it is reported already.
    pub(super) fn announce(&self) {
        self.entry.announce(self.standing(OrderState::Waiting, None));
    }

    pub(super) async fn run(mut self) {
        let mut is_allowed = self.common.is_allowed.clone();
        loop {
            while !*is_allowed.borrow_and_update() {
                self.show();
                tokio::select! {
                    // The sender lives as long as the task.
                    changed = is_allowed.changed() => if changed.is_err() {
                        return;
                    },
                    // Another instance may have ordered it.
                    () = sleep(REPORT) => {}
                }
            }
            tokio::select! {
                () = self.keep_valid() => {}
                _ = is_allowed.wait_for(|allowed| !allowed) => {}
            }
            // They are those of the process that orders now.
            self.orders = OrdersRecord::default();
            self.current = None;
        }
    }

    /// Keeps a valid certificate, for as long as this process may order.
    async fn keep_valid(&mut self) {
        while let Err(error) = self.recall().await {
            self.orders.error = Some(error.to_string());
            self.orders.failing_since.get_or_insert(self.common.clock.now());
            let again = self.common.clock.seconds() + AGAIN;
            self.report(OrderState::Failing, Some(again));
            log::warn(format_args!(
                "no certificate is ordered for {}: {error}",
                self.hosts()
            ));
            self.common.clock.sleep_until(again).await;
        }
        loop {
            let due = self.due();
            self.report(self.state(), Some(due));
            let now = self.common.clock.seconds();
            let is_due = |at: i64| at <= now || at > now.saturating_add(schedule::ASK_MAX);
            if self.unkept.as_ref().is_some_and(|(_, at)| is_due(*at)) {
                if let Some((pair, _)) = self.unkept.clone() {
                    self.keep(pair).await;
                }
            } else if self
                .current
                .as_ref()
                .is_some_and(|current| is_due(current.ask_at))
            {
                // Before an order: the authority may want it sooner, and wants to know what it replaces.
                self.ask().await;
            } else if due <= now {
                self.order().await;
            } else {
                let keep_at = self.unkept.as_ref().map_or(i64::MAX, |(_, at)| *at);
                let ask_at = self.current.as_ref().map_or(i64::MAX, |current| current.ask_at);
                let next = due.min(ask_at).min(keep_at);
                // The clock may be set meanwhile.
                self.common
                    .clock
                    .sleep_until(next.min(now.saturating_add(LOOK)))
                    .await;
            }
        }
    }

    /// Takes over what the store knows.
    async fn recall(&mut self) -> Result<(), StoreError> {
        let record = self.common.store.certificate(&self.name).await?;
        for why in &record.damaged {
            log::warn(format_args!(
                "a record of the certificate for {} is damaged, and counts as absent: {why}",
                self.hosts()
            ));
        }
        self.orders = match record.orders {
            Some(orders) => orders,
            None => {
                let orders = OrdersRecord::lost(&self.acme.hosts, self.common.clock.now());
                // Otherwise it is lost again at the next start.
                let _ = self.common.store.save_orders(&self.name, &orders).await;
                orders
            }
        };
        let read = |pair: &PairRecord| pair.identity().map_err(|error| StoreError(error.to_string()));
        let stored = record.pair.as_ref().map(read).transpose()?;
        let own = self.common.issued.own(&self.acme.directory, &self.acme.hosts);
        // One in force that the store does not have, or only an older one of, is kept anew, and not ordered again.
        let unkept = own.filter(|own| {
            stored
                .as_ref()
                .is_none_or(|stored| stored.not_before() < own.not_before)
        });
        if let Some(own) = unkept {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let pair = PairRecord::new(&self.acme, text(&own.pair.chain), text(&own.pair.key));
            let identity = read(&pair)?;
            self.set_current(&identity);
            self.unkept = Some((pair, self.common.clock.seconds()));
            return Ok(());
        }
        let Some((pair, identity)) = record.pair.zip(stored) else {
            self.current = None;
            return Ok(());
        };
        self.set_current(&identity);
        self.put_in_force(&pair);
        Ok(())
    }

    fn set_current(&mut self, identity: &Identity) {
        self.roll = roll();
        self.current = Some(Current {
            validity: Validity::of(identity),
            id: CertificateId::of(identity),
            window: None,
            ask_at: self.common.clock.seconds(),
        });
    }

    /// The time of the next order, in seconds since 1970.
    fn due(&self) -> i64 {
        let validity = self.current.as_ref().map(|current| current.validity);
        let window = self.current.as_ref().and_then(|current| current.window);
        let now = self.common.clock.seconds();
        let due = schedule::due(validity, window, &self.orders.attempts().at(now), self.roll);
        self.gate.closed_until(now).map_or(due, |until| due.max(until))
    }

    /// Orders the certificate, once no other order for one of its hosts is near.
    async fn order(&mut self) {
        let common = Arc::clone(&self.common);
        let (_slot, _busy) = self.turn(&common).await;
        let lead = common.store.lead();
        let before = self.orders.clone();
        self.orders.begin(&self.acme.hosts, common.clock.now());
        self.report(OrderState::Ordering, None);
        let ordered = match common.store.save_orders(&self.name, &self.orders).await {
            // After a restart, it would be forgotten that there was one.
            Err(error) => Err(Failed::new(error)),
            Ok(()) => match timeout(TIMEOUT, self.attempt()).await {
                Ok(ordered) => ordered,
                Err(_) => Err(Failed::new(format_args!(
                    "it is not complete within {} min",
                    TIMEOUT.as_secs() / 60
                ))),
            },
        };
        match ordered {
            Ok(new) => self.succeed(new).await,
            // The order is given up, not refused: the next leader begins its own.
            Err(_) if lead.is_none() || common.store.lead() != lead => {}
            // The order of another certificate was refused for the account meanwhile.
            Err(failed) if failed.is_put_off => {
                self.orders = before;
                let _ = common.store.save_orders(&self.name, &self.orders).await;
            }
            Err(failed) => self.fail(&failed).await,
        }
    }

    /// Waits until an order may begin.
    async fn turn<'a>(&self, common: &'a Arc<Common>) -> (Option<SemaphorePermit<'a>>, Busy) {
        loop {
            // They are never closed.
            let slot = common.slots.acquire().await.ok();
            let ended = common.ended.notified();
            let now = common.clock.seconds();
            // The order of another certificate may have been refused for the account meanwhile.
            let begun = match self.gate.closed_until(now) {
                Some(until) => Err(Wait::Until(until)),
                None => common.pace().begin(&self.acme.hosts, now),
            };
            match begun {
                Ok(()) => {
                    let busy = Busy {
                        acme: Arc::clone(&self.acme),
                        common: Arc::clone(common),
                    };
                    return (slot, busy);
                }
                Err(wait) => {
                    drop(slot);
                    match wait {
                        Wait::Until(time) => common.clock.sleep_until(time).await,
                        Wait::Busy => ended.await,
                    }
                }
            }
        }
    }

    /// One order, from the account to a certificate that can be served.
    async fn attempt(&self) -> Result<New, Failed> {
        let acme = &self.acme;
        let (account, order) = self.begin().await?;
        let challenges = order.answers().iter().map(|answer| Challenge {
            host: answer.host.as_str().into(),
            token: answer.token.as_str().into(),
            key_authorization: answer.key_authorization.as_str().into(),
        });
        let published = self.common.store.publish(&self.name, challenges.collect()).await;
        let published = published.map_err(Failed::new)?;
        let requested = certificate_request(&acme.hosts).map_err(Failed::new)?;
        let chain = order.complete(&requested.csr_der).await?;
        drop((published, account));
        let now = self.common.clock.now();
        let checked = certificate::check(chain.as_bytes(), requested.key_pem.as_bytes(), &acme.hosts, now);
        let identity = checked.map_err(|error| {
            Failed::new(format_args!(
                "the certificate that the authority issued cannot be used: {error}"
            ))
        })?;
        Ok(New {
            pair: PairRecord::new(acme, chain, requested.key_pem),
            identity,
        })
    }

    /// Begins an order, with a new account if the authority does not know the present one any more.
    async fn begin(&self) -> Result<(Account, Order), Failed> {
        let known = self.kept_account().await.map_err(Failed::new)?;
        match self.begin_without(None).await {
            Err(Unbegun::Authority(failure)) if known.is_some() && failure.is_account_gone() => {
                log::warn(format_args!(
                    "{} does not know the account of this gateway any more: a new one is created",
                    self.acme.directory
                ));
                Ok(self.begin_without(known.as_deref()).await?)
            }
            begun => Ok(begun?),
        }
    }

    async fn begin_without(&self, gone: Option<&str>) -> Result<(Account, Order), Unbegun> {
        let account = self.open(gone).await.inspect_err(|error| {
            if let Unbegun::Authority(failure) = error {
                // Without an account, nothing can be ordered.
                self.put_off(failure, Duration::MAX);
            }
        })?;
        let possible = match self.common.has_clear_listener.load(Ordering::Relaxed) {
            true => &[Way::TlsAlpn, Way::Http][..],
            false => &[Way::TlsAlpn],
        };
        let ways = Way::preferred(possible, self.orders.failed_way());
        // Only an authority that names times of renewal wants to know.
        let replaces = self.current.as_ref().filter(|current| current.window.is_some());
        let replaces = replaces.and_then(|current| current.id.as_ref());
        let begun = account.begin(&self.acme.hosts, &ways, replaces).await;
        let order = begun.inspect_err(|failure| self.put_off(failure, OTHERS_MAX))?;
        Ok((account, order))
    }

    /// Puts off the orders of all certificates of the account, for as long as the authority asks for and no longer than `longest`,
    /// if it refused for having had too many.
    fn put_off(&self, failure: &Failure, longest: Duration) {
        let wait = failure.retry_after.filter(|_| failure.is_for_too_many());
        if let Some(wait) = wait {
            self.gate.close(self.common.clock.seconds(), wait.min(longest));
        }
    }

    /// Opens the account that is kept, unless that is `gone`, or else creates one and keeps it.
    async fn open(&self, gone: Option<&str>) -> Result<Account, Unbegun> {
        let acme = &self.acme;
        let binding = acme.eab.as_ref().zip(self.files.eab_key.as_deref());
        let authority = Authority {
            directory: &acme.directory,
            roots: self.files.ca.as_deref(),
            contact: acme.email.as_deref(),
            binding: binding.map(|(eab, key)| Binding { kid: &eab.kid, key }),
        };
        // The order of another certificate may create it just now.
        let _locked = self.gate.opening.lock().await;
        if self.gate.closed_until(self.common.clock.seconds()).is_some() {
            return Err(Unbegun::PutOff);
        }
        let kept = self.kept_account().await?;
        let kept = kept.filter(|kept| gone != Some(kept.as_str()));
        let opened = match Account::open(&authority, kept.as_deref()).await {
            Err(failure) if kept.is_some() && matches!(failure.why, Why::Account(_)) => {
                self.warn_of_account(&failure.to_string());
                Account::open(&authority, None).await
            }
            opened => opened,
        };
        let Opened { account, keep } = opened?;
        if let Some(text) = keep {
            self.common.store.save_account(&self.account, &text).await?;
        }
        Ok(account)
    }

    /// The text of the account, unless it is damaged.
    async fn kept_account(&self) -> Result<Option<String>, StoreError> {
        match self.common.store.account(&self.account).await {
            Ok(kept) => Ok(kept),
            Err(Unread::Damaged(why)) => {
                self.warn_of_account(&why);
                Ok(None)
            }
            Err(Unread::Store(error)) => Err(error),
        }
    }

    fn warn_of_account(&self, why: &str) {
        log::warn(format_args!(
            "the account of this gateway at {} is damaged, and the next order creates a new one: {why}",
            self.acme.directory
        ));
    }

    async fn succeed(&mut self, new: New) {
        let New { pair, identity } = new;
        self.orders.succeeded();
        // It is kept before it is in force; the orders are not needed to serve it.
        self.keep(pair.clone()).await;
        self.set_current(&identity);
        self.orders.next = time(self.due());
        let _ = self.common.store.save_orders(&self.name, &self.orders).await;
        self.put_in_force(&pair);
        let until = Timestamp::from_second(identity.not_after()).unwrap_or(Timestamp::MAX);
        self.common
            .shared
            .update_report(|report| report.orders_issued += 1);
        self.report(self.state(), Some(self.due()));
        log::info(format_args!(
            "a certificate was issued for {}: it is valid until {until:.0}",
            self.hosts()
        ));
        self.common.shared.events.publish(EventKind::CertificateIssued {
            hosts: self.host_list(),
            until,
        });
    }

    /// Keeps a certificate. One that cannot be kept is in force all the same, and tried again.
    async fn keep(&mut self, pair: PairRecord) {
        match self.common.store.save_issued(&self.name, &pair).await {
            Ok(()) => {
                if self.unkept.take().is_some() {
                    self.orders.error = None;
                    self.orders.failing_since = None;
                }
            }
            Err(error) => {
                let error = format!("it is issued, but would be lost with this process: {error}");
                log::warn(format_args!("the certificate for {}: {error}", self.hosts()));
                self.orders.error = Some(error);
                self.orders.failing_since.get_or_insert(self.common.clock.now());
                self.unkept = Some((pair, self.common.clock.seconds() + AGAIN));
            }
        }
    }

    fn put_in_force(&self, pair: &PairRecord) {
        self.common.issued.set(&pair.directory, &pair.hosts, pair.pair());
    }

    async fn fail(&mut self, failed: &Failed) {
        self.orders.failed(self.common.clock.now(), failed);
        let due = self.due();
        self.orders.next = time(due);
        // One that cannot be written is the reason already, or fails the next order.
        let _ = self.common.store.save_orders(&self.name, &self.orders).await;
        let next = Timestamp::from_second(due).unwrap_or(Timestamp::MAX);
        self.common
            .shared
            .update_report(|report| report.orders_failed += 1);
        self.report(OrderState::Failing, Some(due));
        log::warn(format_args!(
            "no certificate for {}: {}; the next order is at {next:.0}",
            self.hosts(),
            failed.why
        ));
        self.common.shared.events.publish(EventKind::CertificateFailed {
            hosts: self.host_list(),
            why: failed.why.clone(),
            next,
        });
    }

    /// Asks the authority when to renew the certificate.
    async fn ask(&mut self) {
        let asked = self.renewal_info().await;
        let now = self.common.clock.seconds();
        let Some(current) = &mut self.current else { return };
        match asked {
            Some((window, again)) => {
                current.ask_at = now + schedule::ask_again(again);
                current.window = Some(window);
            }
            None => current.ask_at = now + schedule::ASK_FAILED,
        }
    }

    async fn renewal_info(&self) -> Option<(Window, Duration)> {
        let id = self.current.as_ref()?.id.as_ref()?;
        // An account is created for an order only.
        self.kept_account().await.ok()??;
        let account = self.open(None).await.ok()?;
        account.renewal(id).await.ok()?
    }

    fn state(&self) -> OrderState {
        match (&self.orders.error, &self.current) {
            (Some(_), _) => OrderState::Failing,
            (None, Some(_)) => OrderState::Valid,
            (None, None) => OrderState::Waiting,
        }
    }

    /// Reports what the process that orders has kept.
    fn show(&mut self) {
        let kept = self.common.store.orders_of_leader(&self.name);
        let state = match &kept {
            Some(orders) if orders.error.is_some() => OrderState::Failing,
            Some(orders) if orders.is_under_way => OrderState::Ordering,
            Some(_) if self.valid_until().is_some() => OrderState::Valid,
            _ => OrderState::Waiting,
        };
        self.orders = kept.unwrap_or_default();
        self.report(state, self.orders.next.map(Timestamp::as_second));
    }

    fn report(&self, state: OrderState, next: Option<i64>) {
        self.entry.write(self.standing(state, next));
    }

    fn standing(&self, state: OrderState, next: Option<i64>) -> OrderReport {
        OrderReport {
            hosts: self.host_list(),
            directory: self.acme.directory.to_string(),
            state,
            valid_until: self.valid_until().and_then(time),
            failing_since: self.orders.failing_since,
            failures: self.orders.failures,
            error: self.orders.error.clone(),
            next: next.and_then(time),
        }
    }

    /// The end of the certificate in force, which another instance may have ordered, in seconds since 1970.
    fn valid_until(&self) -> Option<i64> {
        let current = self.current.as_ref().map(|current| current.validity.not_after);
        let own = || self.common.issued.own(&self.acme.directory, &self.acme.hosts);
        current.or_else(|| own().map(|own| own.not_after))
    }

    fn host_list(&self) -> Vec<String> {
        self.acme.hosts.iter().map(ToString::to_string).collect()
    }

    fn hosts(&self) -> String {
        self.acme.hosts.join(", ")
    }
}

/// A time in seconds since 1970, unless it is before all others.
fn time(seconds: i64) -> Option<Timestamp> {
    (seconds != i64::MIN).then(|| Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX))
}

/// A number by chance, at least 0 and less than 1.
fn roll() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness, the times are the earliest.
    let _ = aws_lc_rs::rand::SecureRandom::fill(&SystemRandom::new(), &mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
}
