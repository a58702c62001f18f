"""HTTP: GraphQL's endpoint, its explorer, and health."""
