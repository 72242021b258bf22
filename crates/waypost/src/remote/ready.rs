//! `waypost run --check-ready`: the readiness of a running gateway, for container health checks.

use std::time::Duration;

use super::Client;
use crate::{Outcome, output};

/// The timeout: shorter than that of any supervisor.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the admin API at `address` for `/readyz`. Everything but a yes is bad: supervisors know no other result.
pub(crate) fn check_ready(address: &str) -> Outcome {
    let ready = Client::at(address, TIMEOUT).and_then(|client| client.is_ready());
    match ready {
        Ok(Ok(())) => Outcome::Good,
        Ok(Err(problem)) => {
            output::eprint(&format!("waypost: {problem}\n"));
            Outcome::Bad
        }
        Err(error) => {
            output::eprint(&format!("waypost: {error:#}\n"));
            Outcome::Bad
        }
    }
}
