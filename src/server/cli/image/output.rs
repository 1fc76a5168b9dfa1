//! Where an export goes: the standard output, or a file that has its name only once it is whole.

use std::{
    ffi::OsString,
    fs::{self, File, TryLockError},
    io::{self, IsTerminal},
    os::{
        fd::AsFd,
        unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    },
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    fcntl::{AT_FDCWD, RenameFlags, renameat2},
};

use super::at;
use crate::cli::{Output, failure::CliError};

/// What stands for the standard output.
const STANDARD: &str = "-";

/// What a file is called while it is written, behind its own name.
const PARTIAL: &str = ".partial";

pub(super) enum Destination {
    Standard(File),
    New(PartialFile),
}

impl Destination {
    /// Refuses what an export must not write to: a device, a file that is there, a place inside the library, a
    /// terminal.
    pub(super) fn open(path: &Path, library: &Path, out: Output) -> Result<Self, CliError> {
        let refused = |key, name| CliError::Refused(out.words.say_of(key, name, path.display()));
        if path.as_os_str() == STANDARD {
            let output = io::stdout();
            if output.is_terminal() {
                return Err(CliError::Refused(out.words.say("export-to-terminal")));
            }
            let output = output.as_fd().try_clone_to_owned().map_err(|error| at(path, &error))?;
            return Ok(Self::Standard(output.into()));
        }
        if let Ok(there) = fs::symlink_metadata(path) {
            // A link may lead to a device, as those under /dev/disk do.
            let kind = fs::metadata(path).unwrap_or(there).file_type();
            let is_device = kind.is_block_device() || kind.is_char_device();
            return Err(refused(if is_device { "export-to-device" } else { "export-file-exists" }, "file"));
        }
        let Some(name) = path.file_name() else { return Err(refused("export-file-exists", "file")) };
        let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder).map_err(|error| at(folder, &error))?;
        if folder.starts_with(library) {
            return Err(refused("image-inside-library", "target"));
        }
        Ok(Self::New(PartialFile::create(&folder, name.to_owned(), out)?))
    }

    /// Gives the file its name.
    pub(super) fn keep(self, out: Output) -> Result<(), CliError> {
        match self {
            Self::Standard(_) => Ok(()),
            Self::New(partial) => partial.keep(out),
        }
    }
}

/// A file under another name than it is to have. It goes with this value, unless it was kept.
pub(super) struct PartialFile {
    folder: PathBuf,
    name: OsString,
    file: File,
}

impl PartialFile {
    /// Takes what a command left that was killed, and waits for nobody who still writes it.
    fn create(folder: &Path, name: OsString, out: Output) -> Result<Self, CliError> {
        let mut partial_name = name.clone();
        partial_name.push(PARTIAL);
        let path = folder.join(&partial_name);
        let failed = |error: io::Error| at(&path, &error);
        loop {
            // Nobody's link is followed, and nobody at the other end of a pipe is waited for.
            let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
            let mut options = File::options();
            options.create(true).write(true).truncate(false).custom_flags(flags);
            let file = options.open(&path).map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(CliError::Refused(out.words.say_of("export-busy", "file", path.display())));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Whoever had it locked until now may have given it its name, or taken it away.
            let locked = file.metadata().map_err(failed)?;
            let is_still_there = fs::symlink_metadata(&path)
                .is_ok_and(|found| (found.dev(), found.ino()) == (locked.dev(), locked.ino()));
            if is_still_there {
                if !locked.is_file() {
                    return Err(CliError::Refused(out.words.say_of(
                        "export-file-exists",
                        "file",
                        path.display(),
                    )));
                }
                file.set_len(0).map_err(failed)?;
                return Ok(Self { folder: folder.to_owned(), name, file });
            }
        }
    }

    pub(super) fn file(&self) -> Result<File, CliError> {
        self.file.try_clone().map_err(|error| at(&self.path(), &error))
    }

