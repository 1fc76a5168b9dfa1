//! Which driver fits which device: the patterns of `modules.alias` against the devices' own descriptions.
//!
//! The kernel writes a line such as `pci:v00008086d0000100Esv…` into every device's `modalias`; depmod collects
//! the patterns that drivers claim. This is the matching of `modprobe`, as a pure function.

use std::collections::{BTreeSet, HashMap, HashSet};

/// The tables that depmod wrote for one kernel.
#[derive(Debug, Default)]
pub struct ModuleTables {
    /// Pattern → module name, grouped by the bus before the first colon so that a device is matched only
    /// against its own bus.
    aliases: HashMap<String, Vec<(String, String)>>,
    /// Module name → path below the module folder, and the paths of what must be loaded before it.
    dependencies: HashMap<String, Dependencies>,
    /// Module name → names or aliases of what its driver asks for while it starts, without a symbol that says so:
    /// the PHY driver of a Realtek adapter, the checksum of a file system.
    soft: HashMap<String, Vec<String>>,
}

#[derive(Debug, Clone)]
struct Dependencies {
    path: String,
    needs: Vec<String>,
}

impl ModuleTables {
    /// Reads `modules.alias`, `modules.dep` and `modules.softdep`. Lines of any other form are passed over, as
    /// modprobe does.
    pub fn parse(alias: &str, dep: &str, softdep: &str) -> Self {
        let mut tables = Self::default();
        for line in alias.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("alias"), Some(pattern), Some(module)) = (words.next(), words.next(), words.next()) {
                let bus = bus(pattern).to_owned();
                tables.aliases.entry(bus).or_default().push((pattern.to_owned(), canonical(module)));
            }
        }
        for line in dep.lines() {
            if let Some((path, needs)) = line.split_once(':') {
                let needs = needs.split_ascii_whitespace().map(str::to_owned).collect();
                tables.dependencies.insert(name_of(path), Dependencies { path: path.to_owned(), needs });
            }
        }
        for line in softdep.lines() {
            let mut words = line.split_ascii_whitespace();
            if let (Some("softdep"), Some(module)) = (words.next(), words.next()) {
                let before =
                    words.skip_while(|word| *word != "pre:").skip(1).take_while(|word| *word != "post:");
                tables.soft.entry(canonical(module)).or_default().extend(before.map(str::to_owned));
            }
        }
        tables
    }

    /// The modules that claim a device, by name.
    pub fn claimants(&self, modalias: &str) -> BTreeSet<&str> {
        let patterns = self.aliases.get(bus(modalias)).map_or(&[][..], Vec::as_slice);
        let claim = |(pattern, _): &&(String, String)| matches(pattern.as_bytes(), modalias.as_bytes());
        patterns.iter().filter(claim).map(|(_, module)| module.as_str()).collect()
    }

    /// The modules that somebody means who names a module or an alias, as the kernel does when it asks for one.
    pub fn meant(&self, name: &str) -> BTreeSet<&str> {
        match self.dependencies.get_key_value(&canonical(name)) {
            Some((module, _)) => BTreeSet::from([module.as_str()]),
            None => self.claimants(name),
        }
    }

    /// The files to load for a module, in the order in which to load them; empty where the module is not here.
    pub fn load_order(&self, module: &str) -> Vec<&str> {
        let mut order = Vec::new();
        self.add_to_order(&canonical(module), &mut HashSet::new(), &mut order);
        order
    }

    /// Soft dependencies may lead back to where they came from; what was `seen` is not gone into again.
    fn add_to_order<'a>(&'a self, module: &str, seen: &mut HashSet<String>, order: &mut Vec<&'a str>) {
        let Some(Dependencies { path, needs }) = self.dependencies.get(module) else { return };
        if !seen.insert(module.to_owned()) {
            return;
        }
        for name in self.soft.get(module).into_iter().flatten() {
            self.meant(name).into_iter().for_each(|needed| self.add_to_order(needed, seen, order));
        }
        // depmod lists what a module needs with the deepest need last.
        for needed in needs.iter().rev() {
            self.add_to_order(&name_of(needed), seen, order);
        }
        order.push(path);
    }
}

