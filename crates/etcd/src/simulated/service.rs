//! Methods with one response, and the stream that renews leases.

use bytes::Bytes;
use futures_util::stream;
use prost::Message;
use tokio::sync::mpsc;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use super::cluster::{State, member_id};
use super::fault::{Fault, On};
use super::refusal::Refusal;
use super::store::Store;
use super::users::Caller;
use super::visit::{Sent, Visit};
use crate::error::Access;
use crate::key::KeyRange;
use crate::messages::auth::{
    AuthDisableRequest, AuthEnableRequest, AuthRoleAddRequest, AuthRoleGetRequest, AuthRoleGetResponse,
    AuthRoleGrantPermissionRequest, AuthUserAddRequest, AuthUserGetRequest, AuthUserGetResponse,
    AuthUserGrantRoleRequest, AuthenticateRequest, AuthenticateResponse,
};
use crate::messages::kv::{
    CompactionRequest, DeleteRangeRequest, DeleteRangeResponse, PutRequest, PutResponse, RangeRequest,
    RangeResponse, TxnRequest, TxnResponse,
};
use crate::messages::lease::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse, LeaseRevokeRequest,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse,
};
use crate::messages::maintenance::{StatusRequest, StatusResponse};
use crate::messages::{Done, ResponseHeader};
use crate::method::Call;

/// The version that the simulation says to be.
const VERSION: &str = "3.4.23";

/// The fields of a call beside its message.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    token: Option<String>,
    /// A member without a leader shall refuse at once.
    pub(super) wants_leader: bool,
}

impl Shown {
    pub(super) fn read(metadata: &MetadataMap) -> Self {
        let text = |name| metadata.get(name).and_then(|value| value.to_str().ok());
        Self {
            token: text("token").map(str::to_owned),
            wants_leader: text("hasleader") == Some("true"),
        }
    }

    pub(super) fn caller(&self, state: &mut State) -> Result<Caller, Refusal> {
        let now = state.now;
        state.users.caller(self.token.as_deref(), now)
    }
}

/// A request as the simulation carries it out.
trait Simulated: Call + Default {
    /// Its kind, for faults.
    fn on(&self) -> On {
        if self.is_write() { On::Write } else { On::Read }
    }

    /// Returns true if a member answers it without the others.
    fn is_local(&self) -> bool {
        false
    }

    /// Carries it out.
    fn carry_out(&self, state: &mut State, caller: &Caller, member: usize)
    -> Result<Self::Response, Refusal>;

    /// Puts the header in.
    fn with_header(response: Self::Response, header: Option<ResponseHeader>) -> Self::Response;
}

/// Answers a call by its path.
pub(super) async fn answer(visit: &Visit, path: &str, request: Request<Bytes>) -> Result<Bytes, Status> {
    let shown = Shown::read(request.metadata());
    let message = request.into_inner();
    macro_rules! route {
        ($($kind:ty),*) => {
            match path {
                $(<$kind as Call>::PATH => carry_out::<$kind>(visit, &shown, message).await,)*
                _ => Err(Status::unimplemented(format!("unknown service or method {path}"))),
            }
        };
    }
    route!(
        RangeRequest,
        PutRequest,
        DeleteRangeRequest,
        TxnRequest,
        CompactionRequest,
        LeaseGrantRequest,
        LeaseRevokeRequest,
        LeaseTimeToLiveRequest,
        AuthEnableRequest,
        AuthDisableRequest,
        AuthenticateRequest,
        AuthUserAddRequest,
        AuthUserGetRequest,
        AuthUserGrantRoleRequest,
        AuthRoleAddRequest,
        AuthRoleGetRequest,
        AuthRoleGrantPermissionRequest,
        StatusRequest
    )
}

async fn carry_out<R: Simulated>(visit: &Visit, shown: &Shown, message: Bytes) -> Result<Bytes, Status> {
    let bytes = message.len();
    let request = R::decode(message).map_err(|error| Status::internal(error.to_string()))?;
    let fault = visit.cluster.lock().faults.take(request.on());
    match &fault {
        Some(Fault::Break) => visit.break_off().await,
        Some(Fault::Refuse(refusal)) => return Err((*refusal).into()),
        Some(Fault::HoldBefore(hold)) => hold.wait().await,
        _ => {}
    }
    let member = visit.member;
    if !request.is_local() {
        if shown.wants_leader && !visit.cluster.lock().has_leader(member) {
            return Err(Refusal::NoLeader.into());
        }
        // A proposal waits for a leader.
        visit.cluster.wait_for(|state| state.has_leader(member)).await;
    }
    let response = visit.cluster.change(|state| {
        if request.is_write() && bytes > state.request_bytes_max {
            return Err(Refusal::RequestTooLarge);
        }
        let caller = shown.caller(state)?;
        let response = request.carry_out(state, &caller, member)?;
        state.calls.push(R::PATH);
        let header = state.header(member);
        Ok(R::with_header(response, header).encode_to_vec())
    });
    match fault {
        Some(Fault::DropAnswer) => visit.break_off().await,
        Some(Fault::HoldAnswer(hold)) => hold.wait().await,
        Some(Fault::Answer(bytes)) => return Ok(bytes.into()),
        _ => {}
    }
    Ok(response?.into())
}

