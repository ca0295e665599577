//! How long a start takes. No assertion: the machine decides. The goal for the second one is 3 s in a release build.

use crate::stack::Stack;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn how_long_the_first_and_the_second_start_take() {
    let stack = Stack::embedded();
    for start in ["first", "second", "third"] {
        let mut program = stack.start();
        println!("the {start} start took {:?} until both APIs were ready", stack.ready(&mut program).await);
        // As Ctrl-C does.
        program.end_by("INT").await;
        stack.nothing_is_left().await;
    }
    stack.up().await.kill9();
    let mut program = stack.start();
    println!("the start after a kill -9 took {:?}", stack.ready(&mut program).await);
    program.end().await;
}
