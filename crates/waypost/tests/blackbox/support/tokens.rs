//! Issuers of tokens: keys, key sets, and a server of key sets.

use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey};
use rcgen::{KeyPair, PublicKeyData as _};
use serde_json::{Value, json};

use super::service::{Gate, Service};

/// An issuer with a key of Ed25519.
pub(crate) struct Issuer {
    pub(crate) id: String,
    pub(crate) pair: KeyPair,
    signs: EncodingKey,
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

impl Issuer {
    /// An issuer whose key has this id.
    pub(crate) fn new(id: &str) -> Self {
        let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        let signs = EncodingKey::from_ed_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self {
            id: id.to_owned(),
            pair,
            signs,
        }
    }

    /// Its key as JSON Web Key.
    pub(crate) fn jwk(&self) -> Value {
        let public = base64url(self.pair.der_bytes());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.id, "use": "sig", "x": public })
    }

    /// Its key set.
    pub(crate) fn key_set(&self) -> String {
        key_set(&[self])
    }

    /// Claims that are accepted for an hour.
    pub(crate) fn claims() -> Value {
        json!({
            "iss": "https://id.example.com",
            "aud": "shop",
            "sub": "ann",
            "exp": now() + 3600,
        })
    }

    /// A token of these claims beside those that are accepted; `null` takes one away.
    pub(crate) fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({ "alg": "EdDSA", "kid": self.id }), claims)
    }

    /// The same with this head.
    pub(crate) fn token_with(&self, head: &Value, claims: &Value) -> String {
        let mut all = Self::claims();
        for (name, value) in claims.as_object().unwrap() {
            match value {
                Value::Null => drop(all.as_object_mut().unwrap().remove(name)),
                value => all[name] = value.clone(),
            }
        }
        self.sign(&head.to_string(), &all.to_string())
    }

    /// A token of head and claims as they are.
    pub(crate) fn sign(&self, head: &str, claims: &str) -> String {
        let message = format!("{}.{}", base64url(head), base64url(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &self.signs, Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }
}

/// A key set with the keys of these issuers.
pub(crate) fn key_set(issuers: &[&Issuer]) -> String {
    let keys: Vec<Value> = issuers.iter().map(|issuer| issuer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// A token that is signed with a secret.
pub(crate) fn by_secret(secret: &[u8], head: &Value, claims: &Value) -> String {
    let message = format!(
        "{}.{}",
        base64url(head.to_string()),
        base64url(claims.to_string())
    );
    let key = EncodingKey::from_secret(secret);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

/// A server of a key set.
pub(crate) struct KeyServer {
    pub(crate) service: Service,
    answer: Arc<Mutex<String>>,
}

impl KeyServer {
    /// Serves this key set.
    pub(crate) fn of(key_set: &str) -> Self {
        Self::behind(None, key_set)
    }

    /// Serves this key set, each time once the gate lets it pass.
    pub(crate) fn behind(gate: Option<Gate>, key_set: &str) -> Self {
        let answer = Arc::new(Mutex::new(answer_of(key_set)));
        let current = Arc::clone(&answer);
        let service = Service::named("keys", move |talk| {
            while talk.request().is_some_and(|request| request.is_complete) {
                if let Some(gate) = &gate {
                    gate.wait();
                }
                let answer = current.lock().unwrap().clone();
                talk.send(answer);
            }
        });
        Self { service, answer }
    }

    /// Serves this key set from now on.
    pub(crate) fn set(&self, key_set: &str) {
        self.answer_with(&answer_of(key_set));
    }

    /// Answers so from now on.
    pub(crate) fn answer_with(&self, answer: &str) {
        answer.clone_into(&mut self.answer.lock().unwrap());
    }

    /// The URL of the key set.
    pub(crate) fn url(&self) -> String {
        format!("{}/jwks.json", self.service.url())
    }

    /// The number of requests so far.
    pub(crate) fn fetches(&self) -> usize {
        self.service
            .received()
            .iter()
            .map(|bytes| bytes.matches("GET /jwks.json HTTP/1.1\r\n").count())
            .sum()
    }
}

fn answer_of(key_set: &str) -> String {
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{key_set}",
        key_set.len()
    )
}
