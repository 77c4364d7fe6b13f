use std::num::ParseIntError;

#[runtime::main]
async fn main() -> Result<(), ParseIntError> {
    not_termination();
    tail();
    "4".parse::<u8>()?;
}

#[runtime::main]
async fn not_termination() {
    "4".parse::<u8>()?;
}

#[runtime::main]
async fn tail() -> u8 {
    if std::env::args().count() > 1 {
        return "early";
    }
    "late"
}
