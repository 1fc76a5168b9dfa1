//! What is known of a disk, and whether it is the one that a plan means. The server that plans and the client that
//! opens the disk ask the same questions here, so they cannot disagree.
//!
//! Texts are compared to the letter: both sides keep them as [`word`](super::printable::word) leaves them, the client
//! when it reads them from the kernel, the server when a report comes in.

use serde::{Deserialize, Serialize};

use crate::{failure::FailureCause, messages::DiskPin, units::SectorSize};

/// A disk as the kernel describes it, apart from what stands on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskFacts {
    /// The kernel's name of this boot (`sda`): for people and logs, never for choosing.
    pub kernel_name: String,
    pub model: Option<String>,
    pub serial: Option<String>,
    pub wwn: Option<String>,
    pub size_bytes: u64,
    pub logical_sector: SectorSize,
    pub physical_sector: SectorSize,
    /// Anything a person can pull out: USB whatever the device says of itself, card readers, optical drives.
    pub removable: bool,
    /// `nvme`, `sata`, `usb`, `virtio`, `mmc`, `scsi`, where the kernel tells.
    pub transport: Option<String>,
    pub rotational: bool,
}

impl DiskFacts {
    /// Whether the disk belongs to the computer and holds something: no other is ever captured or erased.
    pub fn is_fixed(&self) -> bool {
        !self.removable && self.transport.as_deref() != Some("usb") && self.size_bytes > 0
    }

    /// Everything about this disk that a plan can name it by.
    pub fn pin(&self) -> DiskPin {
        DiskPin {
            model: self.model.clone(),
            serial: self.serial.clone(),
            wwn: self.wwn.clone(),
            size_bytes: self.size_bytes,
            logical_sector: self.logical_sector,
        }
    }

    /// Whether the disk agrees with every fact that the pin gives.
    pub fn agrees_with(&self, pin: &DiskPin) -> bool {
        let agrees = |wanted: &Option<String>, actual: &Option<String>| wanted.is_none() || wanted == actual;
        self.size_bytes == pin.size_bytes
            && self.logical_sector == pin.logical_sector
            && agrees(&pin.serial, &self.serial)
            && agrees(&pin.wwn, &self.wwn)
            && agrees(&pin.model, &self.model)
    }

    /// Whether the disk can be the target of a master with sectors of `sector` that needs `min_bytes`.
    pub fn check_target(&self, min_bytes: u64, sector: SectorSize) -> Result<(), FailureCause> {
        if self.logical_sector != sector {
            return Err(FailureCause::SectorSizeDiffers { master: sector, target: self.logical_sector });
        }
        if self.size_bytes < min_bytes {
            return Err(FailureCause::DiskTooSmall {
                needed_bytes: min_bytes,
                actual_bytes: self.size_bytes,
            });
        }
        Ok(())
    }
}

impl AsRef<Self> for DiskFacts {
    fn as_ref(&self) -> &Self {
        self
    }
}

/// The one disk that the pin means. Disks that are not fixed are not even looked at.
pub fn find<'a, D: AsRef<DiskFacts>>(pin: &DiskPin, disks: &'a [D]) -> Result<&'a D, FailureCause> {
    let meant = |disk: &&D| disk.as_ref().is_fixed() && disk.as_ref().agrees_with(pin);
    let candidates: Vec<_> = disks.iter().filter(meant).collect();
    match candidates[..] {
        [disk] => Ok(disk),
        [] => Err(FailureCause::DiskMissing { wanted: pin.clone() }),
        _ => Err(FailureCause::disk_ambiguous(pin.clone(), candidates.len())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::{
        prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest},
        sample::select,
    };

    use super::{DiskFacts, find};
    use crate::{
        failure::FailureCause,
        messages::DiskPin,
        units::{MIB, SectorSize},
    };

    fn disk(name: &str, serial: &str) -> DiskFacts {
        DiskFacts {
            kernel_name: name.into(),
            model: Some("Mimeo Disk".into()),
            serial: Some(serial.into()),
            wwn: None,
            size_bytes: 64 * MIB,
            logical_sector: SectorSize::B512,
            physical_sector: SectorSize::B512,
            removable: false,
            transport: None,
            rotational: false,
        }
    }

    fn pin(serial: Option<&str>) -> DiskPin {
        DiskPin { serial: serial.map(Into::into), model: None, ..disk("", "").pin() }
    }

    #[test]
    fn the_disk_that_agrees_with_every_fact_is_found_whatever_its_name() {
        let disks = [disk("sda", "A"), disk("sdb", "B")];
        assert_eq!(find(&pin(Some("B")), &disks), Ok(&disks[1]));
    }

    #[test]
    fn one_fact_that_differs_is_enough_to_be_another_disk() {
        let disks = [disk("sda", "A")];
        let good = pin(Some("A"));
        for wrong in [
            DiskPin { serial: Some("B".into()), ..good.clone() },
            DiskPin { wwn: Some("naa.5000".into()), ..good.clone() },
            DiskPin { model: Some("Other".into()), ..good.clone() },
            DiskPin { size_bytes: 65 * MIB, ..good.clone() },
            DiskPin { logical_sector: SectorSize::B4096, ..good.clone() },
        ] {
            assert_eq!(find(&wrong, &disks), Err(FailureCause::DiskMissing { wanted: wrong.clone() }));
        }
    }

    #[test]
    fn two_disks_that_agree_are_a_question_and_never_a_choice() {
        let wanted = pin(None);
        assert_eq!(
            find(&wanted, &[disk("sda", "A"), disk("sdb", "B")]),
            Err(FailureCause::DiskAmbiguous { wanted: wanted.clone(), found: 2 })
        );
    }

    #[test]
    fn what_can_be_pulled_out_is_never_meant() {
        let stick = DiskFacts { removable: true, ..disk("sda", "A") };
        // An audio interface that does not say that it is removable.
        let audio = DiskFacts { transport: Some("usb".into()), ..disk("sda", "A") };
        for not_meant in [stick, audio, DiskFacts { size_bytes: 0, ..disk("sda", "A") }] {
            let wanted = not_meant.pin();
            assert_eq!(
                find(&wanted, std::slice::from_ref(&not_meant)),
                Err(FailureCause::DiskMissing { wanted: wanted.clone() })
            );
            let disks = [not_meant, disk("sdb", "B")];
            assert_eq!(find(&pin(None), &disks), Ok(&disks[1]));
        }
    }

    fn any_disk() -> impl Strategy<Value = DiskFacts> {
        (select(vec!["A", "B"]), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
            |(serial, removable, usb, native, wwn)| DiskFacts {
                removable,
                transport: usb.then(|| "usb".into()),
                logical_sector: if native { SectorSize::B4096 } else { SectorSize::B512 },
                wwn: wwn.then(|| "naa.5000".into()),
                ..disk("sda", serial)
            },
        )
    }

    proptest! {
        #[test]
        fn what_is_found_agrees_and_is_alone_in_that(
            disks in prop::collection::vec(any_disk(), 0..5),
            wanted in any_disk(),
        ) {
            let pin = wanted.pin();
            prop_assert!(wanted.agrees_with(&pin));
            let agreeing: Vec<_> = disks.iter().filter(|disk| disk.is_fixed() && disk.agrees_with(&pin)).collect();
            match find(&pin, &disks) {
                Ok(found) => prop_assert_eq!(agreeing, vec![found]),
                Err(FailureCause::DiskAmbiguous { found, .. }) => {
                    prop_assert!(found > 1 && found as usize == agreeing.len());
                }
                Err(_) => prop_assert!(agreeing.is_empty()),
            }
        }
    }
}
