//! Whose machine is this? A pure comparison of what a machine says with what is known of each computer.
//!
//! No single fact is to be trusted: network cards are swapped and docks go round, boards carry the serial number
//! "Default string", and whole batches share a UUID. So the facts vote, and where they say little the answer is
//! "new": a computer listed twice costs a click, a deploy to the wrong one costs its disk.
//!
//! 1. **A different UUID is a different computer**, whatever else agrees. (A board whose UUID changed with a
//!    firmware update becomes a new computer.) Two spellings count as one: firmware before SMBIOS 2.6 and network
//!    ROMs swap the bytes of the first three fields (DSP0134 section 7.2.1).
//! 2. UUID, system, board and chassis serial: **one point each where both sides have it and agree, one point less
//!    where both have it and differ**. Serials that repeat one value are one agreement.
//! 3. One point for a **network card in common**; a card known under several computers (a dock) counts for nothing.
//! 4. **Disks never vote**: they are moved, replaced and cloned. But where both sides have some and none in common, a
//!    USB adapter in common counts for nothing (it is what else is carried about), and a UUID alone is not enough
//!    (boards come in batches with one UUID that nobody has listed yet).
//! 5. A computer is recognised that has the most points of all, at least one, and for it **either its UUID, or two
//!    agreements**: one serial alone may be a placeholder nobody has listed yet. A network card alone is
//!    enough only where neither side has any other fact, and one side's cards are all among the other's.
//! 6. A tie is no opinion.
//!
//! Before the client runs, a machine shows only one card and perhaps its UUID ([`Sight::Glimpse`]). There a card
//! alone is enough: that answer only chooses what the machine boots, and the client's report decides.

use std::collections::BTreeSet;

use mimeo_core::{
    ids::{ComputerId, MacAddr},
    machine::{IdentityFacts, MachineReport, disk_facts::DiskFacts},
};

/// How much of the machine could be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// All of it, by the client: a fact that is not there does not exist.
    Report,
    /// What its firmware says while it boots.
    Glimpse,
}

/// What can tell a machine from others.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traits {
    pub facts: IdentityFacts,
    /// Only addresses that name one card.
    pub macs: BTreeSet<MacAddr>,
    /// Those of `macs` that are on USB.
    pub usb_macs: BTreeSet<MacAddr>,
    /// What names one disk each: WWN, else model and serial number.
    pub disks: BTreeSet<String>,
}

impl Traits {
    /// What of a report can tell its machine from others.
    pub fn of(report: &MachineReport) -> Self {
        let cards = || report.nics.iter().filter(|nic| nic.mac.is_individual());
        Self {
            facts: report.identity.facts(),
            macs: cards().map(|nic| nic.mac).collect(),
            usb_macs: cards().filter(|nic| nic.usb).map(|nic| nic.mac).collect(),
            disks: report
                .disks
                .iter()
                .filter(|disk| disk.facts.is_fixed())
                .filter_map(|disk| disk_name(&disk.facts))
                .collect(),
        }
    }

    fn has_other_disks_than(&self, other: &Self) -> bool {
        !self.disks.is_empty() && !other.disks.is_empty() && self.disks.is_disjoint(&other.disks)
    }
}

fn disk_name(disk: &DiskFacts) -> Option<String> {
    let serial =
        || Some(format!("{} {}", disk.model.as_deref().unwrap_or_default(), disk.serial.as_deref()?));
    disk.wwn.clone().or_else(serial)
}

/// A known computer that has at least one trait of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    pub id: ComputerId,
    pub traits: Traits,
}

/// Whose machine it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recognition {
    Recognised(ComputerId),
    New,
    /// None of these for certain, and nothing about the machine would let it be recognised the next time either.
    /// Registering it would register it again at every boot.
    Ambiguous(Vec<ComputerId>),
}

/// Compares a machine with every computer that shares a trait with it.
pub fn recognise(machine: &Traits, sight: Sight, candidates: &[Candidate]) -> Recognition {
    let macs = unshared_macs(machine, candidates);
    let mut best = Vec::new();
    let mut best_points = 1;
    for candidate in candidates {
        let Some(evidence) = Evidence::weigh(machine, &macs, &candidate.traits) else { continue };
        if !evidence.suffices(machine, &candidate.traits, sight) || evidence.points() < best_points {
            continue;
        }
        if evidence.points() > best_points {
            best.clear();
        }
        best_points = evidence.points();
        best.push(candidate.id);
    }
    match best[..] {
        [one] => Recognition::Recognised(one),
        _ if candidates.is_empty() || has_trait_of_its_own(machine, candidates) => Recognition::New,
        _ => Recognition::Ambiguous(candidates.iter().map(|candidate| candidate.id).collect()),
    }
}

