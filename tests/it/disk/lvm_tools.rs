//! LVM's own tools on image files. Groups are made, changed and listed, and never activated, so the kernel needs no
//! device mapper; what a volume is to hold is put where the tools say that its extents are.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::Path,
    process::Command,
};

use tempfile::TempDir;

/// Places of image files as the tools see them: as devices, and nothing else of this machine.
pub(crate) struct Tools {
    folder: TempDir,
    devices: Vec<Device>,
}

/// A loop device.
struct Device(String);

/// Bytes of a logical volume that lie together on a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) volume: String,
    /// In the volume.
    pub(crate) start: u64,
    /// In the order in which the tools were given them, and in bytes from the start of that.
    pub(crate) device: usize,
    pub(crate) place: u64,
    pub(crate) length: u64,
}

impl Tools {
    /// Devices of `length` bytes from `start` of files.
    pub(crate) fn on(places: &[(&Path, u64, u64)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let attach = |(path, start, length): &(&Path, u64, u64)| {
            let (start, length) = (start.to_string(), length.to_string());
            let arguments = ["--find", "--show", "--offset", &start, "--sizelimit", &length];
            let name = output(Command::new("losetup").args(arguments).arg(path));
            Device(name.trim().to_owned())
        };
        let devices: Vec<Device> = places.iter().map(attach).collect();
        let accept: String = devices.iter().map(|Device(name)| format!("\"a|^{name}$|\", ")).collect();
        let configuration = format!(
            "global {{ activation=0 locking_dir=\"{}\" use_lvmpolld=0 event_activation=0 }}\n\
             devices {{ use_devicesfile=0 scan=[\"/dev\"] filter=[{accept}\"r|.*|\"] hints=\"none\" \
             obtain_device_list_from_udev=0 external_device_info_source=\"none\" sysfs_scan=0 }}\n\
             activation {{ udev_sync=0 udev_rules=0 monitoring=0 }}\n\
             backup {{ backup=0 archive=0 }}\n",
            folder.path().display()
        );
        fs::write(folder.path().join("lvm.conf"), configuration).expect("a configuration");
        Self { folder, devices }
    }

    pub(crate) fn device(&self, number: usize) -> &str {
        &self.devices[number].0
    }

    /// Runs a tool that must succeed; what it said to standard output.
    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        command.env("LVM_SYSTEM_DIR", self.folder.path()).env("LVM_SUPPRESS_FD_WARNINGS", "1");
        output(command.args(arguments))
    }

    /// Makes a logical volume of so many megabytes.
    pub(crate) fn create(&self, group: &str, volume: &str, megabytes: u64, more: &[&str]) {
        let size = format!("{megabytes}m");
        let create = ["-y", "-an", "-Zn", "-Wn", "-L", &size, "-n", volume, group];
        self.run("lvcreate", &[&create[..], more].concat());
    }

    /// Has the group described by its own backup, changed by `change`.
    pub(crate) fn describe(&self, group: &str, change: impl FnOnce(String) -> String) {
        let path = self.folder.path().join("description");
        let path = path.to_str().expect("UTF-8");
        self.run("vgcfgbackup", &["-f", path, group]);
        let text = change(fs::read_to_string(path).expect("a description"));
        fs::write(path, text).expect("a description");
        self.run("vgcfgrestore", &["--force", "-f", path, group]);
    }

