//! Servers that are not etcd.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response};
use proptest::prelude::*;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use waypost_etcd::client::Client;
use waypost_etcd::election::Election;
use waypost_etcd::error::Error;
use waypost_etcd::kv::range::Range;
use waypost_etcd::kv::txn::Txn;
use waypost_etcd::kv::write::{Delete, Put};
use waypost_etcd::options::{BackOff, Options};
use waypost_etcd::revision::{LeaseId, Revision};
use waypost_etcd::simulated::Simulated;
use waypost_etcd::simulated::fault::{Fault, On};
use waypost_etcd::watch::Watch;

use super::{SHORT, SURE};
use crate::promises::{Cluster as _, prefix};

/// The parts of a response that a server chooses.
#[derive(Debug, Clone, Default)]
struct Reply {
    status: u16,
    head: Vec<(HeaderName, HeaderValue)>,
    body: Vec<u8>,
    trailers: Vec<(HeaderName, HeaderValue)>,
}

fn field() -> impl Strategy<Value = (HeaderName, HeaderValue)> {
    let name = prop::sample::select(vec![
        "grpc-status",
        "grpc-message",
        "grpc-status-details-bin",
        "grpc-encoding",
        "content-type",
        "token",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "",
            "0",
            "7",
            "16",
            "-1",
            "%",
            "%ff",
            "gzip",
            "!",
            "AA",
            "99999999999"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        prop::collection::vec(0x20..0x7f_u8, 0..20),
        prop::collection::vec(0x80..=0xff_u8, 0..5),
    ];
    (name, value).prop_filter_map("a value that HTTP allows", |(name, value)| {
        Some((
            HeaderName::from_static(name),
            HeaderValue::from_bytes(&value).ok()?,
        ))
    })
}

fn reply() -> impl Strategy<Value = Reply> {
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        // A frame of gRPC with any message.
        prop::collection::vec(any::<u8>(), 0..40).prop_map(|message| {
            let mut body = vec![0, 0, 0, 0, u8::try_from(message.len()).unwrap()];
            body.extend(message);
            body
        }),
        Just(vec![0, 0xff, 0xff, 0xff, 0xff]),
        Just(vec![1, 0, 0, 0, 0]),
    ];
    (
        prop::sample::select(vec![200_u16, 204, 401, 403, 404, 503]),
        prop::collection::vec(field(), 0..4),
        body,
        prop::collection::vec(field(), 0..4),
    )
        .prop_map(|(status, head, body, trailers)| Reply {
            status,
            head,
            body,
            trailers,
        })
}

/// Serves the same reply to every request, on a port that it returns.
async fn serve(reply: Reply) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let reply = reply.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(socket).await else {
                    return;
                };
                while let Some(Ok((_, respond))) = connection.accept().await {
                    answer(respond, &reply);
                }
            });
        }
    });
    address
}

fn answer(mut respond: h2::server::SendResponse<Bytes>, reply: &Reply) {
    let mut head = Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(reply.status).unwrap();
    head.headers_mut().extend(fields(&reply.head));
    if let Ok(mut body) = respond.send_response(head, false) {
        let _ = body.send_data(reply.body.clone().into(), false);
        let _ = body.send_trailers(fields(&reply.trailers));
    }
}

fn fields(fields: &[(HeaderName, HeaderValue)]) -> HeaderMap {
    fields.iter().cloned().collect()
}

fn client(address: &str) -> Client {
    Client::new(Options {
        deadline: SHORT,
        back_off: BackOff {
            min: Duration::from_millis(50),
            max: Duration::from_millis(50),
        },
        response_bytes_max: 1 << 20,
        ..Options::new(vec![address.parse().unwrap()])
    })
}

/// A client whose errors matter.
fn sure(address: &str) -> Client {
    client(address).with_deadline(SURE)
}

/// Every kind of call. Their errors do not matter, only that they come back.
async fn call_all(client: &Client) {
    let _ = client.range(&Range::new(prefix("/"))).await;
    let _ = client.range_in_pages(&prefix("/"), 1).await;
    let _ = client.put(&Put::new("/k", "")).await;
    let _ = client.delete(&Delete::new(prefix("/"))).await;
    let txn = Txn::new().then(Put::new("/k", "")).then(Txn::new());
    let _ = client.txn(&txn).await;
    let _ = client.status().await;
    let _ = client.grant(SHORT, None).await;
    let _ = client.time_to_live(LeaseId(1), true).await;
    let _ = client.keep_alive(LeaseId(1)).renew().await;
    let election = Election::new(client.clone(), "/leader");
    let _ = election.enter(LeaseId(1), b"").await;
    let mut watches = client.watches();
    watches.add(Watch::new(prefix("/"), Revision(1)));
    let _ = watches.next().await;
    let _ = watches.next().await;
}

fn block_on(work: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(work);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_response_makes_the_client_panic(reply in reply()) {
        block_on(async {
            let address = serve(reply).await;
            call_all(&client(&address)).await;
        });
    }

    #[test]
    fn no_message_makes_the_client_panic(answers in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 20)) {
        block_on(async {
            let etcd = Simulated::start(1).await.unwrap();
            for answer in answers {
                for on in [On::Any, On::Watch, On::KeepAlive, On::Status] {
                    etcd.order(on, Fault::Answer(answer.clone()));
                }
            }
            call_all(&etcd.client().with_deadline(SHORT)).await;
        });
    }
}

#[tokio::test]
async fn details_that_are_not_base64_do_no_harm() {
    let details = |value| {
        vec![
            (
                HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("3"),
            ),
            (
                HeaderName::from_static("grpc-message"),
                HeaderValue::from_static("no"),
            ),
            (
                HeaderName::from_static("grpc-status-details-bin"),
                HeaderValue::from_static(value),
            ),
        ]
    };
    for reply in [
        Reply {
            head: details("!"),
            status: 200,
            ..Reply::default()
        },
        Reply {
            trailers: details("!"),
            status: 200,
            ..Reply::default()
        },
    ] {
        let address = serve(reply).await;
        let error = sure(&address).put(&Put::new("/k", "")).await.unwrap_err();
        let reason = "no".to_owned();
        assert_eq!(error, Error::Refused { reason });
    }
}

#[tokio::test]
async fn a_port_of_something_else_is_unavailable() {
    for greeting in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let _ = socket.write_all(greeting).await;
            }
        });
        let error = sure(&address).put(&Put::new("/k", "")).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
    }
}
