//! An isolated switch: a bridge in a network namespace of its own, with PCs and servers plugged into it.
//!
//! ```text
//!  namespace mimeo-<pid>-<label>          namespace mimeo-<pid>-<label>.<host>
//!  ┌───────────────────────────┐          ┌──────────────────────┐
//!  │ tap0  tap1 …   br0   v-0 ─┼──────────┼─ eth0  192.0.2.1/24  │   one such per server
//!  └──┬─────┬──────────────────┘          └──────────────────────┘
//!    PC A  PC B   (QEMU runs inside the switch's namespace)
//! ```
//!
//! Nothing here can reach the real network, so any DHCP server may be tried. Servers have a namespace each because
//! two of them cannot both hold port 67 in one.

use std::{
    io,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
};

use thiserror::Error;

use crate::process::{self, ProcessError};

const PREFIX: &str = "mimeo";

#[derive(Debug, Error)]
pub enum NetworkError {
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("entering the namespace {name}: {source}")]
    Enter { name: String, source: io::Error },
}

/// A switch. Dropping it takes it away, once the machines and hosts on it are dropped.
#[derive(Debug)]
pub struct Switch {
    namespace: Namespace,
    ports: AtomicU32,
}

impl Switch {
    /// Makes a switch; `label` is for people who look at `ip netns`.
    pub fn create(label: &str) -> Result<Switch, NetworkError> {
        static CREATED: AtomicU32 = AtomicU32::new(0);
        sweep()?;
        let number = CREATED.fetch_add(1, Ordering::Relaxed);
        let namespace = Namespace::create(format!("{PREFIX}-{}-{label}{number}", std::process::id()))?;
        namespace.ip("link set lo up")?;
        // Without its own queries and without the forwarding delay of the spanning tree, as an office switch
        // whose ports are set to "edge".
        namespace.ip("link add br0 type bridge forward_delay 0 stp_state 0 mcast_snooping 0")?;
        namespace.ip("link set br0 up")?;
        Ok(Switch { namespace, ports: AtomicU32::new(0) })
    }

    /// Plugs a server in, in a namespace of its own with the address `address`/`prefix_length` on `eth0`.
    pub fn host(&self, label: &str, address: Ipv4Addr, prefix_length: u8) -> Result<Host, NetworkError> {
        let namespace = Namespace::create(format!("{}.{label}", self.namespace.name))?;
        let port = format!("v-{}", self.next_port());
        self.namespace.ip(&format!("link add {port} type veth peer name eth0 netns {}", namespace.name))?;
        self.namespace.ip(&format!("link set {port} master br0 up"))?;
        namespace.ip("link set lo up")?;
        namespace.ip(&format!("address add {address}/{prefix_length} broadcast + dev eth0"))?;
        namespace.ip("link set eth0 up")?;
        Ok(Host { namespace, address })
    }

    /// Makes a port that QEMU can open, and returns the name of its tap.
    pub fn tap(&self) -> Result<String, NetworkError> {
        let tap = format!("tap{}", self.next_port());
        self.namespace.ip(&format!("tuntap add {tap} mode tap"))?;
        self.namespace.ip(&format!("link set {tap} master br0 up"))?;
        Ok(tap)
    }

    /// A command that runs on the switch itself, where the taps are.
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    fn next_port(&self) -> u32 {
        self.ports.fetch_add(1, Ordering::Relaxed)
    }
}

/// A server on a switch.
#[derive(Debug)]
pub struct Host {
    namespace: Namespace,
    address: Ipv4Addr,
}

impl Host {
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The namespace's name, for `ip netns`.
    pub fn namespace(&self) -> &str {
        &self.namespace.name
    }

    /// A command that runs on this host.
    pub fn command(&self, program: &str) -> Command {
        self.namespace.command(program)
    }

    /// Runs a function on a thread of its own whose sockets belong to this host.
    pub fn run<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
        let path = Path::new("/run/netns").join(&self.namespace.name);
        let enter = || -> io::Result<()> {
            let namespace = std::fs::File::open(&path)?;
            Ok(nix::sched::setns(namespace, nix::sched::CloneFlags::CLONE_NEWNET)?)
        };
        let thread = |work: Box<dyn FnOnce() -> T + Send + '_>| match enter() {
            Ok(()) => Ok(work()),
            Err(source) => Err(NetworkError::Enter { name: self.namespace.name.clone(), source }),
        };
        std::thread::scope(|scope| match scope.spawn(|| thread(Box::new(work))).join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    }
}

/// Takes away what programs that no longer live have left: their processes, then their namespaces.
pub fn sweep() -> Result<(), NetworkError> {
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name).is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            Namespace { name }.remove()?;
        }
    }
    Ok(())
}

/// Takes away everything that this program made, for one that is told to end in the middle of its work.
pub fn clear() {
    let own = std::process::id();
    for entry in std::fs::read_dir("/run/netns").into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if owner(&name) == Some(own) {
            // The value elsewhere that stands for the namespace finds it gone, or never gets to look.
            drop(Namespace { name });
        }
    }
}

