//! No text makes the config parser panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_config::{Kind, Source, load};

fuzz_target!(|data: &[u8]| {
    let source = Source {
        name: "waypost.yaml".to_owned(),
        text: data.into(),
    };
    let _ = load(&[source], Kind::File, &|name| {
        (name == "SET").then(|| "value".to_owned())
    });
});
