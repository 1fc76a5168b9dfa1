//! The configuration: one TOML file, in which a line is needed only for what differs from the defaults.
//!
//! `mimeo.example.toml` is the one source of truth: it lists every key with its comment and its default, and it is
//! compiled in. [`raw`] reads a file over it and knows only text and types; [`Config`] is what the text means, and
//! holds nothing that would have to be checked again. Whether an interface exists is not asked here but in
//! [`interface`], when the server starts: `mimeo doctor` reads configurations of servers that cannot start.

pub mod interface;
pub mod kernel_options;
pub mod raw;

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    num::NonZeroU32,
    path::{Path, PathBuf},
    time::Duration,
};

use mimeo_core::{ids::MacAddr, messages::Language};

use self::{
    kernel_options::KernelOptions,
    raw::{ConfigError, RawConfig},
};

/// Where the configuration lies unless `--config` names another file. It need not exist.
pub const DEFAULT_FILE: &str = "/etc/mimeo/mimeo.toml";

/// Every key with its comment and its default.
pub const EXAMPLE: &str = include_str!("mimeo.example.toml");

/// What a network interface's name may have: `IFNAMSIZ` is 16 with the closing zero.
const INTERFACE_NAME_BYTES_MAX: usize = 15;

/// The validated configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    pub server: ServerConfig,
    pub network: NetworkConfig,
    pub dhcp: DhcpConfig,
    pub tftp: TftpConfig,
    pub http: HttpConfig,
    pub https: HttpsConfig,
    pub boot: BootConfig,
    pub store: StoreConfig,
    pub auth: AuthConfig,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerConfig {
    pub data_dir: PathBuf,
    pub artefacts_dir: PathBuf,
    pub language: Language,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    pub interface: Option<String>,
    pub address: Option<Ipv4Addr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DhcpConfig {
    pub mode: DhcpMode,
    /// Always there where `mode` gives addresses.
    pub pool: Option<AddressPool>,
    pub router: Option<Ipv4Addr>,
    pub dns: Vec<Ipv4Addr>,
    pub domain: Option<String>,
    pub lease: Duration,
    pub reservations: BTreeMap<MacAddr, Ipv4Addr>,
}

/// What Mimeo does on the DHCP ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DhcpMode {
    /// Boot information beside a foreign DHCP server.
    Proxy,
    /// Addresses for machines that netboot, and for nobody else.
    Pxe,
    /// Addresses for everybody.
    Full,
    Off,
}

