use mimeo_core::{
    ids::MacAddr,
    machine::{FirmwareMode, Identity, MachineReport, NicReport, Processor, SecureBoot},
};

use super::{
    ComputerError, Loader, glimpse, insert_computer, list_computers, load_computer, load_named_computer,
    rename_computer, set_loader, update_report,
};
use crate::{clock::Timestamp, db};

/// A machine with nothing but a UUID and network cards, as QEMU makes them.
pub(crate) fn report(system_uuid: Option<&str>, macs: &[MacAddr]) -> MachineReport {
    let nic = |&mac| NicReport {
        kernel_name: "eth0".into(),
        mac,
        driver: None,
        speed_mbps: None,
        usb: false,
        booted: true,
    };
    MachineReport {
        identity: Identity { system_uuid: system_uuid.map(str::to_owned), ..Identity::default() },
        firmware: FirmwareMode::Uefi,
        secure_boot: SecureBoot::On,
        processor: Processor::default(),
        memory_bytes: 1 << 30,
        disks: Vec::new(),
        nics: macs.iter().map(nic).collect(),
    }
}

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 1, 2, 3]);
const OTHER_MAC: MacAddr = MacAddr([0x52, 0x54, 0, 1, 2, 4]);
const UUID: &str = "4c4c4544-0044-3510-8052-b4c04f564432";

#[tokio::test]
async fn a_computer_is_kept_with_its_report_and_found_by_name_and_by_id() {
    let pool = db::open_in_memory().await.expect("a database");
    let name = "salle-1".parse().expect("a name");
    let told = report(Some(UUID), &[MAC]);
    let mut connection = pool.acquire().await.expect("a connection");
    let (id, given) = insert_computer(&mut connection, &name, &told, Timestamp(5)).await.expect("inserted");
    assert_eq!(given, name);
    let (_, second) = insert_computer(&mut connection, &name, &told, Timestamp(6)).await.expect("inserted");
    assert_eq!(second.as_str(), "salle-1-2");
    drop(connection);

    let loaded = load_computer(&pool, id).await.expect("loaded");
    assert_eq!((loaded.report, loaded.created, loaded.loader), (told, Timestamp(5), Loader::Signed));
    assert_eq!(load_named_computer(&pool, "SALLE-1").await.expect("by name").id, id);
    assert_eq!(load_named_computer(&pool, &id.to_string()).await.expect("by id").id, id);
    assert!(matches!(load_named_computer(&pool, "nobody").await, Err(ComputerError::Unknown(_))));
    assert_eq!(list_computers(&pool).await.expect("listed").len(), 2);

    let taken = rename_computer(&pool, id, &"Salle-1-2".parse().expect("a name")).await;
    assert!(matches!(taken, Err(ComputerError::NameTaken(_))), "{taken:?}");
    set_loader(&pool, id, Loader::Ipxe).await.expect("set");
    assert_eq!(load_computer(&pool, id).await.expect("loaded").loader, Loader::Ipxe);
}

#[tokio::test]
async fn a_booting_machine_is_known_by_its_last_cards_and_its_uuid_in_either_order() {
    let pool = db::open_in_memory().await.expect("a database");
    let mut connection = pool.acquire().await.expect("a connection");
    let name = "pc".parse().expect("a name");
    let (id, _) = insert_computer(&mut connection, &name, &report(Some(UUID), &[MAC]), Timestamp(1))
        .await
        .expect("inserted");
    update_report(&mut connection, id, &report(Some(UUID), &[OTHER_MAC]), Timestamp(2))
        .await
        .expect("updated");
    drop(connection);

    let seen = async |mac, uuid| glimpse(&pool, mac, uuid).await.expect("looked").map(|computer| computer.id);
    assert_eq!(seen(OTHER_MAC, None).await, Some(id));
    assert_eq!(seen(MAC, None).await, None);
    assert_eq!(seen(MAC, Some(UUID)).await, Some(id));
    assert_eq!(seen(MAC, Some("44454C4C-4400-1035-8052-B4C04F564432")).await, Some(id));
    assert_eq!(seen(OTHER_MAC, Some("5a5a5a01-1111-2222-8333-b4c04f564499")).await, None);
}
