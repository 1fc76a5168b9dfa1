//! The command line: what can be typed, and which file does it.
//!
//! Every command but `serve` and `doctor` talks to a running server through [`connection`], and shows what the API
//! says: as tables and sentences in the language of [`words`], or with `--json` as it came.

mod about;
mod ask;
mod carry;
mod computers;
pub(crate) mod connection;
mod deploy;
pub(crate) mod failure;
mod follow;
mod format;
mod image;
mod masters;
pub(crate) mod notices;
mod refusal;
mod remove;
mod report;
pub(crate) mod screen;
mod sessions;
mod snippets;
mod store;
mod tokens;
pub mod words;

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use mimeo_core::bad_sectors::BadSectorLimit;

use self::{
    carry::{CopyOptions, TakeInOptions},
    connection::Connection,
    failure::CliError,
    image::ImageCommand,
    remove::RemoveOptions,
    store::StoreCommand,
    words::Words,
};
use crate::{
    api::{computers::LoaderView, dhcp::ForeignServer},
    config::Config,
};

/// Network boot and imaging: one master, a classroom of copies.
#[derive(Debug, Parser)]
#[command(name = "mimeo", version, max_term_width = 100)]
pub struct Cli {
    #[command(flatten)]
    pub options: Options,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options for every command")]
pub struct Options {
    /// Configuration file [default: /etc/mimeo/mimeo.toml, if it is there]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print JSON, as the API says it; errors too, on the standard error output
    #[arg(long, global = true)]
    pub json: bool,
    /// Talk to this server over the network instead of the one on this machine, e.g. https://192.168.77.1
    #[arg(long, global = true, value_name = "ADDRESS")]
    pub url: Option<String>,
    /// API token for --url; better given as environment variable MIMEO_TOKEN, which other users cannot see
    #[arg(long, global = true, value_name = "TOKEN", requires = "url")]
    pub token: Option<String>,
    /// Certificate of the server's authority for --url, as downloaded from its /ca.pem
    #[arg(long, global = true, value_name = "FILE", requires = "url")]
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server
    Serve(ServeOptions),
    /// List computers, show one, or change what is set for it
    Computers(ComputersOptions),
    /// Say what keeps machines from booting, and what to do about it
    Notices,
    /// List masters and their versions, remove some, or carry some to another appliance and back
    Masters {
        #[command(subcommand)]
        command: Option<MastersCommand>,
    },
    /// What the store holds, whether it is sound, and what of it can go
    #[command(subcommand)]
    Store(StoreCommand),
    /// Capture and restore files and devices of this machine, without a server
    #[command(subcommand)]
    Image(ImageCommand),
    /// Read a computer's disk into a new version of a master
    Capture(CaptureOptions),
    /// Write a master to the disks of computers, erasing what is there
    Deploy(DeployOptions),
    /// List sessions (captures and deploys), or show one
    Sessions {
        /// A session's number
        session: Option<i64>,
        /// Only those that wait or run
        #[arg(long, conflicts_with = "session")]
        open: bool,
        /// Keep showing how far they are, until interrupted
        #[arg(long, conflicts_with = "session")]
        watch: bool,
    },
    /// Say which disk a session means
    Answer {
        session: i64,
        /// Serial number, WWN, or the disk's number in the list of `mimeo sessions`
        disk: String,
    },
    /// Cancel a session
    Cancel { session: i64 },
    /// Print what a DHCP server that is not ours needs to be told, so that every machine boots from here
    DhcpSnippets {
        /// Only for this one, to be written into its configuration
        #[arg(long)]
        server: Option<ForeignServer>,
    },
    /// Keys for programs that use the API
    #[command(subcommand)]
    Token(TokenCommand),
    /// Show the code that sets the administrator's name and password
    SetupCode {
        /// Make a new one, to set a forgotten password again
        #[arg(long)]
        renew: bool,
    },
    /// Say which server this is, and what machines boot: each file with its package, version and hash
    About,
    /// Check this machine and this configuration, and say what to do
    Doctor,
}

#[derive(Debug, Args)]
pub struct ServeOptions {
    /// The network interface to serve on, instead of the configured one
    #[arg(long, value_name = "NAME")]
    pub interface: Option<String>,
    /// Where to keep everything, instead of the configured folder
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,
    /// Where boot loaders, kernel and initramfs are, instead of the configured folder
    #[arg(long, value_name = "FOLDER")]
    pub artefacts: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct ComputersOptions {
    /// Name or id
    pub computer: Option<String>,
    /// Give it another name
    #[arg(long, value_name = "NAME", requires = "computer")]
    pub name: Option<String>,
    /// What it boots with: "signed" is shim and GRUB under UEFI; "ipxe" is iPXE everywhere, for difficult firmware
    #[arg(long, requires = "computer")]
    pub loader: Option<LoaderView>,
}

#[derive(Debug, Args)]
pub struct CaptureOptions {
    /// Name or id
    pub computer: String,
    /// The master that gets a new version, or is made
    #[arg(long, value_name = "MASTER")]
    pub name: String,
    /// Serial number or WWN, where the computer has several disks; without it, whoever is at the terminal is asked
    #[arg(long)]
    pub disk: Option<String>,
    /// Go on past up to so many sectors in use that cannot be read (at most 4096); zeros stand for them
    #[arg(long, value_name = "N", default_value = "0")]
    pub tolerate_bad_sectors: BadSectorLimit,
    /// Follow the session to its end
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Args)]
pub struct DeployOptions {
    /// NAME for the latest version, NAME@VERSION for a certain one
    pub master: String,
    /// Names or ids
    #[arg(required = true, value_name = "COMPUTER")]
    pub computers: Vec<String>,
    /// Serial number or WWN, where a computer has several disks; without it, whoever is at the terminal is asked
    #[arg(long)]
    pub disk: Option<String>,
    /// Do not ask before erasing
    #[arg(long)]
    pub yes: bool,
    /// Do not read everything back: faster, and a disk that does not keep what it is given is not found out
    #[arg(long)]
    pub no_verify: bool,
    /// Follow the sessions to their end
    #[arg(long)]
    pub wait: bool,
}

#[derive(Debug, Subcommand)]
pub enum MastersCommand {
    /// Remove a version of a master, or a master with all of its versions, for good
    Remove(RemoveOptions),
    /// Copy versions into a library on a disk of the appliance that is carried to another
    Copy(CopyOptions),
    /// Take versions in from a library on a disk of the appliance, whose key a person has to trust once
    TakeIn(TakeInOptions),
}

#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and show it, once
    Create { name: String },
    /// List tokens by name
    List,
    /// Make a token worthless
    Delete { name: String },
}

