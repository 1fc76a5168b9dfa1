//! Versions of another library are taken in, once it is sure whose they are.
//!
//! Each comes with its [provenance](super::provenance), which must be genuine and speak of this very version. A key that
//! nobody has said to trust ends it before anything is copied: a person compares its fingerprint with what the other
//! appliance showed, and says so once.

use super::{
    copy::{Copied, CopyError, CopyProgress, copy_version},
    local::Shelf,
    master::{self, ListedVersion, MasterError, MasterRef},
    provenance::{self, Fingerprint, Provenance},
};
use crate::clock::Timestamp;

/// A version that can be taken in: its provenance is genuine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    pub listed: ListedVersion,
    pub provenance: Provenance,
}

/// What became of an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    pub offer: Offer,
    pub copied: Copied,
}

/// The versions that are named, in the order of the names, each once; without a name all of the library's. `NAME` is
/// its latest version.
pub async fn find_versions(from: &Shelf, wanted: &[MasterRef]) -> Result<Vec<ListedVersion>, MasterError> {
    if wanted.is_empty() {
        return master::list_all_versions(&from.db).await;
    }
    let mut found: Vec<ListedVersion> = Vec::new();
    for reference in wanted {
        let (master, version) = master::load_version(&from.db, reference).await?;
        let listed = ListedVersion { name: master.name, version };
        if !found.contains(&listed) {
            found.push(listed);
        }
    }
    Ok(found)
}

/// What a library offers of what is wanted. One provenance that is not genuine refuses all.
pub async fn look(from: &Shelf, wanted: &[MasterRef]) -> Result<Vec<Offer>, TakeInError> {
    let mut offers = Vec::new();
    for listed in find_versions(from, wanted).await? {
        let provenance = provenance::provenance_of(from, &listed).await?;
        if !provenance.is_genuine() {
            let (version, library) = (listed.reference(), provenance.library);
            return Err(TakeInError::NotGenuine { version, library });
        }
        if !provenance.master.as_str().eq_ignore_ascii_case(listed.name.as_str()) {
            let (version, signed) = (listed.reference(), provenance.reference());
            return Err(TakeInError::AnotherName { version, signed });
        }
        offers.push(Offer { listed, provenance });
    }
    Ok(offers)
}

/// Takes offers in, one after the other, and tells of each. `trusted` are the fingerprints that a person has compared:
/// their keys are trusted from now on.
pub async fn take_in(
    from: &Shelf,
    offers: Vec<Offer>,
    into: &Shelf,
    trusted: &[Fingerprint],
    progress: &(dyn Fn(&Offer, CopyProgress) + Send + Sync),
) -> Result<Vec<Taken>, TakeInError> {
    check_trust(&offers, into, trusted).await?;
    let mut taken = Vec::new();
    for offer in offers {
        taken.push(carry(from, offer, into, progress).await?);
    }
    Ok(taken)
}

/// Copies versions into a library that is to be carried away. Each takes its provenance along.
pub async fn give(
    from: &Shelf,
    versions: Vec<ListedVersion>,
    into: &Shelf,
    progress: &(dyn Fn(&Offer, CopyProgress) + Send + Sync),
) -> Result<Vec<Taken>, TakeInError> {
    let mut given = Vec::new();
    for listed in versions {
        let provenance = provenance::provenance_of(from, &listed).await?;
        given.push(carry(from, Offer { listed, provenance }, into, progress).await?);
    }
    Ok(given)
}

async fn carry(
    from: &Shelf,
    offer: Offer,
    into: &Shelf,
    progress: &(dyn Fn(&Offer, CopyProgress) + Send + Sync),
) -> Result<Taken, TakeInError> {
    let note = |seen: CopyProgress| progress(&offer, seen);
    let copied = copy_version(from, &offer.listed, offer.provenance.clone(), into, &note).await;
    let copied = copied.map_err(|source| TakeInError::Copy { version: offer.listed.reference(), source })?;
    Ok(Taken { offer, copied })
}

/// Whether every offer comes from here or from a library that is trusted, now or from now on.
pub async fn check_trust(offers: &[Offer], into: &Shelf, trusted: &[Fingerprint]) -> Result<(), TakeInError> {
    let own = into.key.verifying_key().to_bytes();
    for Offer { provenance, .. } in offers {
        if provenance.key == own || provenance::is_trusted(&into.db, &provenance.key).await? {
            continue;
        }
        let fingerprint = provenance.fingerprint();
        if !trusted.contains(&fingerprint) {
            return Err(TakeInError::Untrusted { library: provenance.library.clone(), fingerprint });
        }
        provenance::trust(&into.db, provenance, Timestamp::now()).await?;
    }
    Ok(())
}

/// Why nothing, or nothing more, was taken in.
#[derive(Debug, thiserror::Error)]
pub enum TakeInError {
    #[error(
        "nobody has said that versions of {library} are trusted, whose key has the fingerprint {fingerprint}"
    )]
    Untrusted { library: String, fingerprint: Fingerprint },
    #[error("{version} is not what {library} signed")]
    NotGenuine { version: MasterRef, library: String },
    #[error("{version} was signed as {signed}")]
    AnotherName { version: MasterRef, signed: MasterRef },
    #[error("copying {version}")]
    Copy { version: MasterRef, source: CopyError },
    #[error(transparent)]
    Master(#[from] MasterError),
}
