#!/usr/bin/env python3
"""Fills a mounted NTFS volume with what a Windows volume is made of, and lists what is there.

    tree.py fill FOLDER           writes the tree of the Windows volume
    tree.py fill-recovery FOLDER  writes that of the recovery volume
    tree.py loader FILE           writes what stands for the boot loader in the ESP
    tree.py list FOLDER           prints a tree: one line per name, `KIND SIZE HASH PATH[:STREAM]`, sorted

The content follows from the names alone, so two runs make the same tree, and a listing taken after a deploy can be
compared with the one taken here.
"""

import hashlib
import os
import sys

SMALL_FILES = 4000
DEEP_FOLDERS = 40
# Longest name that NTFS takes, in UTF-16 units.
NAME_UNITS_MAX = 255
# ntfs-3g shows a file's attributes in this extended attribute (little-endian); 0x800 is FILE_ATTRIBUTE_COMPRESSED.
ATTRIBUTES = "system.ntfs_attrib"
COMPRESSED = 0x800
STREAM = "user."
# What Windows keeps in these is worth nothing on another machine: a capture leaves the content out, and so does the
# listing.
VOLATILE = {"pagefile.sys": 64 << 20, "swapfile.sys": 16 << 20}


def content(name, size):
    """Bytes that nothing compresses and that only this name has."""
    return hashlib.shake_128(name.encode()).digest(size)


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def fill(root):
    system = os.path.join(root, "Windows", "System32")
    write(os.path.join(system, "ntoskrnl.exe"), content("ntoskrnl", 9_000_000))
    for name in ["SYSTEM", "SOFTWARE", "SAM", "SECURITY", "DEFAULT"]:
        write(os.path.join(system, "config", name), b"regf" + content(name, 1 << 20))
    fill_names(os.path.join(root, "Users", "Élève", "Documents"))
    fill_small_files(os.path.join(root, "Windows", "WinSxS"))
    fill_deep_folders(os.path.join(root, "ProgramData"))
    fill_sparse(os.path.join(root, "Users", "Public", "sparse.vhdx"))
    fill_compressed(os.path.join(root, "Windows", "Logs"))
    fill_links(system, os.path.join(root, "Windows", "WinSxS", "amd64_ntoskrnl"))
    fill_streams(os.path.join(root, "Users", "Élève", "Downloads"))
    for name, size in VOLATILE.items():
        write(os.path.join(root, name), content(name, size))


def fill_recovery(root):
    write(os.path.join(root, "Recovery", "WindowsRE", "Winre.wim"), content("Winre", 60 << 20))


def write_loader(path):
    write(path, b"MZ" + content("bootmgfw", 1_600_000))


def fill_names(folder):
    names = ["Résumé – été.docx", "日本語のファイル名.txt", "Ελληνικά.pdf", "emoji 😀.png", "with  two spaces .txt"]
    names += ["n" * (NAME_UNITS_MAX - 4) + ".txt", "é" * (NAME_UNITS_MAX - 4) + ".txt", "empty.txt"]
    for name in names:
        write(os.path.join(folder, name), b"" if name == "empty.txt" else content(name, 5000))


def fill_small_files(folder):
    """Sizes from those that live in the MFT record itself to some that need a few clusters."""
    for number in range(SMALL_FILES):
        name = f"component-{number:05}.manifest"
        write(os.path.join(folder, f"amd64_{number % 50:02}", name), content(name, number * 37 % 6000))


def fill_deep_folders(folder):
    for depth in range(DEEP_FOLDERS):
        folder = os.path.join(folder, f"level {depth}")
    write(os.path.join(folder, "bottom.txt"), content("bottom", 700))


def fill_sparse(path):
    """1 GiB, of which two pieces are there."""
    write(path, content("head", 100_000))
    with open(path, "r+b") as file:
        file.seek(700 << 20)
        file.write(content("middle", 100_000))
        file.truncate(1 << 30)


def fill_compressed(folder):
    """Files in a folder that is marked as compressed are compressed as they are written."""
    os.makedirs(folder)
    attributes = int.from_bytes(os.getxattr(folder, ATTRIBUTES), "little") | COMPRESSED
    os.setxattr(folder, ATTRIBUTES, attributes.to_bytes(4, "little"))
    for number in range(20):
        line = f"2026-01-01 00:00:{number:02}, Info CBS Session initialised\r\n".encode()
        write(os.path.join(folder, f"CBS-{number}.log"), line * 8000)


def fill_links(system, folder):
    os.makedirs(folder)
    for number in range(3):
        os.link(os.path.join(system, "ntoskrnl.exe"), os.path.join(folder, f"ntoskrnl-{number}.exe"))


def fill_streams(folder):
    """Alternate data streams, which ntfs-3g shows as extended attributes here."""
    for number in range(50):
        path = os.path.join(folder, f"setup-{number}.exe")
        write(path, content(path, 20_000))
        os.setxattr(path, STREAM + "Zone.Identifier", b"[ZoneTransfer]\r\nZoneId=3\r\n")
    os.setxattr(path, STREAM + "large", content("large stream", 60_000))


def list_tree(root):
    lines = []
    for folder, folders, files in os.walk(root):
        lines += [f"folder - - {os.path.relpath(os.path.join(folder, name), root)}" for name in folders]
        for name in files:
            path = os.path.join(folder, name)
            lines += describe(path, os.path.relpath(path, root))
    print("\n".join(sorted(lines)))


def describe(path, shown):
    if shown in VOLATILE:
        yield f"volatile {os.path.getsize(path)} - {shown}"
        return
    with open(path, "rb") as file:
        yield f"file {os.path.getsize(path)} {hashlib.file_digest(file, 'sha256').hexdigest()} {shown}"
    for name in os.listxattr(path):
        if name.startswith(STREAM):
            data = os.getxattr(path, name)
            yield f"stream {len(data)} {hashlib.sha256(data).hexdigest()} {shown}:{name.removeprefix(STREAM)}"


COMMANDS = {"fill": fill, "fill-recovery": fill_recovery, "loader": write_loader, "list": list_tree}

if __name__ == "__main__":
    COMMANDS[sys.argv[1]](sys.argv[2])
