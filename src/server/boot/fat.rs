//! Lays files out as a FAT16 volume without copying them: the tables and folders are made here, and the files follow
//! each in one piece.
//!
//! Only what a boot image needs: names of eight letters and three, folders that fit one cluster, nothing ever changed
//! afterwards. The `fatfs` crate (0.3.6) would do all of it, but it writes long-name entries before `.` and `..`, which
//! `fsck.fat` calls damage, and firmware is a stricter reader than any.

use bytes::Bytes;

use super::content::Content;

const SECTOR_BYTES: usize = 512;
const ENTRY_BYTES: usize = 32;
const ROOT_ENTRIES: usize = 512;
/// A boot sector before the tables, and two copies of those, as every reader expects.
const RESERVED_SECTORS: usize = 1;
const TABLES: usize = 2;

/// What makes a volume FAT16 is the number of its clusters and nothing else (Microsoft, "FAT: General Overview of
/// On-Disk Format", version 1.03): fewer are read as FAT12, more as FAT32.
const CLUSTERS_MIN: usize = 4085;
const CLUSTERS_MAX: usize = 65524;

/// The first cluster of the data area.
const FIRST_CLUSTER: usize = 2;
const END_OF_CHAIN: u16 = 0xffff;

/// Clusters of 2 KiB where they are enough (128 MiB), up to the 32 KiB that all readers take.
const CLUSTER_BYTES: [usize; 5] = [2 << 10, 4 << 10, 8 << 10, 16 << 10, 32 << 10];

const ATTRIBUTE_LABEL: u8 = 0x08;
const ATTRIBUTE_FOLDER: u8 = 0x10;
const ATTRIBUTE_FILE: u8 = 0x20;

/// The first of January 2020: the same files give the same volume, whenever it is made.
const DATE: u16 = (2020 - 1980) << 9 | 1 << 5 | 1;

const LABEL: [u8; 11] = *b"MIMEO BOOT ";
const SERIAL: u32 = 0x4d49_4d45;

/// A file for the volume.
#[derive(Debug, Clone)]
pub(super) struct File {
    /// Names apart by `/`.
    pub(super) path: &'static str,
    pub(super) content: Bytes,
}

/// What cannot be laid out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FatError {
    #[error("{0:?} has a name of more than eight letters and three")]
    Name(&'static str),
    #[error("a folder with more than {0} entries")]
    Folder(usize),
    #[error("files of {0} bytes, expected at most 2 GiB")]
    Size(usize),
}

/// The bytes of a volume with these files, and where each file's content begins in it.
pub(super) fn volume(files: &[File]) -> Result<(Content, Vec<u64>), FatError> {
    let total: usize = files.iter().map(|file| file.content.len()).sum();
    let mut folders = vec![""];
    for file in files {
        for (end, _) in file.path.match_indices('/') {
            if !folders.contains(&&file.path[..end]) {
                folders.push(&file.path[..end]);
            }
        }
    }
    let layout = CLUSTER_BYTES
        .into_iter()
        .map(|cluster_bytes| Layout::new(cluster_bytes, &folders, files))
        .find(|layout| layout.clusters <= CLUSTERS_MAX)
        .ok_or(FatError::Size(total))?;
    layout.write(&folders, files)
}

/// Where everything lies.
struct Layout {
    cluster_bytes: usize,
    /// The first cluster of each folder but the root, and of each file; 0 for an empty file.
    folder_clusters: Vec<usize>,
    file_clusters: Vec<usize>,
    /// How many clusters hold something, and how many there are.
    used: usize,
    clusters: usize,
}

impl Layout {
    fn new(cluster_bytes: usize, folders: &[&str], files: &[File]) -> Self {
        let mut next = FIRST_CLUSTER;
        let mut take = |bytes: usize| {
            let first = next;
            next += bytes.div_ceil(cluster_bytes);
            if bytes == 0 { 0 } else { first }
        };
        let folder_clusters = folders.iter().skip(1).map(|_| take(cluster_bytes)).collect();
        let file_clusters = files.iter().map(|file| take(file.content.len())).collect();
        let used = next - FIRST_CLUSTER;
        Self { cluster_bytes, folder_clusters, file_clusters, used, clusters: used.max(CLUSTERS_MIN) }
    }

    /// Sectors of one table.
    fn table_sectors(&self) -> usize {
        ((self.clusters + FIRST_CLUSTER) * 2).div_ceil(SECTOR_BYTES)
    }

