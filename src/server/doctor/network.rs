//! What the network says: whether our ports are free, and which other DHCP servers answer.

use std::{io, net::SocketAddrV4, time::Duration};

use super::Finding;
use crate::{
    boot::dhcp::{
        ears,
        observe::{Because, Proposal, propose_mode},
        settings::Mode,
    },
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
pub(super) async fn ports(config: &Config, served: &ServedInterface, running: bool) -> Vec<Finding> {
    if running {
        return vec![Finding::ok("ports", "a server runs here and has them")];
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
        findings.push(port_finding(bound.map(drop), "UDP", served, port, key));
    }
    for (port, key) in tcp {
        let bound = tokio::net::TcpListener::bind(SocketAddrV4::new(served.address, port)).await;
        findings.push(port_finding(bound.map(drop), "TCP", served, port, key));
    }
    findings
}

fn port_finding(
    bound: io::Result<()>,
    protocol: &'static str,
    served: &ServedInterface,
    port: u16,
    key: &'static str,
) -> Finding {
    match bound {
        Ok(()) => Finding::ok("ports", format!("{protocol} {port} is free")),
        Err(error) => {
            let error = PortError::of(error, protocol, served.address, port, key);
            Finding::fail("ports", crate::api::error::causes(&error))
        }
    }
}

/// Which other DHCP servers answer, and which mode that calls for.
pub(crate) async fn dhcp(config: &Config, served: &ServedInterface) -> Finding {
    if config.dhcp.mode == DhcpMode::Off {
        return Finding::ok("DHCP", "off: machines boot only if another DHCP server sends them here");
    }
    match ears::listen(&served.name, LISTEN).await {
        Ok(heard) => judge(config.dhcp.mode, &propose_mode(&heard, served.address)),
        Err(error) => {
            Finding::warn("DHCP", format!("cannot listen on {}: {error}: run this as root", served.name))
        }
    }
}

fn judge(configured: DhcpMode, proposal: &Proposal) -> Finding {
    let heard = match &proposal.because {
        Because::NobodyAnswered => "no other DHCP server answers".to_owned(),
        Because::AnotherBootService { server, .. } => {
            format!(
                "{server} tells machines to boot from elsewhere, two boot services take machines from each other"
            )
        }
        Because::NamesUs { server } => format!("{server} gives addresses and names this server to boot from"),
        Because::GivesAddresses { server } => {
            format!(
                "{server} gives addresses and does not name this server, so Secure Boot needs mode \"pxe\""
            )
        }
    };
    if settings::mode(configured) == proposal.mode {
        return Finding::ok("DHCP", heard);
    }
    let advice = match proposal.mode {
        Mode::Proxy => "set [dhcp] mode = \"proxy\"",
        Mode::Pxe => "set [dhcp] mode = \"pxe\" and a pool",
        Mode::Full => "set [dhcp] mode = \"full\" and a pool, unless the DHCP server is only off for now",
        Mode::Off => "stop the other boot service, or set [dhcp] mode = \"off\"",
    };
    let message = format!("{heard}: {advice}");
    match (configured, proposal.mode) {
        // Two servers that give addresses to everybody break the network for people who do not even netboot.
        (DhcpMode::Full, _) => Finding::fail("DHCP", message),
        _ => Finding::warn("DHCP", message),
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::{Because, Mode, Proposal, judge};
    use crate::{config::DhcpMode, doctor::Verdict};

    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);

    #[test]
    fn the_configured_mode_is_judged_by_what_answers() {
        let gives = Because::GivesAddresses { server: OTHER };
        let names_us = Because::NamesUs { server: OTHER };
        for (configured, mode, because, verdict, says) in [
            (DhcpMode::Full, Mode::Full, Because::NobodyAnswered, Verdict::Ok, "no other DHCP server"),
            (DhcpMode::Proxy, Mode::Full, Because::NobodyAnswered, Verdict::Warn, "mode = \"full\""),
            (DhcpMode::Pxe, Mode::Pxe, gives.clone(), Verdict::Ok, "10.0.0.2"),
            (DhcpMode::Proxy, Mode::Pxe, gives.clone(), Verdict::Warn, "mode = \"pxe\""),
            (DhcpMode::Full, Mode::Pxe, gives, Verdict::Fail, "mode = \"pxe\""),
            (DhcpMode::Proxy, Mode::Proxy, names_us, Verdict::Ok, "names this server"),
        ] {
            let finding = judge(configured, &Proposal { mode, because });
            assert_eq!(finding.verdict, verdict, "{}", finding.message);
            assert!(finding.message.contains(says), "{}", finding.message);
        }
    }
}
