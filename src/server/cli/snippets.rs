//! `mimeo dhcp-snippets`: ready configuration for a DHCP server that is not ours.

use super::{
    Output,
    connection::{Connection, understand},
    failure::CliError,
    screen::{print, print_json},
};
use crate::api::dhcp::{DhcpView, ForeignServer};

/// One server's configuration alone, to be written into its file, or all of them under their names.
pub(super) async fn print_snippets(
    connection: &Connection,
    server: Option<ForeignServer>,
    out: Output,
) -> Result<(), CliError> {
    let answer = connection.get("/dhcp").await?;
    if out.json {
        print_json(&answer);
        return Ok(());
    }
    let view: DhcpView = understand(&answer)?;
    let wanted = view.snippets.iter().filter(|snippet| server.is_none_or(|server| server == snippet.server));
    let texts: Vec<String> = match server {
        Some(_) => wanted.map(|snippet| snippet.text.clone()).collect(),
        None => wanted.map(|snippet| format!("=== {}\n{}", snippet.name, snippet.text)).collect(),
    };
    print(&texts.join("\n"));
    Ok(())
}
