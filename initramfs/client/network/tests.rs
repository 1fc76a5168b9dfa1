//! Against dnsmasq, over virtual cards in namespaces of their own. Needs root.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    mount::{MsFlags, mount},
    sched::{CloneFlags, unshare},
};

use super::{
    Progress, connect,
    dhcp::Lease,
    interface::{Interface, Setup},
    keep_lease,
    socket::{DhcpError, acquire},
};

const SERVER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// The far side: a network namespace with a DHCP server, which ends with this value.
struct FarSide {
    holder: Child,
    dnsmasq: Option<Child>,
}

impl Drop for FarSide {
    fn drop(&mut self) {
        for child in self.dnsmasq.iter_mut().chain([&mut self.holder]) {
            let _gone = child.kill();
            let _status = child.wait();
        }
    }
}

fn sh(script: &str) {
    let status = Command::new("/bin/sh").args(["-ec", script]).status().expect("a shell");
    assert!(status.success(), "{script}");
}

/// Moves this thread to namespaces of its own, where `first` has a cable to nobody and `second` one to the far side.
fn cable() -> FarSide {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWNS).expect("namespaces need root");
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None::<&str>)
        .expect("private");
    mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>)
        .expect("this namespace's cards");
    let holder = Command::new("unshare").args(["-n", "sleep", "600"]).spawn().expect("util-linux");
    let far = holder.id();
    let own = fs::read_link("/proc/thread-self/ns/net").expect("a namespace");
    // The holder has its namespace only once it runs its program.
    while fs::read_link(format!("/proc/{far}/ns/net")).is_ok_and(|net| net == own) {
        thread::yield_now();
    }
    sh(&format!(
        "ip link set lo up; ip link add first type veth peer name nobody; ip link set nobody up
         ip link add second type veth peer name served; ip link set served netns {far}
         nsenter -t {far} -n ip address add {SERVER}/24 dev served; nsenter -t {far} -n ip link set served up"
    ));
    FarSide { holder, dnsmasq: None }
}

