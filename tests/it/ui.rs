//! The pages as people meet them: over real TLS, with forms, without a script; and in a real browser.

#[path = "ui/browser.rs"]
mod browser;
#[path = "ui/machine.rs"]
mod machine;
#[path = "ui/person.rs"]
mod person;

use mimeo_core::{
    disk::filesystem::FileSystem,
    failure::{Failure, FailureCause},
    ids::MacAddr,
    machine::{DiskReport, disk_facts::DiskFacts},
    manifest::RegionKind,
    messages::{Orders, Phase},
    units::SectorSize,
};
use mimeo_server::{
    boot::{
        dhcp::{observe::Obstacle, settings::Mode},
        notices::Notice,
    },
    clock::Timestamp,
};
use reqwest::StatusCode;
use serde_json::json;

use self::{
    machine::{GIB, MAC, MASTER_BYTES, Machine, disk, publish, publish_with, workstation},
    person::{Person, encode, field},
};
use crate::api::house::{House, PASSWORD};

/// A disk in a case that people carry about.
fn removable(disk: DiskReport) -> DiskReport {
    let facts = DiskFacts { removable: true, transport: Some("usb".into()), ..disk.facts };
    DiskReport { facts, ..disk }
}

const PAGES: [&str; 5] = ["/computers", "/masters", "/sessions", "/about", "/computers/1"];

#[tokio::test]
async fn nobody_reads_a_page_without_logging_in_and_everybody_is_led_to_the_door() {
    let house = House::start().await;
    let mut stranger = Person::new(&house, "en");
    for path in PAGES {
        let seen = stranger.get(path).await;
        assert_eq!(seen.status, StatusCode::SEE_OTHER, "{path}");
        assert_eq!(seen.location, Some(format!("/login?next={path}")));
        assert_eq!(seen.text, "");
    }
    let seen = stranger.send("/sessions/1/cancel", &[]).await;
    assert_eq!((seen.status, seen.location.as_deref()), (StatusCode::SEE_OTHER, Some("/login")));
    let seen = stranger.get("/login").await;
    assert_eq!(seen.location.as_deref(), Some("/setup"), "there is no account yet");
    assert!(stranger.read("/setup").await.contains("Setup code"));
}

#[tokio::test]
async fn the_first_login_leads_in_and_every_page_speaks_both_languages() {
    let house = House::start().await;
    let machine =
        Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", vec![disk(Some("S1"), 512 * GIB)])).await;
    publish(&house, "debian-12").await;
    let mut person = Person::administrator(&house, "fr-FR,fr;q=0.9,en;q=0.8").await;
    for (path, french, english) in [
        ("/computers", "Vu la dernière fois", "Last seen"),
        (&*format!("/computers/{}", machine.computer), "Numéro de série", "Serial number"),
        ("/masters", "Ajouté au dépôt", "Added to the store"),
        ("/sessions", "Aucune session n", "No session waits or runs"),
        ("/about", "Certificat de l", "Certificate of the authority"),
    ] {
        let page = person.read(path).await;
        assert!(page.contains("<html lang=\"fr\">") && page.contains(french), "{page}");
        person.speak("en");
        let page = person.read(path).await;
        assert!(page.contains("<html lang=\"en\">") && page.contains(english), "{page}");
        person.speak("fr-FR,fr;q=0.9,en;q=0.8");
    }
    // What a person chose counts more than what the browser asks for.
    let seen = person.send("/language", &[("language", "en"), ("back", "/masters")]).await;
    assert_eq!(seen.location.as_deref(), Some("/masters"));
    assert!(person.read("/masters").await.contains("<html lang=\"en\">"));
    let seen = person.send("/language", &[("language", "fr"), ("back", "//evil.example/")]).await;
    assert_eq!(seen.location.as_deref(), Some("/"));
}

