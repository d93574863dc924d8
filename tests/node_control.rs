//! The control listener answers a client we did not write (`erl_rpc`), and only what it should.

#![allow(clippy::unwrap_used)]

#[path = "support/echo.rs"]
mod echo;

use eetf::{FixInteger, List, Term};
use erl_rpc::RpcClient;
use sidekick::node::{ControlListener, Cookie};
use sidekick::shutdown::Shutdown;

const NAME: &str = "sidekick@127.0.0.1";

async fn listener() -> ControlListener {
    let cookie = Cookie::new("control-cookie");
    ControlListener::start(NAME.parse().unwrap(), cookie, echo::sums(), Shutdown::new())
        .await
        .unwrap()
}

async fn call(
    port: u16,
    calls: Vec<(&'static str, &'static str, Vec<i32>)>,
) -> Vec<Result<Term, String>> {
    tokio::task::spawn_blocking(move || {
        smol::block_on(async {
            let client = RpcClient::connect_with_port(NAME, port, "control-cookie")
                .await
                .unwrap();
            let mut handle = client.handle();
            let running = smol::spawn(client.run());
            let mut results = Vec::new();
            for (module, function, args) in calls {
                let args: Vec<Term> = args
                    .into_iter()
                    .map(|n| FixInteger::from(n).into())
                    .collect();
                let result = handle
                    .call(module.into(), function.into(), List::from(args))
                    .await;
                results.push(result.map_err(|e| e.to_string()));
            }
            handle.terminate();
            running.await.unwrap();
            results
        })
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn erl_rpc_calls_module_sidekick_and_nothing_else() {
    let listener = listener().await;
    let calls = vec![
        ("sidekick", "add", vec![2, 3]),
        ("sidekick", "nope", vec![]),
        ("erlang", "node", vec![]),
        ("sidekick", "crash", vec![]),
        ("sidekick", "add", vec![4, 5]),
    ];
    let results = call(listener.port(), calls).await;
    assert_eq!(results[0], Ok(FixInteger::from(5).into()));
    assert!(
        results[1].as_ref().is_err_and(|e| e.contains("undef")),
        "{:?}",
        results[1]
    );
    assert!(
        results[2].as_ref().is_err_and(|e| e.contains("undef")),
        "{:?}",
        results[2]
    );
    assert!(
        results[3]
            .as_ref()
            .is_err_and(|e| e.contains("internal_error")),
        "{:?}",
        results[3]
    );
    assert_eq!(results[4], Ok(FixInteger::from(9).into()));
}

#[tokio::test]
async fn several_clients_at_once() {
    let listener = listener().await;
    let one = call(listener.port(), vec![("sidekick", "add", vec![1, 1])]);
    let two = call(listener.port(), vec![("sidekick", "add", vec![2, 2])]);
    let (one, two) = tokio::join!(one, two);
    assert_eq!(
        (one[0].clone(), two[0].clone()),
        (
            Ok(FixInteger::from(2).into()),
            Ok(FixInteger::from(4).into())
        )
    );
}

#[tokio::test]
async fn another_cookie_is_refused() {
    let port = listener().await;
    let port_number = port.port();
    let refused = tokio::task::spawn_blocking(move || {
        smol::block_on(RpcClient::connect_with_port(NAME, port_number, "guess")).is_err()
    });
    assert!(refused.await.unwrap());
}
