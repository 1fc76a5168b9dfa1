//! What the network says: whether our ports are free, and which other DHCP servers answer.

use std::{io, net::SocketAddrV4, time::Duration};

use mimeo_core::text::Texts;

use super::{Check, Finding, sentences as doctor_sentences};
use crate::{
    boot::dhcp::{
        ears,
        observe::{Proposal, propose_mode},
        sentences,
    },
    cli::words::Words,
    config::{Config, DhcpMode, interface::ServedInterface},
    serve::{
        ports::{PortError, TFTP_PORT},
        settings,
    },
};

/// How long other DHCP servers have to answer. A server that checks an address with a ping before it offers it takes a
/// second or two, and the first question may be lost.
const LISTEN: Duration = Duration::from_secs(5);

/// DHCP's ports (RFC 2131 section 4.1; PXE 2.1 section 2.2.2).
const DHCP_PORTS: [u16; 2] = [67, 4011];

/// Each port that the configuration wants, as it is now.
pub(super) async fn ports(
    words: Words,
    config: &Config,
    served: &ServedInterface,
    running: bool,
) -> Vec<Finding> {
    if running {
        return vec![Finding::ok(Check::Ports, words.say("doctor-ports-running"))];
    }
    let mut udp = Vec::new();
    if config.dhcp.mode != DhcpMode::Off {
        udp.extend(DHCP_PORTS.map(|port| (port, "[dhcp] mode")));
    }
    if config.tftp.enabled {
        udp.push((TFTP_PORT, "[tftp] enabled"));
    }
    let mut tcp = vec![(config.https.port, "[https] port")];
    if config.http.enabled {
        tcp.push((config.http.port, "[http] port"));
    }
    let mut findings = Vec::new();
    for (port, key) in udp {
        let bound = tokio::net::UdpSocket::bind(SocketAddrV4::new(served.address, port)).await;
        findings.push(port_finding(words, bound.map(drop), "UDP", served, port, key));
    }
    for (port, key) in tcp {
        let bound = tokio::net::TcpListener::bind(SocketAddrV4::new(served.address, port)).await;
        findings.push(port_finding(words, bound.map(drop), "TCP", served, port, key));
    }
    findings
}

fn port_finding(
    words: Words,
    bound: io::Result<()>,
    protocol: &'static str,
    served: &ServedInterface,
    port: u16,
    key: &'static str,
) -> Finding {
    match bound {
        Ok(()) => {
            let values = [("protocol", protocol), ("port", &*port.to_string())];
            Finding::ok(Check::Ports, words.say_with("doctor-port-free", &values))
        }
        Err(error) => {
            let error = PortError::of(error, protocol, served.address, port, key);
            Finding::fail(Check::Ports, doctor_sentences::port(&words, &error))
        }
    }
}

/// Which other DHCP servers answer, and which mode that calls for.
pub(crate) async fn dhcp(texts: &Texts, config: &Config, served: &ServedInterface) -> Finding {
    if config.dhcp.mode == DhcpMode::Off {
        return Finding::ok(Check::Dhcp, texts.say("dhcp-off"));
    }
    match ears::listen(&served.name, LISTEN).await {
        Ok(heard) => judge(texts, config.dhcp.mode, &propose_mode(&heard, served.address)),
        Err(error) => {
            let values = [("interface", &*served.name), ("error", &*error.to_string())];
            Finding::warn(Check::Dhcp, texts.say_with("dhcp-cannot-listen", &values))
        }
    }
}

fn judge(texts: &Texts, configured: DhcpMode, proposal: &Proposal) -> Finding {
    let heard = sentences::because(texts, &proposal.because);
    if settings::mode(configured) == proposal.mode {
        return Finding::ok(Check::Dhcp, heard);
    }
    let message = format!("{heard} {}", sentences::advice(texts, proposal.mode));
    match configured {
        // Two servers that give addresses to everybody break the network for people who do not even netboot.
        DhcpMode::Full => Finding::fail(Check::Dhcp, message),
        DhcpMode::Proxy | DhcpMode::Pxe | DhcpMode::Off => Finding::warn(Check::Dhcp, message),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use mimeo_core::{messages::Language, text::texts};

    use super::{Proposal, judge};
    use crate::{
        boot::dhcp::{observe::Because, settings::Mode},
        config::DhcpMode,
        doctor::Verdict,
    };

    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    #[test]
    fn the_configured_mode_is_judged_by_what_answers() {
        let gives = Because::GivesAddresses { server: OTHER };
        let names_us = Because::NamesUs { server: OTHER };
        for (configured, mode, because, verdict, says) in [
            (DhcpMode::Full, Mode::Full, Because::NobodyAnswered, Verdict::Ok, "No other DHCP server"),
            (DhcpMode::Proxy, Mode::Full, Because::NobodyAnswered, Verdict::Warn, "mode = \"full\""),
            (DhcpMode::Pxe, Mode::Pxe, gives.clone(), Verdict::Ok, "10.0.0.2"),
            (DhcpMode::Proxy, Mode::Pxe, gives.clone(), Verdict::Warn, "mode = \"pxe\""),
            (DhcpMode::Full, Mode::Pxe, gives, Verdict::Fail, "mode = \"pxe\""),
            (DhcpMode::Proxy, Mode::Proxy, names_us, Verdict::Ok, "names this server"),
        ] {
            let proposal = Proposal { mode, because };
            let french = judge(texts(Language::Fr), configured, &proposal);
            let finding = judge(texts(Language::En), configured, &proposal);
            assert_eq!(french.verdict, verdict, "{}", french.message);
            assert_ne!(french.message, finding.message);
            assert_eq!(finding.verdict, verdict, "{}", finding.message);
            assert!(finding.message.contains(says), "{}", finding.message);
        }
    }
}
