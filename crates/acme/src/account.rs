//! Accounts at an authority (RFC 8555 §7.3).

use std::time::Duration;

use instant_acme::{AccountCredentials, Error, ExternalAccountKey, NewAccount};
use serde::{Deserialize, Serialize};
use waypost_tls::client::{ClientTls, Trust};

use crate::certificate::CertificateId;
use crate::client::Client;
use crate::failure::{Failure, Why};

/// The authority, and the one who orders there.
#[derive(Debug, Clone, Copy)]
pub struct Authority<'a> {
    /// URL of its directory.
    pub directory: &'a str,
    /// The certificates (PEM) that are trusted to have signed its own; those of the platform without it.
    pub roots: Option<&'a [u8]>,
    /// The address at which it reaches the owner of the account.
    pub contact: Option<&'a str>,
    /// An account that it knows from elsewhere.
    pub binding: Option<Binding<'a>>,
}

/// The proof that an account belongs to one that the authority knows from elsewhere (RFC 8555 §7.3.4).
#[derive(Clone, Copy)]
pub struct Binding<'a> {
    /// Its id there.
    pub kid: &'a str,
    /// Its key.
    pub key: &'a [u8],
}

impl std::fmt::Debug for Binding<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Binding")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}

/// An account that can order.
pub struct Account {
    pub(crate) inner: instant_acme::Account,
    pub(crate) client: Client,
}

/// An account, as it was opened.
pub struct Opened {
    /// The account.
    pub account: Account,
    /// The text to keep, if it is another than before. It holds the account's key.
    pub keep: Option<String>,
}

/// The text of an account.
#[derive(Serialize, Deserialize)]
struct Kept {
    credentials: AccountCredentials,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    contact: Option<String>,
}

/// The time in which the authority suggests to renew a certificate (RFC 9773 §4.2), in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Its start.
    pub start: i64,
    /// Its end.
    pub end: i64,
}

impl Account {
    /// Opens the account that was `kept`, or else creates one. That says yes to the authority's terms of service.
    ///
    /// # Errors
    /// The authority cannot be asked, or refuses.
    pub async fn open(authority: &Authority<'_>, kept: Option<&str>) -> Result<Opened, Failure> {
        let trust = authority.roots.map_or(Trust::Platform, Trust::Ca);
        let tls = ClientTls::new(trust, None).map_err(|error| Failure::from(Why::Tls(error)))?;
        let client =
            Client::new(authority.directory, tls).map_err(|error| Failure::from(Why::Client(error)))?;
        let kept: Option<Kept> = kept
            .map(serde_json::from_str)
            .transpose()
            .map_err(|error| Why::Account(error.to_string()))?;
        match kept {
            Some(kept) => Self::restore(authority, client, kept).await,
            None => Self::create(authority, client).await,
        }
    }

    async fn create(authority: &Authority<'_>, client: Client) -> Result<Opened, Failure> {
        let contact = contacts(authority.contact);
        let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
        let wanted = NewAccount {
            contact: &contact,
            terms_of_service_agreed: true,
            only_return_existing: false,
        };
        let binding = authority
            .binding
            .map(|binding| ExternalAccountKey::new(binding.kid.to_owned(), binding.key));
        let created = instant_acme::Account::builder_with_http(Box::new(client.clone()))
            .create(&wanted, authority.directory.to_owned(), binding.as_ref())
            .await;
        let (inner, credentials) = created.map_err(|error| failure(&client, error))?;
        let kept = Kept {
            credentials,
            contact: authority.contact.map(str::to_owned),
        };
        Ok(Opened {
            keep: Some(text(&kept)?),
            account: Self { inner, client },
        })
    }

