use super::*;

/// The password of all hashes here. They were made by glibc's `crypt` and by the reference implementation of Argon2.
const PASSWORD: &str = "correct horse";

const HASHES: [&str; 11] = [
    "$2b$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
    "$2y$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
    "$2a$04$N9qo8uLOickgx2ZMRZoMye7lwnnKjdKULIb0Soe6BjJXxCPR1R3dC",
    "$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
    "$5$rounds=1000$saltsaltsaltsalt$nxvy/aZxmMcHLq9pGRuSwLR..D/0Hr4eL305uyyfXLA",
    "$6$saltsalt$hRM5XZ86KXEw9UOmjigeVqFgULtFB2sgpC9lXQDfMib3Zgw7mEiUvBJI2EplzfAqxL5Vvwp2scFtv/uamSo5z0",
    "$6$rounds=10000$abc$5Y0JdL9jCHr8oiUYS3HBP8wfOrqh5WMH8pEKRXoXCsuW0/P86pte0XT/gfrEtj/XnxD2mpbBGHag0IlUaS/p8.",
    "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$rAjuexKlLdAHLvqk7TeeiWZjW4OPoRGwldJXdHbTuKI",
    "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$m2Ty71nbneX+kE7BCWXHSnpMJtJ6r26bfFT0wwIdxTQ",
    "$argon2d$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$KdUvbYK47x4HBQgWeqag2qEi9qzTWp9YbjUAvP2Bf2E",
    "$argon2id$v=16$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$4A5rRbf2AO0YNYajhDTIhw",
];

fn parse(text: &str) -> Passwords {
    Passwords::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn check_refused(text: &str, expected: &str) {
    let error = Passwords::parse(text.as_bytes()).unwrap_err();
    assert!(error.to_string().contains(expected), "{error}: {text}");
}

#[test]
fn every_kind_of_hash_verifies_its_password_alone() {
    for hash in HASHES {
        let users = parse(&format!("ann:{hash}\n"));
        assert!(users.verify("ann", PASSWORD.as_bytes()), "{hash}");
        for wrong in ["", "correct hors", "correct horse ", "Correct horse"] {
            assert!(!users.verify("ann", wrong.as_bytes()), "{hash} {wrong}");
        }
    }
}

#[test]
fn passwords_are_bytes() {
    let check = |hash: &str, password: &[u8]| {
        assert!(parse(&format!("ann:{hash}")).verify("ann", password), "{hash}");
    };
    check(
        "$6$saltsalt$qkTgsCrWMTAS9gBGcf9W60sFfH.hU0oTCAOJjhbz5tSp/sU3/xXZK4OFwCtq8lIIdpJ6CatVdOTSHKp97TPkt/",
        b"",
    );
    check(
        "$2b$04$abcdefghijklmnopqrstuubyCG3zY1GIXMyxfivm.ClDiInHzxjiq",
        b"",
    );
    check(
        "$2b$04$abcdefghijklmnopqrstuuyxGo.UaHura4Ckr8h4Rw8ayGqX62x.K",
        "\u{e4}\u{a3}".as_bytes(),
    );
    // bcrypt heeds 72 bytes.
    let long = "$2b$04$abcdefghijklmnopqrstuubzadhGtS2zEF.gu0yd0opP6cVzb.e0i";
    check(long, &[b'x'; 80]);
    check(long, &[b'x'; 72]);
    assert!(!parse(&format!("ann:{long}")).verify("ann", &[b'x'; 71]));
    assert!(!parse(&format!("ann:{long}")).verify("ann", &[b'x'; PASSWORD_BYTES_MAX + 1]));
}

#[test]
fn a_line_is_a_user() {
    let (one, other) = (HASHES[0], HASHES[3]);
    let text = format!("\u{feff}# staff\r\n\r\nann:{one}\r\n  \nJürgen:{other}:the boss\n");
    let users = parse(&text);
    assert_eq!(users.len(), 2);
    for name in ["ann", "Jürgen"] {
        assert!(users.verify(name, PASSWORD.as_bytes()), "{name}");
    }
    for name in ["Ann", "", "# staff", "ann ", "jürgen"] {
        assert!(!users.verify(name, PASSWORD.as_bytes()), "{name}");
    }
    let nobody = parse("# nobody\n");
    assert!(nobody.is_empty() && !nobody.verify("ann", b""));
}

#[test]
fn lines_that_are_refused_are_named() {
    let good = HASHES[0];
    check_refused("\n\nann", "line 3: a line is `USER:HASH`");
    check_refused(&format!(":{good}"), "line 1: the name of the user is missing");
    check_refused(&format!("a\tb:{good}"), "control character");
    check_refused(
        &format!("ann:{good}\n#\nann:{good}"),
        "line 3: the user `ann` is there already, in line 1",
    );
    let error = Passwords::parse(b"a:\xff").unwrap_err();
    assert_eq!(error.to_string(), "line 1: it is not UTF-8");
}

#[test]
fn hashes_that_protect_nothing_are_refused() {
    for (hash, expected) in [
        ("$apr1$saltsalt$abcdefghijklmnopqrstuv", "MD5"),
        ("$1$saltsalt$abcdefghijklmnopqrstuv", "MD5"),
        ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "SHA-1"),
        ("{PLAIN}secret", "plain text"),
        ("secret", "plain text"),
        ("", "plain text"),
        ("rl0uL0Fk9oNZ.", "DES"),
        (
            "$2x$05$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "$2x$",
        ),
        ("$y$j9T$abc$def", "none of bcrypt"),
        ("$7$abc", "none of bcrypt"),
    ] {
        check_refused(&format!("ann:{hash}"), expected);
        check_refused(&format!("ann:{hash}"), "`htpasswd -B`");
    }
}

