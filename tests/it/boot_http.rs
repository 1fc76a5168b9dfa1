//! Boot files over HTTP as curl sees them, and the disk image of UEFI HTTP boot as mtools and fsck see it.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use mimeo_core::{
    ids::{MacAddr, Secret},
    messages::Language,
};
use mimeo_server::{
    boot::{
        artefacts::{Artefact, Artefacts, LIST_NAME, names},
        files::BootFiles,
        firmware::Architecture,
        http,
        machines::Machines,
        menu::Settings,
        target::{BootSource, BootTarget, LoaderChoice, Machine, Menu},
        tftp::{Files as _, packet::FileName},
    },
    clock::Timestamp,
    config::kernel_options::KernelOptions,
    events::{Event, Events},
    listener::{self, Transport},
};
use tokio::net::TcpListener;

use crate::background::{Background, run};

const MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0x12, 0x34, 0x56]);
const OTHER_MAC: MacAddr = MacAddr([0x52, 0x54, 0, 0, 0, 0x99]);

/// Large enough to be sent in many writes.
const KERNEL_BYTES: usize = 9_000_001;

/// Sends one machine into the client and all others to the menu, and remembers who asked.
#[derive(Default)]
struct TestSource {
    asked: Mutex<Vec<Machine>>,
}

#[async_trait]
impl BootSource for TestSource {
    async fn boot_target(&self, machine: &Machine) -> BootTarget {
        self.asked.lock().expect("no panic elsewhere").push(machine.clone());
        if machine.mac == MAC {
            return BootTarget::Client { token: token() };
        }
        let computer_name = Some("poste \"07\"".into());
        BootTarget::Menu(Menu { computer_name, token: token(), timeout_seconds: 10, language: Language::Fr })
    }

    async fn loader(&self, _mac: MacAddr) -> LoaderChoice {
        LoaderChoice::default()
    }
}

fn token() -> Secret {
    Secret::from_random([0xcd; 32])
}

/// Random bytes for a file, the same on every call.
fn content(name: &str) -> Vec<u8> {
    let length = if name == names::KERNEL { KERNEL_BYTES } else { 100_000 + name.len() };
    let mut content = vec![0; length];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut content);
    content
}

fn load_artefacts() -> Artefacts {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str| {
        let content = content(name);
        std::fs::write(folder.path().join(name), &content).expect("writing an artefact");
        Artefact {
            name: name.into(),
            bytes: content.len() as u64,
            blake3: blake3::hash(&content).to_hex().to_string(),
            package: "test".into(),
            version: "1".into(),
        }
    };
    let list: Vec<_> = names::REQUIRED.iter().map(|name| write(name)).collect();
    let text = serde_json::json!({ "artefacts": list }).to_string();
    std::fs::write(folder.path().join(LIST_NAME), text).expect("writing the list");
    Artefacts::load(folder.path(), "the appliance's certificate", Timestamp(0)).expect("good artefacts")
}

struct Served {
    address: SocketAddr,
    files: Arc<BootFiles>,
    source: Arc<TestSource>,
    machines: Machines,
    events: Events,
    folder: tempfile::TempDir,
    background: Background,
}

fn serve() -> Served {
    let background = Background::new();
    let listener = background.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    let address = listener.local_addr().expect("its address");
    let SocketAddr::V4(boot_http) = address else { panic!("an IPv4 address") };
    let settings = Settings {
        boot_http,
        api: "10.0.0.1:8443".parse().expect("an address"),
        kernel_options: KernelOptions::parse("quiet").expect("an option"),
        language: Language::En,
    };
    let (source, machines, events) = (Arc::new(TestSource::default()), Machines::default(), Events::new());
    let artefacts = Arc::new(load_artefacts());
    let files = BootFiles::new(artefacts, source.clone(), machines.clone(), events.clone(), settings)
        .expect("an image");
    let files = Arc::new(files);
    let router = http::router(files.clone());
    background.spawn(listener::serve(listener, Transport::Plain, router, http::LIMITS, background.stop()));
    let folder = tempfile::tempdir().expect("a folder");
    Served { address, files, source, machines, events, folder, background }
}

/// Runs a program that must succeed; what it printed.
fn output(folder: &Path, program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = run(folder, 60, program, arguments);
    assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
    output.stdout
}

impl Served {
    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Head and body of curl's answer.
    fn curl(&self, arguments: &[&str], path: &str) -> (String, Vec<u8>) {
        let url = self.url(path);
        let mut all = vec!["-sS", "-D", "head", "-o", "body"];
        all.extend_from_slice(arguments);
        all.push(&url);
        output(self.folder.path(), "curl", &all);
        let read = |name| std::fs::read(self.folder.path().join(name)).unwrap_or_default();
        let answer = (String::from_utf8(read("head")).expect("a head").to_lowercase(), read("body"));
        std::fs::remove_file(self.folder.path().join("body")).ok();
        answer
    }
}

