//! Has the server built again when a migration is added: `sqlx::migrate!` sees changes of the files that were there
//! when it was expanded, and no new ones.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
