//! Windows of rollouts.

use schemars::{Schema, SchemaGenerator, json_schema};
use waypost_rollout::ramp::window::{Window, WindowError, zones};

use crate::diagnostic::Code;
use crate::keys::{Read, wrong_type};
use crate::problems::Problems;
use crate::suggest::nearest;
use crate::tree::Node;
use crate::values::{VARIABLE, text_of};

/// A window, such as `Mon-Fri 09:00-17:00 Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WindowText(pub(crate) Window);

impl Read for WindowText {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Some(text) = text_of(node) else {
            wrong_type(node, &Self::words(), problems);
            return None;
        };
        let error = match Window::parse(text) {
            Ok(window) => return Some(Self(window)),
            Err(error) => error,
        };
        let help = match &error {
            WindowError::Zone(zone) => {
                let zones = zones();
                let near = nearest(zone, zones.iter().map(String::as_str));
                near.map(|near| format!("did you mean `{near}`?"))
            }
            _ => None,
        };
        problems
            .add(Code::BadValue, node.span, error.to_string())
            .help(help.unwrap_or_else(|| error.help().to_owned()));
        None
    }

    fn words() -> String {
        "a window, as `DAYS HH:MM-HH:MM ZONE`".to_owned()
    }

    fn help_if_empty() -> &'static str {
        "write a window, such as `\"Mon-Fri 09:00-17:00 Europe/Berlin\"`, or leave the key out"
    }

    fn schema(_: &mut SchemaGenerator) -> Schema {
        const DAY: &str = "(Mon|Tue|Wed|Thu|Fri|Sat|Sun)";
        const TIME: &str = "([01][0-9]|2[0-3]):[0-5][0-9]";
        let days = format!("{DAY}(-{DAY})?");
        json_schema!({
            "type": "string",
            "pattern": format!("^{days}(,{days})* {TIME}-({TIME}|24:00) [A-Za-z0-9_+/-]+$|{VARIABLE}"),
        })
    }
}
