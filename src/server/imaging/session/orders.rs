//! What a computer that runs the client is to do now.

use ed25519_dalek::VerifyingKey;
use mimeo_core::{
    chunk::ChunkSize,
    ids::{BootId, ComputerId},
    machine::MachineReport,
    messages::{CaptureOrder, DeployOrder, DiskQuestion, DiskUse, Orders},
};

use super::{
    DiskChoice, Job, Session, State,
    machine::{Input, Refused},
    plan::{Plan, confirm, plan},
    requests::{SessionError, Sessions},
};
use crate::clock::Timestamp;

/// Who asks for orders.
#[derive(Debug, Clone, Copy)]
pub struct Asking<'a> {
    pub computer: ComputerId,
    pub boot: BootId,
    /// When this boot said its first word.
    pub since: Timestamp,
    /// Of this boot as well.
    pub report: &'a MachineReport,
}

impl Sessions {
    /// The orders for a boot of a computer.
    ///
    /// Orders to work begin an attempt. Asking again in the same boot gives the same orders and begins nothing.
    pub async fn next_orders(
        &self,
        asking: Asking<'_>,
        key: &VerifyingKey,
        now: Timestamp,
    ) -> Result<Orders, SessionError> {
        let Asking { computer, boot, since, report } = asking;
        let Some(session) = self.find_open(computer).await? else {
            let last = self.find_last(computer).await?;
            return Ok(orders_without_session(last.as_ref(), boot, since));
        };
        let plan = match &session.disk {
            DiskChoice::Pinned(pin) => confirm(report, pin),
            DiskChoice::Asked(_) => plan(report, session.job.need(), session.rule.as_ref()),
        };
        // A client that waits for an answer asks every few seconds: nothing has changed, so nothing is written.
        if let (DiskChoice::Asked(known), Plan::Ask(now)) = (&session.disk, &plan)
            && known == now
            && session.unheard_boots == 0
        {
            return Ok(orders_of(session, key));
        }
        match self.step(session.id, Input::Begin { boot, plan }, now).await {
            Ok(session) => Ok(orders_of(session, key)),
            // It ended between the two statements.
            Err(SessionError::Refused(Refused::Ended { .. })) => Ok(Orders::Reboot),
            Err(SessionError::Refused(_)) => Ok(Orders::Wait),
            Err(error) => Err(error),
        }
    }
}

/// Where a session ended while the computer ran the client for it, the computer is to start from its own disk: nobody
/// stands before it, and whoever stopped the session has told it nothing else. One that came without a session waits.
fn orders_without_session(last: Option<&Session>, boot: BootId, since: Timestamp) -> Orders {
    let was_here_for =
        |last: &Session| last.boot == Some(boot) || last.ended.is_some_and(|ended| ended >= since);
    match last {
        Some(last) if !last.state.is_open() && was_here_for(last) => Orders::Reboot,
        _ => Orders::Wait,
    }
}

fn orders_of(session: Session, key: &VerifyingKey) -> Orders {
    let id = session.id;
    match (session.state, session.disk, session.job) {
        (State::Waiting, DiskChoice::Asked(candidates), job) => {
            Orders::Question(DiskQuestion { session: id, wanted_for: use_of(job), candidates })
        }
        (
            State::Running { .. },
            DiskChoice::Pinned(source),
            Job::Capture { master, tolerate_bad_sectors, .. },
        ) => Orders::Capture(CaptureOrder {
            session: id,
            master_name: master.to_string(),
            source,
            chunk_size: ChunkSize::DEFAULT,
            tolerate_bad_sectors,
        }),
        (
            State::Running { .. },
            DiskChoice::Pinned(target),
            Job::Deploy { master, version, root, verify, .. },
        ) => Orders::Deploy(DeployOrder {
            session: id,
            master_name: master.to_string(),
            version,
            manifest_root: root,
            manifest_key: key.to_bytes(),
            target,
            verify,
        }),
        // It ended when it was to begin: the disk is gone, or it was begun too often.
        (State::Failed(failure), ..) => Orders::Refused(failure),
        // Its version is listed already. The computer is to start from its own disk and not to stay here for ever.
        (State::Succeeded, ..) => Orders::Reboot,
        _ => Orders::Wait,
    }
}

fn use_of(job: Job) -> DiskUse {
    match job {
        Job::Capture { master, .. } => DiskUse::Capture { master_name: master.to_string() },
        Job::Deploy { master, version, .. } => DiskUse::Deploy { master_name: master.to_string(), version },
    }
}
