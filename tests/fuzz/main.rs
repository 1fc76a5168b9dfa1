//! The fuzzing program: `fuzz list`, `fuzz run --seconds 60 [TARGET…]`. `make fuzz` builds and calls it.
//!
//! `run` starts itself once for each target (`fuzz one TARGET …`), where libFuzzer has the word. Corpora and crashes
//! stay in the folder below `--folder`, so that the next run goes on where this one ended.

#![allow(unsafe_code)] // libFuzzer is called through its C interface

mod campaign;

use std::{
    ffi::{CString, c_char, c_int},
    path::PathBuf,
    process::ExitCode,
    sync::OnceLock,
};

use anyhow::{Context as _, Result, ensure};
use clap::{Parser, Subcommand};
use mimeo_fuzz::{Target, memory, targets};

#[global_allocator]
static ALLOCATOR: memory::Counting = memory::Counting;

/// The target of this process.
static TARGET: OnceLock<&'static Target> = OnceLock::new();

/// Fuzzes every parser of foreign bytes.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    order: Order,
}

#[derive(Subcommand)]
enum Order {
    /// Names the targets.
    List,
    /// Runs targets for a while each, or all.
    Run {
        targets: Vec<String>,
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Targets at the same time.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        #[arg(long, default_value = "build/fuzz")]
        folder: PathBuf,
    },
    /// Runs one target as libFuzzer's own arguments say; a file replays that input.
    One {
        target: String,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().order {
        Order::List => {
            campaign::list();
            Ok(ExitCode::SUCCESS)
        }
        Order::Run { targets, seconds, jobs, folder } => campaign::run(&targets, seconds, jobs, &folder),
        Order::One { target, arguments } => one(&target, arguments),
    }
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let Some(target) = TARGET.get() else { return };
    let peak = memory::peak_bytes(|| (target.check)(input));
    let most = target.memory_bytes_max;
    assert!(peak <= most, "the input of {} bytes takes {peak} bytes of memory, at most {most}", input.len());
});

unsafe extern "C" {
    fn LLVMFuzzerRunDriver(
        argc: *mut c_int,
        argv: *mut *mut *mut c_char,
        test: unsafe extern "C" fn(*const u8, usize) -> c_int,
    ) -> c_int;
    fn LLVMFuzzerTestOneInput(bytes: *const u8, length: usize) -> c_int;
}

/// Hands the process to libFuzzer.
fn one(name: &str, arguments: Vec<String>) -> Result<ExitCode> {
    let target = targets::find(name).with_context(|| format!("there is no target {name}, see: fuzz list"))?;
    ensure!(TARGET.set(target).is_ok(), "the target is set once");
    // What a target makes only once is no input's memory.
    (target.seeds)().iter().for_each(|seed| (target.check)(seed));
    let program = std::env::args().next().unwrap_or_default();
    let words = [program].into_iter().chain(arguments);
    let words: Vec<CString> = words.map(CString::new).collect::<Result<_, _>>()?;
    let mut pointers: Vec<*mut c_char> = words.iter().map(|word| word.as_ptr().cast_mut()).collect();
    let mut count = c_int::try_from(pointers.len())?;
    pointers.push(std::ptr::null_mut());
    let mut first = pointers.as_mut_ptr();
    // SAFETY: count and pointers describe strings that live until the call returns, closed by a null as C has it;
    // the callback is the one that `fuzz_target!` defines.
    let code = unsafe { LLVMFuzzerRunDriver(&raw mut count, &raw mut first, LLVMFuzzerTestOneInput) };
    Ok(if code == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
