//! `mimeo token` and `mimeo setup-code`: how people and programs get in.

use serde_json::json;

use super::{
    connection::{Connection, in_path, understand},
    failure::CliError,
    format::{ago, table},
    screen::{print, print_json},
};
use crate::{
    api::login::{NewToken, SetupCodeView, TokenRequest, TokenView},
    clock::Timestamp,
};

pub(super) async fn create(connection: &Connection, name: &str, json: bool) -> Result<(), CliError> {
    let answer = connection.post("/tokens", &TokenRequest { name: name.to_owned() }).await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let made: NewToken = understand(&answer)?;
    print(&format!("{}\n\nThis token is shown only now. Whoever has it may do everything.", made.token));
    Ok(())
}

pub(super) async fn list(connection: &Connection, json: bool) -> Result<(), CliError> {
    let answer = connection.get("/tokens").await?;
    if json {
        print_json(&answer);
        return Ok(());
    }
    let tokens: Vec<TokenView> = understand(&answer)?;
    let now = Timestamp::now();
    let rows: Vec<Vec<String>> =
        tokens.into_iter().map(|token| vec![token.name, ago(token.created, now)]).collect();
    print(&table(&["TOKEN", "MADE"], &rows, "There are no tokens: make one with `mimeo token create NAME`."));
    Ok(())
}

pub(super) async fn delete(connection: &Connection, name: &str, json: bool) -> Result<(), CliError> {
    connection.delete(&format!("/tokens/{}", in_path(name))).await?;
    match json {
        true => print_json(&json!({ "deleted": name })),
        false => print(&format!("Token {name} opens nothing any more.")),
    }
    Ok(())
}

pub(super) async fn setup_code(connection: &Connection, renew: bool, json: bool) -> Result<(), CliError> {
    let answer = match renew {
        true => connection.post("/setup-code", &json!({})).await?,
        false => connection.get("/setup-code").await?,
    };
    if json {
        print_json(&answer);
        return Ok(());
    }
    let view: SetupCodeView = understand(&answer)?;
    match view.code {
        Some(code) => print(&code),
        None => print(
            "The administrator's password is set. To set a forgotten one again: mimeo setup-code --renew",
        ),
    }
    Ok(())
}