impl FarSide {
    fn serve_dhcp(&mut self, more: &[&str]) {
        let far = self.holder.id().to_string();
        let dnsmasq = Command::new("nsenter")
            .args(["-t", &far, "-n", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--port=0"])
            .args([
                "--dhcp-range=10.99.0.50,10.99.0.59,255.255.255.0,2m",
                "--dhcp-authoritative",
                "--no-ping",
            ])
            .args(["--leasefile-ro", "--pid-file", "--user=root"])
            .args(more)
            .stderr(Stdio::null())
            .spawn();
        self.dnsmasq = Some(dnsmasq.expect("dnsmasq-base"));
    }
}

fn card(name: &str) -> Interface {
    let read = |file| fs::read_to_string(format!("/sys/class/net/{name}/{file}")).expect("a card");
    Interface {
        name: name.to_owned(),
        index: read("ifindex").trim().parse().expect("a number"),
        mac: read("address").trim().parse().expect("an address"),
    }
}

fn addresses(name: &str) -> String {
    let output = Command::new("ip").args(["-4", "-o", "address", "show", name]).output().expect("iproute2");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn a_dead_card_costs_the_good_one_nothing_and_a_card_may_come_late() {
    let mut far = cable();
    far.serve_dhcp(&[]);
    let listener = format!("nsenter -t {} -n python3 -m http.server 8000 >/dev/null 2>&1", far.holder.id());
    let mut listener =
        Command::new("/bin/sh").args(["-c", &format!("exec {listener}")]).spawn().expect("a shell");
    let gone = Interface { name: "gone".to_owned(), index: 9999, mac: card("first").mac };
    let (first, second) = (card("first"), card("second"));
    let mut looks = 0;
    let said = std::sync::Mutex::new(Vec::new());
    let started = Instant::now();
    let found = connect(
        SocketAddr::from((SERVER, 8000)),
        &mut || {
            looks += 1;
            match looks {
                1 => vec![],
                2 => vec![gone.clone(), first.clone()],
                _ => vec![gone.clone(), first.clone(), second.clone()],
            }
        },
        &|progress| said.lock().unwrap().push(progress),
    );
    let _gone = listener.kill();
    let _status = listener.wait();
    let connection = found.expect("a connection");
    assert_eq!(connection.interface.name, "second");
    assert!(
        started.elapsed() < Duration::from_secs(12),
        "the dead card was waited for: {:?}",
        started.elapsed()
    );
    assert!(addresses("second").contains(&connection.lease.address.to_string()));
    let said = said.into_inner().unwrap();
    assert_eq!(said[0], Progress::NoCard);
    assert!(said.contains(&Progress::Asking("first, second".into())), "{said:?}");
    assert!(matches!(said.last(), Some(Progress::Reaching { card, .. }) if card == "second"), "{said:?}");
}

#[test]
fn an_address_that_is_refused_is_taken_away_and_replaced() {
    let mut far = cable();
    far.serve_dhcp(&[]);
    let setup = Setup::new().expect("netlink");
    let second = card("second");
    setup.up(&second).expect("up");
    // An address of another network, as after a move to another switch port: the server refuses to renew it.
    let lease = Lease {
        address: Ipv4Addr::new(10, 99, 0, 200),
        prefix_length: 24,
        routes: vec![],
        mtu: None,
        server: SERVER,
        duration: Duration::from_secs(4),
    };
    setup.configure(&second, &lease).expect("configured");
    keep_lease(setup, super::Connection { interface: second, lease });
    let until = Instant::now() + Duration::from_secs(20);
    while !addresses("second").contains("10.99.0.5") && Instant::now() < until {
        thread::sleep(Duration::from_millis(50));
    }
    let now = addresses("second");
    assert!(now.contains("10.99.0.5") && !now.contains("10.99.0.200"), "{now}");
}

#[test]
fn an_address_that_somebody_uses_is_declined_and_routes_come_with_the_next() {
    let mut far = cable();
    let setup = Setup::new().expect("netlink");
    let second = card("second");
    // A host that took the address by hand: the far side answers ARP for it, and dnsmasq knows nothing of that.
    sh(&format!(
        "nsenter -t {0} -n ip link set lo up; nsenter -t {0} -n ip address add 10.99.0.55/32 dev lo",
        far.holder.id()
    ));
    far.serve_dhcp(&[
        &format!("--dhcp-host={},10.99.0.55", second.mac),
        "--dhcp-option=option:router,10.99.0.254",
        "--dhcp-option=121,10.17.0.0/16,10.99.0.2,0.0.0.0/0,10.99.0.1",
    ]);
    setup.up(&second).expect("up");
    let over = std::sync::atomic::AtomicBool::new(false);
    // Told to the server within a second, with no time left for another. A machine that is busy may take longer to
    // start the server.
    let until = Instant::now() + Duration::from_secs(20);
    let error = loop {
        match acquire(&second, Duration::from_secs(1), &over).expect_err("it is taken") {
            DhcpError::NoAnswer(_) if Instant::now() < until => {}
            error => break error,
        }
    };
    let DhcpError::AddressTaken { address, .. } = error else { panic!("{error}") };
    assert_eq!(address, Ipv4Addr::new(10, 99, 0, 55));
    let lease = acquire(&second, Duration::from_secs(15), &over).expect("another address");
    assert_ne!(lease.address, Ipv4Addr::new(10, 99, 0, 55));
    setup.configure(&second, &lease).expect("configured");
    let routes = Command::new("ip").args(["-4", "route", "show"]).output().expect("iproute2").stdout;
    let routes = String::from_utf8(routes).expect("text");
    for part in ["default via 10.99.0.1 dev second", "10.17.0.0/16 via 10.99.0.2 dev second"] {
        assert!(routes.contains(part), "{part} is missing:\n{routes}");
    }
    assert!(
        !routes.contains("10.99.0.254"),
        "the router counts for nothing beside classless routes:\n{routes}"
    );
}
