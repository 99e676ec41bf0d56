//! `riata::run`: a loop for one future.

async fn coroutine() {
    println!("in coroutine");
}

fn main() {
    let future = coroutine();
    riata::run(future);
}
