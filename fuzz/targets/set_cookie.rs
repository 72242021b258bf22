//! A value of `Set-Cookie` is taken apart without loss, and an attribute takes another value alone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use waypost_wire::set_cookie::SetCookie;

fuzz_target!(|value: &[u8]| {
    let cookie = SetCookie::parse(value);
    let (name, _) = cookie.name_and_value();
    assert!(!cookie.is_cookie() || !name.contains(&b'='));
    let mut same = cookie.pair.to_vec();
    for attribute in cookie.attributes() {
        same.push(b';');
        same.extend_from_slice(attribute.written);
        let mut changed = b"a=1;".to_vec();
        attribute.write_with(b"/x", &mut changed);
        let again = SetCookie::parse(&changed);
        let mut again = again.attributes();
        let first = again.next().expect("the attribute");
        assert_eq!((first.name, first.value), (attribute.name, &b"/x"[..]));
        assert_eq!(again.next(), None);
    }
    assert_eq!(same, value);
});