    /// Where the data area begins.
    fn data_start(&self) -> usize {
        (RESERVED_SECTORS + TABLES * self.table_sectors()) * SECTOR_BYTES + ROOT_ENTRIES * ENTRY_BYTES
    }

    /// The cluster of the folder that holds `path`, 0 for the root.
    fn parent_cluster(&self, folders: &[&str], path: &str) -> usize {
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        match folders.iter().position(|folder| *folder == parent) {
            Some(index) if index > 0 => self.folder_clusters[index - 1],
            _ => 0,
        }
    }

    fn write(&self, folders: &[&'static str], files: &[File]) -> Result<(Content, Vec<u64>), FatError> {
        let mut head = self.boot_sector();
        let table = self.table();
        head.extend_from_slice(&table);
        head.extend_from_slice(&table);
        for (index, folder) in folders.iter().enumerate() {
            let mut entries = self.folder(folders, files, index)?;
            let room = if folder.is_empty() { ROOT_ENTRIES * ENTRY_BYTES } else { self.cluster_bytes };
            if entries.len() > room {
                return Err(FatError::Folder(room / ENTRY_BYTES));
            }
            entries.resize(room, 0);
            head.extend_from_slice(&entries);
        }
        let zeros = Bytes::from(vec![0; 1 << 20]);
        let mut position = head.len();
        let mut pieces = vec![Bytes::from(head)];
        let mut starts = Vec::new();
        for file in files {
            starts.push(position as u64);
            let padding = file.content.len().next_multiple_of(self.cluster_bytes) - file.content.len();
            position += file.content.len() + padding;
            pieces.extend([file.content.clone(), zeros.slice(..padding)]);
        }
        let mut free = (self.clusters - self.used) * self.cluster_bytes;
        while free > 0 {
            let piece = free.min(zeros.len());
            pieces.push(zeros.slice(..piece));
            free -= piece;
        }
        Ok((Content::new(pieces), starts))
    }

    fn boot_sector(&self) -> Vec<u8> {
        let sectors_per_cluster = self.cluster_bytes / SECTOR_BYTES;
        let sectors = self.data_start() / SECTOR_BYTES + self.clusters * sectors_per_cluster;
        let mut sector = vec![0; SECTOR_BYTES];
        let mut put = |place: usize, bytes: &[u8]| sector[place..place + bytes.len()].copy_from_slice(bytes);
        put(0, b"\xeb\x3c\x90MIMEO   ");
        put(11, &(SECTOR_BYTES as u16).to_le_bytes());
        put(13, &[sectors_per_cluster as u8]);
        put(14, &(RESERVED_SECTORS as u16).to_le_bytes());
        put(16, &[TABLES as u8]);
        put(17, &(ROOT_ENTRIES as u16).to_le_bytes());
        // The 16-bit number of sectors counts where it suffices, the 32-bit one beyond.
        match u16::try_from(sectors) {
            Ok(few) => put(19, &few.to_le_bytes()),
            Err(_) => put(32, &(sectors as u32).to_le_bytes()),
        }
        put(21, &[0xf8]);
        put(22, &(self.table_sectors() as u16).to_le_bytes());
        put(24, &32u16.to_le_bytes());
        put(26, &64u16.to_le_bytes());
        put(36, &[0x80, 0, 0x29]);
        put(39, &SERIAL.to_le_bytes());
        put(43, &LABEL);
        put(54, b"FAT16   ");
        put(510, &[0x55, 0xaa]);
        sector
    }

    /// One copy of the table: every file and folder is a chain of neighbours.
    fn table(&self) -> Vec<u8> {
        let mut entries = vec![0xfff8, END_OF_CHAIN];
        let mut starts: Vec<usize> =
            self.folder_clusters.iter().chain(&self.file_clusters).copied().collect();
        starts.push(FIRST_CLUSTER + self.used);
        for cluster in FIRST_CLUSTER..FIRST_CLUSTER + self.used {
            let ends = starts.contains(&(cluster + 1));
            entries.push(if ends { END_OF_CHAIN } else { (cluster + 1) as u16 });
        }
        entries.resize(self.table_sectors() * SECTOR_BYTES / 2, 0);
        entries.into_iter().flat_map(u16::to_le_bytes).collect()
    }

    /// The entries of one folder.
    fn folder(&self, folders: &[&'static str], files: &[File], index: usize) -> Result<Vec<u8>, FatError> {
        let path = folders[index];
        let mut entries = Vec::new();
        if index == 0 {
            entries.extend(entry(LABEL, ATTRIBUTE_LABEL, 0, 0));
        } else {
            let own = self.folder_clusters[index - 1];
            entries.extend(entry(*b".          ", ATTRIBUTE_FOLDER, own, 0));
            entries.extend(entry(*b"..         ", ATTRIBUTE_FOLDER, self.parent_cluster(folders, path), 0));
        }
        let within = |other: &str| other.rsplit_once('/').map_or("", |(parent, _)| parent) == path;
        for (folder, cluster) in folders.iter().skip(1).zip(&self.folder_clusters) {
            if within(folder) {
                entries.extend(entry(short_name(folder)?, ATTRIBUTE_FOLDER, *cluster, 0));
            }
        }
        for (file, cluster) in files.iter().zip(&self.file_clusters) {
            if within(file.path) {
                entries.extend(entry(short_name(file.path)?, ATTRIBUTE_FILE, *cluster, file.content.len()));
            }
        }
        Ok(entries)
    }
}

/// One entry of a folder. The largest volume has less than 2^16 clusters and 2^31 bytes, so both numbers fit.
fn entry(name: [u8; 11], attribute: u8, cluster: usize, bytes: usize) -> [u8; ENTRY_BYTES] {
    let mut entry = [0; ENTRY_BYTES];
    entry[..11].copy_from_slice(&name);
    entry[11] = attribute;
    for place in [16, 18, 24] {
        entry[place..place + 2].copy_from_slice(&DATE.to_le_bytes());
    }
    entry[26..28].copy_from_slice(&(cluster as u16).to_le_bytes());
    entry[28..].copy_from_slice(&(bytes as u32).to_le_bytes());
    entry
}

/// The last part of a path as FAT writes it: eight and three capitals, filled up with spaces.
fn short_name(path: &'static str) -> Result<[u8; 11], FatError> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let (stem, suffix) = name.split_once('.').unwrap_or((name, ""));
    let plain =
        |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if stem.is_empty() || stem.len() > 8 || suffix.len() > 3 || !plain(stem) || !plain(suffix) {
        return Err(FatError::Name(path));
    }
    let mut short = [b' '; 11];
    short[..stem.len()].copy_from_slice(stem.as_bytes());
    short[8..8 + suffix.len()].copy_from_slice(suffix.as_bytes());
    short.make_ascii_uppercase();
    Ok(short)
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Read as _};

    use bytes::Bytes;

    use super::{FatError, File, volume};

    /// Reads every file back through an independent implementation.
    fn check(files: &[(&'static str, usize)]) {
        let make = |(path, length): &(&'static str, usize)| File {
            path,
            content: (0..*length).map(|index| (index * 7 + path.len()) as u8).collect(),
        };
        let files: Vec<File> = files.iter().map(make).collect();
        let (content, starts) = volume(&files).expect("a volume");
        let bytes = content.into_pieces().concat();
        let disk = fatfs::FileSystem::new(Cursor::new(bytes.clone()), fatfs::FsOptions::new())
            .expect("a file system");
        assert_eq!(disk.fat_type(), fatfs::FatType::Fat16);
        for (file, start) in files.iter().zip(starts) {
            let mut found = Vec::new();
            let mut open =
                disk.root_dir().open_file(file.path).unwrap_or_else(|error| panic!("{}: {error}", file.path));
            open.read_to_end(&mut found).expect("its content");
            assert!(found == file.content, "{} differs", file.path);
            assert!(bytes[start as usize..].starts_with(&file.content), "{} lies elsewhere", file.path);
        }
    }

    #[test]
    fn files_of_all_lengths_are_read_back() {
        check(&[
            ("a", 1),
            ("EFI/BOOT/BOOTX64.EFI", 2048),
            ("EFI/debian/grub.cfg", 0),
            ("EFI/BOOT/x.y", 2049),
            ("b/c", 9),
        ]);
        check(&[]);
    }

    #[test]
    fn large_files_get_larger_clusters() {
        check(&[("small", 10), ("large", 140 << 20), ("last", 5)]);
    }

    #[test]
    fn names_that_need_more_than_eight_and_three_are_refused() {
        for path in ["initramfs", "a.efi2", "a.b.c", "folder with spaces/x", ".hidden", "a/"] {
            let file = File { path, content: Bytes::new() };
            assert!(matches!(volume(&[file]), Err(FatError::Name(_))), "{path}");
        }
    }
}
