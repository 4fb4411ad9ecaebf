//! A component that prints, and one that hoards.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::Component;

use crate::engine::Lane;
use crate::limits::RESOURCES_MAX;
use crate::state::{Binding, CallState, Here, Instance, MemoryLimit};

const COMPONENT: &str = r#"(component
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-t))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $os (sub resource)))
    (alias outer 1 $error-t (type $e0))
    (export "error" (type $e (eq $e0)))
    (type $own-e (own $e))
    (type $se-def (variant (case "last-operation-failed" $own-e) (case "closed")))
    (export "stream-error" (type $se (eq $se-def)))
    (type $b (borrow $os))
    (type $r (result (error $se)))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" $b) (param "contents" (list u8)) (result $r)))))
  (alias export $streams "output-stream" (type $os-t))
  (import "wasi:cli/stdout@0.2.0" (instance $stdout
    (alias outer 1 $os-t (type $o0))
    (export "output-stream" (type $o (eq $o0)))
    (type $own-o (own $o))
    (export "get-stdout" (func (result $own-o)))))
  (core module $libc (memory (export "memory") 1)
    (data (i32.const 16) "password hunter2\nand more"))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $mem))
  (alias export $stdout "get-stdout" (func $get))
  (alias export $streams "[method]output-stream.blocking-write-and-flush" (func $write))
  (core func $get-c (canon lower (func $get)))
  (core func $write-c (canon lower (func $write) (memory $mem)))
  (core module $m
    (import "h" "get" (func $get (result i32)))
    (import "h" "write" (func $write (param i32 i32 i32 i32)))
    (func (export "print")
      (call $write (call $get) (i32.const 16) (i32.const 25) (i32.const 100)))
    (func (export "hoard") (local $n i32)
      (loop
        (drop (call $get))
        (local.set $n (i32.add (local.get $n) (i32.const 1)))
        (br_if 0 (i32.lt_u (local.get $n) (i32.const 2000))))))
  (core instance $i (instantiate $m (with "h" (instance
    (export "get" (func $get-c)) (export "write" (func $write-c))))))
  (alias core export $i "print" (core func $print))
  (alias core export $i "hoard" (core func $hoard))
  (func (export "print") (canon lift (core func $print)))
  (func (export "hoard") (canon lift (core func $hoard))))"#;

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn binding() -> Arc<Binding> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Arc::new(Binding {
        plugin: "p".to_owned(),
        here: Arc::new(Here {
            node: "n1".to_owned(),
            http: crate::lend::http::HttpClient::new().unwrap(),
            data: PathBuf::from("/nowhere"),
        }),
        instance: Arc::new(Instance {
            name: "s".to_owned(),
            config: serde_json::json!({}),
            secrets: [("password".to_owned(), "hunter2".to_owned())].into(),
        }),
        grants: crate::state::Grants::default(),
        scratch: Mutex::new(HashMap::new()),
        files: Arc::new(tokio::sync::Semaphore::new(1)),
    })
}

/// Calls a function of the component, in an instance of its own.
async fn call(function: &str) -> wasmtime::Result<()> {
    let lane = Lane::general().unwrap();
    let component = Component::new(&lane.engine, wat::parse_str(COMPONENT).unwrap()).unwrap();
    let memory = MemoryLimit::new(1 << 20, Arc::default());
    let state = CallState::new(binding(), Duration::from_secs(60), memory);
    let mut store = Store::new(&lane.engine, state);
    store.limiter(|state| &mut state.memory);
    store.set_epoch_deadline(u64::from(u32::MAX));
    let instance = lane
        .linker
        .instantiate_async(&mut store, &component)
        .await?;
    let function = instance.get_typed_func::<(), ()>(&mut store, function)?;
    function.call_async(&mut store, ()).await
}

#[tokio::test]
async fn standard_output_is_lines_of_the_log_without_secrets() {
    let shared = Shared::default();
    let writer = shared.clone();
    let log = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let guard = tracing::subscriber::set_default(log);
    call("print").await.unwrap();
    drop(guard);
    let log = String::from_utf8(shared.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = log.lines().filter(|l| l.contains("plugin")).collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].contains("password ********"), "{log}");
    assert!(lines[1].contains("and more"), "{log}");
    assert!(!log.contains("hunter2"), "{log}");
}

#[tokio::test]
async fn resources_are_bounded() {
    const { assert!(RESOURCES_MAX < 2_000) };
    let error = call("hoard").await.unwrap_err();
    println!("{error:#}");
    assert!(format!("{error:#}").contains("table"), "{error:#}");
}
