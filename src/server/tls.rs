//! Who this server is to machines and browsers: a certificate authority of its own, made at first start, and the
//! server certificate that it signs for the addresses in use.
//!
//! The client carries the authority's certificate in its initramfs and trusts nothing else. Everything on the port
//! is TLS 1.3: the client is ours, and no browser that still gets updates lacks it.

use std::{
    fs,
    io::{self, Write},
    net::IpAddr,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum_server::tls_rustls::RustlsConfig;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::{
    ServerConfig,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The authority outlives the appliance's hardware: a new one would mean new initramfs images everywhere.
const AUTHORITY_LASTS: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// The longest that no browser objects to (Apple's limit for public authorities is 398 days).
const SERVER_LASTS: Duration = Duration::from_secs(397 * 24 * 3600);

/// A server certificate with less than this left is replaced.
const RENEW_BEFORE: Duration = Duration::from_secs(60 * 24 * 3600);

/// Certificates are valid from this long before they were made: clocks of PCs differ.
const BACKDATED: Duration = DAY;

/// Installs the one cryptography provider of this program. Calling it again changes nothing.
pub fn install_crypto_provider() {
    // The error says only that one is installed already, and it is the same.
    let _already = rustls::crypto::ring::default_provider().install_default();
}

/// The server's side of TLS. Cloning gives another handle to the same.
#[derive(Clone)]
pub struct Tls {
    dir: PathBuf,
    names: Vec<String>,
    authority_pem: Arc<str>,
    config: RustlsConfig,
}

impl Tls {
    /// Opens the keys in `dir`, makes those that are missing, and has a certificate for `names` (IP addresses
    /// and DNS names) that is valid for a while yet.
    ///
    /// What was made is on disk, synchronised, when this returns.
    pub fn open(dir: &Path, names: &[String], now: Timestamp) -> Result<Self, TlsError> {
        install_crypto_provider();
        let failed = |source| TlsError::Io { path: dir.display().to_string(), source };
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
        let authority = Authority::open(dir, now)?;
        let certificate = ServerCertificate::open(dir, names, &authority, now)?;
        Ok(Self {
            dir: dir.to_owned(),
            names: names.to_vec(),
            config: RustlsConfig::from_config(certificate.server_config()?),
            authority_pem: authority.certificate_pem.into(),
        })
    }

    /// The authority's certificate, for the initramfs and for browsers.
    pub fn authority_pem(&self) -> &str {
        &self.authority_pem
    }

    /// What a TLS listener needs. Listeners that have it follow [`Tls::renew`].
    pub fn config(&self) -> RustlsConfig {
        self.config.clone()
    }

    /// Replaces the server's certificate where it is due, for a server that runs longer than one lasts.
    pub fn renew(&self, now: Timestamp) -> Result<(), TlsError> {
        let authority = Authority::open(&self.dir, now)?;
        let certificate = ServerCertificate::open(&self.dir, &self.names, &authority, now)?;
        self.config.reload_from_config(certificate.server_config()?);
        Ok(())
    }
}

/// The names under which a server is reached: its address, the loopback address for tools on the appliance
/// itself, and the host's name.
pub fn server_names(address: IpAddr) -> Vec<String> {
    let mut names = vec![address.to_string(), "127.0.0.1".to_owned(), "localhost".to_owned()];
    // A machine without a name of its own is called "(none)" or "localhost" by the kernel.
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = host.trim();
    if is_dns_name(host) && !names.iter().any(|known| known == host) {
        names.push(host.to_owned());
    }
    names
}

/// Whether a host's name can stand in a certificate. People name hosts with underscores and worse.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    name.split('.').all(label)
}

struct Authority {
    certificate_pem: String,
    key: KeyPair,
}

impl Authority {
    const CERTIFICATE: &str = "ca.pem";
    const KEY: &str = "ca.key";

    /// The key is written first and its certificate last: with the certificate, both are there.
    fn open(dir: &Path, now: Timestamp) -> Result<Self, TlsError> {
        let certificate_file = dir.join(Self::CERTIFICATE);
        if !certificate_file.exists() {
            return Self::create(dir, now);
        }
        let certificate_pem = read(&certificate_file)?;
        let key_file = dir.join(Self::KEY);
        let key = KeyPair::from_pem(&read(&key_file)?)
            .map_err(|source| TlsError::BadFile { path: key_file.display().to_string(), source })?;
        Ok(Self { certificate_pem, key })
    }

    fn create(dir: &Path, now: Timestamp) -> Result<Self, TlsError> {
        let key = KeyPair::generate().map_err(TlsError::Making)?;
        let mut params = CertificateParams::default();
        // Two appliances' authorities must not share a name, or a browser that trusts both mixes them up.
        let id = hex::encode(&blake3::hash(key.public_key_raw()).as_bytes()[..4]);
        params.distinguished_name.push(DnType::CommonName, format!("Mimeo appliance {id}"));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        set_validity(&mut params, now, AUTHORITY_LASTS);
        let certificate_pem = params.self_signed(&key).map_err(TlsError::Making)?.pem();
        write_private(&dir.join(Self::KEY), key.serialize_pem().as_bytes())?;
        write_private(&dir.join(Self::CERTIFICATE), certificate_pem.as_bytes())?;
        Ok(Self { certificate_pem, key })
    }
}

/// The server's certificate with what decides whether it still fits, as one file.
#[derive(Serialize, Deserialize)]
struct ServerCertificate {
    names: Vec<String>,
    made: Timestamp,
    /// Fingerprint of the authority that signed.
    authority: String,
    certificate_pem: String,
    key_pem: String,
}

impl ServerCertificate {
    const FILE: &str = "server.json";

    fn open(dir: &Path, names: &[String], authority: &Authority, now: Timestamp) -> Result<Self, TlsError> {
        let file = dir.join(Self::FILE);
        // A file that cannot be understood costs nothing but a new certificate.
        let kept = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice::<Self>(&bytes).ok());
        if let Some(kept) = kept.filter(|kept| kept.fits(names, authority, now)) {
            return Ok(kept);
        }
        let made = Self::create(names, authority, now)?;
        let bytes = serde_json::to_vec_pretty(&made).map_err(io::Error::other);
        let bytes = bytes.map_err(|source| TlsError::Io { path: file.display().to_string(), source })?;
        write_private(&file, &bytes)?;
        Ok(made)
    }

    fn fits(&self, names: &[String], authority: &Authority, now: Timestamp) -> bool {
        let from_the_future = self.made > now;
        let left = SERVER_LASTS.saturating_sub(now.since(self.made));
        self.names == names
            && self.authority == fingerprint(&authority.certificate_pem)
            && !from_the_future
            && left > RENEW_BEFORE
    }

    fn create(names: &[String], authority: &Authority, now: Timestamp) -> Result<Self, TlsError> {
        let issuer =
            Issuer::from_ca_cert_pem(&authority.certificate_pem, &authority.key).map_err(TlsError::Making)?;
        let key = KeyPair::generate().map_err(TlsError::Making)?;
        let mut params = CertificateParams::new(names).map_err(TlsError::Making)?;
        params.distinguished_name.push(DnType::CommonName, "Mimeo");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        set_validity(&mut params, now, SERVER_LASTS);
        let certificate = params.signed_by(&key, &issuer).map_err(TlsError::Making)?;
        Ok(Self {
            names: names.to_vec(),
            made: now,
            authority: fingerprint(&authority.certificate_pem),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let unreadable = |_| TlsError::Unusable("its own certificate file is damaged, delete it".into());
        let certificate =
            CertificateDer::from_pem_slice(self.certificate_pem.as_bytes()).map_err(unreadable)?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(unreadable)?;
        let unusable = |error: rustls::Error| TlsError::Unusable(error.to_string());
        let provider = CryptoProvider::get_default().cloned();
        let provider = provider.unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .map_err(unusable)?;
        // Browsers open six connections at most over HTTP/1.1, and every page of ours keeps one for events.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

fn set_validity(params: &mut CertificateParams, now: Timestamp, lasts: Duration) {
    let now = Duration::from_millis(u64::try_from(now.0).unwrap_or(0));
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + now.saturating_sub(BACKDATED);
    params.not_after = epoch + now + lasts;
}

fn fingerprint(certificate_pem: &str) -> String {
    blake3::hash(certificate_pem.as_bytes()).to_hex().to_string()
}

fn read(path: &Path) -> Result<String, TlsError> {
    fs::read_to_string(path).map_err(|source| TlsError::Io { path: path.display().to_string(), source })
}

/// Writes a file that only its owner may read. After a power cut there is the old file or the whole new one.
fn write_private(path: &Path, bytes: &[u8]) -> Result<(), TlsError> {
    let write = || {
        let temporary = path.with_extension("new");
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    write().map_err(|source| TlsError::Io { path: path.display().to_string(), source })
}

/// The server has no usable identity.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("opening {path}")]
    Io { path: String, source: io::Error },
    #[error("reading {path}: restore it from a backup, a new authority would need new boot artefacts")]
    BadFile { path: String, source: rcgen::Error },
    #[error("making a certificate")]
    Making(#[source] rcgen::Error),
    #[error("using the server's certificate: {0}")]
    Unusable(String),
}

#[cfg(test)]
mod tests {
    use std::{os::unix::fs::PermissionsExt, path::Path};

    use super::{DAY, Tls};
    use crate::clock::Timestamp;

    const NOW: Timestamp = Timestamp(1_790_000_000_000);

    fn certificate(dir: &Path, names: &[&str], now: Timestamp) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let tls = Tls::open(dir, &names, now).expect("opens");
        let server = std::fs::read_to_string(dir.join("server.json")).expect("written");
        (tls.authority_pem().to_owned(), server)
    }

    #[test]
    fn a_restart_keeps_both_certificates() {
        let dir = tempfile::tempdir().expect("a directory");
        let first = certificate(dir.path(), &["10.0.0.1"], NOW);
        assert_eq!(certificate(dir.path(), &["10.0.0.1"], NOW.plus(DAY)), first);
    }

    #[test]
    fn a_changed_address_or_a_near_end_renews_the_server_and_never_the_authority() {
        let dir = tempfile::tempdir().expect("a directory");
        let (authority, first) = certificate(dir.path(), &["10.0.0.1"], NOW);
        for (names, now) in [
            (["10.0.0.2"], NOW),
            (["10.0.0.1"], NOW.plus(DAY * 338)),
            // A clock that was set back.
            (["10.0.0.1"], Timestamp(NOW.0 - 1)),
        ] {
            let (same_authority, server) = certificate(dir.path(), &names, now);
            assert_eq!(same_authority, authority);
            assert_ne!(server, first);
        }
    }

    #[test]
    fn keys_are_readable_by_their_owner_only() {
        let dir = tempfile::tempdir().expect("a directory");
        let dir = dir.path().join("tls");
        certificate(&dir, &["10.0.0.1"], NOW);
        let mode = |path: &Path| path.metadata().expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode(&dir), 0o700);
        for file in ["ca.key", "server.json"] {
            assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
        }
    }

    #[test]
    fn a_lost_authority_key_is_an_error_and_not_a_new_authority() {
        let dir = tempfile::tempdir().expect("a directory");
        certificate(dir.path(), &["10.0.0.1"], NOW);
        std::fs::remove_file(dir.path().join("ca.key")).expect("removed");
        assert!(Tls::open(dir.path(), &["10.0.0.1".into()], NOW).is_err());
    }
}
