//! Verification of a password that was not verified a short while ago.

use std::sync::Arc;

use waypost_plan::auth::basic::Basic;
use waypost_policy::auth::Waited;
use waypost_policy::auth::basic::{self, Carried};
use waypost_policy::failure::Failure;
use waypost_policy::values::Circumstances as _;

use crate::local::snapshot::Snapshot;
use crate::request::ActiveRequest;

impl ActiveRequest<'_> {
    /// The verification of the name and password of the request.
    pub(super) fn verify_password(
        &self,
        way: &Basic,
        snapshot: &Snapshot,
    ) -> impl Future<Output = Waited> + use<> {
        let pair = match basic::carried(way, &self.incoming()) {
            Carried::Pair(pair) => Some(pair),
            Carried::Nothing | Carried::Malformed => None,
        };
        let users = snapshot.generation.compiled().password_files().users(&way.file);
        let now_ms = self.now().unix_ms();
        let verifier = Arc::clone(self.client.worker.verifier());
        async move {
            let (Some(pair), Some(users)) = (pair, users) else {
                return Waited::Over;
            };
            // Others may have sent the same while this one waited for its turn.
            let verify = move || {
                users
                    .recall(&pair, now_ms)
                    .or_else(|| users.verify(&pair, now_ms))
            };
            match verifier.run(verify).await {
                Ok(Some(identity)) => Waited::Admitted(identity),
                Ok(None) => Waited::Refused(Failure::BadCredentials),
                Err(_) => Waited::Refused(Failure::AuthUnavailable),
            }
        }
    }
}
