use std::collections::BTreeMap;

use super::*;
use crate::fleet::seal::Seal;
use crate::fleet::{Ordered, Secret, Unopened};

/// A fleet whose certificates are sealed with a key of such bytes.
pub(super) fn sealed(bench: &Bench, state: &str, key: &str) -> Fleet {
    let prefix: Prefix = "/waypost/prod".parse().unwrap();
    let state = bench.directory.path().join(state);
    let seal = Seal::read(format!("{}=", key.repeat(43)).as_bytes()).unwrap();
    let options = Options::new(bench.etcd.endpoints());
    let fleet = Fleet::connect(prefix, options, Some(seal), &state, Arrival::Own);
    fleet.enter();
    fleet
}

fn secrets(name: &str, secret: Option<&str>) -> BTreeMap<String, Option<Secret>> {
    let secret = secret.map(|secret| Secret(secret.as_bytes().to_vec()));
    [(name.to_owned(), secret)].into()
}

fn account(fleet: &Fleet) -> Option<Secret> {
    fleet
        .open(&fleet.view(), &Ordered::default())
        .secrets
        .remove("account")
}

#[tokio::test]
async fn secrets_of_the_leader_are_opened_with_the_same_key_alone() {
    let bench = Bench::new(1).await;
    let leader = sealed(&bench, "a", "A");
    leader.ready(PATIENCE).await;
    leader.report(record());
    until(&leader, "the leader", Fleet::is_leader).await;
    let other = sealed(&bench, "b", "A");
    let stranger = sealed(&bench, "c", "Q");
    let without = bench.fleet("d");
    let secret = Secret(b"the key of the account".to_vec());
    let ordered = secrets("account", Some("the key of the account"));
    let at = leader.put_secrets(ordered.clone()).await.unwrap();
    for fleet in [&leader, &other, &stranger, &without] {
        until(fleet, "up to it", |fleet| fleet.view().at >= at).await;
    }
    assert_eq!(account(&leader).as_ref(), Some(&secret));
    assert_eq!(account(&other).as_ref(), Some(&secret));
    let stored = bench.client.get("/waypost/prod/certificates/account").await;
    let stored = String::from_utf8(stored.unwrap().unwrap().value).unwrap();
    assert!(!stored.contains("the key of"), "{stored}");

    assert_eq!(account(&stranger), None);
    let why = "`/waypost/prod/certificates/account`: `certificates_key` does not open it";
    let named = |fleet: &Fleet| {
        let mut troubles = fleet.troubles().into_iter();
        troubles.any(|trouble| trouble.starts_with(why))
    };
    assert!(named(&stranger) && !named(&other));
    assert!(
        without
            .open(&without.view(), &Ordered::default())
            .troubles
            .is_empty()
    );

    // Only the leader writes them.
    let refused = other.put_secrets(ordered).await;
    assert!(matches!(refused, Err(ProposeError::NoLeader(_))), "{refused:?}");
    leader.put_secrets(secrets("account", None)).await.unwrap();
    until(&stranger, "up to it", |fleet| {
        fleet.view().certificates.is_empty()
    })
    .await;
    stranger.open(&stranger.view(), &Ordered::default());
    assert!(!named(&stranger));
    // What is not there is deleted, too.
    leader.put_secrets(secrets("account", None)).await.unwrap();
}

#[tokio::test]
async fn only_secrets_that_are_new_or_changed_are_opened() {
    let (_bench, leader) = leading().await;
    let put = async |name: &str, secret: Option<&str>| {
        leader.put_secrets(secrets(name, secret)).await.unwrap();
        leader.view()
    };
    put("a", Some("1")).await;
    let before = put("b", Some("1")).await;
    let opened = |known: &Ordered| -> Vec<String> {
        let opened = leader.open(&leader.view(), known);
        assert!(opened.troubles.is_empty());
        opened.secrets.into_keys().collect()
    };
    assert_eq!(opened(&Ordered::default()), ["a", "b"]);
    assert!(opened(&before.certificates).is_empty());
    put("b", Some("2")).await;
    put("c", Some("1")).await;
    let view = put("a", None).await;
    assert_eq!(opened(&before.certificates), ["b", "c"]);
    assert!(opened(&view.certificates).is_empty());
}

