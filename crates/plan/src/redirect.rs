//! Redirects.

use waypost_route::path::PathPattern;
use waypost_wire::path::PathOptions;

use crate::query::QueryRewrite;
use crate::rewrite::PathRewrite;
use crate::value::fill::FillError;
use crate::value::url::UrlTemplate;
use crate::value::{ValueTemplate, Values};

/// A redirect of the client to another URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// 301, 302, 303, 307 or 308.
    pub status: u16,
    /// Scheme; `None` for the client's.
    pub scheme: Option<Scheme>,
    /// Host; `None` for the request's.
    pub host: Option<ValueTemplate>,
    /// Port; `None` for none if scheme or host is given, else for the request's.
    pub port: Option<u16>,
    /// Rewrite of the path.
    pub path: PathRewrite,
    /// Rewrite of the query.
    pub query: QueryRewrite,
    /// The whole URL, in place of all of these.
    pub url: Option<UrlTemplate>,
}

/// The scheme of a client's request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Clear text.
    Http,
    /// TLS.
    Https,
}

/// The URL of a request, on which a redirect is based.
#[derive(Debug, Clone, Copy)]
pub struct RequestUrl<'a> {
    /// Scheme that the client used.
    pub scheme: Scheme,
    /// Normalised host that the client asked for; `None` if there is none (HTTP/1.0).
    pub host: Option<&'a [u8]>,
    /// Port that the client asked for.
    pub port: Option<u16>,
    /// Normalised path.
    pub path: &'a [u8],
    /// Query without the `?`; `None` without a `?`.
    pub query: Option<&'a [u8]>,
}

impl Scheme {
    /// Returns `http` or `https`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Returns the default port of the scheme.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Redirect {
    /// Returns true if the redirect leads back to `url`: a redirect to `https` does, where a proxy in front says that the
    /// client uses it already. As the port of the request is not kept, it makes no difference.
    pub fn leads_back(&self, url: &RequestUrl<'_>, values: &dyn Values) -> bool {
        let scheme = self.scheme.unwrap_or(url.scheme);
        let port = self.port.unwrap_or(scheme.default_port());
        scheme == url.scheme
            && (self.port.is_none() || port == url.port.unwrap_or(scheme.default_port()))
            && self.keeps_target()
            && self.host.as_ref().is_none_or(|host| {
                let mut filled = Vec::new();
                host.fill(values, &mut filled);
                url.host.is_some_and(|same| same.eq_ignore_ascii_case(&filled))
            })
    }

    /// Returns true if neither path nor query are changed.
    pub fn keeps_target(&self) -> bool {
        self.path.keeps() && self.query.keeps() && self.url.is_none()
    }

    /// Returns false if the redirect never leads back, for clients that use `scheme`.
    pub fn may_lead_back(&self, scheme: Scheme) -> bool {
        self.scheme.is_none_or(|other| other == scheme) && self.keeps_target()
    }