/// The kernel takes `-` and `_` in module names for the same; it prints the latter.
fn canonical(module: &str) -> String {
    module.replace('-', "_")
}

fn name_of(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    canonical(file.split(".ko").next().unwrap_or(file))
}

fn bus(pattern: &str) -> &str {
    pattern.split(':').next().unwrap_or(pattern)
}

/// Whether a shell pattern (`*`, `?`, `[abc]`, `[a-c]`, `[!a]`) matches the whole text, as fnmatch(3) without flags.
///
/// Only the last star is ever tried again, which suffices and keeps the time at pattern × text.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            retry = Some((p + 1, t));
            p += 1;
            continue;
        }
        let step = match text.get(t) {
            None if p == pattern.len() => return true,
            None => None,
            Some(&byte) => element(&pattern[p..], byte),
        };
        match (step, retry) {
            (Some(length), _) => (p, t) = (p + length, t + 1),
            (None, Some((after_star, from))) if from < text.len() => {
                retry = Some((after_star, from + 1));
                (p, t) = (after_star, from + 1);
            }
            (None, _) => return false,
        }
    }
}

/// The length of the pattern's first element where it accepts `byte`.
fn element(pattern: &[u8], byte: u8) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => class(pattern, byte),
        literal => (literal == byte).then_some(1),
    }
}