/// How a command answers.
#[derive(Clone, Copy)]
struct Output {
    words: Words,
    /// For programs: as the API says it.
    json: bool,
}

/// Runs a command against a server. 0: done; 1: failed; clap itself ends with 2 for what was typed wrongly.
pub async fn run(options: Options, command: Command) -> ExitCode {
    let out = Output { words: Words::of_environment(options.json), json: options.json };
    match execute(options, command, out).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            failure::report(&error, out);
            ExitCode::FAILURE
        }
    }
}

async fn execute(options: Options, command: Command, out: Output) -> Result<(), CliError> {
    if let Command::Image(command) = command {
        return Box::pin(image::run(command, out)).await;
    }
    let connection = Connection::open(&options)?;
    match command {
        Command::Serve(_) | Command::Doctor | Command::Image(_) => {
            Err(CliError::Refused(out.words.say("error-needs-no-server")))
        }
        Command::Computers(options) => computers::run(&connection, options, out).await,
        Command::Notices => notices::list(&connection, out).await,
        Command::Masters { command: None } => masters::list(&connection, out).await,
        Command::Masters { command: Some(MastersCommand::Remove(options)) } => {
            remove::run(&connection, options, out).await
        }
        Command::Masters { command: Some(MastersCommand::Copy(options)) } => {
            carry::copy(&connection, options, out).await
        }
        Command::Masters { command: Some(MastersCommand::TakeIn(options)) } => {
            carry::take_in(&connection, options, out).await
        }
        Command::Store(command) => store::run(&connection, command, out).await,
        Command::Capture(capture) => deploy::capture(&connection, capture, out).await,
        Command::Deploy(deploy) => deploy::deploy(&connection, deploy, out).await,
        Command::Sessions { session: Some(session), .. } => sessions::show(&connection, session, out).await,
        Command::Sessions { session: None, open, watch: false } => {
            sessions::list(&connection, open, out).await
        }
        Command::Sessions { session: None, watch: true, .. } => follow::watch(&connection, out).await,
        Command::Answer { session, disk } => sessions::answer(&connection, session, &disk, out).await,
        Command::Cancel { session } => sessions::cancel(&connection, session, out).await,
        Command::DhcpSnippets { server } => snippets::print_snippets(&connection, server, out).await,
        Command::Token(TokenCommand::Create { name }) => tokens::create(&connection, &name, out).await,
        Command::Token(TokenCommand::List) => tokens::list(&connection, out).await,
        Command::Token(TokenCommand::Delete { name }) => tokens::delete(&connection, &name, out).await,
        Command::About => about::show(&connection, out).await,
        Command::SetupCode { renew } => tokens::setup_code(&connection, renew, out).await,
    }
}

impl ServeOptions {
    /// What was typed counts more than what the file says.
    pub fn apply(self, config: &mut Config) {
        if let Some(interface) = self.interface {
            config.network.interface = Some(interface);
        }
        if let Some(data_dir) = self.data_dir {
            if config.store.path == config.server.data_dir.join("store") {
                config.store.path = data_dir.join("store");
            }
            config.server.data_dir = data_dir;
        }
        if let Some(artefacts) = self.artefacts {
            config.server.artefacts_dir = artefacts;
        }
    }
}

#[cfg(test)]
mod tests;
