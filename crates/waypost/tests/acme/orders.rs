//! Orders from their beginning to a certificate that is served.

use std::net::SocketAddr;
use std::sync::Arc;

use rustls::ClientConfig;

use crate::pebble::{KID, Pebble, World, shown, wait_for_certificate, wait_for_state};
use crate::support::gateway::Gateway;
use crate::support::tls::{TlsClient, Trusting};

/// The keys of an order that are the same for most tests.
const KEYS: &str = ", email: ops@a.test";

/// An address that refuses connections for as long as the test runs: it is bound, and does not listen.
fn refusing() -> (socket2::Socket, SocketAddr) {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let address: SocketAddr = "127.0.0.1:0".parse().unwrap();
    socket.bind(&address.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    (socket, address)
}

/// A gateway that has a certificate for a.test, with its authority and a client that trusts that.
fn issued(world: &World) -> (Pebble, Arc<ClientConfig>, Gateway, Vec<u8>) {
    let pebble = world.pebble(0, false);
    let client = pebble.client(world);
    let gateway = world.gateway(KEYS);
    let certificate = wait_for_certificate(&client, &gateway, "a.test");
    wait_for_state(&gateway, "valid");
    (pebble, client, gateway, certificate)
}

#[test]
fn certificate_is_proven_in_tls_and_in_force_without_a_restart() {
    let world = World::new();
    let pebble = world.pebble(0, false);
    let client = pebble.client(&world);
    let gateway = world.unreached_gateway(KEYS);
    // Until the authority sees the gateway, a self-signed one is served.
    gateway.wait_for_part("a self-signed certificate is served for a.test");
    wait_for_state(&gateway, "ordering");
    assert_eq!(shown(&client, &gateway, "a.test"), None);
    let anyone = Trusting::new(&world.authority).without_verifying().config();
    let own = shown(&anyone, &gateway, "a.test");
    assert!(own.is_some());

    world.tls.lead_to(gateway.addresses()[0]);
    let issued = wait_for_certificate(&client, &gateway, "a.test");
    assert_ne!(Some(issued), own);
    let mut connection = TlsClient::connect(client, gateway.addresses()[0], "a.test").unwrap();
    assert_eq!(connection.get("a.test", "/").text(), "hello");
    let order = wait_for_state(&gateway, "valid");
    assert_eq!(order["hosts"], serde_json::json!(["a.test"]));
    assert!(
        order["valid_until"].as_str().unwrap() > "2027" && order["error"].is_null(),
        "{order}"
    );
    let status = gateway.command(&["status"]).expect(0);
    assert!(status.stdout.contains("a.test: valid until"), "{}", status.stdout);
    let metrics = gateway.metrics();
    assert!(
        metrics.contains("waypost_acme_orders_total{result=\"issued\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("waypost_acme_orders_total{result=\"failed\"} 0"),
        "{metrics}"
    );
    gateway.wait_for_part("a certificate was issued for a.test");
}

#[test]
fn host_that_is_not_proven_in_tls_is_proven_in_clear_text() {
    let world = World::new();
    let pebble = world.pebble(0, false);
    let client = pebble.client(&world);
    let gateway = world.unreached_gateway(KEYS);
    let (_socket, nowhere) = refusing();
    world.tls.lead_to(nowhere);
    world.http.lead_to(gateway.addresses()[1]);
    let order = wait_for_state(&gateway, "failing");
    let error = order["error"].as_str().unwrap();
    assert!(
        error.contains("`a.test` is served here, by tls-alpn-01"),
        "{error}"
    );
    let status = gateway.command(&["status"]).expect(1);
    assert!(status.stdout.contains("tls-alpn-01"), "{}", status.stdout);
    gateway.wait_for_part("no certificate for a.test");
    assert!(
        gateway
            .metrics()
            .contains("waypost_acme_orders_total{result=\"failed\"} 1")
    );

    // Not before the minute is over.
    gateway.pass(30);
    assert_eq!(crate::pebble::order(&gateway)["state"], "failing");
    gateway.pass(60);
    wait_for_certificate(&client, &gateway, "a.test");
    wait_for_state(&gateway, "valid");
    gateway.command(&["status"]).expect(0);
}

#[test]
fn certificate_and_account_outlive_the_process_and_the_authority_s_absence() {
    let world = World::new();
    let (pebble, client, gateway, before) = issued(&world);
    world.api.end_after(0);

    let gateway = gateway.restarted();
    world.reach(&gateway);
    // From the first handshake on.
    assert_eq!(shown(&client, &gateway, "a.test"), Some(before.clone()));
    wait_for_state(&gateway, "valid");
    gateway.set_clock("2031-06-01T00:00:00Z");
    let order = wait_for_state(&gateway, "failing");
    let error = order["error"].as_str().unwrap();
    assert!(error.contains("the authority cannot be asked"), "{error}");
    assert_eq!(shown(&client, &gateway, "a.test"), Some(before.clone()));

    // The renewal is by the same account.
    world.api.lead_to(pebble.address());
    gateway.pass(120);
    wait_for_state(&gateway, "valid");
    let after = crate::support::wait_for("another certificate", || {
        shown(&client, &gateway, "a.test").filter(|shown| *shown != before)
    });
    assert_ne!(after, before);
    pebble.wait_for_accounts(1);
}

#[test]
fn damaged_account_is_set_aside_and_stops_no_order() {
    let world = World::new();
    let (pebble, client, gateway, before) = issued(&world);
    let kept = std::fs::read_dir(gateway.directory().join(".waypost/certificates")).unwrap();
    let mut paths = kept.map(|entry| entry.unwrap().path());
    let account = paths.find(|path| path.extension().is_some_and(|ending| ending == "account"));
    std::fs::write(account.unwrap(), "damaged").unwrap();
    gateway.set_clock("2031-06-01T00:00:00Z");
    crate::support::wait_for("another certificate", || {
        shown(&client, &gateway, "a.test").filter(|shown| *shown != before)
    });
    let said = gateway.wait_for_part("is damaged, and the next order creates a new one");
    assert!(said.contains(".account.bad` now"), "{said}");
    pebble.wait_for_accounts(2);
}

#[test]
fn authority_that_forgets_the_account_gets_a_new_one() {
    let world = World::new();
    let first = world.pebble(0, false);
    let gateway = world.gateway(KEYS);
    wait_for_certificate(&first.client(&world), &gateway, "a.test");
    wait_for_state(&gateway, "valid");
    drop(first);
    let second = world.pebble(0, false);
    gateway.set_clock("2031-06-01T00:00:00Z");
    wait_for_certificate(&second.client(&world), &gateway, "a.test");
    gateway.wait_for_part("does not know the account of this gateway any more");
    second.wait_for_accounts(1);
}

#[test]
fn order_that_breaks_off_is_made_again() {
    let world = World::new();
    let pebble = world.pebble(0, false);
    let client = pebble.client(&world);
    // The directory, a nonce, the account, the order, its authorization: then nothing.
    world.api.end_after(5);
    let gateway = world.gateway(KEYS);
    let order = wait_for_state(&gateway, "failing");
    let error = order["error"].as_str().unwrap();
    assert!(error.contains("the authority cannot be asked"), "{error}");
    assert_eq!(order["failures"], 1);
    assert_eq!(shown(&client, &gateway, "a.test"), None);
    world.api.lead_to(pebble.address());
    gateway.pass(120);
    wait_for_certificate(&client, &gateway, "a.test");
    // The account was kept before the order broke off.
    pebble.wait_for_accounts(1);
}

#[test]
fn renewal_that_breaks_off_with_its_process_is_made_again() {
    let world = World::new();
    let (_pebble, client, gateway, before) = issued(&world);
    // The authority looks at an address that accepts connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    world.tls.lead_to(silent.local_addr().unwrap());
    gateway.set_clock("2031-06-01T00:00:00Z");
    wait_for_state(&gateway, "ordering");
    let gateway = gateway.restarted();
    world.reach(&gateway);
    gateway.set_clock("2031-06-01T00:03:00Z");
    crate::support::wait_for("another certificate", || {
        shown(&client, &gateway, "a.test").filter(|shown| *shown != before)
    });
}

#[test]
fn account_is_bound_to_one_that_the_authority_knows() {
    let world = World::new();
    let pebble = world.pebble(0, true);
    let client = pebble.client(&world);
    let gateway = world.gateway(KEYS);
    let order = wait_for_state(&gateway, "failing");
    let error = order["error"].as_str().unwrap();
    assert!(error.contains("externalAccountRequired"), "{error}");
    pebble.wait_for_accounts(0);

    let eab = format!("{KEYS}, eab: {{ kid: {KID}, key_file: eab.key }}");
    gateway.replace(world.config("a.test", &eab));
    gateway.wait_for("revision 2 is in force");
    world.reach(&gateway);
    gateway.pass(120);
    wait_for_certificate(&client, &gateway, "a.test");
    wait_for_state(&gateway, "valid");
    pebble.wait_for_accounts(1);
}

#[test]
fn hosts_that_have_a_certificate_keep_it_while_others_are_ordered() {
    let world = World::new();
    let (pebble, client, gateway, before) = issued(&world);
    world.api.end_after(0);
    gateway.replace(world.config("a.test, b.test", KEYS));
    gateway.wait_for("revision 2 is in force");
    world.reach(&gateway);
    assert_eq!(shown(&client, &gateway, "a.test"), Some(before));
    assert_eq!(shown(&client, &gateway, "b.test"), None);
    world.api.lead_to(pebble.address());
    gateway.pass(120);
    // It may have been tried in between.
    gateway.pass(300);
    wait_for_certificate(&client, &gateway, "b.test");
    wait_for_certificate(&client, &gateway, "a.test");
}

#[test]
fn certificate_that_is_wanted_no_more_is_deleted_once_it_has_ended() {
    let world = World::new();
    let (_pebble, client, gateway, _) = issued(&world);
    gateway.replace(world.config("b.test", KEYS));
    gateway.wait_for("revision 2 is in force");
    world.reach(&gateway);
    wait_for_certificate(&client, &gateway, "b.test");
    let names = || -> Vec<String> {
        let kept = std::fs::read_dir(gateway.directory().join(".waypost/certificates")).unwrap();
        let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.ends_with(".pair")).collect()
    };
    assert_eq!(names().len(), 2);
    gateway.set_clock("2099-06-01T00:00:00Z");
    crate::support::wait_for("the one that is wanted, alone", || {
        let names = names();
        (names.len() == 1 && names[0].starts_with("b.test")).then_some(())
    });
    gateway.wait_for_part("is deleted: the config wants no such certificate, and it has ended");
}

#[test]
fn rejected_nonces_are_replaced() {
    let world = World::new();
    let pebble = world.pebble(40, false);
    let client = pebble.client(&world);
    let gateway = world.gateway(KEYS);
    let wait_for_ends = |count: usize| {
        let ends = ["a certificate was issued for a.test", "no certificate for a.test"];
        let is_end = |line: &&String| ends.iter().any(|end| line.contains(end));
        crate::support::wait_for(&format!("the end of {count} orders"), || {
            (gateway.said().iter().filter(is_end).count() >= count).then_some(())
        });
    };
    wait_for_ends(1);
    // By this time, each certificate is to be renewed at once.
    gateway.set_clock("2031-06-01T00:00:00Z");
    let is_rejected = || pebble.said("POST /order-plz").len() > pebble.said("Added order").len();
    // Three in a row end an order, which is made again. So many are made before the certificates end by this clock.
    let is_issued = (2..=50).any(|count| {
        wait_for_ends(count);
        let is_over = is_rejected() && shown(&client, &gateway, "a.test").is_some();
        // After a success there is a day's rest, and after a failure no longer one.
        gateway.pass(90_000);
        is_over
    });
    assert!(is_issued, "no certificate, or no nonce that was rejected");
}

#[test]
fn nothing_secret_is_said_or_left_readable() {
    use std::os::unix::fs::PermissionsExt as _;

    let world = World::new();
    let pebble = world.pebble(0, true);
    let gateway = world.gateway(&format!("{KEYS}, eab: {{ kid: {KID}, key_file: eab.key }}"));
    wait_for_certificate(&pebble.client(&world), &gateway, "a.test");
    wait_for_state(&gateway, "valid");
    let kept = gateway.directory().join(".waypost/certificates");
    let mut secrets = vec![crate::pebble::KEY.to_owned()];
    for entry in std::fs::read_dir(kept).unwrap() {
        let path = entry.unwrap().path();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}", path.display());
        let text = std::fs::read_to_string(&path).unwrap();
        // Keys, in base64: of the account, and of the certificate.
        for start in ["\"key_pkcs8\\\":\\\"", "BEGIN PRIVATE KEY-----\\n"] {
            let at = text.find(start).map(|at| at + start.len());
            secrets.extend(at.map(|at| text[at..at + 40].to_owned()));
        }
    }
    assert_eq!(
        secrets.len(),
        3,
        "the binding's, the account's and the certificate's"
    );
    let said = [
        gateway.said().join("\n"),
        gateway.admin_json("/api/v1/status").to_string(),
        gateway.admin_json("/api/v1/certificates").to_string(),
        gateway.metrics(),
    ];
    for (secret, text) in secrets
        .iter()
        .flat_map(|secret| said.iter().map(move |text| (secret, text)))
    {
        assert!(!text.contains(secret.as_str()), "{secret} in {text}");
    }
}
