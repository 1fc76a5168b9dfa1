//! What the tests of this folder and the main jobs show, as a table for people: `docs/matrix.md`.
//!
//! The tests go through the same lists from which the table is made, and a row names its test; [`check_source`] sees to
//! it that a test of that name is there and goes through that list. So the table claims nothing that no test shows.

#[path = "matrix/lvm.rs"]
mod lvm;

use std::{fmt::Write as _, fs, path::Path};

use mimeo_core::disk::filesystem::FileSystem;
use mimeo_lab::{
    hardware::{Bus, Firmware},
    main_jobs::{self, MainJob},
};

use super::{btrfs, everywhere, exfat, ext, f2fs, fat, ntfs, xfs};

/// A way of making a file system.
#[derive(Clone, Copy)]
pub(super) struct Case {
    /// What is special about it.
    pub(super) name: &'static str,
    pub(super) bytes: u64,
    /// What its mkfs is told beside the device.
    pub(super) mkfs: &'static [&'static str],
    /// Options under which it is mounted to be filled.
    pub(super) mount: &'static str,
}

pub(super) const fn case(name: &'static str, megabytes: u64, mkfs: &'static [&'static str]) -> Case {
    Case { name, bytes: megabytes << 20, mkfs, mount: "" }
}

impl Case {
    pub(super) const fn of_bytes(self, bytes: u64) -> Self {
        Self { bytes, ..self }
    }

    pub(super) const fn mounted(self, mount: &'static str) -> Self {
        Self { mount, ..self }
    }
}

/// Cases that are filled and judged alike.
pub(super) struct Group {
    pub(super) kind: FileSystem,
    pub(super) mkfs: &'static str,
    /// What happens to a volume before it is judged.
    pub(super) life: &'static str,
    /// The tool of the file system with whose account of space the map agrees.
    pub(super) account: &'static str,
    /// Nothing that this partclone calls used is missing in the map. `None` where partclone is wrong.
    pub(super) partclone: Option<&'static str>,
    /// Finds nothing in a copy.
    pub(super) checker: &'static [&'static str],
    /// What is equal in the copy.
    pub(super) content: &'static str,
    pub(super) cases: &'static [Case],
}

impl Group {
    pub(super) fn each(&self, check: impl Fn(&Group, &Case)) {
        assert!(!self.cases.is_empty());
        self.cases.iter().for_each(|case| check(self, case));
    }
}

/// A group and the test that goes through it.
struct Shown {
    group: &'static Group,
    file: &'static str,
    test: &'static str,
    list: &'static str,
}

macro_rules! shown {
    ($file:literal, $test:ident, $($module:ident)::+, $list:ident) => {
        Shown { group: &$($module)::+::$list, file: $file, test: stringify!($test), list: stringify!($list) }
    };
}

const GROUPS: &[Shown] = &[
    shown!("ext.rs", ext2_and_ext3, ext, OLD),
    shown!("ext.rs", ext4_with_ordinary_options, ext, ORDINARY),
    shown!("ext.rs", ext4_with_unusual_options, ext, UNUSUAL),
    shown!("ext.rs", ext4_with_clusters, ext, CLUSTERS),
    shown!("ext.rs", what_the_kernel_may_not_mount, ext, UNMOUNTED),
    shown!("ext.rs", an_ext4_that_was_full, ext, FULL),
    shown!("xfs.rs", xfs_with_ordinary_options, xfs, ORDINARY),
    shown!("xfs.rs", xfs_with_unusual_options, xfs, UNUSUAL),
    shown!("xfs.rs", an_xfs_that_was_full, xfs, FULL),
    shown!("xfs/unmounted.rs", xfs_version_4, xfs::unmounted, VERSION_4),
    shown!("xfs/unmounted.rs", blocks_larger_than_a_page, xfs::unmounted, LARGE_BLOCKS),
    shown!("btrfs.rs", profiles_of_one_device, btrfs, PROFILES),
    shown!("btrfs.rs", sizes_of_nodes_and_checksums, btrfs, NODES),
    shown!("btrfs.rs", features_old_and_new, btrfs, FEATURES),
    shown!("btrfs.rs", a_btrfs_that_was_full, btrfs, FULL),
    shown!("f2fs.rs", f2fs_in_other_measures, f2fs, MEASURES),
    shown!("fat.rs", fat12_fat16_and_fat32, fat, FAT12),
    shown!("fat.rs", fat12_fat16_and_fat32, fat, FAT16),
    shown!("fat.rs", fat12_fat16_and_fat32, fat, FAT32),
    shown!("fat.rs", fat12_fat16_and_fat32, fat, FAT32_LARGE_SECTORS),
    shown!("exfat.rs", exfat_with_small_clusters, exfat, SMALL),
    shown!("exfat.rs", exfat_with_large_clusters, exfat, LARGE),
    shown!("ntfs.rs", ntfs_with_small_clusters, ntfs, SMALL),
    shown!("ntfs.rs", ntfs_with_large_clusters, ntfs, LARGE),
    shown!("ntfs.rs", an_ntfs_that_was_full, ntfs, FULL),
];

