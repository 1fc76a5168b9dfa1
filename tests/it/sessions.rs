//! What a machine boots, from what waits for its computer: boot, inventory and imaging through the wiring.

use mimeo_core::{
    failure::{Failure, FailureCause},
    ids::{MacAddr, Secret},
    machine::{
        DiskReport, FirmwareMode, Identity, MachineReport, NicReport, Processor, SecureBoot,
        disk_facts::DiskFacts,
    },
    messages::{Language, Orders, Outcome, Phase, Progress},
    units::SectorSize,
};
use mimeo_server::{
    boot::{
        firmware::Architecture,
        target::{BootSource, BootTarget, LoaderChoice, Machine},
    },
    clock::Timestamp,
    config::UnknownMachines,
    db,
    events::Events,
    imaging::{
        keys::load_signing_key,
        master::MasterName,
        session::{
            State,
            machine::{BOOT_SPAN, Input, UNHEARD_BOOTS_MAX},
        },
        store::{Store, StoreOptions, backend::Backend},
    },
    inventory::{
        admission::{Admission, admit},
        computer::{Loader, set_loader},
    },
    wiring::{
        Services,
        boot_source::{BootPolicy, HouseBootSource},
    },
};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 0xa]);
const UUID: &str = "4c4c4544-0044-3510-8052-b4c04f56440a";

async fn services() -> Services {
    let pool = db::open_in_memory().await.expect("a database");
    let store = Store::open(Backend::in_memory(), StoreOptions::default()).await.expect("a store");
    let key = load_signing_key(&pool).await.expect("a key");
    Services::new(pool, Events::new(), store, key)
}

fn boots(services: &Services, unknown: UnknownMachines) -> HouseBootSource {
    let policy = BootPolicy { unknown, menu_timeout_seconds: 7, language: Language::Fr };
    HouseBootSource::new(services.clone(), policy)
}

fn machine(mac: MacAddr, uuid: Option<&str>) -> Machine {
    Machine { mac, uuid: uuid.map(str::to_owned), architecture: Architecture::UefiX64, address: None }
}

fn report() -> MachineReport {
    let disk = DiskReport {
        facts: DiskFacts {
            kernel_name: "vda".into(),
            model: None,
            serial: Some("FIRST".into()),
            wwn: None,
            size_bytes: 1 << 30,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
            removable: false,
            transport: None,
            rotational: false,
        },
        partitions: Vec::new(),
    };
    MachineReport {
        identity: Identity { system_uuid: Some(UUID.into()), ..Identity::default() },
        firmware: FirmwareMode::Uefi,
        secure_boot: SecureBoot::On,
        processor: Processor::default(),
        memory_bytes: 1 << 30,
        disks: vec![disk],
        nics: vec![NicReport {
            kernel_name: "eth0".into(),
            mac: MAC,
            driver: None,
            speed_mbps: None,
            usb: false,
            booted: true,
        }],
    }
}

#[track_caller]
fn client_token(target: BootTarget) -> Secret {
    match target {
        BootTarget::Client { token } => token,
        other => panic!("no client: {other:?}"),
    }
}

async fn hello(services: &Services, token: &Secret) -> Admission {
    admit(&services.pool, &services.events, token, report(), Timestamp::now()).await.expect("let in")
}

#[tokio::test]
async fn policy_says_what_an_unknown_machine_boots_and_each_of_its_scripts_opens_the_client() {
    let services = services().await;
    let unknown = machine(MAC, Some(UUID));
    let menus = boots(&services, UnknownMachines::Menu);
    let BootTarget::Menu(menu) = menus.boot_target(&unknown).await else { panic!("no menu") };
    assert_eq!((menu.computer_name, menu.timeout_seconds, menu.language), (None, 7, Language::Fr));

    let registers = boots(&services, UnknownMachines::Register);
    let first = client_token(registers.boot_target(&unknown).await);
    let second = client_token(registers.boot_target(&unknown).await);
    assert_ne!(first, second);
    let registered = hello(&services, &first).await;
    // GRUB rendered its script twice; the machine happened to boot the other one after a reset.
    assert_eq!(hello(&services, &second).await.boot.computer, registered.boot.computer);
    assert_eq!(hello(&services, &menu.token).await.boot.computer, registered.boot.computer);
}

