"""One orchestrator a study: on one host by the kernel's lock, on several by a claim."""