#[tokio::test]
async fn wrong_passwords_and_wrong_codes_are_sentences_and_logging_out_ends_it() {
    let house = House::start().await;
    let mut person = Person::new(&house, "en");
    let code = house.auth.setup_code().await.expect("works").expect("there is no account").to_string();
    for (code, password, again, status, sentence) in [
        ("0000-0000-0000", PASSWORD, PASSWORD, StatusCode::UNAUTHORIZED, "The code is wrong or was used"),
        (&code, "elevenchars", "elevenchars", StatusCode::UNPROCESSABLE_ENTITY, "has only 11 characters"),
        (&code, PASSWORD, "correct horse", StatusCode::UNPROCESSABLE_ENTITY, "are not the same"),
    ] {
        let form = [("code", code), ("name", "zoe"), ("password", password), ("again", again)];
        let seen = person.send("/setup", &form).await;
        assert_eq!(seen.status, status);
        assert!(seen.text.contains(sentence) && seen.text.contains("value=\"zoe\""), "{}", seen.text);
        assert!(!seen.text.contains(password), "a password is never sent back");
    }
    let mut person = Person::administrator(&house, "en").await;
    let seen = person.send("/logout", &[]).await;
    assert_eq!(seen.location.as_deref(), Some("/login"));
    assert_eq!(person.get("/computers").await.status, StatusCode::SEE_OTHER);
    let seen = person.send("/login", &[("name", "zoe"), ("password", "wrong")]).await;
    assert_eq!(seen.status, StatusCode::UNAUTHORIZED);
    assert!(seen.text.contains("The name or the password is wrong."), "{}", seen.text);
    let form = [("name", "zoe"), ("password", PASSWORD), ("next", "/masters?x=y")];
    assert_eq!(person.send("/login", &form).await.location.as_deref(), Some("/masters?x=y"));
    let form = [("name", "zoe"), ("password", PASSWORD), ("next", "https://evil.example/")];
    assert_eq!(person.send("/login", &form).await.location.as_deref(), Some("/"));
}

#[tokio::test]
async fn versions_are_removed_behind_a_page_that_names_them() {
    let house = House::start().await;
    let machine =
        Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", vec![disk(Some("S1"), 512 * GIB)])).await;
    publish(&house, "debian-12").await;
    publish(&house, "debian-12").await;
    let mut person = Person::administrator(&house, "en").await;
    assert!(person.read("/masters").await.contains("href=\"/masters/remove?master=debian-12@1\""));
    let page = person.read("/masters/remove?master=debian-12@1").await;
    assert!(page.contains("Remove debian-12@1 for good") && !page.contains("debian-12@2"), "{page}");
    assert!(person.read("/masters").await.contains("debian-12@1"), "looking removes nothing");
    let page = person.read("/masters/remove?master=debian-12").await;
    let shown = field(&page, "versions").expect("what is removed");
    assert!(page.contains("debian-12@1") && page.contains("debian-12@2"), "{page}");

    publish(&house, "debian-12").await;
    let seen = person.send("/masters/remove", &[("master", "debian-12"), ("versions", &*shown)]).await;
    assert_eq!(seen.status, StatusCode::CONFLICT);
    assert!(seen.text.contains("has other versions by now") && seen.text.contains("href=\"/masters\""));
    let latest = "debian-12".parse().expect("a master");
    let now = Timestamp::now();
    let deploy = house.services.request_deploy(machine.computer, &latest, None, None, now).await;
    let session = deploy.expect("requested").id;
    let form = [("master", "debian-12@3"), ("versions", "3")];
    let seen = person.send("/masters/remove", &form).await;
    assert_eq!(seen.status, StatusCode::CONFLICT);
    assert!(seen.text.contains(&format!("session {session} waits or runs")), "{}", seen.text);

    let seen = person.send("/masters/remove", &[("master", "debian-12@1"), ("versions", "1")]).await;
    assert_eq!(seen.location.as_deref(), Some("/masters"));
    let page = person.read("/masters").await;
    assert!(!page.contains("debian-12@1") && page.contains("debian-12@2") && page.contains("debian-12@3"));
    for gone in ["debian-12@1", "debian-12@9", "windows"] {
        let seen = person.get(&format!("/masters/remove?master={gone}")).await;
        assert_eq!(seen.status, StatusCode::NOT_FOUND, "{gone}");
    }
    person.speak("fr");
    assert!(
        person.read("/masters/remove?master=debian-12@2").await.contains("Supprimer debian-12@2\u{202f}?")
    );
}

