//! The computers: what is known of each, and their table.

use std::collections::BTreeSet;

use mimeo_core::{
    ids::{ComputerId, MacAddr},
    machine::{FirmwareMode, MachineReport, SecureBoot},
};
use sqlx::{FromRow, SqliteConnection, SqlitePool};

use super::{
    identity::{Candidate, Recognition, Sight, Traits, recognise, swapped},
    name::ComputerName,
};
use crate::clock::Timestamp;

/// An inventoried machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Computer {
    pub id: ComputerId,
    pub name: ComputerName,
    pub created: Timestamp,
    /// When it last booted into the client.
    pub seen: Timestamp,
    pub loader: Loader,
    /// What it said of itself then.
    pub report: MachineReport,
}

/// Which boot loader a person chose for a computer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Loader {
    /// The signed chain wherever the firmware is UEFI.
    #[default]
    Signed,
    /// iPXE everywhere, for firmware with a quirk.
    Ipxe,
}

impl Loader {
    fn as_str(self) -> &'static str {
        match self {
            Self::Signed => "signed",
            Self::Ipxe => "ipxe",
        }
    }
}

/// Why something about computers could not be done.
#[derive(Debug, thiserror::Error)]
pub enum ComputerError {
    #[error("there is no computer {0}")]
    Unknown(String),
    #[error("another computer is named {0} already")]
    NameTaken(ComputerName),
    #[error("computer {id} has an unreadable {column} in the database: {detail}")]
    Corrupt { id: ComputerId, column: &'static str, detail: String },
    #[error("the table of computers cannot be used")]
    Database(#[from] sqlx::Error),
}

/// Every computer, by name.
pub async fn list_computers(pool: &SqlitePool) -> Result<Vec<Computer>, ComputerError> {
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, name, created_ms, seen_ms, loader, report FROM computer ORDER BY name COLLATE NOCASE",
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(Computer::try_from).collect()
}

/// The computer with this id.
pub async fn load_computer(pool: &SqlitePool, id: ComputerId) -> Result<Computer, ComputerError> {
    let row: Option<Row> =
        sqlx::query_as("SELECT id, name, created_ms, seen_ms, loader, report FROM computer WHERE id = ?1")
            .bind(id.0)
            .fetch_optional(pool)
            .await?;
    row.ok_or_else(|| ComputerError::Unknown(id.to_string()))?.try_into()
}

/// The computer that a person means by a name or by an id.
pub async fn load_named_computer(pool: &SqlitePool, name_or_id: &str) -> Result<Computer, ComputerError> {
    if let Ok(id) = name_or_id.parse() {
        return load_computer(pool, id).await;
    }
    let row: Option<Row> =
        sqlx::query_as("SELECT id, name, created_ms, seen_ms, loader, report FROM computer WHERE name = ?1")
            .bind(name_or_id)
            .fetch_optional(pool)
            .await?;
    row.ok_or_else(|| ComputerError::Unknown(name_or_id.chars().take(64).collect()))?.try_into()
}

pub async fn rename_computer(
    pool: &SqlitePool,
    id: ComputerId,
    name: &ComputerName,
) -> Result<(), ComputerError> {
    let renamed = sqlx::query("UPDATE computer SET name = ?2 WHERE id = ?1")
        .bind(id.0)
        .bind(name.as_str())
        .execute(pool)
        .await;
    match renamed {
        Ok(done) if done.rows_affected() == 0 => Err(ComputerError::Unknown(id.to_string())),
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            Err(ComputerError::NameTaken(name.clone()))
        }
        Err(error) => Err(error.into()),
    }
}

pub async fn set_loader(pool: &SqlitePool, id: ComputerId, loader: Loader) -> Result<(), ComputerError> {
    let done = sqlx::query("UPDATE computer SET loader = ?2 WHERE id = ?1")
        .bind(id.0)
        .bind(loader.as_str())
        .execute(pool)
        .await?;
    if done.rows_affected() == 0 { Err(ComputerError::Unknown(id.to_string())) } else { Ok(()) }
}

/// Whose machine this seems to be while it boots, from one card and perhaps a UUID. Nothing but what to boot next
/// may depend on it.
pub async fn glimpse(
    pool: &SqlitePool,
    mac: MacAddr,
    system_uuid: Option<&str>,
) -> Result<Option<Computer>, ComputerError> {
    let identity = mimeo_core::machine::Identity {
        system_uuid: system_uuid.map(str::to_owned),
        ..mimeo_core::machine::Identity::default()
    };
    let macs = BTreeSet::from([mac]);
    let machine = Traits { facts: identity.facts(), macs, ..Traits::default() };
    let candidates = find_candidates(&mut *pool.acquire().await?, &machine).await?;
    match recognise(&machine, Sight::Glimpse, &candidates) {
        Recognition::Recognised(id) => load_computer(pool, id).await.map(Some),
        Recognition::New | Recognition::Ambiguous(_) => Ok(None),
    }
}

/// The computers that share at least one trait with a machine.
pub(super) async fn find_candidates(
    connection: &mut SqliteConnection,
    machine: &Traits,
) -> Result<Vec<Candidate>, ComputerError> {
    let facts = &machine.facts;
    // NULL equals nothing, so a fact that is absent finds nobody.
    let ids: Vec<i64> = sqlx::query_scalar(
        "SELECT id FROM computer WHERE system_uuid IN (?1, ?2) OR system_serial = ?3 OR board_serial = ?4 \
         OR chassis_serial = ?5",
    )
    .bind(&facts.system_uuid)
    .bind(facts.system_uuid.as_deref().and_then(swapped))
    .bind(&facts.system_serial)
    .bind(&facts.board_serial)
    .bind(&facts.chassis_serial)
    .fetch_all(&mut *connection)
    .await?;
    let mut ids = BTreeSet::from_iter(ids);
    for mac in &machine.macs {
        let owners: Vec<i64> = sqlx::query_scalar("SELECT computer FROM computer_nic WHERE mac = ?1")
            .bind(mac.to_string())
            .fetch_all(&mut *connection)
            .await?;
        ids.extend(owners);
    }
    let mut candidates = Vec::with_capacity(ids.len());
    for id in ids {
        candidates.push(load_candidate(connection, ComputerId(id)).await?);
    }
    Ok(candidates)
}

async fn load_candidate(
    connection: &mut SqliteConnection,
    id: ComputerId,
) -> Result<Candidate, ComputerError> {
    let report: String = sqlx::query_scalar("SELECT report FROM computer WHERE id = ?1")
        .bind(id.0)
        .fetch_one(&mut *connection)
        .await?;
    let report: MachineReport = serde_json::from_str(&report).map_err(|error| ComputerError::Corrupt {
        id,
        column: "report",
        detail: error.to_string(),
    })?;
    Ok(Candidate { id, traits: Traits::of(&report) })
}

/// Adds a computer under `name`, or under the name with the first number that is free.
pub(super) async fn insert_computer(
    connection: &mut SqliteConnection,
    name: &ComputerName,
    report: &MachineReport,
    now: Timestamp,
) -> Result<(ComputerId, ComputerName), ComputerError> {
    let mut free = name.clone();
    let mut number = 1;
    while sqlx::query_scalar::<_, i64>("SELECT 1 FROM computer WHERE name = ?1")
        .bind(free.as_str())
        .fetch_optional(&mut *connection)
        .await?
        .is_some()
    {
        number += 1;
        free = name.numbered(number);
    }
    // What comes from the report follows at once, in the caller's transaction.
    let id = sqlx::query_scalar(
        "INSERT INTO computer (name, created_ms, seen_ms, firmware, secure_boot, report) \
         VALUES (?1, ?2, ?2, 'bios', 'absent', '') RETURNING id",
    )
    .bind(free.as_str())
    .bind(now.0)
    .fetch_one(&mut *connection)
    .await?;
    let id = ComputerId(id);
    update_report(connection, id, report, now).await?;
    Ok((id, free))
}

/// Keeps what a computer said of itself at this boot.
pub(super) async fn update_report(
    connection: &mut SqliteConnection,
    id: ComputerId,
    report: &MachineReport,
    now: Timestamp,
) -> Result<(), ComputerError> {
    let traits = Traits::of(report);
    let json = serde_json::to_string(report).map_err(|error| ComputerError::Corrupt {
        id,
        column: "report",
        detail: error.to_string(),
    })?;
    sqlx::query(
        "UPDATE computer SET seen_ms = ?2, firmware = ?3, secure_boot = ?4, system_uuid = ?5, \
         system_serial = ?6, board_serial = ?7, chassis_serial = ?8, report = ?9 WHERE id = ?1",
    )
    .bind(id.0)
    .bind(now.0)
    .bind(match report.firmware {
        FirmwareMode::Bios => "bios",
        FirmwareMode::Uefi => "uefi",
    })
    .bind(match report.secure_boot {
        SecureBoot::On => "on",
        SecureBoot::Off => "off",
        SecureBoot::Absent => "absent",
    })
    .bind(traits.facts.system_uuid)
    .bind(traits.facts.system_serial)
    .bind(traits.facts.board_serial)
    .bind(traits.facts.chassis_serial)
    .bind(json)
    .execute(&mut *connection)
    .await?;
    sqlx::query("DELETE FROM computer_nic WHERE computer = ?1").bind(id.0).execute(&mut *connection).await?;
    for mac in traits.macs {
        sqlx::query("INSERT INTO computer_nic (mac, computer) VALUES (?1, ?2)")
            .bind(mac.to_string())
            .bind(id.0)
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

#[derive(FromRow)]
struct Row {
    id: i64,
    name: String,
    created_ms: i64,
    seen_ms: i64,
    loader: String,
    report: String,
}

impl TryFrom<Row> for Computer {
    type Error = ComputerError;

    fn try_from(row: Row) -> Result<Self, ComputerError> {
        let id = ComputerId(row.id);
        let corrupt = |column, detail| ComputerError::Corrupt { id, column, detail };
        Ok(Self {
            id,
            name: row.name.parse().map_err(|error| corrupt("name", format!("{error}")))?,
            created: Timestamp(row.created_ms),
            seen: Timestamp(row.seen_ms),
            loader: match row.loader.as_str() {
                "ipxe" => Loader::Ipxe,
                _ => Loader::Signed,
            },
            report: serde_json::from_str(&row.report)
                .map_err(|error| corrupt("report", error.to_string()))?,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests;
