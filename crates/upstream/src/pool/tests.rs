use std::net::SocketAddr;
use std::time::Duration;

use waypost_transport::clock::{Clock, Ticks};
use waypost_transport::permits::{Permit, Permits};
use waypost_transport::socket::Socket;
use waypost_wire::response::{ResponseHead, ResponseLimits};
use waypost_wire::scan::HeadScan;

use super::idle::{IdleConnection, IdleConnections, Liveness, ReuseTrust, SETTLE_TIME};

fn trust(response: &str, to_head: bool) -> ReuseTrust {
    let end = HeadScan::default().advance(response.as_bytes()).unwrap().unwrap();
    let mut head = ResponseHead::default();
    head.parse(response.as_bytes(), end, to_head, &ResponseLimits::default())
        .unwrap();
    ReuseTrust::after(&head, None)
}

#[test]
fn responses_without_body_lower_the_trust() {
    let of = |length| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    assert_eq!(trust(&of(5), false), ReuseTrust::Full);
    assert_eq!(trust(&of(5), true), ReuseTrust::Withheld(None));
    assert_eq!(trust(&of(0), true), ReuseTrust::Checked);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(trust(chunked, true), ReuseTrust::Withheld(None));
    assert_eq!(
        trust("HTTP/1.1 204 No Content\r\n\r\n", false),
        ReuseTrust::Checked
    );
    let unchanged = "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(trust(unchanged, false), ReuseTrust::Withheld(None));
}

/// Runs `check` with `count` open connections, each with a permit. The clock's tick does not advance.
fn with_connections(count: usize, check: impl FnOnce(Vec<(Socket, Permit)>, &Clock)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let permits = Permits::new(count);
        let mut connections = Vec::new();
        for _ in 0..count {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            connections.push((Socket::Tcp(stream), permits.take().unwrap()));
        }
        check(connections, &Clock::new(Ticks::default()));
    });
}

fn idle(socket: Socket, trust: ReuseTrust, clock: &Clock) -> IdleConnection {
    IdleConnection::new(socket, trust, clock, None)
}

fn client(port: u16) -> Option<SocketAddr> {
    Some(SocketAddr::from(([127, 0, 0, 1], port)))
}

#[test]
fn connection_settles_after_a_withheld_body_before_others_reuse_it() {
    with_connections(2, |mut connections, clock| {
        let mut pool = IdleConnections::default();
        let local = |socket: &Socket| match socket {
            Socket::Tcp(stream) => stream.local_addr().unwrap(),
            _ => panic!("opened above"),
        };
        let (seen, permit) = connections.pop().unwrap();
        let seen_at = local(&seen);
        pool.put(idle(seen, ReuseTrust::Full, clock), permit, 64);
        let (withheld, permit) = connections.pop().unwrap();
        let withheld_at = local(&withheld);
        pool.put(idle(withheld, ReuseTrust::Withheld(client(1)), clock), permit, 64);

        let minute = Duration::from_secs(60);
        let mut take = |client| pool.take(client, clock, Liveness::Likely, minute);
        let first = take(client(2)).map(|idle| local(&idle.into_parts().0));
        assert_eq!(first, Some(seen_at), "the end of its body was received");
        assert!(take(client(2)).is_none(), "the other one is settling");
        let own = take(client(1)).map(|idle| local(&idle.into_parts().0));
        assert_eq!(own, Some(withheld_at), "the response was for this client");
    });
}

#[test]
fn settling_connection_is_replaced_by_one_that_any_client_may_reuse() {
    with_connections(3, |connections, clock| {
        let mut pool = IdleConnections::default();
        let trusts = [
            ReuseTrust::Withheld(None),
            ReuseTrust::Full,
            ReuseTrust::Withheld(None),
        ];
        for ((socket, permit), trust) in connections.into_iter().zip(trusts) {
            pool.put(idle(socket, trust, clock), permit, 1);
        }
        assert_eq!(pool.trusts(), [ReuseTrust::Full]);
    });
}

#[test]
fn settling_ends() {
    with_connections(1, |mut connections, clock| {
        let mut pool = IdleConnections::default();
        let (socket, permit) = connections.pop().unwrap();
        pool.put(idle(socket, ReuseTrust::Withheld(client(7)), clock), permit, 64);
        assert!(pool.settles(None, Duration::ZERO));
        assert!(!pool.settles(client(7), Duration::ZERO));
        assert!(!pool.settles(None, SETTLE_TIME));
    });
}