    /// Appends the `Location` for `url`, whose path `pattern` covers, with `values` filled in.
    ///
    /// It is absolute unless neither the redirect nor the request has a host.
    ///
    /// # Errors
    /// The new path has no safe normal form, or a value does not fit its place.
    pub fn location(
        &self,
        url: &RequestUrl<'_>,
        pattern: &PathPattern,
        options: PathOptions,
        values: &dyn Values,
        out: &mut Vec<u8>,
    ) -> Result<(), FillError> {
        if let Some(whole) = &self.url {
            return whole.fill(values, options, out);
        }
        let scheme = self.scheme.unwrap_or(url.scheme);
        if self.host.is_some() || url.host.is_some() {
            out.extend_from_slice(scheme.as_str().as_bytes());
            out.extend_from_slice(b"://");
            match &self.host {
                Some(host) => host.fill_host(values, false, out)?,
                None => out.extend_from_slice(url.host.unwrap_or_default()),
            }
            let inherited = if self.scheme.is_none() && self.host.is_none() {
                url.port
            } else {
                None
            };
            let port = self.port.or(inherited);
            if let Some(port) = port.filter(|&port| port != scheme.default_port()) {
                out.push(b':');
                out.extend_from_slice(port.to_string().as_bytes());
            }
        }
        let path_start = out.len();
        self.path.apply(url.path, pattern, options, values, out)?;
        // A kept `//` of the client's must not turn a Location without host into another host's.
        while out[path_start..].starts_with(b"//") {
            out.remove(path_start);
        }
        self.query.write(url.query, values, out);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::NoValues;

    fn location(redirect: &Redirect, host: Option<&str>, port: Option<u16>) -> String {
        let url = RequestUrl {
            scheme: Scheme::Http,
            host: host.map(str::as_bytes),
            port,
            path: b"/shop/7",
            query: Some(b"a=%20b"),
        };
        let mut out = Vec::new();
        let pattern = PathPattern::parse("/shop/*").unwrap();
        redirect
            .location(&url, &pattern, PathOptions::default(), &NoValues, &mut out)
            .unwrap();
        String::from_utf8(out).unwrap()
    }

    fn redirect() -> Redirect {
        Redirect {
            status: 302,
            scheme: None,
            host: None,
            port: None,
            path: PathRewrite::Keep,
            query: QueryRewrite::Keep,
            url: None,
        }
    }

    #[test]
    fn the_query_or_the_whole_url_is_replaced() {
        let dropped = Redirect {
            query: QueryRewrite::Replace("".into()),
            ..redirect()
        };
        assert_eq!(
            location(&dropped, Some("a.example"), None),
            "http://a.example/shop/7"
        );
        let whole = Redirect {
            url: Some(UrlTemplate::new(&"https://b.example/x?y#z".into()).unwrap()),
            ..redirect()
        };
        assert_eq!(
            location(&whole, Some("a.example"), None),
            "https://b.example/x?y#z"
        );
        assert!(!whole.may_lead_back(Scheme::Http) && !dropped.may_lead_back(Scheme::Http));
    }

    #[test]
    fn host_and_port_default_to_the_request() {
        let prefix = PathRewrite::Prefix(ValueTemplate::parse("/shops").unwrap().into());
        let moved = Redirect {
            path: prefix,
            ..redirect()
        };
        assert_eq!(
            location(&moved, Some("a.example"), Some(8080)),
            "http://a.example:8080/shops/7?a=%20b"
        );
        assert_eq!(
            location(&moved, Some("a.example"), None),
            "http://a.example/shops/7?a=%20b"
        );
        assert_eq!(
            location(&moved, Some("a.example"), Some(80)),
            "http://a.example/shops/7?a=%20b"
        );
        assert_eq!(location(&moved, None, None), "/shops/7?a=%20b");
    }

    #[test]
    fn a_redirect_to_the_same_url_leads_back() {
        let secure = Redirect {
            scheme: Some(Scheme::Https),
            ..redirect()
        };
        let host = Redirect {
            host: Some("A.example".into()),
            ..redirect()
        };
        let port = Redirect {
            port: Some(443),
            ..redirect()
        };
        let path = Redirect {
            path: PathRewrite::Prefix(ValueTemplate::parse("/shop").unwrap().into()),
            ..secure.clone()
        };
        let plain = Redirect {
            scheme: Some(Scheme::Http),
            ..redirect()
        };
        for (redirect, host, url_port, expected) in [
            (&secure, Some("a.example"), None, true),
            (&secure, Some("a.example"), Some(8443), true),
            (&secure, None, None, true),
            (&plain, Some("a.example"), None, false),
            (&host, Some("a.example"), Some(8443), true),
            (&host, Some("b.example"), None, false),
            (&host, None, None, false),
            (&port, Some("a.example"), None, true),
            (&port, Some("a.example"), Some(443), true),
            (&port, Some("a.example"), Some(8443), false),
            (&path, Some("a.example"), None, false),
        ] {
            let url = RequestUrl {
                scheme: Scheme::Https,
                host: host.map(str::as_bytes),
                port: url_port,
                path: b"/shop/7",
                query: None,
            };
            assert_eq!(
                redirect.leads_back(&url, &NoValues),
                expected,
                "{redirect:?} from {url:?}"
            );
        }
    }

    #[test]
    fn scheme_or_host_drops_the_port_of_the_request() {
        let secure = Redirect {
            scheme: Some(Scheme::Https),
            ..redirect()
        };
        assert_eq!(
            location(&secure, Some("a.example"), Some(8080)),
            "https://a.example/shop/7?a=%20b"
        );
        let named = Redirect {
            host: Some("b.example".into()),
            ..redirect()
        };
        assert_eq!(
            location(&named, Some("a.example"), Some(8080)),
            "http://b.example/shop/7?a=%20b"
        );
        let port = Redirect {
            port: Some(8443),
            ..secure.clone()
        };
        assert_eq!(
            location(&port, Some("a.example"), Some(80)),
            "https://a.example:8443/shop/7?a=%20b"
        );
        let default = Redirect {
            port: Some(443),
            ..secure
        };
        assert_eq!(
            location(&default, Some("a.example"), None),
            "https://a.example/shop/7?a=%20b"
        );
    }
}
