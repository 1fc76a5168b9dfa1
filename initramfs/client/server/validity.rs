//! At which moment the server's certificate is valid, for a computer whose own clock is wrong.
//!
//! The clock of a PC is no evidence: its battery is dead, or somebody typed a year. What is known for certain came
//! with the appliance's CA, in the initramfs: when the server was started. So a certificate that the CA signed is
//! taken where it was valid at that moment or became valid later, and the clock is put there
//! (docs/adr/0009-the-clients-clock-follows-the-pinned-certificate.md).

use std::{
    io,
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error as TlsError,
    RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
};

use super::{CONNECT_TIMEOUT, SILENCE_TIMEOUT};

/// What the server's certificate says of this computer's clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockCheck {
    Fits,
    /// The certificate is not valid now by this computer's clock, but at this many seconds after 1970.
    Wrong {
        valid_at_unix_seconds: u64,
    },
}

/// Why that cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    #[error("the appliance's CA is unusable: {0}")]
    Ca(String),
    #[error("asking {server} for its certificate")]
    Handshake { server: SocketAddr, source: io::Error },
}

/// Asks `server` for its certificate and compares its validity with `now`, this computer's clock.
///
/// `floor_unix_seconds` is when the server was started: nothing that had expired by then is ever taken.
pub fn check_clock(
    server: SocketAddr,
    ca_pem: &[u8],
    now_unix_seconds: u64,
    floor_unix_seconds: u64,
) -> Result<ClockCheck, CheckError> {
    let verifier = Arc::new(Verifier::new(ca_pem, now_unix_seconds, floor_unix_seconds)?);
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| CheckError::Ca(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&verifier) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let shake_hands = || {
        let name = ServerName::IpAddress(server.ip().into());
        let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
        let mut socket = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT)?;
        socket.set_read_timeout(Some(SILENCE_TIMEOUT))?;
        socket.set_write_timeout(Some(SILENCE_TIMEOUT))?;
        while connection.is_handshaking() {
            connection.complete_io(&mut socket)?;
        }
        Ok(())
    };
    shake_hands().map_err(|source| CheckError::Handshake { server, source })?;
    // Every change is complete before the lock is released.
    Ok(*verifier.found.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Everything that rustls checks, at another moment where the certificate is not valid now.
#[derive(Debug)]
struct Verifier {
    inner: Arc<WebPkiServerVerifier>,
    now: UnixTime,
    floor: UnixTime,
    found: Mutex<ClockCheck>,
}

impl Verifier {
    fn new(ca_pem: &[u8], now_unix_seconds: u64, floor_unix_seconds: u64) -> Result<Self, CheckError> {
        let moment = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(ca_pem) {
            let certificate = certificate.map_err(|error| CheckError::Ca(error.to_string()))?;
            roots.add(certificate).map_err(|error| CheckError::Ca(error.to_string()))?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        let inner = inner.build().map_err(|error| CheckError::Ca(error.to_string()))?;
        let found = Mutex::new(ClockCheck::Fits);
        Ok(Self { inner, now: moment(now_unix_seconds), floor: moment(floor_unix_seconds), found })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let verify = |at| self.inner.verify_server_cert(end_entity, intermediates, name, ocsp, at);
        if self.now >= self.floor
            && let Ok(verified) = verify(self.now)
        {
            return Ok(verified);
        }
        // Valid when the server started, or from some moment after that on: it was renewed meanwhile.
        let (at, verified) = match verify(self.floor) {
            Err(TlsError::InvalidCertificate(CertificateError::NotValidYetContext {
                not_before, ..
            })) => (not_before, verify(not_before)),
            other => (self.floor, other),
        };
        let verified = verified?;
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) =
            ClockCheck::Wrong { valid_at_unix_seconds: at.as_secs() };
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        self.inner.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::{CheckError, ClockCheck, check_clock};
    use crate::server::tests::{Ca, ca, serve_valid};

    const DAY: u64 = 24 * 3600;
    /// 2026-06-01, when the server of these tests was started.
    const STARTED: u64 = 1_780_272_000;

    /// What a client with its clock at `now` finds out about a certificate valid from and until these days.
    fn check(now: u64, from_day: i64, until_day: i64) -> Result<ClockCheck, CheckError> {
        let ca = ca();
        check_signed_by(&ca, &ca, now, from_day, until_day)
    }

    fn check_signed_by(
        signer: &Ca,
        trusted: &Ca,
        now: u64,
        from_day: i64,
        until_day: i64,
    ) -> Result<ClockCheck, CheckError> {
        let at = |day: i64| STARTED.saturating_add_signed(day * DAY as i64);
        let server = serve_valid(signer, at(from_day), at(until_day));
        check_clock(server, trusted.certificate.pem().as_bytes(), now, STARTED)
    }

    #[test]
    fn a_clock_within_the_certificate_s_time_is_left_alone() {
        assert_eq!(check(STARTED + 3 * DAY, -1, 397).expect("trusted"), ClockCheck::Fits);
    }

    #[test]
    fn a_clock_in_the_past_or_far_ahead_is_put_to_when_the_server_started() {
        let started = ClockCheck::Wrong { valid_at_unix_seconds: STARTED };
        for now in [0, STARTED - DAY / 2, STARTED - 400 * DAY, STARTED + 400 * DAY, 4_102_444_800] {
            assert_eq!(check(now, -1, 397).expect("trusted"), started, "{now}");
        }
    }

    #[test]
    fn a_certificate_renewed_since_the_start_is_valid_from_its_own_beginning() {
        let expect = ClockCheck::Wrong { valid_at_unix_seconds: STARTED + 340 * DAY };
        assert_eq!(check(4_102_444_800, 340, 737).expect("trusted"), expect);
    }

    #[test]
    fn what_had_expired_when_the_server_started_is_never_taken() {
        for now in [STARTED, STARTED + DAY, 4_102_444_800] {
            assert!(matches!(check(now, -397, -1), Err(CheckError::Handshake { .. })), "{now}");
        }
    }

    #[test]
    fn a_wrong_clock_makes_no_stranger_trusted() {
        let (ours, other) = (ca(), ca());
        for now in [STARTED, 0, 4_102_444_800] {
            assert!(check_signed_by(&other, &ours, now, -1, 397).is_err(), "{now}");
        }
    }
}