/// The header of a response with others beside it.
macro_rules! header {
    () => {
        fn with_header(mut response: Self::Response, header: Option<ResponseHeader>) -> Self::Response {
            response.header = header;
            response
        }
    };
}

impl Simulated for RangeRequest {
    fn is_local(&self) -> bool {
        self.serializable
    }

    fn carry_out(&self, state: &mut State, caller: &Caller, _: usize) -> Result<RangeResponse, Refusal> {
        Store::check_range(self)?;
        state.users.may(caller, self.accesses())?;
        state.store.range(self)
    }

    header!();
}

impl Simulated for PutRequest {
    fn carry_out(&self, state: &mut State, caller: &Caller, _: usize) -> Result<PutResponse, Refusal> {
        Store::check_put(self)?;
        state.users.may(caller, self.accesses())?;
        let leases = state.lessor.ids();
        state.store.put(self, &leases)
    }

    header!();
}

impl Simulated for DeleteRangeRequest {
    fn carry_out(
        &self,
        state: &mut State,
        caller: &Caller,
        _: usize,
    ) -> Result<DeleteRangeResponse, Refusal> {
        Store::check_delete(self)?;
        state.users.may(caller, self.accesses())?;
        Ok(state.store.delete(self))
    }

    header!();
}

impl Simulated for TxnRequest {
    fn carry_out(&self, state: &mut State, caller: &Caller, _: usize) -> Result<TxnResponse, Refusal> {
        Store::check_txn(self)?;
        state.users.may(caller, self.accesses())?;
        let leases = state.lessor.ids();
        state.store.txn(self, &leases)
    }

    header!();
}

impl Simulated for CompactionRequest {
    fn carry_out(&self, state: &mut State, _: &Caller, _: usize) -> Result<Done, Refusal> {
        state.store.compact(self.revision)?;
        Ok(Done::default())
    }

    header!();
}

impl Simulated for LeaseGrantRequest {
    fn carry_out(&self, state: &mut State, _: &Caller, _: usize) -> Result<LeaseGrantResponse, Refusal> {
        let now = state.now;
        let (id, ttl) = state.lessor.grant(self.id, self.ttl, now)?;
        Ok(LeaseGrantResponse {
            id,
            ttl,
            ..LeaseGrantResponse::default()
        })
    }

    header!();
}

impl Simulated for LeaseRevokeRequest {
    fn carry_out(&self, state: &mut State, caller: &Caller, _: usize) -> Result<Done, Refusal> {
        let keys = state.store.attached(self.id);
        let accesses = keys.iter().map(|key| (Access::Write, KeyRange::key(&**key)));
        if !keys.is_empty() {
            state.users.may(caller, accesses)?;
        }
        state.lessor.revoke(self.id)?;
        state.store.delete_keys(keys);
        Ok(Done::default())
    }

    header!();
}

impl Simulated for LeaseTimeToLiveRequest {
    fn carry_out(&self, state: &mut State, _: &Caller, _: usize) -> Result<LeaseTimeToLiveResponse, Refusal> {
        let Some((ttl, granted_ttl)) = state.lessor.left(self.id, state.now) else {
            return Ok(LeaseTimeToLiveResponse {
                id: self.id,
                ttl: -1,
                ..LeaseTimeToLiveResponse::default()
            });
        };
        Ok(LeaseTimeToLiveResponse {
            header: None,
            id: self.id,
            ttl,
            granted_ttl,
            keys: if self.keys {
                state.store.attached(self.id)
            } else {
                Vec::new()
            },
        })
    }

    header!();
}

impl Simulated for AuthenticateRequest {
    fn on(&self) -> On {
        On::Authenticate
    }

    fn carry_out(&self, state: &mut State, _: &Caller, _: usize) -> Result<AuthenticateResponse, Refusal> {
        let now = state.now;
        let token = state.users.authenticate(&self.name, &self.password, now)?;
        Ok(AuthenticateResponse { header: None, token })
    }

