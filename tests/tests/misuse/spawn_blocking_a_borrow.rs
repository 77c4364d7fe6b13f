//! A blocking call may outlive the function that starts it.

fn main() {
    let text = String::from("mine");
    runtime::spawn_blocking(|| println!("{text}"));
}
