//! Threads of the fencing lane's own: plugins that compute keep the daemon's other threads busy, and a
//! power cut must not wait for its turn among them.

use std::future::Future;

use cairn_core::Error;
use tokio::runtime::{Builder, Runtime};

use crate::limits::FENCING_THREADS;

/// A runtime that may be dropped anywhere.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// Starts them; they sleep until something is run.
    pub(crate) fn start() -> Result<Self, Error> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(FENCING_THREADS)
            .thread_name("fencing")
            .enable_all()
            .build()
            .map_err(|e| Error::internal(format!("no threads for fencing: {e}")))?;
        Ok(Self(Some(runtime)))
    }

    /// Runs it here, to its end even if the caller goes away.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        call: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let Some(runtime) = &self.0 else {
            return Err(Error::internal("the threads for fencing have ended"));
        };
        let ended = runtime.spawn(call).await;
        ended.unwrap_or_else(|e| Err(Error::internal(format!("a fencing call was cut off: {e}"))))
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        // Waiting for them would block, which isn't allowed where this may be dropped.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
