//! A client's first word: its token is used up, its machine recognised or registered, its credential issued.

use mimeo_core::{
    ids::{ComputerId, Secret},
    machine::MachineReport,
};
use sqlx::SqlitePool;

use super::{
    boot_token::{Minted, Purpose, SpendError, check, spend},
    client_boot::{ClientBoot, begin_boot},
    computer::{ComputerError, find_candidates, insert_computer, load_computer, update_report},
    identity::{Recognition, Sight, Traits, recognise},
    name::ComputerName,
};
use crate::{
    clock::Timestamp,
    events::{Event, Events},
};

/// Network cards in one report: several times what a server has. A report is foreign input and costs a look-up for
/// each.
const NICS_MAX: usize = 64;

/// The longest report that is kept, as JSON: some hundred disks with a dozen partitions each. Every list of computers
/// reads the reports of all.
const REPORT_BYTES_MAX: usize = 256 << 10;

/// A client that was let in.
#[derive(Debug)]
pub struct Admission {
    pub boot: ClientBoot,
    /// What the boot is for.
    pub purpose: Purpose,
    pub name: ComputerName,
    /// What the client shows from now on.
    pub credential: Secret,
}

/// Lets a client in, or refuses it. Either everything of it is durable when this returns, or the token is as good as
/// before.
pub async fn admit(
    pool: &SqlitePool,
    events: &Events,
    token: &Secret,
    report: MachineReport,
    now: Timestamp,
) -> Result<Admission, AdmitError> {
    if report.nics.len() > NICS_MAX {
        return Err(AdmitError::TooManyNics { found: report.nics.len() });
    }
    // Here foreign text comes in; from here on, nothing in it steers a terminal.
    let report = &report.into_printable();
    let report_bytes = serde_json::to_vec(report).map_or(usize::MAX, |json| json.len());
    if report_bytes > REPORT_BYTES_MAX {
        return Err(AdmitError::ReportTooLong { found_bytes: report_bytes });
    }
    let machine = Traits::of(report);
    check(&mut *pool.acquire().await.map_err(ComputerError::from)?, token, now).await?;
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await.map_err(ComputerError::from)?;
    let Minted { mac: booted, purpose } = spend(&mut transaction, token, now).await?;
    if !machine.macs.contains(&booted) {
        // Dropping the transaction leaves the token to the machine that it was made for.
        return Err(AdmitError::OtherMachine);
    }
    let candidates = find_candidates(&mut transaction, &machine).await?;
    let (computer, registered) = match recognise(&machine, Sight::Report, &candidates) {
        Recognition::Recognised(id) => {
            update_report(&mut transaction, id, report, now).await?;
            (id, None)
        }
        Recognition::New => {
            let name = ComputerName::suggest(report, booted);
            let (id, name) = insert_computer(&mut transaction, &name, report, now).await?;
            (id, Some(name))
        }
        Recognition::Ambiguous(candidates) => return Err(AdmitError::Ambiguous { candidates }),
    };
    let (boot, credential) =
        begin_boot(&mut transaction, computer, now).await.map_err(ComputerError::from)?;
    transaction.commit().await.map_err(ComputerError::from)?;
    let name = match registered {
        Some(name) => {
            events.emit(Event::ComputerRegistered { computer, name: name.to_string() });
            name
        }
        None => load_computer(pool, computer).await?.name,
    };
    events.emit(Event::ComputerBooted { computer });
    Ok(Admission { boot, purpose, name, credential })
}

/// Why a client is not let in.
#[derive(Debug, thiserror::Error)]
pub enum AdmitError {
    #[error(transparent)]
    Token(#[from] SpendError),
    #[error("the boot token was made for another machine")]
    OtherMachine,
    #[error("the machine reports {found} network cards, at most {NICS_MAX} are taken")]
    TooManyNics { found: usize },
    #[error("the machine's report has {found_bytes} bytes, at most {REPORT_BYTES_MAX} are taken")]
    ReportTooLong { found_bytes: usize },
    #[error(
        "this machine has no serial number, UUID or network card of its own and may be one of the computers \
         {candidates:?}: boot it once with its built-in network card"
    )]
    Ambiguous { candidates: Vec<ComputerId> },
    #[error(transparent)]
    Computer(#[from] ComputerError),
}

#[cfg(test)]
mod tests {
    use mimeo_core::{ids::MacAddr, machine::DiskReport};

    use super::{AdmitError, SpendError, admit};
    use crate::{
        clock::Timestamp,
        db,
        events::{Event, Events},
        inventory::{
            boot_token::{Purpose, mint},
            client_boot::{CREDENTIAL_LIFE, find_boot},
            computer::{load_computer, tests::report},
        },
    };