/// What speaks for a machine being a certain computer, and what against.
struct Evidence {
    uuid_agrees: bool,
    serials_agreeing: i32,
    serials_differing: i32,
    mac_agrees: bool,
    disks_differ: bool,
}

impl Evidence {
    /// `None` where the UUIDs prove two computers.
    fn weigh(machine: &Traits, unshared: &BTreeSet<MacAddr>, known: &Traits) -> Option<Self> {
        let uuids = machine.facts.system_uuid.as_deref().zip(known.facts.system_uuid.as_deref());
        let uuid_agrees = uuids.is_some_and(|(one, other)| same_uuid(one, other));
        if uuids.is_some() && !uuid_agrees {
            return None;
        }
        let mut agreeing = BTreeSet::new();
        let mut serials_differing = 0;
        for (ours, theirs) in serials(&machine.facts).into_iter().zip(serials(&known.facts)) {
            match (ours, theirs) {
                (Some(ours), Some(theirs)) if ours == theirs => _ = agreeing.insert(ours),
                (Some(_), Some(_)) => serials_differing += 1,
                _ => {}
            }
        }
        let disks_differ = machine.has_other_disks_than(known);
        let own_card = |mac: &MacAddr| !disks_differ || !machine.usb_macs.contains(mac);
        Some(Self {
            uuid_agrees,
            // At most three.
            serials_agreeing: agreeing.len() as i32,
            serials_differing,
            mac_agrees: unshared.intersection(&known.macs).any(own_card),
            disks_differ,
        })
    }

    fn agreements(&self) -> i32 {
        i32::from(self.uuid_agrees) + self.serials_agreeing + i32::from(self.mac_agrees)
    }

    fn points(&self) -> i32 {
        self.agreements() - self.serials_differing
    }

    fn suffices(&self, machine: &Traits, known: &Traits, sight: Sight) -> bool {
        let mac_alone = self.mac_agrees
            && match sight {
                Sight::Glimpse => true,
                Sight::Report => {
                    machine.facts == IdentityFacts::default()
                        && known.facts == IdentityFacts::default()
                        && (machine.macs.is_subset(&known.macs) || known.macs.is_subset(&machine.macs))
                }
            };
        let uuid_alone = self.uuid_agrees && !self.disks_differ;
        self.points() > 0 && (uuid_alone || self.agreements() >= 2 || mac_alone)
    }
}

fn serials(facts: &IdentityFacts) -> [Option<&str>; 3] {
    [&facts.system_serial, &facts.board_serial, &facts.chassis_serial].map(Option::as_deref)
}

/// The machine's cards that not more than one computer has.
fn unshared_macs(machine: &Traits, candidates: &[Candidate]) -> BTreeSet<MacAddr> {
    let owners = |mac| candidates.iter().filter(|candidate| candidate.traits.macs.contains(mac)).count();
    machine.macs.iter().filter(|mac| owners(mac) < 2).copied().collect()
}

/// Whether something about the machine is true of no known computer, by which it will be recognised next time.
fn has_trait_of_its_own(machine: &Traits, candidates: &[Candidate]) -> bool {
    let known = || candidates.iter().map(|candidate| &candidate.traits);
    let new_uuid = machine.facts.system_uuid.as_deref().is_some_and(|uuid| {
        known().filter_map(|known| known.facts.system_uuid.as_deref()).all(|other| !same_uuid(uuid, other))
    });
    // A single serial does not suffice to be recognised by, so a new one does not count here.
    new_uuid || machine.macs.iter().any(|mac| known().all(|known| !known.macs.contains(mac)))
}

/// Whether two UUIDs are one, maybe with the byte order of the first three fields swapped.
fn same_uuid(one: &str, other: &str) -> bool {
    one == other || swapped(one).is_some_and(|swapped| swapped == other)
}

/// The other byte order of a UUID's first three fields; `None` for text of another form.
pub fn swapped(uuid: &str) -> Option<String> {
    let mut fields = uuid.split('-');
    let mut parts = Vec::with_capacity(5);
    for length in [8, 4, 4] {
        let mut bytes = hex::decode(fields.next().filter(|field| field.len() == length)?).ok()?;
        bytes.reverse();
        parts.push(hex::encode(bytes));
    }
    parts.extend(fields.map(str::to_owned));
    (parts.len() == 5).then(|| parts.join("-"))
}

#[cfg(test)]
mod tests;
