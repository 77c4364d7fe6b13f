//! A local task may outlive the function that spawns it too.

fn main() {
    let text = String::from("mine");
    runtime::spawn_local(async { println!("{text}") });
}