/// What a test of its own shows: of what, what, the file and the name of the test.
type Single = (&'static str, &'static str, &'static str, &'static str);

/// Carried by use, with more in their lives than a case has.
const LIVES: &[Single] = &[
    ("ext4", "grown and shrunk", "ext.rs", "an_ext4_that_was_grown_and_shrunk"),
    (
        "ext4",
        "shorter than its partition, of which the rest is carried too",
        "ext.rs",
        "what_lies_behind_a_file_system_shorter_than_its_partition_is_carried",
    ),
    ("ext4", "2 TiB, in seconds", "ext.rs", "two_terabytes_are_mapped_quickly_and_in_little_memory"),
    ("XFS", "grown, with another UUID", "xfs.rs", "an_xfs_that_was_grown_and_got_another_uuid"),
    (
        "XFS",
        "free space in thousands of pieces",
        "xfs.rs",
        "an_xfs_whose_free_space_is_in_thousands_of_pieces",
    ),
    ("XFS", "2 TiB, in seconds", "xfs.rs", "two_terabytes_are_mapped_quickly_and_in_little_memory"),
    ("Btrfs", "made from an ext4", "btrfs.rs", "an_ext4_that_became_a_btrfs"),
    ("Btrfs", "balanced, shrunk, renamed", "btrfs.rs", "a_file_system_that_was_balanced_shrunk_and_renamed"),
    ("Btrfs", "a seed", "btrfs.rs", "a_seed_is_whole"),
    ("Btrfs", "sectors of 64 KiB", "btrfs.rs", "sectors_larger_than_a_page"),
    (
        "Btrfs",
        "replaced a device",
        "btrfs_refusals.rs",
        "a_device_that_is_being_replaced_is_refused_until_it_is_done",
    ),
    (
        "Btrfs",
        "one damaged copy of a DUP node",
        "btrfs_refusals.rs",
        "a_node_is_read_from_its_other_copy_where_one_is_damaged",
    ),
    ("Btrfs", "2 TiB, in seconds", "btrfs.rs", "two_terabytes_are_mapped_quickly_and_in_little_memory"),
    (
        "F2FS",
        "new, and loaded with files; partclone.f2fs",
        "f2fs.rs",
        "f2fs_as_it_is_made_and_with_files_in_it",
    ),
    (
        "F2FS",
        "8 TiB, bitmaps in blocks of their own",
        "f2fs.rs",
        "a_volume_so_large_that_its_bitmaps_need_blocks_of_their_own",
    ),
    (
        "F2FS",
        "one superblock, one checkpoint damaged",
        "f2fs.rs",
        "one_sound_superblock_and_one_sound_checkpoint_are_enough",
    ),
    (
        "FAT32",
        "too few clusters for a FAT32",
        "fat.rs",
        "a_small_fat32_is_one_whatever_its_number_of_clusters",
    ),
    ("FAT32", "not unmounted", "fat.rs", "a_volume_left_dirty_is_mapped_all_the_same"),
    ("exFAT", "sectors of 4 KiB", "exfat.rs", "exfat_of_large_sectors"),
    ("exFAT", "a bitmap in pieces", "exfat.rs", "a_bitmap_in_pieces_is_followed_along_the_fat"),
    ("exFAT", "two FATs and two bitmaps", "exfat.rs", "two_tables_and_two_bitmaps_are_both_read"),
    (
        "NTFS",
        "a table of files in hundreds of pieces",
        "ntfs.rs",
        "a_table_of_files_in_hundreds_of_pieces_is_followed_through_its_attribute_list",
    ),
    ("NTFS", "`$MFTMirr` differs", "ntfs.rs", "a_mirror_of_the_file_table_that_differs_is_no_matter"),
    (
        "NTFS",
        "page and hibernation files, which come back as zeros",
        "page_files.rs",
        "page_files_and_the_hibernation_file_come_back_as_zeros",
    ),
    (
        "NTFS",
        "a page file with an attribute list",
        "page_files.rs",
        "a_page_file_in_so_many_pieces_that_it_needs_an_attribute_list",
    ),
    (
        "swap",
        "pages of 4 and 64 KiB: UUID and label come back, no pages",
        "swap.rs",
        "a_copy_has_the_label_and_the_uuid_whatever_the_page_size",
    ),
    ("swap", "bad pages", "swap.rs", "the_kernel_swaps_to_a_copy_and_leaves_its_bad_pages_alone"),
];

