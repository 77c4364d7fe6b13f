//! A task may outlive the function that spawns it, so it cannot borrow from it.

fn main() {
    let text = String::from("mine");
    runtime::spawn(async { println!("{text}") });
}