/// Addresses from `first` to `last`, both included; `first` is never above `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressPool {
    pub first: Ipv4Addr,
    pub last: Ipv4Addr,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TftpConfig {
    pub enabled: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpConfig {
    pub enabled: bool,
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpsConfig {
    pub port: u16,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootConfig {
    pub unknown: UnknownMachines,
    pub menu_timeout_seconds: u32,
    pub kernel_options: KernelOptions,
}

/// What a machine that nobody knows gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownMachines {
    Menu,
    Register,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreConfig {
    pub path: PathBuf,
    /// `None`: no rule.
    pub keep_versions: Option<NonZeroU32>,
    pub keep_days: Option<NonZeroU32>,
    pub recompress: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthConfig {
    pub login_lasts: Duration,
}

impl Config {
    /// Reads the file that was named, or the default one if it is there, over the defaults.
    pub fn load(named: Option<&Path>) -> Result<Self, ConfigError> {
        let default = Path::new(DEFAULT_FILE);
        match named {
            Some(file) => Self::parse(&raw::read_file(file)?, &file.display().to_string()),
            None if default.exists() => Self::parse(&raw::read_file(default)?, DEFAULT_FILE),
            None => Self::parse("", "the defaults"),
        }
    }

    /// As [`Config::load`], from text; `file` is the name that errors give it.
    pub fn parse(text: &str, file: &str) -> Result<Self, ConfigError> {
        let raw = RawConfig::parse(text, file)?;
        let data_dir = raw.get("server.data_dir", ABSOLUTE_PATH, absolute_path)?;
        Ok(Self {
            store: StoreConfig {
                path: raw
                    .find("store.path", ABSOLUTE_PATH, absolute_path)?
                    .unwrap_or_else(|| data_dir.join("store")),
                keep_versions: raw.get("store.keep_versions", RULE, rule)?,
                keep_days: raw.get("store.keep_days", RULE, rule)?,
                recompress: raw.get("store.recompress", BOOLEAN, toml::Value::as_bool)?,
            },
            server: ServerConfig {
                data_dir,
                artefacts_dir: raw.get("server.artefacts_dir", ABSOLUTE_PATH, absolute_path)?,
                language: raw.get("server.language", "\"fr\" or \"en\"", language)?,
            },
            network: NetworkConfig {
                interface: raw.find(
                    "network.interface",
                    "the name of a network interface",
                    interface_name,
                )?,
                address: raw.find("network.address", ADDRESS, address)?,
            },
            dhcp: dhcp(&raw)?,
            tftp: TftpConfig { enabled: raw.get("tftp.enabled", BOOLEAN, toml::Value::as_bool)? },
            http: HttpConfig {
                enabled: raw.get("http.enabled", BOOLEAN, toml::Value::as_bool)?,
                port: raw.get("http.port", PORT, |value| number(value, 1..=65535))?,
            },
            https: HttpsConfig { port: raw.get("https.port", PORT, |value| number(value, 1..=65535))? },
            boot: BootConfig {
                unknown: raw.get("boot.unknown", "\"menu\" or \"register\"", unknown_machines)?,
                menu_timeout_seconds: raw.get(
                    "boot.menu_timeout_seconds",
                    "a number from 1 to 600",
                    |value| number(value, 1..=600),
                )?,
                kernel_options: raw.get("boot.kernel_options", kernel_options::ALLOWED, |value| {
                    KernelOptions::parse(value.as_str()?)
                })?,
            },
            auth: AuthConfig {
                login_lasts: raw.get("auth.session_hours", "a number from 1 to 720", |value| {
                    number(value, 1..=720).map(|hours: u64| Duration::from_secs(hours * 3600))
                })?,
            },
        })
    }
}

fn dhcp(raw: &RawConfig) -> Result<DhcpConfig, ConfigError> {
    let config = DhcpConfig {
        mode: raw.get("dhcp.mode", "\"proxy\", \"pxe\", \"full\" or \"off\"", dhcp_mode)?,
        pool: raw.find("dhcp.pool", "two addresses such as \"192.168.77.100-192.168.77.199\"", pool)?,
        router: raw.find("dhcp.router", ADDRESS, address)?,
        dns: raw.get("dhcp.dns", "a list of IPv4 addresses", addresses)?,
        domain: raw.find("dhcp.domain", "a domain name such as \"school.example\"", domain)?,
        lease: raw.get("dhcp.lease_seconds", "a number from 60 to 31536000", |value| {
            number(value, 60..=31_536_000).map(Duration::from_secs)
        })?,
        reservations: raw.get("dhcp.reservations", RESERVATIONS, reservations)?,
    };
    let gives_addresses = matches!(config.mode, DhcpMode::Pxe | DhcpMode::Full);
    if gives_addresses && config.pool.is_none() {
        return Err(raw.missing("dhcp.pool", "with this mode: the addresses that Mimeo may give"));
    }
    Ok(config)
}

const ABSOLUTE_PATH: &str = "an absolute path";
const ADDRESS: &str = "an IPv4 address such as \"192.168.77.1\"";
const BOOLEAN: &str = "true or false";
const RULE: &str = "a number from 0, which is no rule, to 100000";
const PORT: &str = "a port from 1 to 65535";
const RESERVATIONS: &str = "a table such as { \"52:54:00:12:34:56\" = \"192.168.77.20\" }, each address once";

fn rule(value: &toml::Value) -> Option<Option<NonZeroU32>> {
    // Far more versions, or days, than anybody keeps.
    number(value, 0..=100_000).map(NonZeroU32::new)
}

fn absolute_path(value: &toml::Value) -> Option<PathBuf> {
    value.as_str().map(PathBuf::from).filter(|path| path.is_absolute())
}

fn language(value: &toml::Value) -> Option<Language> {
    match value.as_str()? {
        "fr" => Some(Language::Fr),
        "en" => Some(Language::En),
        _ => None,
    }
}

fn interface_name(value: &toml::Value) -> Option<String> {
    let name = value.as_str()?;
    let fits = (1..=INTERFACE_NAME_BYTES_MAX).contains(&name.len());
    let plain = name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    (fits && plain).then(|| name.to_owned())
}

fn address(value: &toml::Value) -> Option<Ipv4Addr> {
    let address: Ipv4Addr = value.as_str()?.parse().ok()?;
    (!address.is_unspecified() && !address.is_multicast() && !address.is_broadcast()).then_some(address)
}

fn addresses(value: &toml::Value) -> Option<Vec<Ipv4Addr>> {
    value.as_array()?.iter().map(address).collect()
}

fn dhcp_mode(value: &toml::Value) -> Option<DhcpMode> {
    match value.as_str()? {
        "proxy" => Some(DhcpMode::Proxy),
        "pxe" => Some(DhcpMode::Pxe),
        "full" => Some(DhcpMode::Full),
        "off" => Some(DhcpMode::Off),
        _ => None,
    }
}

fn pool(value: &toml::Value) -> Option<AddressPool> {
    let (first, last) = value.as_str()?.split_once('-')?;
    let end = |text: &str| address(&toml::Value::String(text.trim().to_owned()));
    let pool = AddressPool { first: end(first)?, last: end(last)? };
    (pool.first <= pool.last).then_some(pool)
}

/// Labels of letters, digits and hyphens (RFC 1123 section 2.1): DHCP hands this to machines as it is.
fn domain(value: &toml::Value) -> Option<String> {
    let domain = value.as_str()?;
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    (domain.len() <= 253 && domain.split('.').all(label)).then(|| domain.to_owned())
}

fn reservations(value: &toml::Value) -> Option<BTreeMap<MacAddr, Ipv4Addr>> {
    let table = value.as_table()?;
    let mut by_mac = BTreeMap::new();
    for (mac, at) in table {
        let mac = mac.parse().ok().filter(|mac: &MacAddr| mac.is_individual())?;
        let at = address(at).filter(|at| !by_mac.values().any(|taken| taken == at))?;
        // Two spellings of one hardware address are one key twice.
        if by_mac.insert(mac, at).is_some() {
            return None;
        }
    }
    Some(by_mac)
}

fn number<T: TryFrom<i64> + PartialOrd>(
    value: &toml::Value,
    allowed: std::ops::RangeInclusive<T>,
) -> Option<T> {
    T::try_from(value.as_integer()?).ok().filter(|number| allowed.contains(number))
}

fn unknown_machines(value: &toml::Value) -> Option<UnknownMachines> {
    match value.as_str()? {
        "menu" => Some(UnknownMachines::Menu),
        "register" => Some(UnknownMachines::Register),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
