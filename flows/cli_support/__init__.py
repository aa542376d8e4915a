"""Code that several commands share: options, shell completion, running a flow, and Prefect deployments."""
