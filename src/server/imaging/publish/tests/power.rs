//! Captures into a local folder whose disk loses its power, or its room, at every single write.

use super::{Appliance, OPTIONS, origin};
use crate::imaging::{
    publish::{Publication, PublishError},
    store::{
        error::StoreError,
        faulty::Cut,
        power::{Fault, OUTCOMES, Outcome, PowerDisk},
    },
};

const FIRST: [u8; 3] = [1, 2, 99];
const SECOND: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// A write of each of: two folders of three and the root at the start, then four steps for each of two packs and for
/// the manifest. Fewer cuts than that, and something is not tried.
const WRITES_MIN: u64 = 4 + 3 * 4;

/// Plays a capture whose power goes at one write, and looks at what the next server finds. Gives whether the capture
/// had ended before the cut, or what is wrong.
async fn cut_at(write: u64, cut: Cut, outcome: Outcome, disk: PowerDisk) -> Result<bool, String> {
    let appliance = Appliance::new().await;
    let store = disk.open(OPTIONS).await.expect("store opens");
    appliance.capture(&store, &FIRST, &origin("debian", 1)).await.expect("the first capture");
    drop(store);
    disk.fail_at(write, Fault::PowerCut(cut));
    let result = match disk.open(OPTIONS).await {
        Ok(store) => appliance.capture(&store, &SECOND, &origin("debian", 2)).await,
        Err(error) => Err(error.into()),
    };
    let survived = result.is_ok();
    let listed = [if survived { "debian@2" } else { "debian@1" }];
    if appliance.listed().await != listed {
        return Err(format!("{:?} is listed", appliance.listed().await));
    }

    let disk = disk.after_power_cut(outcome).await;
    let store = disk.open(OPTIONS).await.map_err(|error| error.to_string())?;
    let stats = store.stats().await.map_err(|error| error.to_string())?;
    if !stats.unreadable_packs.is_empty() {
        return Err(format!("{:?}", stats.unreadable_packs));
    }
    if let Some(left) = disk.names().iter().find(|name| name.starts_with("incoming/")) {
        return Err(format!("{left} was not cleared away"));
    }
    let mut versions = vec![("debian@1", FIRST.as_slice())];
    versions.extend(survived.then_some(("debian@2", SECOND.as_slice())));
    for (version, numbers) in versions {
        appliance
            .check_deploys(&store, version, numbers)
            .await
            .map_err(|error| format!("{version}: {error}"))?;
    }
    let again = appliance.capture(&store, &SECOND, &origin("debian", 2)).await;
    let Ok(Publication::Published(_)) = again else { return Err(format!("the same capture: {again:?}")) };
    appliance
        .check_deploys(&store, "debian@2", &SECOND)
        .await
        .map(|()| survived)
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn after_a_power_cut_at_any_write_of_a_local_folder_nothing_is_lost_and_nothing_is_half() {
    for cut in [Cut::Before, Cut::After] {
        for outcome in OUTCOMES {
            let mut write = 0;
            while !cut_at(write, cut, outcome, PowerDisk::default())
                .await
                .unwrap_or_else(|wrong| panic!("write {write}, cut {cut:?}, left {outcome:?}: {wrong}"))
            {
                write += 1;
            }
            assert!(write >= WRITES_MIN, "the power was cut at {write} writes");
        }
    }
}

/// The test above can fail: a disk that does not keep what it calls durable is found out.
#[tokio::test]
async fn a_disk_that_lies_about_what_is_durable_is_found_out() {
    for outcome in [Outcome::Nothing, Outcome::EmptyFiles, Outcome::TornFiles, Outcome::ZeroFiles] {
        let found = cut_at(WRITES_MIN - 1, Cut::After, outcome, PowerDisk::that_lies()).await;
        assert!(found.is_err(), "left {outcome:?}");
    }
}

#[tokio::test]
async fn a_disk_that_is_full_at_any_write_fails_the_capture_alone_and_the_next_one_completes() {
    let mut write = 0;
    loop {
        let (appliance, disk) = (Appliance::new().await, PowerDisk::default());
        let store = disk.open(OPTIONS).await.expect("store opens");
        appliance.capture(&store, &FIRST, &origin("debian", 1)).await.expect("the first capture");
        disk.fail_at(write, Fault::NoRoom);
        match appliance.capture(&store, &SECOND, &origin("debian", 2)).await {
            Ok(_) => break,
            Err(PublishError::Store(StoreError::Full { .. })) => {}
            Err(error) => panic!("write {write}: {error}"),
        }
        assert_eq!(appliance.listed().await, ["debian@1"], "write {write}");
        appliance.assert_deploys(&store, "debian@1", &FIRST).await;
        assert!(disk.names().iter().all(|name| !name.starts_with("incoming/")), "write {write}");

        // The same server, once there is room again.
        disk.make_room();
        appliance.capture(&store, &SECOND, &origin("debian", 2)).await.expect("there is room again");
        let store = disk.after_power_cut(Outcome::Nothing).await.open(OPTIONS).await.expect("store opens");
        appliance.assert_deploys(&store, "debian@1", &FIRST).await;
        appliance.assert_deploys(&store, "debian@2", &SECOND).await;
        write += 1;
    }
    assert!(write >= WRITES_MIN - 4, "{write} writes found no room");
}
