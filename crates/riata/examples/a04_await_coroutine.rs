//! One async function awaits another, with no task in between.

async fn worker() {
    println!("worker....");
    let result = consumer().await;
    println!("{result}");
}

async fn consumer() -> &'static str {
    "i am consumer"
}

fn main() {
    riata::run(worker());
}
