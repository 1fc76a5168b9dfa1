//! Masters and their versions: the tables `master` and `master_version`.
//!
//! A master is a name; what can be deployed is one of its versions. A version names a manifest that is durable in
//! the store with all of its chunks, and never changes. Versions are numbered upwards from 1, and no number is given
//! twice under a name, whatever was removed; a master that is listed has at least one version. `imaging/publish.rs`
//! tells how a version comes to be, `imaging/remove.rs` how it goes.

use std::{fmt, str::FromStr};

use mimeo_core::{
    ids::{ComputerId, MasterId, SessionId, VersionNumber},
    manifest::{ManifestRoot, warning::Warning},
};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::provenance::{self, Provenance};
use crate::clock::Timestamp;

/// Longest name of a master, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The name of a master: 1 to 64 characters, ASCII letters, digits, `-`, `_`, `.`, beginning with a letter or a
/// digit. Two names that differ only in capitals are the same master's.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MasterName(String);

impl MasterName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for MasterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for MasterName {
    type Err = BadMasterRef;

    fn from_str(text: &str) -> Result<Self, BadMasterRef> {
        // A name never begins with a sign: it is typed on command lines and stands in file names.
        let begins_well = text.starts_with(|first: char| first.is_ascii_alphanumeric());
        let is_allowed = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '_' | '.');
        if begins_well && text.len() <= NAME_CHARS_MAX && text.chars().all(is_allowed) {
            Ok(Self(text.into()))
        } else {
            Err(BadMasterRef::Name { found: text.chars().take(NAME_CHARS_MAX + 1).collect() })
        }
    }
}

/// A master as a person names it: `NAME` for its latest version, `NAME@VERSION` for a certain one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterRef {
    pub name: MasterName,
    /// `None`: the latest.
    pub version: Option<VersionNumber>,
}

impl fmt::Display for MasterRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => self.name.fmt(f),
        }
    }
}

impl FromStr for MasterRef {
    type Err = BadMasterRef;

    fn from_str(text: &str) -> Result<Self, BadMasterRef> {
        let Some((name, version)) = text.split_once('@') else {
            return Ok(Self { name: text.parse()?, version: None });
        };
        let is_number = version.starts_with(|first: char| ('1'..='9').contains(&first));
        let number = version.parse().ok().filter(|_| is_number);
        let number =
            number.ok_or_else(|| BadMasterRef::Version { found: version.chars().take(20).collect() })?;
        Ok(Self { name: name.parse()?, version: Some(VersionNumber(number)) })
    }
}

/// Text that names no master.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadMasterRef {
    #[error(
        "expected a master's name of 1 to 64 letters, digits, '-', '_', '.' that begins with a letter or digit, \
         found {found:?}"
    )]
    Name { found: String },
    #[error("expected a version number such as 3 after '@', found {found:?}")]
    Version { found: String },
}

/// A line of versions under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    pub id: MasterId,
    pub name: MasterName,
    pub description: String,
    pub created_at: Timestamp,
    /// The newest version there is.
    pub latest: VersionNumber,
}

/// What can be deployed: one state of one disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub master: MasterId,
    pub number: VersionNumber,
    pub manifest_root: ManifestRoot,
    pub created_at: Timestamp,
    /// Size of the captured disk.
    pub disk_bytes: u64,
    /// What a deploy places: content in use and zeros.
    pub carried_bytes: u64,
    /// What the capture added to the store.
    pub stored_bytes: u64,
    /// What was in use and could not be read: zeros stand for so many bytes, and sectors of the captured disk.
    pub unread_bytes: u64,
    pub unread_sectors: u64,
    /// The computer whose disk it was; `None` for an import.
    pub computer: Option<ComputerId>,
    /// The capture that made it; `None` for an import.
    pub session: Option<SessionId>,
    /// What its manifest says that whoever deploys it should know.
    pub warnings: Vec<Warning>,
}

/// A version before it has a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewVersion {
    pub master: MasterName,
    /// For a master that this version is the first of.
    pub description: String,
    pub manifest_root: ManifestRoot,
    pub disk_bytes: u64,
    pub carried_bytes: u64,
    pub stored_bytes: u64,
    pub unread_bytes: u64,
    pub unread_sectors: u64,
    pub computer: Option<ComputerId>,
    pub session: Option<SessionId>,
    /// Where it was captured, if not here.
    pub provenance: Option<Provenance>,
    pub warnings: Vec<Warning>,
}

