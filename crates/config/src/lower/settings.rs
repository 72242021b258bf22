//! Settings of the gateway as a whole.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::time::Duration;

use waypost_plan::admin::{Admin, AdminBind};
use waypost_plan::settings::{AccessLog, Settings, StateSettings};

use crate::diagnostic::Code;
use crate::document::{self, Document};
use crate::either::{OffOr, TextOr};
use crate::keys::At;
use crate::lower::pattern::Pattern;
use crate::lower::{Context, error_pages, header_name, whole};
use crate::problems::{Problems, quote};
use crate::suggest::correction;
use crate::values::Text;

/// Maximum number of revisions to keep: each start reads all of them.
const KEEP_MAX: u64 = 10_000;

/// Sets the settings of the gateway as a whole.
pub(super) fn set(document: &Document, context: &mut Context<'_>) {
    let settings = of(document, context);
    context.builder.set_settings(settings);
}

/// Lowers the settings of the gateway as a whole.
pub(super) fn of(document: &Document, context: &mut Context<'_>) -> Settings {
    let mut settings = Settings::default();
    if let Some(errors) = &document.errors {
        settings.errors = error_pages::of(&errors.value, &[Pattern::everything()], context);
    }
    let problems = &mut *context.problems;
    if let Some(log) = &document.access_log {
        settings.access_log = match &*log.value.0 {
            "off" => AccessLog::Off,
            "stdout" => AccessLog::Stdout,
            path if path.is_empty() || path.contains(char::is_control) => {
                problems
                    .add(
                        Code::BadValue,
                        log.span,
                        format!("{} is not a file path", quote(path)),
                    )
                    .help("write `off`, `stdout` or a path");
                AccessLog::Off
            }
            path => AccessLog::File(path.into()),
        };
    }
    if let Some(timeout) = &document.drain_timeout {
        settings.drain_timeout = super::timeout(timeout, Duration::ZERO, problems);
    }
    if let Some(debug) = &document.debug_headers {
        settings.debug_headers = debug.value;
    }
    if let Some(admin) = &document.admin {
        settings.admin = admin_of(admin, problems);
    }
    if let Some(state) = &document.state {
        settings.state = state_of(&state.value, problems);
    }
    if let Some(code) = document
        .metrics
        .as_ref()
        .and_then(|metrics| metrics.value.code.as_ref())
    {
        settings.code_label = code.value;
    }
    if let Some(servers) = document
        .resolver
        .as_ref()
        .and_then(|resolver| resolver.value.nameservers.as_ref())
    {
        let servers = servers.value.0.iter();
        settings.name_servers = servers
            .filter_map(|server| name_server(server, problems))
            .collect();
    }
    if let Some(workers) = &document.workers {
        settings.workers = NonZeroUsize::new(whole(workers, 1, 1024, problems));
    }
    settings
}

/// Lowers the address of a name server.
fn name_server(written: &At<Text>, problems: &mut Problems) -> Option<SocketAddr> {
    let text = &*written.value;
    let port_53 = |ip| SocketAddr::new(ip, 53);
    let found = text.parse().or_else(|_| text.parse().map(port_53));
    match found {
        Ok(server) if server.port() != 0 => return Some(server),
        _ => {}
    }
    problems
        .add(
            Code::BadValue,
            written.span,
            format!("{} is not the address of a name server", quote(text)),
        )
        .help("write an IP address such as `10.0.0.53`, with a port if it is not 53: `127.0.0.1:5353`");
    None
}

/// Lowers the settings of the admin API; `None` if it is off or invalid.
fn admin_of(written: &At<OffOr<document::Admin>>, problems: &mut Problems) -> Option<Admin> {
    let OffOr::Mapping(given) = &written.value else {
        return None;
    };
    let bind = match &given.bind {
        Some(bind) => admin_bind(bind, problems)?,
        None => Admin::default().bind,
    };
    let token_file = given.token_file.as_ref().and_then(|file| path_of(file, problems));
    if let AdminBind::Tcp(address) = bind
        && !address.ip().to_canonical().is_loopback()
        && given.token_file.is_none()
        && !given.given.keys().any(|key| key == "token_file")
    {
        let span = given.bind.as_ref().map_or(written.span, |bind| bind.span);
        problems
            .add(
                Code::OpenAdmin,
                span,
                format!("the admin API on {address} is open to other machines"),
            )
            .help("add a `token_file`, or bind to `127.0.0.1`");
    }
    let show_headers = match &given.show_headers {
        Some(list) => list
            .value
            .0
            .iter()
            .filter_map(|name| shown_header(name, problems))
            .collect(),
        None => Admin::default().show_headers,
    };
    Some(Admin {
        bind,
        is_explicit: true,
        token_file,
        show_headers,
    })
}

/// The name of a header whose values may be shown.
fn shown_header(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    let name = header_name::of(written, problems)?;
    if Admin::SECRET_HEADERS.contains(&&*name) {
        problems
            .add(
                Code::BadValue,
                written.span,
                format!("the values of `{name}` are secrets and are never shown"),
            )
            .help("leave it out; its name is shown");
        return None;
    }
    Some(name)
}

fn admin_bind(written: &At<Text>, problems: &mut Problems) -> Option<AdminBind> {
    let text = &*written.value;
    if let Some(bind) = parse_admin_bind(text) {
        return Some(bind);
    }
    let help = match correction::address(text, "127.0.0.1", 9900) {
        Some(address) if text.parse::<IpAddr>().is_ok() => format!("a port is missing: `{address}`"),
        Some(address) => format!("write `{address}`"),
        None if text.starts_with('/') && is_file_path(text) => format!("write `unix:{text}`"),
        None => {
            "write an IP address and a port such as `127.0.0.1:9900`, or `unix:/run/waypost.sock`".to_owned()
        }
    };
    problems
        .add(
            Code::BadBind,
            written.span,
            format!("{} is not an address for the admin API", quote(text)),
        )
        .help(help);
    None
}

fn state_of(written: &TextOr<document::State>, problems: &mut Problems) -> StateSettings {
    match written {
        TextOr::Text(path) => StateSettings {
            path: path_of(path, problems),
            ..StateSettings::default()
        },
        TextOr::Mapping(given) => {
            let document::State { path, keep, .. } = &**given;
            let keep = keep.as_ref().map(|keep| whole(keep, 1, KEEP_MAX, problems));
            StateSettings {
                path: path.as_ref().and_then(|path| path_of(path, problems)),
                keep: keep.and_then(NonZeroUsize::new).unwrap_or(StateSettings::KEEP),
            }
        }
    }
}

fn parse_admin_bind(text: &str) -> Option<AdminBind> {
    match text.strip_prefix("unix:") {
        Some(path) => is_file_path(path).then(|| AdminBind::Unix(path.into())),
        None => text.parse().ok().map(AdminBind::Tcp),
    }
}

fn is_file_path(path: &str) -> bool {
    !path.is_empty() && !path.contains(char::is_control)
}

pub(super) fn path_of(written: &At<Text>, problems: &mut Problems) -> Option<Box<str>> {
    let path = &*written.value;
    if !is_file_path(path) {
        problems
            .add(
                Code::BadValue,
                written.span,
                format!("{} is not a path", quote(path)),
            )
            .help("write a path such as `/var/lib/waypost`");
        return None;
    }
    Some(path.into())
}
