//! Where a version comes from, proved.
//!
//! A library that gives a version away says so under its own key: that it has this manifest under this name and number.
//! The statement goes with every further copy as it is, so it always names the library into which the disk was
//! captured. Whoever takes a version in checks it, and asks a person once for each key that they do not know
//! (`take_in.rs`). The manifest's own signature is each library's own: with it a library knows what it accepted itself.

use std::{collections::HashMap, fmt, fs, str::FromStr};

use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use mimeo_core::{
    ids::{MasterId, VersionNumber},
    machine::printable::word,
    manifest::ManifestRoot,
};
use sqlx::{Row, SqliteConnection, SqlitePool, sqlite::SqliteRow};

use super::{
    local::Shelf,
    master::{ListedVersion, MasterError, MasterName, MasterRef},
};
use crate::clock::Timestamp;

/// Longest name of a library, in characters: that of a host (RFC 1123).
const LIBRARY_CHARS_MAX: usize = 63;

/// What a library says of a version that was captured into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// The public key of the library.
    pub key: [u8; 32],
    /// The name that it gives itself. Proves nothing: any library may call itself anything.
    pub library: String,
    pub master: MasterName,
    pub number: VersionNumber,
    pub captured_at: Timestamp,
    pub root: ManifestRoot,
    pub signature: [u8; 64],
}

impl Provenance {
    fn sign(listed: &ListedVersion, library: String, key: &SigningKey) -> Self {
        let mut provenance = Self {
            key: key.verifying_key().to_bytes(),
            library,
            master: listed.name.clone(),
            number: listed.version.number,
            captured_at: listed.version.created_at,
            root: listed.version.manifest_root,
            signature: [0; 64],
        };
        provenance.signature = key.sign(&provenance.message()).to_bytes();
        provenance
    }

    /// Whether the key has signed every word of this.
    pub fn is_genuine(&self) -> bool {
        let signature = Signature::from_bytes(&self.signature);
        let key = VerifyingKey::from_bytes(&self.key);
        key.is_ok_and(|key| key.verify_strict(&self.message(), &signature).is_ok())
    }

    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.key)
    }

    /// As the library names the version.
    pub fn reference(&self) -> MasterRef {
        MasterRef { name: self.master.clone(), version: Some(self.number) }
    }

    /// What is signed: all of it under a name of its own, so that the signature means nothing elsewhere.
    fn message(&self) -> Vec<u8> {
        let mut message = b"mimeo provenance v1\0".to_vec();
        message.extend_from_slice(&self.root.0);
        message.extend_from_slice(&self.number.0.to_le_bytes());
        message.extend_from_slice(&self.captured_at.0.to_le_bytes());
        for text in [self.master.as_str(), &self.library] {
            message.extend_from_slice(&(text.len() as u64).to_le_bytes());
            message.extend_from_slice(text.as_bytes());
        }
        message
    }
}

/// By what a person knows a library's key: the first 16 bytes of its BLAKE3 hash. Nobody finds another key with the
/// same in 2¹²⁸ tries, and two people can read it to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    pub fn of(key: &[u8; 32]) -> Self {
        let hash: [u8; 32] = blake3::hash(key).into();
        let mut first = [0; 16];
        first.copy_from_slice(&hash[..16]);
        Self(first)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups: Vec<String> = self.0.chunks(2).map(hex::encode).collect();
        f.write_str(&groups.join("-"))
    }
}

impl FromStr for Fingerprint {
    type Err = BadFingerprint;

