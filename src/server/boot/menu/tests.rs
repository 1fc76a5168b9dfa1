//! Golden scripts, and names that try to break out of them.

use mimeo_core::{
    ids::{MacAddr, Secret},
    messages::Language,
};
use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

use super::{Label, Settings, grub, ipxe};
use crate::{
    boot::{
        firmware::Architecture,
        menu::grub::Origin,
        target::{BootTarget, Machine, Menu},
    },
    config::kernel_options::KernelOptions,
};

fn settings() -> Settings {
    Settings {
        boot_http: "10.0.0.1:8080".parse().expect("an address"),
        api: "10.0.0.1:8443".parse().expect("an address"),
        kernel_options: KernelOptions::parse("quiet console=ttyS0,115200").expect("good options"),
        language: Language::En,
    }
}

fn machine() -> Machine {
    Machine {
        mac: MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]),
        uuid: None,
        architecture: Architecture::Bios,
        address: None,
    }
}

fn token() -> Secret {
    Secret::from_random([0xab; 32])
}

fn menu(name: Option<&str>, language: Language) -> BootTarget {
    let computer_name = name.map(Into::into);
    BootTarget::Menu(Menu { computer_name, token: token(), timeout_seconds: 10, language })
}

/// Compares with `golden/<name>`. With `MIMEO_BLESS=1` in the environment the file is written instead: read the
/// difference before committing it.
fn check_golden(name: &str, rendered: &str) {
    let path = format!("{}/boot/menu/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("MIMEO_BLESS").is_some() {
        std::fs::write(&path, rendered).expect("writing the golden file");
    }
    let expect = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert_eq!(rendered, expect, "{name} differs");
}

#[test]
fn scripts_for_ipxe_are_as_they_were_read_and_tried() {
    let render = |target: &BootTarget| ipxe::render(target, &machine(), &settings());
    check_golden("client.ipxe", &render(&BootTarget::Client { token: token() }));
    check_golden("menu-known-en.ipxe", &render(&menu(Some("salle-3-poste-07"), Language::En)));
    check_golden("menu-unknown-fr.ipxe", &render(&menu(None, Language::Fr)));
    check_golden("local-disk.ipxe", &render(&BootTarget::LocalDisk));
    check_golden("autoexec.ipxe", &ipxe::chain_script(&settings()));
}

#[test]
fn configurations_for_grub_are_as_they_were_read_and_tried() {
    let render = |target: &BootTarget, origin| grub::render(target, &machine(), &settings(), origin);
    check_golden("client.grub", &render(&BootTarget::Client { token: token() }, Origin::Network));
    check_golden("client-ram-disk.grub", &render(&BootTarget::Client { token: token() }, Origin::RamDisk));
    check_golden(
        "menu-known-en.grub",
        &render(&menu(Some("salle-3-poste-07"), Language::En), Origin::Network),
    );
    check_golden("menu-unknown-fr.grub", &render(&menu(None, Language::Fr), Origin::RamDisk));
    check_golden("local-disk.grub", &render(&BootTarget::LocalDisk, Origin::Network));
    check_golden("first.grub", &grub::first_config());
}

#[test]
fn names_are_shown_in_what_both_loaders_have_letters_for() {
    let check = |name: &str, expect: &str| assert_eq!(Label::new(name).to_string(), expect, "{name:?}");
    check("salle-3-poste_07.lan", "salle-3-poste_07.lan");
    check("Bibliothèque Élysée", "Bibliotheque Elysee");
    check("l'accueil", "l accueil");
    check("'; echo", " ? echo");
    check("a\"b$(c)`d`\\e${f}&&g||h\n#", "a?b??c??d??e??f???g??h??");
    check("日本", "??");
    check(&"x".repeat(500), &"x".repeat(48));
}

#[test]
fn a_configuration_is_found_by_the_hardware_address_in_its_name() {
    assert_eq!(grub::machine_of("grub/machine/52:54:00:12:34:56.cfg"), Some(Some(machine().mac)));
    assert_eq!(grub::machine_of("grub/machine/.cfg"), Some(None));
    assert_eq!(grub::machine_of("grub/grub.cfg-01-52-54-00-12-34-56"), Some(Some(machine().mac)));
    for other in ["grub/grub.cfg", "grub/machine/x.cfg", "grub/machine/52:54:00:12:34:56", "vmlinuz"] {
        assert_eq!(grub::machine_of(other), None, "{other}");
    }
}

proptest! {
    /// Whatever a computer is called, its script differs from another's in the shown name only.
    #[test]
    fn no_name_breaks_out_of_a_script(name in ".{0,80}") {
        let label = Label::new(&name).to_string();
        prop_assert!(label.chars().all(|c| c.is_ascii_alphanumeric() || " ._-?".contains(c)));
        let both = |name: &str| {
            let target = menu(Some(name), Language::Fr);
            let grub = grub::render(&target, &machine(), &settings(), Origin::Network);
            (ipxe::render(&target, &machine(), &settings()), grub)
        };
        let (plain_ipxe, plain_grub) = both("PLACE");
        let (ipxe, grub) = both(&name);
        prop_assert_eq!(ipxe, plain_ipxe.replace("PLACE", &label));
        prop_assert_eq!(grub, plain_grub.replace("PLACE", &label));
    }
}