/// Inserts a version, and its master where it is the first, in one transaction: either both are listed, or
/// nothing changed. Durable once it returns.
///
/// A session has one version: asked again with the same manifest, this gives the version that it made.
///
/// The manifest and all of its chunks are durable and verified before (`imaging/publish.rs`).
pub async fn insert_version(
    db: &SqlitePool,
    new: &NewVersion,
    now: Timestamp,
) -> Result<Version, MasterError> {
    let mut transaction = db.begin().await?;
    // The first statement writes, so that the one writer is held from here on and the number stays free.
    let master = touch_master(&mut transaction, new, now).await?;
    if let Some(session) = new.session
        && let Some(made) = find_version_of_session(&mut transaction, session).await?
    {
        // Not committed: a repeated request changes nothing.
        return if made.manifest_root == new.manifest_root && made.master == master {
            Ok(made)
        } else {
            Err(MasterError::SessionHasVersion { session, number: made.number, root: made.manifest_root })
        };
    }
    let number: i64 = sqlx::query_scalar(
        "UPDATE master SET last_number = last_number + 1 WHERE id = $1 RETURNING last_number",
    )
    .bind(master.0)
    .fetch_one(&mut *transaction)
    .await?;
    sqlx::query(
        "INSERT INTO master_version (master_id, number, manifest_root, created_at, disk_bytes, carried_bytes, \
         stored_bytes, computer_id, session_id, unread_bytes, unread_sectors, warnings) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
    )
    .bind(master.0)
    .bind(number)
    .bind(new.manifest_root.to_string())
    .bind(now.0)
    .bind(to_column(new.disk_bytes))
    .bind(to_column(new.carried_bytes))
    .bind(to_column(new.stored_bytes))
    .bind(new.computer.map(|computer| computer.0))
    .bind(new.session.map(|session| session.0))
    .bind(to_column(new.unread_bytes))
    .bind(to_column(new.unread_sectors))
    .bind(warnings_to_column(&new.warnings))
    .execute(&mut *transaction)
    .await?;
    if let Some(provenance) = &new.provenance {
        provenance::insert(&mut transaction, master, number_of_column(number)?, provenance).await?;
    }
    transaction.commit().await?;
    Ok(Version {
        master,
        number: number_of_column(number)?,
        manifest_root: new.manifest_root,
        created_at: now,
        disk_bytes: new.disk_bytes,
        carried_bytes: new.carried_bytes,
        stored_bytes: new.stored_bytes,
        unread_bytes: new.unread_bytes,
        unread_sectors: new.unread_sectors,
        computer: new.computer,
        session: new.session,
        warnings: new.warnings.clone(),
    })
}

/// The version that a session made; `None` where it made none.
pub async fn find_version_of_session(
    connection: &mut SqliteConnection,
    session: SessionId,
) -> Result<Option<Version>, MasterError> {
    let row = sqlx::query("SELECT * FROM master_version WHERE session_id = $1").bind(session.0);
    row.fetch_optional(connection).await?.as_ref().map(version_of_row).transpose()
}

/// The latest version under a name that has this content; `None` where none has.
pub async fn find_version_with(
    db: &SqlitePool,
    name: &MasterName,
    root: ManifestRoot,
) -> Result<Option<VersionNumber>, MasterError> {
    let found = sqlx::query_scalar(
        "SELECT number FROM master_version JOIN master ON master.id = master_id \
         WHERE lower(name) = lower($1) AND manifest_root = $2 ORDER BY number DESC LIMIT 1",
    );
    let found: Option<i64> = found.bind(name.as_str()).bind(root.to_string()).fetch_optional(db).await?;
    found.map(number_of_column).transpose()
}

/// Whether this version is listed with this content.
pub async fn is_listed(
    connection: &mut SqliteConnection,
    name: &MasterName,
    number: VersionNumber,
    root: ManifestRoot,
) -> Result<bool, MasterError> {
    let listed = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM master_version JOIN master ON master.id = master_id \
         WHERE lower(name) = lower($1) AND number = $2 AND manifest_root = $3)",
    );
    let listed = listed.bind(name.as_str()).bind(i64::from(number.0)).bind(root.to_string());
    Ok(listed.fetch_one(connection).await?)
}

/// The versions that a reference names, without one all of its master's, and the master's own spelling of its name.
pub(super) async fn find_named_versions(
    connection: &mut SqliteConnection,
    wanted: &MasterRef,
) -> Result<(MasterId, MasterName, Vec<VersionNumber>), MasterError> {
    let rows = sqlx::query(
        "SELECT master.id, name, number FROM master JOIN master_version ON master_id = master.id \
         WHERE lower(name) = lower($1) ORDER BY number",
    );
    let rows = rows.bind(wanted.name.as_str()).fetch_all(connection).await?;
    let last = rows.last().ok_or_else(|| MasterError::Unknown { wanted: wanted.clone() })?;
    let name: String = last.try_get("name")?;
    let name: MasterName = name.parse().map_err(|_| MasterError::BadRow { column: "name", found: name })?;
    let numbers: Vec<VersionNumber> =
        rows.iter().map(|row| number_of_column(row.try_get("number")?)).collect::<Result<_, _>>()?;
    let latest = number_of_column(last.try_get("number")?)?;
    let named = match wanted.version {
        None => numbers,
        Some(number) if numbers.contains(&number) => vec![number],
        Some(number) => return Err(MasterError::UnknownVersion { name, number, latest }),
    };
    Ok((MasterId(last.try_get("id")?), name, named))
}

