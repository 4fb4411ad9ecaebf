//! The cluster, for the API: name it, let others in, go, look.

use cairn_core::Error;

use crate::Node;
use crate::cluster::records::{ClusterStatus, PrintedToken};

impl Node {
    /// The cluster as this node sees it.
    ///
    /// # Errors
    /// As the store says.
    pub fn cluster_status(&self) -> Result<ClusterStatus, Error> {
        self.cluster.status()
    }

    /// Names the cluster of one that every new node is.
    ///
    /// # Errors
    /// `already-exists` where it has another name; `invalid`.
    pub async fn create_cluster(&self, name: &str) -> Result<ClusterStatus, Error> {
        self.cluster.create(name).await?;
        self.cluster_status()
    }

    /// A token that lets in one node within the hour.
    ///
    /// # Errors
    /// `blocked` where the cluster has no name yet; `no-quorum`.
    pub async fn print_token(&self) -> Result<PrintedToken, Error> {
        self.cluster.token().await
    }

    /// Takes this node into the cluster that a token names.
    ///
    /// # Errors
    /// `invalid`, `denied` as the token's fault; `already-exists` naming what clashes; `in-use` where this
    /// node has a cluster with others; `unavailable`.
    pub async fn join_cluster(&self, token: &str) -> Result<ClusterStatus, Error> {
        self.cluster.join(token).await?;
        self.mounted().clear();
        self.cluster_status()
    }

    /// Takes this node out of its cluster; then it is a cluster of one.
    ///
    /// # Errors
    /// `blocked` with the arithmetic where the rest would have no quorum; `no-quorum`.
    pub async fn leave_cluster(&self, force: bool) -> Result<ClusterStatus, Error> {
        self.cluster.leave(force).await?;
        self.mounted().clear();
        self.cluster_status()
    }

    /// Takes another node out, dead or alive.
    ///
    /// # Errors
    /// `not-found`; `blocked` with the arithmetic; `no-quorum`.
    pub async fn remove_node(&self, name: &str, force: bool) -> Result<ClusterStatus, Error> {
        self.cluster.remove_node(name, force).await?;
        self.cluster_status()
    }

    /// Makes this node the only member of its cluster, though the majority is lost.
    ///
    /// # Errors
    /// `invalid` where the name isn't the cluster's; `blocked` where there is a quorum.
    pub async fn force_quorum(&self, cluster: &str) -> Result<ClusterStatus, Error> {
        self.cluster.force_quorum(cluster).await?;
        self.cluster_status()
    }

    /// Adds the witness that printed a token.
    ///
    /// # Errors
    /// As [`Node::join_cluster`].
    pub async fn add_witness(&self, token: &str) -> Result<ClusterStatus, Error> {
        self.cluster.add_witness(token).await?;
        self.cluster_status()
    }

    /// Removes a witness.
    ///
    /// # Errors
    /// `not-found`; `blocked` with the arithmetic; `no-quorum`.
    pub async fn remove_witness(&self, name: &str) -> Result<ClusterStatus, Error> {
        self.cluster.remove_witness(name).await?;
        self.cluster_status()
    }
}