    /// Where every byte of a group's volumes is, also of hidden ones. What lies in other volumes is left out.
    pub(crate) fn pieces(&self, group: &str) -> Vec<Piece> {
        let report = ["--noheadings", "--nosuffix", "--units", "b", "--separator", "|", "-o"];
        let starts = self.run("pvs", &[&report[..], &["pv_name,pe_start,vg_extent_size"]].concat());
        let starts: Vec<(String, u64, u64)> = starts
            .lines()
            .map(|line| {
                let [name, start, extent] = fields(line);
                (name.to_owned(), number(start), number(extent))
            })
            .collect();
        let columns = "lv_name,seg_start,seg_size,stripe_size,seg_pe_ranges";
        let segments = self.run("lvs", &[&["-a", "--segments"], &report[..], &[columns, group]].concat());
        let mut pieces = Vec::new();
        for line in segments.lines() {
            let [volume, start, length, stripe, ranges] = fields(line);
            let volume = volume.trim_matches(['[', ']']);
            let areas: Vec<(usize, u64)> = ranges
                .split_whitespace()
                .filter_map(|range| {
                    let (name, extents) = range.rsplit_once(':').expect("a range");
                    let device = self.devices.iter().position(|Device(device)| device == name)?;
                    let (_, start, extent) = starts.iter().find(|(known, ..)| known == name).expect("known");
                    let first = extents.split('-').next().expect("a first extent");
                    Some((device, start + number(first) * extent))
                })
                .collect();
            let stripe = if areas.len() > 1 { number(stripe) } else { number(length) };
            // The halves of a mirror are no stripes.
            let stripe = if stripe == 0 { number(length) } else { stripe };
            let rows = if areas.len() > 1 { number(length) / stripe / areas.len() as u64 } else { 1 };
            for row in 0..rows.max(1) {
                for (index, (device, place)) in areas.iter().enumerate() {
                    pieces.push(Piece {
                        volume: volume.to_owned(),
                        start: number(start) + (row * areas.len() as u64 + index as u64) * stripe,
                        device: *device,
                        place: place + row * stripe,
                        length: stripe,
                    });
                }
            }
        }
        pieces.sort_by(|a, b| (&a.volume, a.start).cmp(&(&b.volume, b.start)));
        pieces
    }

    /// The metadata areas and the areas for boot loaders of a device: start and length.
    pub(crate) fn own_areas(&self, number_of_device: usize) -> Vec<(u64, u64)> {
        let said = self.run("pvck", &["--dump", "headers", self.device(number_of_device)]);
        let mut values = said.lines().filter_map(|line| {
            let (key, value) = line.trim().split_once(' ')?;
            let is_place = key.contains("disk_locn") && (key.ends_with(".offset") || key.ends_with(".size"));
            is_place.then(|| number(value))
        });
        // The first is the data area.
        let _data = (values.next(), values.next());
        let mut areas = Vec::new();
        while let (Some(start), Some(length)) = (values.next(), values.next()) {
            areas.push((start, length));
        }
        areas.retain(|&(start, _)| start > 0);
        areas
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _status = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

/// Writes the content of a volume to the files in which its pieces are; device `n` begins at `starts[n]` of its file.
pub(crate) fn write(files: &[(&File, u64)], pieces: &[Piece], volume: &str, content: &[u8]) {
    for piece in pieces.iter().filter(|piece| piece.volume == volume) {
        let bytes = &content[piece.start as usize..(piece.start + piece.length) as usize];
        let (file, start) = files[piece.device];
        file.write_all_at(bytes, start + piece.place).expect("writing a piece");
    }
}

/// The content of a volume.
pub(crate) fn read(files: &[(&File, u64)], pieces: &[Piece], volume: &str) -> Vec<u8> {
    let mut content = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.volume == volume) {
        assert_eq!(piece.start, content.len() as u64, "{volume}");
        let mut bytes = vec![0; piece.length as usize];
        let (file, start) = files[piece.device];
        file.read_exact_at(&mut bytes, start + piece.place).expect("reading a piece");
        content.extend(bytes);
    }
    content
}

fn output(command: &mut Command) -> String {
    let output = command.env("LC_ALL", "C").output();
    let output = output.unwrap_or_else(|error| panic!("{command:?} is needed (make packages): {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{command:?}: {}{said}", String::from_utf8_lossy(&output.stderr));
    said
}

fn fields<const N: usize>(line: &str) -> [&str; N] {
    let fields: Vec<&str> = line.trim().split('|').collect();
    fields.try_into().unwrap_or_else(|fields| panic!("{line}: {fields:?}"))
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("{text} is no number"))
}