/// Carried byte by byte; what is encrypted or one of several with a warning.
const RAW: &[Single] = &[
    (
        "LUKS",
        "versions 1 and 2",
        "everywhere.rs",
        "an_encrypted_volume_is_recognised_and_left_to_a_raw_capture",
    ),
    ("ext4", "a feature that is not known", "ext.rs", "unknown_features_are_left_to_a_raw_capture"),
    (
        "ext4",
        "the device of an external journal",
        "ext.rs",
        "an_external_journal_is_refused_and_the_journal_device_is_raw",
    ),
    (
        "XFS",
        "a feature that is not known",
        "xfs/refused.rs",
        "what_was_not_made_to_the_end_is_refused_and_what_is_unknown_is_left_to_a_raw_capture",
    ),
    (
        "Btrfs",
        "zoned, or a feature that is not known",
        "btrfs_refusals.rs",
        "what_the_superblock_says_is_heeded",
    ),
];

/// Refused, with the sentence that says what to do.
const REFUSED: &[Single] = &[
    ("ext3, ext4", "a journal that is not empty", "ext.rs", "a_journal_that_must_be_replayed_is_refused"),
    ("ext2", "mounted", "ext.rs", "an_ext2_that_was_not_unmounted_is_refused"),
    ("ext4", "errors that the kernel noted", "ext.rs", "errors_that_the_kernel_noted_are_refused"),
    ("ext4", "an external journal", "ext.rs", "an_external_journal_is_refused_and_the_journal_device_is_raw"),
    (
        "ext4",
        "a flipped bit in a bitmap",
        "ext.rs",
        "a_flipped_bit_in_a_bitmap_is_noticed_with_and_without_checksums",
    ),
    ("XFS", "mounted, frozen, crashed", "xfs/refused.rs", "a_mounted_a_frozen_and_a_crashed_xfs_are_refused"),
    (
        "XFS",
        "log or realtime files on another device",
        "xfs/refused.rs",
        "a_log_or_files_on_another_device_are_refused",
    ),
    ("XFS", "wrong bytes", "xfs/damaged.rs", "wrong_bytes_give_an_error_or_the_right_map"),
    ("Btrfs", "several devices", "btrfs_refusals.rs", "one_device_of_several_is_refused"),
    ("Btrfs", "a log that is not empty", "btrfs_refusals.rs", "a_log_that_must_be_replayed_is_refused"),
    ("Btrfs", "wrong bytes", "btrfs_refusals.rs", "damage_is_noticed_or_does_not_matter"),
    (
        "F2FS",
        "not unmounted, to be checked",
        "f2fs.rs",
        "a_volume_that_was_not_unmounted_or_is_to_be_checked_is_refused",
    ),
    (
        "F2FS",
        "files to be recovered",
        "f2fs.rs",
        "what_was_synced_since_a_clean_unmount_waits_to_be_recovered",
    ),
    ("exFAT", "left dirty", "exfat.rs", "a_volume_left_dirty_is_refused"),
    (
        "exFAT",
        "a damaged boot region",
        "exfat.rs",
        "a_damaged_boot_region_is_refused_and_a_damaged_backup_is_no_matter",
    ),
    ("NTFS", "dirty", "ntfs.rs", "a_dirty_volume_is_refused"),
    ("NTFS", "hibernated", "ntfs.rs", "a_volume_in_which_windows_sleeps_is_refused"),
    ("NTFS", "a log that is not empty", "ntfs.rs", "a_log_that_must_be_replayed_is_refused"),
];

