use super::*;
use crate::clock::Turns;
use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Service};
use waypost_wire::scan::HeadScan;

fn trust(answer: &str, to_head: bool) -> Trust {
    let end = HeadScan::default().advance(answer.as_bytes()).unwrap().unwrap();
    let mut head = ResponseHead::default();
    head.parse(answer.as_bytes(), end, to_head).unwrap();
    Trust::after(&head, None)
}

#[test]
fn a_connection_is_trusted_less_where_a_body_may_come_unasked() {
    let of = |length| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    assert_eq!(trust(&of(5), false), Trust::Full);
    assert_eq!(trust(&of(5), true), Trust::Withheld(None));
    assert_eq!(trust(&of(0), true), Trust::Checked);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(trust(chunked, true), Trust::Withheld(None));
    assert_eq!(trust("HTTP/1.1 204 No Content\r\n\r\n", false), Trust::Checked);
    let unchanged = "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(trust(unchanged, false), Trust::Withheld(None));
}

fn service(address: SocketAddr, idle_max: usize) -> WorkerService {
    let endpoint = Endpoint {
        authority: "a".into(),
        host: EndpointHost::Address(address.ip()),
        port: address.port(),
        scheme: EndpointScheme::Http,
    };
    let mut service = Service::new("s".into(), vec![endpoint]);
    service.pool.idle_max = idle_max;
    let state = ServiceState::new(Arc::new(service));
    let (notices, _) = tokio::sync::mpsc::channel(1);
    WorkerService::new(Arc::new(state), 0, Arc::default(), notices)
}

/// Runs `check` with a service, and connections to it that there is room for in the pool. Time stands still.
fn with_connections(
    count: usize,
    idle_max: usize,
    check: impl FnOnce(&WorkerService, SocketAddr, Vec<(Socket, IdlePlace)>, &Clock),
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let budget = IdleBudget::new(count);
        let mut connections = Vec::new();
        for _ in 0..count {
            let stream = tokio::net::TcpStream::connect(address).await.unwrap();
            connections.push((Socket::Tcp(stream), budget.place().unwrap()));
        }
        check(
            &service(address, idle_max),
            address,
            connections,
            &Clock::new(Turns::default()),
        );
    });
}

#[test]
fn a_connection_whose_answer_withheld_its_body_settles_before_others_use_it() {
    with_connections(2, 64, |service, address, mut connections, clock| {
        let client = |port| Some(SocketAddr::from(([127, 0, 0, 1], port)));
        let local = |socket: &Socket| socket.tcp().local_addr().unwrap();
        let take = |client| service.take(address, client, clock, Liveness::Likely);
        let (seen, place) = connections.pop().unwrap();
        let seen_at = local(&seen);
        service.put(address, seen, Trust::Full, clock, place);
        let (withheld, place) = connections.pop().unwrap();
        let withheld_at = local(&withheld);
        service.put(address, withheld, Trust::Withheld(client(1)), clock, place);

        let first = take(client(2)).map(|socket| local(&socket));
        assert_eq!(first, Some(seen_at), "the body of its answer was seen");
        assert!(take(client(2)).is_none(), "a new one would do");
        let own = take(client(1)).map(|socket| local(&socket));
        assert_eq!(own, Some(withheld_at), "the answer was to this client");
    });
}

#[test]
fn one_that_settles_makes_room_for_one_that_anybody_may_use() {
    with_connections(3, 1, |service, address, connections, clock| {
        let trusts = [Trust::Withheld(None), Trust::Full, Trust::Withheld(None)];
        for ((socket, place), trust) in connections.into_iter().zip(trusts) {
            service.put(address, socket, trust, clock, place);
        }
        service.with_seats(|seats| {
            let kept: Vec<Trust> = seats.seats[0].idle.iter().map(|idle| idle.trust).collect();
            assert_eq!(kept, [Trust::Full]);
        });
    });
}

#[test]
fn it_settles_for_a_while() {
    with_connections(1, 64, |service, address, mut connections, clock| {
        let (socket, place) = connections.pop().unwrap();
        let client = Some(address);
        service.put(address, socket, Trust::Withheld(client), clock, place);
        service.with_seats(|seats| {
            let idle = &seats.seats[0].idle[0];
            assert!(idle.settles(None, idle.since));
            assert!(!idle.settles(client, idle.since));
            assert!(!idle.settles(None, idle.since + SETTLE_TIME));
        });
    });
}