#[test]
fn hashes_with_mistakes_are_refused() {
    let sha = HASHES[3];
    for hash in [
        &HASHES[0][..59],
        "$2b$5$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy22",
        "$2b$03$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2b$32$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2b$+5$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2b$05$abcdefghijklmnopqrst=uHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2b$05$abcdefghijklmnopqrstéHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
        "$2y$",
        "$5$",
        "$5$$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        &sha[..sha.len() - 1],
        "$5$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/$x",
        "$5$rounds=999$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        "$5$rounds=$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        "$5$rounds=-1$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        "$5$saltsaltsaltsaltx$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
        "$argon2id$v=19$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA",
        "$argon2id$v=18$m=64,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$rAjuexKlLdAHLvqk7TeeiWZjW4OPoRGwldJXdHbTuKI",
        "$argon2id$v=19$m=7,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$rAjuexKlLdAHLvqk7TeeiWZjW4OPoRGwldJXdHbTuKI",
        "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHRzYWx0c2FsdA$rAjuexKlLdAHLvqk7TeeiWZjW4OPoRGwldJXdHbTuKI",
        "$argon2id$",
    ] {
        check_refused(&format!("ann:{hash}"), "incomplete or has a mistake");
    }
}

#[test]
fn hashes_that_keep_the_gateway_busy_are_refused() {
    for (hash, expected) in [
        (
            "$2b$15$abcdefghijklmnopqrstuuHNbAKRhpaujgo33bRWs.NLUTJO3lOy2",
            "cost of bcrypt 15 is more than 14",
        ),
        (
            "$5$rounds=1000001$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
            "rounds of SHA-crypt 1000001 is more than 1000000",
        ),
        (
            "$5$rounds=99999999999$saltsalt$myjXcpMpE2Ofk7fj9hqyNYSn6lmWG4Mqnjx.KIRRr4/",
            "rounds",
        ),
        (
            "$argon2id$v=19$m=65537,t=1,p=1$c2FsdHNhbHRzYWx0c2FsdA$rAjuexKlLdAHLvqk7TeeiWZjW4OPoRGwldJXdHbTuKI",
            "memory of Argon2, in KiB, 65537",
        ),
        (
            "$argon2id$v=19$m=64,t=11,p=1$c2FsdHNhbHRzYWx0c2FsdA$rAjuexKlLdAHLvqk7TeeiWZjW4OPoRGwldJXdHbTuKI",
            "passes of Argon2 11",
        ),
        (
            "$argon2id$v=19$m=65536,t=1,p=65$c2FsdHNhbHRzYWx0c2FsdA$rAjuexKlLdAHLvqk7TeeiWZjW4OPoRGwldJXdHbTuKI",
            "lanes of Argon2 65",
        ),
    ] {
        check_refused(&format!("ann:{hash}"), expected);
    }
}

#[test]
fn an_unknown_user_is_compared_with_a_known_one() {
    let text: String = HASHES
        .iter()
        .enumerate()
        .map(|(at, hash)| format!("u{at}:{hash}\n"))
        .collect();
    let users = parse(&text);
    for name in ["", "root", "admin", "u", "u11"] {
        let stand_in = users.stand_in(name);
        assert!(stand_in.is_some_and(|position| position < users.len()));
        assert_eq!(users.stand_in(name), stand_in);
        assert!(!users.verify(name, PASSWORD.as_bytes()), "{name}");
    }
}

#[test]
fn debug_output_has_no_hash() {
    let users = parse(&format!("ann:{}", HASHES[0]));
    assert_eq!(format!("{users:?}"), "Passwords { users: 1, .. }");
}

#[test]
fn a_pair_is_verified_again_after_a_while() {
    let text = format!("ann:{}", HASHES[2]);
    let file = PasswordFile::parse(text.as_bytes(), DigestKey::new(&[7; 32])).unwrap();
    let pair = |text: &[u8]| Pair::parse(text).unwrap();
    let (right, wrong) = (pair(b"YW5uOmNvcnJlY3QgaG9yc2U="), pair(b"YW5uOmNvcnJlY3Q="));
    let kept_for = KEPT_FOR.as_millis() as u64;
    assert_eq!(file.recall(&right, 0), None);
    assert_eq!(file.verify(&wrong, 0), None);
    assert_eq!(file.recall(&wrong, 0), None);
    let ann = Some(Identity::named("ann"));
    assert_eq!(file.verify(&right, 0), ann);
    assert_eq!(file.recall(&right, kept_for - 1), ann);
    assert_eq!(file.recall(&right, kept_for), None);
    let other = PasswordFile::parse(text.as_bytes(), DigestKey::new(&[7; 32])).unwrap();
    assert_eq!(other.recall(&right, 0), None);
}
