//! The recipes of the boot artefacts against a mirror of our own: real apt, real packages with invented content.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use serde_json::Value;

/// The files of each package but the kernel's.
const PACKAGES: [(&str, &[&str]); 4] = [
    ("ipxe", &["usr/lib/ipxe/undionly.kpxe", "usr/lib/ipxe/snponly.efi"]),
    ("shim-signed", &["usr/lib/shim/shimx64.efi.signed"]),
    (
        "grub-efi-amd64-signed",
        &[
            "usr/lib/grub/x86_64-efi-signed/grubnetx64.efi.signed",
            "usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed",
        ],
    ),
    ("memtest86+", &["boot/memtest86+x64.bin", "boot/memtest86+x64.efi"]),
];

/// Stands for the recipe of the initramfs, which has its own tests: two parts for the kernel that was fetched.
const INITRAMFS: &str = r#"#!/bin/bash
set -eu
[ ! -e initramfs/fails ]
for part in initramfs-first.cpio.zst initramfs-payload.tar.zst; do
    echo "$part" >build/artefacts/$part
    echo "mimeo-client 0 $(tr ' ' _ <build/artefacts/.origin/vmlinuz) 0" >build/artefacts/.origin/$part
done
"#;

/// A checkout with the recipes, and an apt that knows one mirror.
struct Workshop {
    folder: tempfile::TempDir,
}

impl Workshop {
    fn new() -> Self {
        let workshop = Self { folder: tempfile::tempdir().expect("a folder") };
        let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let recipes = [
            "scripts/debian-packages.sh",
            "scripts/build-artefacts.sh",
            "ipxe/fetch.sh",
            "ipxe/power-off.sh",
            "ipxe/manifest.sh",
        ];
        for recipe in recipes {
            let to = workshop.path(recipe);
            fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            fs::copy(repository.join(recipe), to).expect("the recipe is there");
        }
        for folder in ["initramfs", "mirror", "apt/lists/partial", "apt/cache/archives/partial", "apt/etc"] {
            fs::create_dir_all(workshop.path(folder)).expect("made");
        }
        fs::write(workshop.path("initramfs/build.sh"), INITRAMFS).expect("written");
        workshop.run("chmod", &["755", "initramfs/build.sh"]);
        let root = workshop.folder.path().display();
        let apt = format!(
            "Dir::State \"{root}/apt\";\nDir::State::status \"{root}/apt/status\";\nDir::Cache \"{root}/apt/cache\";\n\
             Dir::Etc::sourcelist \"{root}/apt/sources.list\";\nDir::Etc::sourceparts \"{root}/apt/etc\";\n\
             Dir::Etc::preferencesparts \"{root}/apt/etc\";\nAPT::Sandbox::User \"root\";\n"
        );
        fs::write(workshop.path("apt/status"), "").expect("written");
        fs::write(workshop.path("apt/apt.conf"), apt).expect("written");
        fs::write(workshop.path("apt/sources.list"), format!("deb [trusted=yes] copy:{root}/mirror ./\n"))
            .expect("written");
        workshop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(self.folder.path()).env("APT_CONFIG", self.path("apt/apt.conf"));
        // As a person in France has it.
        command.env("LC_ALL", "C.UTF-8").env("LANGUAGE", "fr");
        command.output().unwrap_or_else(|error| panic!("{program}: {error}"))
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.command(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).expect("text")
    }

    /// What the mirror has from now on, and nothing else: every package in this version, a kernel of this name.
    fn publish(&self, version: &str, kernel: &str, without: Option<&str>) {
        fs::remove_dir_all(self.path("mirror")).expect("removed");
        fs::create_dir_all(self.path("mirror")).expect("made");
        let image = format!("linux-image-{kernel}");
        let vmlinuz = format!("boot/vmlinuz-{kernel}");
        for (name, files) in PACKAGES.iter().filter(|(name, _)| Some(*name) != without) {
            self.build(name, version, "", files);
        }
        self.build(&image, version, "", &[&vmlinuz]);
        self.build("linux-image-amd64", version, &format!("Depends: {image}\n"), &[]);
        let mut index = String::new();
        for file in fs::read_dir(self.path("mirror")).expect("the mirror") {
            let name = file.expect("a package").file_name().into_string().expect("a plain name");
            let deb = format!("mirror/{name}");
            let hash = self.run("sha256sum", &[&deb]);
            let hash = hash.split(' ').next().expect("a hash");
            let bytes = fs::metadata(self.path(&deb)).expect("is there").len();
            let control = self.run("dpkg-deb", &["-f", &deb]);
            index += &format!("{control}Filename: ./{name}\nSize: {bytes}\nSHA256: {hash}\n\n");
        }
        fs::write(self.path("mirror/Packages"), index).expect("written");
    }

