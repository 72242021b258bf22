//! The things that an instance serves once etcd does not have them any more, or not whole.

use super::*;
use crate::support::client::Client as HttpClient;

/// Waits until the state has kept something.
fn wait_for_kept(gateway: &Gateway, is_kept: impl Fn(&[u8]) -> bool) {
    let index = gateway.directory().join(".waypost/fleet");
    wait_for("what the state keeps", || {
        let index = std::fs::read(&index).ok()?;
        is_kept(&index).then_some(())
    });
}

fn contains(index: &[u8], text: &str) -> bool {
    index.windows(text.len()).any(|window| window == text.as_bytes())
}

/// The number of instances in an index: behind the prefix and a revision of the store.
fn instances(index: &[u8]) -> u64 {
    let prefix = PREFIX.as_bytes();
    let found = index.windows(prefix.len()).position(|window| window == prefix);
    let number = found.and_then(|found| index.get(found + prefix.len() + 8..)?.first_chunk());
    number.copied().map_or(0, u64::from_be_bytes)
}

fn is_ok(gateway: &Gateway) -> bool {
    gateway.admin_json("/api/v1/status")["ok"] == true
}

#[test]
fn restart_on_a_wiped_prefix_serves_the_last_config_with_its_dials() {
    let (a, b) = (named("a"), named("b"));
    let config = split(&a, &b);
    let etcd = Etcd::with(&config);
    let one = etcd.instance();
    wait_for_revision(&one, 1);
    assert_eq!(dial_to_b(&one).status(), 200);
    wait_for_kept(&one, |index| contains(index, "/dials/users"));
    etcd.wipe();
    one.wait_for_part("is empty: the last config, revision 1, is served");
    assert_eq!((body(&one), is_ok(&one)), ("b".to_owned(), false));

    let one = one.restarted();
    one.wait_for_part("revision 1, which the state has kept, is served");
    assert_eq!((body(&one), revision(&one)), ("b".to_owned(), 1));
    let status = one.command(&["status"]).expect(1).stdout;
    assert!(
        status.contains("is empty: the last config, revision 1, is served"),
        "{status}"
    );
    // Nor does etcd have to be there.
    etcd.simulated.stop(0);
    let one = one.restarted();
    one.wait_for_part("has kept of /waypost/test is served");
    assert_eq!((body(&one), revision(&one)), ("b".to_owned(), 1));
    etcd.simulated.heal(0);
    one.wait_for_part("etcd is there");
    wait_for("a state that can be written", || {
        (one.admin_json("/api/v1/status")["state"]["writable"] == true).then_some(())
    });

    // `apply` begins anew, with what is in force.
    let applied = wait_for("an instance that applies", || {
        let applied = one.admin("PUT", "/api/v1/config", YAML, config.as_ref());
        (applied.status() != 503).then_some(applied)
    });
    assert_eq!(applied.status(), 200, "{}", applied.text());
    assert_eq!(etcd.keys("revisions"), ["1"]);
    assert_eq!(etcd.keys("dials"), ["users"]);
    wait_for("a green status", || is_ok(&one).then_some(()));
    assert_eq!(body(&one), "b");
}

#[test]
fn wiped_prefix_gets_more_dials_than_fit_a_transaction_with_the_next_config() {
    const DIALED: usize = 300;
    let (a, b) = (named("a"), named("b"));
    let services = Config::new().service(&a, "").service(&b, "");
    let config = (0..DIALED).fold(services, |config, number| {
        config.route(&format!(
            "name: r{number}, match: {{ path: /{number} }}, to: {{ a: 100, b: 0 }}"
        ))
    });
    let etcd = Etcd::with(&config);
    for number in 0..DIALED {
        let dial = json!({
            "declared": [["a", 100], ["b", 0]], "live": [["a", 0], ["b", 100]],
            "by": "ann", "time": "2026-01-01T00:00:00Z",
        });
        etcd.put_key(&format!("dials/r{number}"), dial.to_string());
    }
    let (one, two) = (etcd.instance(), etcd.instance());
    one.command(&["drain", "b", &b.url()]).expect(0);
    for gateway in [&one, &two] {
        wait_for_revision(gateway, 1);
        wait_for("the drain", || {
            let drained = gateway.admin_json("/api/v1/services/b").to_string();
            drained.contains("\"drained\"").then_some(())
        });
    }
    let live_of_last = |gateway: &Gateway| live_of(gateway, &format!("r{}", DIALED - 1));
    let dialed = live_of_last(&one);
    etcd.wipe();
    for gateway in [&one, &two] {
        gateway.wait_for_part("is empty: the last config, revision 1, is served");
        assert_eq!(live_of_last(gateway), dialed);
    }
    // One of them is turned meanwhile, at both.
    let turned = one.dial("r7", &json!({ "a": 50, "b": 50 }));
    assert_eq!(turned.status(), 200, "{}", turned.text());
    let turned = live_of(&one, "r7");
    wait_for("the dial", || (live_of(&two, "r7") == turned).then_some(()));
    let applied = two.admin("PUT", "/api/v1/config", YAML, config.as_ref());
    assert_eq!(applied.status(), 200, "{}", applied.text());
    for gateway in [&one, &two] {
        wait_for("a green status", || is_ok(gateway).then_some(()));
        assert_eq!(live_of_last(gateway), dialed);
        assert_eq!(live_of(gateway, "r7"), turned);
    }
    assert_eq!(etcd.keys("dials").len(), DIALED);
    assert_eq!(etcd.keys("endpoints").len(), 1);
}

