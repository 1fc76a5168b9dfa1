//! What a computer that runs the client is to do now.

use ed25519_dalek::VerifyingKey;
use mimeo_core::{
    chunk::ChunkSize,
    ids::{BootId, ComputerId},
    machine::MachineReport,
    messages::{CaptureOrder, DeployOrder, DiskQuestion, Orders},
};

use super::{
    DiskChoice, Job, Session, State,
    machine::Input,
    plan::{Plan, confirm, plan},
    requests::{SessionError, Sessions},
};
use crate::clock::Timestamp;

impl Sessions {
    /// The orders for this boot of a computer, whose `report` is of this boot as well.
    ///
    /// Orders to work begin an attempt. Asking again in the same boot gives the same orders and begins nothing.
    pub async fn next_orders(
        &self,
        computer: ComputerId,
        boot: BootId,
        report: &MachineReport,
        key: &VerifyingKey,
        now: Timestamp,
    ) -> Result<Orders, SessionError> {
        let Some(session) = self.find_open(computer).await? else { return Ok(Orders::Wait) };
        let plan = match &session.disk {
            DiskChoice::Pinned(pin) => confirm(report, pin),
            DiskChoice::Asked(_) => plan(report, session.job.need(), session.rule.as_ref()),
        };
        // A client that waits for an answer asks every few seconds: nothing has changed, so nothing is written.
        if let (DiskChoice::Asked(known), Plan::Ask(now)) = (&session.disk, &plan)
            && known == now
        {
            return Ok(orders_of(session, key));
        }
        match self.step(session.id, Input::Begin { boot, plan }, now).await {
            Ok(session) => Ok(orders_of(session, key)),
            // It ended between the two statements.
            Err(SessionError::Refused(_)) => Ok(Orders::Wait),
            Err(error) => Err(error),
        }
    }
}

fn orders_of(session: Session, key: &VerifyingKey) -> Orders {
    let id = session.id;
    match (session.state, session.disk, session.job) {
        (State::Waiting, DiskChoice::Asked(candidates), _) => {
            Orders::Question(DiskQuestion { session: id, candidates })
        }
        (State::Running { .. }, DiskChoice::Pinned(source), Job::Capture { master, .. }) => {
            let master_name = master.to_string();
            Orders::Capture(CaptureOrder { session: id, master_name, source, chunk_size: ChunkSize::DEFAULT })
        }
        (State::Running { .. }, DiskChoice::Pinned(target), Job::Deploy { master, version, root, .. }) => {
            Orders::Deploy(DeployOrder {
                session: id,
                master_name: master.to_string(),
                version,
                manifest_root: root,
                manifest_key: key.to_bytes(),
                target,
            })
        }
        // It failed when it was to begin: the disk is gone, or it was begun too often. The computer is to start from
        // its own disk and not to stay here for ever.
        (State::Failed(_), ..) => Orders::Reboot,
        _ => Orders::Wait,
    }
}
