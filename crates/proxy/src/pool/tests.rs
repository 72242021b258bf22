use super::*;
use crate::clock::Turns;
use waypost_plan::service::{Endpoint, EndpointHost, EndpointScheme, Service};
use waypost_wire::scan::HeadScan;

fn trust(answer: &str, to_head: bool) -> Trust {
    let end = HeadScan::default().advance(answer.as_bytes()).unwrap().unwrap();
    let mut head = ResponseHead::default();
    head.parse(answer.as_bytes(), end, to_head).unwrap();
    Trust::after(&head)
}

#[test]
fn a_connection_is_trusted_less_where_a_body_may_come_unasked() {
    let of = |length| format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
    assert_eq!(trust(&of(5), false), Trust::Full);
    assert_eq!(trust(&of(5), true), Trust::Waited);
    assert_eq!(trust(&of(0), true), Trust::Checked);
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(trust(chunked, true), Trust::Waited);
    assert_eq!(trust("HTTP/1.1 204 No Content\r\n\r\n", false), Trust::Checked);
    let unchanged = "HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n";
    assert_eq!(trust(unchanged, false), Trust::Waited);
}

fn service(address: SocketAddr) -> WorkerService {
    let endpoint = Endpoint {
        authority: "a".into(),
        host: EndpointHost::Address(address.ip()),
        port: address.port(),
        scheme: EndpointScheme::Http,
    };
    let state = ServiceState::new(Arc::new(Service::new("s".into(), vec![endpoint])));
    let (notices, _) = tokio::sync::mpsc::channel(1);
    WorkerService::new(Arc::new(state), 0, Arc::default(), notices)
}

/// Runs `check` with a service, and connections to it that there is room for in the pool. Time stands still.
fn with_connections(
    count: usize,
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
            &service(address),
            address,
            connections,
            &Clock::new(Turns::default()),
        );
    });
}

#[test]
fn a_connection_whose_answer_withheld_its_body_waits_while_others_will_do() {
    with_connections(2, |service, address, mut connections, clock| {
        let local = |socket: &Socket| socket.tcp().local_addr().unwrap();
        let take = || service.take(address, clock, Liveness::Likely);
        let (seen, place) = connections.pop().unwrap();
        let seen_at = local(&seen);
        service.put(address, seen, Trust::Full, clock, place);
        let (withheld, place) = connections.pop().unwrap();
        let withheld_at = local(&withheld);
        service.put(address, withheld, Trust::Waited, clock, place);

        let first = take().expect("the one whose answer had its body is there");
        assert_eq!(local(&first), seen_at);
        let lent = service.lend(address);
        assert!(take().is_none(), "a new one would do");
        drop(lent);
        // Nobody else is served: whoever asks has the answer that withheld its body.
        assert_eq!(take().map(|socket| local(&socket)), Some(withheld_at));
    });
}

#[test]
fn the_wait_ends() {
    with_connections(1, |service, address, mut connections, clock| {
        let (socket, place) = connections.pop().unwrap();
        service.put(address, socket, Trust::Waited, clock, place);
        service.with_seats(|seats| {
            let idle = &seats.seats[0].idle[0];
            assert!(idle.waits(idle.since));
            assert!(!idle.waits(idle.since + WAIT_FOR_BODY));
        });
    });
}