/// Partition tables by themselves: the table, what becomes of it, the file and the name of the test.
const TABLES: &[Single] = &[
    ("GPT", "read as sfdisk reads it", "tables.rs", "a_gpt_is_read_as_sfdisk_reads_it"),
    (
        "GPT",
        "fitted to smaller and larger disks; `sgdisk -v`, the gpt crate",
        "tables.rs",
        "a_gpt_fits_disks_of_other_sizes",
    ),
    ("GPT of 4, 56, 256, 1024 entries", "kept, fitted", "tables.rs", "unusual_counts_of_entries_are_kept"),
    (
        "GPT of entries of 256 bytes",
        "kept, fitted",
        "tables.rs",
        "wide_entries_are_read_and_kept_where_the_gpt_crate_panics",
    ),
    (
        "GPT away from sector 2",
        "kept, fitted",
        "tables.rs",
        "a_table_that_was_moved_away_from_sector_2_stays_there",
    ),
    (
        "GPT with a damaged first or second copy",
        "said and mended",
        "tables.rs",
        "a_damaged_copy_is_said_and_mended",
    ),
    (
        "GPT of an image on a larger disk",
        "said and mended",
        "tables.rs",
        "an_image_on_a_larger_disk_has_its_second_copy_in_the_middle",
    ),
    ("GPT of sectors of 4 KiB", "kept, fitted", "tables.rs", "a_table_on_a_disk_of_4096_byte_sectors"),
    (
        "GPT with a hybrid MBR",
        "kept with its record",
        "tables.rs",
        "a_hybrid_record_counts_as_gpt_and_stays_as_it_is",
    ),
    (
        "MBR with logical partitions",
        "kept",
        "tables.rs",
        "logical_partitions_are_followed_and_their_records_lie_in_carried_bytes",
    ),
    (
        "MBR over an older GPT",
        "kept, the old one void",
        "tables.rs",
        "a_void_header_of_an_older_table_is_written_right_before_sector_0",
    ),
    (
        "MBR whose chain loops, leads outside, overlaps",
        "refused",
        "tables.rs",
        "chains_that_lead_astray_are_refused",
    ),
    (
        "none, dynamic disk",
        "a volume by itself; refused",
        "tables.rs",
        "what_is_no_partitioned_disk_is_named",
    ),
];

const HEAD: &str = "\
# What was shown to work

The tests write this page (`MIMEO_WRITE_MATRIX=1 cargo test --locked --workspace --test it -- the_matrix`) from the lists
that they go through, and fail where it is not what they do. `make test` runs them all; a row names its test.

- **By use**: what the file system's own account calls used, what lies behind its end, and nothing else. Such a map agrees
  with the account of the file system's own tool to the block (its checker finds nothing in a copy that was made by the map
  alone over stale bytes), and covers all that partclone copies, where partclone is right.
- **Raw**: every byte, zeros left out. What is encrypted or one member of a RAID carries a warning.
- **Refused**: nothing is carried, and a sentence says what to do.
";

