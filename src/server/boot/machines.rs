//! Which machine is behind an address: learned from DHCP, asked by TFTP and HTTP.
//!
//! GRUB and UEFI's HTTP boot name nobody when they fetch a file, so the address they come from has to tell.

use std::{
    collections::HashMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use mimeo_core::ids::MacAddr;

use super::target::Machine;
use crate::clock::Timestamp;

/// How many machines are remembered: every PC of a large site starting at once. The one heard of longest ago
/// makes room, so a flood of invented addresses costs memory for this many and no more.
const MACHINES_MAX: usize = 8192;

/// The machines heard of lately. Cloning gives another handle to the same.
#[derive(Debug, Clone, Default)]
pub struct Machines {
    known: Arc<Mutex<Known>>,
}

#[derive(Debug, Default)]
struct Known {
    by_mac: HashMap<MacAddr, (Machine, Timestamp)>,
    by_address: HashMap<Ipv4Addr, MacAddr>,
}

impl Machines {
    /// Notes what a machine said of itself. What it leaves out this time (iPXE sends no architecture of the
    /// firmware, a first DISCOVER no address) stays as it was known.
    pub fn record(&self, machine: &Machine, now: Timestamp) {
        let mut known = self.lock();
        let before = known.by_mac.get(&machine.mac).map(|(before, _)| before.clone());
        let mut machine = machine.clone();
        if let Some(before) = before {
            let still_its_own = |address: &Ipv4Addr| known.by_address.get(address) == Some(&machine.mac);
            machine.address = machine.address.or(before.address.filter(still_its_own));
            machine.uuid = machine.uuid.or(before.uuid);
            known.forget_address(before.address, machine.mac);
        } else if known.by_mac.len() >= MACHINES_MAX {
            known.forget_oldest();
        }
        if let Some(address) = machine.address {
            known.by_address.insert(address, machine.mac);
        }
        known.by_mac.insert(machine.mac, (machine, now));
    }

    pub fn by_mac(&self, mac: MacAddr) -> Option<Machine> {
        self.lock().by_mac.get(&mac).map(|(machine, _)| machine.clone())
    }

    /// The machine that used `address` last.
    pub fn by_address(&self, address: Ipv4Addr) -> Option<Machine> {
        let known = self.lock();
        let mac = known.by_address.get(&address)?;
        known.by_mac.get(mac).map(|(machine, _)| machine.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // Every change is complete before the lock is released, so a panic elsewhere leaves it usable.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn forget_oldest(&mut self) {
        let oldest = self.by_mac.iter().min_by_key(|(_, (_, heard))| *heard).map(|(mac, _)| *mac);
        if let Some((machine, _)) = oldest.and_then(|mac| self.by_mac.remove(&mac)) {
            self.forget_address(machine.address, machine.mac);
        }
    }

    /// Unties an address from a machine, unless another has taken it over since.
    fn forget_address(&mut self, address: Option<Ipv4Addr>, mac: MacAddr) {
        if let Some(address) = address.filter(|address| self.by_address.get(address) == Some(&mac)) {
            self.by_address.remove(&address);
        }
    }
}

#[cfg(test)]
mod tests {
    use mimeo_core::ids::MacAddr;

    use super::{MACHINES_MAX, Machines};
    use crate::{
        boot::{firmware::Architecture, target::Machine},
        clock::Timestamp,
    };

    fn machine(number: u32, address: Option<[u8; 4]>) -> Machine {
        let [a, b, c, d] = number.to_be_bytes();
        let mac = MacAddr([2, 0, a, b, c, d]);
        Machine { mac, uuid: None, architecture: Architecture::Bios, address: address.map(Into::into) }
    }

    #[test]
    fn an_address_tells_the_machine_that_used_it_last() {
        let machines = Machines::default();
        machines.record(&machine(1, Some([10, 0, 0, 1])), Timestamp(1));
        machines.record(&machine(2, Some([10, 0, 0, 1])), Timestamp(2));
        machines.record(&machine(1, None), Timestamp(3));
        assert_eq!(machines.by_address([10, 0, 0, 1].into()).map(|m| m.mac), Some(machine(2, None).mac));
    }

    #[test]
    fn what_a_machine_leaves_out_stays_known() {
        let machines = Machines::default();
        machines.record(&Machine { uuid: Some("u".into()), ..machine(1, Some([10, 0, 0, 1])) }, Timestamp(1));
        machines.record(&machine(1, None), Timestamp(2));
        let known = machines.by_address([10, 0, 0, 1].into()).expect("known by its address");
        assert_eq!(known.uuid.as_deref(), Some("u"));
    }

    #[test]
    fn a_flood_of_machines_pushes_out_the_oldest_only() {
        let machines = Machines::default();
        for number in 0..=MACHINES_MAX as u32 {
            machines.record(&machine(number, None), Timestamp(i64::from(number)));
        }
        assert_eq!(machines.by_mac(machine(0, None).mac), None);
        assert!(machines.by_mac(machine(1, None).mac).is_some());
        assert_eq!(machines.lock().by_mac.len(), MACHINES_MAX);
    }
}
