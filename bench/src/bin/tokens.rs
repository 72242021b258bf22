//! Makes tokens that differ, and the key that verifies them: `tokens COUNT TOKENS KEY` writes two files.

use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, bail};
use aws_lc_rs::encoding::{AsDer as _, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [count, tokens, key] = &arguments[..] else {
        bail!("usage: tokens COUNT TOKENS KEY");
    };
    let pair = KeyPair::generate(KeySize::Rsa2048).ok().context("no key")?;
    let mut text = String::new();
    let head = BASE64.encode(r#"{"alg":"RS256","typ":"JWT"}"#);
    for number in 0..count.parse::<u32>()? {
        let claims = format!(
            r#"{{"iss":"https://id.example.com","aud":"bench","sub":"load-{number}","iat":1796000000,"exp":4102444800,"scope":"items:read items:write","groups":["load"],"email":"load@example.com"}}"#
        );
        let message = format!("{head}.{}", BASE64.encode(claims));
        let mut signed = vec![0; pair.public_modulus_len()];
        pair.sign(
            &signature::RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            message.as_bytes(),
            &mut signed,
        )
        .ok()
        .context("no signature")?;
        writeln!(text, "{message}.{}", BASE64.encode(signed))?;
    }
    fs::write(tokens, text)?;
    let public: PublicKeyX509Der<'_> = pair.public_key().as_der().ok().context("no public key")?;
    let public = STANDARD.encode(public.as_ref());
    fs::write(
        key,
        format!("-----BEGIN PUBLIC KEY-----\n{public}\n-----END PUBLIC KEY-----\n"),
    )?;
    Ok(())
}
