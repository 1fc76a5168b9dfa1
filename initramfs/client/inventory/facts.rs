//! Single facts about the machine. Each stands alone: one that the kernel does not tell is left out, and the rest
//! of the report is none the worse.

use std::{fs, path::Path};

use mimeo_core::machine::{FirmwareMode, Identity, Processor, SecureBoot};

use mimeo_engine::sysfs;

/// What SMBIOS says, by the kernel's decoding of it.
pub fn identity() -> Identity {
    let dmi = |name: &str| sysfs::word(&Path::new("/sys/class/dmi/id").join(name));
    Identity {
        system_uuid: dmi("product_uuid"),
        system_serial: dmi("product_serial"),
        board_serial: dmi("board_serial"),
        chassis_serial: dmi("chassis_serial"),
        manufacturer: dmi("sys_vendor"),
        model: dmi("product_name"),
    }
}

pub fn firmware() -> FirmwareMode {
    if Path::new("/sys/firmware/efi").exists() { FirmwareMode::Uefi } else { FirmwareMode::Bios }
}

/// Whether UEFI checks signatures: the variable `SecureBoot` (UEFI 2.10, section 3.3), behind four bytes of
/// attributes that efivarfs puts before every value.
pub fn secure_boot() -> SecureBoot {
    let variable = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";
    match fs::read(variable).as_deref() {
        Ok([_, _, _, _, 1]) => SecureBoot::On,
        Ok([_, _, _, _, 0]) => SecureBoot::Off,
        _ => SecureBoot::Absent,
    }
}

pub fn processor() -> Processor {
    parse_processor(&fs::read_to_string("/proc/cpuinfo").unwrap_or_default())
}

/// Memory that the kernel can use, in bytes; 0 where it does not say.
pub fn memory_bytes() -> u64 {
    parse_memory(&fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

fn parse_processor(cpuinfo: &str) -> Processor {
    let values = |name| {
        cpuinfo.lines().filter_map(move |line| {
            let (key, value) = line.split_once(':')?;
            (key.trim() == name).then(|| value.trim().to_owned())
        })
    };
    let threads = u32::try_from(values("processor").count()).unwrap_or(u32::MAX);
    Processor { model: values("model name").next().unwrap_or_default(), threads }
}

fn parse_memory(meminfo: &str) -> u64 {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kibibytes = total.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or(0).saturating_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::{parse_memory, parse_processor};

    #[test]
    fn every_thread_of_the_processor_counts() {
        let cpuinfo = "processor\t: 0\nmodel name\t: QEMU Virtual CPU\nflags\t\t: fpu\n\nprocessor\t: 1\nmodel name\t: QEMU Virtual CPU\n";
        let processor = parse_processor(cpuinfo);
        assert_eq!((processor.model.as_str(), processor.threads), ("QEMU Virtual CPU", 2));
        assert_eq!(parse_processor("").threads, 0);
    }

    #[test]
    fn memory_is_given_in_kibibytes() {
        assert_eq!(parse_memory("MemTotal:        2038640 kB\nMemFree: 1 kB\n"), 2_038_640 * 1024);
        assert_eq!(parse_memory("nothing"), 0);
    }
}