/// The versions under a name, the oldest number first; none where nothing has that name.
pub(super) async fn list_versions_named(
    connection: &mut SqliteConnection,
    name: &MasterName,
) -> Result<Vec<Version>, MasterError> {
    let rows = sqlx::query(
        "SELECT master_version.* FROM master_version JOIN master ON master.id = master_id \
         WHERE lower(name) = lower($1) ORDER BY number",
    );
    rows.bind(name.as_str()).fetch_all(connection).await?.iter().map(version_of_row).collect()
}

/// Takes a version off the list. `imaging/remove.rs` has made sure that nobody needs it.
pub(super) async fn delete_version(
    connection: &mut SqliteConnection,
    master: MasterId,
    number: VersionNumber,
) -> Result<(), MasterError> {
    let delete = sqlx::query("DELETE FROM master_version WHERE master_id = $1 AND number = $2");
    delete.bind(master.0).bind(i64::from(number.0)).execute(&mut *connection).await?;
    // What a person wrote of the versions under a name goes with the last of them.
    let forget = sqlx::query(
        "UPDATE master SET description = '' WHERE id = $1 \
         AND NOT EXISTS (SELECT 1 FROM master_version WHERE master_id = $1)",
    );
    forget.bind(master.0).execute(&mut *connection).await?;
    Ok(())
}

/// A version with its master's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVersion {
    pub name: MasterName,
    pub version: Version,
}

impl ListedVersion {
    /// As people name it: `NAME@VERSION`.
    pub fn reference(&self) -> MasterRef {
        MasterRef { name: self.name.clone(), version: Some(self.version.number) }
    }
}

/// Every version of every master, in the order in which they were captured.
pub async fn list_all_versions(db: &SqlitePool) -> Result<Vec<ListedVersion>, MasterError> {
    let rows = sqlx::query(
        "SELECT master_version.*, name FROM master_version JOIN master ON master.id = master_id \
         ORDER BY master_version.created_at, master_id, number",
    );
    let listed = |row: &SqliteRow| {
        let name: String = row.try_get("name")?;
        let name = name.parse().map_err(|_| MasterError::BadRow { column: "name", found: name.clone() })?;
        Ok(ListedVersion { name, version: version_of_row(row)? })
    };
    rows.fetch_all(db).await?.iter().map(listed).collect()
}

/// Every master, by name.
pub async fn list(db: &SqlitePool) -> Result<Vec<Master>, MasterError> {
    select(db, None, None).await
}

/// The master of this name, however its capitals are written.
pub async fn find_by_name(db: &SqlitePool, name: &MasterName) -> Result<Option<Master>, MasterError> {
    Ok(select(db, Some(name), None).await?.pop())
}

pub async fn find(db: &SqlitePool, id: MasterId) -> Result<Option<Master>, MasterError> {
    Ok(select(db, None, Some(id)).await?.pop())
}

/// The versions of a master, the newest first.
pub async fn list_versions(db: &SqlitePool, id: MasterId) -> Result<Vec<Version>, MasterError> {
    let rows = sqlx::query("SELECT * FROM master_version WHERE master_id = $1 ORDER BY number DESC");
    rows.bind(id.0).fetch_all(db).await?.iter().map(version_of_row).collect()
}

/// What a reference means: its master, and the version it names or else the latest.
pub async fn load_version(db: &SqlitePool, wanted: &MasterRef) -> Result<(Master, Version), MasterError> {
    let unknown = || MasterError::Unknown { wanted: wanted.clone() };
    let master = find_by_name(db, &wanted.name).await?.ok_or_else(unknown)?;
    let number = wanted.version.unwrap_or(master.latest);
    let version = find_version(db, master.id, number).await?;
    let version = version.ok_or(MasterError::UnknownVersion {
        name: master.name.clone(),
        number,
        latest: master.latest,
    })?;
    Ok((master, version))
}

/// Replaces the sentence that describes a master.
pub async fn update_description(db: &SqlitePool, id: MasterId, description: &str) -> Result<(), MasterError> {
    let update = sqlx::query("UPDATE master SET description = $2 WHERE id = $1");
    update.bind(id.0).bind(description).execute(db).await?;
    Ok(())
}