#[test]
fn artefacts_are_fetched_whole_and_in_parts() {
    let served = serve();
    let kernel = content(names::KERNEL);
    let (head, body) = served.curl(&[], "/boot/files/vmlinuz");
    assert!(head.starts_with("http/1.1 200 ok") && head.contains("content-length: 9000001\r\n"), "{head}");
    assert!(head.contains("accept-ranges: bytes"), "{head}");
    assert!(body == kernel, "the kernel differs");

    let (head, body) = served.curl(&["-r", "1000-1999"], "/boot/files/vmlinuz");
    assert!(head.starts_with("http/1.1 206"), "{head}");
    assert!(
        head.contains("content-range: bytes 1000-1999/9000001\r\n")
            && head.contains("content-length: 1000\r\n")
    );
    assert!(body == kernel[1000..2000]);
    let (_, body) = served.curl(&["-r", "-10"], "/boot/files/vmlinuz");
    assert!(body == kernel[KERNEL_BYTES - 10..]);
    let (head, _) = served.curl(&["-r", "9000001-"], "/boot/files/vmlinuz");
    assert!(head.starts_with("http/1.1 416") && head.contains("content-range: bytes */9000001"), "{head}");

    let (head, body) = served.curl(&["-I"], "/boot/files/vmlinuz");
    assert!(head.starts_with("http/1.1 200") && head.contains("content-length: 9000001\r\n"), "{head}");
    // With -I curl writes the head where the body would go.
    assert!(body.starts_with(b"HTTP/1.1 200"));

    let (head, _) = served.curl(&[], "/boot/files/snponly.efi");
    assert!(head.contains("content-type: application/efi\r\n"), "firmware boots it by HTTP: {head}");

    let (_, body) = served.curl(&[], "/boot/files/initramfs");
    assert!(body.starts_with(b"070701") && body.ends_with(&content(names::INITRAMFS_FIRST)));
}

#[test]
fn errors_have_a_body_and_close_the_connection() {
    let served = serve();
    for (path, status) in [
        ("/", "404"),
        ("/boot/files/", "404"),
        ("/boot/files/nothing", "404"),
        ("/boot/files/..%2f..%2fetc%2fpasswd", "404"),
        ("/boot/files/manifest.json", "404"),
        ("/boot/ipxe/nonsense", "400"),
        ("/boot/uefi/52:54:00:12:34:56.iso", "400"),
    ] {
        let (head, body) = served.curl(&["--path-as-is"], path);
        assert!(head.starts_with(&format!("http/1.1 {status}")), "{path}: {head}");
        assert!(head.contains("connection: close\r\n"), "{path}: {head}");
        assert!(
            head.contains(&format!("content-length: {}\r\n", body.len())) && !body.is_empty(),
            "{path}: {head}"
        );
    }
    let (head, body) = served.curl(&["-X", "PUT", "-d", "x"], "/boot/files/vmlinuz");
    assert!(
        head.starts_with("http/1.1 405") && head.contains("connection: close") && !body.is_empty(),
        "{head}"
    );
}

#[test]
fn ipxe_gets_the_script_of_its_machine() {
    let served = serve();
    let mut events = served.events.listen();
    let uuid = "4C4C4544-0044-3510-8052-B4C04F564432";
    let (head, body) = served.curl(&[], &format!("/boot/ipxe/52-54-00-12-34-56?uuid={uuid}&platform=efi"));
    let script = String::from_utf8(body).expect("text");
    assert!(head.starts_with("http/1.1 200") && script.starts_with("#!ipxe\n"), "{head}{script}");
    let arguments = format!("mimeo.server=10.0.0.1:8443 mimeo.token={} quiet", token().reveal());
    assert!(script.contains(&arguments), "{script}");
    assert!(script.contains(&format!("http://{}/boot/files", served.address)), "{script}");

    let asked = served.source.asked.lock().expect("no panic elsewhere").pop().expect("the source was asked");
    assert_eq!((asked.mac, asked.architecture), (MAC, Architecture::UefiX64));
    assert_eq!(asked.uuid.as_deref(), Some("4c4c4544-0044-3510-8052-b4c04f564432"));
    assert_eq!(asked.address, Some(Ipv4Addr::LOCALHOST));
    assert_eq!(events.try_recv().ok(), Some(Event::MachineBooted { mac: MAC, target: "client".into() }));

    let (_, body) = served.curl(&[], "/boot/ipxe/52:54:00:00:00:99");
    let script = String::from_utf8(body).expect("text");
    assert!(script.contains("menu Mimeo - poste ?07?\n"), "{script}");
}

