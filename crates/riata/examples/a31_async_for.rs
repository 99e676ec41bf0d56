//! What Python writes as `async for`: a type with an async `next`, and a stream that a
//! generator yields.

use std::pin::pin;

use futures_lite::{Stream, StreamExt};

struct A {
    list: Vec<i32>,
    index: usize,
}

impl A {
    fn new() -> Self {
        Self {
            list: vec![1, 2, 3, 4],
            index: 0,
        }
    }

    async fn next(&mut self) -> Option<i32> {
        let item = self.list.get(self.index).copied()?;
        self.index += 1;
        Some(item)
    }
}

fn foo() -> impl Stream<Item = i32> {
    async_stream::stream! {
        yield 123;
        yield 456;
        yield 789;
        println!("xxx");
    }
}

async fn main_task() {
    let mut items = A::new();
    while let Some(item) = items.next().await {
        println!("{item}");
    }
    let mut items = pin!(foo());
    while let Some(item) = items.next().await {
        println!("{item}");
    }
}

fn main() {
    riata::run(main_task());
}
