//! The function returns what a plain one may.

use std::error::Error;
use std::fmt;
use std::process::{ExitCode, Termination};

#[derive(Debug)]
struct Refused;

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("refused")
    }
}

impl Error for Refused {}

#[runtime::main]
async fn unit() {
    std::future::ready(()).await
}

// The box is coerced, both times, only if the type is known inside the body.
#[runtime::main]
async fn boxed(early: bool) -> Result<u8, Box<dyn Error + Send>> {
    if early {
        return Err(Box::new(Refused));
    }
    Err(Box::new(Refused))
}

#[runtime::main]
async fn question_mark(text: &str) -> Result<u8, Box<dyn Error>> {
    let number = text.parse::<u8>()?;
    Ok(number.into())
}

#[runtime::main]
async fn opaque() -> impl Termination + use<> {
    ExitCode::SUCCESS
}

#[runtime::main]
async fn borrowed(mut text: &str) -> &str {
    text = text.trim();
    text
}

#[runtime::main]
async fn argument_kinds(mut list: Vec<u8>, call: impl Fn(u8) -> u8, map: fn(u8, u8) -> u8) -> u8 {
    list.push(call(1));
    list.into_iter().fold(0, map)
}

#[runtime::main]
async fn never() -> ! {
    std::process::exit(0)
}

fn main() {
    unit();
    assert!(boxed(true).is_err() && boxed(false).is_err());
    assert_eq!(question_mark("7").ok(), Some(7));
    assert_eq!(
        question_mark("x").err().map(|e| e.to_string().is_empty()),
        Some(false)
    );
    let _: ExitCode = opaque().report();
    assert_eq!(borrowed(" a "), "a");
    assert_eq!(argument_kinds(vec![1, 2], |x| x + 3, |x, y| x + y), 7);
    never()
}