#[test]
fn grub_gets_the_configuration_of_its_machine_over_tftp() {
    let served = serve();
    let peer = Ipv4Addr::new(10, 0, 0, 7);
    let fetch = |name: &str| {
        let name = FileName::parse(name.as_bytes()).expect("a name");
        let content = served.background.block_on(served.files.open(&name, peer))?;
        Some(String::from_utf8(content.to_vec()).expect("text"))
    };
    assert_eq!(fetch("/grub/x86_64-efi/grub.cfg"), None);
    assert_eq!(
        fetch("/grub/grub.cfg").as_deref(),
        Some("source ($root)/grub/machine/$net_default_mac.cfg\n")
    );
    let client = fetch("/grub/machine/52:54:00:12:34:56.cfg").expect("a configuration");
    assert!(client.contains(&token().reveal()), "{client}");

    // Without a hardware address in the name, the machine is the one that DHCP saw behind the address.
    assert_eq!(fetch("/grub/machine/.cfg"), None);
    let known =
        Machine { mac: OTHER_MAC, uuid: None, architecture: Architecture::UefiX64, address: Some(peer) };
    served.machines.record(&known, Timestamp(1));
    let menu = fetch("/grub/machine/.cfg").expect("a configuration");
    assert!(menu.contains("poste ?07?"), "{menu}");
    assert!(fetch("autoexec.ipxe").is_some_and(|script| script.contains("/boot/ipxe/${netX/mac}")));
}

#[test]
fn the_disk_image_is_sound_and_holds_what_this_machine_boots() {
    let served = serve();
    let mut events = served.events.listen();
    let (head, _) = served.curl(&["-I"], "/boot/uefi/52-54-00-12-34-56.img");
    assert!(events.try_recv().is_err(), "to ask for the length is no boot yet");
    let (full_head, image) = served.curl(&[], "/boot/uefi/52-54-00-12-34-56.img");
    assert_eq!(events.try_recv().ok(), Some(Event::MachineBooted { mac: MAC, target: "client".into() }));
    for head in [head, full_head] {
        assert!(head.contains(&format!("content-length: {}\r\n", image.len())), "{head}");
        assert!(head.contains("content-type: application/vnd.efi-img\r\n"), "{head}");
    }
    let folder = served.folder.path();
    std::fs::write(folder.join("image"), &image).expect("writing the image");
    output(folder, "fsck.fat", &["-n", "-v", "image"]);
    let listing =
        String::from_utf8_lossy(&output(folder, "mdir", &["-b", "-/", "-i", "image", "::"])).to_lowercase();
    assert!(
        listing.contains("::/efi/boot/bootx64.efi") && listing.contains("::/efi/debian/grub.cfg"),
        "{listing}"
    );
    let file = |path: &str| output(folder, "mtype", &["-i", "image", &format!("::/{path}")]);
    assert!(file("EFI/BOOT/BOOTX64.EFI") == content(names::SHIM));
    assert!(file("EFI/BOOT/grubx64.efi") == content(names::GRUB_DISK));
    assert!(file("mimeo/vmlinuz") == content(names::KERNEL));
    assert!(file("mimeo/initrd").ends_with(&content(names::INITRAMFS_FIRST)));
    let config = String::from_utf8(file("EFI/debian/grub.cfg")).expect("text");
    assert!(config.contains("linux ($home)/mimeo/vmlinuz mimeo.server=10.0.0.1:8443"), "{config}");

    // A part would be of an image with another token than the one that broke off.
    let (head, again) = served.curl(&["-r", "100-"], "/boot/uefi/52-54-00-12-34-56.img");
    assert!(head.starts_with("http/1.1 200") && !head.contains("accept-ranges"), "{head}");
    assert_eq!(again.len(), image.len());

    let (_, other) = served.curl(&[], "/boot/uefi/52-54-00-00-00-99.img");
    assert_eq!(other.len(), image.len());
    assert!(other != image, "another machine, another configuration");
}

#[test]
fn connections_that_only_sit_there_keep_nobody_out() {
    let served = serve();
    let idle: Vec<_> = (0..60)
        .map(|_| {
            let mut stream = TcpStream::connect(served.address).expect("a connection");
            // Refused ones may be closed already.
            let _sent = stream.write_all(b"GET /boot/files/vmlinuz HTTP/1.1\r\nHost: ");
            stream
        })
        .collect();
    for interface in ["127.0.0.2", "127.0.0.1"] {
        let (head, _) = served.curl(&["--interface", interface], "/boot/files/shimx64.efi");
        assert!(head.starts_with("http/1.1 200"), "{head}");
    }
    let mut refused = 0;
    for mut stream in idle {
        stream.set_read_timeout(Some(Duration::from_millis(100))).expect("a time-out");
        refused += u32::from(
            !matches!(stream.read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock),
        );
    }
    assert_eq!(refused, 60 - 31, "of one address 32 connections are served, the last of them curl's");
}

#[test]
fn an_oversized_head_is_refused() {
    let served = serve();
    let mut stream = TcpStream::connect(served.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time-out");
    let _sent = stream.write_all(b"GET /boot/files/vmlinuz HTTP/1.1\r\nHost: x\r\n");
    for number in 0..4000 {
        if stream.write_all(format!("X-{number}: {number}\r\n").as_bytes()).is_err() {
            break;
        }
    }
    let mut answer = Vec::new();
    let _read = stream.read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{}", String::from_utf8_lossy(&answer));
    let (head, _) = served.curl(&[], "/boot/files/shimx64.efi");
    assert!(head.starts_with("http/1.1 200"), "{head}");
}
