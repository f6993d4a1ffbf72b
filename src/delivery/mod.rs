//! How a release reaches a cluster: rendered and applied directly, or by the Cluster Stack Operator.