    header!();
}

impl Simulated for AuthUserGetRequest {
    fn carry_out(
        &self,
        state: &mut State,
        caller: &Caller,
        _: usize,
    ) -> Result<AuthUserGetResponse, Refusal> {
        let roles = state.users.roles_of(caller, &self.name)?;
        Ok(AuthUserGetResponse { header: None, roles })
    }

    header!();
}

impl Simulated for AuthRoleGetRequest {
    fn carry_out(
        &self,
        state: &mut State,
        caller: &Caller,
        _: usize,
    ) -> Result<AuthRoleGetResponse, Refusal> {
        let perm = state.users.permissions_of(caller, &self.role)?;
        Ok(AuthRoleGetResponse { header: None, perm })
    }

    header!();
}

impl Simulated for StatusRequest {
    fn on(&self) -> On {
        On::Status
    }

    fn is_local(&self) -> bool {
        true
    }

    fn carry_out(&self, state: &mut State, _: &Caller, member: usize) -> Result<StatusResponse, Refusal> {
        // The first member that works leads.
        let leader = (0..state.members.len()).find(|member| state.has_leader(*member));
        let has_leader = state.has_leader(member);
        Ok(StatusResponse {
            version: VERSION.to_owned(),
            db_size: 20 << 10,
            leader: leader.filter(|_| has_leader).map_or(0, member_id),
            raft_term: 2,
            ..StatusResponse::default()
        })
    }

    header!();
}

/// Changes of users and roles, which only the root user makes.
macro_rules! administration {
    ($($request:ty, |$this:ident, $users:ident| $change:expr;)*) => {
        $(impl Simulated for $request {
            fn carry_out(&self, state: &mut State, caller: &Caller, _: usize) -> Result<Done, Refusal> {
                state.users.administers(caller)?;
                let ($this, $users) = (self, &mut state.users);
                $change?;
                Ok(Done::default())
            }

            header!();
        })*
    };
}

administration! {
    AuthEnableRequest, |_this, users| users.enable();
    AuthDisableRequest, |_this, users| users.disable();
    AuthUserAddRequest, |this, users| users.add_user(&this.name, &this.password);
    AuthUserGrantRoleRequest, |this, users| users.grant_role(&this.user, &this.role);
    AuthRoleAddRequest, |this, users| users.add_role(&this.name);
    AuthRoleGrantPermissionRequest, |this, users|
        users.grant_permission(&this.name, this.perm.clone().unwrap_or_default());
}

/// Renews leases as they are asked for.
pub(super) async fn keep_alive(visit: &Visit, request: Request<Streaming<Bytes>>) -> Result<Sent, Status> {
    let shown = Shown::read(request.metadata());
    let mut questions = request.into_inner();
    let (answers, mut sent) = mpsc::unbounded_channel();
    let visit = visit.clone();
    tokio::spawn(async move {
        while let Ok(Some(question)) = questions.message().await {
            let answer = renew(&visit, &shown, question).await;
            let is_over = answer.is_err();
            if answers.send(answer).is_err() || is_over {
                break;
            }
        }
    });
    Ok(Box::pin(stream::poll_fn(move |context| sent.poll_recv(context))))
}

async fn renew(visit: &Visit, shown: &Shown, question: Bytes) -> Result<Bytes, Status> {
    let request =
        LeaseKeepAliveRequest::decode(question).map_err(|error| Status::internal(error.to_string()))?;
    let fault = visit.cluster.lock().faults.take(On::KeepAlive);
    match &fault {
        Some(Fault::Break) => visit.break_off().await,
        Some(Fault::Refuse(refusal)) => return Err((*refusal).into()),
        Some(Fault::HoldBefore(hold)) => hold.wait().await,
        _ => {}
    }
    if shown.wants_leader && !visit.cluster.lock().has_leader(visit.member) {
        return Err(Refusal::NoLeader.into());
    }
    let answer = visit.cluster.change(|state| {
        let now = state.now;
        let response = LeaseKeepAliveResponse {
            header: state.header(visit.member),
            id: request.id,
            ttl: state.lessor.renew(request.id, now),
        };
        response.encode_to_vec()
    });
    match fault {
        Some(Fault::DropAnswer) => visit.break_off().await,
        Some(Fault::HoldAnswer(hold)) => hold.wait().await,
        Some(Fault::Answer(bytes)) => return Ok(bytes.into()),
        _ => {}
    }
    Ok(answer.into())
}
