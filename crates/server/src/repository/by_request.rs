//! Loading and unloading because a client says so. What was unloaded answers 503 until it is loaded by request, or another
//! package is uploaded; the package stays where it is.

use std::sync::Arc;

use super::{Deployment, Repository};
use crate::error::ServerError;

impl Repository {
    /// Looks at the package of a deployment, whenever that was done last, and loads it unless it is what serves.
    pub(crate) async fn load(self: &Arc<Self>, id: &str) -> Result<(), ServerError> {
        self.check_writable()?;
        let deployment = self.called(id).await?;
        deployment.put_back();
        let (this, looked) = (Arc::clone(self), Arc::clone(&deployment));
        let look = tokio::task::spawn_blocking(move || this.look_again(&looked).is_some());
        if !look.await.unwrap_or(false) {
            return Err(self.unknown(Some(id)));
        }
        let serves_old = deployment.snapshot().failure.filter(|_| deployment.current.load().is_some());
        if let Some(failure) = serves_old {
            return Err(super::load::load_failed(&deployment, &failure));
        }
        let mut loading = self.loading(&deployment)?;
        let ended = tokio::time::timeout(super::LOAD_PATIENCE, loading.wait_for(Option::is_some)).await;
        let Ok(Ok(ended)) = ended else { return Err(ServerError::Loading(deployment.id.to_string())) };
        match &*ended {
            Some(Err(Some(failure))) => Err(super::load::load_failed(&deployment, failure)),
            Some(Err(None)) => Err(self.unknown(Some(id))),
            _ => Ok(()),
        }
    }

    /// Frees the model and refuses requests for it; those under way go on.
    pub(crate) async fn unload(self: &Arc<Self>, id: &str) -> Result<(), ServerError> {
        self.check_writable()?;
        let deployment = self.called(id).await?;
        deployment.withdraw();
        self.log(&format!("model '{}' was unloaded by request", deployment.id));
        Ok(())
    }

    /// The deployment of exactly this id, also where a single model answers to any.
    async fn called(self: &Arc<Self>, id: &str) -> Result<Arc<Deployment>, ServerError> {
        let deployment = self.find(Some(id), self.clock.now()).await?;
        if deployment.id.as_str() == id { Ok(deployment) } else { Err(self.unknown(Some(id))) }
    }
}