    fn from_str(text: &str) -> Result<Self, BadFingerprint> {
        let digits: String = text.chars().filter(|char| !matches!(char, '-' | ':' | ' ')).collect();
        let mut bytes = [0; 16];
        hex::decode_to_slice(&digits, &mut bytes).map_err(|_| BadFingerprint)?;
        Ok(Self(bytes))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a fingerprint of 32 hexadecimal digits, such as 3f2a-91bc-…")]
pub struct BadFingerprint;

/// The name that this machine's library gives itself: the host's.
fn own_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = word(&host).unwrap_or_default().chars().take(LIBRARY_CHARS_MAX).collect();
    if name.is_empty() { "mimeo".into() } else { name }
}

/// The provenance of a version in this library: as it came with it, or signed now where it was captured here.
pub async fn provenance_of(shelf: &Shelf, listed: &ListedVersion) -> Result<Provenance, MasterError> {
    let came_with_it = find(&shelf.db, listed).await?;
    Ok(came_with_it.unwrap_or_else(|| Provenance::sign(listed, own_name(), &shelf.key)))
}

/// The provenance of a version that was captured elsewhere.
pub async fn find(db: &SqlitePool, listed: &ListedVersion) -> Result<Option<Provenance>, MasterError> {
    let version = &listed.version;
    let row = sqlx::query(
        "SELECT version_provenance.*, manifest_root FROM version_provenance JOIN master_version USING (master_id, number) \
         WHERE master_id = $1 AND number = $2",
    );
    let row = row.bind(version.master.0).bind(i64::from(version.number.0)).fetch_optional(db).await?;
    row.as_ref().map(provenance_of_row).transpose()
}

/// The provenances of all versions that were captured elsewhere.
pub async fn list(db: &SqlitePool) -> Result<HashMap<(MasterId, VersionNumber), Provenance>, MasterError> {
    let rows = sqlx::query(
        "SELECT version_provenance.*, manifest_root FROM version_provenance JOIN master_version USING (master_id, number)",
    );
    let keyed = |row: &SqliteRow| {
        let master = MasterId(row.try_get("master_id")?);
        Ok(((master, number_of(row, "number")?), provenance_of_row(row)?))
    };
    rows.fetch_all(db).await?.iter().map(keyed).collect()
}

/// Keeps the provenance of a version that was just inserted.
pub(super) async fn insert(
    connection: &mut SqliteConnection,
    master: MasterId,
    number: VersionNumber,
    provenance: &Provenance,
) -> Result<(), MasterError> {
    let insert = sqlx::query(
        "INSERT INTO version_provenance \
         (master_id, number, key, library, its_master, its_number, captured_at, signature) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    );
    let insert = insert.bind(master.0).bind(i64::from(number.0)).bind(provenance.key.as_slice());
    let insert = insert
        .bind(&provenance.library)
        .bind(provenance.master.as_str())
        .bind(i64::from(provenance.number.0));
    let insert = insert.bind(provenance.captured_at.0).bind(provenance.signature.as_slice());
    insert.execute(connection).await?;
    Ok(())
}

/// Whether a person said that versions of the library with this key may be taken in.
pub async fn is_trusted(db: &SqlitePool, key: &[u8; 32]) -> Result<bool, MasterError> {
    let known = sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM trusted_library WHERE key = $1)");
    Ok(known.bind(key.as_slice()).fetch_one(db).await?)
}

/// Notes that a person said so.
pub async fn trust(db: &SqlitePool, provenance: &Provenance, now: Timestamp) -> Result<(), MasterError> {
    let insert = sqlx::query(
        "INSERT INTO trusted_library (key, name, trusted_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    );
    insert.bind(provenance.key.as_slice()).bind(&provenance.library).bind(now.0).execute(db).await?;
    Ok(())
}

fn provenance_of_row(row: &SqliteRow) -> Result<Provenance, MasterError> {
    let (library, master, root): (String, String, String) =
        (row.try_get("library")?, row.try_get("its_master")?, row.try_get("manifest_root")?);
    if library.chars().count() > LIBRARY_CHARS_MAX {
        return Err(MasterError::BadRow { column: "library", found: library });
    }
    Ok(Provenance {
        key: bytes_of(row, "key")?,
        library,
        master: master.parse().map_err(|_| MasterError::BadRow { column: "its_master", found: master })?,
        number: number_of(row, "its_number")?,
        captured_at: Timestamp(row.try_get("captured_at")?),
        root: ManifestRoot::try_from(root.clone())
            .map_err(|_| MasterError::BadRow { column: "manifest_root", found: root })?,
        signature: bytes_of(row, "signature")?,
    })
}

fn bytes_of<const LENGTH: usize>(row: &SqliteRow, column: &'static str) -> Result<[u8; LENGTH], MasterError> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let found = format!("{} bytes", bytes.len());
    bytes.try_into().map_err(|_| MasterError::BadRow { column, found })
}

fn number_of(row: &SqliteRow, column: &'static str) -> Result<VersionNumber, MasterError> {
    let number: i64 = row.try_get(column)?;
    let bad = |_| MasterError::BadRow { column, found: number.to_string() };
    u32::try_from(number).map(VersionNumber).map_err(bad)
}

#[cfg(test)]
mod tests {
    use ed25519_dalek::SigningKey;
    use mimeo_core::{
        ids::{MasterId, VersionNumber},
        manifest::ManifestRoot,
    };

    use super::{Fingerprint, Provenance};
    use crate::{
        clock::Timestamp,
        imaging::master::{ListedVersion, Version},
    };

    fn listed() -> ListedVersion {
        let version = Version {
            master: MasterId(1),
            number: VersionNumber(3),
            manifest_root: ManifestRoot([4; 32]),
            created_at: Timestamp(5),
            disk_bytes: 6,
            carried_bytes: 7,
            stored_bytes: 8,
            computer: None,
            session: None,
            unread_bytes: 0,
            unread_sectors: 0,
            warnings: vec![],
        };
        ListedVersion { name: "debian".parse().expect("a name"), version }
    }

    #[test]
    fn a_provenance_stands_for_all_of_what_it_says_and_for_nothing_else() {
        let key = SigningKey::from_bytes(&[9; 32]);
        let provenance = Provenance::sign(&listed(), "atelier".into(), &key);
        assert!(provenance.is_genuine());
        let changes: [fn(&mut Provenance); 7] = [
            |provenance| provenance.key = SigningKey::from_bytes(&[8; 32]).verifying_key().to_bytes(),
            |provenance| provenance.library.push('s'),
            |provenance| provenance.master = "debian-12".parse().expect("a name"),
            |provenance| provenance.number = VersionNumber(4),
            |provenance| provenance.captured_at = Timestamp(6),
            |provenance| provenance.root.0[31] ^= 1,
            |provenance| provenance.signature[0] ^= 1,
        ];
        for (index, change) in changes.iter().enumerate() {
            let mut other = provenance.clone();
            change(&mut other);
            assert!(!other.is_genuine(), "change {index}");
        }
        // Where one name ends and the next begins is signed too.
        let mut shifted = provenance;
        shifted.library = "natelier".into();
        shifted.master = "debia".parse().expect("a name");
        assert!(!shifted.is_genuine());
    }

    #[test]
    fn a_key_of_zeros_signs_nothing() {
        let mut provenance = Provenance::sign(&listed(), "atelier".into(), &SigningKey::from_bytes(&[9; 32]));
        // The neutral element: a lax check takes the signature of zeros under it for genuine.
        provenance.key = [0; 32];
        provenance.key[0] = 1;
        provenance.signature = [0; 64];
        provenance.signature[0] = 1;
        assert!(!provenance.is_genuine());
    }

    #[test]
    fn a_fingerprint_is_read_as_people_write_it() {
        let fingerprint = Fingerprint::of(&[7; 32]);
        let shown = fingerprint.to_string();
        assert_eq!(shown.len(), 39, "{shown}");
        for text in [shown.clone(), shown.to_uppercase(), shown.replace('-', ""), shown.replace('-', " : ")] {
            assert_eq!(text.parse(), Ok(fingerprint), "{text}");
        }
        for bad in ["", "3f2a", &shown[1..], &format!("{shown}0"), &shown.replace(&shown[..1], "g")] {
            assert!(bad.parse::<Fingerprint>().is_err(), "{bad}");
        }
    }
}