    async fn restore(authority: &Authority<'_>, client: Client, kept: Kept) -> Result<Opened, Failure> {
        let has_moved = kept.contact.as_deref() != authority.contact;
        let renamed = Kept {
            contact: authority.contact.map(str::to_owned),
            credentials: reread(&kept.credentials)?,
        };
        let restored = instant_acme::Account::builder_with_http(Box::new(client.clone()))
            .from_credentials(kept.credentials)
            .await;
        let inner = restored.map_err(|error| match error {
            Error::KeyRejected | Error::Crypto => Why::Account(error.to_string()).into(),
            error => failure(&client, error),
        })?;
        if has_moved {
            let contact = contacts(authority.contact);
            let contact: Vec<&str> = contact.iter().map(String::as_str).collect();
            let updated = inner.update_contacts(&contact).await;
            updated.map_err(|error| failure(&client, error))?;
        }
        Ok(Opened {
            keep: has_moved.then(|| text(&renamed)).transpose()?,
            account: Self { inner, client },
        })
    }

    /// Asks when the authority suggests to renew a certificate, and after which time to ask again; `None` if it does not say
    /// such a thing at all.
    ///
    /// # Errors
    /// The authority cannot be asked, or its answer is not understood.
    pub async fn renewal(&self, id: &CertificateId) -> Result<Option<(Window, Duration)>, Failure> {
        match self.inner.renewal_info(&id.to_wire()).await {
            Ok((info, again)) => {
                let window = Window {
                    start: info.suggested_window.start.unix_timestamp(),
                    end: info.suggested_window.end.unix_timestamp(),
                };
                // A window without a length says nothing (RFC 9773 §4.2).
                match window.start < window.end {
                    true => Ok(Some((window, again))),
                    false => {
                        Err(Why::Protocol("the window for a renewal ends before it begins".to_owned()).into())
                    }
                }
            }
            Err(Error::Unsupported(_)) => Ok(None),
            Err(error) => Err(failure(&self.client, error)),
        }
    }
}

impl CertificateId {
    pub(crate) fn to_wire(&self) -> instant_acme::CertificateIdentifier<'_> {
        instant_acme::CertificateIdentifier {
            authority_key_identifier: self.authority_key.as_str().into(),
            serial: self.serial.as_str().into(),
        }
    }
}

/// The failure of a call.
pub(crate) fn failure(client: &Client, error: Error) -> Failure {
    Failure {
        why: error.into(),
        retry_after: client.take_asked(),
    }
}

/// The URLs of a contact (RFC 8555 §7.3).
fn contacts(address: Option<&str>) -> Vec<String> {
    address
        .map(|address| format!("mailto:{address}"))
        .into_iter()
        .collect()
}

fn text(kept: &Kept) -> Result<String, Failure> {
    serde_json::to_string(kept).map_err(|error| Why::Account(error.to_string()).into())
}

/// A copy of an account's credentials.
fn reread(credentials: &AccountCredentials) -> Result<AccountCredentials, Failure> {
    let text = serde_json::to_value(credentials);
    text.and_then(serde_json::from_value)
        .map_err(|error| Why::Account(error.to_string()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn account_that_cannot_be_read_is_told_apart_from_an_authority_that_is_away() {
        let authority = Authority {
            directory: "https://127.0.0.1:1/",
            roots: None,
            contact: None,
            binding: None,
        };
        for kept in [
            "",
            "{}",
            r#"{"credentials":{"id":"https://a.test/1","key_pkcs8":"AAAA","directory":"https://127.0.0.1:1/"}}"#,
        ] {
            let failure = Account::open(&authority, Some(kept)).await.err().unwrap();
            assert!(matches!(failure.why, Why::Account(_)), "{kept}: {failure}");
        }
        let failure = Account::open(&authority, None).await.err().unwrap();
        assert!(matches!(failure.why, Why::Client(_)), "{failure}");
    }

    #[test]
    fn key_of_a_binding_is_not_in_debug_output() {
        let shown = format!(
            "{:?}",
            Binding {
                kid: "mine",
                key: b"xyz"
            }
        );
        assert!(
            shown.contains("mine") && !shown.contains("xyz") && !shown.contains("120"),
            "{shown}"
        );
    }
}
