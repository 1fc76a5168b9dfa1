//! Firmware's choices (`boot::dhcp`), as the database keeps them.

use async_trait::async_trait;
use sqlx::{Row, SqlitePool, sqlite::SqliteRow};

use crate::{
    boot::dhcp::keeper::{Change, ChoiceKeeper, KeeperError, Remembered},
    clock::Timestamp,
};

/// The table of choices.
#[derive(Debug, Clone)]
pub struct ChoiceTable {
    db: SqlitePool,
}

impl ChoiceTable {
    pub fn new(db: SqlitePool) -> Self {
        Self { db }
    }

    async fn load(&self) -> Result<Vec<Remembered>, sqlx::Error> {
        let rows = sqlx::query("SELECT mac, in_vain, proved, last_ms FROM firmware_choice");
        let rows = rows.fetch_all(&self.db).await?;
        rows.iter().map(remembered).collect()
    }

    async fn store(&self, changes: &[Change]) -> Result<(), sqlx::Error> {
        let keep = "INSERT INTO firmware_choice (mac, in_vain, proved, last_ms) VALUES ($1, $2, $3, $4) \
                    ON CONFLICT (mac) DO UPDATE \
                    SET in_vain = excluded.in_vain, proved = excluded.proved, last_ms = excluded.last_ms";
        let mut transaction = self.db.begin().await?;
        for change in changes {
            let statement = match change {
                Change::Keep(Remembered { mac, in_vain, proved, last }) => {
                    sqlx::query(keep).bind(mac.to_string()).bind(*in_vain).bind(*proved).bind(last.0)
                }
                Change::Forget(mac) => {
                    sqlx::query("DELETE FROM firmware_choice WHERE mac = $1").bind(mac.to_string())
                }
            };
            statement.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }
}

fn remembered(row: &SqliteRow) -> Result<Remembered, sqlx::Error> {
    let mac: String = row.try_get("mac")?;
    Ok(Remembered {
        mac: mac.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
        in_vain: row.try_get("in_vain")?,
        proved: row.try_get("proved")?,
        last: Timestamp(row.try_get("last_ms")?),
    })
}

#[async_trait]
impl ChoiceKeeper for ChoiceTable {
    async fn load(&self) -> Result<Vec<Remembered>, KeeperError> {
        self.load().await.map_err(|error| KeeperError(error.into()))
    }

    async fn store(&self, changes: &[Change]) -> Result<(), KeeperError> {
        self.store(changes).await.map_err(|error| KeeperError(error.into()))
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;

    use super::ChoiceTable;
    use crate::{
        boot::dhcp::keeper::{Change, Remembered},
        clock::Timestamp,
        db,
    };

    #[tokio::test]
    async fn the_last_change_of_a_machine_is_what_is_kept() {
        let table = ChoiceTable::new(db::open_in_memory().await.expect("a database"));
        let kept = |card, in_vain, proved| Remembered {
            mac: MacAddr([2, 0, 0, 0, 0, card]),
            in_vain,
            proved,
            last: Timestamp(1000 + i64::from(card)),
        };
        table.store(&[]).await.expect("nothing to do");
        let first = [kept(1, 0, false), kept(2, 1, false), kept(3, 0, true)].map(Change::Keep);
        table.store(&first).await.expect("stored");
        let second = [Change::Keep(kept(1, 255, true)), Change::Forget(kept(2, 1, false).mac)];
        table.store(&second).await.expect("stored");
        let mut found = table.load().await.expect("loaded");
        found.sort_by_key(|kept| kept.mac);
        assert_eq!(found, [kept(1, 255, true), kept(3, 0, true)]);
    }
}