/// Gives the id of the master that a new version belongs to, making the master where it has none yet.
async fn touch_master(
    connection: &mut SqliteConnection,
    new: &NewVersion,
    now: Timestamp,
) -> Result<MasterId, MasterError> {
    let id = sqlx::query_scalar(
        "INSERT INTO master (name, description, created_at) VALUES ($1, $2, $3) \
         ON CONFLICT (lower(name)) DO UPDATE SET name = master.name RETURNING id",
    );
    let id = id.bind(new.master.as_str()).bind(&new.description).bind(now.0).fetch_one(connection).await?;
    Ok(MasterId(id))
}

async fn select(
    db: &SqlitePool,
    name: Option<&MasterName>,
    id: Option<MasterId>,
) -> Result<Vec<Master>, MasterError> {
    let rows = sqlx::query(
        "SELECT master.id, name, description, master.created_at, MAX(number) AS latest \
         FROM master JOIN master_version ON master_id = master.id \
         WHERE ($1 IS NULL OR lower(name) = lower($1)) AND ($2 IS NULL OR master.id = $2) \
         GROUP BY master.id ORDER BY lower(name)",
    );
    let rows = rows.bind(name.map(MasterName::as_str)).bind(id.map(|id| id.0)).fetch_all(db).await?;
    rows.iter().map(master_of_row).collect()
}

async fn find_version(
    db: &SqlitePool,
    master: MasterId,
    number: VersionNumber,
) -> Result<Option<Version>, MasterError> {
    let row = sqlx::query("SELECT * FROM master_version WHERE master_id = $1 AND number = $2");
    let row = row.bind(master.0).bind(i64::from(number.0)).fetch_optional(db).await?;
    row.as_ref().map(version_of_row).transpose()
}

fn master_of_row(row: &SqliteRow) -> Result<Master, MasterError> {
    let name: String = row.try_get("name")?;
    Ok(Master {
        id: MasterId(row.try_get("id")?),
        name: name.parse().map_err(|_| MasterError::BadRow { column: "name", found: name.clone() })?,
        description: row.try_get("description")?,
        created_at: Timestamp(row.try_get("created_at")?),
        latest: number_of_column(row.try_get("latest")?)?,
    })
}

fn version_of_row(row: &SqliteRow) -> Result<Version, MasterError> {
    let root: String = row.try_get("manifest_root")?;
    let bytes = |column| bytes_of_column(row, column);
    Ok(Version {
        master: MasterId(row.try_get("master_id")?),
        number: number_of_column(row.try_get("number")?)?,
        manifest_root: ManifestRoot::try_from(root.clone())
            .map_err(|_| MasterError::BadRow { column: "manifest_root", found: root })?,
        created_at: Timestamp(row.try_get("created_at")?),
        disk_bytes: bytes("disk_bytes")?,
        carried_bytes: bytes("carried_bytes")?,
        stored_bytes: bytes("stored_bytes")?,
        unread_bytes: bytes("unread_bytes")?,
        unread_sectors: bytes("unread_sectors")?,
        computer: row.try_get::<Option<i64>, _>("computer_id")?.map(ComputerId),
        session: row.try_get::<Option<i64>, _>("session_id")?.map(SessionId),
        warnings: warnings_of_column(row.try_get("warnings")?)?,
    })
}

/// A quantity for a column, which holds 63 bits: more than any disk.
fn to_column(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn bytes_of_column(row: &SqliteRow, column: &'static str) -> Result<u64, MasterError> {
    let bytes: i64 = row.try_get(column)?;
    u64::try_from(bytes).map_err(|_| MasterError::BadRow { column, found: bytes.to_string() })
}

fn warnings_to_column(warnings: &[Warning]) -> String {
    serde_json::to_string(warnings).unwrap_or_else(|error| panic!("writing warnings as JSON: {error}"))
}

fn warnings_of_column(json: String) -> Result<Vec<Warning>, MasterError> {
    serde_json::from_str(&json).map_err(|_| MasterError::BadRow { column: "warnings", found: json })
}

fn number_of_column(number: i64) -> Result<VersionNumber, MasterError> {
    let bad = |_| MasterError::BadRow { column: "number", found: number.to_string() };
    u32::try_from(number).map(VersionNumber).map_err(bad)
}

/// Why a master or a version cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    #[error("there is no master {wanted}")]
    Unknown { wanted: MasterRef },
    #[error("master {name} has no version {number}, its latest is {latest}")]
    UnknownVersion { name: MasterName, number: VersionNumber, latest: VersionNumber },
    /// A session hands in a second, different manifest.
    #[error("session {session} has made version {number} with manifest {root} already")]
    SessionHasVersion { session: SessionId, number: VersionNumber, root: ManifestRoot },
    /// It was removed meanwhile.
    #[error("version {wanted} is no longer there")]
    Removed { wanted: MasterRef },
    #[error("table of masters: column {column} holds {found:?}")]
    BadRow { column: &'static str, found: String },
    #[error("reading or writing the masters")]
    Db(#[from] sqlx::Error),
}

#[cfg(test)]
mod tests;