    fn path(&self) -> PathBuf {
        let mut name = self.name.clone();
        name.push(PARTIAL);
        self.folder.join(name)
    }

    /// Gives the file its name, unless something has come to have that name meanwhile. Durable when it returns; the
    /// content is durable before.
    fn keep(self, out: Output) -> Result<(), CliError> {
        let wanted = self.folder.join(&self.name);
        match rename_to_new(&self.path(), &wanted) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let sentence = out.words.say_of("export-file-exists", "file", wanted.display());
                return Err(CliError::Refused(sentence));
            }
            Err(error) => return Err(at(&wanted, &error)),
        }
        File::open(&self.folder)
            .and_then(|folder| folder.sync_all())
            .map_err(|error| at(&self.folder, &error))
    }
}

impl Drop for PartialFile {
    fn drop(&mut self) {
        // Kept, it no longer has this name.
        let _gone = fs::remove_file(self.path());
    }
}

/// Renames where nothing has the new name.
fn rename_to_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        // NFS and some others cannot refuse to replace (rename(2)): there, a look has to do.
        Err(Errno::EINVAL | Errno::ENOSYS) => match fs::symlink_metadata(to) {
            Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) => fs::rename(from, to),
        },
        result => Ok(result?),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, io::Write};

    use mimeo_core::messages::Language;

    use super::{Destination, PartialFile};
    use crate::cli::{Output, words::Words};

    fn out() -> Output {
        Output { words: Words::new(Language::En), json: true }
    }

    #[test]
    fn a_file_has_its_name_once_it_is_whole_and_leaves_nothing_otherwise() {
        let folder = tempfile::tempdir().expect("a folder");
        let wanted = folder.path().join("disk.img");
        let open = || Destination::open(&wanted, &folder.path().join("library"), out());
        drop(open().expect("nothing is there"));
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0);

        // What a killed command left is taken, and emptied.
        fs::write(folder.path().join("disk.img.partial"), "half").expect("a file");
        let kept = open().expect("it is nobody's");
        let Destination::New(partial) = &kept else { panic!("a file was wanted") };
        partial.file().expect("the file").write_all(b"ab").expect("it is writable");
        let busy = open().err().expect("somebody writes it");
        assert!(busy.sentence(&out().words).contains("another export"), "{}", busy.sentence(&out().words));
        assert!(!wanted.exists());
        kept.keep(out()).expect("the name is free");
        assert_eq!(fs::read(&wanted).expect("it has its name"), b"ab");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
        assert!(open().is_err(), "it is not written over");
    }

    #[test]
    fn a_name_that_is_taken_meanwhile_is_not_written_over() {
        let folder = tempfile::tempdir().expect("a folder");
        let partial = PartialFile::create(folder.path(), "disk.img".into(), out()).expect("free");
        fs::write(folder.path().join("disk.img"), "mine").expect("a file");
        assert!(partial.keep(out()).is_err());
        assert_eq!(fs::read(folder.path().join("disk.img")).expect("it is there"), b"mine");
        assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 1);
    }

    #[test]
    fn devices_links_to_them_and_the_library_are_no_place_for_an_export() {
        let folder = tempfile::tempdir().expect("a folder");
        let library = folder.path().canonicalize().expect("it is there").join("library");
        fs::create_dir(&library).expect("a folder");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("/dev/null", &link).expect("a link");
        for path in [link.as_path(), "/dev/null".as_ref()] {
            let error = Destination::open(path, &library, out()).err().expect("no device");
            assert!(error.sentence(&out().words).contains("image restore"), "{}", path.display());
        }
        let inside = library.join("disk.img");
        let hanging = folder.path().join("hanging");
        std::os::unix::fs::symlink(folder.path().join("absent"), &hanging).expect("a link");
        for path in [inside.as_path(), &hanging, folder.path(), &folder.path().join("no/disk.img")] {
            assert!(Destination::open(path, &library, out()).is_err(), "{}", path.display());
        }
    }
}