#[tokio::test]
async fn what_is_encrypted_says_so_wherever_a_version_is_shown() {
    let house = House::start().await;
    let machine =
        Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", vec![disk(Some("S1"), 512 * GIB)])).await;
    let partition = |number| RegionKind::Partition(number);
    publish(&house, "windows").await;
    for _ in 0..2 {
        publish_with(&house, "windows", partition(3), Some(FileSystem::BitLocker)).await;
    }
    publish_with(&house, "debian", partition(0), Some(FileSystem::Luks)).await;
    publish_with(&house, "server", partition(2), Some(FileSystem::LinuxRaid)).await;
    publish_with(&house, "group", partition(2), Some(FileSystem::Lvm)).await;

    let mut person = Person::administrator(&house, "en").await;
    let page = person.read("/masters").await;
    let count = |page: &str, text: &str| page.matches(text).count();
    // Once for all versions that it is about.
    assert_eq!(count(&page, "Partition 3: encrypted with BitLocker."), 1, "{page}");
    assert!(page.contains("<strong>windows@3, windows@2</strong>"), "{page}");
    assert_eq!(count(&page, "The whole disk: encrypted with LUKS."), 1, "{page}");
    assert_eq!(count(&page, "Partition 2: one member of a Linux RAID"), 1, "{page}");
    let page = person.read(&format!("/computers/{}/deploy", machine.computer)).await;
    assert_eq!(count(&page, "asks for its recovery key on another computer"), 2, "{page}");
    // And again where it is confirmed, with the button that erases.
    let confirm = |master: &str| format!("/computers/{}/deploy?master={master}", machine.computer);
    let page = person.read(&confirm("windows")).await;
    assert!(page.contains("<strong>windows@3</strong> Partition 3: encrypted with BitLocker."), "{page}");
    assert!(!person.read(&confirm("windows@1")).await.contains("BitLocker"));
    person.speak("fr");
    let page = person.read(&confirm("debian")).await;
    assert!(page.contains("<strong>debian@1</strong> Le disque entier\u{a0}: chiffrement LUKS."), "{page}");
    assert!(person.read("/masters").await.contains("Partition 3\u{a0}: chiffrement BitLocker."));

    let program = house.program().await;
    let request = json!({ "do": "deploy", "computer": machine.computer.to_string(), "master": "windows" });
    let preview = house.post("/sessions/preview", &program, request).await.body;
    assert_eq!(preview["warnings"][0]["warning"], "bit_locker", "{preview}");
    let value = house.get("/masters", &program).await.body;
    let warnings = |name: &str| {
        let master = value.as_array().and_then(|all| all.iter().find(|master| master["name"] == name));
        master.expect("the master")["versions"][0]["warnings"].clone()
    };
    let windows = warnings("windows");
    let bitlocker = &windows[0];
    assert_eq!((&bitlocker["warning"], &bitlocker["partition"]), (&json!("bit_locker"), &json!(3)));
    assert_eq!(windows.as_array().map(Vec::len), Some(1), "{windows}");
    assert!(bitlocker["message"].as_str().expect("a sentence").contains("recovery key"), "{bitlocker}");
    assert_eq!(warnings("group"), json!([]));
}

#[tokio::test]
async fn a_form_on_a_page_of_another_site_does_nothing() {
    let house = House::start().await;
    let machine =
        Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", vec![disk(Some("S1"), 512 * GIB)])).await;
    let mut person = Person::administrator(&house, "en").await;
    let capture = format!("/computers/{}/capture", machine.computer);
    let shown = field(&person.read(&format!("{capture}?master=x")).await, "shown").expect("a disk");
    let form = [("master", "x"), ("disk", "S1"), ("shown", &*shown)];
    for origin in [None, Some("null"), Some("https://evil.example")] {
        for path in [
            &*capture,
            "/logout",
            "/login",
            "/language",
            "/sessions/1/cancel",
            "/computers/1",
            "/masters/remove",
        ] {
            let answer = person.send_from(origin, path, &form).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{path} from {origin:?}");
            assert!(answer.text.contains("does not come from a page of this server"), "{}", answer.text);
        }
    }
    let sessions = house.services.sessions.list(Default::default()).await.expect("a list");
    assert!(sessions.is_empty() && person.read("/computers").await.contains("4XK2LM3"));
    assert_eq!(person.send(&capture, &form).await.location.as_deref(), Some("/sessions/1"));
}

