//! Prints what happens under a prefix: `cargo run -p waypost-etcd --example watch -- 127.0.0.1:2379 /waypost/`.

use std::env;
use std::error::Error;

use waypost_etcd::client::Client;
use waypost_etcd::key::KeyRange;
use waypost_etcd::options::Options;
use waypost_etcd::watch::{Notice, Watch};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(endpoints), Some(prefix)) = (arguments.next(), arguments.next()) else {
        return Err("usage: watch ENDPOINT,… PREFIX".into());
    };
    let endpoints = endpoints.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let client = Client::new(Options::new(endpoints));
    let keys = KeyRange::prefix(prefix);
    let read = client.range_in_pages(&keys, 100).await?;
    for kv in &read.kvs {
        println!("{}: {} bytes", kv.key.escape_ascii(), kv.value.len());
    }
    let mut watches = client.watches();
    watches.add(Watch::new(keys, read.revision.next()));
    while let Some(notice) = watches.next().await {
        match notice {
            Notice::Changes { events, .. } => {
                for event in events {
                    println!("{:?} {}", event.kind, event.kv.key.escape_ascii());
                }
            }
            Notice::Broken { error } => eprintln!("{error}"),
            Notice::Ended { error, .. } => return Err(error.into()),
            Notice::Started { .. } | Notice::Progress { .. } => {}
        }
    }
    Ok(())
}