#[tokio::test]
async fn a_known_computer_goes_straight_to_its_session_even_with_another_card() {
    let services = services().await;
    let source = boots(&services, UnknownMachines::Register);
    let computer =
        hello(&services, &client_token(source.boot_target(&machine(MAC, None)).await)).await.boot.computer;
    let BootTarget::Menu(menu) = source.boot_target(&machine(MAC, None)).await else { panic!("no menu") };
    assert_eq!(menu.computer_name.as_deref(), Some("pc-00000a"));

    let name: MasterName = "debian".parse().expect("a name");
    let session =
        services.request_capture(computer, name, None, None, Timestamp::now()).await.expect("requested").id;
    client_token(source.boot_target(&machine(MacAddr([2, 0, 0, 0, 0, 9]), Some(UUID))).await);
    let boot = hello(&services, &client_token(source.boot_target(&machine(MAC, None)).await)).await.boot;
    let orders = services.next_orders(boot, Timestamp::now()).await.expect("orders");
    assert!(matches!(orders, Orders::Capture(order) if order.session == session));

    // It loses power and boots again while its lease is still alive.
    let again = hello(&services, &client_token(source.boot_target(&machine(MAC, None)).await)).await.boot;
    let orders = services.next_orders(again, Timestamp::now()).await.expect("orders");
    assert!(matches!(orders, Orders::Capture(order) if order.session == session));
    assert_eq!(services.sessions.load(session).await.expect("loaded").attempts, 2);
}

#[tokio::test]
async fn a_computer_that_failed_three_times_boots_its_own_disk_until_somebody_asks_again() {
    let services = services().await;
    let source = boots(&services, UnknownMachines::Register);
    let asks = async || source.boot_target(&machine(MAC, None)).await;
    let computer = hello(&services, &client_token(asks().await)).await.boot.computer;
    let request = async || {
        let name: MasterName = "debian".parse().expect("a name");
        services.request_capture(computer, name, None, None, Timestamp::now()).await.expect("requested").id
    };
    for _ in 0..3 {
        assert!(matches!(asks().await, BootTarget::Menu(_)));
        let session = request().await;
        let boot = hello(&services, &client_token(asks().await)).await.boot;
        services.next_orders(boot, Timestamp::now()).await.expect("orders");
        let cause = FailureCause::ReadFailed { offset_bytes: 512, detail: "EIO".into() };
        let failure = Some(Failure { phase: Phase::Read, cause });
        let outcome = Outcome { progress: Progress::default(), phases: Vec::new(), failure };
        let input = Input::Outcome { boot: boot.id, outcome };
        services.sessions.step(session, input, Timestamp::now()).await.expect("ended");
    }
    assert_eq!(asks().await, BootTarget::LocalDisk);
    request().await;
    client_token(asks().await);
}

/// Its client fails before its first word: no driver for the card, no address, a server that is not trusted.
#[tokio::test]
async fn a_computer_whose_client_is_never_heard_of_gets_its_menu_back_and_the_session_says_why() {
    let services = services().await;
    let source = boots(&services, UnknownMachines::Register);
    let asks = async || source.boot_target(&machine(MAC, None)).await;
    let computer = hello(&services, &client_token(asks().await)).await.boot.computer;
    let name: MasterName = "debian".parse().expect("a name");
    let session =
        services.request_capture(computer, name, None, None, Timestamp::now()).await.expect("requested").id;
    let now = Timestamp::now();
    let span_ms = BOOT_SPAN.as_millis() as i64;
    for boots_ago in (1..i64::from(UNHEARD_BOOTS_MAX)).rev() {
        let then = Timestamp(now.0 - boots_ago * span_ms);
        services.sessions.note_boot(session, then).await.expect("noted");
    }
    // The last boot that is tried asks for its script under several names.
    client_token(asks().await);
    client_token(asks().await);
    assert_eq!(services.sessions.load(session).await.expect("loaded").unheard_boots, UNHEARD_BOOTS_MAX);
    services.sessions.note_boot(session, now.plus(BOOT_SPAN * 2)).await.expect("noted");
    assert!(matches!(asks().await, BootTarget::Menu(_)));
    let State::Failed(failure) = services.sessions.load(session).await.expect("loaded").state else {
        panic!("it waits on")
    };
    assert_eq!(failure.cause, FailureCause::ClientSilent { boots: UNHEARD_BOOTS_MAX });
}

#[tokio::test]
async fn the_loader_that_a_person_chose_is_given() {
    let services = services().await;
    let source = boots(&services, UnknownMachines::Register);
    assert_eq!(source.loader(MAC).await, LoaderChoice::Signed);
    let computer =
        hello(&services, &client_token(source.boot_target(&machine(MAC, None)).await)).await.boot.computer;
    set_loader(&services.pool, computer, Loader::Ipxe).await.expect("set");
    assert_eq!(source.loader(MAC).await, LoaderChoice::Ipxe);
}