#[tokio::test]
async fn what_keeps_a_machine_from_booting_stands_above_the_computers_in_both_languages() {
    let house = House::start().await;
    let mut person = Person::administrator(&house, "en").await;
    assert!(!person.read("/computers").await.contains("class=\"notice bad\""));
    let obstacle = Obstacle::NamesNobody { server: [10, 77, 0, 2].into() };
    let notice = Notice::SecureBootOutOfReach { mac: MAC, obstacle, mode: Mode::Proxy };
    let hour_ago = Timestamp(Timestamp::now().0 - 3_600_000);
    house.notices.note(notice, hour_ago);
    for (language, words) in [("en", "names no server to boot from"), ("fr", "ne désigne aucun serveur")] {
        person.speak(language);
        let page = person.read("/computers").await;
        for part in [words, "10.77.0.2", &MAC.to_string(), "[dhcp] mode"] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
        assert!(page.contains("href=\"/dhcp\""), "{page}");
        let page = person.read("/dhcp").await;
        for part in ["ISC dhcpd", "Kea", "dnsmasq", "Windows Server", "shimx64.efi", "127.0.0.1"] {
            assert!(page.contains(part), "{part} is missing in\n{page}");
        }
    }
    house.notices.machine_boots(MAC);
    assert!(!person.read("/computers").await.contains("class=\"notice bad\""));
}

#[tokio::test]
async fn what_a_machine_says_of_itself_is_never_markup() {
    const EVIL: &str = "\"><script>alert('x')</script><img src=x onerror=alert(1)>";
    let house = House::start().await;
    let mut report = workstation(MAC, EVIL, vec![disk(Some(EVIL), 512 * GIB)]);
    report.identity.model = Some(EVIL.into());
    report.identity.manufacturer = Some(EVIL.into());
    report.processor.model = EVIL.into();
    report.disks[0].facts.model = Some(EVIL.into());
    report.disks[0].partitions[0].name = EVIL.into();
    let machine = Machine::boot(&house, MAC, report).await;
    publish(&house, "debian-12").await;
    let mut person = Person::administrator(&house, "en").await;
    let computer = format!("/computers/{}", machine.computer);
    let deploy = format!("{computer}/deploy?master=debian-12&disk={}", encode(EVIL));
    for path in ["/computers", &computer, &format!("{computer}/capture?master=x"), &deploy] {
        let page = person.read(path).await;
        assert!(page.contains("&#60;script&#62;"), "{path} shows it: {page}");
        assert!(!page.contains("<script>") && !page.contains("<img src=x"), "{path}: {page}");
    }
    // And were one forgotten, browsers would not run it.
    let headers = person.get(&computer).await.headers;
    let policy = headers["content-security-policy"].to_str().expect("text");
    for part in ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "form-action 'self'"] {
        assert!(policy.contains(part) && !policy.contains("unsafe"), "{policy}");
    }
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "same-origin");
    assert_eq!(headers["cache-control"], "no-store");
}

#[tokio::test]
async fn a_deploy_shows_what_it_erases_and_erases_nothing_else() {
    let house = House::start().await;
    let machine =
        Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", vec![disk(Some("S649NX0R"), 512 * GIB)]))
            .await;
    publish(&house, "debian-12").await;
    let mut person = Person::administrator(&house, "en").await;
    let path = format!("/computers/{}/deploy", machine.computer);
    assert!(person.read(&path).await.contains("value=\"debian-12@1\""));
    let page = person.read(&format!("{path}?master=debian-12")).await;
    for fact in [
        "Samsung SSD 980",
        "S649NX0R",
        "549\u{a0}755\u{a0}813\u{a0}888 bytes",
        "EFI system partition",
        "Basic data partition",
        "NTFS",
        "FAT32",
        "Everything on this disk will be erased.",
        "Erase this disk and deploy debian-12@1",
    ] {
        assert!(page.contains(fact), "{fact}: {page}");
    }
    let sent = |name| field(&page, name).expect("a hidden field");
    let (master, disk, shown) = (sent("master"), sent("disk"), sent("shown"));
    for (disk, shown, status) in [
        (&*disk, "", StatusCode::CONFLICT),
        ("", "", StatusCode::CONFLICT),
        (&*disk, "0000", StatusCode::CONFLICT),
        ("S649NX0S", &*shown, StatusCode::UNPROCESSABLE_ENTITY),
    ] {
        let answer = person.send(&path, &[("master", &*master), ("disk", disk), ("shown", shown)]).await;
        assert_eq!(answer.status, status, "{disk} {shown}: {}", answer.text);
    }
    let form = [("master", &*master), ("disk", &*disk)];
    let answer = person.send(&path, &form).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY, "nobody confirms without having seen");
    let form = [("master", &*master), ("disk", &*disk), ("shown", &*shown)];
    let ordered = person.send(&path, &form).await;
    assert_eq!(ordered.location.as_deref(), Some("/sessions/1"), "{}", ordered.text);
    let again = person.send(&path, &form).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
    assert!(again.text.contains("has a session already"), "{}", again.text);
    let page = person.read(&format!("{path}?master=debian-12")).await;
    assert!(page.contains("has a session already") && !page.contains("<button class=\"danger\""), "{page}");
}

