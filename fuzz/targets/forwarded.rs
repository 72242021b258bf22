//! An element that is added to a `Forwarded` line is read as it was written, whatever stands in front of it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_wire::forwarded::{address, parse};

fuzz_target!(|line: &[u8]| {
    let mut before = Vec::new();
    if parse(line, &mut before).is_err() {
        return;
    }
    for element in &before {
        let _ = element.node.as_deref().and_then(address);
    }
    let extended = [line, b", for=\"[2001:db8::1]\";host=\"a:81\";proto=https"].concat();
    let mut after = Vec::new();
    parse(&extended, &mut after).expect("an element more changes nothing");
    let (last, rest) = after.split_last().expect("the element that was added");
    assert_eq!(rest, before);
    assert_eq!(last.node.as_deref(), Some(&b"[2001:db8::1]"[..]));
    assert_eq!(last.host.as_deref(), Some(&b"a:81"[..]));
    assert_eq!(last.proto.as_deref(), Some(&b"https"[..]));
});
