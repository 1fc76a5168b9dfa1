//! What a person asks for, in the page, on the command line or over the API.

use mimeo_core::{
    ids::{ComputerId, VersionNumber},
    machine::MachineReport,
    manifest::{Manifest, ManifestError},
};

use super::Services;
use crate::{
    clock::Timestamp,
    events::Event,
    imaging::{
        master::{MasterError, MasterRef, load_version},
        remove::{RemoveError, Removed, remove},
        session::{
            Session,
            plan::{DiskRule, ErasePreview, Need, Plan, plan, preview_erase},
            requests::{DeployVersion, NewCapture, SessionError},
            shown::Shown,
        },
        store::error::StoreError,
    },
    inventory::computer::{Computer, ComputerError, load_computer},
};

/// A deploy as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDeploy<'a> {
    pub master: &'a MasterRef,
    /// Whether everything is read back.
    pub verify: bool,
}

/// Everything is read back.
impl<'a> From<&'a MasterRef> for NewDeploy<'a> {
    fn from(master: &'a MasterRef) -> Self {
        Self { master, verify: true }
    }
}

/// What a deploy would do, before anybody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeployPreview {
    pub computer: Computer,
    pub version: DeployVersion,
    pub plan: Plan,
    /// What stands on each disk that may be erased, as of the computer's last boot into the client.
    pub disks: Vec<ErasePreview>,
}

/// What a capture would do, before anybody asked for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapturePreview {
    pub computer: Computer,
    pub plan: Plan,
    /// What stands on each disk that may be read, as of the computer's last boot into the client.
    pub disks: Vec<ErasePreview>,
}

/// Why a request was not done.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Computer(#[from] ComputerError),
    #[error(transparent)]
    Master(#[from] MasterError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the manifest of {master} cannot be read")]
    Manifest { master: MasterRef, source: ManifestError },
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("the disks of the computer, or the partitions on them, are not as they were shown: look again")]
    DisksChanged,
}

impl Services {
    /// Asks for a disk of a computer to become a new version of a master. Nothing happens until the computer boots into
    /// the client. With `shown`, refused where the disks are not what the person saw.
    pub async fn request_capture(
        &self,
        computer: ComputerId,
        what: impl Into<NewCapture>,
        rule: Option<DiskRule>,
        shown: Option<&Shown>,
        now: Timestamp,
    ) -> Result<Session, RequestError> {
        let report = load_computer(&self.pool, computer).await?.report;
        check_shown(&report, Need::Source, rule.as_ref(), shown)?;
        Ok(self.sessions.request_capture(computer, &report, what, rule, now).await?)
    }

    /// Asks for a version to be written to a disk of a computer. Refused here where no disk can hold it and, with
    /// `shown`, where the disks are not what the person saw.
    pub async fn request_deploy(
        &self,
        computer: ComputerId,
        what: impl Into<NewDeploy<'_>>,
        rule: Option<DiskRule>,
        shown: Option<&Shown>,
        now: Timestamp,
    ) -> Result<Session, RequestError> {
        let NewDeploy { master, verify } = what.into();
        let report = load_computer(&self.pool, computer).await?.report;
        let version = DeployVersion { verify, ..self.load_deployable(master).await? };
        check_shown(&report, version.need, rule.as_ref(), shown)?;
        Ok(self.sessions.request_deploy(computer, &report, version, rule, now).await?)
    }

    /// Shows which disk a capture would read, or among which it would ask, or why it cannot be.
    pub async fn preview_capture(
        &self,
        computer: ComputerId,
        rule: Option<&DiskRule>,
    ) -> Result<CapturePreview, RequestError> {
        let computer = load_computer(&self.pool, computer).await?;
        let plan = plan(&computer.report, Need::Source, rule);
        let disks = preview_erase(&computer.report, &plan);
        Ok(CapturePreview { computer, plan, disks })
    }

    /// Shows which disk a deploy would erase, or among which it would ask, or why it cannot be.
    pub async fn preview_deploy(
        &self,
        computer: ComputerId,
        master: &MasterRef,
        rule: Option<&DiskRule>,
    ) -> Result<DeployPreview, RequestError> {
        let computer = load_computer(&self.pool, computer).await?;
        let version = self.load_deployable(master).await?;
        let plan = plan(&computer.report, version.need, rule);
        let disks = preview_erase(&computer.report, &plan);
        Ok(DeployPreview { computer, version, plan, disks })
    }

    /// Removes a version, or a master with all of its versions. Refused while a session needs it and, with `shown`,
    /// where other versions would go than the person saw.
    pub async fn remove_master(
        &self,
        wanted: &MasterRef,
        shown: Option<&[VersionNumber]>,
    ) -> Result<Removed, RemoveError> {
        let removed = remove(&self.pool, wanted, shown).await?;
        for &version in &removed.versions {
            self.events.emit(Event::VersionRemoved { name: removed.name.to_string(), version });
        }
        Ok(removed)
    }

    async fn load_deployable(&self, wanted: &MasterRef) -> Result<DeployVersion, RequestError> {
        let (master, version) = load_version(&self.pool, wanted).await?;
        let signed = self.store.read_manifest(version.manifest_root).await?;
        let manifest = Manifest::decode(&signed.encoded)
            .map_err(|source| RequestError::Manifest { master: wanted.clone(), source })?;
        Ok(DeployVersion::new(master.name, version.number, version.manifest_root, &manifest))
    }
}

/// Looks at the very report by which the session will be planned, so nothing can change in between.
fn check_shown(
    report: &MachineReport,
    need: Need,
    rule: Option<&DiskRule>,
    shown: Option<&Shown>,
) -> Result<(), RequestError> {
    let Some(shown) = shown else { return Ok(()) };
    match plan(report, need, rule) {
        // Refused with the numbers a moment later, which says more.
        Plan::Impossible(_) => Ok(()),
        plan if Shown::of(&preview_erase(report, &plan)) == *shown => Ok(()),
        _ => Err(RequestError::DisksChanged),
    }
}