#[tokio::test]
async fn what_has_changed_since_the_page_was_shown_is_not_erased() {
    let house = House::start().await;
    publish(&house, "debian-12").await;
    let before = workstation(MAC, "4XK2LM3", vec![disk(Some("S649NX0R"), 512 * GIB)]);
    let machine = Machine::boot(&house, MAC, before.clone()).await;
    let mut person = Person::administrator(&house, "en").await;
    let path = format!("/computers/{}/deploy", machine.computer);
    let page = person.read(&format!("{path}?master=debian-12")).await;
    let form = ["master", "disk", "shown"].map(|name| (name, field(&page, name).expect("a field")));
    let form = form.each_ref().map(|(name, value)| (*name, &**value));
    let mut other_model = before.clone();
    other_model.disks[0].facts.model = Some("Another SSD".into());
    let mut other_size = before.clone();
    other_size.disks[0].facts.size_bytes += 1 << 20;
    let mut other_content = before.clone();
    other_content.disks[0].partitions[2].filesystem = None;
    for (number, now) in [other_model, other_size, other_content].into_iter().enumerate() {
        let again = Machine::boot(&house, MAC, now).await;
        assert_eq!(again.computer, machine.computer);
        for form in [&form[..], &[form[0], form[2]]] {
            let seen = person.send(&path, form).await;
            assert_eq!(seen.status, StatusCode::CONFLICT, "change {number}: {}", seen.text);
            assert!(seen.text.contains("Nothing was ordered: look again"), "{}", seen.text);
            assert!(
                seen.text.contains(&format!("href=\"/computers/{}\"", machine.computer)),
                "{}",
                seen.text
            );
        }
    }
    Machine::boot(&house, MAC, before).await;
    assert_eq!(person.send(&path, &form).await.location.as_deref(), Some("/sessions/1"));
}

#[tokio::test]
async fn what_no_disk_can_hold_is_refused_with_the_numbers_before_there_is_a_button() {
    let house = House::start().await;
    publish(&house, "debian-12").await;
    let mut person = Person::administrator(&house, "en").await;
    let mut large_sectors = disk(Some("S4K"), 512 * GIB);
    large_sectors.facts.logical_sector = SectorSize::B4096;
    for (number, disks, sentences) in [
        (1, vec![disk(Some("SMALL"), 32 * GIB)], ["The disk is too small", "34359738368 bytes"]),
        (2, vec![large_sectors], ["sectors of 512 bytes", "sectors of 4096 bytes"]),
        (3, vec![], ["has no disk that could be meant", "on USB are never used"]),
        (
            4,
            vec![removable(disk(Some("STICK"), 512 * GIB))],
            ["no disk that could be meant", "on USB are never"],
        ),
    ] {
        let mac = MacAddr([0x52, 0x54, 0, 0, 1, number]);
        let mut report = workstation(mac, &format!("SERIAL{number}"), disks);
        report.identity.system_uuid = None;
        let machine = Machine::boot(&house, mac, report).await;
        let page = person.read(&format!("/computers/{}/deploy?master=debian-12", machine.computer)).await;
        for sentence in sentences {
            assert!(page.contains(sentence), "{sentence}: {page}");
        }
        assert!(!page.contains("class=\"danger\""), "{page}");
    }
    const { assert!(MASTER_BYTES > 32 * GIB) };
    let page = person.read("/computers/1/deploy?master=debian-12&disk=GONE").await;
    assert!(page.contains("has no disk with the serial number or WWN GONE"), "{page}");
    let seen = person.get("/computers/1/deploy?master=debian-12@7").await;
    assert_eq!(seen.status, StatusCode::NOT_FOUND);
    assert!(seen.text.contains("There is no master debian-12@7."), "{}", seen.text);
    assert!(person.read("/computers/1/deploy?master=a%20b").await.contains("A master&#39;s name has"));
}