    fn build(&self, name: &str, version: &str, depends: &str, files: &[&str]) {
        let tree = tempfile::tempdir().expect("a folder");
        for file in files {
            let to = tree.path().join(file);
            fs::create_dir_all(to.parent().expect("a folder")).expect("made");
            fs::write(to, format!("{file} {version}")).expect("written");
        }
        fs::create_dir(tree.path().join("DEBIAN")).expect("made");
        let control = format!(
            "Package: {name}\nVersion: {version}\nArchitecture: amd64\nMaintainer: nobody <nobody@localhost>\n\
             {depends}Description: for a test\n"
        );
        fs::write(tree.path().join("DEBIAN/control"), control).expect("written");
        let deb = self.path(&format!("mirror/{name}_{version}_amd64.deb"));
        self.run("chmod", &["755", &tree.path().display().to_string()]);
        self.run("dpkg-deb", &["-b", &tree.path().display().to_string(), &deb.display().to_string()]);
    }

    fn make(&self) -> Output {
        self.command("scripts/build-artefacts.sh", &[])
    }

    /// Makes what must succeed; what was said.
    fn made(&self) -> String {
        self.run("scripts/build-artefacts.sh", &[])
    }

    /// The version that the manifest gives for a file, whose content must be of that version.
    fn version(&self, artefact: &str) -> String {
        let text = fs::read(self.path("build/artefacts/manifest.json")).expect("a manifest");
        let manifest: Value = serde_json::from_slice(&text).expect("is JSON");
        let mut listed = manifest["artefacts"].as_array().expect("a list").iter();
        let entry = listed.find(|entry| entry["name"] == artefact).expect("is listed");
        let version = entry["version"].as_str().expect("a version").to_owned();
        let content =
            fs::read_to_string(self.path(&format!("build/artefacts/{artefact}"))).expect("is there");
        assert!(content.ends_with(&format!(" {version}")), "{artefact} is {content}, listed as {version}");
        version
    }

    fn is_complete(&self) -> bool {
        self.path("build/artefacts/manifest.json").exists()
    }
}

#[test]
fn everything_comes_from_the_mirror_and_a_second_run_does_nothing() {
    let workshop = Workshop::new();
    workshop.publish("1.0-1", "6.1.0-1-amd64", None);
    let said = workshop.made();
    assert!(said.contains("vmlinuz from linux-image-6.1.0-1-amd64 1.0-1"), "{said}");
    for artefact in ["undionly.kpxe", "shimx64.efi", "grubx64.efi", "memtest.efi", "vmlinuz"] {
        assert_eq!(workshop.version(artefact), "1.0-1");
    }
    // Were the mirror asked again, it would not answer.
    fs::remove_dir_all(workshop.path("mirror")).expect("removed");
    assert_eq!(workshop.made(), "", "nothing is fetched, nothing is written");
}

#[test]
fn a_security_update_between_the_lists_and_the_download_needs_no_hand() {
    let workshop = Workshop::new();
    workshop.publish("1.0-1", "6.1.0-1-amd64", None);
    workshop.made();
    // Another checkout, with lists of yesterday: each of their files is gone, and the kernel has another name.
    fs::remove_dir_all(workshop.path("build")).expect("removed");
    fs::create_dir_all(workshop.path("build/packages")).expect("made");
    fs::write(workshop.path("build/packages/.lists-fetched"), "").expect("written");
    workshop.publish("1.0-2", "6.1.0-2-amd64", None);
    let said = workshop.made();
    assert!(said.contains("once more with new ones"), "{said}");
    for artefact in ["undionly.kpxe", "shimx64.efi", "vmlinuz"] {
        assert_eq!(workshop.version(artefact), "1.0-2");
    }
    let kept: Vec<_> = fs::read_dir(workshop.path("build/packages")).expect("trees").collect();
    assert_eq!(kept.len(), PACKAGES.len() + 2, "one tree of each package, and the stamp: {kept:?}");
}

#[test]
fn a_package_that_is_missing_is_named() {
    let workshop = Workshop::new();
    workshop.publish("1.0-1", "6.1.0-1-amd64", Some("memtest86+"));
    let output = workshop.make();
    let said = String::from_utf8(output.stderr).expect("text");
    assert!(
        !output.status.success() && said.contains("Debian package 'memtest86+' is not available"),
        "{said}"
    );
    assert!(!workshop.is_complete());
}

#[test]
fn what_was_interrupted_is_no_complete_set_until_it_was_built_again() {
    let workshop = Workshop::new();
    workshop.publish("1.0-1", "6.1.0-1-amd64", None);
    workshop.made();
    workshop.publish("1.0-2", "6.1.0-2-amd64", None);
    fs::remove_file(workshop.path("build/packages/.lists-fetched")).expect("removed");
    fs::write(workshop.path("initramfs/fails"), "").expect("written");
    assert!(!workshop.make().status.success());
    assert!(!workshop.is_complete(), "the new kernel has no initramfs yet");
    fs::remove_file(workshop.path("initramfs/fails")).expect("removed");
    workshop.made();
    assert_eq!(workshop.version("vmlinuz"), "1.0-2");
}