    const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 1, 2, 3]);
    const OTHER_MAC: MacAddr = MacAddr([0x52, 0x54, 0, 1, 2, 4]);
    const UUID: Option<&str> = Some("4c4c4544-0044-3510-8052-b4c04f564432");
    const NOW: Timestamp = Timestamp(1_000_000);

    #[tokio::test]
    async fn a_machine_registers_once_and_each_boot_has_its_own_credential() {
        let pool = db::open_in_memory().await.expect("a database");
        let events = Events::new();
        let mut heard = events.listen();
        let token = mint(&pool, MAC, Purpose::Register, NOW).await.expect("minted");
        let first = admit(&pool, &events, &token, report(UUID, &[MAC]), NOW).await.expect("let in");
        assert_eq!(first.name.as_str(), "pc-010203");
        let registered =
            Event::ComputerRegistered { computer: first.boot.computer, name: "pc-010203".into() };
        assert_eq!(heard.try_recv(), Ok(registered));

        // The card was swapped meanwhile.
        let token = mint(&pool, OTHER_MAC, Purpose::Session, NOW).await.expect("minted");
        let second = admit(&pool, &events, &token, report(UUID, &[OTHER_MAC]), NOW).await.expect("let in");
        assert_eq!((second.boot.computer, second.name), (first.boot.computer, first.name));
        let whose = async |credential, now| find_boot(&pool, credential, now).await.expect("looked up");
        assert_eq!(whose(&first.credential, NOW).await, None);
        let boot = whose(&second.credential, NOW).await.expect("good");
        assert_eq!(boot.computer, first.boot.computer);
        assert_eq!(whose(&second.credential, NOW.plus(CREDENTIAL_LIFE)).await, None);
    }

    #[tokio::test]
    async fn another_machines_token_is_refused_and_stays_good_for_its_own() {
        let pool = db::open_in_memory().await.expect("a database");
        let events = Events::new();
        let token = mint(&pool, MAC, Purpose::Session, NOW).await.expect("minted");
        let thief = admit(&pool, &events, &token, report(None, &[OTHER_MAC]), NOW).await;
        assert!(matches!(thief, Err(AdmitError::OtherMachine)), "{thief:?}");
        admit(&pool, &events, &token, report(UUID, &[MAC]), NOW).await.expect("let in");
        let again = admit(&pool, &events, &token, report(UUID, &[MAC]), NOW).await;
        assert!(matches!(again, Err(AdmitError::Token(SpendError::Used))), "{again:?}");
    }

    #[tokio::test]
    async fn a_hostile_report_is_kept_harmless_or_not_at_all() {
        let pool = db::open_in_memory().await.expect("a database");
        let events = Events::new();
        let token = mint(&pool, MAC, Purpose::Register, NOW).await.expect("minted");
        let mut huge = report(UUID, &[MAC]);
        let disk: DiskReport = serde_json::from_value(serde_json::json!({
            "kernel_name": "sda", "model": "\u{1b}]0;owned\u{7}", "serial": "x".repeat(10_000), "wwn": null,
            "size_bytes": u64::MAX, "logical_sector": 512, "physical_sector": 512, "removable": false,
            "transport": null, "rotational": false, "partitions": []
        }))
        .expect("a disk");
        huge.disks = vec![disk.clone(); 2000];
        let refused = admit(&pool, &events, &token, huge, NOW).await;
        assert!(matches!(refused, Err(AdmitError::ReportTooLong { .. })), "{refused:?}");

        let mut hostile = report(UUID, &[MAC]);
        hostile.identity.system_serial = Some("S1\u{1b}[2J\0".into());
        hostile.disks = vec![disk];
        let admitted =
            admit(&pool, &events, &token, hostile, NOW).await.expect("the token is as good as before");
        let kept = load_computer(&pool, admitted.boot.computer).await.expect("kept").report;
        let text = serde_json::to_string(&kept).expect("json");
        assert!(!text.contains("\\u00") && text.len() < 2000, "{text}");
    }

    #[tokio::test]
    async fn a_machine_that_cannot_be_told_from_another_is_not_let_in() {
        let pool = db::open_in_memory().await.expect("a database");
        let events = Events::new();
        let token = mint(&pool, MAC, Purpose::Register, NOW).await.expect("minted");
        let owner = admit(&pool, &events, &token, report(UUID, &[MAC]), NOW).await.expect("let in");
        let token = mint(&pool, MAC, Purpose::Register, NOW).await.expect("minted");
        match admit(&pool, &events, &token, report(None, &[MAC]), NOW).await {
            Err(AdmitError::Ambiguous { candidates }) => assert_eq!(candidates, [owner.boot.computer]),
            other => panic!("{other:?}"),
        }
    }
}
