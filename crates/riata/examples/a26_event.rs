//! `Event`: all who wait go on when a callback sets it.

mod as_python;

use std::rc::Rc;
use std::time::Duration;

use as_python::truth;
use riata::Event;

fn set_event(event: &Event) {
    println!("callback sets the event");
    event.set();
}

async fn coro1(event: Rc<Event>) {
    event.wait().await;
    println!("coro1 goes on, set: {}", truth(event.is_set()));
}

async fn coro2(event: Rc<Event>) {
    event.wait().await;
    println!("coro2 goes on, set: {}", truth(event.is_set()));
}

async fn main_task() {
    let event = Rc::new(Event::new());
    println!("set: {}", truth(event.is_set()));
    let shared = Rc::clone(&event);
    riata::call_later(Duration::from_secs(1), move || set_event(&shared));
    let tasks = [
        riata::spawn(coro1(Rc::clone(&event))),
        riata::spawn(coro2(event)),
    ];
    riata::wait(tasks).await;
}

fn main() {
    riata::run(main_task());
}
