//! Swap areas as mkswap makes them: a copy has their first page alone, and the kernel takes it.

use mimeo_core::{disk::filesystem::FileSystem, units::Extent};

use super::image::{Image, run};

const MIB: u64 = 1 << 20;
const UUID: &str = "6f9619ff-8b86-d011-b42d-00cf4fc964ff";

fn mkswap(arguments: &[&str]) -> Image {
    let image = Image::of_bytes(16 * MIB);
    run("chmod", &["600", image.str()]);
    run("mkswap", &[arguments, &["-U", UUID, image.str()]].concat());
    // What a system once put there.
    image.write(128 << 10, &[0x77; 4 << 20]);
    image
}

/// The copy of a volume of which only the first page is carried.
fn copy(image: &Image, page_bytes: u64) -> Image {
    let map = image.map(FileSystem::Swap);
    assert_eq!(map.extents, [Extent { start_bytes: 0, length_bytes: page_bytes }]);
    image.restored(&map)
}

/// A volume on a loop device, as a swap area of this kernel while it lives.
struct SwappedOn {
    device: String,
}

impl SwappedOn {
    fn new(image: &Image) -> Self {
        let device = run("losetup", &["--find", "--show", image.str()]).trim().to_owned();
        let area = Self { device };
        run("swapon", &[&area.device]);
        area
    }

    /// What the kernel can use of it.
    fn kibibytes(&self) -> u64 {
        let swaps = std::fs::read_to_string("/proc/swaps").expect("a kernel that swaps");
        let line = swaps.lines().find(|line| line.starts_with(&format!("{} ", self.device)));
        let size = line.and_then(|line| line.split_whitespace().nth(2));
        size.and_then(|size| size.parse().ok()).unwrap_or_else(|| panic!("{swaps}"))
    }
}

impl Drop for SwappedOn {
    fn drop(&mut self) {
        for (program, arguments) in [("swapoff", &[&self.device[..]][..]), ("losetup", &["-d", &self.device])]
        {
            let _status = std::process::Command::new(program).args(arguments).status();
        }
    }
}

#[test]
fn a_copy_has_the_label_and_the_uuid_whatever_the_page_size() {
    for page_bytes in [4 << 10, 64 << 10] {
        let image = mkswap(&["-p", &page_bytes.to_string(), "-L", "pages of pc-17"]);
        let said = run("swaplabel", &[copy(&image, page_bytes).str()]);
        assert!(said.contains(UUID) && said.contains("pages of pc-17"), "{said}");
        let found = run("blkid", &["-p", "-o", "export", copy(&image, page_bytes).str()]);
        assert!(found.contains(UUID) && found.contains("TYPE=swap"), "{found}");
    }
}

#[test]
fn the_kernel_swaps_to_a_copy_and_leaves_its_bad_pages_alone() {
    let image = mkswap(&[]);
    assert_eq!(SwappedOn::new(&copy(&image, 4096)).kibibytes(), 16 * 1024 - 4);
    // Two bad pages: how many, and behind the label and the padding which ones.
    image.write(1032, &2_u32.to_le_bytes());
    image.write(1536, &[9_u32.to_le_bytes(), 700_u32.to_le_bytes()].concat());
    assert_eq!(SwappedOn::new(&copy(&image, 4096)).kibibytes(), 16 * 1024 - 12);
}