#[tokio::test]
async fn of_several_disks_a_person_chooses_one_before_or_after_the_order() {
    let house = House::start().await;
    let disks = vec![disk(Some("FIRST"), 512 * GIB), disk(Some("SECOND"), 256 * GIB)];
    let machine = Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", disks)).await;
    publish(&house, "debian-12").await;
    let mut person = Person::administrator(&house, "en").await;
    let path = format!("/computers/{}/deploy", machine.computer);
    let page = person.read(&format!("{path}?master=debian-12")).await;
    assert!(
        page.contains("FIRST") && page.contains("SECOND") && !page.contains("class=\"danger\""),
        "{page}"
    );
    let page = person.read(&format!("{path}?master=debian-12&disk=SECOND")).await;
    assert!(!page.contains("FIRST") && page.contains("class=\"danger\""), "{page}");
    let page = person.read(&format!("{path}?master=debian-12")).await;
    let shown = field(&page, "shown").expect("both disks");
    let ordered = person.send(&path, &[("master", "debian-12"), ("shown", &*shown)]).await;
    assert_eq!(ordered.location.as_deref(), Some("/sessions/1"), "{}", ordered.text);
    let page = person.read("/sessions/1").await;
    assert!(
        page.contains("which disk?") && page.contains("FIRST") && page.contains("Basic data partition"),
        "{page}"
    );
    let answer = field(&page, "disk").expect("a candidate");
    let foreign = person.send("/sessions/1/answer", &[("disk", "0000")]).await;
    assert_eq!(foreign.status, StatusCode::CONFLICT);
    let answered = person.send("/sessions/1/answer", &[("disk", &answer)]).await;
    assert_eq!(answered.location.as_deref(), Some("/sessions/1"));
    let page = person.read("/sessions/1").await;
    assert!(page.contains("serial number FIRST") && !page.contains("type=\"radio\""), "{page}");
    let again = person.send("/sessions/1/answer", &[("disk", &answer)]).await;
    assert_eq!(again.status, StatusCode::CONFLICT);
}

#[tokio::test]
async fn a_session_is_shown_from_its_first_byte_to_its_failure() {
    let house = House::start().await;
    let machine =
        Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", vec![disk(Some("S1"), 512 * GIB)])).await;
    publish(&house, "debian-12").await;
    let mut person = Person::administrator(&house, "fr").await;
    let path = format!("/computers/{}/deploy", machine.computer);
    let page = person.read(&format!("{path}?master=debian-12")).await;
    let form = ["master", "disk", "shown"].map(|name| (name, field(&page, name).expect("a field")));
    let form = form.each_ref().map(|(name, value)| (*name, &**value));
    assert_eq!(person.send(&path, &form).await.location.as_deref(), Some("/sessions/1"));
    assert!(person.read("/sessions/1").await.contains("en attente"));
    let Orders::Deploy(order) = machine.orders(&house).await else { panic!("a deploy waits") };
    machine.heartbeat(&house, order.session, Phase::Write, 37).await;
    let page = person.read("/sessions").await;
    assert!(page.contains("max=\"100\" value=\"37\""), "{page}");
    assert!(page.contains("37\u{a0}%, 7,4\u{a0}Go sur 20\u{a0}Go"), "{page}");
    assert!(person.read("/computers").await.contains("badge running"));
    let cause = FailureCause::WriteFailed { offset_bytes: 4096, detail: "Input/output error".into() };
    machine.fail(&house, order.session, Failure { phase: Phase::Write, cause }).await;
    let page = person.read("/sessions/1").await;
    for text in ["échouée", "Échec pendant la phase", "Input/output error", "4096", "Durée"] {
        assert!(page.contains(text), "{text}: {page}");
    }
    assert!(!page.contains("<progress") && !page.contains("/sessions/1/cancel"), "{page}");
    let seen = person.send("/sessions/1/cancel", &[]).await;
    assert_eq!(seen.status, StatusCode::CONFLICT);
    assert!(seen.text.contains("Cette session est déjà terminée."), "{}", seen.text);
}