#[test]
fn texts_of_a_transaction_that_is_half_broken_keep_their_last_good_versions() {
    let a = named("a");
    let etcd = Etcd::new();
    let other = |status: u16| {
        format!("routes:\n- {{ name: other, match: {{ path: /other }}, respond: {{ status: {status} }} }}\n")
    };
    let routes = |service: &str| format!("routes:\n- {{ name: all, to: {service} }}\n");
    etcd.put("base.yaml", Config::new().service(&a, ""));
    etcd.put_all(&[
        ("other.yaml", Some(&other(201))),
        ("routes.yaml", Some(&routes("a"))),
    ]);
    let mut one = etcd.instance();
    wait_for_kept(&one, |index| contains(index, "/revisions/1"));
    let status = |gateway: &Gateway| {
        let announced = gateway.announced();
        HttpClient::connect(*announced.last().expect("a listener"))
            .get("http://a/other")
            .status()
    };
    let wait_for_refusal = |gateway: &Gateway| {
        wait_for("the refusal", || {
            gateway.admin_json("/api/v1/status")["failed_load"]
                .is_object()
                .then_some(())
        });
    };
    etcd.put_all(&[
        ("other.yaml", Some(&other(202))),
        ("routes.yaml", Some(&routes("nowhere"))),
    ]);
    wait_for_refusal(&one);
    assert_eq!((status(&one), body(&one)), (201, "a".to_owned()));
    one = one.restarted();
    wait_for_refusal(&one);
    assert_eq!((status(&one), body(&one)), (201, "a".to_owned()));
    // By itself, the good text counts.
    etcd.put("other.yaml", other(203));
    wait_for("the good text", || (status(&one) == 203).then_some(()));
    assert!(!is_ok(&one));
    etcd.put("routes.yaml", routes("a"));
    wait_for("a green status", || is_ok(&one).then_some(()));
    // A deletion belongs to its transaction too.
    etcd.put_all(&[("other.yaml", None), ("routes.yaml", Some(&routes("nowhere")))]);
    wait_for_refusal(&one);
    assert_eq!((status(&one), body(&one)), (203, "a".to_owned()));
}

#[test]
fn start_without_etcd_divides_limits_by_the_instances_that_lived() {
    let service = named("a");
    let etcd = Etcd::with(
        Config::new()
            .service(&service, "")
            .route("name: all, to: a, rate: { requests: 7, per: 24h }"),
    );
    let (one, two) = (etcd.instance(), etcd.instance());
    for gateway in [&one, &two] {
        wait_for_kept(gateway, |index| instances(index) == 2);
    }
    etcd.simulated.stop(0);
    let one = one.restarted();
    one.wait_for_part("has kept of /waypost/test is served");
    let mut client = HttpClient::connect(*one.announced().last().expect("a listener"));
    let statuses: Vec<u16> = (0..10).map(|_| client.get("http://a/").status()).collect();
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        3,
        "{statuses:?}"
    );
}

