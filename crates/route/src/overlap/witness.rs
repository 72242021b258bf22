//! Witnesses: requests that prove a finding.

use std::fmt;
use std::net::IpAddr;

use crate::attribute::Attribute;
use crate::overlap::address;
use crate::request::Request;

/// A request that proves a finding, as plain values.
///
/// It displays as the arguments of `waypost explain`, quoted for a shell, with its attributes as a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// Host; `None` for a request without one.
    pub host: Option<String>,
    /// Path in normal form.
    pub path: String,
    /// Method.
    pub method: String,
    /// Query, percent-encoded.
    pub query: Option<String>,
    /// Headers in order, with cookies as one `cookie` line.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Attributes.
    pub attributes: Vec<(Attribute, Vec<u8>)>,
    /// Address of the client.
    pub client_ip: IpAddr,
    /// True if the listener, which is among the attributes, has to be named: the finding depends on it, or the request would
    /// come in by another one.
    pub names_listener: bool,
}

impl Witness {
    /// Returns the witness as a request for matching.
    pub fn request(&self) -> Request<'_> {
        Request {
            host: self.host.as_deref().map(str::as_bytes),
            path: self.path.as_bytes(),
            query: self.query.as_deref().map(str::as_bytes),
            method: self.method.as_bytes(),
            client_ip: self.client_ip,
            headers: &self.headers,
            attributes: &self.attributes,
        }
    }

    /// The URL, or the path of a request without a host.
    pub fn url(&self) -> String {
        let mut url = match &self.host {
            Some(host) => format!(
                "{}://{host}{}",
                self.attribute(Attribute::Scheme).unwrap_or("http"),
                self.path
            ),
            None => self.path.clone(),
        };
        if let Some(query) = &self.query {
            url.push('?');
            url.push_str(query);
        }
        url
    }

    /// The listener, if it has to be named.
    pub fn listener(&self) -> Option<&str> {
        self.attribute(Attribute::Listener)
            .filter(|_| self.names_listener)
    }

    fn attribute(&self, wanted: Attribute) -> Option<&str> {
        let (_, value) = self
            .attributes
            .iter()
            .find(|(attribute, _)| *attribute == wanted)?;
        std::str::from_utf8(value).ok()
    }
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", quoted(&self.method), quoted(&self.url()))?;
        for (name, value) in &self.headers {
            let value = String::from_utf8_lossy(value);
            write!(f, " -H {}", quoted(&format!("{name}: {value}")))?;
        }
        if self.client_ip != address::DEFAULT {
            write!(f, " --client-ip {}", self.client_ip)?;
        }
        if let Some(listener) = self.listener() {
            write!(f, " --listener {}", quoted(listener))?;
        }
        // `explain` has no arguments for the others.
        let others = self
            .attributes
            .iter()
            .filter(|(attribute, _)| !attribute.is_entrance());
        for (index, (attribute, value)) in others.enumerate() {
            let separator = if index == 0 { " #" } else { "," };
            write!(f, "{separator} {attribute}: {}", String::from_utf8_lossy(value))?;
        }
        Ok(())
    }
}

/// Quotes `text` as one word of a POSIX shell.
fn quoted(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/:._-,@%+".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn displays_as_arguments_of_explain() {
        let mut witness = Witness {
            host: None,
            path: "/users/7".to_owned(),
            method: "GET".to_owned(),
            query: None,
            headers: Vec::new(),
            attributes: Vec::new(),
            client_ip: address::DEFAULT,
            names_listener: false,
        };
        assert_eq!(witness.to_string(), "GET /users/7");
        witness.host = Some("a.b".to_owned());
        witness.query = Some("a=1&b=2".to_owned());
        witness.headers.push(("x-a".to_owned(), b"it's".to_vec()));
        witness.client_ip = "10.0.0.1".parse().unwrap();
        assert_eq!(
            witness.to_string(),
            r"GET 'http://a.b/users/7?a=1&b=2' -H 'x-a: it'\''s' --client-ip 10.0.0.1"
        );
        witness.attributes = vec![
            (Attribute::ClientCertificateSubject, b"CN=a".to_vec()),
            (Attribute::ClientCertificateSan, b"a.test".to_vec()),
        ];
        let arguments = witness.to_string();
        assert!(arguments.ends_with(" 10.0.0.1 # client_cert subject: CN=a, client_cert san: a.test"));
        witness.attributes = vec![
            (Attribute::Listener, b"public".to_vec()),
            (Attribute::Scheme, b"https".to_vec()),
        ];
        assert!(witness.to_string().starts_with("GET 'https://a.b/"));
        assert!(witness.to_string().ends_with(" --client-ip 10.0.0.1"));
        witness.names_listener = true;
        assert!(
            witness
                .to_string()
                .ends_with(" --client-ip 10.0.0.1 --listener public")
        );
    }
}