#[tokio::test]
async fn what_was_wished_on_the_page_is_ordered_and_the_end_says_what_was_done() {
    let house = House::start().await;
    let machine =
        Machine::boot(&house, MAC, workstation(MAC, "4XK2LM3", vec![disk(Some("S1"), 512 * GIB)])).await;
    publish(&house, "debian-12").await;
    let mut person = Person::administrator(&house, "en").await;
    let path = format!("/computers/{}/capture", machine.computer);
    let shown = field(&person.read(&format!("{path}?master=x")).await, "shown").expect("a disk");
    let form = |tolerated: &'static str| {
        [("master", "x"), ("disk", "S1"), ("shown", &*shown), ("tolerate_bad_sectors", tolerated)]
    };
    let refused = person.send(&path, &form("4097")).await;
    assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(refused.text.contains("between 0 and 4096"), "{}", refused.text);
    assert_eq!(person.send(&path, &form("8")).await.location.as_deref(), Some("/sessions/1"));
    let Orders::Capture(order) = machine.orders(&house).await else { panic!("a capture waits") };
    assert_eq!(order.tolerate_bad_sectors.sectors(), 8);
    person.send("/sessions/1/cancel", &[]).await;

    let path = format!("/computers/{}/deploy", machine.computer);
    let said = [("", true, "took 40.0\u{a0}s, 25\u{a0}%"), ("yes", false, "Nothing was read back")];
    for (session, (no_verify, verify, sentence)) in (2..).zip(said) {
        let page = person.read(&format!("{path}?master=debian-12")).await;
        let form = ["master", "disk", "shown"].map(|name| (name, field(&page, name).expect("a field")));
        let mut form: Vec<_> = form.iter().map(|(name, value)| (*name, &**value)).collect();
        form.extend((!no_verify.is_empty()).then_some(("no_verify", no_verify)));
        let page = format!("/sessions/{session}");
        assert_eq!(person.send(&path, &form).await.location.as_deref(), Some(&*page));
        let Orders::Deploy(order) = machine.orders(&house).await else { panic!("a deploy waits") };
        assert_eq!(order.verify, verify);
        machine.succeed(&house, order.session).await;
        let page = person.read(&page).await;
        for part in [sentence, "Took over 1\u{a0}GB of 21\u{a0}GB"] {
            assert!(page.contains(part), "{part}: {page}");
        }
    }
}

#[tokio::test]
async fn a_computer_is_renamed_and_given_a_loader_or_told_why_not() {
    let house = House::start().await;
    for (number, serial) in [(1, "FIRST"), (2, "SECOND")] {
        let mac = MacAddr([0x52, 0x54, 0, 0, 1, number]);
        let mut report = workstation(mac, serial, vec![]);
        report.identity.system_uuid = None;
        Machine::boot(&house, mac, report).await;
    }
    let mut person = Person::administrator(&house, "en").await;
    let seen = person.send("/computers/1", &[("name", " room-12-pc-1 "), ("loader", "ipxe")]).await;
    assert_eq!(seen.location.as_deref(), Some("/computers/1"));
    let page = person.read("/computers/1").await;
    assert!(page.contains("<h1>room-12-pc-1</h1>") && page.contains("value=\"ipxe\" checked"), "{page}");
    assert!(page.contains("it refuses iPXE"), "Secure Boot is on: {page}");
    assert!(!person.read("/computers/2").await.contains("it refuses iPXE"));
    for (form, status, sentence) in [
        (
            [("name", "room-12-pc-1"), ("loader", "ipxe")],
            StatusCode::CONFLICT,
            "is named room-12-pc-1 already",
        ),
        ([("name", "salle 12"), ("loader", "ipxe")], StatusCode::UNPROCESSABLE_ENTITY, "unaccented letters"),
        ([("name", "x"), ("loader", "lilo")], StatusCode::UNPROCESSABLE_ENTITY, "cannot be read"),
    ] {
        let seen = person.send("/computers/2", &form).await;
        assert_eq!(seen.status, status);
        assert!(seen.text.contains(sentence), "{sentence}: {}", seen.text);
    }
    for path in ["/computers/9", "/computers/x", "/sessions/9", "/nothing"] {
        assert_eq!(person.get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn assets_are_kept_by_browsers_and_named_by_their_content() {
    let house = House::start().await;
    let mut stranger = Person::new(&house, "en");
    let page = stranger.read("/setup").await;
    for kind in ["css", "js", "svg"] {
        let (_, rest) = page.split_once(&format!("/assets/mimeo.{kind}?")).expect("is used");
        let revision = rest.split('"').next().expect("a revision");
        assert_eq!(revision.len(), 16);
        let seen = stranger.get(&format!("/assets/mimeo.{kind}?{revision}")).await;
        assert_eq!(seen.status, StatusCode::OK);
        assert!(seen.headers["cache-control"].to_str().expect("text").contains("immutable"));
    }
    assert!(!page.contains("style=") && !page.contains("<style") && !page.contains("onclick"), "{page}");
}