const KINDS: [FileSystem; 9] = [
    FileSystem::Ext,
    FileSystem::Xfs,
    FileSystem::Btrfs,
    FileSystem::F2fs,
    FileSystem::Fat12,
    FileSystem::Fat16,
    FileSystem::Fat32,
    FileSystem::ExFat,
    FileSystem::Ntfs,
];

fn name(kind: FileSystem) -> &'static str {
    match kind {
        FileSystem::Ext => "ext2, ext3, ext4",
        FileSystem::Fat12 => "FAT12",
        FileSystem::Fat16 => "FAT16",
        FileSystem::Fat32 => "FAT32",
        FileSystem::ExFat => "exFAT",
        FileSystem::Xfs => "XFS",
        FileSystem::Btrfs => "Btrfs",
        FileSystem::F2fs => "F2FS",
        FileSystem::Ntfs => "NTFS",
        FileSystem::Swap => "swap",
        FileSystem::Lvm => "LVM2",
        FileSystem::LinuxRaid => "Linux RAID",
        FileSystem::Luks => "LUKS",
        FileSystem::BitLocker => "BitLocker",
    }
}

/// The whole page.
fn page() -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n## File systems by use\n");
    for kind in KINDS {
        let groups: Vec<&Shown> = GROUPS.iter().filter(|shown| shown.group.kind == kind).collect();
        assert!(!groups.is_empty(), "{kind:?}: no test shows it");
        write!(page, "\n### {}\n\n", name(kind)).expect("memory");
        page.push_str("| what is special | made by | its life | map agrees with | a copy | test |\n|---|---|---|---|---|---|\n");
        groups.iter().for_each(|shown| add_group(&mut page, shown));
    }
    let columns = "| file system | what is special | test |\n|---|---|---|\n";
    for (title, rows) in [
        ("More lives, by use", [LIVES, lvm::LIVES]),
        ("Raw", [RAW, lvm::RAW]),
        ("Refused", [REFUSED, lvm::REFUSED]),
    ] {
        write!(page, "\n## {title}\n\n{columns}").expect("memory");
        rows.into_iter().for_each(|rows| add_singles(&mut page, rows));
    }
    page.push_str("\n## Partition tables\n\n| table | what becomes of it | test |\n|---|---|---|\n");
    add_singles(&mut page, TABLES);
    add_everywhere(&mut page);
    page.push_str("\n## Whole machines\n\nA PC's disk becomes a master, and another PC gets it under real firmware (`make e2e`): equal bit for bit over\neverything in use.\n\n");
    page.push_str("| firmware | partition table | volumes | disks, from and to | and then | test |\n|---|---|---|---|---|---|\n");
    main_jobs::ALL.iter().for_each(|job| add_job(&mut page, job));
    page
}

fn add_group(page: &mut String, shown: &Shown) {
    let group = shown.group;
    let agrees: Vec<&str> = [group.account].into_iter().chain(group.partclone).collect();
    for case in group.cases {
        let mounted =
            if case.mount.is_empty() { String::new() } else { format!("; `mount -o {}`", case.mount) };
        let made = [&[group.mkfs], case.mkfs].concat().join(" ");
        writeln!(
            page,
            "| {} | `{made}`, {}{mounted} | {} | {} | `{}`, {} | `{}` |",
            case.name,
            size(case.bytes),
            group.life,
            agrees.join(", "),
            group.checker.join(" "),
            group.content,
            shown.test
        )
        .expect("memory");
    }
}

fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1 << 20) { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

fn add_singles(page: &mut String, rows: &[Single]) {
    for (of, what, _, test) in rows {
        writeln!(page, "| {of} | {what} | `{test}` |").expect("memory");
    }
}

/// Every file system in every table.
fn add_everywhere(page: &mut String) {
    page.push_str("\n## Every file system in every table\n\n`mimeo image capture` and `restore`: everything in use and every file is equal, old rubbish in free space stays behind,\nand the checker finds nothing (");
    writeln!(page, "`{}`).\n", everywhere::TEST).expect("memory");
    let tables = everywhere::TABLES.iter().map(|table| table.name);
    writeln!(page, "| | {} |", tables.clone().collect::<Vec<_>>().join(" | ")).expect("memory");
    writeln!(page, "|---|{}", tables.map(|_| "---|").collect::<String>()).expect("memory");
    for volume in everywhere::VOLUMES {
        let cells = everywhere::TABLES.iter().map(|table| format!(" {} |", volume.carried_in(table)));
        writeln!(page, "| {} |{}", volume.name, cells.collect::<String>()).expect("memory");
    }
}

fn add_job(page: &mut String, job: &MainJob) {
    let firmware = match job.firmware {
        Firmware::Bios => "BIOS",
        Firmware::Uefi => "UEFI",
        Firmware::UefiSecureBoot => "UEFI, Secure Boot",
    };
    let bus = |bus: Bus| match bus {
        Bus::VirtioBlk => "virtio",
        Bus::VirtioScsi => "SCSI",
        Bus::Nvme => "NVMe",
        Bus::Ahci => "SATA",
        Bus::Usb => "USB",
    };
    let volumes: Vec<&str> = job.volumes.iter().map(|found| found.map_or("unknown bytes", name)).collect();
    let end = if job.starts { "it starts" } else { "every file's hash is equal" };
    let [from, to] = job.buses.map(bus);
    let row =
        format!("{}: {} | {from}, {to} | {end} | `main_job_{}`", volumes.join(", "), job.details, job.name);
    writeln!(page, "| {firmware} | GPT | {row} |").expect("memory");
}

/// The text of a test: from its name to the end of its function, which rustfmt puts at the start of a line.
fn body<'a>(text: &'a str, file: &str, test: &str) -> &'a str {
    let start = [" -> Outcome", ""].into_iter().find_map(|result| {
        let start = format!("\nfn {test}(){result} {{\n");
        text.find(&start).map(|at| (at, &text[at + start.len()..]))
    });
    let (at, rest) = start.unwrap_or_else(|| panic!("{file}: no test {test}"));
    assert!(text[..at].ends_with("\n#[test]"), "{file}: {test} is not run as a test");
    rest.split("\n}\n").next().expect("a first part")
}

/// Every row's test is there, and goes through the list from which the row was made.
fn check_source() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read =
        |path: &str| fs::read_to_string(folder.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let disk = |file: &str| read(&format!("it/disk/{file}"));
    for shown in GROUPS {
        let text = disk(shown.file);
        let named = format!("{}.each(", shown.list);
        assert!(body(&text, shown.file, shown.test).contains(&named), "{}: {named} is missing", shown.test);
    }
    for (_, _, file, test) in [LIVES, RAW, REFUSED, TABLES, lvm::LIVES, lvm::RAW, lvm::REFUSED].concat() {
        body(&disk(file), file, test);
    }
    let text = disk("everywhere.rs");
    assert!(
        text.contains(&format!(
            "#[tokio::test(flavor = \"multi_thread\")]\nasync fn {}() {{",
            everywhere::TEST
        ))
    );
    let jobs = read("e2e/main_job.rs");
    for job in main_jobs::ALL {
        let job = job.name;
        let named = format!("main_job(&main_jobs::{})", job.to_uppercase());
        assert!(
            body(&jobs, "main_job.rs", &format!("main_job_{job}")).contains(&named),
            "{named} is missing"
        );
    }
}

/// After a change on purpose: `MIMEO_WRITE_MATRIX=1 cargo test --locked --workspace --test it -- the_matrix`, and read the
/// difference.
#[test]
fn the_matrix_is_what_the_tests_show() {
    check_source();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/matrix.md");
    let page = page();
    if std::env::var_os("MIMEO_WRITE_MATRIX").is_some() {
        fs::write(path, &page).expect("docs/matrix.md can be written");
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(page == written, "docs/matrix.md differs from what the tests show:\n{page}");
}