#[tokio::test]
async fn secret_is_damaged_where_the_key_opens_another_one() {
    let (bench, leader) = leading().await;
    let nonsense = r#"{"fence":1,"sealed":"AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw=="}"#;
    bench.put("certificates/damaged", nonsense).await;
    until(&leader, "up to it", |fleet| {
        fleet.view().certificates.contains_key("damaged")
    })
    .await;
    let told = "`/waypost/prod/certificates/damaged`: `certificates_key` does not open it: it was sealed with another key, or is \
                damaged";
    assert_eq!(
        leader.secret("damaged"),
        Err(Unopened::Key(told.to_owned())),
        "the key may be another one"
    );
    leader
        .put_secrets(secrets("account", Some("text")))
        .await
        .unwrap();
    assert_eq!(leader.secret("damaged"), Err(Unopened::Damaged(told.to_owned())));
    leader
        .put_secrets(secrets("damaged", Some("whole")))
        .await
        .unwrap();
    assert_eq!(leader.secret("damaged"), Ok(Some(Secret(b"whole".to_vec()))));
}

#[tokio::test]
async fn secrets_count_once_all_that_live_have_said_that_they_have_them() {
    let bench = Bench::new(1).await;
    let (one, two) = (sealed(&bench, "a", "A"), sealed(&bench, "b", "A"));
    let obeying = |fleet: &Fleet, pid| InstanceRecord {
        pid: Some(pid),
        obeys: fleet.view().rules,
        ..record()
    };
    for (fleet, pid) in [(&one, 1), (&two, 2)] {
        fleet.ready(PATIENCE).await;
        fleet.report(obeying(fleet, pid));
    }
    until(&one, "with both", |fleet| fleet.view().instances.len() == 2).await;
    until(&two, "with both", |fleet| fleet.view().instances.len() == 2).await;
    until(&one, "led", |fleet| fleet.view().leader().is_some()).await;
    until(&two, "led", |fleet| fleet.view().leader().is_some()).await;
    let leads_one = *one.view().leader().unwrap().instance == *one.id();
    let (leader, other) = if leads_one { (&one, &two) } else { (&two, &one) };
    until(leader, "the leader", Fleet::is_leader).await;
    let at = leader
        .put_secrets(secrets("challenges", Some("x")))
        .await
        .unwrap();
    leader.report(obeying(leader, if leads_one { 1 } else { 2 }));
    assert!(!leader.obeyed_by_all(at, Duration::ZERO).await);
    until(other, "up to it", |fleet| fleet.view().at >= at).await;
    other.report(obeying(other, if leads_one { 2 } else { 1 }));
    assert!(leader.obeyed_by_all(at, PATIENCE).await);
}

#[tokio::test]
async fn secrets_are_kept_sealed_for_a_start_without_etcd() {
    let bench = Bench::new(1).await;
    bench.put("config/main.yaml", "one").await;
    let fleet = sealed(&bench, "a", "A");
    fleet.ready(PATIENCE).await;
    fleet.report(record());
    until(&fleet, "the leader", Fleet::is_leader).await;
    let mut kept = fleet.shared.kept.subscribe();
    let ordered = secrets("account", Some("the key of the account"));
    let at = fleet.put_secrets(ordered).await.unwrap();
    let are_kept = kept.wait_for(|kept| kept.as_ref().is_some_and(|kept| kept.rules >= at));
    tokio::time::timeout(PATIENCE, are_kept).await.unwrap().unwrap();
    drop(fleet);
    bench.etcd.stop(0);
    let state = bench.directory.path().join("a");
    until_free(&state).await;
    let index = std::fs::read(state.join("fleet")).unwrap();
    let text = b"the key of the account";
    assert!(!index.windows(text.len()).any(|window| window == text));
    let fleet = sealed(&bench, "a", "A");
    assert_eq!(fleet.ready(PATIENCE).await, Known::Cached);
    assert_eq!(account(&fleet), Some(Secret(text.to_vec())));
}
