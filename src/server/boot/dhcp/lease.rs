//! The leases that we gave, as the database keeps them.

use std::net::Ipv4Addr;

use mimeo_core::ids::{MacAddr, ParseIdError};
use sqlx::{Row, Sqlite, SqlitePool, Transaction};

use crate::clock::Timestamp;

/// An address that a card may use until then; afterwards, the address it would get again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) address: Ipv4Addr,
    pub(super) mac: MacAddr,
    pub(super) until: Timestamp,
}

/// A change of the table of leases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Keep(Lease),
    Forget(Ipv4Addr),
}

/// The table of leases cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LeaseError {
    #[error("reading or writing leases")]
    Db(#[from] sqlx::Error),
    #[error("a lease names address {0:?}")]
    Address(String),
    #[error("a lease names a card")]
    Mac(#[from] ParseIdError),
}

/// All leases, the ended ones too: they tell who had which address.
pub(super) async fn load(db: &SqlitePool) -> Result<Vec<Lease>, LeaseError> {
    let rows = sqlx::query("SELECT address, mac, until FROM lease ORDER BY until").fetch_all(db).await?;
    let lease = |row: &sqlx::sqlite::SqliteRow| {
        let (address, mac): (String, String) = (row.try_get("address")?, row.try_get("mac")?);
        let until = Timestamp(row.try_get("until")?);
        let address = address.parse().map_err(|_| LeaseError::Address(address))?;
        Ok(Lease { address, mac: mac.parse()?, until })
    };
    rows.iter().map(lease).collect()
}

/// Makes the changes in their order, all or none. When it returns they survive a power cut, so that no client is
/// told of a lease that a restart would not know.
pub(super) async fn store(db: &SqlitePool, changes: &[Change]) -> Result<(), LeaseError> {
    let mut transaction = db.begin().await?;
    for change in changes {
        match change {
            Change::Keep(lease) => keep(&mut transaction, lease).await?,
            Change::Forget(address) => forget(&mut transaction, *address).await?,
        }
    }
    Ok(transaction.commit().await?)
}

async fn keep(transaction: &mut Transaction<'_, Sqlite>, lease: &Lease) -> Result<(), LeaseError> {
    let statement = "INSERT INTO lease (address, mac, until) VALUES ($1, $2, $3) \
                     ON CONFLICT (address) DO UPDATE SET mac = excluded.mac, until = excluded.until";
    sqlx::query(statement)
        .bind(lease.address.to_string())
        .bind(lease.mac.to_string())
        .bind(lease.until.0)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn forget(transaction: &mut Transaction<'_, Sqlite>, address: Ipv4Addr) -> Result<(), LeaseError> {
    let statement = sqlx::query("DELETE FROM lease WHERE address = $1").bind(address.to_string());
    statement.execute(&mut **transaction).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;

    use super::{Change, Lease, load, store};
    use crate::{clock::Timestamp, db};

    #[tokio::test]
    async fn the_last_change_of_an_address_is_what_is_known() {
        let db = db::open_in_memory().await.expect("a database");
        let lease = |host, card, until| Lease {
            address: [10, 0, 0, host].into(),
            mac: MacAddr([2, 0, 0, 0, 0, card]),
            until: Timestamp(until),
        };
        let changes = [
            Change::Keep(lease(1, 1, 100)),
            Change::Keep(lease(2, 2, 90)),
            Change::Keep(lease(3, 3, 80)),
            Change::Keep(lease(1, 4, 200)),
            Change::Forget([10, 0, 0, 3].into()),
        ];
        store(&db, &changes).await.expect("stored");
        assert_eq!(load(&db).await.expect("loaded"), [lease(2, 2, 90), lease(1, 4, 200)]);
    }
}
