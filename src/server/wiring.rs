//! The one place that sees several domains at once: what a person asks for concerns a computer (inventory) and a
//! master (imaging), and what a machine boots (boot) follows from both.

use ed25519_dalek::{SigningKey, VerifyingKey};
use sqlx::SqlitePool;

use crate::{
    events::Events,
    imaging::{
        local::Shelf,
        session::{capture::Captures, deploy::Deploys, requests::Sessions},
        store::Store,
        upkeep::{
            background::{Background, Rules},
            jobs::StoreJobs,
        },
    },
};

pub mod boot_source;
pub mod chores;
pub mod firmware_choices;
pub mod orders;
pub mod requests;

/// Everything that the surface works with. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Services {
    pub pool: SqlitePool,
    pub events: Events,
    pub store: Store,
    /// The same with the list and the key: what another library is copied from or into.
    pub shelf: Shelf,
    pub sessions: Sessions,
    pub captures: Captures,
    pub deploys: Deploys,
    /// What people have done to the store.
    pub jobs: StoreJobs,
    /// With which clients check manifests.
    pub manifest_key: VerifyingKey,
}

impl Services {
    /// `key` signs the manifests of this appliance.
    pub fn new(pool: SqlitePool, events: Events, store: Store, key: SigningKey) -> Self {
        let sessions = Sessions::new(pool.clone(), events.clone());
        let manifest_key = key.verifying_key();
        let shelf = Shelf { store: store.clone(), db: pool.clone(), key: key.clone() };
        let captures = Captures::new(pool.clone(), events.clone(), sessions.clone(), store.clone(), key);
        let deploys = Deploys::new(store.clone());
        let jobs = StoreJobs::new(store.clone(), pool.clone(), events.clone());
        Self { pool, events, store, shelf, sessions, captures, deploys, jobs, manifest_key }
    }

    /// What the store has done to it without being asked.
    pub fn background(&self, rules: Rules) -> Background {
        Background::new(self.store.clone(), self.pool.clone(), self.events.clone(), rules)
    }
}