/// The process that made a namespace of ours.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix(PREFIX)?.strip_prefix('-')?.split_once('-')?.0.parse().ok()
}

#[derive(Debug)]
struct Namespace {
    name: String,
}

impl Namespace {
    fn create(name: String) -> Result<Namespace, NetworkError> {
        process::run(Command::new("ip").args(["netns", "add", &name]))?;
        Ok(Namespace { name })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]);
        command
    }

    fn ip(&self, arguments: &str) -> Result<(), NetworkError> {
        let mut command = Command::new("ip");
        command.args(["-n", &self.name]).args(arguments.split_whitespace());
        process::run(&mut command)?;
        Ok(())
    }

    /// Ends what still runs inside (all of it was started by whoever made the namespace), then deletes it.
    fn remove(&self) -> Result<(), NetworkError> {
        let mut list = Command::new("ip");
        let Ok(pids) = process::run(list.args(["netns", "pids", &self.name])) else {
            return Ok(()); // another sweep was faster
        };
        for pid in pids.split_whitespace().filter_map(|pid| pid.parse().ok()) {
            // Fails when the process ended meanwhile.
            let _killed = nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::SIGKILL);
        }
        let removed = process::run(Command::new("ip").args(["netns", "delete", &self.name]));
        let gone = !Path::new("/run/netns").join(&self.name).exists();
        if gone { Ok(()) } else { removed.map(drop).map_err(NetworkError::from) }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What cannot be removed now is swept by the next run.
        let _removed = self.remove();
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::net::{SocketAddr, UdpSocket};
    use std::process::Stdio;

    use super::*;

    fn namespaces() -> Vec<String> {
        let entries = std::fs::read_dir("/run/netns").unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn hosts_on_one_switch_hear_each_other_and_nothing_is_left() {
        let switch = Switch::create("pair").unwrap();
        let one = switch.host("one", Ipv4Addr::new(192, 0, 2, 1), 24).unwrap();
        let two = switch.host("two", Ipv4Addr::new(192, 0, 2, 2), 24).unwrap();
        let listener = one.run(|| UdpSocket::bind("0.0.0.0:67").unwrap()).unwrap();
        let speaker = two.run(|| UdpSocket::bind("0.0.0.0:67").unwrap()).unwrap();
        speaker.set_broadcast(true).unwrap();
        speaker.send_to(b"who is there", "192.0.2.255:67").unwrap();
        listener.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let mut bytes = [0; 64];
        let (length, from) = listener.recv_from(&mut bytes).unwrap();
        assert_eq!(&bytes[..length], b"who is there");
        assert_eq!(from, SocketAddr::from((two.address(), 67)));
        let names = [one.namespace().to_owned(), two.namespace().to_owned(), switch.namespace.name.clone()];
        assert!(names.iter().all(|name| namespaces().contains(name)));
        drop((speaker, listener, two, one, switch));
        assert!(names.iter().all(|name| !namespaces().contains(name)));
    }

    #[test]
    fn two_switches_do_not_hear_each_other() {
        let address = Ipv4Addr::new(192, 0, 2, 1);
        let near = Switch::create("near").unwrap();
        let far = Switch::create("far").unwrap();
        let listener =
            near.host("h", address, 24).unwrap().run(|| UdpSocket::bind("0.0.0.0:67").unwrap()).unwrap();
        let speaker = far.host("h", Ipv4Addr::new(192, 0, 2, 2), 24).unwrap();
        let arp = process::run(speaker.command("ping").args(["-c", "1", "-W", "1", "192.0.2.1"]));
        assert!(arp.is_err());
        drop(listener);
    }

    #[test]
    fn what_a_dead_run_left_is_swept_with_its_processes() {
        let mut dead = Command::new("true").spawn().unwrap();
        let pid = dead.id();
        assert!(dead.wait().unwrap().success());
        let left = Namespace::create(format!("{PREFIX}-{pid}-left")).unwrap();
        let name = left.name.clone();
        let mut shell = left.command("sh");
        let mut stray =
            shell.args(["-c", "echo inside; exec sleep 600"]).stdout(Stdio::piped()).spawn().unwrap();
        // Until then `ip` is on its way into the namespace, and a sweep does not know that it belongs there.
        let mut said = [0; 6];
        stray.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        std::mem::forget(left);
        sweep().unwrap();
        assert!(!namespaces().contains(&name));
        assert!(!stray.wait().unwrap().success());
    }

    #[test]
    fn only_our_names_have_an_owner() {
        let cases = [
            ("mimeo-12-x0", Some(12)),
            ("mimeo-12-x0.web", Some(12)),
            ("mimeo-x", None),
            ("other-12-x", None),
        ];
        for (name, expected) in cases {
            assert_eq!(owner(name), expected, "{name}");
        }
    }
}