/// As [`element`], for a bracket expression. An unclosed bracket stands for itself.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let negated = matches!(pattern.get(1), Some(b'!' | b'^'));
    let first = if negated { 2 } else { 1 };
    // A closing bracket that comes first is a member, not the end.
    let Some(length) = pattern.iter().skip(first + 1).position(|&b| b == b']') else {
        return (byte == b'[').then_some(1);
    };
    let members = &pattern[first..first + 1 + length];
    let mut accepted = false;
    let mut at = 0;
    while at < members.len() {
        let range_end = members.get(at + 2).filter(|_| members.get(at + 1) == Some(&b'-'));
        accepted |= match range_end {
            Some(&end) => (members[at]..=end).contains(&byte),
            None => members[at] == byte,
        };
        at += if range_end.is_some() { 3 } else { 1 };
    }
    (accepted != negated).then_some(first + length + 2)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop, proptest};

    use super::{ModuleTables, matches};

    const ALIAS: &str = "\
# Aliases extracted from modules themselves.
alias pci:v00008086d0000100Esv*sd*bc*sc*i* e1000
alias pci:v00008086d0000015[0-5]*sv*sd*bc*sc*i* e1000e
alias virtio:d00000001v* virtio_net
alias usb:v*p*d*dc*dsc*dp*ic08isc06ip50in* usb-storage
alias mdio:0000000000011100110010?????????? realtek
alias crypto-crc32c crc32c_generic
";
    const DEP: &str = "\
kernel/drivers/net/ethernet/intel/e1000/e1000.ko:
kernel/drivers/net/virtio_net.ko: kernel/drivers/net/net_failover.ko kernel/net/core/failover.ko
kernel/drivers/usb/storage/usb-storage.ko: kernel/drivers/scsi/scsi_mod.ko
kernel/drivers/scsi/scsi_mod.ko:
kernel/net/core/failover.ko:
kernel/drivers/net/net_failover.ko: kernel/net/core/failover.ko
kernel/drivers/net/ethernet/realtek/r8169.ko: kernel/drivers/net/phy/libphy.ko
kernel/drivers/net/phy/realtek.ko: kernel/drivers/net/phy/libphy.ko
kernel/drivers/net/phy/libphy.ko:
kernel/fs/xfs/xfs.ko: kernel/lib/libcrc32c.ko
kernel/lib/libcrc32c.ko:
kernel/crypto/crc32c_generic.ko:
";

    const SOFTDEP: &str = "\
# Soft dependencies extracted from modules themselves.
softdep r8169 pre: realtek
softdep realtek post: r8169
softdep libcrc32c pre: crypto-crc32c post: nothing
softdep crc32c_generic pre: libcrc32c
softdep cifs gcm
";

    #[test]
    fn a_device_finds_its_drivers() {
        let tables = ModuleTables::parse(ALIAS, DEP, SOFTDEP);
        let e1000 = "pci:v00008086d0000100Esv00001AF4sd00001100bc02sc00i00";
        assert_eq!(tables.claimants(e1000).into_iter().collect::<Vec<_>>(), ["e1000"]);
        assert_eq!(
            tables.claimants("virtio:d00000001v00001AF4").into_iter().collect::<Vec<_>>(),
            ["virtio_net"]
        );
        assert!(tables.claimants("virtio:d00000002v00001AF4").is_empty());
        assert!(tables.claimants("acpi:PNP0A08:").is_empty());
    }

    #[test]
    fn what_a_module_needs_is_loaded_before_it_deepest_first() {
        let tables = ModuleTables::parse(ALIAS, DEP, SOFTDEP);
        assert_eq!(
            tables.load_order("virtio_net"),
            [
                "kernel/net/core/failover.ko",
                "kernel/drivers/net/net_failover.ko",
                "kernel/drivers/net/virtio_net.ko"
            ]
        );
        assert_eq!(tables.load_order("usb_storage").len(), 2);
        assert!(tables.load_order("no_such_module").is_empty());
    }

    #[test]
    fn what_a_driver_asks_for_while_it_starts_is_there_before_it() {
        let tables = ModuleTables::parse(ALIAS, DEP, SOFTDEP);
        // Without its PHY driver r8169 gives the adapter up.
        let realtek = "kernel/drivers/net/phy/realtek.ko";
        assert_eq!(
            tables.load_order("r8169"),
            ["kernel/drivers/net/phy/libphy.ko", realtek, "kernel/drivers/net/ethernet/realtek/r8169.ko"]
        );
        // Named by an alias, needed by what the module needs, and in a circle.
        assert_eq!(
            tables.load_order("xfs"),
            ["kernel/crypto/crc32c_generic.ko", "kernel/lib/libcrc32c.ko", "kernel/fs/xfs/xfs.ko"]
        );
    }

    #[test]
    fn the_kernel_asks_by_name_or_by_alias() {
        let tables = ModuleTables::parse(ALIAS, DEP, SOFTDEP);
        let meant = |name| tables.meant(name).into_iter().collect::<Vec<_>>();
        assert_eq!(meant("usb-storage"), ["usb_storage"]);
        assert_eq!(meant("mdio:00000000000111001100100100010101"), ["realtek"]);
        assert_eq!(meant("crypto-crc32c"), ["crc32c_generic"]);
        assert!(meant("net-pf-10").is_empty());
    }

    #[test]
    fn patterns_match_as_fnmatch_does() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abcc", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[0-9A]x", "Ax", true),
            ("[0-9A]x", "Bx", false),
            ("[!0-9]x", "Ax", true),
            ("[!0-9]x", "3x", false),
            ("[]]x", "]x", true),
            ("[ab", "[ab", true),
            ("abc", "ab", false),
        ] {
            assert_eq!(
                matches(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern:?} against {text:?}"
            );
        }
    }

    proptest! {
        #[test]
        fn any_pattern_ends_and_a_text_matches_itself(pattern in "[a-c*?\\[\\]!-]{0,24}", text in "[a-c]{0,40}") {
            let _either = matches(pattern.as_bytes(), text.as_bytes());
            assert!(matches(text.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn stars_agree_with_a_plain_definition(parts in prop::collection::vec("[ab]{0,3}", 1..4), text in "[ab]{0,8}") {
            assert_eq!(matches(parts.join("*").as_bytes(), text.as_bytes()), fits(&parts, &text));
        }
    }

    /// Tries every way to fill the stars.
    fn fits(parts: &[String], text: &str) -> bool {
        match parts {
            [] => text.is_empty(),
            [only] => text == only,
            [first, rest @ ..] => text
                .strip_prefix(first.as_str())
                .is_some_and(|left| (0..=left.len()).any(|skip| fits(rest, &left[skip..]))),
        }
    }
}