#[test]
fn state_is_where_the_config_of_all_says_it_also_without_etcd() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().key("state: ${PLACE}").all_to(&a));
    let place = tempfile::tempdir().unwrap();
    let place = place.path().join("state");
    let one = etcd.instance_in(&[("PLACE".to_owned(), place.display().to_string())]);
    wait_for_revision(&one, 1);
    one.wait_for_part(&format!("the state is in `{}`", place.display()));
    wait_for("what the state keeps", || {
        place.join("fleet").exists().then_some(())
    });
    let id = |gateway: &Gateway| gateway.admin_json("/api/v1/fleet")["instance"].clone();
    let before = id(&one);
    // It was none of the fleet before it knew the place.
    assert!(!one.directory().join(".waypost/fleet").exists());
    assert!(!one.said().iter().any(|line| line.contains("has left the fleet")));

    etcd.simulated.stop(0);
    let one = one.restarted();
    one.wait_for_part(&format!("etcd is away: what `{}` has kept of", place.display()));
    assert_eq!((body(&one), id(&one)), ("a".to_owned(), before));
    etcd.simulated.heal(0);
    one.wait_for("etcd is there");

    // Once the config names none, it is beside the local file again.
    etcd.put("routes.yaml", Config::new().all_to(&a));
    one.wait_for_part("a changed `state` takes effect at the next start");
    let one = one.restarted();
    wait_for_kept(&one, |index| contains(index, PREFIX));
}

#[test]
fn state_of_the_local_file_comes_before_that_of_all() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().key("state: elsewhere").all_to(&a));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("local.yaml");
    std::fs::write(&path, format!("{}state: own\n", etcd.local())).unwrap();
    let one = Gateway::run(directory, path, &[]);
    wait_for_revision(&one, 1);
    let of = |name: &str| one.directory().join(name).exists();
    wait_for("what the state keeps", || of("own/fleet").then_some(()));
    assert!(!of("elsewhere") && !of(".waypost"));
}

#[test]
fn instances_of_one_working_directory_find_their_own_states_without_etcd() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().key("state: ${PLACE}").all_to(&a));
    let places = tempfile::tempdir().unwrap();
    let place = |name: &str| places.path().join(name).display().to_string();
    let environment = |name: &str| vec![("PLACE".to_owned(), place(name))];
    let one = etcd.instance_in(&environment("one"));
    one.wait_for_part(&format!("the state is in `{}`", place("one")));
    let two = one.again_in(&environment("two"));
    two.wait_for_part("fleet-state` is in use by another process");
    two.wait_for_part(&format!("the state is in `{}`", place("two")));
    let id = |gateway: &Gateway| gateway.admin_json("/api/v1/fleet")["instance"].clone();
    let before = id(&one);
    wait_for("what the state keeps", || {
        places.path().join("one/fleet").exists().then_some(())
    });

    etcd.simulated.stop(0);
    let one = one.restarted();
    one.wait_for_part(&format!("etcd is away: what `{}` has kept of", place("one")));
    assert_eq!((body(&one), id(&one)), ("a".to_owned(), before));
    drop(two);
}

#[test]
fn instance_says_that_another_process_has_its_state_until_that_ends() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let one = etcd.instance();
    wait_for_kept(&one, |index| contains(index, PREFIX));
    wait_for("a green status", || is_ok(&one).then_some(()));
    let two = one.again();
    wait_for_revision(&two, 1);
    let status = two.command(&["status"]).expect(1).stdout;
    assert!(
        status.contains(".waypost` is in use by another process") && status.contains("`state` of its own"),
        "{status}"
    );
    wait_for("a green status", || is_ok(&one).then_some(()));
    drop(one);
    wait_for("a green status", || is_ok(&two).then_some(()));
}

#[test]
fn damaged_files_of_the_state_are_in_the_status_and_counted() {
    let a = named("a");
    let etcd = Etcd::with(Config::new().all_to(&a));
    let mut one = etcd.instance();
    // No one makes it later: the lease of the leader holds, also once that is killed.
    wait_for_kept(&one, |index| contains(index, "/revisions/1"));
    wait_for("a green status", || is_ok(&one).then_some(()));
    one.kill();
    let state = one.directory().join(".waypost");
    for name in ["fleet", "instance"] {
        std::fs::write(state.join(name), "damaged").unwrap();
    }
    let one = one.restarted();
    wait_for_revision(&one, 1);
    one.wait_for_part("instance` is damaged: its first line is not complete; this instance is ");
    let damaged = one.admin_json("/api/v1/status")["state"]["damaged"].clone();
    let names: Vec<&str> = damaged
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|damaged| damaged["now"].as_str()?.rsplit('/').next())
        .collect();
    assert_eq!(names, ["instance.bad", "fleet.bad"]);
    assert!(one.metrics().contains("waypost_state_damaged_files 2"));
    let status = one.command(&["status"]).expect(1).stdout;
    assert!(status.contains("fleet.bad"), "{status}");
    // Once it was seen, the next start is as any other.
    let one = one.restarted();
    wait_for_revision(&one, 1);
    wait_for("a green status", || is_ok(&one).then_some(()));
}
