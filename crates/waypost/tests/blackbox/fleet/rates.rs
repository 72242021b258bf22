//! Rate limits are divided among the instances that live.

use std::cell::Cell;

use super::*;
use crate::support::client::Client as HttpClient;

/// The requests of a new key that pass at an instance at once.
fn passing(gateway: &Gateway, key: &Cell<u32>) -> usize {
    let mut client = HttpClient::connect(listener(gateway));
    key.set(key.get() + 1);
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Key: {}\r\n\r\n", key.get());
    let statuses = (0..10).map(|_| client.ask(&request).status());
    statuses.filter(|status| *status == 200).count()
}

#[test]
fn limits_follow_the_number_of_instances() {
    let service = named("a");
    let etcd = Etcd::with(
        Config::new()
            .service(&service, "")
            .route("name: all, to: a, rate: { requests: 7, per: 24h, by: { header: x-key } }"),
    );
    let key = Cell::new(0);
    let wait_for_passing = |gateway: &Gateway, count: usize| {
        wait_for(&format!("{count} requests that pass"), || {
            (passing(gateway, &key) == count).then_some(())
        });
    };
    let one = etcd.instance();
    wait_for_passing(&one, 7);
    let two = etcd.instance();
    for gateway in [&one, &two] {
        wait_for_passing(gateway, 3);
    }
    let mut three = etcd.instance();
    for gateway in [&one, &two, &three] {
        wait_for_passing(gateway, 2);
    }
    // One that leaves gives its part back.
    three.signal(rustix::process::Signal::TERM);
    three.wait();
    for gateway in [&one, &two] {
        wait_for_passing(gateway, 3);
    }
}
